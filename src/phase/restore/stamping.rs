//! Carries a stamping plan out: looks at the sources, plans, sets times, invalidates units, and waits until no time is ahead.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use rayon::prelude::*;
use vec1::Vec1;

use super::{Arrival, doubts, watching};
use crate::git::{Repository, TimeOf};
use crate::job::facts::Facts;
use crate::job::inputs::Stamp;
use crate::job::outcome::RestoreOutcome;
use crate::machine::disk::{self, FileSystem, Kind, Meta};
use crate::machine::paths;
use crate::moment::Moment;
use crate::problem::Warning;
use crate::stamp::doubt::ClockSkew;
use crate::stamp::ledger::Ledger;
use crate::stamp::plan::{self as planning, Present, StampPlan};
use crate::stamp::sight::{Sight, Stamped};
use crate::stamp::sources::{self, Sources};
use crate::state::manifest::{Input, InputKind, Manifest, Root};
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
    let scope = manifest.map_or_else(|| facts.scope(BTreeSet::new()), |manifest| facts.scope_of(manifest));
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
    let beyond = watching::beyond(facts, manifest, &found, &scope);
    let mut plan = match manifest {
        Some(manifest) => {
            let mut known = arrival.doubts.clone();
            known.extend(doubts::unseen_changes(facts, manifest, &found.repositories));
            let present = Present {
                inputs: std::mem::take(&mut found.inputs),
                own_outside: std::mem::take(&mut found.own_outside),
                new_time,
                shift: arrival.shift,
                doubts: known,
                beyond: beyond.differing(&manifest.beyond),
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
    doubts::carry_out_doubts(facts, roots, arrival, &plan, outcome);
    // Git writes into its own folder when it refreshes its index, so what lies in there comes last.
    let (inside_git, times): (BTreeMap<_, _>, BTreeMap<_, _>) =
        plan.times.iter().map(|(path, time)| (path.clone(), *time)).partition(|(path, _)| is_inside_git(path, &found));
    let failures = set_times(&times, &found);
    tracing::debug!(
        same = plan.same,
        differing = plan.differing.len(),
        doubts = plan.doubts.len(),
        "sources have their times"
    );
    if let Some((path, error)) = failures.first() {
        outcome
            .warnings
            .push(Warning::new(format!("{} times could not be set, `{path}` first: {error}", failures.len())));
    }
    if !failures.is_empty() && !cold {
        // A source that keeps an unknown time could look older than it is.
        doubts::distrust_readers(manifest_of(arrival), &failures, roots, outcome);
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
    arrival.watch = watching::begin(facts, roots, manifest_of(arrival), &found, beyond, outcome);
    let failures = set_times(&with_companions(inside_git, &found), &found);
    if !failures.is_empty() && !cold {
        doubts::distrust_readers(manifest_of(arrival), &failures, roots, outcome);
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
