//! The index of a pack: where its frames lie, what they hash to, and the manifest.
//!
//! It stands at the end in two zstd skippable frames: the index itself, and a trailer of fixed size that says where it is.
//! Decoders pass over both. Stores that are read over a network hold both in front instead; offsets of frames are the same.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::frame::MAX_FRAME;
use crate::digest::Digest;
use crate::state::manifest::{Manifest, ManifestError};

const SKIPPABLE: u32 = 0x184D_2A5A;
const MAGIC: &[u8; 8] = b"REKINDLE";
/// Magic number and length of a skippable frame.
pub(super) const FRAME_HEAD: u64 = 8;
/// The trailer with its frame head: magic, offset, length and digest of the index.
pub(super) const TRAILER: u64 = FRAME_HEAD + 24 + DIGEST;
const DIGEST: u64 = 32;
/// No honest index comes near these: compressed, and as JSON.
const MAX_INDEX: u64 = 64 << 20;
const MAX_JSON: u64 = 512 << 20;
/// What an index, and what the frames of a pack may unpack to, however small they are.
const SMALL_INDEX: u64 = 4 << 20;
const SMALL_PACK: u64 = 1 << 30;
/// Larger ones may unpack to so many times what they are. An honest one that is packed more tightly than that is padded.
const TIGHTEST_INDEX: u64 = 64;
const TIGHTEST_FRAMES: u64 = 1_000;
const MAX_FRAMES: usize = 100_000;
/// The header of a large file comes on top of a frame's content.
const MAX_RAW: u64 = 2 * MAX_FRAME;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Index {
    pub frames: Vec<FrameInfo>,
    pub manifest: Manifest,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameInfo {
    pub offset: u64,
    pub len: u64,
    /// Uncompressed.
    pub raw: u64,
    pub sha256: Digest,
}

#[derive(Debug, Error)]
pub(super) enum IndexError {
    #[error("it is not a pack, or it was cut")]
    NoTrailer,
    #[error("its index is damaged")]
    Damaged,
    #[error("its index unpacks to more than an index has")]
    TooLarge,
    #[error("its frames unpack to more than a target folder has")]
    FramesTooLarge,
    #[error("its index does not decompress: {0}")]
    Compression(std::io::Error),
    #[error("its index is not readable: {0}")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

impl Index {
    /// The bytes that end a pack whose frames take up `offset` bytes, and the digest that names it.
    pub(super) fn encode(&self, offset: u64) -> Result<(Vec<u8>, Digest), IndexError> {
        let json = serde_json::to_vec(self)?;
        let mut body = zstd::encode_all(json.as_slice(), 3).map_err(IndexError::Compression)?;
        let (unpacked, packed) = (json.len() as u64, body.len() as u64);
        let enough = unpacked.saturating_sub(SMALL_INDEX).div_ceil(TIGHTEST_INDEX);
        let enough = enough.max(self.raw().div_ceil(TIGHTEST_FRAMES).saturating_sub(self.packed()));
        if let Some(missing) = usize::try_from(enough.saturating_sub(packed)).ok().filter(|missing| *missing > 0) {
            body.extend(skippable(&vec![0; missing]));
        }
        if unpacked > MAX_JSON || body.len() as u64 > MAX_INDEX {
            return Err(IndexError::TooLarge);
        }
        let digest = Digest::of(&body);
        let mut bytes = skippable(&body);
        let (offset, len) = ((offset + FRAME_HEAD).to_le_bytes(), (body.len() as u64).to_le_bytes());
        let trailer: Vec<u8> = [MAGIC.as_slice(), &offset, &len, digest.bytes()].concat();
        bytes.extend(skippable(&trailer));
        Ok((bytes, digest))
    }

    /// The length of an index that stands in front, from the first bytes of a pack.
    pub(super) fn leading(head: &[u8], pack_size: u64) -> Option<u64> {
        let len = head.strip_prefix(&SKIPPABLE.to_le_bytes())?;
        let len = u64::from(u32::from_le_bytes(len.get(..4)?.try_into().ok()?));
        (len <= MAX_INDEX && FRAME_HEAD + len + TRAILER <= pack_size).then_some(len)
    }

    /// Where the index of a pack lies, from the last `TRAILER` bytes of it.
    pub(super) fn locate(trailer: &[u8], pack_size: u64) -> Result<(u64, u64), IndexError> {
        let body = trailer_body(trailer)?;
        let number = |at: usize| {
            let bytes: Option<[u8; 8]> = body.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
            bytes.map(u64::from_le_bytes).ok_or(IndexError::NoTrailer)
        };
        let (offset, len) = (number(8)?, number(16)?);
        let fits = offset.checked_add(len).is_some_and(|end| end <= pack_size) && len <= MAX_INDEX;
        if fits { Ok((offset, len)) } else { Err(IndexError::NoTrailer) }
    }

    /// Reads an index and refuses one that is not what its trailer says, or that would make later code look where nothing is.
    pub(super) fn decode(body: &[u8], trailer: &[u8]) -> Result<(Self, Digest), IndexError> {
        use std::io::Read;
        let digest = Digest::of(body);
        if trailer_body(trailer)?.get(24..) != Some(digest.bytes().as_slice()) {
            return Err(IndexError::Damaged);
        }
        let mut json = Vec::new();
        let decoder = zstd::Decoder::new(body).map_err(IndexError::Compression)?;
        let limit = (SMALL_INDEX + TIGHTEST_INDEX * body.len() as u64).min(MAX_JSON);
        decoder.take(limit + 1).read_to_end(&mut json).map_err(IndexError::Compression)?;
        if json.len() as u64 > limit {
            return Err(IndexError::TooLarge);
        }
        // The format decides before the fields do: a newer manifest need not parse as this one.
        let probe: Probe = serde_json::from_slice(&json)?;
        if probe.manifest.format != crate::state::key::FORMAT {
            return Err(ManifestError::OtherFormat { found: probe.manifest.format }.into());
        }
        let index: Self = serde_json::from_slice(&json)?;
        index.manifest.check()?;
        index.check_frames(body.len() as u64)?;
        Ok((index, digest))
    }
}

impl Index {
    /// What all frames unpack to, and what they take up.
    fn raw(&self) -> u64 {
        self.frames.iter().fold(0, |sum, frame| sum.saturating_add(frame.raw))
    }

    pub(super) fn packed(&self) -> u64 {
        self.frames.iter().fold(0, |sum, frame| sum.saturating_add(frame.len))
    }

    /// Refuses frames that would take more memory or disk than what they were made of.
    fn check_frames(&self, own: u64) -> Result<(), IndexError> {
        let is_odd = |frame: &FrameInfo| frame.raw > MAX_RAW || frame.len > MAX_RAW;
        let most = self.packed().saturating_add(own).saturating_mul(TIGHTEST_FRAMES).max(SMALL_PACK);
        let is_fine = self.frames.len() <= MAX_FRAMES && self.raw() <= most && !self.frames.iter().any(is_odd);
        if is_fine { Ok(()) } else { Err(IndexError::FramesTooLarge) }
    }
}

fn trailer_body(trailer: &[u8]) -> Result<&[u8], IndexError> {
    let head = usize::try_from(FRAME_HEAD).unwrap_or_default();
    trailer.get(head..).filter(|body| body.starts_with(MAGIC)).ok_or(IndexError::NoTrailer)
}

#[derive(Deserialize)]
struct Probe {
    manifest: FormatProbe,
}

#[derive(Deserialize)]
struct FormatProbe {
    format: u32,
}

fn skippable(body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).unwrap_or(u32::MAX);
    [&SKIPPABLE.to_le_bytes(), &len.to_le_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::key::{HardParts, KeyParts, NameParts, SoftParts};

    fn index(frames: Vec<FrameInfo>) -> Index {
        let parts = KeyParts { name: NameParts::default(), hard: HardParts::default(), soft: SoftParts::default() };
        Index { frames, manifest: Manifest::blank(parts, Vec::new()) }
    }

    fn frame(len: u64, raw: u64) -> FrameInfo {
        FrameInfo { offset: 0, len, raw, sha256: Digest::of(b"") }
    }

    /// As `encode` does it, but for the padding.
    fn forged(index: &Index) -> Result<(Index, Digest), IndexError> {
        let body = zstd::encode_all(serde_json::to_vec(index).unwrap().as_slice(), 19).unwrap();
        let len = (body.len() as u64).to_le_bytes();
        let trailer = [MAGIC.as_slice(), &[0; 8], &len, Digest::of(&body).bytes()].concat();
        Index::decode(&body, &skippable(&trailer))
    }

    fn encoded(index: &Index) -> Result<(Index, Digest), IndexError> {
        let (tail, _) = index.encode(0).unwrap();
        let (body, trailer) = tail.split_at(tail.len() - usize::try_from(TRAILER).unwrap());
        Index::decode(&body[usize::try_from(FRAME_HEAD).unwrap()..], trailer)
    }

    #[test]
    fn an_index_that_unpacks_to_much_more_than_it_is_is_refused_and_an_honest_one_is_padded() {
        let mut tight = index(Vec::new());
        tight.manifest.key = "a".repeat(40_000_000);
        assert!(matches!(forged(&tight), Err(IndexError::TooLarge)));
        assert_eq!(encoded(&tight).unwrap().0.manifest.key.len(), 40_000_000);
    }

    #[test]
    fn frames_that_unpack_to_much_more_than_they_are_are_refused_and_honest_ones_are_padded() {
        let zeros = index(vec![frame(6_000, MAX_FRAME); 48]);
        assert!(matches!(forged(&zeros), Err(IndexError::FramesTooLarge)));
        assert_eq!(encoded(&zeros).unwrap().0.frames.len(), 48);
        for odd in [frame(6_000, 3 << 30), frame(MAX_RAW + 1, MAX_FRAME)] {
            assert!(matches!(encoded(&index(vec![odd])), Err(IndexError::FramesTooLarge)));
        }
    }
}
