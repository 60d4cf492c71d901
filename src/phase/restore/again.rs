//! A second `restore` in one job: for inputs that came only after the first. It fetches nothing and throws nothing away.
//!
//! What is as recorded gets its recorded time, unless something was built from what stood in its place; everything else keeps the
//! time that it has, as on a machine that was never wiped. A unit that cannot be shown to have seen an input as it is now is
//! invalidated. How it can be wrong: only where a save would be, since both go by the same evidence.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::Result;
use vec1::Vec1;

use super::{doubts, isolation, stamping};
use crate::cargo::fingerprint::Local;
use crate::cargo::survey;
use crate::cargo::units::{DiskUnit, Survey};
use crate::cargo::{named, traces};
use crate::digest::ContentId;
use crate::git::Repository;
use crate::job::facts::Facts;
use crate::job::handover::{JobMark, Restored, Run, State};
use crate::job::inputs::{Inputs, Stamp};
use crate::job::outcome::{IsolationOutcome, RestoreOutcome};
use crate::machine::disk::FileSystem;
use crate::machine::paths::is_under;
use crate::moment::Moment;
use crate::shim::late::LateList;
use crate::shim::unpacked::StableTargets;
use crate::stamp::ledger::Ledger;
use crate::stamp::reach::Reach;
use crate::stamp::recorded::same_files;
use crate::stamp::sight::{Reader, Sight};
use crate::stamp::sources::{self, Sources};
use crate::state::key::HardParts;
use crate::state::manifest::{Lies, PackageRecord};
use crate::state::manifest::{Manifest, Root};
use crate::unit::Unit;
use crate::unit::UnitPlace;

/// What the first `restore` of this job left, if there was one and its target is still there.
pub(super) fn earlier(inputs: &Inputs, facts: &Facts, roots: &Vec1<Root>) -> Option<State> {
    let state = State::load(&inputs.state).ok()?;
    let is_its_target = JobMark::read(&roots.first().path).is_some_and(|mark| mark == state.mark);
    // What is in the key by wish alone can be set by a step in between.
    let hard = HardParts { variables: state.parts.hard.variables.clone(), ..facts.parts.hard.clone() };
    let is_same = state.parts.hard == hard && state.inputs.workspaces == inputs.workspaces;
    // A job that was killed before its save leaves the same behind; the next one is another run, or of another commit.
    let is_same_run = state.run == Run::of_environment() && heads(facts).iter().all(|head| state.heads.contains(head));
    (is_its_target && is_same && is_same_run).then_some(state)
}

fn heads(facts: &Facts) -> Vec<String> {
    let repositories = facts.workspaces.iter().filter_map(|workspace| Repository::discover(&workspace.root));
    repositories.filter_map(|repository| repository.head).collect()
}

/// A unit on disk.
struct Standing<'a> {
    root: usize,
    unit: &'a DiskUnit,
    lies: Lies,
    named: BTreeSet<String>,
    /// It is the restored one.
    is_intact: bool,
}

pub(super) fn restore(
    mut state: State,
    facts: &Facts,
    roots: &Vec1<Root>,
    file_system: &FileSystem,
    notes: Vec<String>,
) -> Result<RestoreOutcome> {
    let paths: Vec<PathBuf> = roots.iter().map(|root| root.path.clone()).collect();
    let surveys = survey::survey_all(&paths)?;
    traces::forget_reading(&surveys);
    let blank = Manifest::blank(state.parts.clone(), roots.to_vec());
    let manifest = state.restored.as_ref().map_or(&blank, |restored| &restored.manifest);
    let standing = standing(&state, facts, &surveys);

    let mut scope = facts.scope_of(manifest);
    scope.named.extend(standing.iter().flat_map(|one| one.named.iter().cloned()));
    let mut found = sources::scan(&scope, file_system)?;
    sources::add_folders(&mut found, &scope, file_system);
    let mut outcome = state.outcome.clone();
    outcome.warnings = crate::problem::Warnings::default();
    (outcome.notes, outcome.interpreters) = (notes, facts.interpreters.named());

    let is_wanted = state.inputs.mtime == Stamp::Recorded;
    let mut times = if is_wanted { late(&state, manifest, &standing, &found) } else { BTreeMap::new() };
    if let Some(mut ledger) = Ledger::of(&facts.workspaces.first().root) {
        ledger.look(&found.inputs, &found.changed, file_system.now);
        times.retain(|path, time| *time >= ledger.floor(path));
        if let Err(error) = ledger.store() {
            outcome.warnings.fault("this machine's ledger", &error);
        }
    }
    let mut doubtful = unseen(&state, facts, manifest, &standing, &found);
    let changes = doubts::unseen_changes(facts, manifest, &found.repositories);
    let of_unit = |at: usize| (manifest.units[at].root, manifest.units[at].place.clone());
    let intact: BTreeSet<_> =
        standing.iter().filter(|one| one.is_intact).map(|one| (one.root, one.unit.place.clone())).collect();
    doubtful.extend(changes.into_iter().map(|(at, _)| of_unit(at)).filter(|unit| intact.contains(unit)));
    for failure in stamping::set_times(&times, &found) {
        outcome
            .warnings
            .push(crate::problem::Warning::new(format!("the time of `{}` could not be set: {}", failure.0, failure.1)));
    }
    for (root, place) in doubtful {
        doubts::invalidate_or_warn(&roots[root], &place, &mut outcome);
    }
    outcome.again = Some(times.len());

    let mut stamped: BTreeMap<String, Sight> = found
        .inputs
        .values()
        .map(|input| (input.path.clone(), Sight::of(input, times.get(&input.path).copied())))
        .collect();
    stamping::note_changes(&mut stamped);
    state.stamped.extend(stamped);
    // The shim's folder is looked at anew: somebody may have been at it.
    outcome.isolation = IsolationOutcome::default();
    let late = is_wanted.then_some(state.restored.as_ref()).flatten().map(|restored| LateList {
        roots: paths,
        workspaces: facts.workspaces.iter().map(|workspace| workspace.root.clone()).collect(),
        ..LateList::of(&restored.manifest, &state.stamped, state.shift, file_system.now)
    });
    let unpacked = is_wanted.then(|| StableTargets::inside(&roots.first().path, file_system.now));
    isolation::carry_out(state.inputs.isolation, &state.inputs.state, late, unpacked.as_ref(), &mut outcome);
    state.store(&state.inputs.state)?;
    Ok(outcome)
}

fn standing<'a>(state: &State, facts: &Facts, surveys: &'a [Survey]) -> Vec<Standing<'a>> {
    let intact = intact(state, surveys);
    let places = facts.whereabouts().locate(surveys, &|_, _| None);
    let mut standing = Vec::new();
    for (root, survey) in surveys.iter().enumerate() {
        for (unit, place) in survey.units.iter().zip(&places[root]) {
            let named = named::paths(unit, &place.dirs, &survey.root).into_iter().collect();
            let is_intact = intact.contains(&(root, unit.place.clone()));
            standing.push(Standing { root, unit, lies: place.lies.clone(), named, is_intact });
        }
    }
    standing
}

/// Restored units whose every file is still the restored one.
fn intact(state: &State, surveys: &[Survey]) -> BTreeSet<(usize, UnitPlace)> {
    let Some(Restored { manifest, changed, lost_units, .. }) = &state.restored else { return BTreeSet::new() };
    let same = same_files(manifest, changed, state.shift, surveys);
    let files = manifest.files.iter().enumerate();
    let broken: BTreeSet<usize> =
        files.filter(|(at, _)| !same.contains(at)).filter_map(|(_, file)| file.unit).collect();
    let units = manifest.units.iter().enumerate();
    let whole = units.filter(|(at, _)| !broken.contains(at) && !lost_units.contains(at));
    whole.map(|(_, unit)| (unit.root, unit.place.clone())).collect()
}

/// Inputs that are as recorded and have another time, although nothing was built from anything else in their place.
fn late(state: &State, manifest: &Manifest, standing: &[Standing<'_>], found: &Sources) -> BTreeMap<String, Moment> {
    let built: BTreeSet<&str> =
        standing.iter().filter(|one| !one.is_intact).flat_map(|one| one.named.iter().map(String::as_str)).collect();
    let built_from = |path: &str| {
        let above = std::iter::successors(Some(path), |path| crate::machine::paths::parent(path))
            .any(|dir| built.contains(dir));
        // A folder is read with everything below it.
        let below = crate::machine::paths::join(path, "");
        above || built.range(below.as_str()..).next().is_some_and(|named| is_under(named, path))
    };
    // Such a unit may have read every file of its package.
    let uses_macros = |one: &Standing<'_>| {
        let of_package = manifest.units.iter().filter(|unit| unit.place.package == one.unit.place.package);
        let mut of_package = of_package.peekable();
        of_package.peek().is_none() || of_package.any(crate::state::manifest::UnitRecord::uses_reading_macros)
    };
    let reads_all =
        |one: &&Standing<'_>| one.unit.locals().any(|local| local == Local::Precalculated) || uses_macros(one);
    let built_so = standing.iter().filter(|one| !one.is_intact).filter(reads_all);
    let packages: BTreeSet<&str> = built_so.map(|one| one.unit.place.package.as_str()).collect();
    let of_built_package = |path: &str| {
        let owners = manifest.packages.iter().filter(|package| is_under(path, &package.dir));
        owners.max_by_key(|package| package.dir.len()).is_some_and(|owner| packages.contains(owner.name.as_str()))
    };
    let recorded = manifest.inputs.iter().filter_map(|then| Some((then, found.inputs.get(&then.path)?)));
    let same = recorded.filter(|(then, now)| now.is(then));
    let times = same.map(|(then, now)| (now, then.mtime.minus(state.shift))).filter(|(now, time)| now.mtime != *time);
    let ours = times.filter(|(now, _)| {
        now.origin != crate::state::manifest::Origin::Outside || found.own_outside.contains(&now.path)
    });
    // The save knows by the same time what a script wrote in this job.
    let made_now = |path: &str| {
        let scripts = standing.iter().filter(|one| !one.is_intact && one.unit.is_run());
        let changed = found.changed.get(path);
        changed.is_some_and(|changed| {
            scripts.filter_map(|one| one.unit.span()).any(|(from, to)| from <= *changed && *changed <= to)
        })
    };
    let ours = ours.filter(|(now, _)| !built_from(&now.path) && !of_built_package(&now.path) && !made_now(&now.path));
    ours.map(|(now, time)| (now.path.clone(), time)).collect()
}

/// Units that were built from something else than what is there now, unless Cargo sees that by itself.
fn unseen(
    state: &State,
    facts: &Facts,
    manifest: &Manifest,
    standing: &[Standing<'_>],
    found: &Sources,
) -> BTreeSet<(usize, UnitPlace)> {
    let view = found.beside(&state.stamped);
    let saw: BTreeMap<&str, (&ContentId, Moment)> = manifest
        .inputs
        .iter()
        .map(|input| (input.path.as_str(), (&input.id, input.mtime.minus(state.shift))))
        .collect();
    let packages = facts.packages();
    let doubted = standing.iter().filter(|one| {
        let reference = one.unit.reference;
        let built = one.unit.started.unwrap_or(reference).min(reference);
        let reader = if one.is_intact { Reader::Kept { reference, saw: &saw } } else { Reader::Built(built) };
        let reach = Reach { view: &view, packages: &packages, reader };
        let own = |package: &PackageRecord| one.lies.may_be_in(package, &one.unit.place.package);
        let whole = one.unit.locals().any(|local| local == Local::Precalculated);
        one.named.iter().any(|path| !view.was_seen(path, reader))
            || !reach.unseen_in_packages(own, whole).is_empty()
            || !reach.unseen_links_to(&one.named).is_empty()
    });
    doubted.map(|one| (one.root, one.unit.place.clone())).collect()
}
