//! From what a state holds to an entry in the store: which pack it builds on, what it is called, and whether it landed. The same
//! way for the target folder and the Cargo home.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::borrowed;
use super::patches::Patches;
use crate::job::inputs::Inputs;
use crate::job::outcome::Saved;
use crate::machine::disk;
use crate::pack::{self, Pack, Source};
use crate::problem::GivenUp;
use crate::state::decision::SkipReason;
use crate::state::delta::{self, DeltaKind, DeltaPlan, Previous, Room, Whose};
use crate::state::key::Key;
use crate::state::limit::{Bound, Limit};
use crate::state::manifest::{Content, FileEntry, Manifest, Parent};
use crate::state::secrets::Secrets;
use crate::store::{About, Draft, Put, Sending, Store};

/// The state that the job began with, as far as its bytes can be built on.
#[derive(Clone, Copy)]
pub(super) struct Began<'a> {
    pub(super) manifest: &'a Manifest,
    pub(super) pack: &'a Parent,
    /// Recorded files that are still on disk, as they were.
    pub(super) same: &'a BTreeSet<usize>,
    /// A pack that it refers to was missing or damaged.
    pub(super) damaged: bool,
    pub(super) room: Room,
}

/// Where it went.
pub(super) struct Landed {
    pub(super) saved: Saved,
    pub(super) kind: DeltaKind,
    /// What the pack says of itself, whether the store took it or not.
    pub(super) manifest: Manifest,
    pub(super) pack: Parent,
}

/// The part of what a disk has left that is for others.
const NOT_OURS: u64 = 16;

/// What an entry may take up of the disk while it is made.
pub(super) fn spare(store: &dyn Store, inputs: &Inputs) -> Option<u64> {
    let left = store.room(inputs.state.parent()?)?;
    Some(left - left / NOT_OURS)
}

/// A draft that is given up when it takes more than there is room for; what is packed from then on is only counted.
struct Bounded<'a> {
    draft: Option<Box<dyn Draft + 'a>>,
    left: u64,
}

impl Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(draft) = &mut self.draft else { return Ok(bytes.len()) };
        if bytes.len() as u64 > self.left {
            self.draft = None;
            return Ok(bytes.len());
        }
        let written = draft.write(bytes)?;
        self.left -= written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.draft.as_mut().map_or(Ok(()), Write::flush)
    }
}

/// Plans, names, packs and stores a state, whose `manifest` lacks nothing but its files and what follows from them. `state` is the
/// last field of its name. `secrets` are those that a target folder must not hold.
pub(super) fn put(
    store: &dyn Store,
    inputs: &Inputs,
    mut manifest: Manifest,
    entries: Vec<(FileEntry, PathBuf)>,
    began: Option<Began<'_>>,
    state: String,
    secrets: Option<&Secrets>,
) -> Result<Landed> {
    let (files, paths): (Vec<FileEntry>, Vec<PathBuf>) = entries.into_iter().unzip();
    // The name of an entry that somebody else gave is not a lineage to go on with.
    let began = began.and_then(|began| Some((began, Key::parse(&began.pack.key)?.lineage)));
    let complete = match &began {
        Some((began, _)) => !began.damaged && are_there(store, began)?,
        None => false,
    };
    let dir = inputs.state.parent().context("the state file lies in no folder")?;
    disk::make_private(dir)?;
    // Nobody edits what a Cargo home holds.
    let to_build_on = began.as_ref().map(|(began, _)| began);
    let to_build_on = to_build_on.filter(|began| complete && began.room != Room::NotForMore && secrets.is_some());
    let patches = to_build_on.map(|began| Patches::make(dir, (began.manifest, began.same), &files, &paths));
    let patches = patches.unwrap_or_default();
    let previous = began.as_ref().map(|(began, lineage)| Previous {
        manifest: began.manifest,
        pack: began.pack.clone(),
        lineage,
        same: began.same,
        complete,
        room: began.room,
        whose: if inputs.scope.is_pull_request() && began.manifest.scope != inputs.scope.0 {
            Whose::OtherRef
        } else if began.manifest.parts.name != manifest.parts.name {
            Whose::Sibling
        } else {
            Whose::Own
        },
        patched: &patches.made,
    });
    let mut plan = delta::plan(files, previous.as_ref());
    // A Cargo home has no siblings.
    if plan.kind != DeltaKind::Delta && secrets.is_some() {
        borrowed::subtract(store, &manifest, &paths, &mut plan);
    }
    let DeltaPlan { kind, parents, files, stored, stored_bytes } = plan;
    let lineage = match (kind, &previous) {
        (DeltaKind::Delta, Some(previous)) => previous.lineage.to_owned(),
        _ => state.clone(),
    };
    let key = Key { fields: manifest.parts.fields(), lineage: lineage.clone(), state }.to_string();
    if let (DeltaKind::Delta, Some((began, _))) = (kind, &began) {
        manifest.scope.clone_from(&began.manifest.scope);
    }
    tracing::debug!(key, ?kind, stored = stored.len(), bytes = stored_bytes, "what to store is planned");
    manifest.key.clone_from(&key);
    manifest.parents = parents;
    manifest.files = files;
    if let Some(secrets) = secrets {
        let is_clean = !secrets.are_in(&serde_json::to_vec(&manifest)?);
        ensure!(is_clean, "the manifest would hold a secret of this job's environment");
    }
    let content_bytes = manifest.content_bytes();
    let sources = sources(&manifest.files, &stored, &paths, &patches, secrets.is_some());
    let files = sources.iter().filter(|source| manifest.files[source.file].size() > 0).count();

    let sending = if inputs.max_size.is_some() { Sending::WhenComplete } else { Sending::AsTheyCome };
    let spare = spare(store, inputs);
    let mut draft = Bounded { draft: Some(store.begin(&key, dir, sending)?), left: spare.unwrap_or(u64::MAX) };
    let written = pack::write(&mut draft, manifest, sources)?;
    let bytes = written.bytes;
    let mut taken = bytes;
    if inputs.max_size.is_some() {
        // What a sibling stored is there in any case.
        let parents = written.index.manifest.parents.iter();
        for parent in parents.filter(|parent| Key::parse(&parent.key).is_some_and(|key| key.lineage == lineage)) {
            taken += store.size(&parent.key)?;
        }
    }
    let over = |bytes, limit, of| Saved::Skipped(SkipReason::OverBudget { bytes, limit: Limit { limit, of } });
    let saved = if let Some(limit) = inputs.max_size.filter(|limit| taken > *limit) {
        over(taken, limit, Bound::MaxSize)
    } else if let Some(mut draft) = draft.draft {
        draft.tell(About { sha256: written.sha256, parents: written.index.manifest.parents.clone() });
        match draft.finish(&written.tail)? {
            Put::Stored => Saved::Stored { key: key.clone(), kind, files, bytes, content_bytes },
            Put::AlreadyThere => Saved::AlreadyThere { key: key.clone() },
            Put::Reserved => Saved::Reserved { key: key.clone() },
        }
    } else {
        over(bytes, spare.unwrap_or_default(), Bound::Disk)
    };
    let pack = Parent { key, sha256: written.sha256, bytes: stored_bytes };
    Ok(Landed { saved, kind, manifest: written.index.manifest, pack })
}

/// Where the bytes lie that are stored, and when a file of a target was last written to. A patch has a time of its own, and so have
/// archives of a Cargo home that were fetched again.
fn sources(
    files: &[FileEntry],
    stored: &[usize],
    paths: &[PathBuf],
    patches: &Patches,
    is_target: bool,
) -> Vec<Source> {
    let source = |&file: &usize| {
        let FileEntry { content, mtime, .. } = &files[file];
        let (path, written) = match content {
            Content::File { patch: Some(_), .. } => (patches.path(file)?, None),
            Content::File { .. } => (paths[file].clone(), is_target.then_some(*mtime)),
            _ => (paths[file].clone(), None),
        };
        Some(Source { file, path, written })
    };
    stored.iter().filter_map(source).collect()
}

/// Whether all of it can be read. Where nothing more is asked, nothing has to be packed, either.
fn are_there(store: &dyn Store, began: &Began<'_>) -> Result<bool> {
    for parent in std::iter::once(began.pack).chain(&began.manifest.parents) {
        match Pack::open(store, &parent.key) {
            Ok(pack) if pack.sha256 == parent.sha256 => match store.confirm(&parent.key) {
                Ok(()) => {}
                Err(error) if GivenUp::in_chain(&error).is_some() => return Err(error),
                Err(_) => return Ok(false),
            },
            Err(error) if GivenUp::in_chain(&error).is_some() => return Err(error),
            Ok(_) | Err(_) => return Ok(false),
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::moment::Moment;
    use crate::state::manifest::Location;

    /// Whoever packs it has to find what the walk found.
    #[test]
    fn a_file_of_a_target_is_stored_as_it_was_walked_past() {
        let at = Location { pack: 0, frame: 0, offset: 0 };
        let file = |nanos: i64, content: Content| FileEntry {
            root: 0,
            path: "a".into(),
            mtime: Moment::from_nanos(nanos),
            unit: None,
            content,
        };
        let bytes = || Content::File { size: 1, mode: 0o644, sha256: Digest::of(b"a"), at, patch: None };
        let files = [file(7, bytes()), file(8, Content::Symlink { to: "a".into() }), file(9, bytes())];
        let paths: Vec<PathBuf> = ["a", "b", "c"].map(PathBuf::from).to_vec();
        let written = |is_target: bool| -> Vec<(usize, Option<Moment>)> {
            let sources = sources(&files, &[0, 1, 2], &paths, &Patches::default(), is_target);
            sources.into_iter().map(|source| (source.file, source.written)).collect()
        };
        assert_eq!(written(true), [(0, Some(Moment::from_nanos(7))), (1, None), (2, Some(Moment::from_nanos(9)))]);
        assert_eq!(written(false), [(0, None), (1, None), (2, None)]);
    }
}
