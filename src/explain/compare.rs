//! What differs between what Cargo recorded of a unit then and now, field by field. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::cargo::fingerprint::Fields;
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
