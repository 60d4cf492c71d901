//! Units that are not trusted whatever the times say: found out where only this machine can tell, and carried out on the disk.
//!
//! How it can be wrong: a unit that depends on something of the machine that no rule here knows of.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use vec1::Vec1;

use super::Arrival;
use crate::cargo::invalidate::invalidate;
use crate::explain::forecast::Forecast;
use crate::git::Repository;
use crate::job::facts::Facts;
use crate::job::outcome::RestoreOutcome;
use crate::machine::libraries::{self, fact::LibraryFact};
use crate::machine::paths;
use crate::problem::Warning;
use crate::shim::folder::ShimFolder;
use crate::stamp::doubt::Doubt;
use crate::stamp::plan::StampPlan;
use crate::stamp::shared_outputs;
use crate::state::manifest::{Manifest, Root, UnitRecord};
use crate::unit::{Unit, UnitPlace};

/// What Cargo never sees: replaced libraries, a commit that a build script wrote down, another interpreter at the same path.
pub(super) fn unseen_changes(facts: &Facts, manifest: &Manifest, repositories: &[Repository]) -> Vec<(usize, Doubt)> {
    let mut doubts = Vec::new();
    let runs = manifest.units.iter().enumerate().filter_map(|(at, unit)| Some((at, unit.run.as_ref()?)));
    let runs: Vec<_> = runs.collect();
    let files: BTreeSet<PathBuf> =
        runs.iter().flat_map(|(_, run)| run.libraries.iter().map(|fact| paths::path(&fact.file))).collect();
    let now: HashMap<String, String> =
        libraries::identify(&files, None).into_iter().map(|fact| (fact.file.clone(), version_of(&fact))).collect();
    for (at, run) in &runs {
        for fact in &run.libraries {
            let (old, new) = (version_of(fact), now.get(&fact.file).cloned().unwrap_or_default());
            if old != new {
                doubts.push((*at, Doubt::LibraryChanged { file: fact.file.clone(), old, new }));
            }
        }
    }
    let mut described: HashMap<&String, Option<String>> = HashMap::new();
    let heads: Vec<&String> = repositories.iter().filter_map(|repository| repository.head.as_ref()).collect();
    // Where git cannot say which commit this is, it counts as another one.
    let new = heads.first().map_or("unknown", |head| head.as_str());
    let embedding = runs.iter().filter_map(|(at, run)| Some((*at, run.commit.as_ref()?)));
    for (at, old) in embedding.filter(|(_, commit)| !heads.contains(commit)) {
        doubts.push((at, Doubt::HeadChanged { old: old.clone(), new: new.to_owned() }));
    }
    doubts.extend(runs.iter().filter_map(|(at, run)| {
        let then = run.described.as_ref()?;
        let repository = repositories.iter().find(|repository| paths::text(&repository.top) == then.top);
        let now = described.entry(&then.top).or_insert_with(|| repository.and_then(Repository::described));
        let (old, new) = (then.text.clone(), now.clone().unwrap_or_default());
        (old != new || old.is_empty()).then_some((*at, Doubt::HeadChanged { old, new }))
    }));
    let mut branches: HashMap<&String, Option<String>> = HashMap::new();
    doubts.extend(runs.iter().filter_map(|(at, run)| {
        let then = run.branch.as_ref()?;
        let repository = repositories.iter().find(|repository| paths::text(&repository.top) == then.top);
        let now = branches.entry(&then.top).or_insert_with(|| repository.and_then(Repository::branch));
        let (old, new) = (then.text.clone(), now.clone().unwrap_or_default());
        (old != new).then_some((*at, Doubt::BranchChanged { old, new }))
    }));
    let (old, new) = (&manifest.parts.soft.interpreters, &facts.parts.soft.interpreters);
    let watching = runs.iter().filter_map(|(at, run)| Some((*at, run.interpreter.as_deref()?)));
    // An alias is named after its interpreter: another one is another text, and Cargo compares that.
    let aliases = ShimFolder::of_job().aliases();
    let watching = watching.filter(|(_, watched)| !Path::new(watched).starts_with(&aliases));
    doubts.extend(watching.filter_map(|(at, watched)| Some((at, Doubt::of_interpreter(watched, old, new)?))));
    doubts
}

fn version_of(fact: &LibraryFact) -> String {
    match &fact.owner {
        Some(owner) => format!("{owner} {}", fact.version),
        None => fact.version.clone(),
    }
}

/// Invalidates what names an input whose time is not what the plan wanted.
pub(super) fn distrust_readers(
    manifest: Option<&Manifest>,
    failures: &[(String, String)],
    roots: &Vec1<Root>,
    outcome: &mut RestoreOutcome,
) {
    let Some(manifest) = manifest else { return };
    let failed: BTreeSet<&str> = failures.iter().map(|(path, _)| path.as_str()).collect();
    let names_one = |unit: &&UnitRecord| {
        unit.is_precalculated() || unit.inputs.iter().any(|&at| failed.contains(manifest.inputs[at].path.as_str()))
    };
    for unit in manifest.units.iter().filter(names_one) {
        invalidate_or_warn(&roots[unit.root], &unit.place, outcome);
    }
}

pub(super) fn carry_out_doubts(
    facts: &Facts,
    roots: &Vec1<Root>,
    arrival: &mut Arrival,
    plan: &StampPlan,
    outcome: &mut RestoreOutcome,
) {
    let mut invalid: BTreeMap<(usize, UnitPlace), (String, Vec<Doubt>)> = BTreeMap::new();
    if let Some(restored) = &mut arrival.restored {
        for (&at, doubts) in &plan.doubts {
            let unit = &restored.manifest.units[at];
            invalid.insert((unit.root, unit.place.clone()), (unit.title(), doubts.clone()));
            restored.lost_units.insert(at);
        }
        for (root, place) in &arrival.unknown {
            invalid.insert((*root, place.clone()), (place.package.clone(), vec![Doubt::Unrecorded]));
        }
    } else {
        // Sources all have new times; vendored ones are the ones that Cargo would not look at.
        let vendored: BTreeSet<&str> = facts.vendored.iter().map(|package| package.name.as_str()).collect();
        for (root, place) in arrival.unknown.iter().filter(|(_, place)| vendored.contains(place.package.as_str())) {
            invalid.insert((*root, place.clone()), (place.package.clone(), vec![Doubt::Unrecorded]));
        }
    }
    distrust(invalid, roots, arrival, outcome);
}

/// Units that write one file, of which one will be compiled: Cargo would take what that leaves for what another one had left. Of
/// what another job stored nobody knows which of them is asked for. Whether there were any.
pub(super) fn carry_out_shared_outputs(
    roots: &Vec1<Root>,
    arrival: &mut Arrival,
    forecast: Option<&Forecast>,
    outcome: &mut RestoreOutcome,
) -> bool {
    let Some(restored) = &mut arrival.restored else { return false };
    let units = &restored.manifest.units;
    let place = |at: usize| units[at].place.name_in(units[at].root);
    let is_foreseen = |at: &usize| forecast.is_none_or(|forecast| forecast.holds(&place(*at)));
    let mut sets = shared_outputs::sets(&restored.manifest);
    sets.retain(|set| set.iter().any(is_foreseen));
    let doubted = sets.into_iter().flatten();
    let invalid: BTreeMap<_, _> = doubted
        .map(|at| {
            restored.lost_units.insert(at);
            ((units[at].root, units[at].place.clone()), (units[at].title(), vec![Doubt::SharesItsOutput]))
        })
        .collect();
    let is_any = !invalid.is_empty();
    distrust(invalid, roots, arrival, outcome);
    is_any
}

fn distrust(
    invalid: BTreeMap<(usize, UnitPlace), (String, Vec<Doubt>)>,
    roots: &Vec1<Root>,
    arrival: &mut Arrival,
    outcome: &mut RestoreOutcome,
) {
    for ((root, place), (title, doubts)) in invalid {
        invalidate_or_warn(&roots[root], &place, outcome);
        if let Some(doubt) = doubts.first() {
            arrival.forced.insert(place.name_in(root), doubt.to_string());
        }
        let known = outcome.doubts.entry(title).or_default();
        known.extend(doubts.into_iter().filter(|doubt| !matches!(doubt, Doubt::Incomplete { .. })));
    }
    outcome.doubts.retain(|_, doubts| !doubts.is_empty());
}

pub(super) fn invalidate_or_warn(root: &Root, place: &UnitPlace, outcome: &mut RestoreOutcome) {
    if let Err(error) = invalidate(&root.path, place) {
        // What cannot be invalidated cannot be kept either.
        let dir = root.path.join(place.fingerprint_dir());
        let removed = fs_err::remove_dir_all(dir);
        let text = format!(
            "`{}` could not be invalidated: {error}; its fingerprint is removed: {}",
            place.name_in(0),
            removed.is_ok()
        );
        outcome.warnings.push(Warning::new(text));
    }
}
