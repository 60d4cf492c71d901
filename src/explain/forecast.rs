//! What a job will compile if it builds what the last one built, told before Cargo runs: from what differs, what units were built
//! from, and what they took. Pure.
//!
//! How it can be wrong: another command, other features, and variables that only a later step has, are not known yet; a package of which the
//! lock file held two versions counts as a whole; a unit that nobody built before is in no manifest. Afterwards it is compared
//! with what was compiled.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::bumps::{self, Bump};
use super::cause::value;
use super::schedule::{Work, by_the_clock};
use super::surroundings::SettingChange;
use crate::machine::paths::is_under;
use crate::state::manifest::{EnvRecord, LockedPackage, Manifest, PackageKind, PackageRecord, UnitRecord};
use crate::unit::{TargetName, Unit, title};

/// What is known once the sources have been looked at.
#[derive(Debug)]
pub struct Known<'a> {
    pub manifest: &'a Manifest,
    /// Paths that are new, changed or gone, or whose time could not be given back.
    pub differing: &'a [String],
    /// Units that Cargo is made to rebuild, by place, and why.
    pub forced: &'a BTreeMap<String, String>,
    pub locked: &'a BTreeSet<LockedPackage>,
    pub settings: &'a [SettingChange],
    /// Variables of the step that asks.
    pub environment: &'a BTreeMap<String, EnvRecord>,
    /// Sources keep the time of the checkout, so that all of them count as changed.
    pub as_checked_out: bool,
    /// The workspace: paths below it are shown relative to it.
    pub base: &'a str,
    pub cores: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// Units that the last job used.
    pub known: usize,
    /// Those that will be compiled.
    pub units: Vec<Compiled>,
    /// What they come of, the most expensive first.
    pub reasons: Vec<Reason>,
    /// By the clock, with so many cores.
    pub seconds: f64,
    pub cores: usize,
}

/// A unit that will be compiled, and what that comes of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Compiled {
    #[serde(flatten)]
    pub unit: Expected,
    pub because: String,
}

/// A unit, wherever it will lie.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Expected {
    pub package: String,
    /// `debug`, `release` …
    pub profile: String,
    /// As its fingerprints are called.
    pub targets: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    pub text: String,
    pub units: usize,
    pub seconds: f64,
}

/// The same by package, for whoever chooses what to run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Affected {
    /// Units that the state knows, and those of them that would be compiled.
    pub known: usize,
    pub units: usize,
    pub packages: Vec<AffectedPackage>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AffectedPackage {
    pub name: String,
    pub because: Vec<String>,
    /// Libraries, programs, examples and build scripts, by kind and name.
    pub targets: Vec<String>,
    /// Unit tests, integration tests and benches.
    pub tests: Vec<String>,
}

/// How a forecast turned out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Expected and compiled.
    pub right: usize,
    /// Expected and left alone, or not used at all.
    pub needless: usize,
    /// Compiled, known, and not expected.
    pub missed: usize,
}

impl Expected {
    pub fn new(package: &str, profile: &str, mut targets: Vec<String>) -> Self {
        targets.sort();
        Self { package: package.to_owned(), profile: profile.to_owned(), targets }
    }

    fn recorded(unit: &UnitRecord) -> Self {
        let targets = unit.fingerprints.iter().map(|print| print.name.clone()).collect();
        Self::new(unit.package(), &unit.place.profile, targets)
    }
}

impl Forecast {
    pub fn affected(&self) -> Affected {
        let mut packages: BTreeMap<&str, [BTreeSet<String>; 3]> = BTreeMap::new();
        for Compiled { unit, because } in &self.units {
            let [reasons, targets, tests] = packages.entry(&unit.package).or_default();
            reasons.insert(because.clone());
            for target in unit.targets.iter().map(|target| TargetName::of(target)) {
                let name = title(&unit.package, std::iter::once(target));
                let name = name.strip_prefix(&format!("{} (", unit.package)).and_then(|name| name.strip_suffix(')'));
                let name = name.unwrap_or_default().to_owned();
                if ["test", "bench"].contains(&target.kind()) {
                    tests.insert(name)
                } else {
                    targets.insert(name)
                };
            }
        }
        let package = |(name, [because, targets, tests]): (&str, [BTreeSet<String>; 3])| AffectedPackage {
            name: name.to_owned(),
            because: because.into_iter().collect(),
            targets: targets.into_iter().collect(),
            tests: tests.into_iter().collect(),
        };
        Affected { known: self.known, units: self.units.len(), packages: packages.into_iter().map(package).collect() }
    }

    /// Compares it with what was compiled, as far as the manifest knew of it.
    pub fn compare(&self, manifest: &Manifest, compiled: &BTreeSet<Expected>) -> Outcome {
        let known: BTreeSet<Expected> = manifest.units.iter().map(Expected::recorded).collect();
        let expected: BTreeSet<&Expected> = self.units.iter().map(|compiled| &compiled.unit).collect();
        Outcome {
            right: expected.iter().filter(|unit| compiled.contains(**unit)).count(),
            needless: expected.iter().filter(|unit| !compiled.contains(**unit)).count(),
            missed: compiled.iter().filter(|unit| known.contains(*unit) && !expected.contains(*unit)).count(),
        }
    }
}

/// What will be compiled.
pub fn forecast(known: &Known<'_>) -> Forecast {
    let units = &known.manifest.units;
    let used: Vec<bool> = units.iter().map(|unit| unit.idle == 0).collect();
    let mut reason: Vec<Option<Root>> = vec![None; units.len()];
    let judge = Judge::new(known);
    for (at, unit) in units.iter().enumerate() {
        reason[at] = judge.root(unit);
    }
    follow(units, &mut reason);
    let compiled: Vec<usize> = (0..units.len()).filter(|&at| used[at] && reason[at].is_some()).collect();
    let found = compiled.iter().filter_map(|&at| Some((reason[at].as_ref()?, units[at].seconds)));
    Forecast {
        known: used.iter().filter(|used| **used).count(),
        units: compiled
            .iter()
            .map(|&at| Compiled {
                unit: Expected::recorded(&units[at]),
                because: reason[at].as_ref().map(ToString::to_string).unwrap_or_default(),
            })
            .collect(),
        reasons: reasons(found),
        seconds: duration(units, &compiled, known.cores),
        cores: known.cores,
    }
}

/// Which units are compiled by themselves, and why.
struct Judge<'a> {
    known: &'a Known<'a>,
    differing: BTreeSet<&'a str>,
    /// Packages of which the newest file is another one, by folder, and that file.
    touched: BTreeMap<&'a str, &'a str>,
    /// Variables that are others than when the last job began, and how; not those of single steps.
    drifted: BTreeMap<&'a str, String>,
    bumped: BTreeMap<String, Bump>,
}

/// What a unit is compiled for, itself or by what it was built from.
#[derive(Clone, Debug, PartialEq)]
enum Root {
    Bump(Bump),
    Other(String),
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bump(bump) => f.write_str(&bumps::in_words(std::iter::once(bump))),
            Self::Other(reason) => f.write_str(reason),
        }
    }
}

/// The most expensive first; whatever the lock file moves is one.
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
    if !moved.is_empty() {
        reasons.push(Reason {
            text: bumps::in_words(moved.iter().map(|(bump, _)| *bump)),
            units: moved.iter().map(|(_, (units, _))| units).sum(),
            seconds: moved.iter().map(|(_, (_, seconds))| seconds).sum(),
        });
    }
    reasons.sort_by(|a, b| b.seconds.total_cmp(&a.seconds).then_with(|| b.units.cmp(&a.units)));
    reasons
}

impl<'a> Judge<'a> {
    fn new(known: &'a Known<'a>) -> Self {
        let owner = |path: &str| {
            let packages = known.manifest.packages.iter().filter(|package| package.kind == PackageKind::Path);
            packages.filter(|package| is_under(path, &package.dir)).max_by_key(|package| package.dir.len())
        };
        let mut touched = BTreeMap::new();
        for path in known.differing {
            if let Some(package) = owner(path) {
                touched.entry(package.dir.as_str()).or_insert(path.as_str());
            }
        }
        Self {
            known,
            differing: known.differing.iter().map(String::as_str).collect(),
            touched,
            drifted: drifted(known),
            bumped: bumps::bumps(&known.manifest.locked, known.locked),
        }
    }

    fn root(&self, unit: &UnitRecord) -> Option<Root> {
        // People know the bump, and the rule only what it comes of.
        if let Some(bump) = self.bumped.get(unit.package()) {
            return Some(Root::Bump(bump.clone()));
        }
        self.other(unit).map(Root::Other)
    }

    fn other(&self, unit: &UnitRecord) -> Option<String> {
        if let Some(reason) = self.known.forced.get(&unit.place.name_in(unit.root)) {
            return Some(reason.clone());
        }
        let package = self.known.manifest.packages.iter().find(|package| unit.is_of(package));
        if let Some(change) = self.setting(unit, package) {
            return Some(change.to_string());
        }
        if let Some(text) = unit.env.iter().find_map(|name| self.drifted.get(name.as_str())) {
            return Some(text.clone());
        }
        let named = unit.inputs.iter().map(|&at| self.known.manifest.inputs[at].path.as_str());
        if self.known.as_checked_out && named.clone().next().is_some() && package.is_some() {
            return Some("sources have the time of the checkout (`mtime: off`)".to_owned());
        }
        // The most telling of them: files before the folders that hold them.
        let mut changed: Vec<&str> = named.filter(|path| self.differing.contains(path)).collect();
        changed.sort_by_key(|path| std::cmp::Reverse(path.len()));
        let newest = || {
            let package = package.filter(|_| unit.is_precalculated())?;
            self.touched.get(package.dir.as_str()).copied()
        };
        let path = changed.first().copied().or_else(newest)?;
        Some(format!("`{}` changed", self.shown(path)))
    }

    fn setting(&self, unit: &UnitRecord, package: Option<&PackageRecord>) -> Option<&SettingChange> {
        if unit.is_run() {
            return None;
        }
        let dir = package.filter(|package| package.kind == PackageKind::Path).map(|package| self.shown(&package.dir));
        let dir = dir.map(|dir| if dir == self.known.base { ".".to_owned() } else { dir });
        self.known.settings.iter().find(|change| {
            change.sets_profile(unit.package(), &unit.place.profile)
                || change.defines(dir.as_deref()) && unit.targets().any(|target| change.is_about(target.table()))
                || change.composes(dir.as_deref())
                || change.sets_lints(dir.as_deref())
        })
    }

    fn shown(&self, path: &str) -> String {
        let below = path.strip_prefix(self.known.base).and_then(|rest| rest.strip_prefix(['/', '\\']));
        below.filter(|_| !self.known.base.is_empty()).unwrap_or(path).to_owned()
    }
}

fn drifted<'a>(known: &Known<'a>) -> BTreeMap<&'a str, String> {
    let differing = known.manifest.env.iter().filter_map(|(name, then)| {
        let now = known.environment.get(name).unwrap_or(&EnvRecord::Unset);
        // Whether a secret is another one is not written down anywhere.
        let is_known = ![then, now].contains(&&EnvRecord::Set);
        (is_known && then != now)
            .then(|| (name.as_str(), format!("the variable `{name}` changed: {} → {}", value(then), value(now))))
    });
    differing.collect()
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
