//! `rekindle save`: finds out what the job used and changed, and stores it if it is news.
//!
//! A job that failed is saved too: what Cargo finished is sound, and what it did not finish it has marked itself.

mod account;
mod assembled;
mod beyond;
mod borrowed;
mod budget;
mod collect;
mod described;
mod documented;
mod each_time;
mod home;
mod inputs_seen;
mod job;
mod kept_files;
mod linked;
mod macro_facts;
mod made;
mod overtaken;
mod patches;
mod printed;
mod put;
mod run_facts;
mod screen;
mod sdist_copy;
mod unpacked;
mod unseen;
mod whereabouts;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use self::budget::Without;
use self::job::Job;
use self::put::{Began, Landed};
use self::screen::Screened;
use crate::cargo::{spoken, survey};
use crate::digest::FieldHasher;
use crate::explain::advice::Advice;
use crate::explain::weigh;
use crate::github::GithubToken;
use crate::housekeeping::{self, lease};
use crate::job::beginning::Beginning;
use crate::job::facts::Facts;
use crate::job::former;
use crate::job::handover::{JobMark, LocalManifest, State};
use crate::job::inputs::{Inputs, JobResult, SaveWishes};
use crate::job::outcome::{SaveOutcome, Saved};
use crate::machine::disk::FileSystem;
use crate::machine::paths;
use crate::pack::{self, seed};
use crate::problem::Warning;
use crate::state::decision::{News, SaveDecision, SkipReason};
use crate::state::delta::{DeltaKind, Room};
use crate::state::limit::Bound;
use crate::state::manifest::{Manifest, Parent};
use crate::state::secrets::Secrets;
use crate::store;
use crate::unit::Unit;
use crate::words::count;

/// Everything that is asked of a store has to be over by then.
const BUDGET: Duration = Duration::from_secs(15 * 60);
/// A runner gives a cancelled job five minutes for all that is left to do.
const BUDGET_WHEN_CANCELLED: Duration = Duration::from_secs(4 * 60);

/// What `restore` did comes along: the report is about both.
pub fn run(
    path: &Path,
    wishes: SaveWishes,
    result: JobResult,
    token: Option<&GithubToken>,
) -> Result<(State, SaveOutcome)> {
    let began = Instant::now();
    let mut state = State::load(path)?;
    wishes.apply(&mut state.inputs);
    let mut outcome = SaveOutcome { nothing_aged: result != JobResult::Succeeded, ..SaveOutcome::default() };
    if let Err(error) = save(&state, result, &mut outcome) {
        outcome.warnings.fault("nothing was saved", &error);
    }
    // Whoever cancelled the job waits for its end.
    if result != JobResult::Cancelled {
        outcome.pruned = housekeeping::after_save(&state.inputs.store, token, &outcome.stored());
    }
    lease::release(&state.inputs.store, &state.lease());
    outcome.seconds = began.elapsed().as_secs_f64();
    Ok((state, outcome))
}

fn save(state: &State, result: JobResult, outcome: &mut SaveOutcome) -> Result<()> {
    let inputs = &state.inputs;
    // First of all: every later step reads files.
    let unread = state.watch.as_ref().map(|watch| watch.untouched(state.stamped.keys()));
    let facts = Facts::without_interpreters(inputs)?;
    let budget = if result == JobResult::Cancelled { BUDGET_WHEN_CANCELLED } else { BUDGET };
    let (store, no_store) = store::open(&inputs.store, budget);
    outcome.warnings.extend(no_store);
    let paths: Vec<PathBuf> = facts.roots().iter().map(|root| root.path.clone()).collect();
    // Of a restore that was killed.
    for path in &paths {
        pack::sweep(path);
    }
    // Next: access times of units.
    let surveys = survey::survey_all(&paths)?;
    let mut job = Job::new(facts, state, surveys, store.as_ref(), unread);
    tracing::debug!(units = job.units.len(), restored = job.previous().is_some(), "the target was looked at");
    whereabouts::find(&mut job);
    outcome.inspection = Beginning::of(state).inspect(&job.facts, &job.surveys);
    outcome.forecast = account::forecast(&job, &outcome.inspection);
    outcome.weights = weigh::weigh(&job.surveys);
    outcome.history = account::history(&job, &outcome.inspection);
    match save_target(&job, inputs, result, outcome) {
        Ok(saved) => outcome.target = saved,
        Err(error) => outcome.warnings.fault("the target folder was not saved", &error),
    }
    match home::save(&job, inputs) {
        Ok(saved) => outcome.home = saved,
        Err(error) => outcome.warnings.fault("the Cargo home was not saved", &error),
    }
    outcome.warnings.extend(job.store.warnings());
    JobMark::remove(&job.roots.first().path);
    forget_former(&job);
    outcome.advice = account::advice(&job, outcome);
    Ok(())
}

fn save_target(job: &Job<'_>, inputs: &Inputs, result: JobResult, outcome: &mut SaveOutcome) -> Result<Saved> {
    let secrets = screen::secrets(&job.surveys);
    let edges = job.edges();
    let ages = job.ages(&edges, result);
    let screened = screen::screen(job, &ages, &edges, &secrets);
    outcome.secret_units = screened.secret.iter().map(|&at| job.unit(at).title()).collect();
    outcome.secret_files = screened.files_by_name(&secrets);
    if let Some(file) = screened.unreadable.first() {
        let (count, file) = (screened.unreadable.len(), paths::shown(&secrets.redact(file)));
        let text =
            format!("{count} files cannot be read and are left out with what was built from them, `{file}` first");
        outcome.warnings.push(Warning::new(text));
    }
    let blind = whereabouts::blind(job, &edges, outcome);
    let goes = |at: &usize| screened.units.contains(at) || blind.contains(at);
    let live: Vec<usize> = (0..ages.len()).filter(|at| ages[*at].is_some() && !goes(at)).collect();

    let compiled: Vec<usize> = live.iter().copied().filter(|&at| job.was_compiled(at)).collect();
    outcome.compiled = compiled.iter().map(|&at| job.unit(at).title()).collect();
    outcome.live = live.len();
    outcome.dropped = job.dropped(&live);
    tracing::debug!(
        live = live.len(),
        compiled = compiled.len(),
        dropped = outcome.dropped,
        "it is known what is news"
    );
    let without = budget::as_before(job, &live, &edges, inputs.max_size, put::spare(job.store, inputs));
    let (no_room, fits): (Vec<usize>, Vec<usize>) = compiled.iter().partition(|at| without.units.contains(at));
    let news = News {
        compiled: fits.len(),
        no_room: no_room.len(),
        dropped: outcome.dropped,
        damaged: job.previous().is_some_and(|restored| restored.damaged),
        outdated: outdated(job, &live, outcome),
        first: job.previous().is_none(),
        units: live.len(),
    };
    let access = job.store.access();
    if let SaveDecision::Skip(reason) =
        SaveDecision::make(inputs.save, access.write.refusal(), inputs.scope.unread(), news)
    {
        outcome.left_out = without.told(job);
        return Ok(Saved::Skipped(reason));
    }

    let used = Used { live: &live, ages: &ages, edges: &edges, secrets: &secrets, screened: &screened };
    let Stored { landed, whole, without } = store_within(job, &used, without, outcome)?;
    if let Saved::Stored { .. } = landed.saved {
        tell_siblings(job);
    }
    outcome.left_out = without.told(job);
    // A file whose second name goes has changed, as far as anybody can see.
    forget_former(job);
    // Nothing of it is to be believed later that was not there when the pack was begun.
    let (manifest, pack) = whole.unwrap_or((landed.manifest, landed.pack));
    let changed = job.changed(&manifest.files);
    LocalManifest { manifest, pack, shift: Duration::ZERO, changed }.store(&job.roots.first().path)?;
    Ok(landed.saved)
}

fn forget_former(job: &Job<'_>) {
    for root in &job.roots {
        former::forget(&root.path);
    }
}

/// What is known of the units of a job that is to be stored.
struct Used<'a> {
    live: &'a [usize],
    ages: &'a [Option<u32>],
    edges: &'a [Vec<Option<usize>>],
    secrets: &'a Secrets,
    screened: &'a Screened,
}

struct Stored {
    landed: Landed,
    /// What a disk that is kept holds, where not all of it was stored.
    whole: Option<(Manifest, Parent)>,
    without: Without,
}

/// Stores the state, and of one that is larger than it may be what is worth most.
fn store_within(job: &Job<'_>, used: &Used<'_>, mut without: Without, outcome: &mut SaveOutcome) -> Result<Stored> {
    let (mut whole, mut room, mut tried) = (None, Room::Enough, 0);
    loop {
        let live = without.from(used.live);
        let landed = pack(job, used, &live, &without, room, outcome)?;
        let limit = match &landed.saved {
            Saved::Skipped(SkipReason::OverBudget { limit, .. }) if tried < budget::TRIES => limit.of,
            _ => return Ok(Stored { landed, whole, without }),
        };
        let next = match (limit, landed.kind) {
            (Bound::MaxSize, DeltaKind::Delta) if room == Room::Enough => {
                room = Room::NotForMore;
                Some(Without::default())
            }
            // What was stored before is worth more than the part of it that would fit once more.
            (Bound::Disk, DeltaKind::Base(reason)) if reason.is_a_choice() => {
                room = Room::NotForAnother;
                Some(without.clone())
            }
            _ => budget::shrink(&landed, &live, &without, tried),
        };
        let Some(next) = next else { return Ok(Stored { landed, whole, without }) };
        if without.units.is_empty() {
            whole = Some((landed.manifest, landed.pack));
        }
        without = next;
        tried += 1;
    }
}

/// Packs these units, and stores them if they are not too much.
fn pack(
    job: &Job<'_>,
    used: &Used<'_>,
    live: &[usize],
    without: &Without,
    room: Room,
    outcome: &mut SaveOutcome,
) -> Result<Landed> {
    let Used { ages, edges, secrets, screened, .. } = *used;
    let inputs = &job.state.inputs;
    let file_system = FileSystem::probe(&job.roots.first().path)?;
    let seen = inputs_seen::look(job, live, &file_system)?;
    let mut manifest = collect::manifest(job, live, ages, edges, seen, secrets, &file_system);
    each_time::add(&outcome.inspection, &mut manifest);
    manifest.locked = job.facts.locked_packages();
    manifest.settings = job.facts.settings();
    manifest.pruned = job.pruned(live);
    manifest.left_out = without.record(job, ages);
    manifest.scope.clone_from(&inputs.scope.0);
    manifest.system.clone_from(&job.state.outcome.system);
    let sources: Vec<&str> = manifest.inputs.iter().map(|input| input.path.as_str()).collect();
    manifest.spoken = spoken::spoken(&sources, &job.state.environment);
    let entries = kept_files::files(job, live, screened);
    let advised: Vec<String> = account::advice(job, outcome).iter().map(Advice::name).collect();
    if let Some(run) = outcome.history.last_mut() {
        run.commit = manifest.heads.values().next().cloned();
        run.advice = advised;
        run.bytes = entries.iter().map(|(file, _)| file.size()).sum();
    }
    manifest.history.clone_from(&outcome.history);
    let began = job.previous().map(|restored| Began {
        manifest: &restored.manifest,
        pack: &restored.pack,
        same: job.same(),
        damaged: restored.damaged,
        room,
    });
    let state = state_digest(&manifest, job.state, inputs.attempt);
    put::put(job.store, inputs, manifest, entries, began, state, Some(secrets))
}

/// Lets jobs of equal set-up know that they can start from this one's entries.
fn tell_siblings(job: &Job<'_>) {
    let room = job.state.inputs.state.parent().context("the state file lies in no folder");
    let told = room.and_then(|room| seed::tell(job.store, room, &job.state.parts));
    // Nothing of this job is lost.
    if let Err(error) = told {
        tracing::debug!("other jobs are not told of this state: {error:#}");
    }
}

/// How many units Cargo took for fresh although something that they name is another one; the next run builds them.
fn outdated(job: &Job<'_>, live: &[usize], outcome: &mut SaveOutcome) -> usize {
    let found = overtaken::find(job, live);
    if let Some((unit, path)) = found.first() {
        let more =
            if found.len() > 1 { format!(", and {} more", count(found.len() - 1, "unit")) } else { String::new() };
        outcome.warnings.push(Warning::new(format!(
            "`{}` came after the restore, with other content and a time before the last build, so that Cargo took `{unit}`{more} for \
             fresh; the next run builds it: use the action once more after the step that brings the file",
            paths::shown(path)
        )));
    }
    found.len()
}

/// The live units, what they depend on, and where the run started; no times. An entry that could not be used keeps its name,
/// so what replaces it needs another one. So does a run that is started again: the first start may have been killed while it
/// held the name, and nobody can take that back.
fn state_digest(manifest: &Manifest, started: &State, attempt: u32) -> String {
    let mut hasher = FieldHasher::default();
    hasher.field(started.restored.as_ref().map_or("", |restored| restored.pack.key.as_str()));
    hasher.field(if attempt > 1 { attempt.to_string() } else { String::new() });
    for key in &started.passed_over {
        hasher.field(key);
    }
    for unit in &manifest.units {
        hasher.field(unit.place.fingerprint_dir());
        for fingerprint in &unit.fingerprints {
            hasher.field(&fingerprint.name).field(&fingerprint.hash);
        }
        for input in unit.inputs.iter().map(|&at| &manifest.inputs[at]) {
            hasher.field(&input.path).field(input.id.to_string());
        }
        hasher.field("");
    }
    for package in &manifest.packages {
        hasher.field(&package.name).field(&package.dir);
    }
    hasher.finish().short()
}
