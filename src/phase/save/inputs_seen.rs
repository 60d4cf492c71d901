//! What the live units read: resolves the paths that they name, and looks at the sources as they are now.

use std::collections::BTreeSet;

use anyhow::Result;

use super::documented;
use super::job::Job;
use super::made::Made;
use crate::cargo::named;
use crate::machine::disk::FileSystem;
use crate::stamp::ledger::Ledger;
use crate::stamp::sources::{self, Scope, Sources};

/// The sources, and per live unit the paths that it names.
pub(super) struct Seen {
    pub(super) sources: Sources,
    pub(super) scope: Scope,
    pub(super) named: Vec<BTreeSet<String>>,
    pub(super) made: Made,
}

pub(super) fn look(job: &Job<'_>, live: &[usize], file_system: &FileSystem) -> Result<Seen> {
    let named: Vec<BTreeSet<String>> = live
        .iter()
        .map(|&at| {
            let unit = job.unit(at);
            let named = named::paths(unit, &job.place(at).dirs, &job.surveys[job.units[at].0].root);
            let mut paths: BTreeSet<String> = named.into_iter().collect();
            paths.extend(remembered_paths(job, at));
            paths.extend(documented::included(job, at));
            paths
        })
        .collect();
    let mut all: BTreeSet<String> = named.iter().flatten().cloned().collect();
    let made = Made::find(job, live);
    all.extend(made.paths());
    let scope = Scope { made: made.paths(), ..job.facts.scope(all) };
    let sources = sources::scan(&scope, file_system)?;
    if let Some(mut ledger) = Ledger::of(&job.facts.workspaces.first().root) {
        ledger.look(&sources.inputs, &sources.changed, file_system.now);
        ledger.store()?;
    }
    Ok(Seen { sources, scope, named, made })
}

/// Paths that an unchanged unit named when its fingerprint could still be read; the JSON of one that tracks a secret is not
/// stored.
fn remembered_paths(job: &Job<'_>, at: usize) -> Vec<String> {
    let unit = job.unit(at);
    let is_readable = unit.fingerprints.iter().all(|fingerprint| fingerprint.fingerprint.is_some());
    let Some(before) = job.unchanged(at).filter(|_| !is_readable) else { return Vec::new() };
    let Some(restored) = job.previous() else { return Vec::new() };
    before.inputs.iter().map(|&input| restored.manifest.inputs[input].path.clone()).collect()
}
