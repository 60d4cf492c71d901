//! Which stored state to start from: the one that leaves the least to compile.
//!
//! The newest state whose soft parts are equal is usually the newest of all; then nothing else is looked at. Else the newest
//! few are compared by their indexes: a unit counts if this lock file can still want it, the files that it read are, by git's
//! index, as they were, and so are the variables that it tracks. A wrong guess costs time and never truth: whatever is chosen is stamped by what is on disk.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Result, ensure};
use rayon::prelude::*;

use crate::cargo::spoken;
use crate::git::Repository;
use crate::job::facts::Facts;
use crate::machine::paths;
use crate::pack::{Pack, seed};
use crate::problem::{GivenUp, Warnings};
use crate::state::key::{Fit, Key, KeyFields};
use crate::state::manifest::{EnvRecord, Input, InputKind, LockedPackage, Manifest, Origin, Root, UnitRecord};
use crate::state::secrets::Secrets;
use crate::store::Store;
use crate::unit::UnitPlace;

/// How many damaged entries are passed over before a start counts as cold.
const TRIES: usize = 3;
/// How many indexes are read to find the nearest state.
const CANDIDATES: usize = 4;

/// What a lookup came to.
#[derive(Debug)]
pub(super) enum Chosen<'a> {
    /// The job's own, and older ones of its own that may add to it.
    State(Box<Pack<'a>>, Fit, Vec<Pack<'a>>),
    /// Another job's, of equal set-up, and those of others that may add to it.
    Siblings(Box<Pack<'a>>, Fit, Vec<Pack<'a>>),
    Nothing,
    /// Nobody knows what is stored; a warning says why.
    Unanswered,
}

/// Says which of several states is best; the newest comes first.
pub(super) type Judge<'a> = dyn Fn(&[(Pack<'a>, Fit)]) -> usize + 'a;

/// Looks for the best state that fits, and notes the ones that are damaged. `judge` tells of several which one is best, the
/// newest first.
pub(super) fn best<'a>(
    store: &'a dyn Store,
    fields: &KeyFields,
    roots: Option<&[Root]>,
    judge: &Judge<'a>,
    passed_over: &mut BTreeSet<String>,
    warnings: &mut Warnings,
) -> Chosen<'a> {
    let mut left = match entries(store, fields) {
        Ok(keys) => keys,
        Err(error) => {
            warnings.fault(&format!("looking in the {}", store.describe()), &error);
            return Chosen::Unanswered;
        }
    };
    left.retain(|(key, _)| !passed_over.contains(key));
    let mut damaged = 0;
    while !left.is_empty() && damaged < TRIES {
        let exact = left.iter().position(|(_, fit)| *fit == Fit::Soft);
        let newer = exact.unwrap_or(left.len()).min(CANDIDATES - usize::from(exact.is_some()));
        let mut group: Vec<(String, Fit)> = exact.map(|at| left.remove(at)).into_iter().collect();
        group.splice(0..0, left.drain(..newer));
        let mut candidates = Vec::new();
        for (key, fit) in group {
            match open(store, &key, roots) {
                Ok(pack) => candidates.push((pack, fit)),
                Err(error) => {
                    damaged += 1;
                    warnings.fault("a stored state is passed over", &error);
                    passed_over.insert(key);
                    if candidates.is_empty() && GivenUp::in_chain(&error).is_some() {
                        return Chosen::Unanswered;
                    }
                }
            }
        }
        if !candidates.is_empty() {
            let best = if candidates.len() == 1 { 0 } else { judge(&candidates) };
            let (pack, fit) = candidates.remove(best);
            // What the last run with this lock file left has all that there is for it.
            let others = if fit == Fit::Soft { Vec::new() } else { candidates };
            return Chosen::State(Box::new(pack), fit, others.into_iter().map(|(pack, _)| pack).collect());
        }
    }
    Chosen::Nothing
}

/// What makes two jobs one machine, beyond the parts of a key.
struct Surroundings<'a> {
    /// What is installed.
    system: &'a str,
    /// All variables, by marks, and those that the sources speak of.
    variables: BTreeMap<String, String>,
    spoken: BTreeMap<String, String>,
}

impl<'a> Surroundings<'a> {
    fn of(facts: &Facts, system: &'a str) -> Self {
        let variables = Secrets::of_environment().marks();
        let blobs = blobs(facts);
        let files: Vec<&str> = blobs.keys().map(String::as_str).collect();
        let spoken = spoken::spoken(&files, &variables);
        Self { system, variables, spoken }
    }

    /// Whether that state was made on a machine like this one, as far as no fingerprint knows.
    fn fit(&self, manifest: &Manifest) -> bool {
        manifest.system == self.system && spoken::agree(&self.variables, &self.spoken, &manifest.spoken)
    }
}

/// The best state of another job that is set up like this one, where it has nothing itself.
pub(super) fn of_siblings<'a>(
    store: &'a dyn Store,
    (facts, system): (&Facts, &str),
    roots: &[Root],
    judge: &Judge<'a>,
    passed_over: &mut BTreeSet<String>,
    warnings: &mut Warnings,
) -> Chosen<'a> {
    let (parts, own) = (&facts.parts, facts.parts.fields());
    // Where its own entries could not be used, that has been said, and one cause is one warning.
    let is_said = !passed_over.is_empty();
    let mut fault = |what: &str, error: &anyhow::Error| {
        if is_said {
            tracing::debug!("{what}: {error:#}");
        } else {
            warnings.fault(what, error);
        }
    };
    let siblings = match seed::siblings(store, parts) {
        Ok(siblings) => siblings,
        Err(error) => {
            fault("looking for jobs like this one", &error);
            return Chosen::Nothing;
        }
    };
    let keys = seed::newest(store, &own, &siblings);
    let opened: Vec<Result<Pack<'a>>> = keys.par_iter().map(|key| open(store, key, Some(roots))).collect();
    if keys.is_empty() {
        return Chosen::Nothing;
    }
    let here = Surroundings::of(facts, system);
    let mut candidates = Vec::new();
    for (key, opened) in keys.into_iter().zip(opened) {
        match opened {
            Ok(pack) if !here.fit(&pack.index.manifest) => {}
            // What another job used says nothing of what this one uses.
            Ok(pack) => candidates.push((pack, Fit::Hard)),
            Err(error) => {
                fault("a stored state is passed over", &error);
                passed_over.insert(key);
            }
        }
    }
    if candidates.is_empty() {
        return Chosen::Nothing;
    }
    let best = if candidates.len() == 1 { 0 } else { judge(&candidates) };
    let (pack, _) = candidates.remove(best);
    // What lies there is as good as the job's own.
    let fit = if pack.index.manifest.parts.fields().soft == own.soft { Fit::Soft } else { Fit::Hard };
    Chosen::Siblings(Box::new(pack), fit, candidates.into_iter().map(|(pack, _)| pack).collect())
}

/// Everything whose hard parts are equal, newest first. A service may name only the newest of what it is asked for, so the
/// newest with equal soft parts is asked for by itself where it was not named.
fn entries(store: &dyn Store, fields: &KeyFields) -> Result<Vec<(String, Fit)>> {
    let hard = admitted(store, fields, Fit::Hard)?;
    let is_exact = |key: &String| Key::parse(key).is_some_and(|key| fields.admits(&key, Fit::Soft));
    let with_fit = |key: String| if is_exact(&key) { (key, Fit::Soft) } else { (key, Fit::Hard) };
    let mut entries: Vec<(String, Fit)> = hard.into_iter().map(with_fit).collect();
    if !entries.iter().any(|(_, fit)| *fit == Fit::Soft) {
        entries.extend(admitted(store, fields, Fit::Soft)?.into_iter().map(|key| (key, Fit::Soft)));
    }
    Ok(entries)
}

pub(super) fn admitted(store: &dyn Store, fields: &KeyFields, fit: Fit) -> Result<Vec<String>> {
    let entries = store.find(&fields.prefix(fit))?;
    let fits = |key: &String| Key::parse(key).is_some_and(|key| fields.admits(&key, fit));
    Ok(entries.into_iter().map(|entry| entry.key).filter(fits).collect())
}

fn open<'a>(store: &'a dyn Store, key: &str, roots: Option<&[Root]>) -> Result<Pack<'a>> {
    let pack = Pack::open(store, key)?;
    ensure!(pack.index.manifest.key == key, "`{key}` says that it is `{}`", pack.index.manifest.key);
    if let Some(roots) = roots {
        ensure!(pack.index.manifest.roots == roots, "`{key}` is for other folders");
    }
    Ok(pack)
}

/// The candidate that would leave the most seconds of compiling fresh; of equal ones the newest, which comes first.
pub(super) fn nearest(facts: &Facts, candidates: &[(Pack<'_>, Fit)]) -> usize {
    let manifests: Vec<(&Manifest, Fit)> = candidates.iter().map(|(pack, fit)| (&pack.index.manifest, *fit)).collect();
    let own: BTreeSet<&str> = facts
        .workspaces
        .iter()
        .flat_map(|workspace| &workspace.packages)
        .map(|package| package.name.as_str())
        .collect();
    let now = Now { blobs: blobs(facts), variables: Secrets::of_environment().records() };
    best_of(&manifests, &facts.locked_packages(), &own, &now)
}

/// What lies and holds here.
#[derive(Default)]
struct Now {
    /// Of all files that git tracks below the workspaces, by path.
    blobs: HashMap<String, String>,
    variables: BTreeMap<String, EnvRecord>,
}

impl Now {
    fn changed(&self, input: &Input) -> bool {
        let is_blob = input.origin == Origin::Tracked && input.kind == InputKind::File;
        let is_same = |blob: &String| *blob == input.id.to_string();
        is_blob && !self.blobs.is_empty() && !self.blobs.get(&input.path).is_some_and(is_same)
    }

    /// As far as both values may be told.
    fn drifted(&self, name: &str, then: &EnvRecord) -> bool {
        let now = self.variables.get(name).unwrap_or(&EnvRecord::Unset);
        ![then, now].contains(&&EnvRecord::Set) && then != now
    }
}

/// The blobs of all files that git tracks below the workspaces, by path.
fn blobs(facts: &Facts) -> HashMap<String, String> {
    let mut blobs = HashMap::new();
    for root in facts.workspaces.iter().flat_map(crate::cargo::workspace::Workspace::source_roots) {
        // Where git cannot be asked, every file counts as it was: the newest state is as good as any.
        let listing = Repository::discover(&root).and_then(|repository| repository.list(&[root]).ok());
        let tracked = listing.into_iter().flat_map(|listing| listing.tracked);
        blobs.extend(tracked.map(|file| (paths::text(&file.path), file.blob.to_string())));
    }
    blobs
}

type UnitKey<'a> = (usize, &'a UnitPlace);

fn unit_key(unit: &UnitRecord) -> UnitKey<'_> {
    (unit.root, &unit.place)
}

fn best_of(
    candidates: &[(&Manifest, Fit)],
    locked: &BTreeSet<LockedPackage>,
    own: &BTreeSet<&str>,
    now: &Now,
) -> usize {
    // A unit took longer here and shorter there: it has to weigh the same everywhere.
    let mut weights: BTreeMap<UnitKey<'_>, f64> = BTreeMap::new();
    for unit in candidates.iter().flat_map(|(manifest, _)| &manifest.units) {
        let weight = weights.entry(unit_key(unit)).or_default();
        *weight = weight.max(unit.seconds + 0.001);
    }
    // What a run with these very soft parts used is what this one is going to use.
    let exact = candidates.iter().find(|(_, fit)| *fit == Fit::Soft);
    let used: Option<BTreeSet<UnitKey<'_>>> =
        exact.map(|(manifest, _)| manifest.units.iter().filter(|unit| unit.idle == 0).map(unit_key).collect());
    let worth = |manifest: &Manifest| -> f64 {
        let wanted = wanted(manifest, locked, own);
        let counts = |unit: &UnitRecord| match &used {
            Some(used) => used.contains(&unit_key(unit)),
            None => wanted.contains(unit.place.package.as_str()),
        };
        let stale = stale(manifest, now, &counts);
        let fresh = manifest.units.iter().zip(stale).filter(|(_, stale)| !stale);
        fresh.map(|(unit, _)| weights.get(&unit_key(unit)).copied().unwrap_or_default()).sum()
    };
    let worths = candidates.iter().map(|(manifest, _)| worth(manifest));
    let mut best = (0, f64::NEG_INFINITY);
    for (at, worth) in worths.enumerate() {
        if worth > best.1 + 1e-6 {
            best = (at, worth);
        }
    }
    best.0
}

/// Names of the packages of a state of which the lock files name the version that it was built with.
pub(super) fn locked_alike<'a>(facts: &Facts, manifest: &'a Manifest) -> BTreeSet<&'a str> {
    wanted(manifest, &facts.locked_packages(), &BTreeSet::new())
}

/// Packages of which this lock file names a version that the state was built with.
fn wanted<'a>(manifest: &'a Manifest, locked: &BTreeSet<LockedPackage>, own: &BTreeSet<&'a str>) -> BTreeSet<&'a str> {
    let common = manifest.locked.intersection(locked).filter_map(|common| manifest.locked.get(common));
    common.map(|package| package.name.as_str()).chain(own.iter().copied()).collect()
}

/// Which units nobody wants or read something that is not as it was, or were built from one like that.
fn stale(manifest: &Manifest, now: &Now, counts: &dyn Fn(&UnitRecord) -> bool) -> Vec<bool> {
    let changed: Vec<bool> = manifest.inputs.iter().map(|input| now.changed(input)).collect();
    let drifted: BTreeSet<&str> =
        manifest.env.iter().filter(|(name, then)| now.drifted(name, then)).map(|(name, _)| name.as_str()).collect();
    let is_stale = |unit: &UnitRecord| {
        let reads_another = unit.inputs.iter().any(|&input| changed[input]);
        !counts(unit) || reads_another || unit.env.iter().any(|name| drifted.contains(name.as_str()))
    };
    let mut stale: Vec<bool> = manifest.units.iter().map(is_stale).collect();
    // Each round carries it at least one edge further, and hostile edges may run in circles.
    for _ in 0..manifest.units.len() {
        let spread: Vec<usize> = (0..stale.len())
            .filter(|&at| !stale[at] && manifest.units[at].deps.iter().any(|&dep| stale[dep]))
            .collect();
        if spread.is_empty() {
            break;
        }
        for at in spread {
            stale[at] = true;
        }
    }
    stale
}
