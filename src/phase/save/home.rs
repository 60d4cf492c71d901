//! Saves the Cargo home when the job had to fetch something that a lock file names.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::job::Job;
use super::put::{self, Began};
use crate::cargo::home::{Wanted, holdings, is_kept};
use crate::digest::{Digest, FieldHasher};
use crate::job::inputs::Inputs;
use crate::job::outcome::Saved;
use crate::machine::disk::{Found, Kind};
use crate::machine::paths;
use crate::state::decision::{SaveMode, SkipReason};
use crate::state::delta::{DeltaKind, Room};
use crate::state::limit::Bound;
use crate::state::manifest::{Content, FileEntry, Location, Manifest, Root};

pub(super) fn save(job: &Job<'_>, inputs: &Inputs) -> Result<Saved> {
    if inputs.save == SaveMode::Never {
        return Ok(Saved::Skipped(SkipReason::Never));
    }
    if let Some(reason) = job.store.access().write.refusal() {
        return Ok(Saved::Skipped(SkipReason::NotAllowed(reason.to_owned())));
    }
    if let (SaveMode::Auto, Some(reason)) = (inputs.save, inputs.scope.unread()) {
        return Ok(Saved::Skipped(SkipReason::Unread(reason.to_owned())));
    }
    // The lock file may have been written by the job itself.
    let wanted = Wanted::Locked(&job.facts.locked);
    let held = holdings(&job.facts.cargo_home, wanted, &BTreeSet::new())?;
    let before = &job.state.home;
    let fetched = held.names.difference(&before.names).count();
    if fetched == 0 && !before.damaged {
        return Ok(Saved::NothingFetched);
    }

    let root = Root { label: "home".to_owned(), path: job.facts.cargo_home.clone() };
    let mut manifest = Manifest::blank(before.parts.clone(), vec![root]);
    manifest.history.clear();
    manifest.scope.clone_from(&inputs.scope.0);
    let known = before.manifest.as_ref().map(times).unwrap_or_default();
    let entries = held.files.iter().filter_map(|found| entry(found, &job.facts.cargo_home, &known));
    let entries: Vec<(FileEntry, PathBuf)> = entries.collect();
    let same = before.manifest.as_ref().map(|manifest| unchanged(manifest, &before.lost_files, &entries));
    let same = same.unwrap_or_default();
    let began = before.manifest.as_ref().zip(before.pack.as_ref());
    let began =
        |room| began.map(|(manifest, pack)| Began { manifest, pack, same: &same, damaged: before.damaged, room });
    let mut hasher = FieldHasher::default();
    // Entries that could not be used, whole or in part, keep their names.
    let damaged = before.pack.iter().filter(|_| before.damaged).map(|pack| &pack.key);
    for name in held.names.iter().chain(&before.passed_over).chain(damaged) {
        hasher.field(name);
    }
    let state = hasher.finish().short();
    let put = |room| put::put(job.store, inputs, manifest.clone(), entries.clone(), began(room), state.clone(), None);
    let landed = put(Room::Enough)?;
    let Saved::Skipped(SkipReason::OverBudget { limit, .. }) = &landed.saved else { return Ok(landed.saved) };
    Ok(match (limit.of, landed.kind) {
        (Bound::MaxSize, DeltaKind::Delta) => put(Room::NotForMore)?.saved,
        (Bound::Disk, DeltaKind::Base(reason)) if reason.is_a_choice() => put(Room::NotForAnother)?.saved,
        _ => landed.saved,
    })
}

/// Recorded files that are there with the same size and time. What Cargo reads of them it checks itself.
fn unchanged(manifest: &Manifest, lost: &BTreeSet<usize>, now: &[(FileEntry, PathBuf)]) -> BTreeSet<usize> {
    let now: HashMap<&str, &FileEntry> = now.iter().map(|(file, _)| (file.path.as_str(), file)).collect();
    let is_same = |file: &FileEntry| {
        now.get(file.path.as_str()).is_some_and(|now| now.size() == file.size() && now.mtime == file.mtime)
    };
    let files = manifest.files.iter().enumerate().filter(|(at, file)| !lost.contains(at) && is_same(file));
    files.map(|(at, _)| at).collect()
}

/// Archives never change under one name, whatever time they were fetched at.
fn times(manifest: &Manifest) -> HashMap<&str, (&FileEntry, u64)> {
    manifest.files.iter().map(|file| (file.path.as_str(), (file, file.size()))).collect()
}

fn entry(found: &Found, home: &Path, known: &HashMap<&str, (&FileEntry, u64)>) -> Option<(FileEntry, PathBuf)> {
    let path = paths::text(found.path.strip_prefix(home).ok()?);
    let path = if cfg!(windows) { path.replace('\\', "/") } else { path };
    if !is_kept(&path) {
        return None;
    }
    let content = match found.meta.kind {
        Kind::File => {
            let nowhere = Location { pack: 0, frame: 0, offset: 0 };
            Content::File {
                size: found.meta.size,
                mode: found.meta.mode,
                sha256: Digest::of(b""),
                at: nowhere,
                patch: None,
            }
        }
        Kind::Folder => Content::Folder { mode: found.meta.mode },
        Kind::Symlink | Kind::Other => return None,
    };
    let same = known
        .get(path.as_str())
        .filter(|(_, size)| *size == found.meta.size && found.path.extension().is_some_and(|end| end == "crate"));
    let mtime = same.map_or(found.meta.mtime, |(file, _)| file.mtime);
    Some((FileEntry { root: 0, path, mtime, unit: None, content }, found.path.clone()))
}
