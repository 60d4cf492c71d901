//! What lies below the source roots now, as inputs: ids from the bytes, or for large files from git's index where git vouches
//! for the bytes.
//!
//! Ignored files count only if they are named. A path that is not UTF-8 is left out, and reported, because nothing recorded
//! about it could be compared.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Result;
use fs_err as fs;
use rayon::prelude::*;

use crate::digest::{BlobAlgorithm, BlobHasher, ContentId};
use crate::disk::{self, FileSystem, Kind, Meta};
use crate::git::{Repository, Tracked};
use crate::manifest::{Input, InputKind, Origin};
use crate::moment::Moment;
use crate::paths::is_under;
use crate::record;

/// How many files a named folder outside git may hold before its times are left to Cargo.
const NAMED_FOLDER_LIMIT: usize = 10_000;

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
}

/// What was found.
#[derive(Debug, Default)]
pub struct Sources {
    pub inputs: BTreeMap<String, Input>,
    pub repositories: Vec<Repository>,
    /// Outside files that belong to the user that we run as.
    pub own_outside: HashSet<String>,
    /// Paths that are not UTF-8.
    pub unreadable: Vec<PathBuf>,
}

/// A file that is there, before it is known what it is.
struct Candidate {
    path: String,
    origin: Origin,
    id: Option<ContentId>,
    algorithm: BlobAlgorithm,
}

/// Lists and identifies every input, folders not included: see `folders`.
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
                list_repository(&repository, &root, scope, &mut candidates, &mut open, &mut sources)?;
                if !sources.repositories.iter().any(|known| known.top == repository.top) {
                    sources.repositories.push(repository);
                }
            }
            None => walk_plain(&root, scope, Origin::Tracked, &mut candidates, &mut sources)?,
        }
    }
    for dir in &scope.plain {
        walk_plain(dir, scope, Origin::Tracked, &mut candidates, &mut sources)?;
    }
    let listed: BTreeSet<&str> = candidates.iter().map(|candidate| candidate.path.as_str()).collect();
    let named: Vec<String> = scope.named.iter().filter(|path| !listed.contains(path.as_str())).cloned().collect();
    let algorithm = sources.repositories.first().map(|repository| repository.algorithm).unwrap_or_default();
    for path in named {
        add_named(&path, scope, algorithm, &mut candidates, &mut sources);
    }
    candidates.sort_by(|a, b| a.path.cmp(&b.path));
    candidates.dedup_by(|a, b| a.path == b.path);
    let found: Vec<(Input, bool)> = candidates.into_par_iter().filter_map(|c| identify(c, file_system)).collect();
    for (input, own) in found {
        if own && input.origin == Origin::Outside {
            sources.own_outside.insert(input.path.clone());
        }
        sources.inputs.insert(input.path.clone(), input);
    }
    Ok(sources)
}

/// Adds the folders that hold the inputs.
pub fn add_folders(sources: &mut Sources, scope: &Scope) {
    let roots: Vec<String> =
        scope.roots.iter().chain(&scope.plain).filter_map(|root| root.to_str().map(str::to_owned)).collect();
    record::with_folders(&mut sources.inputs, &roots, |path| Meta::of(Path::new(path)).ok().map(|meta| meta.mtime));
}

/// The newest time of a folder's children that are no inputs.
pub fn newest_uncounted(folder: &Path, counted: &BTreeSet<String>) -> Option<Moment> {
    let children = disk::walk(folder, &|_| false).unwrap_or_default();
    let others = children.iter().filter(|child| child.path.to_str().is_none_or(|path| !counted.contains(path)));
    others.map(|child| child.meta.mtime).max()
}

fn list_repository(
    repository: &Repository,
    root: &Path,
    scope: &Scope,
    candidates: &mut Vec<Candidate>,
    open: &mut Vec<PathBuf>,
    sources: &mut Sources,
) -> Result<()> {
    let listing = repository.list(&[root.to_path_buf()])?;
    let algorithm = repository.algorithm;
    let mut add = |path: PathBuf, origin, id| match path.to_str() {
        Some(text) if !is_output(text, scope) => {
            candidates.push(Candidate { path: native(text), origin, id, algorithm });
        }
        Some(_) => {}
        None => sources.unreadable.push(path),
    };
    let large: Vec<&Path> = listing.tracked.par_iter().filter_map(large_file).collect();
    let vouched = repository.vouched(&large, &[root.to_path_buf()])?;
    let vouched: HashSet<PathBuf> = vouched.into_iter().map(Path::to_path_buf).collect();
    for Tracked { path, blob, .. } in listing.tracked {
        let id = vouched.contains(&path).then_some(blob);
        add(path, Origin::Tracked, id);
    }
    for path in listing.untracked {
        add(path, Origin::Untracked, None);
    }
    sources.unreadable.extend(listing.unreadable);
    for nested in listing.nested {
        // A submodule that was not checked out is an empty folder of this repository.
        if nested.join(".git").exists() && nested.to_str().is_some_and(|text| !is_output(text, scope)) {
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

fn walk_plain(
    root: &Path,
    scope: &Scope,
    origin: Origin,
    candidates: &mut Vec<Candidate>,
    sources: &mut Sources,
) -> Result<()> {
    let enter = |dir: &Path| dir.to_str().is_some_and(|text| !is_output(text, scope)) && !dir.ends_with(".git");
    for found in disk::walk(root, &enter)? {
        match found.path.to_str() {
            Some(text) if found.meta.kind != Kind::Folder && !is_output(text, scope) => {
                candidates.push(Candidate { path: text.to_owned(), origin, id: None, algorithm: BlobAlgorithm::Sha1 });
            }
            Some(_) => {}
            None => sources.unreadable.push(found.path),
        }
    }
    Ok(())
}

/// A path that a unit names and no listing holds: ignored by git, or outside every root. Folders bring their content along.
fn add_named(
    path: &str,
    scope: &Scope,
    algorithm: BlobAlgorithm,
    candidates: &mut Vec<Candidate>,
    sources: &mut Sources,
) {
    if is_output(path, scope) {
        return;
    }
    let inside = scope.roots.iter().filter_map(|root| root.to_str()).any(|root| path == root || is_under(path, root));
    let origin = if inside { Origin::Ignored } else { Origin::Outside };
    let own = |path: &str| Candidate { path: path.to_owned(), origin, id: None, algorithm };
    match Meta::of(Path::new(path)) {
        Ok(meta) if meta.kind == Kind::Folder => {
            // A folder that holds listed files is built from them; what git ignores in it does not count.
            let prefix = format!("{path}{}", std::path::MAIN_SEPARATOR);
            if path.is_empty() || candidates.iter().any(|candidate| candidate.path.starts_with(&prefix)) {
                return;
            }
            let Ok(found) = disk::walk(Path::new(path), &|_| true) else {
                return;
            };
            if found.len() > NAMED_FOLDER_LIMIT {
                return;
            }
            let (texts, others): (Vec<PathBuf>, Vec<PathBuf>) =
                found.into_iter().map(|found| found.path).partition(|path| path.to_str().is_some());
            sources.unreadable.extend(others);
            let below: Vec<String> = texts.iter().map(|path| path.to_string_lossy().into_owned()).collect();
            candidates.extend(below.iter().map(|path| own(path)));
            candidates.push(own(path));
        }
        Ok(_) => candidates.push(own(path)),
        Err(_) => {}
    }
}

fn is_output(path: &str, scope: &Scope) -> bool {
    scope.outputs.iter().filter_map(|dir| dir.to_str()).any(|dir| path == dir || is_under(path, dir))
}

/// Git writes `/` everywhere; the rest of the program compares with what the platform writes.
fn native(path: &str) -> String {
    if std::path::MAIN_SEPARATOR == '/' { path.to_owned() } else { path.replace('/', std::path::MAIN_SEPARATOR_STR) }
}

fn identify(candidate: Candidate, file_system: &FileSystem) -> Option<(Input, bool)> {
    let Candidate { path, origin, id, algorithm } = candidate;
    let disk_path = Path::new(&path);
    let meta = Meta::of(disk_path).ok()?;
    let (kind, id, resolved) = match meta.kind {
        Kind::File => {
            let id = match id {
                Some(id) => id,
                None => hash_file(disk_path, &meta, algorithm)?,
            };
            (InputKind::File, id, None)
        }
        Kind::Symlink => {
            let text = fs::read_link(disk_path).ok()?.to_string_lossy().into_owned();
            let resolved = fs::canonicalize(disk_path).ok().map(|path| path.to_string_lossy().into_owned());
            (InputKind::Symlink, ContentId::of_link(&text), resolved)
        }
        Kind::Folder => {
            let mut names: Vec<String> = fs::read_dir(disk_path)
                .ok()?
                .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
                .collect();
            names.sort();
            (InputKind::Folder, ContentId::of_children(names.iter().map(String::as_str)), None)
        }
        Kind::Other => return None,
    };
    let own = file_system.owns(&meta);
    Some((Input { path, kind, id, mtime: meta.mtime, origin, resolved }, own))
}

/// The blob id of a file's bytes; nothing if it changes while it is read.
pub fn hash_file(path: &Path, meta: &Meta, algorithm: BlobAlgorithm) -> Option<ContentId> {
    let mut hasher = BlobHasher::new(algorithm, meta.size);
    let mut file = fs::File::open(path).ok()?;
    let mut buffer = vec![0; usize::try_from(meta.size + 1).unwrap_or(usize::MAX).min(1 << 18)];
    let mut total = 0_u64;
    loop {
        let len = file.read(&mut buffer).ok()?;
        if len == 0 {
            break;
        }
        total += len as u64;
        hasher.update(&buffer[..len]);
    }
    (total == meta.size).then(|| hasher.finish())
}
