//! Which units have to be compiled again because a proc macro may have read a file that is another one now. Pure.
//!
//! A macro leaves no trace of what it reads. A file that a unit's own dep-info lists is Cargo's to see; a file that nobody read
//! while the unit was compiled cannot have mattered to it, however it changes; any other file of the package, or of no package,
//! is suspected if one of the macros that the unit can use may read files. How it can be wrong: whether a file *exists* can be
//! asked without a trace, so only a change to a file that was there and still is can be innocent; files that git ignores are
//! seen only if a unit names them; without observation, files of other packages are taken to be no macro's.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::machine::paths::{file_name, is_under, parent};
use crate::stamp::doubt::Doubt;
use crate::state::manifest::{Input, InputKind, MacroFacts, Manifest, Origin, PackageKind, PackageRecord, UnitRecord};
use crate::unit::Unit;

/// What is not as it was recorded.
#[derive(Clone, Copy, Debug)]
pub struct Changes<'a> {
    pub changed: &'a BTreeSet<&'a str>,
    pub added: &'a BTreeSet<&'a str>,
    pub gone: &'a BTreeSet<&'a str>,
    /// Beyond the source roots, where only what was read counts.
    pub beyond: &'a BTreeSet<usize>,
}

/// One doubt per unit that may have been compiled from something else. `now` is what is on disk, by path.
pub fn doubts(manifest: &Manifest, now: &BTreeMap<String, Input>, changes: Changes<'_>) -> Vec<(usize, Doubt)> {
    let judge = Judge::new(manifest, now, changes);
    let users = manifest.units.iter().enumerate().filter(|(_, unit)| !unit.is_run());
    let doubts: BTreeMap<usize, Doubt> = users.filter_map(|(at, unit)| Some((at, judge.doubt(unit)?))).collect();
    // What times alone make Cargo compile: one of its files is newer than it.
    let reads_a_changed_file = |unit: &UnitRecord| {
        let mut inputs = unit.inputs.iter().map(|&at| manifest.inputs[at].path.as_str());
        !unit.is_run() && inputs.any(|path| changes.changed.contains(path))
    };
    let units = manifest.units.iter().enumerate();
    let dirty = units.filter(|(_, unit)| reads_a_changed_file(unit)).map(|(at, _)| at);
    let follows = followers(manifest, doubts.keys().copied().chain(dirty));
    doubts.into_iter().filter(|(at, _)| !follows.contains(at)).collect()
}

/// Units that are built from one of these: Cargo compiles them after it.
fn followers(manifest: &Manifest, roots: impl Iterator<Item = usize>) -> BTreeSet<usize> {
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); manifest.units.len()];
    for (at, unit) in manifest.units.iter().enumerate() {
        unit.deps.iter().for_each(|&dep| users[dep].push(at));
    }
    let mut found = BTreeSet::new();
    let mut open: Vec<usize> = roots.collect();
    while let Some(at) = open.pop() {
        open.extend(users[at].iter().filter(|user| found.insert(**user)));
    }
    found
}

struct Judge<'a> {
    manifest: &'a Manifest,
    /// What differs and can be an input of a macro, with its owner.
    candidates: Vec<(&'a str, Option<&'a PackageRecord>)>,
    changes: Changes<'a>,
    /// Where the inputs are in the manifest.
    place: BTreeMap<&'a str, usize>,
    now: &'a BTreeMap<String, Input>,
    /// Inputs that some unit names.
    named: BTreeSet<usize>,
}

impl<'a> Judge<'a> {
    fn new(manifest: &'a Manifest, now: &'a BTreeMap<String, Input>, changes: Changes<'a>) -> Self {
        let place: BTreeMap<&str, usize> =
            manifest.inputs.iter().enumerate().map(|(at, input)| (input.path.as_str(), at)).collect();
        let new_packages: Vec<&str> = changes
            .added
            .iter()
            .filter(|path| file_name(path) == "Cargo.toml")
            .filter_map(|path| parent(path))
            .collect();
        let owner = |path: &str| {
            let packages = manifest.packages.iter().filter(|package| is_under(path, &package.dir));
            packages.max_by_key(|package| package.dir.len())
        };
        let differing = changes.changed.iter().chain(changes.added).chain(changes.gone).copied();
        let candidates = differing.filter_map(|path| {
            let then = place.get(path).map(|&at| &manifest.inputs[at]);
            let kind = now.get(path).or(then).map(|input| input.kind);
            let outside = then.is_some_and(|input| input.origin == Origin::Outside);
            let owner = owner(path);
            // Cargo itself accounts for the lock file to the last package, and for what a workspace's manifest hands down; what
            // drives the CI service is not an input of a build.
            let accounted = matches!((file_name(path), owner), ("Cargo.lock", _) | ("Cargo.toml", None))
                || path.split(std::path::is_separator).any(|part| part == ".github");
            let of_new_package = owner.is_none() && new_packages.iter().any(|dir| is_under(path, dir));
            // What a registry package holds is its own and Cargo's.
            let vendored = owner.is_some_and(|owner| owner.kind == PackageKind::Vendored);
            let counts = kind != Some(InputKind::Folder) && !outside && !accounted && !of_new_package && !vendored;
            counts.then_some((path, owner))
        });
        Self {
            manifest,
            candidates: candidates.collect(),
            changes,
            now,
            named: manifest.units.iter().flat_map(|unit| unit.inputs.iter().copied()).collect(),
            place,
        }
    }

    fn doubt(&self, unit: &UnitRecord) -> Option<Doubt> {
        let own = |package: &PackageRecord| package.kind == PackageKind::Path && unit.is_of(package);
        let is_same = self.candidates.is_empty() && self.changes.beyond.is_empty();
        if is_same || !self.manifest.packages.iter().any(own) {
            return None;
        }
        let facts = unit.macros.as_ref();
        // One that was recorded before these facts were is believed nothing.
        if facts.is_some_and(|facts| !facts.may_read()) {
            return None;
        }
        let path = self.candidates.iter().find_map(|(path, owner)| {
            let suspect = match owner {
                Some(owner) if own(owner) => !self.is_listed(path, unit) && !self.is_newest_of(path, unit),
                Some(owner) => {
                    self.was_read_by_somebody_else(path, owner, facts)
                        || self.came_or_went_beside_reader(path, owner, facts)
                }
                None => !self.is_listed(path, unit),
            };
            (suspect && !self.is_innocent(path, facts)).then_some(*path)
        });
        let (path, is_beyond) = match path {
            Some(path) => (path, false),
            None => (self.read_beyond(unit, facts?)?, true),
        };
        let observed =
            is_beyond || self.changes.changed.contains(path) && facts.is_some_and(|facts| facts.unread.is_some());
        let path = path.to_owned();
        Some(match facts.map(|facts| facts.readers.first()) {
            Some(None) => Doubt::AssemblerInput { path, observed },
            Some(Some(reader)) => Doubt::MacroInput { path, reader: reader.clone(), observed },
            None => Doubt::MacroInput { path, reader: "unknown".to_owned(), observed },
        })
    }

    /// Its own dep-info lists it.
    fn is_listed(&self, path: &str, unit: &UnitRecord) -> bool {
        self.place.get(path).is_some_and(|at| unit.inputs.binary_search(at).is_ok())
    }

    /// It is documentation, which is as old as the newest file of its package.
    fn is_newest_of(&self, path: &str, unit: &UnitRecord) -> bool {
        unit.is_precalculated() && !self.changes.gone.contains(path)
    }

    /// A file of another package that was read, and by none who would say so: a macro of this one may have.
    fn was_read_by_somebody_else(&self, path: &str, owner: &PackageRecord, facts: Option<&MacroFacts>) -> bool {
        let observed = facts.is_some_and(|facts| facts.unread.is_some()) && self.changes.changed.contains(path);
        let reads_all = |unit: &UnitRecord| unit.is_of(owner) && unit.is_run() && unit.is_precalculated();
        let is_named = self.place.get(path).is_some_and(|at| self.named.contains(at));
        observed && file_name(path) != "Cargo.toml" && !is_named && !self.manifest.units.iter().any(reads_all)
    }

    /// Something beyond the source roots that was read in the job that compiled it, by none who would say so.
    fn read_beyond(&self, unit: &UnitRecord, facts: &MacroFacts) -> Option<&'a str> {
        let read = self.manifest.beyond.of_set(facts.unread?);
        let differing = read.filter(|at| self.changes.beyond.contains(at));
        let mut paths = differing.map(|at| self.manifest.beyond.inputs[at].path.as_str());
        paths.find(|path| !self.is_listed(path, unit))
    }

    /// A file that is new or gone in the package of such a macro itself, which may list a folder there. What the compiler of the
    /// macro looks at is Cargo's to see, and the macro's users follow.
    fn came_or_went_beside_reader(&self, path: &str, owner: &PackageRecord, facts: Option<&MacroFacts>) -> bool {
        let is_reader = facts.is_some_and(|facts| facts.readers.contains(&owner.name));
        let is_source = Path::new(path).extension().is_some_and(|end| end == "rs")
            || self.place.get(path).is_some_and(|at| self.named.contains(at));
        let is_accounted = ["Cargo.toml", "Cargo.lock"].contains(&file_name(path));
        is_reader && !self.changes.changed.contains(path) && !is_source && !is_accounted
    }

    /// It was there when the unit was compiled, nobody read it, and it is there now.
    fn is_innocent(&self, path: &str, facts: Option<&MacroFacts>) -> bool {
        let unread = facts.and_then(|facts| self.manifest.unread.get(facts.unread?));
        let is_file = |input: Option<&Input>| input.is_some_and(|input| input.kind == InputKind::File);
        let at = self.place.get(path).copied();
        self.changes.changed.contains(path)
            && at.zip(unread).is_some_and(|(at, unread)| unread.holds(at))
            && is_file(self.now.get(path))
            && is_file(at.map(|at| &self.manifest.inputs[at]))
    }
}
