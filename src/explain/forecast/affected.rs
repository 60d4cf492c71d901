//! A forecast by package, for whoever chooses what to run. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::told::{Compiled, Forecast};
use crate::unit::{TargetName, title};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Affected {
    /// Units that the last job used, and those of them that would be compiled.
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
}
