//! Files that git tracks in the repositories of the workspaces, but beyond their roots: a proc macro may read these, too.
//!
//! None of them is an input before somebody is seen to have read it. Folders count by the names that git knows of in them, so that
//! a file which comes or goes beside one that was read is noticed. How it can be wrong: files that git does not track, those of
//! submodules and of repositories around this one, and all of a repository that holds too many.

use std::collections::{BTreeMap, BTreeSet};

use fs_err as fs;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::digest::{BlobAlgorithm, ContentId};
use crate::git::Repository;
use crate::machine::disk::{Kind, Meta};
use crate::machine::paths::{self, is_under, join, parent};
use crate::moment::Moment;
use crate::stamp::sources::{Scope, hash_file};
use crate::state::manifest::{BeyondInput, ReadBeyond};

/// A repository that tracks more files than this beyond the roots is left alone.
const MOST: usize = 20_000;

/// What there is, as a restore finds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beyond {
    /// Of the repositories.
    tops: BTreeSet<String>,
    paths: BTreeSet<String>,
    /// Those that nobody would be seen to read.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    unwatched: BTreeSet<String>,
}

/// What was read of it in a job.
#[derive(Debug, Default)]
pub struct Read {
    pub inputs: BTreeSet<BeyondInput>,
    /// When something changed or went away in the job itself: whoever was compiled before may have read something else.
    pub changed: BTreeMap<String, Moment>,
}

impl Beyond {
    pub fn find(repositories: &[Repository], scope: &Scope) -> Self {
        let apart = || scope.roots.iter().chain(&scope.plain).chain(&scope.outputs);
        let mut beyond = Self::default();
        for repository in repositories.iter().filter(|one| !scope.roots.iter().any(|root| one.top.starts_with(root))) {
            // One that cannot be listed is not watched either.
            let tracked = repository.tracked().unwrap_or_default();
            let paths = tracked.into_iter().map(|tracked| tracked.path);
            let paths: Vec<_> = paths.filter(|path| !apart().any(|dir| path.starts_with(dir))).collect();
            if paths.len() <= MOST {
                beyond.tops.insert(paths::text(&repository.top));
                beyond.paths.extend(paths.iter().map(|path| paths::text(path)));
            }
        }
        beyond
    }

    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.paths.iter().map(String::as_str)
    }

    /// From now on only what was read of these counts, and of links.
    pub fn watch(&mut self, watched: &BTreeSet<String>) {
        let is_link = |path: &str| Meta::of(&paths::path(path)).is_ok_and(|meta| meta.kind == Kind::Symlink);
        let unwatched = self.paths.iter().filter(|path| !watched.contains(*path) && !is_link(path));
        self.unwatched = unwatched.cloned().collect();
    }

    /// What is watched.
    pub fn watched(&self) -> impl Iterator<Item = &String> {
        self.paths.difference(&self.unwatched)
    }

    /// Which of these are not what they were, as indices.
    pub fn differing(&self, then: &ReadBeyond) -> BTreeSet<usize> {
        let differs = |input: &BeyondInput| {
            let algorithm = input.id.algorithm().unwrap_or_default();
            self.id(&input.path, algorithm).as_ref() != Some(&input.id)
        };
        let inputs = then.inputs.par_iter().enumerate();
        inputs.filter(|(_, input)| differs(input)).map(|(at, _)| at).collect()
    }

    /// What these are, of which somebody touched the files since a watch began.
    pub fn identify(&self, touched: &BTreeSet<String>, since: Moment) -> Read {
        let kind = |path: &&str| Meta::of(&paths::path(path)).ok().map(|meta| meta.kind);
        let touched = || touched.iter().map(String::as_str);
        let gone = touched().filter(|path| kind(path).is_none());
        let files: BTreeSet<&str> = touched().filter(|path| kind(path) == Some(Kind::File)).collect();
        let links = touched().filter(|path| kind(path) == Some(Kind::Symlink) && self.may_have_led(path, &files));
        let read: BTreeSet<&str> = files.iter().copied().chain(links).collect();
        let changed = gone.map(|path| (path, changed_above(path))).chain(read.iter().map(|path| {
            let changed = Meta::of(&paths::path(path)).ok().and_then(|meta| meta.ctime);
            (*path, changed.filter(|changed| *changed > since))
        }));
        let changed = changed.filter_map(|(path, changed)| Some((path.to_owned(), changed?))).collect();
        let folders: BTreeSet<&str> = read.iter().flat_map(|path| self.folders_of(path)).collect();
        let all: Vec<&str> = read.union(&folders).copied().collect();
        let identify = |path: &&str| {
            let id = self.id(path, BlobAlgorithm::default())?;
            Some(BeyondInput { path: (*path).to_owned(), id })
        };
        Read { inputs: all.par_iter().filter_map(identify).collect(), changed }
    }

    /// Whether somebody may have followed this link: to something that was read, or to what is not watched here.
    fn may_have_led(&self, link: &str, read: &BTreeSet<&str>) -> bool {
        let Ok(end) = fs::canonicalize(paths::path(link)) else { return false };
        let end = paths::text(&end);
        let below = join(&end, "");
        let was_read =
            read.contains(end.as_str()) || read.range(below.as_str()..).next().is_some_and(|path| is_under(path, &end));
        let is_watched =
            self.paths.contains(&end) || self.paths.range(below..).next().is_some_and(|path| is_under(path, &end));
        was_read || !is_watched
    }

    /// Folders in which a change of names would matter to whoever reads `path`: all above it, and the top if it lies in that.
    fn folders_of<'a>(&'a self, path: &'a str) -> Vec<&'a str> {
        let direct = parent(path);
        let above = std::iter::successors(direct, |dir| parent(dir));
        let inside = above.take_while(|dir| self.tops.iter().any(|top| *dir == top || is_under(dir, top)));
        inside.filter(|dir| Some(*dir) == direct || !self.tops.contains(*dir)).collect()
    }

    fn id(&self, path: &str, algorithm: BlobAlgorithm) -> Option<ContentId> {
        let disk_path = paths::path(path);
        let meta = Meta::of(&disk_path).ok()?;
        match meta.kind {
            Kind::File => hash_file(&disk_path, &meta, algorithm),
            Kind::Symlink => Some(ContentId::of_link(&paths::text(&fs::read_link(&disk_path).ok()?))),
            Kind::Folder => Some(self.folder(path)),
            Kind::Other => None,
        }
    }

    /// A folder by the names that git knows of in it.
    fn folder(&self, path: &str) -> ContentId {
        let start = join(path, "");
        let below = self.paths.range(start.clone()..).take_while(|path| path.starts_with(&start));
        let names: BTreeSet<&str> =
            below.filter_map(|path| path[start.len()..].split(std::path::is_separator).next()).collect();
        ContentId::of_children(names.into_iter())
    }
}

/// When the nearest folder that is there changed.
fn changed_above(path: &str) -> Option<Moment> {
    paths::path(path).ancestors().skip(1).find_map(|dir| Meta::of(dir).ok())?.ctime
}
