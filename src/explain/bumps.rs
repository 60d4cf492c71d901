//! What another lock file means for packages: which moved from which version to which. Pure.
//!
//! How it can be wrong: of several locked versions of one name nobody knows which followed which, so they are told together.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::state::manifest::LockedPackage;

/// How many are named before they are only counted.
const SHOWN: usize = 3;

/// A package that has another version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bump {
    pub(super) package: String,
    pub(super) old: String,
    pub(super) new: String,
}

impl fmt::Display for Bump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { package, old, new } = self;
        write!(f, "{package} {old} → {new}")
    }
}

/// By package; what was only added or removed is no bump.
pub(super) fn bumps(before: &BTreeSet<LockedPackage>, after: &BTreeSet<LockedPackage>) -> BTreeMap<String, Bump> {
    let only = |locked: &BTreeSet<LockedPackage>, without: &BTreeSet<LockedPackage>| {
        let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for package in locked.difference(without) {
            versions.entry(package.name.clone()).or_default().push(package.version.clone());
        }
        versions
    };
    let (gone, mut new) = (only(before, after), only(after, before));
    let bump = |(package, old): (String, Vec<String>)| {
        let new = new.remove(&package)?.join(", ");
        Some((package.clone(), Bump { package, old: old.join(", "), new }))
    };
    gone.into_iter().filter_map(bump).collect()
}

/// In one line, however many there are.
pub(super) fn in_words<'a>(bumps: impl ExactSizeIterator<Item = &'a Bump>) -> String {
    let count = bumps.len();
    let shown: Vec<String> = bumps.take(SHOWN).map(ToString::to_string).collect();
    let shown = shown.join(", ");
    match count {
        0 | 1 => format!("`Cargo.lock` bumps {shown}"),
        ..=SHOWN => format!("`Cargo.lock` bumps {count} packages: {shown}"),
        _ => format!("`Cargo.lock` bumps {count} packages: {shown} and {} more", count - SHOWN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locked(packages: &[(&str, &str)]) -> BTreeSet<LockedPackage> {
        let package =
            |(name, version): &(&str, &str)| LockedPackage { name: (*name).into(), version: (*version).into() };
        packages.iter().map(package).collect()
    }

    #[test]
    fn a_package_of_two_versions_moves_as_one_and_a_new_one_does_not() {
        let before = locked(&[("a", "1.0.0"), ("b", "1.0.0"), ("b", "2.0.0"), ("gone", "1.0.0")]);
        let after = locked(&[("a", "1.0.0"), ("b", "1.0.1"), ("b", "2.0.1"), ("new", "1.0.0")]);
        let found = bumps(&before, &after);
        assert_eq!(in_words(found.values()), "`Cargo.lock` bumps b 1.0.0, 2.0.0 → 1.0.1, 2.0.1");
    }

    #[test]
    fn many_are_one_line() {
        let names: Vec<String> = (0..30).map(|at| format!("p{at:02}")).collect();
        let of = |version| names.iter().map(|name| (name.as_str(), version)).collect::<Vec<_>>();
        let found = bumps(&locked(&of("1.0.0")), &locked(&of("1.0.1")));
        let text =
            "`Cargo.lock` bumps 30 packages: p00 1.0.0 → 1.0.1, p01 1.0.0 → 1.0.1, p02 1.0.0 → 1.0.1 and 27 more";
        assert_eq!(in_words(found.values()), text);
        let text = "`Cargo.lock` bumps 2 packages: p00 1.0.0 → 1.0.1, p01 1.0.0 → 1.0.1";
        assert_eq!(in_words(found.values().take(2)), text);
    }
}
