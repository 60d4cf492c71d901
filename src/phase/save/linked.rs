//! The libraries that units link: by what a build script printed, or by an attribute in a local package's own sources.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::job::Job;
use crate::cargo::depinfo::DepFile;
use crate::machine::disk::Meta;
use crate::machine::libraries::{self, Asked};
use crate::moment::Moment;
use crate::state::manifest::{Manifest, RunFacts};
use crate::unit::Unit;

/// Adds to every unit that was built what it links. One that was not is as it was.
pub(super) fn add(job: &Job<'_>, live: &[usize], manifest: &mut Manifest) {
    let own: Vec<PathBuf> = job.roots.iter().map(|root| root.path.clone()).collect();
    let roots: Vec<PathBuf> = job.facts.workspaces.iter().map(|workspace| workspace.root.clone()).collect();
    let mut folders: Option<Vec<PathBuf>> = None;
    for (place, &at) in live.iter().enumerate() {
        let unit = job.unit(at);
        if let Some(before) = job.unchanged(at) {
            // What is known of a script's run is known already.
            if !unit.is_run() {
                manifest.units[place].run.clone_from(&before.run);
            }
            continue;
        }
        let bases = [&job.place(at).dirs[..], &roots].concat();
        let files = if unit.is_run() {
            of_script(job, at).files(&[], &bases, &own)
        } else {
            let asked = of_sources(job, at);
            if asked.is_empty() {
                continue;
            }
            // Where it is searched for is what the scripts of this and other packages said.
            let folders = folders.get_or_insert_with(|| {
                let runs = live.iter().filter(|&&at| job.unit(at).is_run());
                let all: BTreeSet<PathBuf> = runs.flat_map(|&at| of_script(job, at).folders).collect();
                all.into_iter().collect()
            });
            asked.files(folders, &bases, &own)
        };
        if !files.is_empty() {
            let facts = manifest.units[place].run.get_or_insert_with(RunFacts::default);
            // What a script made while it ran, it made to be linked.
            let used = ended(job, at).unwrap_or(unit.reference);
            facts.libraries = libraries::identify(&files, Some(used));
        }
    }
}

/// When a script's run was over: Cargo writes down then what it said on standard error, and nobody writes there again.
fn ended(job: &Job<'_>, at: usize) -> Option<Moment> {
    let said = job.surveys[job.units[at].0].root.join(job.unit(at).place.run_dir()).join("stderr");
    let said = Meta::of(&said).ok().filter(|_| job.unit(at).is_run())?;
    Some(said.mtime)
}

fn of_script(job: &Job<'_>, at: usize) -> Asked {
    let path = job.surveys[job.units[at].0].root.join(job.unit(at).place.run_output());
    Asked::of_script(&String::from_utf8_lossy(&fs::read(path).unwrap_or_default()))
}

/// From the sources of a package by path that the unit was compiled from.
fn of_sources(job: &Job<'_>, at: usize) -> Asked {
    let infos = job.unit(at).fingerprints.iter().filter_map(|print| print.dep_info.as_ref());
    let files: BTreeSet<&String> = infos
        .flat_map(|info| &info.files)
        .filter_map(|file| match file {
            DepFile::InPackage(path) if Path::new(path).extension().is_some_and(|end| end == "rs") => Some(path),
            DepFile::InPackage(_) | DepFile::InBuildRoot(_) => None,
        })
        .collect();
    let mut asked = Asked::default();
    for path in job.place(at).dirs.iter().flat_map(|dir| files.iter().map(move |file| dir.join(file))) {
        if let Ok(bytes) = fs::read(&path) {
            asked.attributes(&String::from_utf8_lossy(&bytes));
        }
    }
    asked
}
