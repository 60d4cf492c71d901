//! Sends a finished pack: reserve, send, finalize.
//!
//! The name is reserved only when the pack is complete on disk, because a reservation cannot be taken back. The index goes
//! first in the entry, where one request finds it, and last over the line. Blocks are read again for every try.

use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::task::JoinSet;

use super::fault::Fault;
use super::rpc::{self, Reservation};
use super::{Inner, blob, retry};
use crate::store::{PackFile, Put};

/// Cheap to send again, and few enough.
const BLOCK: u64 = 16 << 20;

/// Part of the pack's file, at its place in the entry.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Block {
    at: u64,
    bytes: Range<u64>,
    index: bool,
}

pub(super) async fn put(inner: Arc<Inner>, key: String, pack: PackFile) -> Result<Put, Fault> {
    let (net, limits) = (&inner.net, &inner.limits);
    let create = async || rpc::create(net, &inner.service, &key, pack.bytes).await;
    let reservation = match retry::CREATE.run(net, limits, create).await {
        Ok(reservation) => Arc::new(reservation),
        Err(Fault::Exists) => return taken(&inner, &key).await,
        Err(fault) => return Err(fault),
    };
    let whole = matches!(*reservation, Reservation::V2(_)) && pack.bytes <= BLOCK;
    let blocks = blocks(&pack);
    if let (true, Reservation::V2(url)) = (whole, &*reservation) {
        let mut attempts = retry::SEND.begin(net, limits, pack.bytes);
        while let Err(fault) = attempts.within(blob::put_whole(net, url, read(&pack.path, &blocks)?)).await {
            attempts.pause(fault).await?;
        }
    } else {
        send_blocks(&inner, &reservation, &pack, &blocks).await?;
    }
    let finalize = async || rpc::finalize(net, &inner.service, &key, &reservation, pack.bytes).await;
    retry::FINALIZE.run(net, limits, finalize).await?;
    Ok(Put::Stored)
}

/// The name is taken: by an entry that can be seen, or by an upload that may never end.
async fn taken(inner: &Inner, key: &str) -> Result<Put, Fault> {
    match inner.locate(key).await {
        Ok(_) => Ok(Put::AlreadyThere),
        Err(_) => Ok(Put::Reserved),
    }
}

async fn send_blocks(
    inner: &Arc<Inner>,
    reservation: &Arc<Reservation>,
    pack: &PackFile,
    blocks: &[Block],
) -> Result<(), Fault> {
    let upload = uuid::Uuid::new_v4().to_string();
    // Servers that assemble by id rather than by list rely on this form.
    let ids: Vec<String> = (0..blocks.len()).map(|at| STANDARD.encode(format!("{upload}{at:012}"))).collect();
    for index in [false, true] {
        let mut sending = JoinSet::new();
        for (block, id) in blocks.iter().zip(&ids).filter(|(block, _)| block.index == index) {
            let (inner, reservation, path) = (Arc::clone(inner), Arc::clone(reservation), pack.path.clone());
            let (block, id) = (block.clone(), id.clone());
            sending.spawn(async move { send_block(&inner, &reservation, &path, &block, &id).await });
        }
        while let Some(joined) = sending.join_next().await {
            joined.map_err(|error| Fault::Local(error.to_string()))??;
        }
    }
    if let Reservation::V2(url) = &**reservation {
        let list = async || blob::put_block_list(&inner.net, url, &ids).await;
        retry::SEND.run(&inner.net, &inner.limits, list).await?;
    }
    Ok(())
}

async fn send_block(
    inner: &Inner,
    reservation: &Reservation,
    path: &Path,
    block: &Block,
    id: &str,
) -> Result<(), Fault> {
    let _permit = inner.gate.acquire().await.map_err(|error| Fault::Local(error.to_string()))?;
    let mut attempts = retry::SEND.begin(&inner.net, &inner.limits, block.bytes.end - block.bytes.start);
    loop {
        let body = read(path, std::slice::from_ref(block))?;
        let sent = match reservation {
            Reservation::V2(url) => attempts.within(blob::put_block(&inner.net, url, id, body)).await,
            Reservation::V1(upload) => {
                attempts.within(rpc::v1_chunk(&inner.net, &inner.service, *upload, block.at, body)).await
            }
        };
        match sent {
            Ok(()) => return Ok(()),
            Err(fault) => attempts.pause(fault).await?,
        }
    }
}

/// The pack in the order of the entry, in pieces of at most `BLOCK`.
fn blocks(pack: &PackFile) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut at = 0;
    for (range, index) in [(pack.index_at..pack.bytes, true), (0..pack.index_at, false)] {
        let mut start = range.start;
        while start < range.end {
            let end = range.end.min(start + BLOCK);
            blocks.push(Block { at, bytes: start..end, index });
            at += end - start;
            start = end;
        }
    }
    blocks
}

fn read(path: &Path, blocks: &[Block]) -> Result<Vec<u8>, Fault> {
    let local = |error: std::io::Error| Fault::Local(error.to_string());
    let mut file = std::fs::File::open(path).map_err(local)?;
    let mut bytes = Vec::new();
    for Block { bytes: range, .. } in blocks {
        let len = range.end - range.start;
        file.seek(SeekFrom::Start(range.start)).map_err(local)?;
        let read = (&mut file).take(len).read_to_end(&mut bytes).map_err(local)?;
        if read as u64 != len {
            return Err(Fault::Local("it ends early".to_owned()));
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_the_first_block_of_the_entry() {
        let pack = PackFile { path: "p".into(), index_at: BLOCK + 5, bytes: BLOCK + 12 };
        let block = |at, bytes, index| Block { at, bytes, index };
        let expected = [
            block(0, BLOCK + 5..BLOCK + 12, true),
            block(7, 0..BLOCK, false),
            block(7 + BLOCK, BLOCK..BLOCK + 5, false),
        ];
        assert_eq!(blocks(&pack), expected);
    }
}
