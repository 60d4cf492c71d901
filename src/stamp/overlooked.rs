//! New files that take effect although nothing names them: Cargo looks at what was read, and not at what would be read today.
//! Pure.
//!
//! How it can be wrong: whoever looks for files in an order of its own, and is no compiler, is not known here.

use std::collections::{BTreeMap, BTreeSet};

use crate::machine::paths::{file_name, is_under, parent};
use crate::stamp::doubt::Doubt;
use crate::state::manifest::Manifest;

/// Where clippy looks for its settings, from the package's folder upward.
const CLIPPY: [&str; 2] = ["clippy.toml", ".clippy.toml"];

/// `readers` are the units that name a path, `added` the paths that no unit can have seen.
pub(super) fn doubts(
    manifest: &Manifest,
    readers: &BTreeMap<&str, Vec<usize>>,
    added: &BTreeSet<&str>,
) -> Vec<(usize, Doubt)> {
    let mut found = Vec::new();
    for &path in added {
        if let Some(other) = other_module_file(path) {
            let units = readers.get(other.as_str()).into_iter().flatten();
            found.extend(units.map(|&unit| (unit, Doubt::TwoModuleFiles { new: path.to_owned(), old: other.clone() })));
        }
        if let Some(dir) = parent(path).filter(|_| CLIPPY.contains(&file_name(path))) {
            let below = |unit: &usize| {
                let packages = manifest.packages.iter().filter(|package| manifest.units[*unit].is_of(package));
                packages.into_iter().any(|package| package.dir == dir || is_under(&package.dir, dir))
            };
            let linted = (0..manifest.units.len()).filter(|&unit| manifest.units[unit].linted).filter(below);
            found.extend(linted.map(|unit| (unit, Doubt::NewSettings { path: path.to_owned() })));
        }
    }
    found
}

/// `b.rs` for `b/mod.rs`, and the other way round: a module can lie in one of them, and not in both.
fn other_module_file(path: &str) -> Option<String> {
    let separator = std::path::MAIN_SEPARATOR;
    if file_name(path) == "mod.rs" {
        return Some(format!("{}.rs", parent(path)?));
    }
    Some(format!("{}{separator}mod.rs", path.strip_suffix(".rs")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_lies_in_one_of_two_files() {
        let local = |path: &str| path.replace('/', std::path::MAIN_SEPARATOR_STR);
        let other = |path: &str| other_module_file(&local(path));
        assert_eq!(other("/p/src/b/mod.rs"), Some(local("/p/src/b.rs")));
        assert_eq!(other("/p/src/b.rs"), Some(local("/p/src/b/mod.rs")));
        assert_eq!(other("/p/src/b.txt"), None);
    }
}
