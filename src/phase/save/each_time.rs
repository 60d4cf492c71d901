//! What a job builds in each of its builds, or builds and builds back: the next one does the same, and its forecast says so.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::explain::cause::Cause;
use crate::explain::inspection::Inspection;
use crate::machine::paths;
use crate::state::manifest::{Manifest, UnitRecord};
use crate::unit::Unit;

/// What a build script's run watches and what is not there, of what it names.
pub(super) fn absent(unit: &UnitRecord, named: &BTreeSet<String>) -> Vec<String> {
    let is_absent = |path: &&String| {
        let path = paths::path(path);
        let path: &Path = &path;
        path.symlink_metadata().is_err()
    };
    named.iter().filter(|_| unit.is_run()).filter(is_absent).cloned().collect()
}

/// Units that ended as they had begun although they were built.
pub(super) fn add(inspection: &Inspection, manifest: &mut Manifest) {
    let turns = inspection.units.iter().filter_map(|unit| match &unit.cause {
        Some(Cause::ChangedBack { names, .. }) => Some((unit.place.as_str(), names.as_slice())),
        Some(Cause::VariantsTakeTurns { .. }) => Some((unit.place.as_str(), &[][..])),
        _ => None,
    });
    let turns: BTreeMap<&str, &[String]> = turns.collect();
    for unit in &mut manifest.units {
        unit.turns = turns.get(unit.place.name_in(unit.root).as_str()).map(|names| names.to_vec());
    }
}
