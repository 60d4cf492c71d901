//! Paths that units name and no listing holds: ignored by git, inside `.git`, outside every root, or at the end of a link.
//!
//! Cargo follows links in what is watched and looks at everything below a watched folder, so all of that has to be found here.
//! What a job leaves behind in such a folder is told apart later, by its times.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;
use fs_err as fs;

use super::{Candidate, Scope, Sources, is_output, list_repository, walk_plain};
use crate::digest::BlobAlgorithm;
use crate::git::Repository;
use crate::machine::disk::{self, Kind, Meta};
use crate::machine::paths::{self, is_under};
use crate::state::manifest::Origin;

/// Nobody follows more links than this.
const LINKS: usize = 40;

pub(super) fn add(scope: &Scope, candidates: &mut Vec<Candidate>, sources: &mut Sources) -> Result<()> {
    let listed: BTreeSet<String> = candidates.iter().map(|candidate| candidate.path.clone()).collect();
    let algorithm = sources.repositories.first().map(|repository| repository.algorithm).unwrap_or_default();
    let mut search = Search { scope, algorithm, seen: listed, sources };
    // A link among the listed files counts where its folder is watched.
    let mut open: Vec<(String, usize)> =
        links_below(&scope.named, candidates).into_iter().map(|path| (path, 1)).collect();
    // Folders before what is in them: they are listed as a whole.
    open.extend(scope.named.iter().rev().map(|path| (path.clone(), 0)));
    while let Some((path, links)) = open.pop() {
        if links < LINKS {
            for end in search.add(&path, candidates)? {
                open.push((end, links + 1));
            }
        }
    }
    Ok(())
}

/// Where links lead that lie below a named folder.
fn links_below(named: &BTreeSet<String>, candidates: &[Candidate]) -> Vec<String> {
    let mut sorted: Vec<&str> = candidates.iter().map(|candidate| candidate.path.as_str()).collect();
    sorted.sort_unstable();
    let mut ends = Vec::new();
    for folder in named {
        let from = sorted.partition_point(|path| *path < folder.as_str());
        let below = sorted[from..].iter().take_while(|path| path.starts_with(folder.as_str()));
        for path in below.filter(|path| is_under(path, folder)) {
            ends.extend(end_of(&paths::path(path)));
        }
    }
    ends
}

/// What a link leads to in the end.
fn end_of(path: &Path) -> Option<String> {
    let is_link = Meta::of(path).is_ok_and(|meta| meta.kind == Kind::Symlink);
    if is_link { fs::canonicalize(path).ok().map(|end| paths::text(&end)) } else { None }
}

struct Search<'a> {
    scope: &'a Scope,
    algorithm: BlobAlgorithm,
    seen: BTreeSet<String>,
    sources: &'a mut Sources,
}

impl Search<'_> {
    /// Adds a named path; what it leads to comes back.
    fn add(&mut self, path: &str, candidates: &mut Vec<Candidate>) -> Result<Vec<String>> {
        let disk_path = paths::path(path);
        if path.is_empty() || is_output(&disk_path, self.scope) && !self.scope.made.contains(path) {
            return Ok(Vec::new());
        }
        let Ok(meta) = Meta::of(&disk_path) else { return Ok(Vec::new()) };
        if meta.kind == Kind::Symlink {
            if self.seen.insert(path.to_owned()) {
                candidates.push(self.own(path));
            }
            return Ok(end_of(&disk_path).into_iter().collect());
        }
        if !self.seen.insert(path.to_owned()) {
            return Ok(Vec::new());
        }
        if self.sources.repositories.iter().any(|repository| repository.owns(&disk_path)) {
            candidates.push(self.own(path));
            if meta.kind == Kind::Folder {
                let found = disk::walk(&disk_path, &|_| true)?;
                self.sources
                    .companions
                    .insert(path.to_owned(), found.iter().map(|one| paths::text(&one.path)).collect());
            }
            return Ok(Vec::new());
        }
        if meta.kind != Kind::Folder {
            candidates.push(self.own(path));
            return Ok(Vec::new());
        }
        // A folder that holds listed files is built from them; what git ignores in it does not count.
        let first = self.seen.range(format!("{path}{}", std::path::MAIN_SEPARATOR)..).next();
        if first.is_some_and(|first| is_under(first, path)) {
            return Ok(Vec::new());
        }
        let from = candidates.len();
        self.list(&disk_path, candidates)?;
        let ends = candidates[from..].iter().filter_map(|candidate| end_of(&paths::path(&candidate.path))).collect();
        self.seen.extend(candidates[from..].iter().map(|candidate| candidate.path.clone()));
        Ok(ends)
    }

    /// A folder's content: as git sees it, where git knows of it and does not ignore it as a whole.
    fn list(&mut self, folder: &Path, candidates: &mut Vec<Candidate>) -> Result<()> {
        let text = paths::text(folder);
        let origin = self.origin(folder);
        if origin == Origin::Outside {
            self.sources.outside_folders.insert(text.clone());
        }
        let from = candidates.len();
        let repository = if origin == Origin::Outside { Repository::discover(folder) } else { None };
        match repository.filter(|repository| !repository.ignores(folder)) {
            Some(repository) => {
                let mut open: Vec<PathBuf> = Vec::new();
                list_repository(&repository, folder, self.scope, Some(origin), candidates, &mut open)?;
                for nested in open {
                    walk_plain(&nested, self.scope, origin, candidates)?;
                }
            }
            None => walk_plain(folder, self.scope, origin, candidates)?,
        }
        // With nothing in it, the folder itself is all there is.
        if candidates.len() == from {
            candidates.push(self.own(&text));
        }
        Ok(())
    }

    fn own(&self, path: &str) -> Candidate {
        let origin = self.origin(&paths::path(path));
        Candidate { path: path.to_owned(), origin, id: None, executable: false, algorithm: self.algorithm }
    }

    fn origin(&self, path: &Path) -> Origin {
        let inside = self.scope.roots.iter().any(|root| path.starts_with(root));
        if inside { Origin::Ignored } else { Origin::Outside }
    }
}
