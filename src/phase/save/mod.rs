//! `rekindle save`: finds out what the job used and changed, and stores it if it is news.
//!
//! A job that failed is saved too: what Cargo finished is sound, and what it did not finish it has marked itself.

mod account;
mod assembled;
mod beyond;
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

use anyhow::Result;

use self::job::Job;
use self::put::{Began, Landed};
use crate::cargo::survey;
use crate::digest::FieldHasher;
use crate::explain::advice::Advice;
use crate::explain::weigh;
use crate::job::beginning::Beginning;
use crate::job::facts::Facts;
use crate::job::handover::{JobMark, LocalManifest, State};
use crate::job::inputs::{Inputs, JobResult, SaveWishes};
use crate::job::outcome::{SaveOutcome, Saved};
use crate::machine::disk::FileSystem;
use crate::machine::paths;
use crate::problem::Warning;
use crate::state::decision::{News, SaveDecision};
use crate::state::manifest::Manifest;
use crate::store;
use crate::unit::Unit;
use crate::words::count;

/// Everything that is asked of a store has to be over by then.
const BUDGET: Duration = Duration::from_secs(15 * 60);
/// A runner gives a cancelled job five minutes for all that is left to do.
const BUDGET_WHEN_CANCELLED: Duration = Duration::from_secs(4 * 60);

/// What `restore` did comes along: the report is about both.
pub fn run(path: &Path, wishes: SaveWishes, result: JobResult) -> Result<(State, SaveOutcome)> {
    let began = Instant::now();
    let mut state = State::load(path)?;
    wishes.apply(&mut state.inputs);
    let mut outcome = SaveOutcome { nothing_aged: result != JobResult::Succeeded, ..SaveOutcome::default() };
    if let Err(error) = save(&state, result, &mut outcome) {
        outcome.warnings.fault("nothing was saved", &error);
    }
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
    let news = News {
        compiled: compiled.len(),
        dropped: outcome.dropped,
        damaged: job.previous().is_some_and(|restored| restored.damaged),
        outdated: outdated(job, &live, outcome),
        first: job.previous().is_none(),
        units: live.len(),
    };
    let access = job.store.access();
    if let SaveDecision::Skip(reason) = SaveDecision::make(inputs.save, access.write.refusal(), news) {
        return Ok(Saved::Skipped(reason));
    }

    let file_system = FileSystem::probe(&job.roots.first().path)?;
    let seen = inputs_seen::look(job, &live, &file_system)?;
    let mut manifest = collect::manifest(job, &live, &ages, &edges, seen, &secrets, &file_system);
    each_time::add(&outcome.inspection, &mut manifest);
    manifest.locked = job.facts.locked_packages();
    manifest.settings = job.facts.settings();
    manifest.pruned = job.pruned(&live);
    let entries = kept_files::files(job, &live, &screened);
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
    });
    let state = state_digest(&manifest, job.state, inputs.attempt);
    let landed = put::put(job.store, inputs, manifest, entries, began, state, Some(&secrets))?;
    let Landed { saved, manifest, pack } = landed;
    let changed = job.changed(&manifest.files);
    LocalManifest { manifest, pack, shift: Duration::ZERO, changed }.store(&job.roots.first().path)?;
    Ok(saved)
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
