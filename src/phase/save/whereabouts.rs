//! Where each unit's package lies, and what to do with those of which nobody can say: they are not stored.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::job::Job;
use crate::cargo::units::DiskUnit;
use crate::cargo::whereabouts::{self, Place};
use crate::job::outcome::SaveOutcome;
use crate::machine::paths;
use crate::problem::Warning;
use crate::state::manifest::Lies;
use crate::unit::Unit;

/// Finds the place of every unit, and takes packages in that only a unit or an earlier build knows of.
pub(super) fn find(job: &mut Job<'_>) {
    if let Some(restored) = &job.state.restored {
        job.facts.adopt_recorded(&restored.manifest);
    }
    job.places = locate(job);
    let known: BTreeSet<PathBuf> = {
        let packages = job.facts.workspaces.iter().flat_map(|workspace| &workspace.packages);
        let vendored = job.facts.vendored.iter().map(|package| package.real.clone());
        packages.map(|package| package.real.clone()).chain(vendored).collect()
    };
    let found = job.places.iter().flatten().filter_map(|place| match &place.lies {
        Lies::In(dir) => Some(paths::path(dir)).filter(|dir| !known.contains(dir)),
        Lies::Unknown | Lies::Fetched => None,
    });
    let found: BTreeSet<PathBuf> = found.collect();
    if !found.is_empty() {
        job.facts.adopt(found);
        job.places = locate(job);
    }
}

fn locate(job: &Job<'_>) -> Vec<Vec<Place>> {
    let recorded = |root: usize, unit: &DiskUnit| Some(job.unchanged_in(root, unit)?.lies.clone());
    job.facts.whereabouts().locate(&job.surveys, &recorded)
}

/// Units whose sources nobody would see change, and what was built from them.
pub(super) fn blind(job: &Job<'_>, edges: &[Vec<Option<usize>>], outcome: &mut SaveOutcome) -> BTreeSet<usize> {
    let all = job.all();
    let places: Vec<&Place> = (0..all.len()).map(|at| job.place(at)).collect();
    let (roots, all_blind) = whereabouts::blind(&all, &places, edges);
    if !roots.is_empty() {
        let names: BTreeSet<String> = roots.iter().map(|&at| job.unit(at).title()).collect();
        let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
        outcome.warnings.push(Warning::new(format!(
            "{} and what was built from it are not stored: nobody can say where the package lies",
            names.join(", ")
        )));
    }
    all_blind
}
