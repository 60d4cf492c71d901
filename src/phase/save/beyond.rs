//! What was read beyond the source roots while units were compiled: in this job, or as an earlier one recorded it.
//!
//! A record says what was read and not what is there now, so it stays as it is while the units that it is about do.

use std::collections::{BTreeMap, BTreeSet};

use super::job::Job;
use super::unseen::MENTIONED;
use crate::stamp::beyond::Read;
use crate::state::manifest::{BeyondInput, Manifest, ReadBeyond, UnitRecord};

/// Adds it for the sets of `Manifest::unread` that units name. `own` is the set of this job.
pub(super) fn add(job: &Job<'_>, live: &[usize], own: usize, manifest: &mut Manifest) {
    let set = |unit: &UnitRecord| unit.macros.as_ref()?.unread;
    let used: BTreeSet<usize> = manifest.units.iter().filter_map(set).collect();
    let restored = job.previous().map(|restored| &restored.manifest.beyond);
    let watch = job.state.watch.as_ref().filter(|_| used.contains(&own));
    let read = watch.zip(job.unread.as_ref()).map(|(watch, unread)| watch.read_beyond(&unread.touched_beyond));
    let Read { inputs: read, changed } = read.unwrap_or_default();

    let mut place: BTreeMap<&BeyondInput, usize> = BTreeMap::new();
    let mut sets = Vec::new();
    for at in 0..manifest.unread.len() {
        let then = restored.into_iter().flat_map(|restored| restored.of_set(at).map(|at| &restored.inputs[at]));
        let inputs: Vec<&BeyondInput> = if at == own { read.iter().collect() } else { then.collect() };
        let inputs = inputs.into_iter().filter(|_| used.contains(&at));
        let indices = inputs.map(|input| {
            let next = place.len();
            *place.entry(input).or_insert(next)
        });
        sets.push(indices.collect());
    }
    let mut inputs: Vec<(&BeyondInput, usize)> = place.into_iter().collect();
    inputs.sort_by_key(|(_, at)| *at);
    manifest.beyond = ReadBeyond { inputs: inputs.into_iter().map(|(input, _)| input.clone()).collect(), sets };

    for (unit, at) in manifest.units.iter_mut().zip(live).filter(|(unit, _)| set(unit) == Some(own)) {
        let began = job.unit(*at).started.unwrap_or(unit.reference);
        let late = changed.iter().filter(|(_, changed)| **changed > began).map(|(path, _)| path.clone());
        unit.unseen.extend(late.take(MENTIONED));
    }
}
