//! What a forecast has to look at on the disk: which paths are not there.

use std::collections::BTreeSet;
use std::path::Path;

use crate::machine::paths;
use crate::state::manifest::Manifest;

/// Those of these paths that nothing lies at.
pub fn gone(differing: &[String]) -> BTreeSet<String> {
    differing.iter().filter(|path| is_gone(path)).cloned().collect()
}

/// What build scripts watched that was not there, and is not there yet.
pub fn absent(manifest: &Manifest) -> BTreeSet<String> {
    let named = manifest.units.iter().flat_map(|unit| &unit.absent);
    named.filter(|path| is_gone(path)).cloned().collect()
}

fn is_gone(path: &str) -> bool {
    let path = paths::path(path);
    let path: &Path = &path;
    path.symlink_metadata().is_err()
}
