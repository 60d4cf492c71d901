//! What the live units read: resolves the paths that they name, and looks at the sources as they are now.

use std::collections::{BTreeSet, HashMap};
use std::path::{Component, Path, PathBuf};

use anyhow::Result;
use fs_err as fs;

use super::{Job, KnownUnits, known_units, unchanged};
use crate::cargo::depinfo::DepFile;
use crate::cargo::fingerprint::Local;
use crate::cargo::units::DiskUnit;
use crate::disk::FileSystem;
use crate::sources::{self, Scope, Sources};

/// The sources, and per live unit the paths that it names.
pub(super) struct Seen {
    pub(super) sources: Sources,
    pub(super) scope: Scope,
    pub(super) named: Vec<BTreeSet<String>>,
}

pub(super) fn look(job: &Job<'_>, live: &[usize], file_system: &FileSystem) -> Result<Seen> {
    let dirs = package_dirs(job);
    let known = known_units(job);
    let named: Vec<BTreeSet<String>> = live
        .iter()
        .map(|&at| {
            let mut paths = named_paths(job, at, &dirs);
            paths.extend(remembered_paths(job, at, &known));
            paths
        })
        .collect();
    let all: BTreeSet<String> = named.iter().flatten().cloned().collect();
    let scope = job.facts.scope(all);
    let sources = sources::scan(&scope, file_system)?;
    Ok(Seen { sources, scope, named })
}

/// Paths that an unchanged unit named when its fingerprint could still be read; the JSON of one that tracks a secret is not
/// stored.
fn remembered_paths(job: &Job<'_>, at: usize, known: &KnownUnits<'_>) -> Vec<String> {
    let unit = job.unit(at);
    let is_readable = unit.fingerprints.iter().all(|fingerprint| fingerprint.fingerprint.is_some());
    let Some(before) = unchanged(job, at, known).filter(|_| !is_readable) else { return Vec::new() };
    let Some(restored) = job.previous() else { return Vec::new() };
    before.inputs.iter().map(|&input| restored.manifest.inputs[input].path.clone()).collect()
}

/// Folders of the packages whose files can change, by name.
fn package_dirs(job: &Job<'_>) -> HashMap<String, PathBuf> {
    let vendored = job.facts.vendored.iter().map(|package| (package.name.clone(), package.dir.clone()));
    let own = job.facts.workspaces.iter().flat_map(|workspace| &workspace.packages);
    vendored.chain(own.map(|package| (package.name.clone(), package.dir.clone()))).collect()
}

fn named_paths(job: &Job<'_>, at: usize, dirs: &HashMap<String, PathBuf>) -> BTreeSet<String> {
    let unit = job.unit(at);
    let dir = dirs.get(&unit.place.package);
    let build_root = &job.surveys[job.units[at].0].root;
    let mut paths: BTreeSet<PathBuf> = BTreeSet::new();
    let dep_infos = unit.fingerprints.iter().filter_map(|fingerprint| fingerprint.dep_info.as_ref());
    for file in dep_infos.flat_map(|info| &info.files) {
        match file {
            DepFile::InPackage(path) => paths.extend(dir.map(|dir| dir.join(path))),
            DepFile::InBuildRoot(path) => paths.extend([build_root.join(path)]),
        }
    }
    for path in rerun_paths(unit) {
        let path = PathBuf::from(path);
        // A registry package's own files never change.
        match dir {
            Some(dir) => paths.extend([dir.join(path)]),
            None if path.is_absolute() => paths.extend([path]),
            None => {}
        }
    }
    paths.iter().filter_map(|path| tidy(path).to_str().map(str::to_owned)).collect()
}

fn rerun_paths(unit: &DiskUnit) -> Vec<String> {
    let paths = unit.locals().filter_map(|local| match local {
        Local::RerunIfChanged { paths } => Some(paths),
        _ => None,
    });
    paths.flatten().collect()
}

/// A path without `.` and `..`, as the file system resolves them where it can.
fn tidy(path: &Path) -> PathBuf {
    if !path.components().any(|part| matches!(part, Component::ParentDir)) {
        return path.components().filter(|part| !matches!(part, Component::CurDir)).collect();
    }
    fs::canonicalize(path).unwrap_or_else(|_| {
        let mut tidy = PathBuf::new();
        for part in path.components() {
            match part {
                Component::ParentDir => {
                    tidy.pop();
                }
                Component::CurDir => {}
                other => tidy.push(other),
            }
        }
        tidy
    })
}
