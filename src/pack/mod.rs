//! Packs: ordinary `.tar.zst` archives in many independent zstd frames, with an index behind them in a skippable frame.
//!
//! `zstd -dc PACK | tar tv` lists one. Rekindle itself never reads the tar headers: the manifest in the index says where every
//! byte lies, and the digest of the index, which holds the digest of every frame, is the pack's identity.
//!
//! Memory: a packing or unpacking thread holds one frame's compressed bytes and one window of at most 64 MiB.

mod frame;
mod index;
mod reader;
mod tarball;
mod writer;

pub use index::{FrameInfo, Index};
pub use reader::{Pack, Unpacked, unpack};
pub use writer::{Source, Written, write};
