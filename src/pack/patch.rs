//! What makes a file of an older version of it: a zstd frame that refers to that version as what stood before it. Executables that
//! are linked anew after a small change differ in a tenth of their bytes.
//!
//! Nothing is believed here: whoever applies a patch knows the digest of what has to come out.

use std::io;

use anyhow::{Context, Result, anyhow, ensure};
use zstd::zstd_safe::{CCtx, CParameter, DCtx, compress_bound, get_error_name};

use crate::state::manifest::MAX_PATCHED;

const LEVEL: i32 = 3;
/// The smallest and the largest window, which has to hold both versions.
const WINDOW_LOG: (u32, u32) = (20, 28);

pub fn make(old: &[u8], new: &[u8]) -> io::Result<Vec<u8>> {
    let failed = |code| io::Error::other(get_error_name(code));
    let both = (old.len() + new.len()).next_power_of_two().trailing_zeros();
    let mut context = CCtx::create();
    context.set_parameter(CParameter::CompressionLevel(LEVEL)).map_err(failed)?;
    context.set_parameter(CParameter::WindowLog(both.clamp(WINDOW_LOG.0, WINDOW_LOG.1))).map_err(failed)?;
    context.set_parameter(CParameter::EnableLongDistanceMatching(true)).map_err(failed)?;
    context.ref_prefix(old).map_err(failed)?;
    let mut patch = Vec::with_capacity(compress_bound(new.len()));
    context.compress2(&mut patch, new).map_err(failed)?;
    patch.shrink_to_fit();
    Ok(patch)
}

/// What comes out has this `size`, or nothing does.
pub(super) fn apply(old: &[u8], patch: &[u8], size: u64) -> Result<Vec<u8>> {
    ensure!(size <= MAX_PATCHED, "a patch of {size} bytes is none of ours");
    let failed = |code| anyhow!("a patch cannot be applied: {}", get_error_name(code));
    let mut context = DCtx::create();
    context.ref_prefix(old).map_err(failed)?;
    let mut new = Vec::with_capacity(usize::try_from(size).context("it does not fit into memory")?);
    context.decompress(&mut new, patch).map_err(failed)?;
    ensure!(new.len() as u64 == size, "a patch makes a file of another size");
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes in which nothing repeats.
    fn noise(len: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        (0..len).map(|_| next()).collect()
    }

    #[test]
    fn a_small_change_in_a_large_file_makes_a_small_patch() {
        let old = noise(5 << 20);
        let mut new = old.clone();
        new.splice(1 << 20..1 << 20, b"a new function".iter().copied());
        new[4 << 20] ^= 1;
        let patch = make(&old, &new).unwrap();
        assert!(patch.len() < 20_000, "{}", patch.len());
        assert_eq!(apply(&old, &patch, new.len() as u64).unwrap(), new);
        assert_eq!(apply(&old, &make(&old, &[]).unwrap(), 0).unwrap(), b"");
        let other = noise(5 << 20).split_off(7);
        assert_ne!(apply(&other, &patch, new.len() as u64).ok(), Some(new.clone()));
        assert!(apply(&old, &patch, new.len() as u64 - 1).is_err(), "it makes more than it may");
        assert!(apply(&old, &patch, new.len() as u64 + 1).is_err());
        assert!(apply(&old, &patch[..patch.len() / 2], new.len() as u64).is_err());
    }
}
