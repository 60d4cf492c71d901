//! `max-size`, and disks that are nearly full: where a state is larger than it may be, what is cheapest to compile for its size is
//! not stored.
//!
//! What was left out is left out again for as long as nothing else goes, so that a job with no news saves nothing. How it can be
//! wrong: what a unit takes is guessed from the whole pack, as if all of it were compressed alike; a pack that turns out too large
//! is made anew, and after a few times nothing is stored.

use std::collections::{BTreeSet, HashMap};

use super::collect;
use super::job::Job;
use super::put::Landed;
use super::screen;
use crate::explain::advice::Unstored;
use crate::job::outcome::Saved;
use crate::state::decision::SkipReason;
use crate::state::limit::{Bound, Limit};
use crate::state::manifest::{Content, LeftOut};
use crate::state::worth::{Cost, Sizes, choose, take};
use crate::unit::Unit;

/// How often a pack is made until it fits.
pub(super) const TRIES: u32 = 5;
/// Each time this much less is hoped for.
const MODESTY: f64 = 0.95;

/// Units of the job, by index, that are not stored, and for which budget.
#[derive(Clone, Debug, Default)]
pub(super) struct Without {
    pub(super) units: BTreeSet<usize>,
    limit: Option<Limit>,
    whole: u64,
}

/// What the state that the job began with lacks, where nothing has made room for it: neither a wish, nor the disk, which has `spare`
/// bytes.
pub(super) fn as_before(
    job: &Job<'_>,
    live: &[usize],
    edges: &[Vec<Option<usize>>],
    wish: Option<u64>,
    spare: Option<u64>,
) -> Without {
    let before = job.previous().and_then(|restored| restored.manifest.left_out.as_ref());
    let same = |before: &&LeftOut| match before.limit.of {
        Bound::MaxSize => Some(before.limit.limit) == wish,
        Bound::Disk => spare.is_some_and(|spare| spare <= before.limit.limit),
    };
    let Some(LeftOut { limit, whole, units, records: _ }) = before.filter(same) else {
        return Without::default();
    };
    if job.dropped(live) > 0 {
        return Without::default();
    }
    let known = |at: &usize| units.contains(&job.unit(*at).place.name_in(job.units[*at].0));
    let mut again: BTreeSet<usize> = live.iter().copied().filter(known).collect();
    screen::add_dependents(&mut again, edges);
    let limit = match limit.of {
        Bound::MaxSize => *limit,
        // What it has now.
        Bound::Disk => Limit { limit: spare.unwrap_or(limit.limit), ..*limit },
    };
    Without { units: again, limit: Some(limit), whole: *whole }
}

/// What to try without, after a pack of `live` has turned out too large; none if nothing would be left. What is stored already takes
/// up nothing.
pub(super) fn shrink(landed: &Landed, live: &[usize], without: &Without, tried: u32) -> Option<Without> {
    let Saved::Skipped(SkipReason::OverBudget { bytes, limit }) = landed.saved else { return None };
    let mut rest: Sizes = vec![0];
    let units = landed.manifest.units.iter();
    let mut costs: Vec<Cost<'_>> =
        units.map(|unit| Cost { sizes: vec![0], seconds: unit.seconds, deps: &unit.deps }).collect();
    for file in &landed.manifest.files {
        if matches!(file.content, Content::File { at, .. } if at.pack == 0) {
            let sizes = file.unit.and_then(|unit| costs.get_mut(unit)).map_or(&mut rest, |cost| &mut cost.sizes);
            sizes[0] += file.stored();
        }
    }
    let all = rest[0] + costs.iter().map(|cost| cost.sizes[0]).sum::<u64>();
    let mut room = vec![part(all, limit.limit, bytes, tried)];
    let kept = if take(&mut room, &rest) { choose(&costs, room) } else { BTreeSet::new() };
    if kept.is_empty() {
        return None;
    }
    let goes = live.iter().enumerate().filter(|(at, _)| !kept.contains(at)).map(|(_, &unit)| unit);
    let units: BTreeSet<usize> = goes.chain(without.units.iter().copied()).collect();
    Some(Without { units, limit: Some(limit), whole: without.whole.max(bytes) })
}

/// What there is room for of `all`, which took `bytes`.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a guess, far from the limits"
)]
fn part(all: u64, limit: u64, bytes: u64, tried: u32) -> u64 {
    (all as f64 * limit as f64 / bytes as f64 * MODESTY.powi(tried.cast_signed())) as u64
}

impl Without {
    pub(super) fn from(&self, live: &[usize]) -> Vec<usize> {
        live.iter().copied().filter(|at| !self.units.contains(at)).collect()
    }

    /// For the manifest.
    pub(super) fn record(&self, job: &Job<'_>, ages: &[Option<u32>]) -> Option<LeftOut> {
        let places = self.units.iter().map(|&at| job.unit(at).place.name_in(job.units[at].0));
        let records = self.units.iter().map(|&at| collect::unit_record(job, at, ages, &[], &HashMap::new()));
        let (units, records) = (places.collect(), records.collect());
        let limit = self.limit.filter(|_| !self.units.is_empty())?;
        Some(LeftOut { limit, whole: self.whole, units, records })
    }

    /// For people.
    pub(super) fn told(&self, job: &Job<'_>) -> Option<Unstored> {
        let units = self.units.iter().map(|&at| job.unit(at));
        let seconds = units.clone().map(|unit| unit.seconds).sum();
        let limit = self.limit.filter(|_| !self.units.is_empty())?;
        Some(Unstored { units: units.map(Unit::title).collect(), seconds, limit, whole: self.whole })
    }
}
