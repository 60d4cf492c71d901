//! What may differ between the restored machine and the one that was never wiped, and why.
//!
//! *Too much* was compiled unless Rekindle's log names the package, or the other machine was stale, or a kill lost the units.
//! *Too little* was compiled unless the job itself played with times or litter in that package, which the other machine still
//! carries. It is remembered for each command and set of features apart: what is due comes when they are run next.

use std::collections::{BTreeMap, BTreeSet};

use super::moves::Call;
use super::packages::with_dependencies;

/// A command with or without the feature.
pub(super) type Key = (Call, bool);

type Packages = BTreeSet<String>;

const CALLS: [Call; 7] = [Call::Build, Call::Check, Call::Test, Call::Release, Call::Clippy, Call::Doc, Call::Second];

/// Packages by command.
#[derive(Default)]
pub(super) struct Ledger(BTreeMap<Key, Packages>);

impl Ledger {
    pub(super) fn add<'a>(&mut self, packages: impl IntoIterator<Item = &'a String>) {
        for package in packages {
            for call in CALLS {
                for loud in [false, true] {
                    self.0.entry((call, loud)).or_default().insert(package.clone());
                }
            }
        }
    }

    pub(super) fn of(&self, key: Key) -> Packages {
        self.0.get(&key).cloned().unwrap_or_default()
    }

    pub(super) fn clear(&mut self, key: Key) {
        self.0.remove(&key);
    }

    pub(super) fn remove(&mut self, key: Key, packages: &Packages) {
        self.0.entry(key).or_default().retain(|package| !packages.contains(package));
    }
}

/// All keys.
pub(super) fn all_keys() -> BTreeSet<Key> {
    CALLS.into_iter().flat_map(|call| [(call, false), (call, true)]).collect()
}

/// The package of a unit, told apart from one of the same name in the second workspace.
pub(super) fn package_of(unit: &str, call: Call) -> String {
    let name = unit.split(' ').next().unwrap();
    if call == Call::Second && name == "a" { "other-a".to_owned() } else { name.to_owned() }
}

/// Units of packages that neither are, nor depend on, any of these.
pub(super) fn unexplained<'a>(
    units: impl Iterator<Item = &'a String>,
    call: Call,
    packages: &Packages,
) -> BTreeSet<&'a String> {
    let is_explained = |unit: &&String| {
        let package = package_of(unit, call);
        with_dependencies(&package).iter().any(|name| packages.contains(*name))
    };
    units.filter(|unit| !is_explained(unit)).collect()
}

/// Packages that a log says will be rebuilt, or could not be stored.
pub(super) fn named(log: &str, members: &BTreeSet<String>) -> Packages {
    let mut found = Packages::new();
    for line in log.lines().map(str::trim_start) {
        let rest =
            if line.starts_with("left out") { line.rsplit_once(": ") } else { line.split_once("will be rebuilt: ") };
        let Some((_, rest)) = rest else { continue };
        if rest.starts_with("and ") {
            // The rest of a long list is only counted.
            found.extend(members.iter().cloned());
        }
        let name: String = rest
            .trim_start_matches('`')
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '-' || *c == '_')
            .collect();
        found.extend(members.contains(&name).then_some(name));
        // In the log both are called `a`.
        if found.contains("a") && members.contains("other-a") {
            found.insert("other-a".to_owned());
        }
    }
    found
}
