//! Puts the manifest together: units with what they read and were built from, packages, inputs and variables.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use super::inputs_seen::Seen;
use super::job::Job;
use super::{assembled, described, each_time, linked, macro_facts, made, run_facts, unseen};
use crate::cargo::fingerprint::Local;
use crate::cargo::units::{self, DiskUnit};
use crate::machine::disk::FileSystem;
use crate::machine::environment;
use crate::machine::paths::{self, is_under};
use crate::stamp::record;
use crate::stamp::sources;
use crate::state::manifest::{EnvRecord, FingerprintRecord, Manifest, UnitRecord};
use crate::state::secrets::{Secrets, is_secret_name};
use crate::unit::is_cargos;

/// Everything but the files.
pub(super) fn manifest(
    job: &Job<'_>,
    live: &[usize],
    ages: &[Option<u32>],
    edges: &[Vec<Option<usize>>],
    seen: Seen,
    secrets: &Secrets,
    file_system: &FileSystem,
) -> Manifest {
    let Seen { mut sources, scope, named, made } = seen;
    let mut manifest = Manifest::blank(job.state.parts.clone(), job.roots.to_vec());
    let heads = sources
        .repositories
        .iter()
        .filter_map(|repository| Some((repository.top.to_str()?.to_owned(), repository.head.clone()?)));
    manifest.heads = heads.collect();
    manifest.packages = job.facts.packages();

    let place: HashMap<usize, usize> = live.iter().enumerate().map(|(new, &old)| (old, new)).collect();
    manifest.units = live.iter().map(|&at| unit_record(job, at, ages, &edges[at], &place)).collect();
    macro_facts::add(job, live, &mut manifest);
    assembled::add(job, live, &named, &mut manifest);
    let litter = {
        let read: Vec<(&UnitRecord, &BTreeSet<String>)> = manifest.units.iter().zip(&named).collect();
        record::litter(&sources.beside(&job.state.stamped), &manifest.packages, &read, &made.paths())
    };
    sources.inputs.retain(|path, _| !litter.contains(path));
    sources::add_folders(&mut sources, &scope, file_system);
    let counted: BTreeSet<String> = sources.inputs.keys().cloned().collect();
    let litter_in = |folder: &str| sources::uncounted(&paths::path(folder), &counted);
    let (times, littered) = record::undo_job_effects(&sources.beside(&job.state.stamped), litter_in);
    for (path, time) in times {
        if let Some(input) = sources.inputs.get_mut(&path) {
            input.mtime = time;
        }
    }
    manifest.litter = littered;

    let index: BTreeMap<&str, usize> =
        sources.inputs.keys().enumerate().map(|(at, path)| (path.as_str(), at)).collect();
    for (unit, named) in manifest.units.iter_mut().zip(&named) {
        unit.absent = each_time::absent(unit, named);
        let mut inputs: BTreeSet<usize> = named.iter().filter_map(|path| index.get(path.as_str()).copied()).collect();
        for folder in named.iter().filter(|path| Path::new(path).is_dir()) {
            let below = index.range(folder.as_str()..).take_while(|(path, _)| path.starts_with(folder.as_str()));
            inputs.extend(below.filter(|(path, _)| is_under(path, folder)).map(|(_, at)| *at));
        }
        unit.inputs = inputs.into_iter().collect();
    }
    let again = made::written_again(job, live, &sources);
    let unseen = unseen::find(job, live, &manifest, &named, &again, &sources.beside(&job.state.stamped));
    for (unit, unseen) in manifest.units.iter_mut().zip(unseen) {
        unit.unseen = unseen;
    }
    run_facts::add(job, live, made, &sources, &mut manifest);
    linked::add(job, live, &mut manifest);
    described::add(job, live, &sources.repositories, &mut manifest);
    manifest.inputs = sources.inputs.into_values().collect();
    macro_facts::add_unread(job, live, &mut manifest);
    manifest.env = variables_of_the_job(job, live, secrets);
    manifest
}

/// What is known of one unit by itself; `edges` and `place` say what it was built from.
pub(super) fn unit_record(
    job: &Job<'_>,
    at: usize,
    ages: &[Option<u32>],
    edges: &[Option<usize>],
    place: &HashMap<usize, usize>,
) -> UnitRecord {
    let unit = job.unit(at);
    let before = job.unchanged(at);
    let is_precalculated = |fingerprint: &units::DiskFingerprint| match &fingerprint.fingerprint {
        Some(parsed) => parsed.locals().contains(&Local::Precalculated),
        None => before.is_some_and(UnitRecord::is_precalculated),
    };
    let is_by_content = |fingerprint: &units::DiskFingerprint| match &fingerprint.fingerprint {
        Some(parsed) => parsed.locals().contains(&Local::CheckDepInfo { by_content: true }),
        None => before.is_some_and(UnitRecord::is_by_content),
    };
    let fingerprints = unit.fingerprints.iter().map(|fingerprint| FingerprintRecord {
        name: fingerprint.name.clone(),
        hash: fingerprint.hash.clone(),
        precalculated: is_precalculated(fingerprint),
        by_content: is_by_content(fingerprint),
    });
    let parsed = unit.fingerprints.iter().find_map(|print| print.fingerprint.as_ref());
    UnitRecord {
        root: job.units[at].0,
        place: unit.place.clone(),
        lies: job.place(at).lies.clone(),
        // The package may have another one by now.
        version: before.and_then(|before| before.version.clone()).or_else(|| job.place(at).version.clone()),
        mode: Some(job.mode(at)),
        features: parsed.map(|parsed| parsed.fields().features).or_else(|| before?.features.clone()),
        absent: Vec::new(),
        turns: None,
        fingerprints: fingerprints.collect(),
        reference: unit.reference,
        inputs: Vec::new(),
        unseen: Vec::new(),
        deps: edges.iter().flatten().filter_map(|dep| place.get(dep).copied()).collect(),
        seconds: unit.seconds,
        env: variables(unit),
        idle: ages[at].unwrap_or(0),
        run: None,
        linted: unit.is_linted(),
        macros: None,
    }
}

/// What the step that restored saw of the variables that units track, as far as that is known: the value is one that a unit was
/// built with, or the one that this step has.
fn variables_of_the_job(job: &Job<'_>, live: &[usize], secrets: &Secrets) -> BTreeMap<String, EnvRecord> {
    let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for &at in live {
        for (name, value) in job.unit(at).tracked_env().filter(|(name, _)| !is_cargos(name)) {
            let known = values.entry(name).or_default();
            known.extend(value);
        }
    }
    let own = environment::variables();
    let seen = |(name, mut values): (String, BTreeSet<String>)| {
        let now = own.get(&name);
        let is_hidden = is_secret_name(&name) || now.is_some_and(|value| secrets.hides(&name, value));
        values.extend(now.cloned());
        let record = match job.state.environment.get(&name) {
            Some(mark) => {
                let value = values.into_iter().find(|value| Secrets::mark(value) == *mark)?;
                secrets.record(&name, Some(value))
            }
            None if is_hidden => return None,
            None => EnvRecord::Unset,
        };
        Some((name, record))
    };
    values.into_iter().filter_map(seen).collect()
}

fn variables(unit: &DiskUnit) -> Vec<String> {
    let names = unit.tracked_env().map(|(name, _)| name).filter(|name| !is_cargos(name));
    names.collect::<BTreeSet<String>>().into_iter().collect()
}
