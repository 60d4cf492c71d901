//! Which documentation has to be made again because it takes in a file from outside of its package. Pure.
//!
//! Cargo judges documentation by the newest file of its package, and knows of no other. How it can be wrong: only what the save
//! recorded counts.

use std::collections::BTreeSet;

use crate::stamp::doubt::Doubt;
use crate::state::manifest::{Manifest, Origin};
use crate::unit::Unit;

/// One doubt per unit. A file outside the workspace that changed has a doubt of its own.
pub fn doubts(manifest: &Manifest, changed: &BTreeSet<&str>, gone: &BTreeSet<&str>) -> Vec<(usize, Doubt)> {
    let documents = manifest.units.iter().enumerate().filter(|(_, unit)| unit.is_doc() && unit.is_precalculated());
    let doubt = |(at, unit): (usize, &crate::state::manifest::UnitRecord)| {
        let mut inputs = unit.inputs.iter().map(|&input| &manifest.inputs[input]);
        let input = inputs.find(|input| {
            let path = input.path.as_str();
            gone.contains(path) || input.origin != Origin::Outside && changed.contains(path)
        })?;
        Some((at, Doubt::IncludedInDocs { path: input.path.clone() }))
    };
    documents.filter_map(doubt).collect()
}
