//! One zstd frame: long-distance matching over most of the frame, and a window that any decoder accepts.
//!
//! A thread keeps what it compresses and decompresses with from one frame to the next: a window of 64 MiB that is new for every
//! frame costs as much as the rest of the work on it. What an earlier frame left in it is cleared by whoever takes it up.

use std::cell::RefCell;
use std::io::{self, BufRead, Read, Write};

use zstd::zstd_safe::{CCtx, DCtx};

/// Uncompressed bytes per frame at most. Larger frames find more repetition, and leave more cores idle at the end.
pub(super) const MAX_FRAME: u64 = 256 << 20;
/// Smaller frames than this are not worth being apart.
pub(super) const MIN_FRAME: u64 = 4 << 20;
/// How far back repetition is found, and the memory that each thread needs at either end.
const WINDOW_LOG: u32 = 26;
/// Above it, time grows faster than bytes shrink: level 3 takes half as long again for 4 %.
const LEVEL: i32 = 2;

thread_local! {
    static PACKING: RefCell<CCtx<'static>> = RefCell::new(CCtx::create());
    static UNPACKING: RefCell<DCtx<'static>> = RefCell::new(DCtx::create());
}

/// Compresses what `fill` writes, to `out`. `fill` compresses nothing itself.
pub(super) fn compress(out: impl Write, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    PACKING.with_borrow_mut(|context| {
        let mut encoder = zstd::Encoder::with_context(out, context);
        encoder.set_parameter(zstd::zstd_safe::CParameter::CompressionLevel(LEVEL))?;
        encoder.long_distance_matching(true)?;
        encoder.window_log(WINDOW_LOG)?;
        encoder.include_checksum(false)?;
        fill(&mut encoder)?;
        encoder.finish()?;
        Ok(())
    })
}

/// Gives `take` what a frame holds, and refuses windows larger than ours. `take` decompresses nothing itself.
pub(super) fn decompress<T>(
    from: impl BufRead,
    take: impl FnOnce(&mut dyn Read) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    UNPACKING.with_borrow_mut(|context| {
        let mut decoder = zstd::Decoder::with_context(from, context);
        decoder.window_log_max(WINDOW_LOG + 1)?;
        take(&mut decoder.single_frame())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        compress(&mut frame, |out| out.write_all(text)).unwrap();
        frame
    }

    fn unpacked(bytes: &[u8], most: usize) -> Vec<u8> {
        decompress(bytes, |from| {
            let mut text = vec![0; most];
            let len = from.read(&mut text)?;
            text.truncate(len);
            Ok(text)
        })
        .unwrap()
    }

    /// Bytes of another frame in a file would be the worst of all.
    #[test]
    fn nothing_of_a_frame_that_was_left_half_way_gets_into_the_next() {
        let (one, two) = (vec![1; 3 << 20], vec![2; 1 << 20]);
        let alone = packed(&two);
        let failed = compress(io::sink(), |out| {
            out.write_all(&one)?;
            Err(io::Error::other("cannot read a file"))
        });
        assert!(failed.is_err());
        assert_eq!(packed(&two), alone);
        let first = packed(&one);
        assert_eq!(unpacked(&first, 10), vec![1; 10]);
        assert_eq!(unpacked(&alone, 1 << 16), vec![2; 1 << 16]);
        // A frame that is cut.
        assert!(decompress(&first[..first.len() / 2], |from| Ok(io::copy(from, &mut io::sink())?)).is_err());
        let mut whole = Vec::new();
        decompress(alone.as_slice(), |from| Ok(from.read_to_end(&mut whole)?)).unwrap();
        assert_eq!(whole, two);
    }
}
