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
/// Nor is one packed more tightly: half of it is digests, which do not compress.
const TIGHTEST: u64 = 64;
/// What an index may unpack to, however small it is.
const SMALL: u64 = 4 << 20;
const MAX_FRAMES: usize = 100_000;
/// A small pack may unpack to this much, a larger one to so many times what it is: only zeros pack more tightly.
const SMALL_PACK: u64 = 1 << 30;
const TIGHTEST_FRAMES: u64 = 1_000;
/// Headers of files without content come on top of a frame's content.
const MAX_RAW: u64 = 4 * MAX_FRAME;

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
        let body = zstd::encode_all(json.as_slice(), 3).map_err(IndexError::Compression)?;
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
        let limit = (SMALL + TIGHTEST * body.len() as u64).min(MAX_JSON);
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
        index.check_frames()?;
        Ok((index, digest))
    }
}

impl Index {
    /// Refuses frames that would take more memory or disk than what they were made of.
    fn check_frames(&self) -> Result<(), IndexError> {
        let is_odd = |frame: &FrameInfo| frame.raw > MAX_RAW || frame.len > 2 * MAX_FRAME;
        let raw = self.frames.iter().try_fold(0_u64, |sum, frame| sum.checked_add(frame.raw));
        let packed = self.frames.iter().try_fold(0_u64, |sum, frame| sum.checked_add(frame.len));
        let fits =
            raw.zip(packed).is_some_and(|(raw, packed)| raw <= packed.saturating_mul(TIGHTEST_FRAMES).max(SMALL_PACK));
        let is_fine = self.frames.len() <= MAX_FRAMES && fits && !self.frames.iter().any(is_odd);
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
