//! Which bytes of a pack lie side by side, and where its frames end: similar files meet in one frame, and every core has work to
//! the end.
//!
//! How it can be wrong: what is alike is guessed from names and sizes, which costs bytes and nothing else.

use std::cmp::Reverse;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::frame::{MAX_FRAME, MIN_FRAME};
use crate::moment::Moment;
use crate::state::manifest::{Content, FileEntry, Manifest};

/// An entry of the manifest whose bytes go into this pack.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its index in the manifest.
    pub file: usize,
    /// Where its bytes lie, or those of its patch.
    pub path: PathBuf,
    /// When it was last written, by what the manifest says of it, where that is known.
    pub written: Option<Moment>,
}

/// Part of one file, or of the archive's structure, in one frame.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) source: usize,
    pub(super) offset: u64,
    pub(super) len: u64,
}

/// What lies side by side in a pack, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    NoContent,
    /// Large frames come first, so that no core is busy with one at the end.
    Executable,
    Other,
    /// What a link leads to stands before it, or ordinary tools cannot unpack it.
    HardLink,
}

fn class(entry: &FileEntry) -> Class {
    match entry.content {
        Content::Folder { .. } | Content::Symlink { .. } => Class::NoContent,
        Content::File { mode, size, .. } if mode & 0o111 != 0 && size > 1 << 20 => Class::Executable,
        Content::File { .. } => Class::Other,
        Content::HardLink { .. } => Class::HardLink,
    }
}

/// Similar bytes side by side: executables by their size, since those that link the same are as large, and each library beside its
/// metadata, by name.
fn neighbourhood(manifest: &Manifest, entry: &FileEntry) -> (Class, Reverse<u64>, String, String) {
    let class = class(entry);
    let size = if class == Class::Executable { entry.stored() } else { 0 };
    let name = entry.path.rsplit('/').next().unwrap_or(&entry.path);
    let stem = name.split('.').next().unwrap_or(name).to_owned();
    (class, Reverse(size), stem, format!("{}/{}", manifest.roots[entry.root].label, entry.path))
}

/// What stands before a file's content, without its names.
const HEADER: u64 = 2_048;

fn header_size(entry: &FileEntry) -> u64 {
    let link = if let Content::Symlink { to } = &entry.content { to.len() } else { 0 };
    HEADER + (entry.path.len() + link) as u64
}

/// How many frames hold `own` of `total` bytes: two a core for small targets, and no fewer than leave work for every core. What stands
/// again in one executable after the other is found in larger frames.
fn frames_for(class: Class, own: u64, total: u64, threads: u64) -> u64 {
    let (share, most) = match class {
        Class::Executable => (total / threads, MAX_FRAME),
        Class::NoContent | Class::Other | Class::HardLink => (total / (2 * threads), MAX_FRAME / 2),
    };
    let limit = share.clamp(MIN_FRAME, most);
    if own > limit { own.div_ceil(limit) } else { 1 }
}

/// Sorts sources, and cuts the archive into frames of about one size for each class. Files larger than `MAX_FRAME` are split, so that
/// no frame is ever larger.
pub(super) fn plan(manifest: &Manifest, sources: &mut [Source], threads: NonZeroUsize) -> Vec<Vec<Piece>> {
    sources.sort_by_cached_key(|source| neighbourhood(manifest, &manifest.files[source.file]));
    let entries: Vec<&FileEntry> = sources.iter().map(|source| &manifest.files[source.file]).collect();
    // So that files without content fill a frame, too.
    let with_header = |entry: &FileEntry| entry.stored() + header_size(entry);
    let sum =
        |entries: &[&FileEntry]| entries.iter().map(|entry| with_header(entry)).filter(|size| *size <= MAX_FRAME).sum();
    let total: u64 = sum(&entries);
    // Small targets are not worth being apart.
    let is_apart = |one: &FileEntry, other: &FileEntry| {
        total > 2 * MIN_FRAME && (class(one) == Class::Executable) != (class(other) == Class::Executable)
    };
    let mut frames: Vec<Vec<Piece>> = Vec::new();
    let mut first = 0;
    for run in entries.chunk_by(|one, other| !is_apart(one, other)) {
        let own = sum(run);
        let wanted = frames_for(class(run[0]), own, total, threads.get() as u64);
        frames.extend(cut(run, first, own, wanted, with_header));
        first += run.len();
    }
    frames
}

/// Cuts a run of sources, numbered from `first`, into `wanted` frames, or some more.
fn cut(
    run: &[&FileEntry],
    first: usize,
    mut rest: u64,
    mut wanted: u64,
    with_header: impl Fn(&FileEntry) -> u64,
) -> Vec<Vec<Piece>> {
    let mut frames: Vec<Vec<Piece>> = Vec::new();
    let mut open = Vec::new();
    let mut used = 0;
    for (source, entry) in (first..).zip(run) {
        let (len, size) = (entry.stored(), with_header(entry));
        let is_split = size > MAX_FRAME;
        // A file belongs where more than half of it lies, and little does not stand alone.
        let share = rest / wanted;
        let is_beyond = used > share / 2 && used + size / 2 > share && wanted > 1;
        if is_split || is_beyond || used + size > MAX_FRAME {
            frames.push(std::mem::take(&mut open));
            rest = rest.saturating_sub(used);
            wanted = if is_split { wanted } else { wanted.saturating_sub(1).max(1) };
            used = 0;
        }
        if is_split {
            let starts = (0..len).step_by(usize::try_from(MAX_FRAME).unwrap_or(usize::MAX));
            frames.extend(starts.map(|offset| vec![Piece { source, offset, len: MAX_FRAME.min(len - offset) }]));
            continue;
        }
        open.push(Piece { source, offset: 0, len });
        used += size;
    }
    frames.push(open);
    frames.retain(|frame| !frame.is_empty());
    frames
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::state::key::{HardParts, KeyParts, NameParts, SoftParts};
    use crate::state::manifest::{Location, Root};

    const CORES: NonZeroUsize = NonZeroUsize::new(4).unwrap();

    fn planned(sizes: &[u64]) -> Vec<Vec<u64>> {
        let parts = KeyParts { name: NameParts::default(), hard: HardParts::default(), soft: SoftParts::default() };
        let content = |size| Content::File {
            mode: 0o644,
            size,
            sha256: Digest::of(b""),
            at: Location { pack: 0, frame: 0, offset: 0 },
            patch: None,
        };
        let file = |(at, size): (usize, &u64)| FileEntry {
            root: 0,
            path: at.to_string(),
            unit: None,
            mtime: Moment::EPOCH,
            content: content(*size),
        };
        let roots = vec![Root { label: "target".into(), path: "/nowhere".into() }];
        let files = sizes.iter().enumerate().map(file).collect();
        let manifest = Manifest { files, ..Manifest::blank(parts, roots) };
        let source = |file| Source { file, path: PathBuf::new(), written: None };
        let mut sources: Vec<Source> = (0..sizes.len()).map(source).collect();
        let frames = plan(&manifest, &mut sources, CORES);
        frames.iter().map(|frame| frame.iter().map(|piece| piece.len).collect()).collect()
    }

    #[test]
    fn every_core_has_work_and_large_frames_are_few() {
        let frames = |class, own: u64, total: u64, threads| frames_for(class, own << 20, total << 20, threads);
        for (total, threads, wanted) in [(1, 2, 1), (10, 2, 3), (300, 4, 8), (1_000, 2, 8), (970, 4, 8), (4_000, 4, 32)]
        {
            assert_eq!(frames(Class::Other, total, total, threads), wanted, "{total} MB on {threads} cores");
        }
        // Half of a target is executables.
        assert_eq!((frames(Class::Executable, 480, 970, 2), frames(Class::Other, 490, 970, 2)), (2, 4));
        assert_eq!((frames(Class::Executable, 150, 300, 4), frames(Class::Other, 150, 300, 4)), (2, 4));
    }

    #[test]
    fn frames_are_alike_and_none_is_too_large_and_nothing_is_in_two_of_them() {
        let even = planned(&[1 << 20; 400]);
        let sums: Vec<u64> = even.iter().map(|frame| frame.iter().sum()).collect();
        assert!(sums.iter().max().unwrap() - sums.iter().min().unwrap() <= 2 << 20, "{sums:?}");
        assert!(sums.len() >= CORES.get(), "{sums:?}");
        let uneven = [3, 190 << 20, 1, 600 << 20, 5 << 20, 255 << 20, 0, 256 << 20, 60 << 20];
        let frames = planned(&uneven);
        assert!(frames.iter().all(|frame| !frame.is_empty() && frame.iter().sum::<u64>() <= MAX_FRAME), "{frames:?}");
        assert_eq!(frames.concat().iter().sum::<u64>(), uneven.iter().sum::<u64>());
        assert!(planned(&[]).is_empty());
    }
}
