//! The bytes of one blob on their way in and after: blocks of Azure, chunks of v1, and what they became.

use std::collections::BTreeMap;

use axum::body::Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

/// Azure's limits.
const BLOCK_ID_BYTES: usize = 64;
const BLOCKS: usize = 50_000;

#[derive(Default)]
pub(super) struct Content {
    committed: Option<Bytes>,
    modified: Timestamp,
    /// Counts up, so that every content has an `ETag` of its own.
    writes: u64,
    uncommitted_blocks: BTreeMap<String, Bytes>,
    committed_blocks: BTreeMap<String, Bytes>,
    chunks: BTreeMap<u64, Bytes>,
}

impl Content {
    pub(super) fn content(&self) -> Option<Bytes> {
        self.committed.clone()
    }

    pub(super) fn etag(&self) -> String {
        format!("\"0x8DE{:011X}\"", self.writes)
    }

    /// As HTTP writes a date.
    pub(super) fn last_modified(&self) -> String {
        self.modified.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
    }

    pub(super) fn put(&mut self, bytes: Bytes) {
        self.uncommitted_blocks.clear();
        self.committed_blocks.clear();
        self.commit(bytes);
    }

    fn commit(&mut self, bytes: Bytes) {
        self.committed = Some(bytes);
        self.modified = Timestamp::now();
        self.writes += 1;
    }

    pub(super) fn lose(&mut self) {
        self.committed = None;
    }

    /// Keeps a block under its base64 name. The error is Azure's code for it.
    pub(super) fn put_block(&mut self, id: &str, bytes: Bytes) -> Result<(), &'static str> {
        let length = STANDARD.decode(id).map_err(|_| "InvalidQueryParameterValue")?.len();
        if length == 0 || length > BLOCK_ID_BYTES {
            return Err("InvalidQueryParameterValue");
        }
        let mut others = self.uncommitted_blocks.keys().chain(self.committed_blocks.keys());
        if others.any(|other| STANDARD.decode(other).is_ok_and(|other| other.len() != length)) {
            return Err("InvalidBlobOrBlock");
        }
        self.uncommitted_blocks.insert(id.to_owned(), bytes);
        Ok(())
    }

    /// Assembles the blob from a block list.
    pub(super) fn put_block_list(&mut self, xml: &str) -> Result<(), &'static str> {
        let list = block_list(xml).ok_or("InvalidXmlDocument")?;
        if list.len() > BLOCKS {
            return Err("BlockListTooLong");
        }
        let mut content = Vec::new();
        let mut lengths = Vec::new();
        for (kind, id) in list {
            let uncommitted = self.uncommitted_blocks.get(id).filter(|_| kind != "Committed");
            let committed = self.committed_blocks.get(id).filter(|_| kind != "Uncommitted");
            let block = uncommitted.or(committed).ok_or("InvalidBlockList")?;
            content.extend_from_slice(block);
            lengths.push((id.to_owned(), block.len()));
        }
        let content = Bytes::from(content);
        let mut start = 0;
        self.committed_blocks.clear();
        for (id, length) in lengths {
            self.committed_blocks.insert(id, content.slice(start..start + length));
            start += length;
        }
        self.uncommitted_blocks.clear();
        self.commit(content);
        Ok(())
    }

    /// A piece of v1, which has an offset instead of a name.
    pub(super) fn put_chunk(&mut self, offset: u64, bytes: Bytes) {
        self.chunks.insert(offset, bytes);
    }

    /// Whether the chunks make up a whole of this size; then they become the blob.
    pub(super) fn commit_chunks(&mut self, size: u64) -> bool {
        let mut content = Vec::new();
        for (offset, bytes) in &self.chunks {
            if *offset != content.len() as u64 {
                return false;
            }
            content.extend_from_slice(bytes);
        }
        let whole = content.len() as u64 == size;
        if whole {
            self.chunks.clear();
            self.commit(content.into());
        }
        whole
    }
}

/// The names of a block list in its order, each with the tag that it stands in.
fn block_list(xml: &str) -> Option<Vec<(&str, &str)>> {
    let (_, rest) = xml.split_once("<BlockList>")?;
    let (inside, _) = rest.split_once("</BlockList>")?;
    let mut list = Vec::new();
    let mut rest = inside.trim();
    while !rest.is_empty() {
        let (kind, after) = rest.strip_prefix('<')?.split_once('>')?;
        if !["Latest", "Uncommitted", "Committed"].contains(&kind) {
            return None;
        }
        let (id, after) = after.split_once("</")?;
        list.push((kind, id.trim()));
        rest = after.strip_prefix(kind)?.strip_prefix('>')?.trim_start();
    }
    Some(list)
}
