//! Writes a pack: compresses frames on all cores. The index, which ends a pack, is left to the caller, because some stores want it
//! in front.
//!
//! Fills in, for every file it stores, where its bytes lie and what they hash to. A file that changes while it is read ends the
//! whole pack: half a state is worse than none.

use std::collections::HashMap;
use std::io::{self, Read, Seek, SeekFrom, Write};

use anyhow::{Context, Result, ensure};
use fs_err as fs;
use sha2::{Digest as _, Sha256};

use super::index::{FrameInfo, Index};
use super::plan::{self, Piece, Source};
use super::{frame, pipeline, tarball};
use crate::digest::Digest;
use crate::machine::disk::Meta;
use crate::state::manifest::{Content, Location, Manifest};

#[derive(Debug)]
pub struct Written {
    pub index: Index,
    /// The pack's identity.
    pub sha256: Digest,
    /// With the tail.
    pub bytes: u64,
    /// What comes behind the frames: the index, and where it begins.
    pub tail: Vec<u8>,
}

/// Frames that may wait for their turn to be written.
const READY: usize = 2;
/// Two empty blocks end an archive.
const END: usize = 1024;

/// Writes the frames of a pack that stores `sources`, each while it is made where it is its turn; every other file of the manifest is
/// taken to lie in a parent already.
pub fn write(out: &mut dyn Write, mut manifest: Manifest, mut sources: Vec<Source>) -> Result<Written> {
    let plan = plan::plan(&manifest, &mut sources, pipeline::threads());
    let mut frames = Vec::new();
    let mut position = 0_u64;
    let mut places = Vec::new();
    let mut split = SplitFiles::default();
    let threads = pipeline::threads();
    pipeline::in_order(
        &plan,
        (threads, threads.saturating_add(READY)),
        |pieces, out| pack_frame(&manifest, &sources, pieces, out),
        out,
        |frame, packed| {
            let Packed { len, sha256, raw, offsets, hashes, seen } = packed?;
            for (piece, meta) in plan[frame].iter().zip(seen) {
                if let Some(meta) = meta {
                    ensure!(split.is_one(piece.source, &meta), changed(&sources[piece.source]));
                }
            }
            let starts = plan[frame].iter().zip(offsets).zip(hashes).filter(|((piece, _), _)| piece.offset == 0);
            places.extend(starts.map(|((piece, offset), sha256)| (piece.source, frame, offset, sha256)));
            frames.push(FrameInfo { offset: position, len, raw, sha256 });
            position += len;
            Ok(())
        },
    )?;
    for (source, frame, offset, sha256) in places {
        let content = &mut manifest.files[sources[source].file].content;
        if let Content::File { at, sha256: own, patch, .. } = content {
            *at = Location { pack: 0, frame, offset };
            if patch.is_none() {
                *own = sha256;
            }
        }
    }
    let mut end = Vec::new();
    frame::compress(&mut end, |out| out.write_all(&[0; END]))?;
    out.write_all(&end).context("cannot write the pack")?;
    position += end.len() as u64;

    let index = Index { frames, manifest };
    let (tail, sha256) = index.encode(position)?;
    Ok(Written { index, sha256, bytes: position + tail.len() as u64, tail })
}

/// Files of several pieces, as they were when the first was read.
#[derive(Default)]
struct SplitFiles(HashMap<usize, Meta>);

impl SplitFiles {
    /// Whether a piece was read from what the others were read from.
    fn is_one(&mut self, source: usize, seen: &Meta) -> bool {
        let first = self.0.entry(source).or_insert_with(|| seen.clone());
        first.is_untouched(seen)
    }
}

struct Packed {
    len: u64,
    sha256: Digest,
    raw: u64,
    /// Where each piece's content starts, uncompressed.
    offsets: Vec<u64>,
    /// The digest of each piece that is a whole file, or starts one.
    hashes: Vec<Digest>,
    /// What each piece of a split file was read from.
    seen: Vec<Option<Meta>>,
}

fn pack_frame(manifest: &Manifest, sources: &[Source], pieces: &[Piece], out: &mut dyn Write) -> Result<Packed> {
    let mut frame = Hashed { out, hasher: Sha256::new(), len: 0 };
    let (mut raw, mut offsets, mut hashes, mut seen) = (0_u64, Vec::new(), Vec::new(), Vec::new());
    let mut failure = None;
    let packed = frame::compress(&mut frame, |out| {
        for piece in pieces {
            let source = &sources[piece.source];
            let entry = &manifest.files[source.file];
            if piece.offset == 0 {
                let header = tarball::header(manifest, entry)?;
                out.write_all(&header)?;
                raw += header.len() as u64;
            }
            offsets.push(raw);
            let (hash, meta) = match &entry.content {
                Content::File { .. } => match copy(source, piece, entry.stored(), out) {
                    Ok((hash, meta)) => (hash, Some(meta).filter(|_| piece.len < entry.stored())),
                    Err(error) => {
                        failure = Some(error);
                        return Err(io::Error::other("cannot read a file"));
                    }
                },
                Content::HardLink { .. } | Content::Symlink { .. } | Content::Folder { .. } => (Digest::of(b""), None),
            };
            hashes.push(hash);
            seen.push(meta);
            raw += piece.len;
            if piece.offset + piece.len == entry.stored() {
                let padding = tarball::padding(entry.stored());
                out.write_all(&vec![0; padding])?;
                raw += padding as u64;
            }
        }
        Ok(())
    });
    match (packed, failure) {
        (_, Some(failure)) => Err(failure),
        (packed, None) => {
            packed.context("cannot compress")?;
            Ok(Packed { sha256: Digest::finish(frame.hasher), len: frame.len, raw, offsets, hashes, seen })
        }
    }
}

/// Hashes and counts what goes through it.
struct Hashed<'a> {
    out: &'a mut dyn Write,
    hasher: Sha256,
    len: u64,
}

impl Write for Hashed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.len += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Copies a piece and gives the digest of its file, and what the file was like before and after.
fn copy(source: &Source, piece: &Piece, size: u64, out: &mut dyn Write) -> Result<(Digest, Meta)> {
    let before = Meta::of(&source.path)?;
    ensure!(before.size == size && source.written.is_none_or(|written| before.mtime == written), changed(source));
    let mut file = fs::File::open(&source.path)?;
    file.seek(SeekFrom::Start(piece.offset))?;
    let hash =
        copy_hashing(&mut file, piece.len, out).with_context(|| format!("cannot pack `{}`", source.path.display()))?;
    let hash = if piece.len == size || piece.offset > 0 {
        hash
    } else {
        // The first piece of a split file carries the digest of all of it.
        file.seek(SeekFrom::Start(0))?;
        copy_hashing(&mut file, size, &mut io::sink())?
    };
    ensure!(before.is_untouched(&Meta::of(&source.path)?), changed(source));
    Ok((hash, before))
}

fn changed(source: &Source) -> String {
    format!("`{}` changed while it was packed", source.path.display())
}

fn copy_hashing(file: &mut impl Read, len: u64, out: &mut dyn Write) -> io::Result<Digest> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 17];
    let mut left = len;
    while left > 0 {
        let part = usize::try_from(left.min(buffer.len() as u64)).unwrap_or(buffer.len());
        file.read_exact(&mut buffer[..part])?;
        hasher.update(&buffer[..part]);
        out.write_all(&buffer[..part])?;
        left -= part as u64;
    }
    Ok(Digest::finish(hasher))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_one_file_are_read_from_one_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("program");
        fs::write(&path, "first").unwrap();
        let first = Meta::of(&path).unwrap();
        let mut split = SplitFiles::default();
        assert!(split.is_one(0, &first) && split.is_one(0, &first));
        let later = Meta { mtime: first.mtime.plus(std::time::Duration::from_nanos(1)), ..first.clone() };
        assert!(split.is_one(1, &later), "another file is another matter");
        assert!(!split.is_one(0, &later));
        assert!(!split.is_one(0, &Meta { size: first.size + 1, ..first }));
    }
}
