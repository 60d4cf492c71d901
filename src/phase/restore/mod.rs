//! `rekindle restore`: brings the target folder and the Cargo home back and gives the sources times that cannot lie.
//!
//! Whatever goes wrong with a cache is a warning and a colder start. A wrong input is the only error.

mod again;
mod arrival;
mod choice;
mod doubts;
mod forecast;
mod home;
mod isolation;
mod kept;
mod lookup;
mod packages;
mod room;
mod stamping;
mod watching;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use fs_err as fs;
use vec1::Vec1;

use crate::cargo::survey;
use crate::cargo::units::Survey;
use crate::explain::snapshot::Snapshot;
use crate::github::{self, GithubToken};
use crate::housekeeping::lease;
use crate::job::facts::Facts;
use crate::job::former;
use crate::job::handover::{HomeState, JobMark, LocalManifest, Restored, Run, State};
use crate::job::inputs::{Inputs, Lookup, Stamp};
use crate::job::outcome::{Cold, RestoreOutcome, Start};
use crate::machine::disk::{FileSystem, Meta};
use crate::machine::environment;
use crate::machine::host;
use crate::moment::Moment;
use crate::pack;
use crate::shim::late::LateList;
use crate::shim::unpacked::StableTargets;
use crate::stamp::doubt::Doubt;
use crate::stamp::observed::Watch;
use crate::stamp::recorded;
use crate::stamp::sight::Stamped;
use crate::state::decision::SaveMode;
use crate::state::key::FORMAT;
use crate::state::manifest::Root;
use crate::state::secrets::Secrets;
use crate::store::{self, Access, Store};

/// What the rest of a restore works on, wherever the target came from.
#[derive(Debug, Default)]
struct Arrival {
    start: Start,
    restored: Option<Restored>,
    shift: Duration,
    /// Manifest units that cannot be trusted.
    doubts: Vec<(usize, Doubt)>,
    /// Units that Cargo was made to rebuild, by name in the state file, and why.
    forced: BTreeMap<String, String>,
    /// Sources that were made to look new, and why.
    touched: BTreeMap<String, String>,
    /// Entries that would have fitted and could not be used.
    passed_over: BTreeSet<String>,
    /// Units on disk that no manifest speaks for.
    unknown: BTreeSet<(usize, crate::unit::UnitPlace)>,
    newest: Moment,
    /// What was unpacked, and is not in its place yet.
    staged: Option<pack::Staged>,
    watch: Option<Watch>,
}

/// Everything that is asked of a store has to be over by then.
const BUDGET: Duration = Duration::from_secs(10 * 60);

pub fn run(inputs: Inputs, token: Option<&GithubToken>) -> Result<RestoreOutcome> {
    let began = Instant::now();
    let (roll, roll_note) = github::key_roll(&inputs.key_roll, &environment::variables(), token);
    let key_roll = roll.as_ref().map(|roll| roll.text.clone()).unwrap_or_default();
    let inputs = Inputs { key_roll, ..inputs };
    let mut facts = Facts::gather(&inputs)?;
    isolation::check(inputs.isolation, &facts)?;
    let (store, no_store) = store::open(&inputs.store, BUDGET);
    let roots = facts.roots();
    tracing::debug!(
        roots = roots.len(),
        key = facts.parts.fields().prefix(crate::state::key::Fit::Soft),
        "facts are gathered"
    );
    let notes = roll_note.into_iter().chain(facts.interpreters.note.clone()).chain(left_out(&inputs)).collect();
    let only_looks = inputs.lookup == Lookup::Only;
    let earlier = again::earlier(&inputs, &facts, &roots);
    if earlier.is_none() {
        // One of an earlier job must not speak for this one.
        State::forget(&inputs.state);
    }
    if let Some(state) = earlier.filter(|_| !only_looks) {
        let file_system = FileSystem::probe(&roots.first().path)?;
        return again::restore(state, &facts, &roots, &file_system, notes);
    }
    let mut outcome = RestoreOutcome {
        system: host::system(),
        key: facts.parts.fields().prefix(crate::state::key::Fit::Soft),
        incremental_off: facts.incremental.export && !only_looks,
        roll,
        notes,
        interpreters: facts.interpreters.named(),
        only_looked: only_looks,
        ..RestoreOutcome::default()
    };
    outcome.warnings.extend(no_store);
    outcome.notes.extend(limits(&store.access()));
    if store.access().read.refusal().is_some() {
        outcome.cold = Cold::Unanswered;
    }
    if only_looks {
        lookup::look(&facts, store.as_ref(), &mut outcome);
        outcome.warnings.extend(store.warnings());
        outcome.seconds = began.elapsed().as_secs_f64();
        return Ok(outcome);
    }
    let home = home::restore(&facts, store.as_ref(), &mut outcome);
    tracing::debug!(files = outcome.home.files, bytes = outcome.home.bytes, "the Cargo home is there");
    // Whoever is killed from here on leaves a save that knows of nothing that was restored.
    state_of(&facts, &inputs, &home, Brought::nothing(), JobMark::default(), &outcome).store(&inputs.state)?;
    let so_far = outcome.clone();
    let brought = match bring(&mut facts, &roots, store.as_ref(), &inputs, &mut outcome) {
        Ok(brought) => brought,
        // Cargo finds nothing, and whatever it builds from here on is the job's own: it can be saved.
        Err(error) if is_cold(&roots) => {
            outcome = so_far;
            outcome.take_back(&error);
            Brought::nothing()
        }
        Err(error) => return Err(error),
    };
    outcome.warnings.extend(store.warnings());
    outcome.start = brought.arrival.start.clone();
    tracing::debug!(files = outcome.files, lost = outcome.lost_files, bytes = outcome.bytes, start = ?outcome.start, "the target is there");
    outcome.seconds = began.elapsed().as_secs_f64();
    let mark = JobMark::place(&roots.first().path).unwrap_or_else(|error| {
        // Where nothing can be written, that has been said.
        if outcome.cold != Cold::TakenBack {
            outcome.warnings.fault("a second restore would not know the first", &error);
        }
        JobMark::default()
    });
    let state = state_of(&facts, &inputs, &home, brought, mark, &outcome);
    // Whoever saves nothing builds on nothing.
    let builds_on = if inputs.save == SaveMode::Never { BTreeSet::new() } else { state.builds_on() };
    if let Err(error) = lease::hold(&inputs.store, &state.lease(), &builds_on) {
        tracing::debug!(?error, "no lease is held: the save may have to store everything");
    }
    state.store(&inputs.state)?;
    Ok(outcome)
}

/// Variables that somebody wanted in the key, and that look like secrets.
fn left_out(inputs: &Inputs) -> Option<String> {
    let variables = environment::variables();
    let names: Vec<String> = inputs.env_vars.left_out(&variables).iter().map(|name| format!("`{name}`")).collect();
    let names = names.join(", ");
    (!names.is_empty())
        .then(|| format!("not in the key although `env-vars` names it, as it looks like a secret: {names}"))
}

/// What the save goes by.
fn state_of(
    facts: &Facts,
    inputs: &Inputs,
    home: &HomeState,
    brought: Brought,
    mark: JobMark,
    outcome: &RestoreOutcome,
) -> State {
    let Brought { arrival, stamped, heads, started, access_times, before } = brought;
    State {
        format: FORMAT,
        mark,
        run: Run::of_environment(),
        parts: facts.parts.clone(),
        started,
        shift: arrival.shift,
        stamped,
        heads,
        environment: Secrets::of_environment().marks(),
        access_times,
        watch: arrival.watch,
        passed_over: arrival.passed_over,
        unknown_units: arrival.unknown.iter().map(|(root, place)| place.name_in(*root)).collect(),
        restored: arrival.restored,
        home: home.clone(),
        before,
        forced: arrival.forced,
        touched: arrival.touched,
        inputs: inputs.clone(),
        outcome: outcome.clone(),
    }
}

/// What a restore leaves for the job and for the save.
#[derive(Default)]
struct Brought {
    arrival: Arrival,
    stamped: Stamped,
    heads: Vec<String>,
    started: Moment,
    access_times: bool,
    before: Snapshot,
}

impl Brought {
    fn nothing() -> Self {
        Self { started: filetime::FileTime::now().into(), ..Self::default() }
    }
}

/// Brings the target, and gives the sources their times. The order is what makes it safe to be killed at any point: what is
/// unpacked stands beside its place until no source is older than it should be and no doubted unit is left.
fn bring(
    facts: &mut Facts,
    roots: &Vec1<Root>,
    store: &dyn Store,
    inputs: &Inputs,
    outcome: &mut RestoreOutcome,
) -> Result<Brought> {
    for root in roots {
        pack::sweep(&root.path);
    }
    let first_root = roots.first().path.clone();
    make_target(&first_root)?;
    let file_system = FileSystem::probe(&first_root)?;
    let surveys = survey_all(roots)?;
    let populated = surveys.iter().any(|survey| !survey.units.is_empty());
    let mut arrival = if populated {
        kept::arrive(facts, roots, &surveys)
    } else {
        arrival::arrive(facts, roots, store, &file_system, outcome)
    };
    drop(surveys);
    if let Some(restored) = &arrival.restored {
        facts.adopt_recorded(&restored.manifest);
    }
    let standing = arrival.standing(roots);
    let stamping::Inputs { mut stamped, heads } =
        stamping::stamp(facts, &standing, &file_system, inputs.mtime, &mut arrival, outcome)?;
    if let (Some(_), Some(restored)) = (&arrival.staged, &arrival.restored) {
        // Whoever is killed before the end leaves a target that is known, file by file, by its bytes.
        let (manifest, pack) = (restored.manifest.clone(), restored.pack.clone());
        let local = LocalManifest { manifest, pack, shift: arrival.shift, changed: Vec::new() };
        if local.store(&first_root).is_err() {
            // One of an earlier target must not speak for this one.
            LocalManifest::forget(&first_root);
        }
    }
    let foreseen = forecast::of(facts, inputs, &arrival, &outcome.stamping);
    let doubted = doubts::carry_out_shared_outputs(&standing, &mut arrival, foreseen.as_ref(), outcome);
    outcome.forecast = if doubted { forecast::of(facts, inputs, &arrival, &outcome.stamping) } else { foreseen };
    arrival.move_in(outcome);
    match arrival.restored.as_ref().filter(|_| inputs.save != SaveMode::Never) {
        Some(restored) => former::keep(roots, &restored.manifest, &restored.lost_files),
        None => roots.iter().for_each(|root| former::forget(&root.path)),
    }

    let late =
        (inputs.mtime == Stamp::Recorded).then_some(arrival.restored.as_ref()).flatten().map(|restored| LateList {
            roots: roots.iter().map(|root| root.path.clone()).collect(),
            workspaces: facts.workspaces.iter().map(|workspace| workspace.root.clone()).collect(),
            ..LateList::of(&restored.manifest, &stamped, arrival.shift, file_system.new_time(arrival.newest))
        });
    let unpacked = (inputs.mtime == Stamp::Recorded)
        .then(|| StableTargets::inside(&first_root, file_system.new_time(arrival.newest)));
    isolation::carry_out(inputs.isolation, &inputs.state, late, unpacked.as_ref(), outcome);
    let mut before = snapshot(facts, roots, &file_system).unwrap_or_else(|error| {
        outcome.warnings.fault("nobody will know why what was compiled", &error);
        Snapshot::default()
    });

    if let Some(restored) = &arrival.restored {
        before.recall(&restored.manifest.units);
    }

    // Last of all: from here on, whatever moves these times is the job's doing.
    stamping::note_changes(&mut stamped);
    if let Some(restored) = &mut arrival.restored {
        let paths: Vec<PathBuf> = roots.iter().map(|root| root.path.clone()).collect();
        restored.changed = recorded::changed(&restored.manifest, &paths, &restored.lost_files);
    }
    let local = arrival.restored.as_ref().map(|restored| LocalManifest {
        manifest: restored.manifest.clone(),
        pack: restored.pack.clone(),
        shift: arrival.shift,
        changed: restored.changed.clone(),
    });
    match &local {
        Some(local) => {
            if let Err(error) = local.store(&first_root) {
                outcome.warnings.fault("the kept manifest", &error);
            }
        }
        None => LocalManifest::forget(&first_root),
    }
    let (started, access_times) = (file_system.now, file_system.reads_leave_traces);
    Ok(Brought { arrival, stamped, heads, started, access_times, before })
}

/// Whether Cargo finds no unit here.
fn is_cold(roots: &Vec1<Root>) -> bool {
    survey_all(roots).is_ok_and(|surveys| surveys.iter().all(|survey| survey.units.is_empty()))
}

/// What the target says before the job. Looking leaves traces, which are wiped: they are to be the job's own.
fn snapshot(facts: &Facts, roots: &Vec1<Root>, file_system: &FileSystem) -> Result<Snapshot> {
    let surveys = survey_all(roots)?;
    if file_system.reads_leave_traces {
        for survey in &surveys {
            for (unit, print) in
                survey.units.iter().flat_map(|unit| unit.fingerprints.iter().map(move |print| (unit, print)))
            {
                let path = survey.root.join(unit.place.fingerprint_dir()).join(&print.name);
                // One that keeps its access time is kept one run too long.
                let _ = filetime::set_file_atime(path, Moment::EPOCH.to_file_time());
            }
        }
    }
    Ok(crate::explain::take::take(&surveys, &facts.whereabouts()))
}

/// What the store will not do for this job, in words.
fn limits(access: &Access) -> Vec<String> {
    match (access.read.refusal(), access.write.refusal()) {
        (Some(read), Some(write)) if read == write => vec![format!("nothing is restored or saved: {read}")],
        (read, write) => {
            let read = read.map(|reason| format!("nothing is restored: {reason}"));
            read.into_iter().chain(write.map(|reason| format!("nothing will be saved: {reason}"))).collect()
        }
    }
}

fn survey_all(roots: &Vec1<Root>) -> Result<Vec<Survey>> {
    let paths: Vec<PathBuf> = roots.iter().map(|root| root.path.clone()).collect();
    Ok(survey::survey_all(&paths)?)
}

/// Makes the target folder as Cargo would, so that backup tools pass over it.
fn make_target(target: &Path) -> Result<()> {
    if Meta::of(target).is_err() {
        fs::create_dir_all(target)?;
        let tag = "Signature: 8a477f597d28d172789f06886806bc55\n# A cache folder; see https://bford.info/cachedir/\n";
        fs::write(target.join("CACHEDIR.TAG"), tag)?;
    }
    Ok(())
}
