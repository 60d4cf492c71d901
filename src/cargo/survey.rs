//! The walk through a target folder that finds its units.
//!
//! One walk. Access times come from it, before anything is opened. A unit whose files cannot be read is still a unit: its bytes
//! are compared, and nothing is concluded from them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::depinfo;
use super::fingerprint::Fingerprint;
use super::layout::{Belongs, Profiles};
use super::owner::Owners;
use super::units::{DiskFile, DiskFingerprint, DiskUnit, Role, Survey};
use crate::machine::disk::{self, Found, Meta};
use crate::machine::paths;
use crate::moment::Moment;
use crate::unit::UnitPlace;

/// A relative path as it is written in manifests and archives. A backslash is a separator on Windows and a character elsewhere.
fn archived(path: &Path) -> String {
    let text = paths::text(path);
    if cfg!(windows) { text.replace('\\', "/") } else { text }
}

/// Looks at everything below `root`, except below `apart` (a build folder inside a target folder is a root of its own).
pub fn survey(root: &Path, apart: &[PathBuf], profiles_elsewhere: &Profiles) -> io::Result<Survey> {
    let own = root.join(".rekindle");
    let enter = |dir: &Path| dir != own && !apart.iter().any(|other| other == dir);
    let mut survey = Survey { root: root.to_path_buf(), ..Survey::default() };
    let mut found = Vec::new();
    // What cannot be listed is one folder without content, and no reason to see nothing at all.
    let readable = |dir: &Path| enter(dir) && fs::read_dir(dir).is_ok();
    let walked = match disk::walk(root, &enter) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => disk::walk(root, &readable),
        walked => walked,
    };
    for Found { path, meta } in walked? {
        if apart.contains(&path) {
            continue;
        }
        if let Ok(relative) = path.strip_prefix(root) {
            found.push((archived(relative), meta));
        }
    }
    let mut profiles = Profiles::find(found.iter().map(|(path, _)| path.as_str()));
    profiles.extend(profiles_elsewhere);
    let belongs: Vec<Belongs> = found.iter().map(|(path, _)| profiles.classify(path)).collect();
    let metas: BTreeMap<&str, &Meta> = found.iter().map(|(path, meta)| (path.as_str(), meta)).collect();
    let places: BTreeSet<&UnitPlace> = belongs.iter().filter_map(Belongs::place).collect();
    survey.units = places.iter().map(|place| read_unit(root, place, &metas)).collect();

    let owners = Owners::new(root, &survey.units, &found, &belongs);
    let roles: Vec<Role> =
        found.iter().zip(&belongs).map(|((path, meta), belongs)| owners.role(path, meta, belongs)).collect();
    survey.files = found.into_iter().zip(roles).map(|((path, meta), role)| DiskFile { path, meta, role }).collect();
    Ok(survey)
}

/// Surveys every root of a job. A root inside another is looked at on its own, and a target folder whose profiles are in a
/// build folder of their own is read with those.
pub fn survey_all(roots: &[PathBuf]) -> io::Result<Vec<Survey>> {
    let mut known = Profiles::default();
    let mut surveys = Vec::new();
    for root in roots {
        let survey = survey(root, roots, &known)?;
        known.extend(&profiles(&survey));
        surveys.push(survey);
    }
    Ok(surveys)
}

/// The profile folders below a root, for the sake of the target folder that belongs to it.
pub fn profiles(survey: &Survey) -> Profiles {
    Profiles::find(survey.files.iter().map(|file| file.path.as_str()))
}

fn read_unit(root: &Path, place: &UnitPlace, metas: &BTreeMap<&str, &Meta>) -> DiskUnit {
    let dir = place.fingerprint_dir();
    let prefix = format!("{dir}/");
    let names: Vec<&str> = metas
        .range(prefix.as_str()..)
        .take_while(|(path, _)| path.starts_with(&prefix))
        .filter_map(|(path, _)| path.strip_prefix(&prefix))
        .collect();
    let meta = |name: &str| metas.get(format!("{prefix}{name}").as_str()).copied();
    let read = |name: &str| fs::read(root.join(paths::path(&format!("{prefix}{name}")))).ok();

    let mut fingerprints = Vec::new();
    let mut accessed = Moment::EPOCH;
    let mut reference = Moment::EPOCH;
    for name in names.iter().filter(|name| is_hash_file(name)) {
        let hash = read(name).and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
        let dep_name = format!("dep-{name}");
        let hash_meta = meta(name);
        accessed = accessed.max(hash_meta.map_or(Moment::EPOCH, |meta| meta.atime));
        let dep_mtime = meta(&dep_name).map(|meta| meta.mtime);
        reference = reference.max(dep_mtime.or(hash_meta.map(|meta| meta.mtime)).unwrap_or_default());
        fingerprints.push(DiskFingerprint {
            fingerprint: read(&format!("{name}.json")).and_then(|bytes| Fingerprint::parse(&bytes)),
            dep_info: read(&dep_name).and_then(|bytes| depinfo::parse(&bytes)),
            hash,
            name: (*name).to_owned(),
        });
    }
    let output = metas.get(place.run_output().as_str());
    if let (true, Some(output)) = (fingerprints.iter().any(|f| f.name.starts_with("run-")), output) {
        reference = output.mtime;
    }
    let span = span(place, metas);
    let started = span.map(|(started, _)| started);
    // One that failed is as old as its last success and as new as its failure.
    let has_failed = fingerprints.iter().any(|fingerprint| fingerprint.hash.is_empty());
    let span = span.filter(|_| !has_failed);
    let seconds = span.map_or(0.0, |(started, ended)| ended.since(started).as_secs_f64());
    DiskUnit { place: place.clone(), fingerprints, reference, accessed, started, seconds }
}

/// From the moment Cargo noted before it started the unit to the newest thing that the unit left.
fn span(place: &UnitPlace, metas: &BTreeMap<&str, &Meta>) -> Option<(Moment, Moment)> {
    let started = [place.fingerprint_dir(), place.run_dir()]
        .iter()
        .filter_map(|dir| metas.get(format!("{dir}/invoked.timestamp").as_str()).map(|meta| meta.mtime))
        .max();
    let dirs = [place.fingerprint_dir(), place.run_dir(), place.out_dir()];
    let newest_in = |dir: &String| {
        let prefix = format!("{dir}/");
        metas
            .range(prefix.as_str()..)
            .take_while(|(path, _)| path.starts_with(&prefix))
            .map(|(_, meta)| meta.mtime)
            .max()
    };
    let ended = dirs.iter().filter_map(newest_in).max();
    started.zip(ended)
}

fn is_hash_file(name: &str) -> bool {
    let other = ["dep-", "output-"].iter().any(|start| name.starts_with(start));
    !other
        && Path::new(name).extension().is_none_or(|end| end != "json")
        && name != "invoked.timestamp"
        && !name.contains('/')
}
