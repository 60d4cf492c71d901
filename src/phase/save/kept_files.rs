//! Which files of a target folder are kept, and what the manifest says of each; places in packs are filled in later.
//!
//! What is neither a file nor a folder nor a symlink (a socket, a pipe) is passed over: nothing of it could be stored.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::job::Job;
use super::screen::Screened;
use crate::cargo::units::{DiskFile, Role, Survey};
use crate::digest::Digest;
use crate::machine::disk::{Kind, Meta};
use crate::machine::paths;
use crate::state::manifest::{Content, FileEntry, Location};
use crate::unit::Unit;

/// Every file that is kept, with where it lies on disk.
pub(super) fn files(job: &Job<'_>, live: &[usize], screened: &Screened) -> Vec<(FileEntry, PathBuf)> {
    let place: HashMap<(usize, usize), usize> =
        live.iter().enumerate().map(|(new, &old)| (job.units[old], new)).collect();
    let keeps_doc = live.iter().any(|&at| job.unit(at).is_doc());
    let keeps_incremental = job.state.parts.hard.options.get("incremental").is_some_and(|wish| wish == "on");
    let mut entries: Vec<(FileEntry, PathBuf)> = Vec::new();
    let mut first_names: HashMap<(u64, u64), usize> = HashMap::new();
    for (root, survey) in job.surveys.iter().enumerate() {
        let mut kept: Vec<(&DiskFile, Option<usize>)> = Vec::new();
        for file in &survey.files {
            let unit = match file.role {
                Role::Unit(at) => match place.get(&(root, at)) {
                    Some(&new) => Some(new),
                    None => continue,
                },
                Role::Doc if !keeps_doc => continue,
                Role::Incremental if !keeps_incremental => continue,
                Role::Drop => continue,
                Role::Doc | Role::Incremental | Role::Folder | Role::Keep => None,
            };
            if file.meta.kind != Kind::Other && !screened.holds(root, file) {
                kept.push((file, unit));
            }
        }
        let shells = shells(survey, &kept);
        for (file, unit) in kept.into_iter().filter(|(file, _)| !shells.contains(file.path.as_str())) {
            let path = survey.on_disk(file);
            if let Some(content) = content(&path, &file.meta, &mut first_names, entries.len()) {
                entries
                    .push((FileEntry { root, path: file.path.clone(), mtime: file.meta.mtime, unit, content }, path));
            }
        }
    }
    entries
}

fn content(path: &Path, meta: &Meta, first_names: &mut HashMap<(u64, u64), usize>, at: usize) -> Option<Content> {
    match meta.kind {
        Kind::Folder => Some(Content::Folder { mode: meta.mode }),
        Kind::Symlink => Some(Content::Symlink { to: paths::text(&fs::read_link(path).ok()?) }),
        Kind::Other => None,
        Kind::File => {
            if let (Some(identity), true) = (meta.identity, meta.links > 1) {
                if let Some(&to) = first_names.get(&identity) {
                    return Some(Content::HardLink { to });
                }
                first_names.insert(identity, at);
            }
            let nowhere = Location { pack: 0, frame: 0, offset: 0 };
            Some(Content::File { size: meta.size, mode: meta.mode, sha256: Digest::of(b""), at: nowhere, patch: None })
        }
    }
}

/// Folders that belong to nobody and of whose content nothing is kept, such as those of dropped units' profiles. One that is
/// empty on disk is not a shell: somebody made it to be there.
fn shells<'a>(survey: &'a Survey, kept: &[(&'a DiskFile, Option<usize>)]) -> BTreeSet<&'a str> {
    let filled: HashSet<&str> = survey.files.iter().filter_map(|file| Some(file.path.rsplit_once('/')?.0)).collect();
    let is_shell = |(file, unit): &(&DiskFile, Option<usize>)| {
        let nobody = unit.is_none() && file.role != Role::Folder && file.meta.kind == Kind::Folder;
        nobody && filled.contains(file.path.as_str())
    };
    let mut needed: HashSet<&str> = HashSet::new();
    for (file, _) in kept.iter().filter(|kept| !is_shell(kept)) {
        let mut path = file.path.as_str();
        while let Some((dir, _)) = path.rsplit_once('/') {
            if !needed.insert(dir) {
                break;
            }
            path = dir;
        }
    }
    let shells = kept.iter().filter(|kept| is_shell(kept)).map(|(file, _)| file.path.as_str());
    shells.filter(|path| !needed.contains(path)).collect()
}
