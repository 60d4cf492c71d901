//! Sends a pack while it is made: reserve, send, finalize.
//!
//! A reservation cannot be taken back, so the name is reserved when the first block is complete, and where somebody may still
//! decide against the whole, when all of it is. The index goes first in the entry, where one request finds it, and last over the
//! line. Blocks are read again for every try. How it can be wrong: a save that ends while it packs has reserved a name for nothing,
//! and another job that comes to the very same state cannot store it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::NamedTempFile;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::fault::Fault;
use super::rpc::{self, Reservation};
use super::service::Api;
use super::{AT_ONCE, Inner, blob, retry};
use crate::machine::interrupt::Unfinished;
use crate::machine::net::Engine;
use crate::store::{Draft, Put, Sending};

/// Cheap to send again, and few enough.
const BLOCK: u64 = 4 << 20;
/// Blocks that are sent at once while others are being packed: packing needs the memory.
const WHILE_PACKING: usize = 3;
/// The number of the first block that is not the index. Servers that assemble by number rather than by list take the lower
/// ones first.
const FRAMES: usize = 1_000;

/// A pack on its way. What there is of it lies in a file.
pub(super) struct Upload<'a> {
    engine: &'a Engine,
    inner: &'a Arc<Inner>,
    key: String,
    file: NamedTempFile,
    written: u64,
    stage: Stage,
    _unfinished: Unfinished,
}

enum Stage {
    /// Nothing was asked for; blocks may be sent as they come, or not.
    Waiting(Sending),
    Sending(Blocks),
    /// Somebody else has the name.
    Taken(Put),
    Failed(Fault),
    /// That it failed has been said.
    Ended,
}

impl<'a> Upload<'a> {
    pub(super) fn begin(
        engine: &'a Engine,
        inner: &'a Arc<Inner>,
        key: &str,
        room: &Path,
        sending: Sending,
    ) -> Result<Self> {
        let file = tempfile::Builder::new().prefix("pack-").tempfile_in(room).context("cannot write the pack")?;
        let unfinished = Unfinished::new(file.path());
        // A v1 server wants to know the size first, and where each part goes.
        let sending = if inner.service.api == Api::V2 { sending } else { Sending::WhenComplete };
        let stage = Stage::Waiting(sending);
        Ok(Self { engine, inner, key: key.to_owned(), file, written: 0, stage, _unfinished: unfinished })
    }

    /// Hands over what is complete, and reserves the name for the first of it.
    fn go_on(&mut self) {
        if let Stage::Waiting(Sending::AsTheyCome) = self.stage
            && self.written > BLOCK
        {
            self.stage = self.reserve(0);
        }
        let Stage::Sending(blocks) = &mut self.stage else { return };
        while self.written - blocks.sent >= BLOCK {
            blocks.send_frames(blocks.sent + BLOCK, self.engine.handle());
        }
        if let Err(fault) = blocks.look() {
            self.stage = Stage::Failed(fault);
        }
    }

    fn reserve(&self, size: u64) -> Stage {
        let (inner, key) = (self.inner, &self.key);
        let create = async || rpc::create(&inner.net, &inner.service, key, size).await;
        match self.engine.wait(retry::CREATE.run(&inner.net, &inner.limits, create)) {
            Ok(reservation) => Stage::Sending(Blocks::new(Way {
                inner: Arc::clone(inner),
                reservation,
                path: self.file.path().to_path_buf(),
            })),
            Err(Fault::Exists) => Stage::Taken(self.engine.wait(taken(inner, key))),
            Err(fault) => Stage::Failed(fault),
        }
    }
}

impl Write for Upload<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.written += written as u64;
        self.go_on();
        // What cannot be stored need not be packed.
        match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Failed(fault) => Err(self.inner.failure(fault)),
            stage => {
                self.stage = stage;
                Ok(written)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Draft for Upload<'_> {
    fn finish(mut self: Box<Self>, tail: &[u8]) -> Result<Put> {
        let (engine, inner) = (self.engine, self.inner);
        let index = self.written..self.written + tail.len() as u64;
        self.file.write_all(tail).context("cannot write the pack")?;
        if let Stage::Waiting(_) = self.stage {
            inner.usable()?;
            self.stage = self.reserve(index.end);
        }
        let put = match self.stage {
            Stage::Sending(blocks) => {
                let finished = blocks.finish(&self.key, index, engine.handle());
                engine.wait(finished).map(|()| Put::Stored)
            }
            Stage::Taken(put) => Ok(put),
            Stage::Failed(fault) => Err(fault),
            Stage::Waiting(_) | Stage::Ended => Err(Fault::Local("nothing was reserved".to_owned())),
        };
        inner.settle(put)
    }
}

/// The name is taken: by an entry that can be seen, or by an upload that may never end.
async fn taken(inner: &Inner, key: &str) -> Put {
    match inner.locate(key).await {
        Ok(_) => Put::AlreadyThere,
        Err(_) => Put::Reserved,
    }
}

/// From where to where bytes go.
struct Way {
    inner: Arc<Inner>,
    reservation: Reservation,
    path: PathBuf,
}

/// Blocks of a reserved entry, under way.
struct Blocks {
    way: Arc<Way>,
    /// Tells these blocks from those of others.
    upload: String,
    at_once: Arc<Semaphore>,
    tasks: JoinSet<Result<(), Fault>>,
    /// Where the frames begin in the entry, for a server that wants to know.
    base: u64,
    /// How much of the frames has been given to `tasks`, and in which blocks.
    sent: u64,
    ids: Vec<String>,
}

impl Blocks {
    fn new(way: Way) -> Self {
        Self {
            way: Arc::new(way),
            upload: uuid::Uuid::new_v4().to_string(),
            at_once: Arc::new(Semaphore::new(WHILE_PACKING)),
            tasks: JoinSet::new(),
            base: 0,
            sent: 0,
            ids: Vec::new(),
        }
    }

    /// Sends the frames up to there, as soon as it is their turn.
    fn send_frames(&mut self, end: u64, runtime: &Handle) {
        let bytes = self.sent..end;
        self.sent = end;
        let id = self.send(FRAMES + self.ids.len(), self.base + bytes.start, bytes, runtime);
        self.ids.push(id);
    }

    fn send(&mut self, number: usize, at: u64, bytes: Range<u64>, runtime: &Handle) -> String {
        // Servers that assemble by id rely on this form.
        let id = STANDARD.encode(format!("{}{number:012}", self.upload));
        let (way, at_once, block) = (Arc::clone(&self.way), Arc::clone(&self.at_once), id.clone());
        let send = async move {
            let _permit = at_once.acquire().await.map_err(|error| Fault::Local(error.to_string()))?;
            way.send(&block, at, bytes).await
        };
        self.tasks.spawn_on(send, runtime);
        id
    }

    /// What has ended so far.
    fn look(&mut self) -> Result<(), Fault> {
        while let Some(ended) = self.tasks.try_join_next() {
            ended.map_err(|error| Fault::Local(error.to_string()))??;
        }
        Ok(())
    }

    async fn all(&mut self) -> Result<(), Fault> {
        while let Some(ended) = self.tasks.join_next().await {
            ended.map_err(|error| Fault::Local(error.to_string()))??;
        }
        Ok(())
    }

    /// Sends the rest, the index last, and makes the entry of it.
    async fn finish(mut self, key: &str, index: Range<u64>, runtime: &Handle) -> Result<(), Fault> {
        let way = Arc::clone(&self.way);
        let (inner, size) = (&way.inner, index.end);
        match &way.reservation {
            Reservation::V2(url) if self.ids.is_empty() && size <= BLOCK => {
                let body = [read(&way.path, &index)?, read(&way.path, &(0..index.start))?].concat();
                let mut attempts = retry::SEND.begin(&inner.net, &inner.limits, size);
                while let Err(fault) = attempts.within(blob::put_whole(&inner.net, url, body.clone())).await {
                    attempts.pause(fault).await?;
                }
            }
            reservation => {
                self.base = index.end - index.start;
                self.at_once.add_permits(AT_ONCE - WHILE_PACKING);
                while self.sent < index.start {
                    self.send_frames(index.start.min(self.sent + BLOCK), runtime);
                }
                self.all().await?;
                let mut ids = Vec::new();
                let mut from = index.start;
                while from < index.end {
                    let to = index.end.min(from + BLOCK);
                    ids.push(self.send(ids.len(), from - index.start, from..to, runtime));
                    from = to;
                }
                self.all().await?;
                if ids.len() > FRAMES {
                    return Err(Fault::Local("its index is larger than any".to_owned()));
                }
                ids.append(&mut self.ids);
                if let Reservation::V2(url) = reservation {
                    let list = async || blob::put_block_list(&inner.net, url, &ids).await;
                    retry::SEND.run(&inner.net, &inner.limits, list).await?;
                }
            }
        }
        let finalize = async || rpc::finalize(&inner.net, &inner.service, key, &way.reservation, size).await;
        retry::FINALIZE.run(&inner.net, &inner.limits, finalize).await
    }
}

impl Way {
    async fn send(&self, id: &str, at: u64, bytes: Range<u64>) -> Result<(), Fault> {
        let inner = &self.inner;
        let mut attempts = retry::SEND.begin(&inner.net, &inner.limits, bytes.end - bytes.start);
        loop {
            let body = read(&self.path, &bytes)?;
            let sent = match &self.reservation {
                Reservation::V2(url) => attempts.within(blob::put_block(&inner.net, url, id, body)).await,
                Reservation::V1(upload) => {
                    attempts.within(rpc::v1_chunk(&inner.net, &inner.service, *upload, at, body)).await
                }
            };
            match sent {
                Ok(()) => return Ok(()),
                Err(fault) => attempts.pause(fault).await?,
            }
        }
    }
}

fn read(path: &Path, range: &Range<u64>) -> Result<Vec<u8>, Fault> {
    let local = |error: io::Error| Fault::Local(error.to_string());
    let mut file = File::open(path).map_err(local)?;
    let len = range.end - range.start;
    let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or_default());
    file.seek(SeekFrom::Start(range.start)).map_err(local)?;
    let read = file.take(len).read_to_end(&mut bytes).map_err(local)?;
    if read as u64 == len { Ok(bytes) } else { Err(Fault::Local("it ends early".to_owned())) }
}
