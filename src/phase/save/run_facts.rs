//! What each build script's run depends on unseen, and what it left outside the target. One that did not run again is as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fs_err as fs;
use memchr::memmem;

use super::job::Job;
use super::made::Made;
use crate::cargo::units::DiskUnit;
use crate::machine::disk::{self, Kind};
use crate::stamp::sources::Sources;
use crate::state::manifest::{Manifest, RunFacts};
use crate::unit::Unit;

/// Digits of a commit that a build script is taken to have written down.
const ABBREVIATED: usize = 7;

pub(super) fn add(job: &Job<'_>, live: &[usize], made: Made, sources: &Sources, manifest: &mut Manifest) {
    let commits = commits(job, sources);
    let index: BTreeMap<&str, usize> =
        sources.inputs.keys().enumerate().map(|(at, path)| (path.as_str(), at)).collect();
    let mut made = made.by_run(job, live, sources);
    for (record, &at) in manifest.units.iter_mut().zip(live) {
        let unit = job.unit(at);
        if !unit.is_run() {
            continue;
        }
        let paths = made.remove(&at).unwrap_or_default();
        let made = paths.iter().filter_map(|path| index.get(path.as_str()).copied()).collect();
        if let Some(before) = job.unchanged(at) {
            record.run = before.run.clone().map(|run| RunFacts { made, ..run });
            continue;
        }
        let root = &job.surveys[record.root].root;
        let output = fs::read(root.join(unit.place.run_output())).unwrap_or_default();
        let holds = |commit: &&String| {
            let head = &commit.as_bytes()[..ABBREVIATED];
            memmem::find(&output, head).is_some() || folder_holds(root, unit, head)
        };
        let commit = commits.iter().find(holds).cloned();
        record.run = Some(RunFacts { commit, made, interpreter: watched_interpreter(unit), ..RunFacts::default() });
    }
}

/// Commits that may have been checked out while the job built, the likeliest first. The one that is checked out now may have
/// come later.
fn commits(job: &Job<'_>, sources: &Sources) -> Vec<String> {
    let visited = sources.repositories.iter().flat_map(|repository| repository.visited().into_iter().rev().take(100));
    let now = sources.repositories.iter().filter_map(|repository| repository.head.clone());
    let mut seen = BTreeSet::new();
    let all = job.state.heads.iter().cloned().chain(now).chain(visited);
    all.filter(|commit| commit.len() >= ABBREVIATED && seen.insert(commit.clone())).collect()
}

/// What `PYO3_PYTHON` was for a run that watches it: all that Cargo compares of an interpreter is this text.
fn watched_interpreter(unit: &DiskUnit) -> Option<String> {
    let watched = unit.tracked_env().find(|(name, _)| name == "PYO3_PYTHON");
    watched.map(|(_, value)| value.unwrap_or_default())
}

fn folder_holds(root: &Path, unit: &DiskUnit, text: &[u8]) -> bool {
    let found = disk::walk(&root.join(unit.place.out_dir()), &|_| true).unwrap_or_default();
    let files = found.iter().filter(|found| found.meta.kind == Kind::File);
    files.into_iter().any(|found| fs::read(&found.path).is_ok_and(|bytes| memmem::find(&bytes, text).is_some()))
}
