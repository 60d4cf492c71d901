//! Whether a wheel was made in this job and nothing in the target folder had a part in it: by way of the sdist, from a copy that
//! is gone.
//!
//! How it can be wrong: a command that names a target folder of its own leaves the same trace, and the advice says so.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::job::Job;
use crate::explain::inspection::Inspection;
use crate::machine::disk::Meta;

/// The wheel, relative to what paths are shown relative to.
pub(super) fn wheel(job: &Job<'_>, inspection: &Inspection) -> Option<String> {
    if !inspection.units.is_empty() || !job.state.access_times {
        return None;
    }
    let base = job.facts.base();
    let workspaces = job.facts.workspaces.iter();
    let packages =
        workspaces.clone().flat_map(|workspace| workspace.packages.iter().map(|package| package.dir.clone()));
    let dirs: BTreeSet<PathBuf> = workspaces.map(|workspace| workspace.root.clone()).chain(packages).collect();
    let projects = dirs.iter().filter(|dir| dir.join("pyproject.toml").is_file());
    let mut wheels = projects.filter_map(|dir| made_with_sdist(job, &dir.join("dist")));
    let wheel = wheels.next()?;
    Some(wheel.strip_prefix(&base).unwrap_or(&wheel).display().to_string())
}

/// A wheel with compiled code, and beside it the sdist of the same project, both of this job.
fn made_with_sdist(job: &Job<'_>, dist: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(dist).ok()?.filter_map(Result::ok).map(|entry| entry.path());
    let new = entries.filter(|path| Meta::of(path).is_ok_and(|meta| meta.mtime > job.state.started));
    let names: Vec<(String, PathBuf)> =
        new.filter_map(|path| Some((path.file_name()?.to_str()?.to_owned(), path))).collect();
    let project = |name: &str| name.split('-').next().unwrap_or_default().to_owned();
    let sdists: BTreeSet<String> =
        names.iter().filter(|(name, _)| name.ends_with(".tar.gz")).map(|(name, _)| project(name)).collect();
    let is_compiled = |name: &str| name.strip_suffix(".whl").is_some_and(|name| !name.ends_with("-any"));
    names.into_iter().find(|(name, _)| is_compiled(name) && sdists.contains(&project(name))).map(|(_, path)| path)
}
