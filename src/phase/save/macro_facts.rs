//! What each unit has to do with proc macros: which units are some, whether they may read files, who uses them, and what nobody
//! read while the users were compiled.
//!
//! Goes by what was compiled: the units that are there and what they were built from, not the lock file. A unit that the job
//! left alone is as it was recorded. What is not known counts as reading files.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use rayon::prelude::*;

use super::beyond;
use super::job::Job;
use crate::cargo::macros;
use crate::cargo::units::{DiskUnit, Role};
use crate::state::manifest::{MacroFacts, Manifest, PackageKind, PackageRecord, Scan, UnitRecord, Unread};
use crate::unit::Unit;
use crate::unit::UnitPlace;

/// Adds it to the manifest, whose units are the live ones; what nobody read comes later.
pub(super) fn add(job: &Job<'_>, live: &[usize], manifest: &mut Manifest) {
    let before: Vec<Option<&UnitRecord>> = live.iter().map(|&at| job.unchanged(at)).collect();
    let disk: Vec<&DiskUnit> = live.iter().map(|&at| job.unit(at)).collect();
    let products = Products::of(job, live);
    let then = |at: usize| before[at].and_then(|unit| unit.macros.as_ref());

    let exports = |at: usize| products.libraries[at].iter().any(|path| macros::is_macro(path));
    let is_macro: Vec<bool> =
        (0..live.len()).into_par_iter().map(|at| then(at).map_or_else(|| exports(at), |then| then.is_macro)).collect();
    let graph = Graph::new(job, &disk, &before, &manifest.units);
    let parts: BTreeSet<usize> =
        (0..live.len()).filter(|&at| is_macro[at]).flat_map(|at| graph.reached(at, |_| true)).collect();
    let scans: BTreeMap<usize, Scan> = parts
        .into_par_iter()
        .map(|at| {
            let kept = then(at).and_then(|facts| facts.scan.clone());
            (at, kept.unwrap_or_else(|| products.scan(job, at, &disk[at].place.package)))
        })
        .collect();
    let reads = |at: usize| {
        let parts = graph.reached(at, |_| true);
        parts.iter().any(|part| graph.unknown[*part] || scans.get(part) != Some(&Scan::Clean))
    };
    let readers: BTreeSet<usize> = (0..live.len()).filter(|&at| is_macro[at] && reads(at)).collect();

    let own: Vec<PackageRecord> =
        manifest.packages.iter().filter(|package| package.kind == PackageKind::Path).cloned().collect();
    for (at, unit) in manifest.units.iter_mut().enumerate() {
        let mut facts = MacroFacts { is_macro: is_macro[at], scan: scans.get(&at).cloned(), ..MacroFacts::default() };
        let is_user = !unit.is_run() && own.iter().any(|package| unit.is_of(package));
        if is_user {
            // What a macro is built with ends in it; nobody who uses it can use that.
            let reached = graph.reached(at, |unit| !is_macro[unit]);
            let known = !reached.iter().any(|unit| graph.unknown[*unit]);
            let used = readers.iter().filter(|reader| **reader != at && (!known || reached.contains(*reader)));
            let names: BTreeSet<&String> = used.map(|reader| &disk[*reader].place.package).collect();
            facts.readers = names.into_iter().cloned().collect();
        }
        unit.macros = (is_user || facts != MacroFacts::default()).then_some(facts);
    }
}

/// Adds what nobody read while the users were compiled, now that the inputs are complete.
pub(super) fn add_unread(job: &Job<'_>, live: &[usize], manifest: &mut Manifest) {
    let before: Vec<Option<&UnitRecord>> = live.iter().map(|&at| job.unchanged(at)).collect();
    let unread = unread(job, live, manifest, &before);
    for (unit, unread) in manifest.units.iter_mut().zip(unread) {
        if let Some(facts) = unit.macros.as_mut().filter(|facts| facts.may_read()) {
            facts.unread = unread;
        }
    }
    beyond::add(job, live, restored_sets(job), manifest);
    forget_unused(manifest);
}

/// What units were built from, runs of build scripts left out: what a script is built with is not part of what it is for.
struct Graph {
    deps: Vec<Vec<usize>>,
    /// Cargo's record of what it was built from is not there, and was not before.
    unknown: Vec<bool>,
}

impl Graph {
    fn new(job: &Job<'_>, disk: &[&DiskUnit], before: &[Option<&UnitRecord>], units: &[UnitRecord]) -> Self {
        let place: HashMap<(usize, &UnitPlace), usize> =
            units.iter().enumerate().map(|(at, unit)| ((unit.root, &unit.place), at)).collect();
        let recorded = job.previous().map(|restored| restored.manifest.units.as_slice()).unwrap_or_default();
        let mut graph = Self { deps: Vec::new(), unknown: Vec::new() };
        for ((disk, before), unit) in disk.iter().zip(before).zip(units) {
            let is_readable = disk.fingerprints.iter().all(|print| print.fingerprint.is_some());
            let mut deps = unit.deps.clone();
            if let (false, Some(before)) = (is_readable, before) {
                let old = before.deps.iter().map(|&dep| &recorded[dep]);
                deps.extend(old.filter_map(|dep| place.get(&(dep.root, &dep.place))));
            }
            deps.retain(|&dep| !units[dep].is_run());
            graph.deps.push(deps);
            graph.unknown.push(!is_readable && before.is_none() && !disk.is_run());
        }
        graph
    }

    /// `from`, and all that it was built from in one step or more; only what is `open` is looked behind.
    fn reached(&self, from: usize, open: impl Fn(usize) -> bool) -> BTreeSet<usize> {
        let mut reached = BTreeSet::from([from]);
        let mut next = vec![from];
        while let Some(at) = next.pop() {
            if at == from || open(at) {
                next.extend(self.deps[at].iter().filter(|dep| reached.insert(**dep)));
            }
        }
        reached
    }
}

/// Files that compilations left, by live unit.
struct Products {
    /// Libraries that can be loaded.
    libraries: Vec<Vec<PathBuf>>,
    dep_files: Vec<Option<PathBuf>>,
}

impl Products {
    fn of(job: &Job<'_>, live: &[usize]) -> Self {
        let place: HashMap<(usize, usize), usize> =
            live.iter().enumerate().map(|(new, &old)| (job.units[old], new)).collect();
        let by_id: HashMap<(usize, &str, &str), usize> = live
            .iter()
            .enumerate()
            .map(|(new, &old)| {
                let unit = &job.unit(old).place;
                ((job.units[old].0, unit.profile.as_str(), unit.id.as_str()), new)
            })
            .collect();
        let mut found = Self { libraries: vec![Vec::new(); live.len()], dep_files: vec![None; live.len()] };
        for (root, survey) in job.surveys.iter().enumerate() {
            for file in &survey.files {
                let own = match file.role {
                    Role::Unit(at) => place.get(&(root, at)).copied(),
                    _ => None,
                };
                let path = || survey.root.join(&file.path);
                match (own, file.path.strip_suffix(".d")) {
                    (Some(at), None) if macros::can_be_macro(&file.path) => found.libraries[at].push(path()),
                    (Some(at), Some(_)) => found.dep_files[at] = Some(path()),
                    // Beside the output, named after it, and kept by nobody.
                    (None, Some(stem)) => {
                        let (profile, name) = stem.rsplit_once("/deps/").unwrap_or(("", stem));
                        let id = name.rsplit_once('-').map_or("", |(_, id)| id);
                        if let Some(&at) = by_id.get(&(root, profile, id)) {
                            found.dep_files[at] = Some(path());
                        }
                    }
                    _ => {}
                }
            }
        }
        found
    }

    /// Looks at what the compiler read for a unit; where that is not known any more, at all of its package.
    fn scan(&self, job: &Job<'_>, at: usize, package: &str) -> Scan {
        let facts = &job.facts;
        if let Some(dep_file) = &self.dep_files[at] {
            let roots: Vec<PathBuf> = facts.workspaces.iter().map(|workspace| workspace.root.clone()).collect();
            return macros::scan(dep_file, &roots);
        }
        let own = facts.workspaces.iter().flat_map(|workspace| &workspace.packages);
        let own = own.filter(|own| own.name == package).map(|own| own.dir.clone());
        let vendored = facts.vendored.iter().filter(|vendored| vendored.name == package);
        let mut dirs: Vec<PathBuf> = own.chain(vendored.map(|vendored| vendored.dir.clone())).collect();
        let locked = facts.locked.iter().flat_map(|locked| &locked.packages);
        for locked in locked.filter(|locked| locked.name.as_str() == package && locked.source.is_some()) {
            dirs.extend(macros::unpacked(&facts.cargo_home, package, &locked.version.to_string()));
        }
        macros::scan_packages(&dirs)
    }
}

/// For each live unit the set of inputs that nobody read when it was compiled: of this job, or of an earlier one.
fn unread(
    job: &Job<'_>,
    live: &[usize],
    manifest: &mut Manifest,
    before: &[Option<&UnitRecord>],
) -> Vec<Option<usize>> {
    let place: HashMap<&str, usize> =
        manifest.inputs.iter().enumerate().map(|(at, input)| (input.path.as_str(), at)).collect();
    let indices = |paths: &mut dyn Iterator<Item = &str>| -> Unread {
        Unread::of(&paths.filter_map(|path| place.get(path).copied()).collect())
    };
    let mut sets = Vec::new();
    let restored = job.previous().map(|restored| &restored.manifest);
    for set in restored.iter().flat_map(|restored| &restored.unread) {
        let inputs = restored.iter().flat_map(|restored| restored.inputs.iter().enumerate());
        let paths = inputs.filter(|(at, _)| set.holds(*at)).map(|(_, input)| input.path.as_str());
        sets.push(indices(&mut paths.into_iter()));
    }
    let own = restored_sets(job);
    if let Some(unread) = &job.unread {
        sets.push(indices(&mut unread.paths.iter().map(String::as_str)));
    }
    let of_unit = |(place, before): (&usize, Option<&UnitRecord>)| match (before, &job.unread) {
        (Some(before), _) => before.macros.as_ref()?.unread,
        (None, Some(unread)) => {
            let began = job.unit(*place).started?;
            (job.was_compiled(*place) && began > unread.since).then_some(own)
        }
        (None, None) => None,
    };
    let found = live.iter().zip(before.iter().copied()).map(of_unit).collect();
    manifest.unread = sets;
    found
}

/// The sets of the restored state; the one of this job comes after them.
fn restored_sets(job: &Job<'_>) -> usize {
    job.previous().map_or(0, |restored| restored.manifest.unread.len())
}

/// Keeps the sets that units name.
fn forget_unused(manifest: &mut Manifest) {
    let names = |unit: &UnitRecord| unit.macros.as_ref()?.unread;
    let used: BTreeSet<usize> = manifest.units.iter().filter_map(names).collect();
    let place: BTreeMap<usize, usize> = used.iter().enumerate().map(|(new, old)| (*old, new)).collect();
    let sets = std::mem::take(&mut manifest.unread);
    manifest.unread = sets.into_iter().enumerate().filter(|(at, _)| used.contains(at)).map(|(_, set)| set).collect();
    let mut at = 0..;
    manifest.beyond.sets.retain(|_| at.next().is_some_and(|at| used.contains(&at)));
    for facts in manifest.units.iter_mut().filter_map(|unit| unit.macros.as_mut()) {
        facts.unread = facts.unread.and_then(|old| place.get(&old).copied());
    }
}
