//! Both sides of a job beside each other, and how one unit follows from another: by settings, by dependencies, by the lock file.
//! Pure.
//!
//! Goes through Cargo's own comparisons in Cargo's own order, because only the first difference is the reason that Cargo had.

use std::collections::{BTreeMap, HashMap};

use super::bumps::{Bump, bumps};
use super::compare::{Dependency, dependencies, difference, rustflags_changed};
use super::surroundings::{SettingChange, Surroundings};

use crate::cargo::fingerprint::{DepField, Fields};
use crate::explain::cause::Cause;
use crate::explain::snapshot::{Snapshot, UnitSnapshot};
use crate::unit::Unit;

#[derive(Clone, Debug)]
pub(super) struct Explained {
    pub(super) cause: Cause,
    /// The unit in the snapshot after the job that this one followed.
    pub(super) follows: Option<usize>,
}

impl From<Cause> for Explained {
    fn from(cause: Cause) -> Self {
        Self { cause, follows: None }
    }
}

/// A unit, and the one before that it is compared with.
#[derive(Clone, Copy)]
pub(super) struct Pair<'a> {
    pub(super) unit: &'a UnitSnapshot,
    pub(super) old: &'a UnitSnapshot,
}

pub(super) struct View<'a> {
    pub(super) before: &'a Snapshot,
    pub(super) after: &'a Snapshot,
    pub(super) known: &'a Surroundings,
    /// Units before, by place.
    pub(super) old: HashMap<&'a str, &'a UnitSnapshot>,
    /// Units after, by each of their hashes.
    pub(super) by_hash: HashMap<&'a str, usize>,
    /// Units before, by each of their hashes.
    pub(super) old_by_hash: HashMap<&'a str, &'a UnitSnapshot>,
    after_by_place: HashMap<&'a str, usize>,
    bumped: BTreeMap<String, Bump>,
}

impl<'a> View<'a> {
    pub(super) fn new(before: &'a Snapshot, after: &'a Snapshot, known: &'a Surroundings) -> Self {
        let hashes = |unit: &'a UnitSnapshot| unit.prints.iter().map(|print| print.hash.as_str());
        Self {
            before,
            after,
            known,
            old: before.units.iter().map(|unit| (unit.place.as_str(), unit)).collect(),
            by_hash: (0..after.units.len())
                .flat_map(|at| hashes(&after.units[at]).map(move |hash| (hash, at)))
                .collect(),
            old_by_hash: before.units.iter().flat_map(|unit| hashes(unit).map(move |hash| (hash, unit))).collect(),
            after_by_place: after.units.iter().enumerate().map(|(at, unit)| (unit.place.as_str(), at)).collect(),
            bumped: bumps(&known.locked_before, &known.locked_after),
        }
    }

    pub(super) fn compiled(&self, at: usize) -> bool {
        let unit = &self.after.units[at];
        self.old.get(unit.place.as_str()).is_none_or(|old| old.reference != unit.reference)
    }

    pub(super) fn counts(&self, at: usize) -> bool {
        self.after.units[at].used || self.compiled(at)
    }

    /// What decides in which folder a unit lies, and what is compared inside it, in Cargo's order.
    pub(super) fn settings(&self, old: &Fields, new: &Fields, of: Pair<'a>) -> Option<Cause> {
        if old.rustc != new.rustc {
            return Some(Cause::ToolchainChanged { old: self.toolchain(old.rustc), new: self.toolchain(new.rustc) });
        }
        if old.features != new.features {
            let (added, removed) = difference(&old.features, &new.features);
            return Some(Cause::FeaturesChanged { added, removed });
        }
        if old.declared_features != new.declared_features {
            let (added, removed) = difference(&old.declared_features, &new.declared_features);
            return Some(Cause::DeclaredFeaturesChanged { added, removed });
        }
        if old.target != new.target {
            return Some(self.definition(of.unit));
        }
        if old.path != new.path {
            return Some(Cause::PathMoved);
        }
        if old.profile != new.profile {
            return Some(self.profile(of));
        }
        if old.rustflags != new.rustflags {
            return Some(rustflags_changed(old, new));
        }
        if old.config != new.config {
            return Some(Cause::ConfigChanged);
        }
        (old.compile_kind != new.compile_kind).then_some(Cause::TargetChanged)
    }

    fn own_dir(&self, unit: &UnitSnapshot) -> Option<&'a str> {
        self.known.own.get(&unit.package).map(String::as_str)
    }

    /// The manifest's words about a target, or kinds of library that a command asked for.
    fn definition(&self, unit: &UnitSnapshot) -> Cause {
        let dir = self.own_dir(unit);
        let differences: Vec<String> =
            self.known.settings.iter().filter(|change| change.defines(dir)).map(ToString::to_string).collect();
        if differences.is_empty() && dir.is_some() && unit.kind() == "lib" {
            return Cause::OtherCrateTypes;
        }
        Cause::TargetDefinitionChanged { differences }
    }

    /// Settings that somebody changed, or the variant of another profile. Lints never open a new folder.
    fn profile(&self, Pair { unit, old }: Pair<'a>) -> Cause {
        let (dir, is_new) = (self.own_dir(unit), unit.place != old.place);
        let reaches = |change: &&SettingChange| {
            change.sets_profile(&unit.package, &unit.profile) || (!is_new && change.sets_lints(dir))
        };
        let differences: Vec<String> = self.known.settings.iter().filter(reaches).map(ToString::to_string).collect();
        if differences.is_empty() && is_new {
            return Cause::OtherSettings;
        }
        Cause::ProfileChanged { differences }
    }

    fn toolchain(&self, hash: u64) -> String {
        self.known.toolchains.get(&hash).cloned().unwrap_or_else(|| format!("an unknown one ({hash:016x})"))
    }

    /// The first dependency that is not the one it was built with.
    pub(super) fn deps(&self, old: &Fields, new: &Fields, unit: &UnitSnapshot) -> Option<Explained> {
        // What lies in the same folder is the same unit.
        let is_other = |dep: &&DepField| {
            self.by_hash.get(dep.hash.as_str()).is_none_or(|&at| self.after.units[at].place != unit.place)
                && self.old_by_hash.get(dep.hash.as_str()).is_none_or(|old| old.place != unit.place)
        };
        let others = |fields: &Fields| -> Vec<DepField> { fields.deps.iter().filter(is_other).cloned().collect() };
        match dependencies(&others(old), &others(new))? {
            Dependency::Added(name) => Some(Cause::DependencyAdded { name }.into()),
            Dependency::Removed(name) => Some(Cause::DependencyRemoved { name }.into()),
            Dependency::Other(old, new) => Some(self.follow(&old.hash, &new.hash, &new.name)),
        }
    }

    /// A cascade from the unit that this hash names now, or had named.
    pub(super) fn follow(&self, old_hash: &str, new_hash: &str, name: &str) -> Explained {
        let now = self.by_hash.get(new_hash).copied();
        let then = || {
            let old = self.old_by_hash.get(old_hash)?;
            self.after_by_place.get(old.place.as_str()).copied()
        };
        let follows = now.or_else(then).filter(|&at| self.compiled(at));
        if let (None, Some(now), Some(&old)) = (follows, now, self.old_by_hash.get(old_hash)) {
            let fields = |unit: &'a UnitSnapshot| unit.prints.iter().find_map(|print| print.fields.as_ref());
            let unit = &self.after.units[now];
            let of = Pair { unit, old };
            let difference = fields(old).zip(fields(unit)).and_then(|(old, new)| self.settings(old, new, of));
            if let Some(difference) = difference {
                let dependency = unit.title();
                return Cause::OtherVariant { dependency, difference: difference.to_string() }.into();
            }
        }
        let dependency = follows.map_or_else(|| name.to_owned(), |at| self.after.units[at].title());
        Explained { cause: Cause::DependencyRebuilt { dependency }, follows }
    }

    /// A dependency that was compiled although its hash is what it was: its outputs are newer.
    pub(super) fn rebuilt_dependency(&self, unit: &UnitSnapshot, new: &Fields) -> Option<Explained> {
        let follows = new.deps.iter().find_map(|dep| {
            let at = *self.by_hash.get(dep.hash.as_str())?;
            // Documentation of a program and of its library can lie in one folder.
            (self.compiled(at) && self.after.units[at].place != unit.place).then_some(at)
        })?;
        let dependency = self.after.units[follows].title();
        Some(Explained { cause: Cause::DependencyRebuilt { dependency }, follows: Some(follows) })
    }

    /// A dependency that this job left alone, and that an earlier build compiled without the unit.
    pub(super) fn newer_dependency(&self, old: &UnitSnapshot, new: &Fields) -> Option<Cause> {
        let mut deps = new.deps.iter().filter_map(|dep| self.old_by_hash.get(dep.hash.as_str()));
        let newer = deps.find(|dep| dep.reference > old.reference)?;
        Some(Cause::DependencyNewer { dependency: newer.title() })
    }

    /// The package's version changed in the lock file.
    pub(super) fn bump(&self, unit: &UnitSnapshot) -> Option<Cause> {
        let Bump { package, old, new } = self.bumped.get(&unit.package)?.clone();
        Some(Cause::LockBumped { package, old, new })
    }
}
