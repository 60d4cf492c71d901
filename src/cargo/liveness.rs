//! Which units are worth keeping: those that this job used, what they were built from, and what was used a few runs ago.
//!
//! Usage is read from access times, which a restore sets to zero: Cargo opens the hash file of every unit in the graph, fresh
//! or not. Where access times tell nothing, every unit is kept whose dependencies are all there. Keeping too much costs bytes;
//! keeping too little costs compile time; neither can make a build stale.

use super::units::DiskUnit;
use crate::moment::Moment;

/// How it can be told what the job used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UseShown {
    /// Access times were reset when the job began.
    AccessTimes,
    /// They tell nothing here.
    Nothing,
}

/// For each unit, how many successful runs ago it was last used, or `None` if it is to be dropped.
///
/// `known` says, per unit, how long it had been idle when the job began; `None` for a unit that did not exist then.
pub fn ages(
    units: &[&DiskUnit],
    edges: &[Vec<Option<usize>>],
    known: &[Option<u32>],
    evidence: UseShown,
    keep_unused: u32,
    job_succeeded: bool,
) -> Vec<Option<u32>> {
    if evidence == UseShown::Nothing {
        return edges.iter().map(|deps| deps.iter().all(Option::is_some).then_some(0)).collect();
    }
    let mut used: Vec<bool> =
        units.iter().zip(known).map(|(unit, known)| known.is_none() || unit.accessed > Moment::EPOCH).collect();
    let mut open: Vec<usize> = (0..units.len()).filter(|&at| used[at]).collect();
    while let Some(at) = open.pop() {
        for &dep in edges[at].iter().flatten() {
            if !used[dep] {
                used[dep] = true;
                open.push(dep);
            }
        }
    }
    used.iter()
        .zip(known)
        .map(|(&used, known)| {
            let before = known.unwrap_or(0);
            let idle = if used { 0 } else { before + u32::from(job_succeeded) };
            (idle <= keep_unused).then_some(idle)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::Layout;
    use crate::unit::UnitPlace;

    fn unit(accessed: i64) -> DiskUnit {
        let place = UnitPlace { layout: Layout::Legacy, profile: "debug".into(), package: "a".into(), id: "0".into() };
        DiskUnit {
            place,
            fingerprints: Vec::new(),
            reference: Moment::from_nanos(1),
            accessed: Moment::from_nanos(accessed),
            started: None,
            seconds: 0.0,
        }
    }

    #[test]
    fn what_a_used_unit_was_built_from_is_used() {
        let units = [unit(5), unit(0), unit(0)];
        let units: Vec<&DiskUnit> = units.iter().collect();
        let edges = vec![vec![Some(1)], vec![], vec![]];
        let known = [Some(0), Some(2), Some(3)];
        assert_eq!(ages(&units, &edges, &known, UseShown::AccessTimes, 3, true), [Some(0), Some(0), None]);
        assert_eq!(ages(&units, &edges, &known, UseShown::AccessTimes, 3, false), [Some(0), Some(0), Some(3)]);
    }

    #[test]
    fn without_access_times_only_broken_units_go() {
        let units = [unit(0), unit(0)];
        let units: Vec<&DiskUnit> = units.iter().collect();
        let edges = vec![vec![None], vec![Some(0)]];
        let kept = ages(&units, &edges, &[Some(9), Some(9)], UseShown::Nothing, 3, true);
        assert_eq!(kept, [None, Some(0)]);
    }
}
