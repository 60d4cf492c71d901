//! `rekindle save`: finds out what the job used and changed, and stores it if it is news.
//!
//! A job that failed is saved too: what Cargo finished is sound, and what it did not finish it has marked itself.

mod account;
mod collect;
mod described;
mod home;
mod inputs_seen;
mod kept_files;
mod linked;
mod macro_facts;
mod made;
mod packages;
mod run_facts;
mod screen;
mod unseen;
mod whereabouts;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::cargo::layout::UnitPlace;
use crate::cargo::liveness::{self, Evidence};
use crate::cargo::macros;
use crate::cargo::units::{self, DiskUnit, Survey};
use crate::cargo::whereabouts::Place;
use crate::digest::FieldHasher;
use crate::explain::weigh;
use crate::job::beginning::Beginning;
use crate::job::facts::Facts;
use crate::job::handover::{JobMark, LocalManifest, Restored, State};
use crate::job::inputs::{Inputs, SaveWishes};
use crate::job::outcome::{SaveOutcome, Saved};
use crate::machine::disk::{self, FileSystem};
use crate::machine::paths;
use crate::moment::Moment;
use crate::pack::{self, Pack, Source, Written};
use crate::problem::Warning;
use crate::stamp::observed::Untouched;
use crate::stamp::recorded;
use crate::state::decision::{News, SaveDecision, SkipReason};
use crate::state::delta::{self, DeltaKind, DeltaPlan, Previous};
use crate::state::key::Key;
use crate::state::manifest::{FileEntry, Manifest, Parent, Root, UnitRecord};
use crate::state::secrets::Secrets;
use crate::store::{self, PackFile, Put, Store};
use crate::words;

/// How the job went, as far as it is known. Only one that succeeded makes anything older.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JobResult {
    #[default]
    Succeeded,
    Failed,
    /// Whoever cancelled it waits for its end.
    Cancelled,
}

/// Everything that is asked of a store has to be over by then.
const BUDGET: Duration = Duration::from_secs(15 * 60);
/// A runner gives a cancelled job five minutes for all that is left to do.
const BUDGET_WHEN_CANCELLED: Duration = Duration::from_secs(4 * 60);

/// Everything a save looks at.
struct Job<'a> {
    facts: Facts,
    roots: Vec<Root>,
    state: &'a State,
    surveys: Vec<Survey>,
    /// Index into `surveys` and the unit, for every unit on disk.
    units: Vec<(usize, usize)>,
    /// Where their packages lie, survey by survey.
    places: Vec<Vec<Place>>,
    store: &'a dyn Store,
    same: OnceLock<BTreeSet<usize>>,
    /// None where nobody can tell.
    unread: Option<Untouched>,
}

impl Job<'_> {
    fn unit(&self, at: usize) -> &DiskUnit {
        let (root, unit) = self.units[at];
        &self.surveys[root].units[unit]
    }

    fn place(&self, at: usize) -> &Place {
        let (root, unit) = self.units[at];
        &self.places[root][unit]
    }

    fn previous(&self) -> Option<&Restored> {
        self.state.restored.as_ref()
    }

    /// The restored files that are still the ones on disk. Found out when somebody asks: it can mean reading them.
    fn same(&self) -> &BTreeSet<usize> {
        self.same.get_or_init(|| {
            let Some(Restored { manifest, lost_files, changed, .. }) = self.previous() else { return BTreeSet::new() };
            let same = recorded::same_files(manifest, changed, self.state.shift, &self.surveys);
            same.difference(lost_files).copied().collect()
        })
    }
}

/// What `restore` did comes along: the report is about both.
pub fn run(path: &Path, wishes: SaveWishes, result: JobResult) -> Result<(State, SaveOutcome)> {
    let began = Instant::now();
    let mut state = State::load(path)?;
    wishes.apply(&mut state.inputs);
    let mut outcome = SaveOutcome { ageless: result != JobResult::Succeeded, ..SaveOutcome::default() };
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
    let roots = facts.roots();
    let paths: Vec<PathBuf> = roots.iter().map(|root| PathBuf::from(&root.path)).collect();
    // Next: access times of units.
    let surveys = units::survey_all(&paths)?;
    let units =
        surveys.iter().enumerate().flat_map(|(root, survey)| (0..survey.units.len()).map(move |unit| (root, unit)));
    let units = units.collect();
    let unread = unread.filter(|_| !macros::are_wrapped(&facts.configs));
    let places = Vec::new();
    let mut job =
        Job { facts, roots, state, surveys, units, places, store: store.as_ref(), same: OnceLock::new(), unread };
    whereabouts::find(&mut job);
    outcome.inspection = Beginning::of(state).inspect(&job.facts, &job.surveys);
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
    JobMark::remove(&paths[0]);
    outcome.advice = account::advice(&job, outcome);
    Ok(())
}

fn save_target(job: &Job<'_>, inputs: &Inputs, result: JobResult, outcome: &mut SaveOutcome) -> Result<Saved> {
    let secrets = screen::secrets(&job.surveys);
    let all: Vec<&DiskUnit> = (0..job.units.len()).map(|at| job.unit(at)).collect();
    let edges = units::edges(&all);
    let ages = ages(job, &all, &edges, inputs, result);
    let screened = screen::screen(job, &ages, &edges, &secrets);
    outcome.secret_units = screened.secret.iter().map(|&at| title(job.unit(at))).collect();
    outcome.secret_files = screened.files_by_name(&secrets);
    if let Some(file) = screened.unreadable.first() {
        let (count, file) = (screened.unreadable.len(), paths::shown(&secrets.redact(file)));
        let text =
            format!("{count} files cannot be read and are left out with what was built from them, `{file}` first");
        outcome.warnings.push(Warning::new(text));
    }
    let blind = whereabouts::blind(job, &all, &edges, outcome);
    let goes = |at: &usize| screened.units.contains(at) || blind.contains(at);
    let live: Vec<usize> = (0..all.len()).filter(|at| ages[*at].is_some() && !goes(at)).collect();

    let known = known_units(job);
    let compiled: Vec<usize> = live.iter().copied().filter(|&at| was_compiled(job, at, &known)).collect();
    outcome.compiled = compiled.iter().map(|&at| title(job.unit(at))).collect();
    outcome.live = live.len();
    outcome.dropped = dropped(job, &live);
    let news = News {
        compiled: compiled.len(),
        dropped: outcome.dropped,
        damaged: job.previous().is_some_and(|restored| restored.damaged),
        first: job.previous().is_none(),
        units: live.len(),
    };
    let access = job.store.access();
    if let SaveDecision::Skip(reason) = SaveDecision::make(inputs.save, access.write.refusal(), news) {
        return Ok(Saved::Skipped(reason));
    }

    let file_system = FileSystem::probe(Path::new(&job.roots[0].path))?;
    let seen = inputs_seen::look(job, &live, &file_system)?;
    let mut manifest = collect::manifest(job, &live, &ages, &edges, seen, &secrets, &file_system);
    manifest.locked = job.facts.locked_names();
    manifest.settings = job.facts.settings();
    manifest.pruned = pruned(job, &live);
    let entries = kept_files::files(job, &live, &screened);
    let (files, paths): (Vec<_>, Vec<_>) = entries.into_iter().unzip();
    if let Some(run) = outcome.history.last_mut() {
        run.commit = manifest.heads.values().next().cloned();
        run.bytes = files.iter().map(FileEntry::size).sum();
    }
    manifest.history.clone_from(&outcome.history);
    let lineage = job.previous().and_then(|restored| Key::parse(&restored.pack.key)).map(|key| key.lineage);
    let complete = job.previous().is_some_and(|restored| !restored.damaged && parents_are_there(job.store, restored));
    let previous = job.previous().zip(lineage.as_deref()).map(|(restored, lineage)| Previous {
        manifest: &restored.manifest,
        pack: restored.pack.clone(),
        lineage,
        same: job.same(),
        complete,
    });
    let plan = delta::plan(files, previous.as_ref());
    let state = state_digest(&manifest, job.state, inputs.attempt);
    let lineage = match (plan.kind, &previous) {
        (DeltaKind::Delta, Some(previous)) => previous.lineage.to_owned(),
        _ => state.clone(),
    };
    let key = Key { fields: job.state.parts.fields(), lineage, state };
    manifest.key = key.to_string();
    store_pack(job, inputs, manifest, plan, &paths, &secrets)
}

/// Dropped units that are remembered by name.
const REMEMBERED: usize = 2_000;

/// Names of the units that this save drops, and of those that earlier ones dropped.
fn pruned(job: &Job<'_>, live: &[usize]) -> BTreeSet<String> {
    let Some(restored) = job.previous() else { return BTreeSet::new() };
    let name = |package: &str, target: &str| format!("{package} {target}");
    let names = |unit: &DiskUnit| -> Vec<String> {
        unit.fingerprints.iter().map(|print| name(&unit.place.package, &print.name)).collect()
    };
    let alive: BTreeSet<String> = live.iter().flat_map(|&at| names(job.unit(at))).collect();
    let recorded = restored.manifest.units.iter();
    let recorded = recorded.flat_map(|unit| unit.fingerprints.iter().map(|print| name(&unit.package, &print.name)));
    let gone = recorded.chain(restored.manifest.pruned.iter().cloned()).filter(|name| !alive.contains(name));
    gone.take(REMEMBERED).collect()
}

/// How long each unit has been idle; `None` for one that goes.
fn ages(
    job: &Job<'_>,
    all: &[&DiskUnit],
    edges: &[Vec<Option<usize>>],
    inputs: &Inputs,
    result: JobResult,
) -> Vec<Option<u32>> {
    let known_units = known_units(job);
    let known: Vec<Option<u32>> = (0..all.len())
        .map(|at| {
            let (root, _) = job.units[at];
            let place = &job.unit(at).place;
            let on_disk_before = job.state.unknown_units.contains(&format!("{root}:{}", units::fingerprint_dir(place)));
            known_units.get(&(root, place)).map(|unit| unit.idle).or(on_disk_before.then_some(0))
        })
        .collect();
    let evidence = if job.state.access_times { Evidence::AccessTimes } else { Evidence::Nothing };
    liveness::ages(all, edges, &known, evidence, inputs.keep_unused, result == JobResult::Succeeded)
}

/// Units that came back from the restored state, by place.
type KnownUnits<'a> = HashMap<(usize, &'a UnitPlace), &'a UnitRecord>;

fn known_units<'a>(job: &'a Job<'_>) -> KnownUnits<'a> {
    let Some(restored) = job.previous() else { return HashMap::new() };
    let by_dir: HashMap<(usize, String), &UnitRecord> =
        restored.manifest.units.iter().map(|unit| ((unit.root, record_dir(unit)), unit)).collect();
    let units = job.units.iter().map(|&(root, unit)| (root, &job.surveys[root].units[unit]));
    units
        .filter_map(|(root, unit)| Some(((root, &unit.place), *by_dir.get(&(root, unit.fingerprint_dir()))?)))
        .collect()
}

fn record_dir(unit: &UnitRecord) -> String {
    units::fingerprint_dir(&UnitPlace {
        layout: unit.layout,
        profile: unit.profile.clone(),
        package: unit.package.clone(),
        id: unit.id.clone(),
    })
}

/// The record of a unit that the job did not build again.
fn unchanged<'a>(job: &Job<'_>, at: usize, known: &KnownUnits<'a>) -> Option<&'a UnitRecord> {
    unchanged_in(job, job.units[at].0, job.unit(at), known)
}

fn unchanged_in<'a>(job: &Job<'_>, root: usize, unit: &DiskUnit, known: &KnownUnits<'a>) -> Option<&'a UnitRecord> {
    let record = known.get(&(root, &unit.place)).copied()?;
    (record.reference.minus(job.state.shift) == unit.reference).then_some(record)
}

fn was_compiled(job: &Job<'_>, at: usize, known: &KnownUnits<'_>) -> bool {
    let (root, _) = job.units[at];
    let name = format!("{root}:{}", job.unit(at).fingerprint_dir());
    let was_there = known.contains_key(&(root, &job.unit(at).place)) || !job.state.unknown_units.contains(&name);
    was_there && unchanged(job, at, known).is_none()
}

/// Recorded units that are no longer kept.
fn dropped(job: &Job<'_>, live: &[usize]) -> usize {
    let Some(restored) = job.previous() else { return 0 };
    let kept: BTreeSet<(usize, String)> =
        live.iter().map(|&at| (job.units[at].0, job.unit(at).fingerprint_dir())).collect();
    restored.manifest.units.iter().filter(|unit| !kept.contains(&(unit.root, record_dir(unit)))).count()
}

fn parents_are_there(store: &dyn Store, restored: &Restored) -> bool {
    let is_there = |parent: &Parent| Pack::open(store, &parent.key).is_ok_and(|pack| pack.sha256 == parent.sha256);
    is_there(&restored.pack) && restored.manifest.parents.iter().all(is_there)
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
        hasher.field(record_dir(unit));
        for fingerprint in &unit.fingerprints {
            hasher.field(&fingerprint.name).field(&fingerprint.hash);
        }
        for input in unit.inputs.iter().map(|&at| &manifest.inputs[at]) {
            hasher.field(&input.path).field(input.id.as_str());
        }
        hasher.field("");
    }
    for package in &manifest.packages {
        hasher.field(&package.name).field(&package.dir);
    }
    hasher.finish().short().to_owned()
}

fn store_pack(
    job: &Job<'_>,
    inputs: &Inputs,
    mut manifest: Manifest,
    plan: DeltaPlan,
    paths: &[PathBuf],
    secrets: &Secrets,
) -> Result<Saved> {
    let DeltaPlan { kind, parents, files, stored, stored_bytes } = plan;
    manifest.parents = parents;
    manifest.files = files;
    ensure!(
        !secrets.are_in(&serde_json::to_vec(&manifest)?),
        "the manifest would hold a secret of this job's environment"
    );
    let key = manifest.key.clone();
    let content_bytes = manifest.content_bytes();
    let sources: Vec<Source> = stored.iter().map(|&file| Source { file, path: paths[file].clone() }).collect();
    let count = sources.iter().filter(|source| manifest.files[source.file].size() > 0).count();
    let (landed, written) = write_and_put(job.store, inputs, &key, manifest, sources)?;
    let manifest = written.index.manifest;
    let local = LocalManifest {
        pack: Parent { key: key.clone(), sha256: written.sha256.clone(), bytes: stored_bytes },
        changed: as_surveyed(&manifest, &job.surveys),
        manifest,
        shift: Duration::ZERO,
    };
    local.store(Path::new(&job.roots[0].path))?;
    Ok(landed.unwrap_or(Saved::Stored { key, kind, files: count, bytes: written.bytes, content_bytes }))
}

/// When each file had last changed before it was packed: one that changed meanwhile is not the one in the pack.
fn as_surveyed(manifest: &Manifest, surveys: &[Survey]) -> recorded::Changed {
    let files = surveys.iter().enumerate().flat_map(|(root, survey)| survey.files.iter().map(move |file| (root, file)));
    let times: HashMap<(usize, &str), Option<Moment>> =
        files.map(|(root, file)| ((root, file.path.as_str()), file.meta.ctime)).collect();
    manifest.files.iter().map(|file| times.get(&(file.root, file.path.as_str())).copied().flatten()).collect()
}

/// Writes a pack beside the state file and hands it to the store; says why if it did not land there.
fn write_and_put(
    store: &dyn Store,
    inputs: &Inputs,
    key: &str,
    manifest: Manifest,
    sources: Vec<Source>,
) -> Result<(Option<Saved>, Written)> {
    let dir = inputs.state.parent().context("the state file lies in no folder")?;
    disk::make_private(dir)?;
    let file = tempfile::Builder::new().prefix("pack-").tempfile_in(dir)?;
    let mut out = std::io::BufWriter::new(file.as_file());
    let written = pack::write(&mut out, manifest, sources)?;
    drop(out);
    if let Some(limit) = inputs.max_size.filter(|limit| written.bytes > *limit) {
        return Ok((Some(Saved::Skipped(SkipReason::OverBudget { bytes: written.bytes, limit })), written));
    }
    let pack = PackFile { path: file.path().to_path_buf(), index_at: written.index_at, bytes: written.bytes };
    let landed = match store.put(key, &pack)? {
        Put::Stored => None,
        Put::AlreadyThere => Some(Saved::AlreadyThere { key: key.to_owned() }),
        Put::Reserved => Some(Saved::Reserved { key: key.to_owned() }),
    };
    Ok((landed, written))
}

fn title(unit: &DiskUnit) -> String {
    words::unit(&unit.place.package, unit.fingerprints.iter().map(|fingerprint| fingerprint.name.as_str()))
}
