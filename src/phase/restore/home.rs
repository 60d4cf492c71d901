//! The Cargo home's own lineage: brings back the index, archives and git databases that are not there yet.
//!
//! Nothing that is there is ever overwritten. What does not arrive, Cargo fetches.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use super::arrival;
use crate::cargo::home::{holdings, remove_forged};
use crate::disk::Meta;
use crate::facts::{Facts, home_parts};
use crate::outcome::RestoreOutcome;
use crate::pack;
use crate::problem::Warning;
use crate::state::HomeState;
use crate::store::Store;

pub(super) fn restore(facts: &Facts, store: &dyn Store, outcome: &mut RestoreOutcome) -> HomeState {
    let parts = home_parts(&facts.locked);
    let mut state = HomeState {
        parts,
        manifest: None,
        pack: None,
        passed_over: BTreeSet::new(),
        names: BTreeSet::new(),
        lost_files: BTreeSet::new(),
        damaged: false,
    };
    let complete = holdings(&facts.cargo_home, &facts.locked).is_ok_and(|held| has_everything(facts, &held.names));
    let found = if complete {
        None
    } else {
        arrival::best(store, &state.parts.fields(), None, &mut state.passed_over, &mut outcome.warnings)
    };
    if let Some((pack, _)) = found {
        let manifest = pack.index.manifest.clone();
        if manifest.roots.len() == 1 {
            state.pack = Some(arrival::parent_of(&pack));
            outcome.home.key = Some(pack.key.clone());
            let (packs, damaged) = arrival::with_parents(store, pack, &manifest, &mut outcome.warnings);
            let there: BTreeSet<usize> = (0..manifest.files.len())
                .filter(|&at| Meta::of(&facts.cargo_home.join(&manifest.files[at].path)).is_ok())
                .collect();
            let unpacked =
                pack::unpack(&manifest, &packs, std::slice::from_ref(&facts.cargo_home), Duration::ZERO, &there);
            outcome.home.files = unpacked.files;
            outcome.home.bytes = unpacked.bytes;
            if let Some((_, reason)) = unpacked.failed.first_key_value() {
                let text = format!("{} files of the Cargo home were not restored: {reason}", unpacked.failed.len());
                outcome.warnings.push(Warning::new(text));
            }
            let brought =
                (0..manifest.files.len()).filter(|at| !there.contains(at) && !unpacked.failed.contains_key(at));
            let archives = brought.map(|at| facts.cargo_home.join(&manifest.files[at].path));
            let archives: Vec<PathBuf> =
                archives.filter(|path| path.extension().is_some_and(|end| end == "crate")).collect();
            match remove_forged(&archives, &facts.locked) {
                Ok(removed) => outcome.warnings.extend(removed.iter().map(|path| {
                    let name = path.file_name().unwrap_or_default().to_string_lossy();
                    Warning::new(format!("the stored `{name}` is not the one that the lock file names; it is removed"))
                })),
                Err(error) => {
                    outcome.warnings.fault("checking the archives of the Cargo home", &error.into());
                }
            }
            state.damaged = damaged || !unpacked.failed.is_empty();
            state.lost_files = unpacked.failed.into_keys().collect();
            state.manifest = Some(manifest);
        }
    }
    // What is there before the job's own steps is not news.
    state.names = holdings(&facts.cargo_home, &facts.locked).map(|held| held.names).unwrap_or_default();
    state
}

fn has_everything(facts: &Facts, names: &BTreeSet<String>) -> bool {
    let wanted: BTreeSet<String> = facts.locked.iter().flat_map(|locked| locked.archives().into_keys()).collect();
    let git = facts.locked.iter().flat_map(crate::cargo::lockfile::Locked::git_names).count();
    git == 0 && wanted.is_subset(names)
}
