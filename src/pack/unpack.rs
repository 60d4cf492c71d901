//! Unpacks what a manifest says onto the disk: frames are fetched over several connections, and decoded and written on all cores as
//! they come.
//!
//! Only plain path components, only inside folders that are new and our own, never more bytes than the manifest says. What fails
//! is named, removed again, and nothing else suffers.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead, Read, Seek, SeekFrom, Write};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use fs_err as fs;
use rayon::prelude::*;
use sha2::{Digest as _, Sha256};

use super::arriving::{self, Arriving};
use super::index::FrameInfo;
use super::places::{Folders, place, prepare, remove_file};
use super::reader::Pack;
use super::versions::Versions;
use super::{cases, frame, pipeline};
use crate::digest::Digest;
use crate::machine::disk::{self, Kind};
use crate::machine::paths;
use crate::moment::Moment;
use crate::problem::GivenUp;
use crate::state::key::Key;
use crate::state::manifest::{Content, FileEntry, Location, Manifest};

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

/// Part of a file, or of a version of it, in one frame.
struct Chunk {
    file: usize,
    /// Where it starts in the uncompressed frame.
    from: u64,
    len: u64,
    /// Where it goes in the file.
    to: u64,
    /// It is all of the file.
    whole: bool,
}

/// What is fetched at once: a frame, and what is wanted of it.
struct Wanted<'a> {
    pack: Option<&'a Pack<'a>>,
    frame: usize,
    chunks: Vec<Chunk>,
}

/// Where the files go, and what they are to be like.
#[derive(Clone, Copy)]
struct Target<'a> {
    manifest: &'a Manifest,
    places: &'a [Option<PathBuf>],
    shift: Duration,
    /// Packs, by their number, whose bytes are not believed because a manifest points at them.
    lent: &'a [bool],
}

impl Target<'_> {
    /// What the bytes of a file have to be, where another lineage stored them.
    fn sworn(&self, file: usize) -> Option<&Digest> {
        match &self.manifest.files.get(file)?.content {
            Content::File { sha256, at, patch: None, .. } if self.lent.get(at.pack) == Some(&true) => Some(sha256),
            _ => None,
        }
    }
}

/// Which packs were not made by the lineage of this manifest: where in them something lies was said by somebody else.
fn lent(manifest: &Manifest, packs: &[Option<Pack<'_>>]) -> Vec<bool> {
    let lineage = |key: &str| Key::parse(key).map(|key| key.lineage);
    let own = lineage(&manifest.key);
    packs.iter().map(|pack| pack.as_ref().is_some_and(|pack| lineage(&pack.key) != own)).collect()
}

/// Requests that are under way at once: one is slower than most links.
const CONNECTIONS: NonZeroUsize = NonZeroUsize::new(8).unwrap();
/// Compressed bytes that are fetched ahead of the decoders.
const WINDOW: u64 = 32 << 20;
const OTHER_BYTES: &str = "the pack of a sibling holds other bytes than the ones that were borrowed";
/// Uncompressed bytes that are written at once.
const BUFFER: usize = 1 << 18;

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
    let mut versions = Versions::new(manifest.files.len());
    let is_patched = |entry: &FileEntry| matches!(entry.content, Content::File { patch: Some(_), .. });
    let asked = || manifest.files.iter().enumerate().filter(|(at, _)| !skip(*at));
    let plain = asked().filter(|(_, entry)| !is_patched(entry));
    for (at, entry) in plain.chain(asked().filter(|(_, entry)| is_patched(entry))) {
        let prepared = place(&dirs[entry.root], entry, &mut folders).and_then(|path| {
            for part in versions.parts(at, entry, &dirs[entry.root]) {
                chunks(part, packs, &mut by_frame)?;
                versions.expect(part);
            }
            Ok(path)
        });
        match prepared {
            Ok(path) => places[at] = Some(path),
            Err(error) => failures.add(at, &error),
        }
    }
    for at in cases::mixed_up(manifest, dirs, &places) {
        failures.add(at, &anyhow!("this file system takes its name for that of another file"));
        places[at] = None;
    }
    let whole: HashSet<usize> =
        by_frame.values().flatten().filter(|chunk| chunk.whole).map(|chunk| chunk.file).collect();
    let prepared: Vec<(usize, Result<()>)> = places
        .par_iter()
        .enumerate()
        .filter_map(|(at, path)| Some((at, prepare(&manifest.files[at], whole.contains(&at), path.as_ref()?))))
        .collect();
    for (at, error) in prepared.into_iter().filter_map(|(at, result)| Some((at, result.err()?))) {
        failures.add(at, &error);
        places[at] = None;
    }
    let split = by_frame.values().flatten().filter(|chunk| !chunk.whole).map(|chunk| chunk.file);
    versions.prepare(&mut places, &split.collect(), &mut |file, error| failures.add(file, error));
    let mut by_frame: Vec<((usize, usize), Vec<Chunk>)> = by_frame.into_iter().collect();
    // Before any byte is fetched for them: thousands of files that claim the same bytes are no honest pack.
    by_frame.retain_mut(|(_, chunks)| {
        chunks.retain(|chunk| places[chunk.file].is_some());
        chunks.sort_by_key(|chunk| chunk.from);
        let overlap = chunks.windows(2).any(|pair| pair[0].from + pair[0].len > pair[1].from);
        if overlap {
            let error = anyhow!("two files claim the same bytes");
            for chunk in chunks.iter() {
                failures.add(chunk.file, &error);
            }
        }
        !overlap && !chunks.is_empty()
    });
    let wanted = |((pack, frame), chunks): ((usize, usize), _)| Wanted { pack: packs[pack].as_ref(), frame, chunks };
    let wanted: Vec<Wanted<'_>> = by_frame.into_iter().map(wanted).collect();
    let lent = lent(manifest, packs);
    let target = Target { manifest, places: &places, shift, lent: &lent };
    let lost = Mutex::new(failures);
    let threads = (CONNECTIONS, pipeline::threads());
    arriving::read(&wanted, Wanted::size, WINDOW, threads, Wanted::fetch, |wanted, arriving| {
        if let (Err(error), Ok(mut lost)) = (wanted.unpack(arriving, target), lost.lock()) {
            for chunk in &wanted.chunks {
                lost.add(chunk.file, &error);
            }
        }
    });
    let mut failures = lost.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    for (file, reason) in versions.assemble(&places, &failures.files) {
        failures.files.entry(file).or_insert(reason);
    }
    drop(versions);
    failures.files.retain(|at, _| *at < manifest.files.len());
    finish(target, &whole, failures)
}

impl Wanted<'_> {
    fn info(&self) -> Result<(&Pack<'_>, &FrameInfo)> {
        let pack = self.pack.context("its pack is missing")?;
        Ok((pack, pack.index.frames.get(self.frame).context("its frame is missing")?))
    }

    fn size(&self) -> u64 {
        self.info().map_or(0, |(_, info)| info.len)
    }

    fn fetch(&self, range: Range<u64>) -> Result<Vec<u8>> {
        let (pack, info) = self.info()?;
        pack.part(info, range)
    }

    /// Writes what comes while it comes. Whether these were the frame's bytes is known at the end of it, and decides.
    fn unpack(&self, arriving: &mut Arriving<'_>, target: Target<'_>) -> Result<()> {
        let (pack, info) = self.info()?;
        let unpack =
            |from: &mut dyn BufRead| frame::decompress(from, |decoder| self.write(&mut decoder.take(info.raw), target));
        let written = unpack(arriving);
        if arriving.finish()? == info.sha256 {
            return written;
        }
        let bytes = pack.again(info)?;
        self.take_back(target)?;
        unpack(&mut bytes.as_slice())
    }

    fn take_back(&self, target: Target<'_>) -> Result<()> {
        let whole = self.chunks.iter().filter(|chunk| chunk.whole);
        let mut places = whole.filter_map(|chunk| target.places[chunk.file].as_ref());
        Ok(places.try_for_each(|path| remove_file(path))?)
    }

    /// What is wanted, in the order of its places.
    fn write(&self, from: &mut impl Read, target: Target<'_>) -> Result<()> {
        let mut buffer = vec![0; BUFFER];
        let mut position = 0;
        for chunk in &self.chunks {
            let skip = chunk.from.checked_sub(position).context("it begins before the one before it ends")?;
            copy(from, skip, &mut io::sink(), &mut buffer, None)?;
            let path = target.places[chunk.file].as_ref().context("it has no place")?;
            let mut file = fs::OpenOptions::new().write(true).create_new(chunk.whole).open(path)?;
            file.seek(SeekFrom::Start(chunk.to))?;
            let sworn = target.sworn(chunk.file).filter(|_| chunk.whole);
            let mut hasher = sworn.map(|_| Sha256::new());
            copy(from, chunk.len, &mut file, &mut buffer, hasher.as_mut())?;
            if let (Some(sworn), Some(hasher)) = (sworn, hasher) {
                ensure!(Digest::finish(hasher) == *sworn, OTHER_BYTES);
            }
            if let Some(entry) = target.manifest.files.get(chunk.file).filter(|_| chunk.whole) {
                settle(file.file(), entry, target.shift)?;
            }
            position = chunk.from + chunk.len;
        }
        Ok(())
    }
}

fn copy(
    from: &mut impl Read,
    len: u64,
    to: &mut impl Write,
    buffer: &mut [u8],
    mut hasher: Option<&mut Sha256>,
) -> Result<()> {
    let mut left = len;
    while left > 0 {
        let part = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let read = from.read(&mut buffer[..part])?;
        ensure!(read > 0, "the frame ends early");
        to.write_all(&buffer[..read])?;
        if let Some(hasher) = hasher.as_deref_mut() {
            hasher.update(&buffer[..read]);
        }
        left -= read as u64;
    }
    Ok(())
}

/// Modes and times of files that have none yet, then links, then folder times; failed files are removed.
fn finish(target: Target<'_>, settled: &HashSet<usize>, mut failures: Failures) -> Unpacked {
    let Target { manifest, places, shift, .. } = target;
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
        .filter(|(at, _, _)| !settled.contains(at))
        .filter_map(|(at, entry, path)| {
            let sworn = target.sworn(*at).map_or(Ok(()), |sworn| keeps_word(path, sworn));
            let file = sworn.and_then(|()| fs::OpenOptions::new().write(true).open(path));
            file.and_then(|file| settle(file.file(), entry, shift)).err().map(|error| (*at, error))
        })
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

/// Of a file that came in pieces.
fn keeps_word(path: &Path, sworn: &Digest) -> io::Result<()> {
    let mut hasher = Sha256::new();
    io::copy(&mut fs::File::open(path)?, &mut hasher)?;
    if Digest::finish(hasher) == *sworn { Ok(()) } else { Err(io::Error::other(OTHER_BYTES)) }
}

fn settle(file: &File, entry: &FileEntry, shift: Duration) -> io::Result<()> {
    if let Content::File { mode, .. } = entry.content {
        disk::set_file_mode(file, mode)?;
    }
    let (accessed, modified) = (Moment::EPOCH.to_file_time(), entry.mtime.minus(shift).to_file_time());
    filetime::set_file_handle_times(file, Some(accessed), Some(modified))
}

/// Which parts of which frames hold a file.
fn chunks(
    (at, location, size): (usize, Location, u64),
    packs: &[Option<Pack<'_>>],
    by_frame: &mut BTreeMap<(usize, usize), Vec<Chunk>>,
) -> Result<()> {
    if size == 0 {
        return Ok(());
    }
    let pack = packs.get(location.pack).and_then(Option::as_ref).context("the pack that holds it is missing")?;
    let (mut frame, mut from, mut to) = (location.frame, location.offset, 0);
    let mut found = Vec::new();
    while to < size {
        let info = pack.index.frames.get(frame).with_context(|| format!("`{}` has no frame {frame}", pack.key))?;
        let room = info.raw.checked_sub(from).filter(|room| *room > 0).context("it lies outside its frame")?;
        let len = room.min(size - to);
        found.push(((location.pack, frame), Chunk { file: at, from, len, to, whole: len == size }));
        (frame, from, to) = (frame + 1, 0, to + len);
    }
    for (place, chunk) in found {
        by_frame.entry(place).or_default().push(chunk);
    }
    Ok(())
}
