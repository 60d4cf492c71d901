//! Puts the manifest together: units with what they read and were built from, packages, inputs, variables, and files.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use fs_err as fs;
use memchr::memmem;

use super::inputs_seen::Seen;
use super::screen::Screened;
use super::{Job, KnownUnits, known_units, macro_facts, packages, unchanged};
use crate::cargo::fingerprint::Local;
use crate::cargo::units::{self, DiskUnit, Role};
use crate::digest::Digest;
use crate::disk::{self, Kind};
use crate::libraries;
use crate::manifest::{Content, EnvRecord, FileEntry, FingerprintRecord, Location, Manifest, RunFacts, UnitRecord};
use crate::moment::Moment;
use crate::paths::is_under;
use crate::record;
use crate::secrets::Secrets;
use crate::sources;

/// Digits of a commit that a build script is taken to have written down.
const ABBREVIATED: usize = 7;

/// Everything but the files.
pub(super) fn manifest(
    job: &Job<'_>,
    live: &[usize],
    ages: &[Option<u32>],
    edges: &[Vec<Option<usize>>],
    seen: Seen,
    secrets: &Secrets,
) -> Manifest {
    let Seen { mut sources, scope, named } = seen;
    let mut manifest = Manifest::blank(job.state.parts.clone(), job.roots.clone());
    let heads = sources
        .repositories
        .iter()
        .filter_map(|repository| Some((repository.top.to_str()?.to_owned(), repository.head.clone()?)));
    manifest.heads = heads.collect();
    manifest.packages = packages::records(job);

    let newest = newest_output(job);
    let place: HashMap<usize, usize> = live.iter().enumerate().map(|(new, &old)| (old, new)).collect();
    let known = known_units(job);
    manifest.units = live.iter().map(|&at| unit_record(job, at, ages, &edges[at], &place, &known)).collect();
    record::without_litter(&mut sources.inputs, &manifest.packages, &manifest.units, &scope.named);
    sources::add_folders(&mut sources, &scope);
    let counted: BTreeSet<String> = sources.inputs.keys().cloned().collect();
    let litter_in = |folder: &str| sources::newest_uncounted(Path::new(folder), &counted);
    record::undo_job_effects(&mut sources.inputs, &job.state.stamped, job.state.started, newest, litter_in);

    let index: BTreeMap<&str, usize> =
        sources.inputs.keys().enumerate().map(|(at, path)| (path.as_str(), at)).collect();
    for (unit, named) in manifest.units.iter_mut().zip(&named) {
        let mut inputs: BTreeSet<usize> = named.iter().filter_map(|path| index.get(path.as_str()).copied()).collect();
        for folder in named.iter().filter(|path| Path::new(path).is_dir()) {
            let below = index.range(folder.as_str()..).take_while(|(path, _)| path.starts_with(folder.as_str()));
            inputs.extend(below.filter(|(path, _)| is_under(path, folder)).map(|(_, at)| *at));
        }
        unit.inputs = inputs.into_iter().collect();
    }
    manifest.inputs = sources.inputs.into_values().collect();
    add_run_facts(job, live, &mut manifest);
    macro_facts::add(job, live, &mut manifest);
    manifest.env = env_records(job, live, secrets);
    manifest
}

fn newest_output(job: &Job<'_>) -> Moment {
    let files = job.surveys.iter().flat_map(|survey| &survey.files).filter(|file| file.meta.kind == Kind::File);
    files.map(|file| file.meta.mtime).max().unwrap_or_default()
}

fn unit_record(
    job: &Job<'_>,
    at: usize,
    ages: &[Option<u32>],
    edges: &[Option<usize>],
    place: &HashMap<usize, usize>,
    known: &KnownUnits<'_>,
) -> UnitRecord {
    let unit = job.unit(at);
    let before = unchanged(job, at, known);
    let is_precalculated = |fingerprint: &units::DiskFingerprint| match &fingerprint.fingerprint {
        Some(parsed) => parsed.locals().contains(&Local::Precalculated),
        None => before.is_some_and(UnitRecord::is_precalculated),
    };
    let fingerprints = unit.fingerprints.iter().map(|fingerprint| FingerprintRecord {
        name: fingerprint.name.clone(),
        hash: fingerprint.hash.clone(),
        precalculated: is_precalculated(fingerprint),
    });
    UnitRecord {
        root: job.units[at].0,
        layout: unit.place.layout,
        profile: unit.place.profile.clone(),
        package: unit.place.package.clone(),
        id: unit.place.id.clone(),
        fingerprints: fingerprints.collect(),
        reference: unit.reference,
        inputs: Vec::new(),
        deps: edges.iter().flatten().filter_map(|dep| place.get(dep).copied()).collect(),
        seconds: unit.seconds,
        idle: ages[at].unwrap_or(0),
        run: None,
        macros: None,
    }
}

/// What each build script's run depends on unseen. One that did not run again is as it was.
fn add_run_facts(job: &Job<'_>, live: &[usize], manifest: &mut Manifest) {
    let known = known_units(job);
    let own: Vec<PathBuf> = job.roots.iter().map(|root| PathBuf::from(&root.path)).collect();
    let heads: Vec<String> =
        manifest.heads.values().filter_map(|head| head.get(..ABBREVIATED).map(str::to_owned)).collect();
    for (record, &at) in manifest.units.iter_mut().zip(live) {
        let unit = job.unit(at);
        if !unit.is_run() {
            continue;
        }
        if let Some(before) = unchanged(job, at, &known) {
            record.run.clone_from(&before.run);
            continue;
        }
        let root = &job.surveys[record.root].root;
        let output = fs::read(root.join(units::run_output(&unit.place))).unwrap_or_default();
        let libraries = libraries::identify(&libraries::linked_files(&String::from_utf8_lossy(&output), &own));
        let embeds_head =
            heads.iter().any(|head| memmem::find(&output, head.as_bytes()).is_some() || folder_holds(root, unit, head));
        record.run = Some(RunFacts { embeds_head, libraries, interpreter: watched_interpreter(unit) });
    }
}

/// What `PYO3_PYTHON` was for a run that watches it: all that Cargo compares of an interpreter is this text.
fn watched_interpreter(unit: &DiskUnit) -> Option<String> {
    let watched = unit.tracked_env().find(|(name, _)| name == "PYO3_PYTHON");
    watched.map(|(_, value)| value.unwrap_or_default())
}

fn folder_holds(root: &Path, unit: &DiskUnit, text: &str) -> bool {
    let found = disk::walk(&root.join(units::out_dir(&unit.place)), &|_| true).unwrap_or_default();
    let files = found.iter().filter(|found| found.meta.kind == Kind::File);
    files
        .into_iter()
        .any(|found| fs::read(&found.path).is_ok_and(|bytes| memmem::find(&bytes, text.as_bytes()).is_some()))
}

fn env_records(job: &Job<'_>, live: &[usize], secrets: &Secrets) -> BTreeMap<String, EnvRecord> {
    let mut records = BTreeMap::new();
    for &at in live {
        let unit = job.unit(at);
        for (name, value) in unit.tracked_env() {
            let record = secrets.record(&name, value);
            records.insert(name, record);
        }
    }
    records
}

/// Every file that is kept, with where it lies on disk; places in packs are filled in later.
pub(super) fn files(job: &Job<'_>, live: &[usize], screened: &Screened) -> Vec<(FileEntry, PathBuf)> {
    let place: HashMap<(usize, usize), usize> =
        live.iter().enumerate().map(|(new, &old)| (job.units[old], new)).collect();
    let keeps_doc = live.iter().any(|&at| job.unit(at).is_doc());
    let keeps_incremental = job.state.parts.hard.options.get("incremental").is_some_and(|wish| wish == "on");
    let mut entries: Vec<(FileEntry, PathBuf)> = Vec::new();
    let mut first_names: HashMap<(u64, u64), usize> = HashMap::new();
    for (root, survey) in job.surveys.iter().enumerate() {
        for file in &survey.files {
            let unit = match file.role {
                Role::Unit(at) => match place.get(&(root, at)) {
                    Some(&new) => Some(new),
                    None => continue,
                },
                Role::Doc if !keeps_doc => continue,
                Role::Incremental if !keeps_incremental => continue,
                Role::Drop => continue,
                Role::Doc | Role::Incremental | Role::Keep => None,
            };
            let path = survey.root.join(&file.path);
            if screened.files.contains(&path) {
                continue;
            }
            let Some(content) = content(&path, &file.meta, &mut first_names, entries.len()) else {
                continue;
            };
            entries.push((FileEntry { root, path: file.path.clone(), mtime: file.meta.mtime, unit, content }, path));
        }
    }
    without_empty_shells(entries)
}

fn content(path: &Path, meta: &disk::Meta, first_names: &mut HashMap<(u64, u64), usize>, at: usize) -> Option<Content> {
    match meta.kind {
        Kind::Folder => Some(Content::Folder { mode: meta.mode }),
        Kind::Symlink => Some(Content::Symlink { to: fs::read_link(path).ok()?.to_str()?.to_owned() }),
        Kind::Other => None,
        Kind::File => {
            if let (Some(identity), true) = (meta.identity, meta.links > 1) {
                if let Some(&to) = first_names.get(&identity) {
                    return Some(Content::HardLink { to });
                }
                first_names.insert(identity, at);
            }
            let nowhere = Location { pack: 0, frame: 0, offset: 0 };
            Some(Content::File { size: meta.size, mode: meta.mode, sha256: Digest::of(b""), at: nowhere })
        }
    }
}

/// Leaves out folders that belong to nobody and hold nothing that is kept, such as those of dropped units' profiles.
fn without_empty_shells(entries: Vec<(FileEntry, PathBuf)>) -> Vec<(FileEntry, PathBuf)> {
    let mut needed: BTreeSet<(usize, String)> = BTreeSet::new();
    for (entry, _) in
        entries.iter().filter(|(entry, _)| entry.unit.is_some() || !matches!(entry.content, Content::Folder { .. }))
    {
        let mut path = entry.path.as_str();
        while let Some((dir, _)) = path.rsplit_once('/') {
            if !needed.insert((entry.root, dir.to_owned())) {
                break;
            }
            path = dir;
        }
    }
    let kept: Vec<bool> = entries
        .iter()
        .map(|(entry, _)| {
            let shell = entry.unit.is_none() && matches!(entry.content, Content::Folder { .. });
            !shell || needed.contains(&(entry.root, entry.path.clone()))
        })
        .collect();
    let mut new_place = vec![0; entries.len()];
    let mut next = 0;
    for (at, kept) in kept.iter().enumerate() {
        new_place[at] = next;
        next += usize::from(*kept);
    }
    let entries = entries.into_iter().zip(kept).filter(|(_, kept)| *kept).map(|(entry, _)| entry);
    entries
        .map(|(mut entry, path)| {
            if let Content::HardLink { to } = &mut entry.content {
                *to = new_place[*to];
            }
            (entry, path)
        })
        .collect()
}
