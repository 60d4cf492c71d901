//! What differs between what Cargo recorded of a unit then and now, field by field. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::cargo::fingerprint::{DepField, Fields};
use crate::explain::cause::{Cause, value};
use crate::explain::snapshot::UnitSnapshot;
use crate::state::manifest::EnvRecord;

pub(super) fn rustflags_changed(old: &Fields, new: &Fields) -> Cause {
    Cause::RustflagsChanged { old: old.rustflags.join(" "), new: new.rustflags.join(" ") }
}

/// A variable that the unit depends on and that has another value now.
pub(super) fn env_change(old: &UnitSnapshot, new: &UnitSnapshot) -> Option<Cause> {
    let before: BTreeMap<&str, &EnvRecord> = old.env.iter().map(|(name, record)| (name.as_str(), record)).collect();
    let changed = new.env.iter().find(|(name, record)| before.get(name.as_str()).is_some_and(|old| *old != record));
    changed.map(|(name, record)| Cause::EnvChanged {
        name: name.clone(),
        old: value(before[name.as_str()]),
        new: value(record),
    })
}

/// For a unit whose freshness is the newest file of its package.
pub(super) fn newest_file(old: &Fields, new: &Fields, touched: &BTreeMap<String, String>) -> Option<Cause> {
    let text = new.newest_file.as_ref().filter(|text| old.newest_file.as_ref().is_some_and(|old| old != *text))?;
    let path = text.split_once('(').map_or(text.as_str(), |(_, rest)| rest.trim_end_matches(')'));
    let forced = touched.iter().find(|(touched, _)| touched.ends_with(&format!("/{path}")));
    Some(match forced {
        Some((_, reason)) => Cause::Forced { reason: reason.clone() },
        None => Cause::SourceChanged { path: path.to_owned() },
    })
}

/// What differs first among the units that a unit was built from.
pub(super) enum Dependency<'a> {
    Added(String),
    Removed(String),
    Renamed(String, String),
    Other(&'a DepField, &'a DepField),
}

/// By what they are, not by their place in the list: another version of one package moves the others.
pub(super) fn dependencies<'a>(old: &'a [DepField], new: &'a [DepField]) -> Option<Dependency<'a>> {
    // A package can be there twice under one name: as a library and as what its build script said.
    let mut left: Vec<&DepField> = old.iter().collect();
    let mut take = |is: &dyn Fn(&DepField) -> bool| Some(left.remove(left.iter().position(|dep| is(dep))?));
    let unknown: Vec<&DepField> = new.iter().filter(|dep| take(&|old| old == *dep).is_none()).collect();
    let unknown: Vec<(&DepField, Option<&DepField>)> = unknown
        .into_iter()
        .map(|dep| (dep, take(&|old| (old.package, &old.name) == (dep.package, &dep.name))))
        .collect();
    let other: Vec<(&DepField, Option<&DepField>)> =
        unknown.into_iter().map(|(dep, old)| (dep, old.or_else(|| take(&|old| old.name == dep.name)))).collect();
    // The same package under another name; a script's run beside its library is not that.
    let is_run = |dep: &DepField| dep.name.starts_with("build_script");
    let renamed = |dep: &DepField| left.iter().find(|old| old.package == dep.package && !is_run(old) && !is_run(dep));
    if let Some((old, new)) =
        other.iter().filter(|(_, old)| old.is_none()).find_map(|(new, _)| Some((renamed(new)?, new)))
    {
        return Some(Dependency::Renamed(old.name.clone(), new.name.clone()));
    }
    if let Some((added, _)) = other.iter().find(|(_, old)| old.is_none()) {
        return Some(Dependency::Added(added.name.clone()));
    }
    if let Some(removed) = left.first() {
        return Some(Dependency::Removed(removed.name.clone()));
    }
    other.into_iter().find_map(|(new, old)| Some(Dependency::Other(old?, new)))
}

/// A number for everything that decides about a unit, except features, flags and dependencies.
pub(super) fn setting(fields: &Fields) -> u64 {
    let Fields { rustc, target, path, profile, config, compile_kind, .. } = fields;
    [rustc, target, path, profile, config, compile_kind]
        .into_iter()
        .fold(0, |number: u64, part| number.rotate_left(7).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ part)
}

pub(super) fn distance(old: &Fields, new: &Fields) -> usize {
    let hashes = |fields: &Fields| fields.deps.iter().map(|dep| dep.hash.clone()).collect::<BTreeSet<_>>();
    [
        old.rustc != new.rustc,
        old.features != new.features,
        old.declared_features != new.declared_features,
        old.target != new.target,
        old.path != new.path,
        old.profile != new.profile,
        old.rustflags != new.rustflags,
        old.config != new.config,
        old.compile_kind != new.compile_kind,
        hashes(old) != hashes(new),
    ]
    .into_iter()
    .filter(|differs| *differs)
    .count()
}

pub(super) fn difference(old: &[String], new: &[String]) -> (Vec<String>, Vec<String>) {
    let only =
        |these: &[String], those: &[String]| these.iter().filter(|item| !those.contains(item)).cloned().collect();
    (only(new, old), only(old, new))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deps(of: &[(u64, &str, &str)]) -> Vec<DepField> {
        of.iter().map(|&(package, name, hash)| DepField { package, name: name.into(), hash: hash.into() }).collect()
    }

    #[test]
    fn dependencies_are_compared_by_what_they_are() {
        let old = deps(&[(1, "a", "x"), (2, "libc", "y"), (3, "z", "z")]);
        // The bump of `a` gives it another place in Cargo's order.
        let new = deps(&[(2, "libc", "y"), (3, "z", "z"), (9, "a", "w")]);
        let Some(Dependency::Other(before, after)) = dependencies(&old, &new) else { panic!() };
        assert_eq!((before.hash.as_str(), after.hash.as_str()), ("x", "w"));
        assert!(dependencies(&old, &old).is_none());
        let fewer = deps(&[(1, "a", "x"), (2, "libc", "y")]);
        assert!(matches!(dependencies(&old, &fewer), Some(Dependency::Removed(name)) if name == "z"));
        assert!(matches!(dependencies(&fewer, &old), Some(Dependency::Added(name)) if name == "z"));
        let renamed = deps(&[(1, "a", "x"), (2, "c", "y"), (3, "z", "z")]);
        let Some(Dependency::Renamed(before, after)) = dependencies(&old, &renamed) else { panic!() };
        assert_eq!((before.as_str(), after.as_str()), ("libc", "c"));
        // A script's run beside the library, under one name of one package.
        let twice = deps(&[(1, "a", "lib"), (1, "a", "run")]);
        let again = deps(&[(1, "a", "run-2"), (1, "a", "lib")]);
        let Some(Dependency::Other(before, after)) = dependencies(&twice, &again) else { panic!() };
        assert_eq!((before.hash.as_str(), after.hash.as_str()), ("run", "run-2"));
    }
}
