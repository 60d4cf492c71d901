//! How a forecast turned out: which units came as they were foreseen. Pure.
//!
//! A unit is known by its place. One that has other features, flags or another version lies in a new place and took over from one
//! that is like it in everything else and that nobody used any more. How it can be wrong: of several that are alike but for
//! that, nobody knows which took over from which, so only their number counts.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::explain::inspection::InspectedUnit;
use crate::explain::project::Project;
use crate::state::manifest::UnitRecord;
use crate::unit::Mode;

/// A unit, wherever it will lie: what stays when its features, flags or version change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Expected {
    pub package: String,
    /// `debug`, `release` …
    pub profile: String,
    /// As its fingerprints are called.
    pub targets: Vec<String>,
    /// Where it lay.
    pub place: String,
    /// The root that it lies in.
    #[serde(default)]
    root: usize,
    /// The folder of its package, if that is one of the project's own.
    #[serde(default)]
    dir: Option<String>,
    #[serde(default)]
    mode: Option<Mode>,
}

impl Expected {
    /// `dir` is where its package lies now, if that is one of the project's own.
    pub fn recorded(unit: &UnitRecord, dir: Option<&str>) -> Self {
        let mut targets: Vec<String> = unit.fingerprints.iter().map(|print| print.name.clone()).collect();
        targets.sort();
        Self {
            package: unit.place.package.clone(),
            profile: unit.place.profile.clone(),
            targets,
            place: unit.place.name_in(unit.root),
            root: unit.root,
            dir: dir.map(str::to_owned),
            mode: unit.mode,
        }
    }

    pub fn inspected(unit: &InspectedUnit, project: &Project) -> Self {
        let mut targets = unit.targets.clone();
        targets.sort();
        Self {
            package: unit.package.clone(),
            profile: unit.profile.clone(),
            targets,
            place: unit.place.clone(),
            root: unit.place.split_once(':').and_then(|(root, _)| root.parse().ok()).unwrap_or_default(),
            dir: project.package(&unit.lies, &unit.package).map(|package| package.dir.clone()),
            mode: Some(unit.mode),
        }
    }

    /// Everything but the place. What no compiler was asked for has no mode: a script's run, and what an older Rekindle recorded.
    fn is_like(&self, other: &Self) -> bool {
        let is_run = self.targets.iter().any(|target| target.starts_with("run-"));
        let modes = is_run || self.mode.is_none() || other.mode.is_none() || self.mode == other.mode;
        (self.root, &self.package, &self.profile, &self.targets, &self.dir)
            == (other.root, &other.package, &other.profile, &other.targets, &other.dir)
            && modes
    }
}

/// How a forecast turned out. What was expected came right or was needless; what was compiled was right, was missed or was new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Expected and compiled.
    pub right: usize,
    /// Expected and left alone, or not used at all.
    pub needless: usize,
    /// Compiled, used by the last job, and not expected.
    pub missed: usize,
    /// Compiled, and not used by the last job.
    pub new: usize,
}

/// Compares what was told with what was compiled. `known` is what the last job used, `used` what this one did, with whether
/// it was compiled.
pub(super) fn compare(told: &[&Expected], known: &[Expected], used: &[(Expected, bool)]) -> Outcome {
    let told_places: BTreeSet<&str> = told.iter().map(|unit| unit.place.as_str()).collect();
    let used_places: BTreeSet<&str> = used.iter().map(|(unit, _)| unit.place.as_str()).collect();
    let known: BTreeMap<&str, &Expected> =
        known.iter().chain(told.iter().copied()).map(|unit| (unit.place.as_str(), unit)).collect();
    let mut open: Vec<&Expected> =
        known.values().filter(|unit| !used_places.contains(unit.place.as_str())).copied().collect();
    let mut outcome = Outcome::default();
    for (unit, _) in used.iter().filter(|(_, compiled)| *compiled) {
        let old = if known.contains_key(unit.place.as_str()) {
            Some(unit.place.as_str())
        } else {
            let is_told = |old: &Expected| told_places.contains(old.place.as_str());
            let like = |wanted: bool| open.iter().position(|old| is_told(old) == wanted && old.is_like(unit));
            like(true).or_else(|| like(false)).map(|at| open.remove(at).place.as_str())
        };
        match old {
            Some(old) if told_places.contains(old) => outcome.right += 1,
            Some(_) => outcome.missed += 1,
            None => outcome.new += 1,
        }
    }
    outcome.needless = told_places.len() - outcome.right;
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(place: &str, mode: Mode) -> Expected {
        Expected {
            package: "a".into(),
            profile: "debug".into(),
            targets: vec!["lib-a".into()],
            place: place.into(),
            root: 0,
            dir: None,
            mode: Some(mode),
        }
    }

    #[test]
    fn a_unit_is_its_place_or_takes_over_from_one_that_is_like_it() {
        let [one, two, checked] =
            [("1", Mode::Built), ("2", Mode::Built), ("3", Mode::Checked)].map(|(p, m)| unit(p, m));
        let known = [one.clone(), two.clone(), checked.clone()];
        let figures = |told: &[&Expected], used: &[(Expected, bool)]| {
            let Outcome { right, needless, missed, new } = compare(told, &known, used);
            [right, needless, missed, new]
        };
        // The other variant of it is another unit.
        assert_eq!(figures(&[&one], &[(two.clone(), true)]), [0, 1, 1, 0]);
        assert_eq!(figures(&[&one], &[(one.clone(), true), (two.clone(), false)]), [1, 0, 0, 0]);
        // A new one took over from the one that is not used any more, and from no other mode.
        let moved = unit("9", Mode::Built);
        assert_eq!(figures(&[&one], &[(moved.clone(), true), (two.clone(), false)]), [1, 0, 0, 0]);
        assert_eq!(
            figures(&[&one], &[(moved.clone(), true), (one.clone(), false), (two.clone(), false)]),
            [0, 1, 0, 1]
        );
        assert_eq!(figures(&[&checked], &[(moved, true), (one, false), (two, false)]), [0, 1, 0, 1]);
    }
}
