//! Opens packs as if they were hostile: the index is checked before anything is believed, and nothing stays of a frame whose sha256
//! is not the recorded one.

use std::ops::Range;

use anyhow::{Context, Result, anyhow, ensure};

use super::index::{FRAME_HEAD, FrameInfo, Index, TRAILER};
use crate::digest::Digest;
use crate::state::manifest::{FileEntry, Parent};
use crate::store::Store;

/// A stored pack whose index has been read and checked.
#[derive(Debug)]
pub struct Pack<'a> {
    store: &'a dyn Store,
    pub key: String,
    pub sha256: Digest,
    pub bytes: u64,
    pub index: Index,
    /// Where the frames begin: behind the index, where a store put that first.
    base: u64,
}

impl<'a> Pack<'a> {
    pub fn open(store: &'a dyn Store, key: &str) -> Result<Self> {
        let opened = Self::open_once(store, key);
        if opened.is_err() && store.distrust(key) { Self::open_once(store, key) } else { opened }
    }

    fn open_once(store: &'a dyn Store, key: &str) -> Result<Self> {
        let bytes = store.size(key)?;
        ensure!(bytes > TRAILER, "`{key}` is not a pack, or it was cut");
        let head = store.read(key, 0, FRAME_HEAD)?;
        let unusable = || format!("cannot use `{key}`");
        let (trailer, offset, len, base) = if let Some(len) = Index::leading(&head, bytes) {
            (store.read(key, FRAME_HEAD + len, TRAILER)?, FRAME_HEAD, len, FRAME_HEAD + len + TRAILER)
        } else {
            let trailer = store.read(key, bytes - TRAILER, TRAILER)?;
            let (offset, len) = Index::locate(&trailer, bytes).with_context(unusable)?;
            (trailer, offset, len, 0)
        };
        let body = store.read(key, offset, len)?;
        let (index, sha256) = Index::decode(&body, &trailer).with_context(unusable)?;
        if let Some(expected) = store.digest(key) {
            ensure!(sha256 == expected, "`{key}` is not the pack that the store names");
        }
        let end = index.frames.iter().map(|info| base.saturating_add(info.offset).saturating_add(info.len)).max();
        ensure!(end.unwrap_or(0) <= bytes, "`{key}` was cut: it has {bytes} bytes and needs {}", end.unwrap_or(0));
        // Nothing honest lies in two frames; whoever wants both would fetch it again and again.
        ensure!(index.packed() <= bytes, "the frames of `{key}` lie in one another");
        Ok(Self { store, key: key.to_owned(), sha256, bytes, index, base })
    }

    /// What it is called in manifests that build on it.
    pub fn as_parent(&self) -> Parent {
        let pieces = self.index.manifest.files.iter().flat_map(FileEntry::pieces);
        let bytes = pieces.filter(|(at, _)| at.pack == 0).map(|(_, bytes)| bytes).sum();
        Parent { key: self.key.clone(), sha256: self.sha256, bytes }
    }

    /// Part of what is said to be a frame.
    pub(super) fn part(&self, info: &FrameInfo, range: Range<u64>) -> Result<Vec<u8>> {
        let offset = self.base.checked_add(info.offset);
        let offset = offset.filter(|at| at.checked_add(info.len).is_some_and(|end| end <= self.bytes));
        let offset = offset.with_context(|| format!("a frame of `{}` lies outside of it", self.key))?;
        self.store.read(&self.key, offset + range.start, range.end - range.start)
    }

    /// The bytes of a frame of which others came, as another place may have them.
    pub(super) fn again(&self, info: &FrameInfo) -> Result<Vec<u8>> {
        let damaged = || anyhow!("a frame of `{}` at byte {} is damaged", self.key, info.offset);
        ensure!(self.store.distrust(&self.key), damaged());
        // What stands before the frames can be another thing there.
        let again = Self::open_once(self.store, &self.key)?;
        ensure!(again.sha256 == self.sha256, damaged());
        let bytes = again.part(info, 0..info.len)?;
        ensure!(Digest::of(&bytes) == info.sha256, damaged());
        Ok(bytes)
    }
}
