//! Units that write one file: builds of a `cdylib`, or of a program for the web or for Windows, with other versions, features or
//! settings. Cargo gives the file no id, and takes what the last of them left for the one that is asked for. Pure.
//!
//! How it can be wrong: units of one name that write files with different ends are taken for some that share one, which costs a
//! build of theirs.

use std::collections::{BTreeMap, BTreeSet};

use crate::state::manifest::Manifest;
use crate::unit::Layout;

/// Each set of units that write the same file, as indices.
pub fn sets(manifest: &Manifest) -> Vec<Vec<usize>> {
    let has_id = |path: &str, at: usize| {
        let place = &manifest.units[at].place;
        path.contains(&place.id) && !path.starts_with(&place.fingerprint_dir())
    };
    let hashed: BTreeSet<usize> =
        manifest.files.iter().filter_map(|file| file.unit.filter(|&at| has_id(&file.path, at))).collect();
    let mut sets: BTreeMap<(usize, &str, Vec<&str>), Vec<usize>> = BTreeMap::new();
    for (at, unit) in manifest.units.iter().enumerate() {
        let names: Vec<&str> = unit.fingerprints.iter().map(|print| print.name.as_str()).collect();
        // Tests have an id wherever they are built, and a build script's run and documentation leave nothing that is linked.
        let leaves_one =
            !names.iter().any(|name| ["test-", "run-", "doc-"].iter().any(|start| name.starts_with(start)));
        if unit.place.layout == Layout::Legacy && leaves_one && !hashed.contains(&at) {
            sets.entry((unit.root, &unit.place.profile, names)).or_default().push(at);
        }
    }
    sets.into_values().filter(|set| set.len() > 1).collect()
}
