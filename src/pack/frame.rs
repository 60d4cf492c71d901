//! One zstd frame: long-distance matching over the whole frame, and a window that any decoder accepts.

use std::io::{self, Read, Write};

/// Uncompressed bytes per frame at most. Larger frames find more repetition and cost more memory.
pub(super) const MAX_FRAME: u64 = 64 << 20;
/// Smaller frames than this are not worth being apart.
pub(super) const MIN_FRAME: u64 = 4 << 20;
const WINDOW_LOG: u32 = 26;
const LEVEL: i32 = 3;

/// Compresses what `fill` writes.
pub(super) fn compress(fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::Encoder::new(Vec::new(), LEVEL)?;
    encoder.long_distance_matching(true)?;
    encoder.window_log(WINDOW_LOG)?;
    encoder.include_checksum(false)?;
    fill(&mut encoder)?;
    encoder.finish()
}

/// A decoder that refuses windows larger than ours.
pub(super) fn decoder(bytes: &[u8]) -> io::Result<impl Read + '_> {
    let mut decoder = zstd::Decoder::with_buffer(bytes)?;
    decoder.window_log_max(WINDOW_LOG + 1)?;
    Ok(decoder.single_frame())
}
