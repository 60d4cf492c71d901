//! TOML files as values: manifests and settings, read in one way and walked in one way.
//!
//! A file that is not there or does not parse has no table: what Cargo says of it, it says itself.

use std::path::Path;

use fs_err as fs;
use toml::{Table, Value};

pub fn read(path: &Path) -> Option<Table> {
    fs::read_to_string(path).ok()?.parse().ok()
}

/// The value at a path of names.
pub fn at<'a>(table: &'a Table, path: &[&str]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(table.get(*first)?, |value, name| value.get(*name))
}

/// What a manifest says of its package, under the older name, too.
pub fn package(manifest: &Table) -> Option<&Value> {
    manifest.get("package").or_else(|| manifest.get("project"))
}
