//! Both sides of a job beside each other, and how one unit follows from another: by settings, by dependencies, by the lock file.
//! Pure.
//!
//! Goes through Cargo's own comparisons in Cargo's own order, because only the first difference is the reason that Cargo had.

use std::collections::HashMap;

use super::bumps::{Bump, Fate, Locks};
use super::compare::{Dependency, dependencies, difference, rustflags_changed};
use super::project::Site;
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
    /// Units after, by each of their hashes; and before. Units of two workspaces can have equal ones.
    by_hash: ByHash<'a>,
    old_by_hash: ByHash<'a>,
    after_by_place: HashMap<&'a str, usize>,
    locks: Locks,
}

/// Units by each of their hashes: the one of the same root, if there is one. Cargo hashes what it finds in a workspace alike
/// wherever the workspace lies.
struct ByHash<'a> {
    in_root: HashMap<(usize, &'a str), usize>,
    anywhere: HashMap<&'a str, usize>,
}

impl<'a> ByHash<'a> {
    fn of(snapshot: &'a Snapshot) -> Self {
        let units = snapshot.units.iter().enumerate();
        let hashes =
            units.flat_map(|(at, unit)| unit.prints.iter().map(move |print| (unit.root(), print.hash.as_str(), at)));
        Self {
            in_root: hashes.clone().map(|(root, hash, at)| ((root, hash), at)).collect(),
            anywhere: hashes.map(|(_, hash, at)| (hash, at)).collect(),
        }
    }

    fn get(&self, root: usize, hash: &str) -> Option<usize> {
        self.in_root.get(&(root, hash)).or_else(|| self.anywhere.get(hash)).copied()
    }
}

impl<'a> View<'a> {
    pub(super) fn new(before: &'a Snapshot, after: &'a Snapshot, known: &'a Surroundings) -> Self {
        Self {
            before,
            after,
            known,
            old: before.units.iter().map(|unit| (unit.place.as_str(), unit)).collect(),
            by_hash: ByHash::of(after),
            old_by_hash: ByHash::of(before),
            after_by_place: after.units.iter().enumerate().map(|(at, unit)| (unit.place.as_str(), at)).collect(),
            locks: Locks::new(&known.locked_before, &known.locked_after),
        }
    }

    pub(super) fn compiled(&self, at: usize) -> bool {
        let unit = &self.after.units[at];
        self.old.get(unit.place.as_str()).is_none_or(|old| old.reference != unit.reference)
    }

    /// The unit after the job that `of` names by this hash.
    pub(super) fn named(&self, of: &UnitSnapshot, hash: &str) -> Option<usize> {
        self.by_hash.get(of.root(), hash)
    }

    fn named_before(&self, of: &UnitSnapshot, hash: &str) -> Option<&'a UnitSnapshot> {
        self.old_by_hash.get(of.root(), hash).map(|at| &self.before.units[at])
    }

    /// Whether the job used what lies in this place.
    pub(super) fn is_used(&self, place: &str) -> bool {
        self.after_by_place.get(place).is_some_and(|&at| self.counts(at))
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

    fn site(&self, unit: &'a UnitSnapshot) -> Site<'a> {
        self.known.project.site(unit.root(), &unit.profile, &unit.lies, &unit.package)
    }

    /// The manifest's words about a target, or kinds of library that a command asked for.
    fn definition(&self, unit: &'a UnitSnapshot) -> Cause {
        let site = self.site(unit);
        let differences: Vec<String> =
            self.known.settings.iter().filter(|change| change.defines(site)).map(ToString::to_string).collect();
        if differences.is_empty() && site.dir.is_some() && unit.kind() == "lib" {
            return Cause::OtherCrateTypes;
        }
        Cause::TargetDefinitionChanged { differences }
    }

    /// Settings that somebody changed, or the variant of another profile. Lints never open a new folder.
    fn profile(&self, Pair { unit, old }: Pair<'a>) -> Cause {
        let (site, is_new) = (self.site(unit), unit.place != old.place);
        let reaches = |change: &&SettingChange| change.sets_profile(site) || (!is_new && change.sets_lints(site));
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
            let (now, then) = (self.named(unit, &dep.hash), self.named_before(unit, &dep.hash));
            now.is_none_or(|at| self.after.units[at].place != unit.place)
                && then.is_none_or(|old| old.place != unit.place)
        };
        let others = |fields: &Fields| -> Vec<DepField> { fields.deps.iter().filter(is_other).cloned().collect() };
        match dependencies(&others(old), &others(new))? {
            Dependency::Added(name) => Some(Cause::DependencyAdded { name }.into()),
            Dependency::Renamed(old, new) => Some(Cause::DependencyRenamed { old, new }.into()),
            Dependency::Removed(name) => Some(Cause::DependencyRemoved { name }.into()),
            Dependency::Other(old, new) => Some(self.follow(unit, &old.hash, new)),
        }
    }

    /// A cascade from the unit that this hash names now, or had named.
    pub(super) fn follow(&self, of: &UnitSnapshot, old_hash: &str, new: &DepField) -> Explained {
        let now = self.named(of, &new.hash);
        let then = || {
            let old = self.named_before(of, old_hash)?;
            self.after_by_place.get(old.place.as_str()).copied()
        };
        let follows = now.or_else(then).filter(|&at| self.compiled(at));
        if let (None, Some(now), Some(old)) = (follows, now, self.named_before(of, old_hash)) {
            let unit = &self.after.units[now];
            let of = Pair { unit, old };
            let version = old.version.as_ref().zip(unit.version.as_ref()).filter(|(old, new)| old != new);
            let version = version.map(|(old, new)| format!("the version changed: {old} → {new}"));
            let setting = || Some(self.settings(old.fields()?, unit.fields()?, of)?.to_string());
            let built_from = || {
                let is_elsewhere = old.place != unit.place;
                Some(match dependencies(&old.fields()?.deps, &unit.fields()?.deps).filter(|_| is_elsewhere)? {
                    Dependency::Added(name) => Cause::DependencyAdded { name }.to_string(),
                    Dependency::Removed(name) => Cause::DependencyRemoved { name }.to_string(),
                    Dependency::Renamed(old, new) => Cause::DependencyRenamed { old, new }.to_string(),
                    Dependency::Other(_, dep) => format!("another `{}` went into it", dep.name),
                })
            };
            if let Some(difference) = version.or_else(setting).or_else(built_from) {
                return Cause::OtherVariant { dependency: unit.title(), difference }.into();
            }
        }
        let dependency = follows.map_or_else(|| new.name.clone(), |at| self.after.units[at].title());
        Explained { cause: Cause::DependencyRebuilt { dependency }, follows }
    }

    /// A dependency that was compiled although its hash is what it was: its outputs are newer.
    pub(super) fn rebuilt_dependency(&self, unit: &UnitSnapshot, new: &Fields) -> Option<Explained> {
        let follows = new.deps.iter().find_map(|dep| {
            let at = self.named(unit, &dep.hash)?;
            // Documentation of a program and of its library can lie in one folder.
            (self.compiled(at) && self.after.units[at].place != unit.place).then_some(at)
        })?;
        let dependency = self.after.units[follows].title();
        Some(Explained { cause: Cause::DependencyRebuilt { dependency }, follows: Some(follows) })
    }

    /// A dependency that this job left alone, and that an earlier build compiled without the unit.
    pub(super) fn newer_dependency(&self, old: &UnitSnapshot, new: &Fields) -> Option<Cause> {
        let mut deps = new.deps.iter().filter_map(|dep| self.named_before(old, &dep.hash));
        let newer = deps.find(|dep| dep.reference > old.reference)?;
        Some(Cause::DependencyNewer { dependency: newer.title() })
    }

    /// The package has another version: than the unit had that it is compared with, or than the lock file named.
    pub(super) fn bump(&self, unit: &UnitSnapshot, old: Option<&UnitSnapshot>) -> Option<Cause> {
        let own = self.known.project.package(&unit.lies, &unit.package);
        let then = old.and_then(|old| old.version.clone());
        let (package, old, new) = match (then, unit.version.clone()) {
            (Some(old), Some(new)) => (unit.package.clone(), old, new),
            _ if own.is_some() => return None,
            (then, _) => match self.locks.fate(unit.root(), &unit.package, then.as_deref()) {
                Fate::Bumped(Bump { is_own: _, package, old, new }) => (package, old, new),
                Fate::Stays | Fate::Gone { .. } => return None,
            },
        };
        let is_other = old != new;
        let bump = || {
            if own.is_some() {
                Cause::VersionChanged { package, old, new }
            } else {
                Cause::LockBumped { package, old, new }
            }
        };
        is_other.then(bump)
    }
}
