//! What the report says beyond the units themselves: the runs before this one, and advice from what this one measured.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::SystemTime;

use super::job::Job;
use super::sdist_copy;
use crate::explain::advice::{self, Advice, Measured};
use crate::explain::forecast;
use crate::explain::inspection::Inspection;
use crate::git::Repository;
use crate::job::handover::HISTORY;
use crate::job::outcome::{SaveOutcome, Saved};
use crate::machine::disk::Meta;
use crate::machine::paths;
use crate::moment::Moment;
use crate::stamp::sources::hash_file;
use crate::state::manifest::{InputKind, RunRecord};

/// The last runs, and this one as far as it is known before anything is packed.
pub(super) fn history(job: &Job<'_>, inspection: &Inspection) -> Vec<RunRecord> {
    let before = job.previous().filter(|_| !job.is_guest());
    let mut history = before.map(|restored| restored.manifest.history.clone()).unwrap_or_default();
    history.push(RunRecord {
        commit: None,
        at: Moment::from(filetime::FileTime::from_system_time(SystemTime::now())),
        restored: job.previous().map(|restored| restored.pack.key.clone()),
        compiled: inspection.compiled().count(),
        seconds: inspection.seconds_spent(),
        saved: inspection.seconds_saved(),
        bytes: job.previous().map_or(0, |restored| restored.manifest.content_bytes()),
        advice: Vec::new(),
    });
    let surplus = history.len().saturating_sub(HISTORY);
    history.drain(..surplus);
    history
}

/// How the forecast of the restore turned out.
pub(super) fn forecast(job: &Job<'_>, inspection: &Inspection) -> Option<forecast::Outcome> {
    let told = job.state.outcome.forecast.as_ref()?;
    Some(told.compare(&job.previous()?.manifest, &job.facts.project(), inspection))
}

pub(super) fn advice(job: &Job<'_>, outcome: &SaveOutcome) -> Vec<Advice> {
    let skipped = match &outcome.target {
        Saved::Skipped(reason) => Some(reason),
        _ => None,
    };
    let root = &job.facts.base();
    let untracked = untracked(root, &outcome.inspection);
    let before = job.previous().filter(|_| !job.is_guest());
    let history = before.map(|restored| restored.manifest.history.as_slice()).unwrap_or_default();
    advice::advise(&Measured {
        inspection: &outcome.inspection,
        weights: &outcome.weights,
        rolled: &job.state.outcome.rolled,
        skipped,
        left_out: outcome.left_out.as_ref(),
        secret_units: &outcome.secret_units,
        incremental: &job.state.parts.hard.incremental,
        late: &as_recorded(job, root, &untracked),
        untracked: &untracked,
        sdist_wheel: sdist_copy::wheel(job, &outcome.inspection),
        has_shim: job.state.outcome.isolation.path.is_some(),
        history,
    })
}

/// Those that are what they were in the last job: nothing but their time is another.
fn as_recorded(job: &Job<'_>, root: &Path, files: &BTreeSet<String>) -> BTreeSet<String> {
    let inputs = job.previous().map(|restored| restored.manifest.inputs.as_slice()).unwrap_or_default();
    let is_same = |file: &&String| {
        let path = root.join(file);
        let then = inputs.iter().find(|input| paths::path(&input.path) == path && input.kind == InputKind::File);
        let algorithm = then.and_then(|input| input.id.algorithm());
        let now = algorithm.and_then(|algorithm| hash_file(&path, &Meta::of(&path).ok()?, algorithm));
        now.is_some_and(|now| then.is_some_and(|then| then.id == now))
    };
    files.iter().filter(is_same).cloned().collect()
}

/// Files among the causes that git does not have: of the workspace, or outside of it.
fn untracked(root: &Path, inspection: &Inspection) -> BTreeSet<String> {
    let behind = inspection.compiled().filter_map(|unit| Some((unit, advice::file_behind(unit.cause.as_ref()?)?)));
    let files: BTreeSet<String> =
        behind.flat_map(|(unit, file)| unit.files.iter().cloned().chain([file.to_owned()])).collect();
    if files.is_empty() {
        return BTreeSet::new();
    }
    let listing = Repository::discover(root).and_then(|repository| repository.list(&[root.to_path_buf()]).ok());
    let Some(listing) = listing else { return BTreeSet::new() };
    let tracked: BTreeSet<&Path> = listing.tracked.iter().map(|tracked| tracked.path.as_path()).collect();
    let is_untracked = |path: &Path| path.is_file() && !tracked.contains(path) && !is_of_git(path);
    files.into_iter().filter(|path| is_untracked(&root.join(path))).collect()
}

fn is_of_git(path: &Path) -> bool {
    path.iter().any(|part| part == ".git")
}
