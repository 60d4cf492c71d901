//! Packs: ordinary `.tar.zst` archives in many independent zstd frames, with an index behind them in a skippable frame.
//!
//! `zstd -dc PACK | tar tv` lists one. Rekindle itself never reads the tar headers: the manifest in the index says where every
//! byte lies, and the digest of the index, which holds the digest of every frame, is the pack's identity.
//!
//! Memory: a packing or unpacking thread holds one window of at most 64 MiB. Besides, the compressed bytes of a few frames wait until
//! it is their turn to be written, or 32 MiB of fetched parts to be unpacked.

mod arriving;
mod cases;
mod frame;
mod index;
pub mod patch;
mod pipeline;
mod places;
mod plan;
mod reader;
pub mod seed;
mod staging;
mod tarball;
mod unpack;
mod versions;
mod writer;

pub use index::{FrameInfo, Index};
pub use plan::Source;
pub use reader::Pack;
pub use staging::{Late, Staged, sweep};
pub use unpack::Unpacked;
pub use writer::{Written, write};

/// Bytes of what is worked on side by side.
const AT_ONCE: u64 = 192 << 20;

/// Does `work` for every item, on all cores as long as what they weigh leaves room, and gives what comes of it to `take`.
pub fn side_by_side<I: Sync, R: Send>(
    items: &[I],
    weigh: impl Fn(&I) -> u64,
    work: impl Fn(&I) -> R + Sync,
    take: impl Fn(&I, R) + Sync,
) {
    pipeline::ahead(items, weigh, AT_ONCE, (pipeline::threads(), std::num::NonZeroUsize::MIN), work, take);
}

/// A pack of these frames under an index that says whatever it is told to: what a hostile store could hand out.
#[doc(hidden)]
pub fn forge(frames: &[u8], infos: &[FrameInfo], manifest: crate::state::manifest::Manifest) -> Vec<u8> {
    let index = Index { frames: infos.to_vec(), manifest };
    let tail = index.encode(frames.len() as u64).map(|(tail, _)| tail).unwrap_or_default();
    [frames, &tail].concat()
}
