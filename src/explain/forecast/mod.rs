//! What a job will compile if it builds what the last one built, told before Cargo runs: from what differs, what units were built
//! from, and what they took. Pure.
//!
//! How it can be wrong: another command, other features, and variables that only a later step has, are not known yet; a unit that
//! nobody built before is in no manifest. Where something cannot be known, less is said. Afterwards it is compared with what was
//! compiled.

mod affected;
mod composition;
mod judge;
mod told;
mod turned_out;

use std::collections::BTreeMap;

use self::judge::{Judge, Verdict};
use self::told::Root;
use super::bumps::{self, Bump};
use super::inspection::Inspection;
use super::project::Project;
use super::schedule::{Work, by_the_clock};
use crate::state::manifest::{Manifest, UnitRecord};
use crate::unit::Unit;

pub use self::told::{Compiled, Forecast, Known, Reason};
pub use affected::{Affected, AffectedPackage};
pub use turned_out::{Expected, Outcome};

impl Forecast {
    /// Whether the unit of that place will be compiled.
    pub fn holds(&self, place: &str) -> bool {
        self.units.iter().any(|compiled| compiled.unit.place == place)
    }

    /// Compares it with what the job used; `known` is what it began with.
    pub fn compare(&self, manifest: &Manifest, project: &Project, inspection: &Inspection) -> Outcome {
        let dir = |unit: &UnitRecord| project.package(&unit.lies, unit.package()).map(|own| own.dir.as_str());
        let known = used(manifest).chain(left_out(manifest)).map(|unit| Expected::recorded(unit, dir(unit)));
        let known: Vec<Expected> = known.collect();
        let told: Vec<&Expected> = self.units.iter().map(|compiled| &compiled.unit).collect();
        let units = inspection.units.iter().map(|unit| (Expected::inspected(unit, project), unit.cause.is_some()));
        turned_out::compare(&told, &known, &units.collect::<Vec<_>>())
    }
}

/// What the last job used.
fn used(manifest: &Manifest) -> impl Iterator<Item = &UnitRecord> {
    manifest.units.iter().filter(|unit| unit.idle == 0)
}

/// What the last job used, too, and for which a budget had no room: it is compiled in any case.
fn left_out(manifest: &Manifest) -> impl Iterator<Item = &UnitRecord> {
    manifest.left_out.iter().flat_map(|left_out| &left_out.records).filter(|unit| unit.idle == 0)
}

/// What will be compiled.
pub fn forecast(known: &Known<'_>) -> Forecast {
    let units = &known.manifest.units;
    let judge = Judge::new(known);
    let verdicts: Vec<Verdict> = (0..units.len()).map(|at| judge.verdict(at)).collect();
    let mut reason: Vec<Option<Root>> = verdicts
        .iter()
        .map(|verdict| match verdict {
            Verdict::Compiled(root) | Verdict::Gone(root) => Some(root.clone()),
            Verdict::Stays => None,
        })
        .collect();
    for (at, of, text) in judge.otherwise() {
        if reason[at].is_none() && of.iter().all(|&dep| !matches!(verdicts[dep], Verdict::Compiled(_))) {
            reason[at] = Some(Root::Other(text.to_owned()));
        }
    }
    follow(units, &mut reason);
    let is_compiled =
        |at: &usize| units[*at].idle == 0 && reason[*at].is_some() && !matches!(verdicts[*at], Verdict::Gone(_));
    let compiled: Vec<usize> = (0..units.len()).filter(is_compiled).collect();
    let limit = known.manifest.left_out.as_ref().map(|left_out| left_out.limit);
    let no_room = Root::Other(limit.map(|limit| format!("{limit} had no room for it")).unwrap_or_default());
    let in_any_case: Vec<&UnitRecord> = left_out(known.manifest).collect();
    let found = compiled.iter().filter_map(|&at| Some((reason[at].as_ref()?, units[at].seconds)));
    let found = found.chain(in_any_case.iter().map(|unit| (&no_room, unit.seconds)));
    let told = |unit: &UnitRecord, because: String| Compiled {
        unit: Expected::recorded(unit, judge.own(unit).map(|own| own.dir.as_str())),
        because,
    };
    let for_a_reason =
        |at: &usize| told(&units[*at], reason[*at].as_ref().map(ToString::to_string).unwrap_or_default());
    let alone = in_any_case.iter().map(|unit| Work { seconds: unit.seconds, needs: Vec::new() });
    let alone = by_the_clock(&alone.collect::<Vec<_>>(), known.cores);
    Forecast {
        known: used(known.manifest).count() + in_any_case.len(),
        units: compiled
            .iter()
            .map(for_a_reason)
            .chain(in_any_case.iter().map(|unit| told(unit, no_room.to_string())))
            .collect(),
        reasons: reasons(found),
        seconds: duration(units, &compiled, known.cores) + alone,
        cores: known.cores,
    }
}

/// The most expensive first; whatever the lock file moves is one, and so are new versions of own packages.
fn reasons<'a>(found: impl Iterator<Item = (&'a Root, f64)>) -> Vec<Reason> {
    let mut others: BTreeMap<&str, (usize, f64)> = BTreeMap::new();
    let mut moved: BTreeMap<&Bump, (usize, f64)> = BTreeMap::new();
    for (root, seconds) in found {
        let entry = match root {
            Root::Bump(bump) => moved.entry(bump).or_default(),
            Root::Other(reason) => others.entry(reason).or_default(),
        };
        *entry = (entry.0 + 1, entry.1 + seconds);
    }
    let mut moved: Vec<(&Bump, (usize, f64))> = moved.into_iter().collect();
    moved.sort_by(|(_, (_, a)), (_, (_, b))| b.total_cmp(a));
    let mut reasons: Vec<Reason> =
        others.into_iter().map(|(text, (units, seconds))| Reason { text: text.to_owned(), units, seconds }).collect();
    let (own, locked): (Vec<_>, Vec<_>) = moved.into_iter().partition(|(bump, _)| bump.is_own);
    for moved in [own, locked].into_iter().filter(|moved| !moved.is_empty()) {
        reasons.push(Reason {
            text: bumps::in_words(moved.iter().map(|(bump, _)| *bump)),
            units: moved.iter().map(|(_, (units, _))| units).sum(),
            seconds: moved.iter().map(|(_, (_, seconds))| seconds).sum(),
        });
    }
    reasons.sort_by(|a, b| b.seconds.total_cmp(&a.seconds).then_with(|| b.units.cmp(&a.units)));
    reasons
}

/// Whoever was built from one of them is compiled, too, and for the same reason.
fn follow(units: &[UnitRecord], reason: &mut [Option<Root>]) {
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); units.len()];
    for (at, unit) in units.iter().enumerate() {
        unit.deps.iter().for_each(|&dep| users[dep].push(at));
    }
    let mut open: Vec<usize> = (0..units.len()).filter(|&at| reason[at].is_some()).collect();
    while let Some(at) = open.pop() {
        for &user in &users[at] {
            if reason[user].is_none() {
                let same = reason[at].clone();
                reason[user] = same;
                open.push(user);
            }
        }
    }
}

/// How long these take, of which some wait for others.
fn duration(units: &[UnitRecord], compiled: &[usize], cores: usize) -> f64 {
    let place: BTreeMap<usize, usize> = compiled.iter().enumerate().map(|(new, &old)| (old, new)).collect();
    let work = compiled.iter().map(|&at| {
        let needs = units[at].deps.iter().filter(|dep| **dep != at).filter_map(|dep| place.get(dep).copied());
        Work { seconds: units[at].seconds, needs: needs.collect() }
    });
    by_the_clock(&work.collect::<Vec<_>>(), cores)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moment::Moment;
    use crate::state::manifest::Lies;
    use crate::unit::{Layout, UnitPlace};

    /// One that takes so long and was built from these.
    fn unit(seconds: f64, deps: &[usize]) -> UnitRecord {
        UnitRecord {
            root: 0,
            place: UnitPlace { layout: Layout::Legacy, profile: "debug".into(), package: "a".into(), id: "1".into() },
            lies: Lies::Unknown,
            version: None,
            mode: None,
            features: None,
            absent: Vec::new(),
            turns: None,
            fingerprints: Vec::new(),
            reference: Moment::EPOCH,
            inputs: Vec::new(),
            unseen: Vec::new(),
            deps: deps.to_vec(),
            seconds,
            env: Vec::new(),
            idle: 0,
            run: None,
            linted: false,
            macros: None,
        }
    }

    #[test]
    fn what_is_not_compiled_is_not_waited_for() {
        let units = [unit(1.0, &[]), unit(2.0, &[0]), unit(5.0, &[]), unit(1.5, &[1, 2])];
        let near = |compiled: &[usize], seconds: f64| (duration(&units, compiled, 2) - seconds).abs() < 1e-3;
        assert!(near(&[0, 1, 2, 3], 6.5) && near(&[1, 3], 3.5) && near(&[], 0.0));
    }

    #[test]
    fn whoever_was_built_from_one_of_them_is_compiled_for_the_same_reason() {
        let units = [unit(1.0, &[]), unit(1.0, &[0]), unit(1.0, &[1]), unit(1.0, &[])];
        let x = Some(Root::Other("x".to_owned()));
        let mut reason = vec![x.clone(), None, None, None];
        follow(&units, &mut reason);
        assert_eq!(reason, [x.clone(), x.clone(), x, None]);
    }
}
