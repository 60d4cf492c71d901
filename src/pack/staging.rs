//! Trees that arrive whole or not at all: unpacked beside their place, on the same file system, and moved in by rename.
//!
//! Until `move_in` nothing is to be seen in the place itself, so whoever is killed leaves it as it was. What is not there yet
//! comes in one rename with everything below it; where a folder is there, its children come one by one, and those that have to
//! be seen last come last. Nothing is written through a symlink, and a file never takes the place of a folder. How it can be
//! wrong: a mount point inside the place is another file system; what goes there is copied beside its place first, so that
//! each file is whole there, and a folder is not.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use fs_err as fs;
use tempfile::NamedTempFile;

use super::reader::Pack;
use super::unpack::{self, Unpacked};
use crate::machine::disk::{self, Kind, Meta};
use crate::machine::paths;
use crate::state::manifest::Manifest;

/// The folder for what Rekindle itself keeps inside a place.
const OWN: &str = ".rekindle";
const PREFIX: &str = "arriving-";
const LOCK: &str = ".lock";
/// Where nobody can tell whether a folder is still being filled, one of this age is not.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// Paths, relative to their root, that have to be seen last, lowest number first.
pub type Late = BTreeMap<PathBuf, usize>;

/// Folders beside the places of a manifest's roots. What is still in them when this goes is removed.
#[derive(Debug)]
pub struct Staged(Vec<Beside>);

#[derive(Debug)]
struct Beside {
    root: PathBuf,
    dir: PathBuf,
    /// Held as long as somebody is at work here.
    lock: Option<NamedTempFile>,
}

/// One rename.
struct Move {
    root: usize,
    path: PathBuf,
    rank: Option<usize>,
}

/// What could not be moved in, with everything below it.
struct Refusal {
    root: usize,
    path: PathBuf,
    reason: String,
}

impl Staged {
    /// Makes an empty folder for each root. Roots are made if need be; a root may be a symlink to another file system.
    pub fn beside(roots: &[PathBuf]) -> Result<Self> {
        let made = roots.iter().map(|root| Beside::new(root)).collect::<Result<_>>();
        made.map(Self).context("cannot unpack beside the place")
    }

    /// Where the roots' content lies until it is moved in.
    pub fn dirs(&self) -> Vec<PathBuf> {
        self.0.iter().map(|beside| beside.dir.clone()).collect()
    }

    /// Unpacks every file of the manifest but those that `skip` names.
    pub fn unpack(
        &self,
        manifest: &Manifest,
        packs: &[Option<Pack<'_>>],
        shift: Duration,
        skip: &dyn Fn(usize) -> bool,
    ) -> Unpacked {
        unpack::unpack(manifest, packs, &self.dirs(), shift, skip)
    }

    /// Moves everything into its place; `before_late` is told what could not be, before anything is moved that has to be seen
    /// last, and may still take things away. Gives back the files that did not get there, with the reason.
    pub fn move_in(
        self,
        manifest: &Manifest,
        late: &[Late],
        before_late: impl FnOnce(&BTreeMap<usize, String>),
    ) -> BTreeMap<usize, String> {
        let (mut moves, mut refusals) = (Vec::new(), Vec::new());
        let nothing = Late::new();
        for (root, beside) in self.0.iter().enumerate() {
            let late = late.get(root).unwrap_or(&nothing);
            beside.plan(root, late, Path::new(""), &mut moves, &mut refusals);
        }
        moves.sort_by(|a, b| (a.rank, &a.path).cmp(&(b.rank, &b.path)));
        let (last, first): (Vec<Move>, Vec<Move>) = moves.into_iter().partition(|step| step.rank.is_some());
        refusals.extend(first.iter().filter_map(|step| self.carry_out(step)));
        let mut missing = files_of(manifest, &refusals);
        before_late(&missing);
        let refusals: Vec<Refusal> = last.iter().filter_map(|step| self.carry_out(step)).collect();
        missing.extend(files_of(manifest, &refusals));
        missing
    }

    fn carry_out(&self, step: &Move) -> Option<Refusal> {
        let beside = &self.0[step.root];
        match disk::move_in(&beside.dir.join(&step.path), &beside.root.join(&step.path)) {
            Ok(()) => None,
            Err(error) => Some(Refusal { root: step.root, path: step.path.clone(), reason: error.to_string() }),
        }
    }
}

impl Beside {
    fn new(root: &Path) -> Result<Self> {
        fs::create_dir_all(root)?;
        let own = root.join(OWN);
        match Meta::of(&own) {
            Ok(meta) if meta.kind == Kind::Folder => {}
            Ok(_) => bail!("`{}` is in the way", own.display()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir(&own)?,
            Err(error) => return Err(error.into()),
        }
        let lock = tempfile::Builder::new().prefix(PREFIX).suffix(LOCK).tempfile_in(&own)?;
        disk::lock(lock.as_file());
        let dir = lock.path().with_extension("");
        fs::create_dir(&dir)?;
        Ok(Self { root: root.to_path_buf(), dir, lock: Some(lock) })
    }

    /// Which renames bring everything below `path` to its place.
    fn plan(&self, root: usize, late: &Late, path: &Path, moves: &mut Vec<Move>, refusals: &mut Vec<Refusal>) {
        let mut refuse =
            |path: &Path, reason: String| refusals.push(Refusal { root, path: path.to_path_buf(), reason });
        let children = match disk::walk(&self.dir.join(path), &|_| false) {
            Ok(children) => children,
            Err(error) => return refuse(path, error.to_string()),
        };
        let mut open = Vec::new();
        for child in children {
            let Some(name) = child.path.file_name() else { continue };
            let path = path.join(name);
            let place = self.root.join(&path);
            match (child.meta.kind, Meta::of(&place).map(|meta| meta.kind)) {
                (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => {
                    moves.push(Move { root, rank: rank(late, &path), path });
                }
                (_, Err(error)) => refuse(&path, error.to_string()),
                (Kind::Folder, Ok(Kind::Folder)) => open.push(path),
                (Kind::Folder, Ok(_)) | (_, Ok(Kind::Folder)) => {
                    refuse(&path, format!("`{}` is in the way", place.display()));
                }
                (_, Ok(_)) => moves.push(Move { root, rank: rank(late, &path), path }),
            }
        }
        for path in open {
            self.plan(root, late, &path, moves, refusals);
        }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // What stays is swept away by the next one.
        let _ = fs::remove_dir_all(&self.dir);
        self.lock = None;
        // It stays if something is in it.
        let _ = std::fs::remove_dir(self.root.join(OWN));
    }
}

/// When a path may be seen: with the last of what lies below it, else with what it lies in.
fn rank(late: &Late, path: &Path) -> Option<usize> {
    let below = late.range(path.to_path_buf()..).take_while(|(other, _)| other.starts_with(path));
    below.map(|(_, rank)| *rank).max().or_else(|| path.ancestors().skip(1).find_map(|dir| late.get(dir).copied()))
}

/// The manifest's files that lie at or below what could not be moved.
fn files_of(manifest: &Manifest, refusals: &[Refusal]) -> BTreeMap<usize, String> {
    let mut files = BTreeMap::new();
    if refusals.is_empty() {
        return files;
    }
    for (at, file) in manifest.files.iter().enumerate() {
        let path = paths::path(&file.path);
        let refusal = refusals.iter().find(|refusal| refusal.root == file.root && path.starts_with(&refusal.path));
        files.extend(refusal.map(|refusal| (at, refusal.reason.clone())));
    }
    files
}

/// Removes what restores that were killed have left beside a root.
pub fn sweep(root: &Path) {
    let own = root.join(OWN);
    if !Meta::of(&own).is_ok_and(|meta| meta.kind == Kind::Folder) {
        return;
    }
    for found in disk::walk(&own, &|_| false).unwrap_or_default() {
        let name = found.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(stem) = name.strip_prefix(PREFIX).map(|rest| rest.strip_suffix(LOCK).unwrap_or(rest)) else {
            continue;
        };
        if disk::is_locked(&own.join(format!("{PREFIX}{stem}{LOCK}")), ABANDONED) {
            continue;
        }
        // It takes up space and is never looked at.
        let _ = match found.meta.kind {
            Kind::Folder => fs::remove_dir_all(&found.path),
            _ => fs::remove_file(&found.path),
        };
    }
    let _ = std::fs::remove_dir(own);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::moment::Moment;
    use crate::state::key::{HardParts, KeyParts, NameParts, SoftParts};
    use crate::state::manifest::{Content, FileEntry, Location, Root};

    fn manifest(paths: &[&str]) -> Manifest {
        let parts = KeyParts { name: NameParts::default(), hard: HardParts::default(), soft: SoftParts::default() };
        let at = Location { pack: 0, frame: 0, offset: 0 };
        let content = Content::File { size: 1, mode: 0o644, sha256: Digest::of(b""), at, patch: None };
        let file = |path: &&str| FileEntry {
            root: 0,
            path: (*path).to_owned(),
            mtime: Moment::from_nanos(1),
            unit: None,
            content: content.clone(),
        };
        let roots = vec![Root { label: "target".into(), path: "/nowhere".into() }];
        Manifest { files: paths.iter().map(file).collect(), ..Manifest::blank(parts, roots) }
    }

    fn put(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn what_has_to_be_seen_last_is_seen_last_and_only_if_nobody_takes_it_away() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("target");
        put(&root.join("debug/deps/old"), "old");
        fs::create_dir_all(root.join("debug/.fingerprint")).unwrap();
        put(&root.join("debug/build"), "in the way");
        let staged = Staged::beside(std::slice::from_ref(&root)).unwrap();
        let beside = staged.dirs().remove(0);
        let files = ["debug/.fingerprint/a-1/lib", "debug/.fingerprint/b-1/lib", "debug/build/x", "debug/deps/new"];
        for path in &files {
            put(&beside.join(path), "new");
        }
        let late = Late::from([("debug/.fingerprint/b-1".into(), 1), (PathBuf::from("debug/.fingerprint/a-1"), 2)]);
        let missing = staged.move_in(&manifest(&files), &[late], |missing| {
            assert_eq!(missing.keys().collect::<Vec<_>>(), [&2]);
            assert!(root.join("debug/deps/new").exists() && !root.join("debug/.fingerprint/b-1").exists());
            fs::remove_dir_all(beside.join("debug/.fingerprint/a-1")).unwrap();
        });
        assert!(missing[&2].contains("is in the way"), "{missing:?}");
        assert!(root.join("debug/.fingerprint/b-1/lib").exists() && !root.join("debug/.fingerprint/a-1").exists());
        assert_eq!(fs::read_to_string(root.join("debug/deps/old")).unwrap(), "old");
        assert!(!root.join(OWN).exists(), "nothing is left");
    }

    #[test]
    fn only_what_nobody_is_filling_is_swept_away() {
        let dir = tempfile::tempdir().unwrap();
        let staged = Staged::beside(&[dir.path().to_path_buf()]).unwrap();
        put(&dir.path().join(OWN).join("arriving-dead/debug/x"), "cut");
        let lock = dir.path().join(OWN).join("arriving-dead.lock");
        put(&lock, "");
        // Where nobody can tell whether a lock is held, its age decides.
        disk::set_mtime(&lock, disk::Kind::File, crate::moment::Moment::EPOCH).unwrap();
        put(&dir.path().join(OWN).join("manifest.json"), "{}");
        sweep(dir.path());
        assert!(staged.dirs()[0].exists());
        assert!(!dir.path().join(OWN).join("arriving-dead").exists());
        drop(staged);
        let left: Vec<_> = disk::walk(&dir.path().join(OWN), &|_| true).unwrap();
        assert_eq!(left.len(), 1, "{left:?}");
    }
}
