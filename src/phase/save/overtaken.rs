//! Inputs that a step of the job replaced, or brought, with other content and an old time: Cargo looks at times, and is content.
//!
//! Only for files that changed since the restore ended, so that it costs a look at each path that units name. How it can be
//! wrong: where the platform keeps no status-change time, every one of them is read.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::job::Job;
use crate::machine::disk::{Kind, Meta};
use crate::machine::paths;
use crate::stamp::sources::hash_file;
use crate::state::manifest::{Input, InputKind};
use crate::unit::Unit;

/// Units that were left alone, and the first input that is not what they were built from, though too old for Cargo to see.
pub(super) fn find(job: &Job<'_>, live: &[usize]) -> Vec<(String, String)> {
    let Some(restored) = job.previous() else { return Vec::new() };
    let inputs = &restored.manifest.inputs;
    let kept: Vec<_> = live.iter().filter_map(|&at| Some((job.unit(at), job.unchanged(at)?))).collect();
    let mut named: Vec<usize> = kept.iter().flat_map(|(_, record)| record.inputs.iter().copied()).collect();
    named.sort_unstable();
    named.dedup();
    let replaced: BTreeMap<usize, Meta> =
        named.into_par_iter().filter_map(|at| Some((at, replaced(job, &inputs[at])?))).collect();
    let units = kept.into_iter().filter_map(|(unit, record)| {
        let is_old = |at: &&usize| replaced.get(at).is_some_and(|meta| meta.mtime <= unit.reference);
        let at = *record.inputs.iter().find(is_old)?;
        // One that is known to be doubted is built next time as it is.
        record.unseen.is_empty().then(|| (unit.title(), inputs[at].path.clone()))
    });
    units.collect()
}

/// The file that lies there, if it is another one than was recorded.
fn replaced(job: &Job<'_>, then: &Input) -> Option<Meta> {
    let algorithm = then.id.algorithm().filter(|_| then.kind == InputKind::File)?;
    let path = paths::path(&then.path);
    let meta = Meta::of(&path).ok().filter(|meta| meta.kind == Kind::File)?;
    let stamped = job.state.stamped.get(&then.path);
    let is_untouched = stamped.is_some_and(|stamped| match (stamped.changed, meta.ctime) {
        (Some(before), Some(now)) => before == now,
        _ => false,
    });
    // What was another one when the restore ended got a new time there.
    let was_known = stamped.is_none_or(|stamped| stamped.id == then.id);
    let is_other = || hash_file(&path, &meta, algorithm).is_some_and(|id| id != then.id);
    (!is_untouched && was_known && is_other()).then_some(meta)
}
