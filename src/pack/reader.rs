//! Reads packs as if they were hostile, and unpacks what a manifest says onto the disk, on all cores.
//!
//! Only plain path components, only inside declared roots, never through a symlink, never more bytes than the manifest says,
//! and no byte of a frame whose sha256 is not the recorded one. What fails is named, removed again, and nothing else suffers.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use fs_err as fs;
use rayon::prelude::*;

use super::frame;
use super::index::{FRAME_HEAD, FrameInfo, Index, TRAILER};
use crate::digest::Digest;
use crate::disk::{self, Kind, Meta};
use crate::manifest::{Content, FileEntry, Manifest};
use crate::moment::Moment;
use crate::paths;
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
        ensure!(bytes > TRAILER, "`{key}` is no pack, or it was cut");
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

/// Unpacks every file of the manifest. `packs[0]` is the pack that carried it, `packs[n]` its parents; missing ones are `None`.
/// Files in `skip` are passed over. Times are set back by `shift`, access times to zero.
pub fn unpack(
    manifest: &Manifest,
    packs: &[Option<Pack<'_>>],
    roots: &[PathBuf],
    shift: Duration,
    skip: &BTreeSet<usize>,
) -> Unpacked {
    let mut failed: BTreeMap<usize, String> = BTreeMap::new();
    let mut paths: Vec<PathBuf> = Vec::with_capacity(manifest.files.len());
    let mut folders = Folders::default();
    for (at, entry) in manifest.files.iter().enumerate() {
        if skip.contains(&at) {
            paths.push(PathBuf::new());
            continue;
        }
        let placed = place(&roots[entry.root], entry, &mut folders);
        paths.push(placed.unwrap_or_else(|error| {
            failed.insert(at, format!("{error:#}"));
            PathBuf::new()
        }));
    }

    let mut by_frame: BTreeMap<(usize, usize), Vec<Chunk>> = BTreeMap::new();
    for (at, entry) in manifest.files.iter().enumerate() {
        if skip.contains(&at) || failed.contains_key(&at) {
            continue;
        }
        if let Err(reason) = chunks(at, entry, packs, &mut by_frame).and_then(|()| prepare(entry, &paths[at])) {
            failed.insert(at, format!("{reason:#}"));
        }
    }
    let by_frame: Vec<((usize, usize), Vec<Chunk>)> = by_frame.into_iter().collect();
    let lost = Mutex::new(BTreeMap::new());
    by_frame.par_iter().for_each(|((pack, frame), chunks)| {
        let result = packs[*pack]
            .as_ref()
            .context("its pack is missing")
            .and_then(|pack| unpack_frame(pack, *frame, chunks, &paths));
        if let (Err(error), Ok(mut lost)) = (result, lost.lock()) {
            lost.extend(chunks.iter().map(|chunk| (chunk.file, format!("{error:#}"))));
        }
    });
    failed.extend(lost.into_inner().unwrap_or_default());
    finish(manifest, &paths, shift, skip, failed)
}

/// Modes and times of files, then links, then folder times; failed files are removed.
fn finish(
    manifest: &Manifest,
    paths: &[PathBuf],
    shift: Duration,
    skip: &BTreeSet<usize>,
    mut failed: BTreeMap<usize, String>,
) -> Unpacked {
    let entries: Vec<(usize, &FileEntry)> =
        manifest.files.iter().enumerate().filter(|(at, _)| !skip.contains(at)).collect();
    let errors: Vec<(usize, String)> = entries
        .par_iter()
        .filter(|(at, entry)| matches!(entry.content, Content::File { .. }) && !failed.contains_key(at))
        .filter_map(|(at, entry)| settle(&paths[*at], entry, shift).err().map(|error| (*at, error.to_string())))
        .collect();
    failed.extend(errors);
    for (at, entry) in &entries {
        let result = match &entry.content {
            Content::HardLink { to } if !failed.contains_key(to) && !failed.contains_key(at) => {
                remove_file(&paths[*at]).and_then(|()| fs::hard_link(&paths[*to], &paths[*at]))
            }
            Content::HardLink { .. } => Err(io::Error::other("the file it is another name of is missing")),
            Content::Symlink { to } if !failed.contains_key(at) => remove_file(&paths[*at])
                .and_then(|()| disk::symlink(paths::path(to), &paths[*at]))
                .and_then(|()| disk::set_mtime(&paths[*at], Kind::Symlink, entry.mtime.minus(shift))),
            Content::Symlink { .. } | Content::File { .. } | Content::Folder { .. } => Ok(()),
        };
        if let Err(error) = result {
            failed.entry(*at).or_insert_with(|| error.to_string());
        }
    }
    for at in failed.keys().filter(|at| matches!(manifest.files[**at].content, Content::File { .. })) {
        // Only what was written for this restore; a path that was refused has no place.
        if !paths[*at].as_os_str().is_empty() {
            let _ = remove_file(&paths[*at]);
        }
    }
    let mut folders: Vec<(&PathBuf, Moment)> = entries
        .iter()
        .filter(|(at, entry)| matches!(entry.content, Content::Folder { .. }) && !failed.contains_key(at))
        .map(|(at, entry)| (&paths[*at], entry.mtime.minus(shift)))
        .collect();
    folders.sort_by(|(a, _), (b, _)| b.cmp(a));
    for (path, mtime) in folders {
        // A folder's time in a target decides nothing for Cargo.
        let _ = disk::set_mtime(path, Kind::Folder, mtime);
    }
    let restored = entries.iter().filter(|(at, _)| !failed.contains_key(at));
    let (files, bytes) = restored.fold((0, 0), |(files, bytes), (_, entry)| (files + 1, bytes + entry.size()));
    Unpacked { files, bytes, failed }
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

/// Makes the file, new and empty; what was there under its name is gone, and no link is followed.
fn prepare(entry: &FileEntry, path: &Path) -> Result<()> {
    if let Content::File { .. } = entry.content {
        remove_file(path)?;
        fs::OpenOptions::new().write(true).create_new(true).open(path)?;
    }
    Ok(())
}

fn unpack_frame(pack: &Pack<'_>, frame: usize, chunks: &[Chunk], paths: &[PathBuf]) -> Result<()> {
    let info = &pack.index.frames[frame];
    let bytes = pack.frame(info)?;
    let mut decoder = frame::decoder(&bytes)?.take(info.raw);
    let mut order: Vec<&Chunk> = chunks.iter().collect();
    order.sort_by_key(|chunk| chunk.from);
    let mut position = 0;
    for chunk in order {
        let skip = chunk.from.checked_sub(position).context("two files claim the same bytes")?;
        let skipped = io::copy(&mut (&mut decoder).take(skip), &mut io::sink())?;
        ensure!(skipped == skip, "the frame ends early");
        let mut file = fs::OpenOptions::new().write(true).open(&paths[chunk.file])?;
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
    // A backslash is a separator on Windows and a character elsewhere.
    let forbidden: &[char] = if cfg!(windows) { &['\\', '\0'] } else { &['\0'] };
    let plain = !entry.path.is_empty()
        && !entry.path.contains(forbidden)
        && relative.components().all(|part| matches!(part, Component::Normal(_)))
        && !entry.path.split('/').any(|part| part.is_empty() || part == "." || part == "..");
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
