//! What lies below the source roots now, as inputs: ids from the bytes, or for large files from git's index where git vouches
//! for the bytes.
//!
//! Ignored files count only if they are named. What a named path leads to through links, and whole folders that are named, come
//! along wherever they lie. How it can be wrong: a build that reads an ignored file which nobody names is not seen to.

mod identify;
mod named;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use anyhow::Result;
use rayon::prelude::*;

use crate::digest::{BlobAlgorithm, ContentId};
use crate::git::{Repository, Tracked};
use crate::machine::disk::{self, FileSystem, Kind, Meta};
use crate::machine::paths;
use crate::machine::shell::Shell;
use crate::moment::Moment;
use crate::stamp::record;
use crate::stamp::sight::{Stamped, View};
use crate::state::manifest::{Input, Origin};

pub use identify::hash_file;

/// Files up to this size are read whatever git says: that is faster than a question, and nothing is more certain.
const READ_UP_TO: u64 = 64 << 10;

/// Where to look.
#[derive(Debug, Default)]
pub struct Scope {
    /// Workspaces and outside path dependencies.
    pub roots: Vec<PathBuf>,
    /// Vendored packages that no listing of git's names.
    pub plain: Vec<PathBuf>,
    /// Target and build folders, and the Cargo home: what is in them is output.
    pub outputs: Vec<PathBuf>,
    /// Paths that units name.
    pub named: BTreeSet<String>,
    /// Those of them that a build script made: they count among outputs, too.
    pub made: BTreeSet<String>,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Sources {
    pub inputs: BTreeMap<String, Input>,
    /// When each of them last changed in any way, where the platform says.
    pub changed: BTreeMap<String, Moment>,
    pub shells: BTreeMap<String, Shell>,
    pub repositories: Vec<Repository>,
    /// Repositories that git can find and not list, and why: every file there was read.
    pub unlisted: BTreeMap<PathBuf, String>,
    /// Outside files that belong to the user that we run as.
    pub own_outside: HashSet<String>,
    /// Named folders outside every root, whose content was listed like that of a root.
    pub outside_folders: BTreeSet<String>,
    /// Files that have no meaning of their own below a folder that has one: they get its time.
    pub companions: BTreeMap<String, Vec<String>>,
}

impl Sources {
    /// Beside what was there when the restore ended.
    pub fn beside<'a>(&'a self, stamped: &'a Stamped) -> View<'a> {
        View { inputs: &self.inputs, changed: &self.changed, shells: &self.shells, stamped }
    }
}

/// A file that is there, before it is known what it is.
#[derive(Clone, Debug)]
struct Candidate {
    path: String,
    origin: Origin,
    id: Option<ContentId>,
    executable: bool,
    algorithm: BlobAlgorithm,
}

/// Lists and identifies every input, folders not included: see `add_folders`.
pub fn scan(scope: &Scope, file_system: &FileSystem) -> Result<Sources> {
    let mut sources = Sources::default();
    let mut candidates = Vec::new();
    let mut open: Vec<PathBuf> = scope.roots.clone();
    let mut seen_tops = BTreeSet::new();
    while let Some(root) = open.pop() {
        match Repository::discover(&root) {
            Some(repository) => {
                if !seen_tops.insert((repository.top.clone(), root.clone())) {
                    continue;
                }
                if let Err(error) = list_repository(&repository, &root, scope, None, &mut candidates, &mut open) {
                    walk_plain(&root, scope, Origin::Tracked, &mut candidates)?;
                    sources.unlisted.insert(repository.top.clone(), format!("{error:#}"));
                }
                if !sources.repositories.iter().any(|known| known.top == repository.top) {
                    sources.repositories.push(repository);
                }
            }
            None => walk_plain(&root, scope, Origin::Tracked, &mut candidates)?,
        }
    }
    for dir in &scope.plain {
        walk_plain(dir, scope, Origin::Tracked, &mut candidates)?;
    }
    named::add(scope, &mut candidates, &mut sources)?;
    candidates.sort_by(|a, b| a.path.cmp(&b.path));
    candidates.dedup_by(|a, b| a.path == b.path);
    let found: Vec<_> = candidates
        .into_par_iter()
        .filter_map(|one| identify::identify(one, file_system, &sources.repositories))
        .collect();
    for identify::Identified { input, own, changed, shell } in found {
        if own && input.origin == Origin::Outside {
            sources.own_outside.insert(input.path.clone());
        }
        sources.changed.extend(changed.map(|changed| (input.path.clone(), changed)));
        sources.shells.extend(shell.map(|shell| (input.path.clone(), shell)));
        sources.inputs.insert(input.path.clone(), input);
    }
    Ok(sources)
}

/// Adds the folders that hold the inputs.
pub fn add_folders(sources: &mut Sources, scope: &Scope, file_system: &FileSystem) {
    let mut roots: Vec<(String, Origin)> =
        scope.roots.iter().chain(&scope.plain).map(|root| (paths::text(root), Origin::Tracked)).collect();
    roots.extend(sources.outside_folders.iter().map(|folder| (folder.clone(), Origin::Outside)));
    let (changed, own) = (&mut sources.changed, &mut sources.own_outside);
    record::with_folders(&mut sources.inputs, &roots, |path| {
        let meta = Meta::of(&paths::path(path)).ok()?;
        changed.extend(meta.ctime.map(|ctime| (path.to_owned(), ctime)));
        if file_system.owns(&meta) {
            own.insert(path.to_owned());
        }
        Some(meta.mtime)
    });
}

/// The newest time of a folder's children that are not inputs, and their names.
pub fn uncounted(folder: &Path, counted: &BTreeSet<String>) -> (Option<Moment>, BTreeSet<String>) {
    let children = disk::walk(folder, &|_| false).unwrap_or_default();
    let others: Vec<_> = children.iter().filter(|child| !counted.contains(&paths::text(&child.path))).collect();
    let newest = others.iter().map(|child| child.meta.mtime.max(child.meta.ctime.unwrap_or_default())).max();
    let names = others.iter().filter_map(|child| Some(paths::text(Path::new(child.path.file_name()?))));
    (newest, names.collect())
}

/// Lists what lies below `root`. With an `origin`, everything has that one.
fn list_repository(
    repository: &Repository,
    root: &Path,
    scope: &Scope,
    origin: Option<Origin>,
    candidates: &mut Vec<Candidate>,
    open: &mut Vec<PathBuf>,
) -> Result<()> {
    let listing = repository.list(&[root.to_path_buf()])?;
    let algorithm = repository.algorithm;
    let mut add = |path: &Path, of_git, id, executable| {
        if !is_output(path, scope) {
            let origin = origin.unwrap_or(of_git);
            candidates.push(Candidate { path: paths::text(path), origin, id, executable, algorithm });
        }
    };
    let large: Vec<&Path> = listing.tracked.par_iter().filter_map(large_file).collect();
    let vouched = repository.vouched(&large, &[root.to_path_buf()])?;
    let vouched: HashSet<PathBuf> = vouched.into_iter().map(Path::to_path_buf).collect();
    for Tracked { path, blob, executable, .. } in listing.tracked {
        let id = vouched.contains(&path).then_some(blob);
        add(&path, Origin::Tracked, id, executable);
    }
    for path in &listing.untracked {
        add(path, Origin::Untracked, None, false);
    }
    for nested in listing.nested {
        let own = nested.join(".git");
        // A submodule that was not checked out is an empty folder of this repository.
        if own.exists() && !is_output(&nested, scope) {
            if own.is_file() {
                add(&own, Origin::Tracked, None, false);
            }
            open.push(nested);
        }
    }
    Ok(())
}

/// A file that is cheaper to ask git about than to read.
fn large_file(tracked: &Tracked) -> Option<&Path> {
    let is_large = || Meta::of(&tracked.path).is_ok_and(|meta| meta.kind == Kind::File && meta.size > READ_UP_TO);
    (tracked.may_be_vouched && is_large()).then_some(tracked.path.as_path())
}

/// Lists a folder that no git knows. Folders with nothing in them are listed themselves.
fn walk_plain(root: &Path, scope: &Scope, origin: Origin, candidates: &mut Vec<Candidate>) -> Result<()> {
    let enter = |dir: &Path| !is_output(dir, scope) && !dir.ends_with(".git");
    let found = disk::walk(root, &enter)?;
    let parents: HashSet<&Path> = found.iter().filter_map(|found| found.path.parent()).collect();
    for one in &found {
        let counts =
            one.meta.kind != Kind::Folder || origin != Origin::Tracked && !parents.contains(one.path.as_path());
        if counts && !is_output(&one.path, scope) && !one.path.ends_with(".git") {
            let path = paths::text(&one.path);
            candidates.push(Candidate { path, origin, id: None, executable: false, algorithm: BlobAlgorithm::Sha1 });
        }
    }
    Ok(())
}

fn is_output(path: &Path, scope: &Scope) -> bool {
    scope.outputs.iter().any(|dir| path.starts_with(dir))
}
