//! What became of a version of a package: which one took over from it, by another lock file or by its own manifest. Pure.
//!
//! How it can be wrong: where several versions of one name went and several came, the one that is compatible is taken for the
//! one that took over; those that are left are told together.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use cargo_metadata::semver::{Version, VersionReq};

use crate::state::manifest::LockedPackage;

/// How many are named before they are only counted.
const SHOWN: usize = 3;

/// A package that has another version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bump {
    /// Its own manifest says so, and not the lock file.
    pub(super) is_own: bool,
    pub(super) package: String,
    pub(super) old: String,
    pub(super) new: String,
}

impl fmt::Display for Bump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { is_own: _, package, old, new } = self;
        write!(f, "{package} {old} → {new}")
    }
}

/// What became of a locked version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Stays,
    Bumped(Bump),
    /// No lock file has it any more, and no other version came.
    Gone {
        version: String,
    },
}

/// Both lock files of each root.
#[derive(Debug, Default)]
pub(super) struct Locks {
    before: BTreeMap<(usize, String), BTreeSet<String>>,
    after: BTreeMap<(usize, String), BTreeSet<String>>,
    /// Roots of which both are known.
    known: BTreeSet<usize>,
}

impl Locks {
    pub(super) fn new(before: &BTreeSet<LockedPackage>, after: &BTreeSet<LockedPackage>) -> Self {
        let by_name = |locked: &BTreeSet<LockedPackage>| {
            let mut versions: BTreeMap<(usize, String), BTreeSet<String>> = BTreeMap::new();
            for LockedPackage { name, version, root } in locked {
                versions.entry((*root, name.clone())).or_default().insert(version.clone());
            }
            versions
        };
        let roots =
            |locked: &BTreeSet<LockedPackage>| locked.iter().map(|package| package.root).collect::<BTreeSet<_>>();
        let known = roots(before).intersection(&roots(after)).copied().collect();
        Self { before: by_name(before), after: by_name(after), known }
    }

    /// Of the version that a unit was built from, or of the only one that there was.
    pub(super) fn fate(&self, root: usize, package: &str, version: Option<&str>) -> Fate {
        let at = (root, package.to_owned());
        let none = BTreeSet::new();
        let (before, after) = (self.before.get(&at).unwrap_or(&none), self.after.get(&at).unwrap_or(&none));
        let only = before.iter().next().filter(|_| before.len() == 1).map(String::as_str);
        let Some(version) = version.or(only) else { return Fate::Stays };
        if !self.known.contains(&root) || !before.contains(version) || after.contains(version) {
            return Fate::Stays;
        }
        let mut gone: Vec<&String> = before.difference(after).collect();
        let mut came: Vec<&String> = after.difference(before).collect();
        let bump = |new: &str| {
            Fate::Bumped(Bump {
                is_own: false,
                package: package.to_owned(),
                old: version.to_owned(),
                new: new.to_owned(),
            })
        };
        while let Some((old, new)) = compatible(&gone, &came) {
            let (old, new) = (gone.remove(old), came.remove(new));
            if old == version {
                return bump(new);
            }
        }
        if came.is_empty() {
            return Fate::Gone { version: version.to_owned() };
        }
        bump(&came.iter().map(|version| version.as_str()).collect::<Vec<_>>().join(", "))
    }
}

/// Two of which a requirement for the one allows the other.
fn compatible(gone: &[&String], came: &[&String]) -> Option<(usize, usize)> {
    let allows = |one: &str, other: &str| {
        let (required, version) = (VersionReq::parse(one), Version::parse(other));
        required.is_ok_and(|required| version.is_ok_and(|version| required.matches(&version)))
    };
    let is_one = |old: &str, new: &str| allows(old, new) || allows(new, old);
    gone.iter().enumerate().find_map(|(at, old)| Some((at, came.iter().position(|new| is_one(old, new))?)))
}

/// In one line, however many there are; all of one kind.
pub(super) fn in_words<'a>(bumps: impl ExactSizeIterator<Item = &'a Bump>) -> String {
    let bumps: Vec<&Bump> = bumps.collect();
    let shown: Vec<String> = bumps.iter().take(SHOWN).map(ToString::to_string).collect();
    let shown = shown.join(", ");
    let is_own = bumps.first().is_some_and(|bump| bump.is_own);
    let head = if is_own { "`Cargo.toml` bumps" } else { "`Cargo.lock` bumps" };
    match bumps.len() {
        0 | 1 => format!("{head} {shown}"),
        count @ ..=SHOWN => format!("{head} {count} packages: {shown}"),
        count => format!("{head} {count} packages: {shown} and {} more", count - SHOWN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locked(packages: &[(&str, &str)]) -> BTreeSet<LockedPackage> {
        let package = |(name, version): &(&str, &str)| LockedPackage {
            name: (*name).into(),
            version: (*version).into(),
            root: 0,
        };
        packages.iter().map(package).collect()
    }

    #[test]
    fn each_version_has_a_fate_of_its_own() {
        let before =
            locked(&[("a", "1.0.0"), ("b", "1.0.0"), ("b", "2.0.0"), ("c", "0.1.2"), ("c", "0.2.0"), ("d", "1.0.0")]);
        let after =
            locked(&[("a", "1.0.0"), ("b", "1.0.1"), ("b", "2.0.0"), ("c", "0.2.1"), ("d", "3.0.0"), ("new", "1.0.0")]);
        let locks = Locks::new(&before, &after);
        let fate = |name: &str, version: Option<&str>| match locks.fate(0, name, version) {
            Fate::Stays => "stays".to_owned(),
            Fate::Bumped(bump) => bump.new,
            Fate::Gone { .. } => "gone".to_owned(),
        };
        assert_eq!((fate("a", Some("1.0.0")), fate("b", Some("2.0.0"))), ("stays".into(), "stays".into()));
        assert_eq!((fate("b", Some("1.0.0")), fate("c", Some("0.2.0"))), ("1.0.1".into(), "0.2.1".into()));
        assert_eq!((fate("c", Some("0.1.2")), fate("d", None)), ("gone".into(), "3.0.0".into()));
        // Nobody knows which of the two it is; and where there is no lock file, there is nothing to compare.
        assert_eq!(fate("b", None), "stays");
        assert_eq!(Locks::new(&before, &BTreeSet::new()).fate(0, "a", None), Fate::Stays);
        assert_eq!(locks.fate(1, "a", Some("1.0.0")), Fate::Stays);
    }

    #[test]
    fn many_are_one_line() {
        let bump =
            |at: usize| Bump { is_own: false, package: format!("p{at:02}"), old: "1.0.0".into(), new: "1.0.1".into() };
        let bumps: Vec<Bump> = (0..30).map(bump).collect();
        let text =
            "`Cargo.lock` bumps 30 packages: p00 1.0.0 → 1.0.1, p01 1.0.0 → 1.0.1, p02 1.0.0 → 1.0.1 and 27 more";
        assert_eq!(in_words(bumps.iter()), text);
        let text = "`Cargo.lock` bumps 2 packages: p00 1.0.0 → 1.0.1, p01 1.0.0 → 1.0.1";
        assert_eq!(in_words(bumps.iter().take(2)), text);
        let own = Bump { is_own: true, ..bump(0) };
        assert_eq!(in_words(std::iter::once(&own)), "`Cargo.toml` bumps p00 1.0.0 → 1.0.1");
    }
}
