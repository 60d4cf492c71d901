//! Begins to watch which source files the job reads: a proc macro that reads files does not say which.
//!
//! Only where a macro may read files, or none is known yet: setting an access time moves the status-change time, and git has to
//! be told about that. A repository that cannot be told is not watched, and what is not watched is not known to be unread.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, Result};
use rayon::prelude::*;
use vec1::Vec1;

use crate::git::{GitIndex, Repository};
use crate::job::facts::Facts;
use crate::job::outcome::RestoreOutcome;
use crate::machine::paths::{self, file_name};
use crate::stamp::beyond::Beyond;
use crate::stamp::observed::{self, Moved, Watch};
use crate::stamp::sources::{Scope, Sources};
use crate::state::manifest::{Input, InputKind, Manifest, Origin, Root, UnitRecord};
use crate::unit::Unit;

/// The watch, if there is anything to be watched and the file system notices reads.
pub(super) fn begin(
    facts: &Facts,
    roots: &Vec1<Root>,
    manifest: Option<&Manifest>,
    found: &Sources,
    mut beyond: Beyond,
    outcome: &mut RestoreOutcome,
) -> Option<Watch> {
    if !may_have_readers(facts, manifest) {
        return None;
    }
    let probe = probe_folder(facts, roots, found)?;
    // A file system that notices no reads is nothing to complain about: macros are judged by their sources then.
    let device = observed::device(&probe).ok()?;
    let named = manifest.map(named_inputs).unwrap_or_default();
    let wanted = |input: &Input| {
        let is_file = input.kind == InputKind::File && matches!(input.origin, Origin::Tracked | Origin::Untracked);
        is_file
            && !["Cargo.toml", "Cargo.lock"].contains(&file_name(&input.path))
            && !named.contains(input.path.as_str())
    };
    let inputs = found.inputs.values().filter(|input| wanted(input)).map(|input| input.path.as_str());
    let files: Vec<&str> = inputs.chain(beyond.paths()).collect();

    let (mut indices, mut left) = (Vec::new(), files);
    // The deepest first: a file belongs to the repository right above it.
    let mut repositories: Vec<&Repository> = found.repositories.iter().collect();
    repositories.sort_by_key(|repository| std::cmp::Reverse(repository.top.as_os_str().len()));
    for repository in repositories {
        let (own, others) = left.into_iter().partition(|path| paths::path(path).starts_with(&repository.top));
        left = others;
        let own: Vec<&str> = own;
        match GitIndex::lock(repository) {
            Ok(index) if !own.is_empty() => indices.push((repository, index, own)),
            Ok(_) | Err(_) => {}
        }
    }
    observed::set_behind(device, left.into_par_iter());
    let mut watched = BTreeSet::new();
    for (repository, index, own) in indices {
        let moved = observed::set_behind(device, own.into_par_iter());
        watched.extend(moved.iter().map(|moved| moved.path.clone()));
        if let Err(error) = tell(index, repository, &moved) {
            outcome.warnings.fault("git's index was not told about access times", &error);
            // It has to read the files, which then count as read.
            let refreshed = repository.refresh_index().and_then(crate::git::Refresh::finish);
            outcome.warnings.extend(refreshed.err().map(|error| crate::problem::Warning::new(format!("{error:#}"))));
        }
    }
    beyond.watch(&watched);
    Watch::begin(device, &probe, &roots.first().path, beyond).ok()
}

/// What git tracks beyond the source roots, where a macro may read files.
pub(super) fn beyond(facts: &Facts, manifest: Option<&Manifest>, found: &Sources, scope: &Scope) -> Beyond {
    if may_have_readers(facts, manifest) { Beyond::find(&found.repositories, scope) } else { Beyond::default() }
}

/// Whether a macro may read files, as far as it is known which macros there are.
fn may_have_readers(facts: &Facts, manifest: Option<&Manifest>) -> bool {
    let Some(manifest) = manifest else { return true };
    manifest.units.iter().any(UnitRecord::uses_reading_macros) || !facts.locked_packages().is_subset(&manifest.locked)
}

/// What the compiler reads anyway.
fn named_inputs(manifest: &Manifest) -> BTreeSet<&str> {
    let units = manifest.units.iter().filter(|unit| !unit.is_run());
    units.flat_map(|unit| unit.inputs.iter().map(|&at| manifest.inputs[at].path.as_str())).collect()
}

/// A folder that is mounted with the sources and is none of them: to try something out in it changes no source folder's time.
fn probe_folder(facts: &Facts, roots: &Vec1<Root>, found: &Sources) -> Option<PathBuf> {
    let top = &facts.workspaces.first().root;
    let mut git = found.repositories.iter().map(|repository| &repository.git_dir);
    let inside_repository =
        |dir: &&PathBuf| found.repositories.iter().any(|repository| dir.starts_with(&repository.top));
    let target = roots.iter().map(|root| root.path.clone()).find(|dir| dir.starts_with(top));
    git.find(inside_repository).cloned().or(target)
}

fn tell(mut index: GitIndex, repository: &Repository, moved: &[Moved]) -> Result<()> {
    for Moved { path, before, after } in moved {
        let path = paths::path(path);
        let name = path.strip_prefix(&repository.top).context("a file lies outside of its repository")?;
        index.moved(name, *before, *after);
    }
    index.store()
}
