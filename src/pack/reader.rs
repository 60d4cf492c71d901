//! Reads packs as if they were hostile, and unpacks what a manifest says onto the disk, on all cores.
//!
//! Only plain path components, only inside folders that are new and our own, never more bytes than the manifest says, and no
//! byte of a frame whose sha256 is not the recorded one. What fails is named, removed again, and nothing else suffers.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use fs_err as fs;
use rayon::prelude::*;

use super::frame;
use super::index::{FRAME_HEAD, FrameInfo, Index, TRAILER};
use crate::digest::Digest;
use crate::machine::disk::{self, Kind, Meta};
use crate::machine::paths;
use crate::moment::Moment;
use crate::problem::GivenUp;
use crate::state::manifest::{Content, FileEntry, Manifest};
use crate::store::Store;

/// A stored pack whose index has been read and checked.
#[derive(Debug)]
pub struct Pack<'a> {
    store: &'a dyn Store,
    pub key: String,
    pub sha256: Digest,
    pub bytes: u64,
    pub index: Index,
    /// Where the frames begin: behind the index, where a store put that first.
    base: u64,
}

impl<'a> Pack<'a> {
    pub fn open(store: &'a dyn Store, key: &str) -> Result<Self> {
        let bytes = store.size(key)?;
        ensure!(bytes > TRAILER, "`{key}` is not a pack, or it was cut");
        let head = store.read(key, 0, FRAME_HEAD)?;
        let unusable = || format!("cannot use `{key}`");
        let (trailer, offset, len, base) = if let Some(len) = Index::leading(&head, bytes) {
            (store.read(key, FRAME_HEAD + len, TRAILER)?, FRAME_HEAD, len, FRAME_HEAD + len + TRAILER)
        } else {
            let trailer = store.read(key, bytes - TRAILER, TRAILER)?;
            let (offset, len) = Index::locate(&trailer, bytes).with_context(unusable)?;
            (trailer, offset, len, 0)
        };
        let body = store.read(key, offset, len)?;
        let (index, sha256) = Index::decode(&body, &trailer).with_context(unusable)?;
        let end = index.frames.iter().map(|info| base.saturating_add(info.offset).saturating_add(info.len)).max();
        ensure!(end.unwrap_or(0) <= bytes, "`{key}` was cut: it has {bytes} bytes and needs {}", end.unwrap_or(0));
        Ok(Self { store, key: key.to_owned(), sha256, bytes, index, base })
    }

    fn frame(&self, info: &FrameInfo) -> Result<Vec<u8>> {
        let offset = self.base.checked_add(info.offset);
        let offset = offset.filter(|at| at.checked_add(info.len).is_some_and(|end| end <= self.bytes));
        let offset = offset.with_context(|| format!("a frame of `{}` lies outside of it", self.key))?;
        let bytes = self.store.read(&self.key, offset, info.len)?;
        ensure!(Digest::of(&bytes) == info.sha256, "a frame of `{}` at byte {} is damaged", self.key, info.offset);
        Ok(bytes)
    }
}

/// What came of unpacking.
#[derive(Debug, Default)]
pub struct Unpacked {
    pub files: usize,
    pub bytes: u64,
    /// Files that could not be restored, by index, with the reason.
    pub failed: BTreeMap<usize, String>,
    /// The disk has no room for all of it.
    pub full: Option<String>,
}

/// What failed, while it is being found out.
#[derive(Debug, Default)]
struct Failures {
    files: BTreeMap<usize, String>,
    full: Option<String>,
}

impl Failures {
    fn add(&mut self, file: usize, error: &anyhow::Error) {
        let kinds = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
        let is_full = |kind| {
            matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
        };
        let text = GivenUp::in_chain(error).map_or_else(|| format!("{error:#}"), |cause| cause.reason.clone());
        if kinds.into_iter().any(is_full) {
            self.full.get_or_insert_with(|| text.clone());
        }
        self.files.entry(file).or_insert(text);
    }
}

/// Part of a file in one frame.
struct Chunk {
    file: usize,
    /// Where it starts in the uncompressed frame.
    from: u64,
    len: u64,
    /// Where it goes in the file.
    to: u64,
}

/// Unpacks the files of the manifest below `dirs`, one for each root. `packs[0]` is the pack that carried it, `packs[n]` its
/// parents; missing ones are `None`. Files that `skip` names are passed over. Times are set back by `shift`, access times to
/// zero.
pub(super) fn unpack(
    manifest: &Manifest,
    packs: &[Option<Pack<'_>>],
    dirs: &[PathBuf],
    shift: Duration,
    skip: &dyn Fn(usize) -> bool,
) -> Unpacked {
    let mut failures = Failures::default();
    let mut places: Vec<Option<PathBuf>> = vec![None; manifest.files.len()];
    let mut folders = Folders::default();
    let mut by_frame: BTreeMap<(usize, usize), Vec<Chunk>> = BTreeMap::new();
    for (at, entry) in manifest.files.iter().enumerate().filter(|(at, _)| !skip(*at)) {
        let prepared = place(&dirs[entry.root], entry, &mut folders).and_then(|path| {
            prepare(entry, &path)?;
            if let Err(error) = chunks(at, entry, packs, &mut by_frame) {
                let _ = remove_file(&path);
                return Err(error);
            }
            Ok(path)
        });
        match prepared {
            Ok(path) => places[at] = Some(path),
            Err(error) => failures.add(at, &error),
        }
    }
    let mut by_frame: Vec<((usize, usize), Vec<Chunk>)> = by_frame.into_iter().collect();
    // Before any byte is fetched for them: thousands of files that claim the same bytes are no honest pack.
    by_frame.retain_mut(|(_, chunks)| {
        chunks.sort_by_key(|chunk| chunk.from);
        let overlap = chunks.windows(2).any(|pair| pair[0].from + pair[0].len > pair[1].from);
        if overlap {
            let error = anyhow!("two files claim the same bytes");
            for chunk in chunks.iter() {
                failures.add(chunk.file, &error);
            }
        }
        !overlap
    });
    let lost = Mutex::new(failures);
    by_frame.par_iter().for_each(|((pack, frame), chunks)| {
        let result = packs[*pack]
            .as_ref()
            .context("its pack is missing")
            .and_then(|pack| unpack_frame(pack, *frame, chunks, &places));
        if let (Err(error), Ok(mut lost)) = (result, lost.lock()) {
            for chunk in chunks {
                lost.add(chunk.file, &error);
            }
        }
    });
    let failures = lost.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    finish(manifest, &places, shift, failures)
}

/// Modes and times of files, then links, then folder times; failed files are removed.
fn finish(manifest: &Manifest, places: &[Option<PathBuf>], shift: Duration, mut failures: Failures) -> Unpacked {
    let entries: Vec<(usize, &FileEntry, &PathBuf)> = manifest
        .files
        .iter()
        .zip(places)
        .enumerate()
        .filter_map(|(at, (entry, path))| Some((at, entry, path.as_ref()?)))
        .collect();
    let errors: Vec<(usize, io::Error)> = entries
        .par_iter()
        .filter(|(at, entry, _)| matches!(entry.content, Content::File { .. }) && !failures.files.contains_key(at))
        .filter_map(|(at, entry, path)| settle(path, entry, shift).err().map(|error| (*at, error)))
        .collect();
    for (at, error) in errors {
        failures.add(at, &error.into());
    }
    for (at, entry, path) in &entries {
        let is_lost = failures.files.contains_key(at);
        let result = match &entry.content {
            Content::HardLink { to } => match places[*to].as_ref().filter(|_| !failures.files.contains_key(to)) {
                Some(first) if !is_lost => remove_file(path).and_then(|()| fs::hard_link(first, path)),
                _ => Err(io::Error::other("the file it is another name of is missing")),
            },
            Content::Symlink { to } if !is_lost => remove_file(path)
                .and_then(|()| disk::symlink(paths::path(to), path))
                .and_then(|()| disk::set_mtime(path, Kind::Symlink, entry.mtime.minus(shift))),
            Content::Symlink { .. } | Content::File { .. } | Content::Folder { .. } => Ok(()),
        };
        if let Err(error) = result {
            failures.add(*at, &error.into());
        }
    }
    let is_lost = |at: &usize| failures.files.contains_key(at);
    for (_, _, path) in
        entries.iter().filter(|(at, entry, _)| is_lost(at) && matches!(entry.content, Content::File { .. }))
    {
        let _ = remove_file(path);
    }
    let mut folders: Vec<(&PathBuf, Moment)> = entries
        .iter()
        .filter(|(at, entry, _)| matches!(entry.content, Content::Folder { .. }) && !is_lost(at))
        .map(|(_, entry, path)| (*path, entry.mtime.minus(shift)))
        .collect();
    folders.sort_by(|(a, _), (b, _)| b.cmp(a));
    for (path, mtime) in folders {
        // A folder's time in a target decides nothing for Cargo.
        let _ = disk::set_mtime(path, Kind::Folder, mtime);
    }
    let restored = entries.iter().filter(|(at, _, _)| !is_lost(at));
    let (files, bytes) = restored.fold((0, 0), |(files, bytes), (_, entry, _)| (files + 1, bytes + entry.size()));
    Unpacked { files, bytes, failed: failures.files, full: failures.full }
}

fn settle(path: &Path, entry: &FileEntry, shift: Duration) -> io::Result<()> {
    if let Content::File { mode, .. } = entry.content {
        disk::set_mode(path, mode)?;
    }
    filetime::set_file_times(path, Moment::EPOCH.to_file_time(), entry.mtime.minus(shift).to_file_time())
}

/// Which parts of which frames hold a file.
fn chunks(
    at: usize,
    entry: &FileEntry,
    packs: &[Option<Pack<'_>>],
    by_frame: &mut BTreeMap<(usize, usize), Vec<Chunk>>,
) -> Result<()> {
    let Content::File { size, at: location, .. } = &entry.content else {
        return Ok(());
    };
    if *size == 0 {
        return Ok(());
    }
    let pack = packs.get(location.pack).and_then(Option::as_ref).context("the pack that holds it is missing")?;
    let (mut frame, mut from, mut to) = (location.frame, location.offset, 0);
    let mut found = Vec::new();
    while to < *size {
        let info = pack.index.frames.get(frame).with_context(|| format!("`{}` has no frame {frame}", pack.key))?;
        let room = info.raw.checked_sub(from).filter(|room| *room > 0).context("it lies outside its frame")?;
        let len = room.min(size - to);
        found.push(((location.pack, frame), Chunk { file: at, from, len, to }));
        (frame, from, to) = (frame + 1, 0, to + len);
    }
    for (place, chunk) in found {
        by_frame.entry(place).or_default().push(chunk);
    }
    Ok(())
}

/// Makes the file, new and empty; what another entry made under its name is gone.
fn prepare(entry: &FileEntry, path: &Path) -> Result<()> {
    if let Content::File { .. } = entry.content {
        remove_file(path)?;
        fs::OpenOptions::new().write(true).create_new(true).open(path)?;
    }
    Ok(())
}

fn unpack_frame(pack: &Pack<'_>, frame: usize, chunks: &[Chunk], places: &[Option<PathBuf>]) -> Result<()> {
    let info = &pack.index.frames[frame];
    let bytes = pack.frame(info)?;
    let mut decoder = frame::decoder(&bytes)?.take(info.raw);
    let mut position = 0;
    // In the order of their places.
    for chunk in chunks {
        let skip = chunk.from.checked_sub(position).context("it begins before the one before it ends")?;
        let skipped = io::copy(&mut (&mut decoder).take(skip), &mut io::sink())?;
        ensure!(skipped == skip, "the frame ends early");
        let path = places[chunk.file].as_ref().context("it has no place")?;
        let mut file = fs::OpenOptions::new().write(true).open(path)?;
        file.seek(SeekFrom::Start(chunk.to))?;
        let copied = io::copy(&mut (&mut decoder).take(chunk.len), &mut file)?;
        file.flush()?;
        ensure!(copied == chunk.len, "the frame ends early");
        position = chunk.from + chunk.len;
    }
    Ok(())
}

/// Folders that are known to be real ones below their root.
#[derive(Default)]
struct Folders(BTreeSet<PathBuf>);

impl Folders {
    fn make(&mut self, root: &Path, dir: &Path) -> Result<()> {
        if self.0.contains(dir) {
            return Ok(());
        }
        if dir == root {
            fs::create_dir_all(root)?;
        } else {
            self.make(root, dir.parent().context("a folder without a parent")?)?;
            match Meta::of(dir) {
                Ok(meta) if meta.kind == Kind::Folder => {}
                Ok(_) => bail!("`{}` is in the way", dir.display()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir(dir)?,
                Err(error) => return Err(error.into()),
            }
        }
        self.0.insert(dir.to_path_buf());
        Ok(())
    }
}

/// Where an entry goes, with the folders above it made.
fn place(root: &Path, entry: &FileEntry, folders: &mut Folders) -> Result<PathBuf> {
    let relative = paths::path(&entry.path);
    // On Unix a backslash is a character like any other, but nobody needs one that looks like a way out.
    let odd = |part: &str| part.contains('\\') && (cfg!(windows) || part.split('\\').any(|word| word == ".."));
    let plain = !entry.path.is_empty()
        && !entry.path.contains('\0')
        && relative.components().all(|part| matches!(part, Component::Normal(_)))
        && !entry.path.split('/').any(|part| part.is_empty() || part == "." || part == ".." || odd(part));
    ensure!(plain, "the path `{}` leads out of its folder", entry.path.escape_debug());
    let path = root.join(&relative);
    folders
        .make(root, if let Content::Folder { .. } = entry.content { &path } else { path.parent().unwrap_or(root) })?;
    Ok(path)
}

fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
