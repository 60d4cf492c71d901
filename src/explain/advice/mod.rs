//! What would make the next jobs faster, from what this one measured. No advice without a figure of this job and a
//! line to write. Pure.
//!
//! How it can be wrong: a figure of one job need not hold for the next, so only what costs clearly more than reading about it
//! is said, and never more than a handful.

mod rebuilt;
mod scripts;
mod stored;

use std::collections::BTreeSet;

use serde::Serialize;

use crate::digest::Digest;
use crate::explain::cause::Cause;
use crate::explain::inspection::{InspectedUnit, Inspection, Rebuild, Weights};
use crate::stamp::doubt::GONE_UNMISSED;
use crate::state::decision::SkipReason;
use crate::state::key::Incremental;
use crate::state::key_change::PartChange;
use crate::state::limit::Limit;
use crate::state::manifest::RunRecord;
use crate::words::{count, duration};

/// Said at once; more is not read.
const MOST: usize = 5;
/// Seconds and bytes below which nobody minds.
const SECONDS: f64 = 3.0;
const BYTES: u64 = 50_000_000;
/// What a byte costs to pack, send, fetch and unpack, in seconds; only ranks advice.
const SECONDS_PER_BYTE: f64 = 1.0 / 20e6;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Advice {
    pub id: &'static str,
    /// What was measured.
    pub evidence: String,
    /// What to write, and where.
    pub fix: String,
    /// What it would have saved this job.
    pub seconds: f64,
    pub bytes: u64,
    /// In how many of the last runs the same was advised, without a break.
    #[serde(skip_serializing_if = "is_new")]
    pub said_before: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_new(said_before: &usize) -> bool {
    *said_before == 0
}

impl Advice {
    /// That saves time.
    fn faster(id: &'static str, evidence: String, fix: impl Into<String>, seconds: f64) -> Self {
        Self { id, evidence, fix: fix.into(), seconds, bytes: 0, said_before: 0 }
    }

    /// That saves space.
    fn smaller(id: &'static str, evidence: String, fix: impl Into<String>, bytes: u64) -> Self {
        Self { bytes, ..Self::faster(id, evidence, fix, 0.0) }
    }

    /// The same for as long as there is the same to write.
    pub fn name(&self) -> String {
        format!("{} {}", self.id, Digest::of(self.fix.as_bytes()).short())
    }

    /// Who was told twice has read it.
    pub fn is_old(&self) -> bool {
        self.said_before >= 2
    }
}

/// What a job leaves to judge by.
#[derive(Debug)]
pub struct Measured<'a> {
    pub inspection: &'a Inspection,
    pub weights: &'a Weights,
    pub rolled: &'a [PartChange],
    pub skipped: Option<&'a SkipReason>,
    /// Units for which a budget had no room.
    pub left_out: Option<&'a Unstored>,
    pub secret_units: &'a [String],
    /// Who decided about incremental compilation, and what.
    pub incremental: &'a Incremental,
    /// Files among the causes that git does not have.
    pub untracked: &'a BTreeSet<String>,
    /// Those of them that are what they were in the last job, and newer.
    pub late: &'a BTreeSet<String>,
    /// A wheel that was made although nothing was built or used here.
    pub sdist_wheel: Option<String>,
    /// Whether Rekindle's `cargo` was in front of the real one.
    pub has_shim: bool,
    /// The runs before this one.
    pub history: &'a [RunRecord],
}

/// What a budget left out of what was stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Unstored {
    pub units: Vec<String>,
    pub seconds: f64,
    pub limit: Limit,
    /// What the whole would have taken.
    pub whole: u64,
}

impl<'a> Measured<'a> {
    /// Roots that cost more than nobody minds.
    fn costly(&self) -> impl Iterator<Item = Rebuild<'a>> + use<'a> {
        self.inspection.rebuilds().into_iter().filter(|rebuild| rebuild.seconds >= SECONDS)
    }
}

/// `3 units in 4.0 s`.
fn spent(units: usize, seconds: f64) -> String {
    format!("{} in {}", count(units, "unit"), duration(seconds))
}

/// What a root cost with all that followed.
fn spent_on(rebuild: &Rebuild<'_>) -> String {
    spent(rebuild.units.len() + rebuild.cascades, rebuild.seconds)
}

/// The most profitable first.
pub fn advise(measured: &Measured<'_>) -> Vec<Advice> {
    let mut advice: Vec<Advice> = [
        rebuilt::drifting_variables(measured),
        rebuilt::turns(measured),
        rebuilt::sdist_copies(measured),
        rebuilt::late_files(measured),
        rebuilt::untracked_files(measured),
        scripts::unwatched(measured),
        scripts::watching_nothing(measured),
        scripts::watching_git(measured),
        stored::variants(measured),
        rebuilt::moving_toolchain(measured),
        rebuilt::secrets(measured),
        rebuilt::heavy_roots(measured),
        stored::test_crates(measured),
        stored::incremental(measured),
        stored::debuginfo(measured),
        stored::budget(measured),
    ]
    .into_iter()
    .flatten()
    .collect();
    advice.sort_by(|a, b| gain(b).total_cmp(&gain(a)));
    advice.truncate(MOST);
    for one in &mut advice {
        let name = one.name();
        one.said_before = measured.history.iter().rev().take_while(|run| run.advice.contains(&name)).count();
    }
    advice
}

#[allow(clippy::cast_precision_loss, reason = "only ranks")]
fn gain(advice: &Advice) -> f64 {
    advice.seconds + advice.bytes as f64 * SECONDS_PER_BYTE
}

/// The file that ran a build script which names none: one that changed, or one of an earlier job that is not there any more.
pub fn file_behind(cause: &Cause) -> Option<&str> {
    match cause {
        Cause::SourceChanged { path } => Some(path),
        Cause::Forced { reason } => reason.strip_suffix(GONE_UNMISSED).map(|path| path.trim_matches('`')),
        _ => None,
    }
}

/// A file of the unit's package.
fn inside(unit: &InspectedUnit, file: &str) -> String {
    match unit.dir.as_deref() {
        None | Some(".") => file.to_owned(),
        Some(dir) => format!("{dir}/{file}"),
    }
}
