//! Vendored packages: folders that a `[source]` replacement in Cargo's configuration points at.

use std::path::PathBuf;

use fs_err as fs;
use toml::{Table, Value};

use super::config::ConfigFile;

/// A package in a vendor folder.
#[derive(Clone, Debug)]
pub struct Vendored {
    pub name: String,
    pub dir: PathBuf,
}

/// Every vendored package that these configurations make available.
pub fn packages(configs: &[ConfigFile]) -> Vec<Vendored> {
    let mut found: Vec<Vendored> = folders(configs).iter().flat_map(packages_in).collect();
    found.sort_by(|a, b| a.dir.cmp(&b.dir));
    found
}

/// The vendor folders themselves.
pub fn folders(configs: &[ConfigFile]) -> Vec<PathBuf> {
    let folder = |file: &ConfigFile, source: &Value| Some(file.base.join(source.get("directory")?.as_str()?));
    let sources = configs.iter().filter_map(|file| Some((file, file.table.as_ref()?.get("source")?.as_table()?)));
    let mut folders: Vec<PathBuf> =
        sources.flat_map(|(file, sources)| sources.values().filter_map(move |source| folder(file, source))).collect();
    folders.sort();
    folders.dedup();
    folders
}

fn packages_in(folder: &PathBuf) -> Vec<Vendored> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let dirs = entries.map(|entry| entry.path()).filter(|dir| dir.join(".cargo-checksum.json").is_file());
    let name = |dir: &PathBuf| {
        let manifest: Table = fs::read_to_string(dir.join("Cargo.toml")).ok()?.parse().ok()?;
        Some(manifest.get("package")?.get("name")?.as_str()?.to_owned())
    };
    dirs.filter_map(|dir| Some(Vendored { name: name(&dir)?, dir })).collect()
}
