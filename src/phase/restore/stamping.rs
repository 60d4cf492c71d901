//! Carries a stamping plan out: looks at the sources, plans, sets times, invalidates units, and waits until no time is ahead.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use rayon::prelude::*;
use vec1::Vec1;

use super::{Arrival, watching};
use crate::cargo::invalidate::invalidate;
use crate::git::{Repository, TimeOf};
use crate::job::facts::Facts;
use crate::job::inputs::Stamp;
use crate::job::outcome::RestoreOutcome;
use crate::machine::disk::{self, FileSystem, Kind, Meta};
use crate::machine::libraries;
use crate::machine::paths;
use crate::moment::Moment;
use crate::problem::Warning;
use crate::shim::folder::ShimFolder;
use crate::stamp::doubt::{ClockSkew, Doubt};
use crate::stamp::ledger::Ledger;
use crate::stamp::plan::{self as planning, Present, StampPlan};
use crate::stamp::sight::{Sight, Stamped};
use crate::stamp::sources::{self, Sources};
use crate::state::manifest::{Input, InputKind, Manifest, Root};
use crate::unit::Unit;
use crate::unit::UnitPlace;
use crate::words::count;

/// What the sources were when everything was set.
pub(super) struct Inputs {
    pub(super) stamped: Stamped,
    pub(super) heads: Vec<String>,
}

pub(super) fn stamp(
    facts: &Facts,
    roots: &Vec1<Root>,
    file_system: &FileSystem,
    wish: Stamp,
    arrival: &mut Arrival,
    outcome: &mut RestoreOutcome,
) -> Result<Inputs> {
    let manifest = arrival.restored.as_ref().map(|restored| &restored.manifest);
    let scope = facts.scope(manifest.map(named_paths).unwrap_or_default());
    let mut found = sources::scan(&scope, file_system)?;
    sources::add_folders(&mut found, &scope, file_system);
    if let Some(root) = scope.roots.iter().find(|root| found.repositories.is_empty() && has_git_folder(root)) {
        let text = format!(
            "git cannot be asked about `{}` (is it another user's?), so every file there is read",
            root.display()
        );
        outcome.warnings.push(Warning::new(text));
    }
    for (top, reason) in &found.unlisted {
        let text = format!("git cannot list `{}`, so every file there is read: {reason}", top.display());
        outcome.warnings.push(Warning::new(text.replace('\n', " ")));
    }
    let new_time = file_system.new_time(arrival.newest);
    let cold = manifest.is_none() && arrival.unknown.is_empty();
    let ledger = Ledger::of(&facts.workspaces.first().root);
    let is_hosted = ledger.is_none();
    let mut plan = match manifest {
        Some(manifest) => {
            let mut doubts = arrival.doubts.clone();
            doubts.extend(unseen_changes(facts, manifest, &found.repositories));
            let present = Present {
                inputs: std::mem::take(&mut found.inputs),
                own_outside: std::mem::take(&mut found.own_outside),
                new_time,
                shift: arrival.shift,
                doubts,
            };
            let plan = planning::plan(manifest, &present);
            found.inputs = present.inputs;
            plan
        }
        None if cold && wish == Stamp::AsCheckedOut => StampPlan::default(),
        // Elsewhere a target folder that nobody told us of may have been built from something newer.
        None if cold && !is_hosted => StampPlan::default(),
        None if cold => commit_times(&found, file_system.now, outcome),
        None => {
            let present = Present { inputs: std::mem::take(&mut found.inputs), new_time, ..Present::default() };
            let plan = planning::plan_without_manifest(&present);
            found.inputs = present.inputs;
            plan
        }
    };
    if wish == Stamp::AsCheckedOut {
        // Old times are not given back; what changed is still newer than everything restored.
        plan.times.retain(|_, time| *time >= new_time);
    }
    if let Some(ledger) = ledger {
        keep_to(ledger, &found, new_time, &mut plan, outcome);
    }
    // Before any source gets an old time: whoever is killed in between must not leave a unit that looks newer than its sources.
    arrival.touched = touched_sources(manifest, &plan.skewed);
    carry_out_doubts(facts, roots, arrival, &plan, outcome);
    // Git writes into its own folder when it refreshes its index, so what lies in there comes last.
    let (inside_git, times): (BTreeMap<_, _>, BTreeMap<_, _>) =
        plan.times.iter().map(|(path, time)| (path.clone(), *time)).partition(|(path, _)| is_inside_git(path, &found));
    let failures = set_times(&times, &found);
    if let Some((path, error)) = failures.first() {
        outcome
            .warnings
            .push(Warning::new(format!("{} times could not be set, `{path}` first: {error}", failures.len())));
    }
    if !failures.is_empty() && !cold {
        // A source that keeps an unknown time could look older than it is.
        distrust_readers(manifest_of(arrival), &failures, roots, outcome);
    }
    let listed = found.repositories.iter().filter(|repository| !found.unlisted.contains_key(&repository.top));
    let refreshes: Vec<_> = listed.map(Repository::refresh_index).collect();
    reset_access_times(roots, arrival, file_system);
    wait_until(new_time, file_system, roots);
    for refresh in refreshes {
        if let Err(error) = refresh.and_then(crate::git::Refresh::finish) {
            outcome.warnings.fault("git's index was not refreshed", &error);
        }
    }
    // After git's last look at the files.
    arrival.watch = watching::begin(facts, roots, manifest_of(arrival), &found, outcome);
    let failures = set_times(&with_companions(inside_git, &found), &found);
    if !failures.is_empty() && !cold {
        distrust_readers(manifest_of(arrival), &failures, roots, outcome);
    }

    let sight = |input: &Input| (input.path.clone(), Sight::of(input, plan.times.get(&input.path).copied()));
    let stamped = found.inputs.values().map(sight).collect();
    outcome.stamping.same = plan.same;
    outcome.stamping.differing = plan.differing;
    outcome.stamping.skewed = plan.skewed;
    outcome.stamping.not_ours = plan.not_ours;
    let heads = found.repositories.iter().filter_map(|repository| repository.head.clone()).collect();
    Ok(Inputs { stamped, heads })
}

/// No file gets a time at which this machine is known to have held something else in its place.
fn keep_to(mut ledger: Ledger, found: &Sources, new_time: Moment, plan: &mut StampPlan, outcome: &mut RestoreOutcome) {
    ledger.look(&found.inputs, &found.changed, new_time);
    let mut raised = Vec::new();
    for (path, time) in &mut plan.times {
        let floor = ledger.floor(path);
        if floor > *time {
            *time = floor;
            raised.push(path.as_str());
        }
    }
    if let Some(first) = raised.first() {
        outcome.notes.push(format!(
            "{} as recorded, `{}` first, but this machine held something else there meanwhile: what reads them counts as old",
            count(raised.len(), "file"),
            paths::shown(first)
        ));
    }
    if let Err(error) = ledger.store() {
        outcome.warnings.fault("this machine's ledger", &error);
    }
}

fn manifest_of(arrival: &Arrival) -> Option<&Manifest> {
    arrival.restored.as_ref().map(|restored| &restored.manifest)
}

fn is_inside_git(path: &str, found: &Sources) -> bool {
    let path = paths::path(path);
    found.repositories.iter().any(|repository| repository.owns(&path))
}

/// What means nothing by itself inside `.git` gets the time of the folder that is watched.
fn with_companions(mut times: BTreeMap<String, Moment>, found: &Sources) -> BTreeMap<String, Moment> {
    for (folder, companions) in &found.companions {
        let Some(&time) = times.get(folder) else { continue };
        for path in companions {
            times.entry(path.clone()).or_insert(time);
        }
    }
    times
}

/// Notes when each input last changed in any way, now that everything is set: from here on that is the job's doing.
pub(super) fn note_changes(stamped: &mut Stamped) {
    stamped.par_iter_mut().for_each(|(path, sight)| {
        let meta = Meta::of(&paths::path(path)).ok();
        sight.changed = meta.as_ref().and_then(|meta| meta.ctime);
        sight.shell = meta.as_ref().and_then(Meta::shell);
    });
}

/// The files whose new times are ours and not their own.
fn touched_sources(manifest: Option<&Manifest>, skewed: &[ClockSkew]) -> BTreeMap<String, String> {
    let mut reasons = BTreeMap::new();
    let packages = manifest.map(|manifest| manifest.packages.as_slice()).unwrap_or_default();
    for skew in skewed {
        for record in packages.iter().filter(|record| record.name == skew.package) {
            let manifest = format!("{}/Cargo.toml", record.dir);
            for path in record.sources.iter().cloned().chain([manifest]) {
                reasons.insert(path, skew.to_string());
            }
        }
    }
    reasons
}

fn has_git_folder(dir: &Path) -> bool {
    dir.ancestors().any(|dir| dir.join(".git").exists())
}

/// Paths that units name: what has to be looked at although git does not list it.
pub(super) fn named_paths(manifest: &Manifest) -> BTreeSet<String> {
    let indices: BTreeSet<usize> = manifest.units.iter().flat_map(|unit| unit.inputs.iter().copied()).collect();
    let made = manifest.units.iter().flat_map(|unit| &unit.run).flat_map(|run| run.made.iter().copied());
    indices.into_iter().chain(made).map(|at| manifest.inputs[at].path.clone()).collect()
}

/// What Cargo never sees: replaced libraries, a commit that a build script wrote down, another interpreter at the same path.
pub(super) fn unseen_changes(facts: &Facts, manifest: &Manifest, repositories: &[Repository]) -> Vec<(usize, Doubt)> {
    let mut doubts = Vec::new();
    let runs = manifest.units.iter().enumerate().filter_map(|(at, unit)| Some((at, unit.run.as_ref()?)));
    let runs: Vec<_> = runs.collect();
    let files: BTreeSet<PathBuf> = runs
        .iter()
        .flat_map(|(_, run)| run.libraries.iter().map(|fact| crate::machine::paths::path(&fact.file)))
        .collect();
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
        let repository =
            repositories.iter().find(|repository| crate::machine::paths::text(&repository.top) == then.top);
        let now = described.entry(&then.top).or_insert_with(|| repository.and_then(Repository::described));
        let (old, new) = (then.text.clone(), now.clone().unwrap_or_default());
        (old != new || old.is_empty()).then_some((*at, Doubt::HeadChanged { old, new }))
    }));
    let (old, new) = (&manifest.parts.soft.interpreters, &facts.parts.soft.interpreters);
    let watching = runs.iter().filter_map(|(at, run)| Some((*at, run.interpreter.as_deref()?)));
    // An alias is named after its interpreter: another one is another text, and Cargo compares that.
    let aliases = ShimFolder::of_job().aliases();
    let watching = watching.filter(|(_, watched)| !Path::new(watched).starts_with(&aliases));
    doubts.extend(watching.filter_map(|(at, watched)| Some((at, Doubt::of_interpreter(watched, old, new)?))));
    doubts
}

fn version_of(fact: &crate::machine::libraries::fact::LibraryFact) -> String {
    match &fact.owner {
        Some(owner) => format!("{owner} {}", fact.version),
        None => fact.version.clone(),
    }
}

/// A cold start with full history: files get the time of their last commit, so that machines agree on them.
fn commit_times(found: &Sources, now: Moment, outcome: &mut RestoreOutcome) -> StampPlan {
    let mut times = BTreeMap::new();
    for repository in &found.repositories {
        if repository.shallow {
            outcome.notes.push("the clone is shallow, so files keep their checkout times".to_owned());
            continue;
        }
        if repository.head.is_none() {
            continue;
        }
        match repository.commit_times(TimeOf::Commit) {
            Ok(committed) => {
                let all = committed.files.into_iter().chain(committed.folders);
                for (relative, time) in all {
                    let path = if relative.is_empty() { repository.top.clone() } else { repository.top.join(relative) };
                    let path = paths::text(&path);
                    if found.inputs.contains_key(&path) {
                        times.insert(path, time.min(now));
                    }
                }
            }
            Err(error) => outcome.warnings.fault("commit times", &error),
        }
    }
    outcome.stamping.by_commit = times.len();
    StampPlan { times, ..StampPlan::default() }
}

/// Sets what is not already set; what could not be set comes back.
pub(super) fn set_times(times: &BTreeMap<String, Moment>, found: &Sources) -> Vec<(String, String)> {
    let set = |(path, time): (&String, &Moment)| {
        let input = found.inputs.get(path);
        let disk_path = paths::path(path);
        // Git may have been at what lies in its folder.
        let is_set = input.is_some_and(|input| input.mtime == *time) && !is_inside_git(path, found);
        if is_set {
            return None;
        }
        let kind = match input.map(|input| input.kind) {
            Some(InputKind::Symlink) => Kind::Symlink,
            Some(InputKind::Folder) => Kind::Folder,
            Some(InputKind::File) => Kind::File,
            None => Meta::of(&disk_path).ok()?.kind,
        };
        disk::set_mtime(&disk_path, kind, *time).err().map(|error| (path.clone(), error.to_string()))
    };
    times.par_iter().filter_map(set).collect()
}

/// Invalidates what names an input whose time is not what the plan wanted.
fn distrust_readers(
    manifest: Option<&Manifest>,
    failures: &[(String, String)],
    roots: &Vec1<Root>,
    outcome: &mut RestoreOutcome,
) {
    let Some(manifest) = manifest else { return };
    let failed: BTreeSet<&str> = failures.iter().map(|(path, _)| path.as_str()).collect();
    let names_one = |unit: &&crate::state::manifest::UnitRecord| {
        unit.is_precalculated() || unit.inputs.iter().any(|&at| failed.contains(manifest.inputs[at].path.as_str()))
    };
    for unit in manifest.units.iter().filter(names_one) {
        invalidate_or_warn(&roots[unit.root], &unit.place, outcome);
    }
}

fn carry_out_doubts(
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

/// On a kept disk the files still carry the access times of earlier jobs.
fn reset_access_times(roots: &Vec1<Root>, arrival: &Arrival, file_system: &FileSystem) {
    let kept =
        matches!(arrival.start, crate::job::outcome::Start::Kept { .. } | crate::job::outcome::Start::Unknown { .. });
    if !kept || !file_system.reads_leave_traces {
        return;
    }
    let recorded = arrival.restored.iter().flat_map(|restored| restored.manifest.units.iter());
    let places = recorded.map(|unit| (unit.root, unit.place.clone())).chain(arrival.unknown.iter().cloned());
    for (root, place) in places {
        let dir = roots[root].path.join(place.fingerprint_dir());
        for found in disk::walk(&dir, &|_| false).unwrap_or_default() {
            // One that keeps its access time is kept one run too long.
            let _ = filetime::set_file_atime(&found.path, Moment::EPOCH.to_file_time());
        }
    }
}

/// Waits until the file system's clock has passed the new time, so that whatever is built from here on is newer.
fn wait_until(time: Moment, file_system: &FileSystem, roots: &Vec1<Root>) {
    let ahead = time.since(file_system.now);
    if ahead.is_zero() || ahead > Duration::from_secs(3) {
        return;
    }
    for _ in 0..300 {
        match FileSystem::probe(&roots.first().path) {
            Ok(probe) if probe.now < time => std::thread::sleep(Duration::from_millis(10)),
            _ => return,
        }
    }
}
