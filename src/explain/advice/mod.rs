//! What would make the next jobs faster, from what this one measured. No advice without a figure of this job and a
//! line to write. Pure.
//!
//! How it can be wrong: a figure of one job need not hold for the next, so only what costs clearly more than reading about it
//! is said, and never more than a handful.

mod rebuilt;
mod stored;

use std::collections::BTreeSet;

use serde::Serialize;

use crate::explain::inspection::Weights;
use crate::explain::inspection::{InspectedUnit, Inspection};
use crate::state::decision::SkipReason;
use crate::state::key::Incremental;
use crate::state::key_change::PartChange;

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
}

/// What a job leaves to judge by.
#[derive(Debug)]
pub struct Measured<'a> {
    pub inspection: &'a Inspection,
    pub weights: &'a Weights,
    pub rolled: &'a [PartChange],
    pub skipped: Option<&'a SkipReason>,
    pub secret_units: &'a [String],
    /// Who decided about incremental compilation, and what.
    pub incremental: &'a Incremental,
    /// Files among the causes that git does not have.
    pub untracked: &'a BTreeSet<String>,
}

/// The most profitable first.
pub fn advise(measured: &Measured<'_>) -> Vec<Advice> {
    let mut advice: Vec<Advice> = [
        rebuilt::drifting_variables(measured),
        rebuilt::untracked_files(measured),
        rebuilt::unwatched_scripts(measured),
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
    advice
}

#[allow(clippy::cast_precision_loss, reason = "only ranks")]
fn gain(advice: &Advice) -> f64 {
    advice.seconds + advice.bytes as f64 * SECONDS_PER_BYTE
}

/// A file of the unit's package.
fn inside(unit: &InspectedUnit, file: &str) -> String {
    match unit.dir.as_deref() {
        None | Some(".") => file.to_owned(),
        Some(dir) => format!("{dir}/{file}"),
    }
}
