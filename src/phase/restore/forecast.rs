//! Tells what the job will compile, once it is known what differs.

use super::Arrival;
use crate::explain::forecast::{self, Forecast, Known};
use crate::job::facts::Facts;
use crate::job::foreseeable::{absent, gone};
use crate::job::inputs::{Inputs, Stamp};
use crate::job::outcome::{Stamping, Start};
use crate::machine::host;
use crate::state::secrets::Secrets;

/// Nothing where nothing was restored, or where another job stored it: what that one used says nothing of what this one uses.
pub(super) fn of(facts: &Facts, inputs: &Inputs, arrival: &Arrival, stamping: &Stamping) -> Option<Forecast> {
    if let Start::Restored { sibling: Some(_), .. } = arrival.start {
        return None;
    }
    let manifest = &arrival.restored.as_ref()?.manifest;
    let differing: Vec<String> = stamping.differing.iter().chain(&stamping.not_ours).cloned().collect();
    Some(forecast::forecast(&Known {
        manifest,
        differing: &differing,
        gone: &gone(&differing),
        absent: &absent(manifest),
        forced: &arrival.forced,
        locked: &facts.locked_packages(),
        moved: &facts.moved_packages(manifest),
        settings: &facts.settings(),
        project: &facts.project(),
        host: facts.host(),
        as_checked_out: inputs.mtime == Stamp::AsCheckedOut,
        environment: &Secrets::of_environment().records(),
        cores: host::cores(),
    }))
}
