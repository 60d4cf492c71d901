//! What was found out about the units of a job: which were fresh, which were compiled, and what for. Pure.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::bumps::{self, Bump};
use super::schedule::{Work, by_the_clock};
use crate::explain::cause::Cause;
use crate::moment::Moment;
use crate::state::manifest::Lies;
use crate::unit::Mode;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Inspection {
    pub units: Vec<InspectedUnit>,
    /// Fields in Cargo's fingerprints about which nothing is known.
    #[serde(default)]
    pub unknown_fields: usize,
    /// Of the machine that built it.
    #[serde(default)]
    pub cores: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InspectedUnit {
    pub unit: String,
    pub package: String,
    /// The names of its fingerprints, as in `test-integration-test-it`.
    pub targets: Vec<String>,
    pub profile: String,
    /// `bin`, `lib`, `test`, `build-script`, `run` …
    pub kind: String,
    /// The folder of a package that belongs to the project, relative to the workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<String>,
    pub features: Vec<String>,
    pub rustflags: Vec<String>,
    /// Units of one target with equal numbers differ in nothing but features, flags and dependencies.
    #[serde(skip)]
    pub setting: u64,
    /// A build script that asks for nothing to be watched, and so runs when any file of its package changes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub watches_all: bool,
    pub bytes: u64,
    /// Nanoseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Moment>,
    /// Recorded when it was last compiled.
    pub seconds: f64,
    /// Nothing for a unit that was fresh.
    pub cause: Option<Cause>,
    /// Files that it had read and that are newer than it, or gone; where one of them is the cause.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// For a cascade: where it came from, in the end.
    pub root: Option<usize>,
    #[serde(skip)]
    pub place: String,
    #[serde(skip)]
    pub lies: Lies,
    #[serde(skip)]
    pub mode: Mode,
    /// Units that it was built from.
    #[serde(skip)]
    pub needs: Vec<usize>,
}

/// What takes the space in the target folder, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Weights {
    /// Of units, by what they build.
    pub by_kind: BTreeMap<String, u64>,
    pub incremental: u64,
    /// Of executables and shared libraries, and how much of that is debug information.
    pub executables: u64,
    pub debuginfo: u64,
}

/// A root and what followed from it; whatever a lock file moved is one.
#[derive(Clone, Debug, PartialEq)]
pub struct Rebuild<'a> {
    /// Of several packages that the lock file moved, the most expensive one.
    pub cause: &'a Cause,
    pub text: String,
    pub units: Vec<&'a InspectedUnit>,
    pub cascades: usize,
    pub seconds: f64,
}

impl Inspection {
    pub fn compiled(&self) -> impl Iterator<Item = &InspectedUnit> {
        self.units.iter().filter(|unit| unit.cause.is_some())
    }

    pub fn fresh(&self) -> impl Iterator<Item = &InspectedUnit> {
        self.units.iter().filter(|unit| unit.cause.is_none())
    }

    /// Keeps what was compiled and nothing else.
    pub fn forget_fresh(&mut self) {
        let kept: Vec<usize> = (0..self.units.len()).filter(|&at| self.units[at].cause.is_some()).collect();
        let place: HashMap<usize, usize> = kept.iter().enumerate().map(|(new, &old)| (old, new)).collect();
        self.units = kept
            .iter()
            .map(|&at| {
                let unit = self.units[at].clone();
                let needs = unit.needs.iter().filter_map(|needed| place.get(needed).copied()).collect();
                InspectedUnit { root: unit.root.and_then(|root| place.get(&root).copied()), needs, ..unit }
            })
            .collect();
    }

    /// Recorded compile seconds of what did not have to be compiled. (A sum of nothing is -0.0, and nothing plus that is 0.0.)
    pub fn seconds_saved(&self) -> f64 {
        self.fresh().map(|unit| unit.seconds).sum::<f64>() + 0.0
    }

    pub fn seconds_spent(&self) -> f64 {
        self.compiled().map(|unit| unit.seconds).sum::<f64>() + 0.0
    }

    /// How long somebody waited for what was compiled, about.
    pub fn waited(&self) -> f64 {
        self.by_the_clock(|unit| unit.cause.is_some())
    }

    /// How much longer it would have been without what was fresh, about.
    pub fn waiting_saved(&self) -> f64 {
        (self.by_the_clock(|_| true) - self.waited()).max(0.0)
    }

    fn by_the_clock(&self, counts: impl Fn(&InspectedUnit) -> bool) -> f64 {
        let kept: Vec<usize> = (0..self.units.len()).filter(|&at| counts(&self.units[at])).collect();
        let place: HashMap<usize, usize> = kept.iter().enumerate().map(|(new, &old)| (old, new)).collect();
        let work = kept.iter().map(|&at| {
            let needs = self.units[at].needs.iter().filter_map(|needed| place.get(needed).copied());
            Work { seconds: self.units[at].seconds, needs: needs.collect() }
        });
        by_the_clock(&work.collect::<Vec<_>>(), self.cores)
    }

    /// Roots with equal causes together, the most expensive first.
    pub fn rebuilds(&self) -> Vec<Rebuild<'_>> {
        let mut by_cause: BTreeMap<&Cause, Rebuild<'_>> = BTreeMap::new();
        for unit in &self.units {
            let root = unit.root.and_then(|root| self.units.get(root)).unwrap_or(unit);
            let Some(cause) = &root.cause else { continue };
            let rebuild = by_cause.entry(cause).or_insert_with(|| Rebuild {
                cause,
                text: cause.to_string(),
                units: Vec::new(),
                cascades: 0,
                seconds: 0.0,
            });
            rebuild.seconds += unit.seconds;
            if unit.root.is_some() {
                rebuild.cascades += 1;
            } else {
                rebuild.units.push(unit);
            }
        }
        let by_weight =
            |a: &Rebuild<'_>, b: &Rebuild<'_>| b.seconds.total_cmp(&a.seconds).then_with(|| a.cause.cmp(b.cause));
        let (mut moved, mut rebuilds): (Vec<_>, Vec<_>) =
            by_cause.into_values().partition(|rebuild| rebuild.cause.bump().is_some());
        moved.sort_by(by_weight);
        let (own, locked) =
            moved.into_iter().partition(|rebuild| matches!(rebuild.cause, Cause::VersionChanged { .. }));
        rebuilds.extend([own, locked].into_iter().filter_map(together));
        rebuilds.sort_by(by_weight);
        rebuilds
    }
}

/// Everything that a lock file moved, or that has another version of its own.
fn together(moved: Vec<Rebuild<'_>>) -> Option<Rebuild<'_>> {
    let bumps: Vec<Bump> = moved.iter().filter_map(|rebuild| rebuild.cause.bump()).collect();
    let mut moved = moved.into_iter();
    let mut all = moved.next()?;
    all.text = bumps::in_words(bumps.iter());
    for rebuild in moved {
        all.units.extend(rebuild.units);
        all.cascades += rebuild.cascades;
        all.seconds += rebuild.seconds;
    }
    Some(all)
}
