//! What the report says beyond the units themselves: the runs before this one, and advice from what this one measured.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::SystemTime;

use super::job::Job;
use crate::explain::advice::{self, Advice, Measured};
use crate::explain::cause::Cause;
use crate::explain::forecast::{self, Expected};
use crate::explain::inspection::{InspectedUnit, Inspection};
use crate::git::Repository;
use crate::job::handover::HISTORY;
use crate::job::outcome::{SaveOutcome, Saved};
use crate::moment::Moment;
use crate::state::manifest::RunRecord;

/// The last runs, and this one as far as it is known before anything is packed.
pub(super) fn history(job: &Job<'_>, inspection: &Inspection) -> Vec<RunRecord> {
    let mut history = job.previous().map(|restored| restored.manifest.history.clone()).unwrap_or_default();
    history.push(RunRecord {
        commit: None,
        at: Moment::from(filetime::FileTime::from_system_time(SystemTime::now())),
        restored: job.previous().map(|restored| restored.pack.key.clone()),
        compiled: inspection.compiled().count(),
        seconds: inspection.seconds_spent(),
        saved: inspection.seconds_saved(),
        bytes: job.previous().map_or(0, |restored| restored.manifest.content_bytes()),
    });
    let surplus = history.len().saturating_sub(HISTORY);
    history.drain(..surplus);
    history
}

/// How the forecast of the restore turned out.
pub(super) fn forecast(job: &Job<'_>, inspection: &Inspection) -> Option<forecast::Outcome> {
    let told = job.state.outcome.forecast.as_ref()?;
    let expected = |unit: &InspectedUnit| Expected::new(&unit.package, &unit.profile, unit.targets.clone());
    let compiled = inspection.compiled().map(expected).collect();
    Some(told.compare(&job.previous()?.manifest, &compiled))
}

pub(super) fn advice(job: &Job<'_>, outcome: &SaveOutcome) -> Vec<Advice> {
    let skipped = match &outcome.target {
        Saved::Skipped(reason) => Some(reason),
        _ => None,
    };
    advice::advise(&Measured {
        inspection: &outcome.inspection,
        weights: &outcome.weights,
        rolled: &job.state.outcome.rolled,
        skipped,
        secret_units: &outcome.secret_units,
        incremental: &job.state.parts.hard.incremental,
        untracked: &untracked(&job.facts.workspaces.first().root, &outcome.inspection),
    })
}

/// Files among the causes that git does not have.
fn untracked(root: &Path, inspection: &Inspection) -> BTreeSet<String> {
    let is_file = |cause: &Cause| matches!(cause, Cause::SourceChanged { .. });
    let files: BTreeSet<&String> = inspection
        .compiled()
        .filter(|unit| unit.cause.as_ref().is_some_and(is_file))
        .flat_map(|unit| &unit.files)
        .collect();
    if files.is_empty() {
        return BTreeSet::new();
    }
    let listing = Repository::discover(root).and_then(|repository| repository.list(&[root.to_path_buf()]).ok());
    let Some(listing) = listing else { return BTreeSet::new() };
    let tracked: BTreeSet<&Path> = listing.tracked.iter().map(|tracked| tracked.path.as_path()).collect();
    // Paths outside the workspace are absolute.
    let is_untracked = |path: &Path| path.starts_with(root) && path.is_file() && !tracked.contains(path);
    files.into_iter().filter(|path| is_untracked(&root.join(path))).cloned().collect()
}
