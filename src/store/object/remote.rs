//! The few requests that there are, each with its limit: small objects with conditions, ranges, and whole packs in parts.
//!
//! The library repeats what failed on the way; here ends what takes too long.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use object_store::path::Path as Name;
use object_store::{
    GetOptions, GetRange, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, UpdateVersion,
};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::fault::Fault;
use crate::machine::net::Patience;
use crate::moment::Moment;

/// What is sent at once, and what is asked for at once. All parts but the last have this size: some servers insist.
const PART: u64 = 8 << 20;
const AT_ONCE: usize = 8;
/// The first request for a pack: most indexes end within it.
const FIRST: u64 = 1 << 20;
/// Whatever somebody waits for before anything can be done.
const SMALL: Duration = Duration::from_secs(20);
const LARGE: Duration = Duration::from_secs(60);
/// A line slower than this is no use.
const SLOWEST: u64 = 100_000;
/// All of a list, which may have a thousand pages.
const LISTING: Duration = Duration::from_secs(10 * 60);
/// How often a range is asked for when the answer breaks off.
const TRIES: u32 = 3;

#[derive(Debug)]
pub(super) struct Remote {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) patience: Patience,
    pub(super) deadline: Instant,
    gate: Semaphore,
}

/// What has to be so for a small object to be written.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    Absent,
    Still(UpdateVersion),
    None,
}

/// A pack on this disk: the frames in a file, and what goes before them.
#[derive(Debug)]
pub(super) struct Spool {
    pub(super) first: Vec<u8>,
    pub(super) path: PathBuf,
    pub(super) frames: u64,
}

/// An object as a list names it.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) modified: Moment,
}

/// What begins a stored pack, and its size.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) first: Vec<u8>,
    pub(super) size: u64,
}

impl Remote {
    pub(super) fn new(store: Arc<dyn ObjectStore>, patience: Patience, budget: Duration) -> Self {
        let deadline = Instant::now() + patience.of(budget);
        Self { store, patience, deadline, gate: Semaphore::new(AT_ONCE) }
    }

    /// Ends a request in time, whatever it does.
    async fn within<T>(
        &self,
        limit: Duration,
        bytes: u64,
        request: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, Fault> {
        let limit = self.patience.of(limit + Duration::from_secs(bytes / SLOWEST));
        let left = self.deadline.saturating_duration_since(Instant::now());
        match tokio::time::timeout(limit.min(left), request).await {
            Ok(answer) => answer.map_err(Fault::from),
            Err(_) if limit >= left => Err(Fault::OutOfTime),
            Err(_) => Err(Fault::Silent),
        }
    }

    /// A small object and its version, if it is there.
    pub(super) async fn small(&self, name: &str, most: usize) -> Result<Option<(Vec<u8>, UpdateVersion)>, Fault> {
        let request = async {
            let got = self.store.get(&Name::from(name)).await?;
            let version = UpdateVersion { e_tag: got.meta.e_tag.clone(), version: got.meta.version.clone() };
            let size = got.meta.size;
            if size > most as u64 {
                return Ok((None, version));
            }
            Ok((Some(got.bytes().await?.to_vec()), version))
        };
        match self.within(SMALL, 0, request).await {
            Ok((Some(bytes), version)) => Ok(Some((bytes, version))),
            // Whoever reads it finds that it is too much.
            Ok((None, version)) => Ok(Some((vec![0; most + 1], version))),
            Err(Fault::Gone) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    pub(super) async fn put_small(&self, name: &str, bytes: Vec<u8>, condition: &Condition) -> Result<(), Fault> {
        let mode = match condition {
            Condition::Absent => PutMode::Create,
            Condition::Still(version) => PutMode::Update(version.clone()),
            Condition::None => PutMode::Overwrite,
        };
        let is_bare = matches!(condition, Condition::None);
        let options = PutOptions { mode, ..PutOptions::default() };
        let name = Name::from(name);
        let request = self.store.put_opts(&name, PutPayload::from(bytes), options);
        match self.within(SMALL, 0, request).await {
            Ok(_) => Ok(()),
            // A server that does not know a header may say so in many ways.
            Err(Fault::Refused(_)) if !is_bare => Err(Fault::Unconditional),
            Err(fault) => Err(fault),
        }
    }

    pub(super) async fn open(&self, name: &str) -> Result<Opened, Fault> {
        let (first, size) = self.fetch(name, 0..FIRST, SMALL).await?;
        Ok(Opened { first, size })
    }

    /// Every object below a name: as many requests as there are thousands of them.
    pub(super) async fn list(&self, below: &str) -> Result<Vec<Listed>, Fault> {
        let (mut found, mut open) = (Vec::new(), vec![Name::from(below)]);
        while let Some(folder) = open.pop() {
            let list = self.store.list_with_delimiter(Some(&folder));
            let listed = self.within(LISTING, 0, list).await?;
            open.extend(listed.common_prefixes);
            found.extend(listed.objects.into_iter().map(|object| Listed {
                name: object.location.to_string(),
                bytes: object.size,
                modified: Moment::from_millis(object.last_modified.timestamp_millis()),
            }));
        }
        Ok(found)
    }

    /// Takes an object away. One that is gone already is no fault.
    pub(super) async fn delete(&self, name: &str) -> Result<(), Fault> {
        match self.within(SMALL, 0, self.store.delete(&Name::from(name))).await {
            Ok(()) | Err(Fault::Gone) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    /// Whether it is there.
    pub(super) async fn exists(&self, name: &str) -> Result<(), Fault> {
        self.within(SMALL, 0, self.store.head(&Name::from(name))).await.map(drop)
    }

    /// A range of a pack, in pieces side by side.
    pub(super) async fn read(self: Arc<Self>, name: String, from: u64, len: u64) -> Result<Vec<u8>, Fault> {
        let mut pieces = JoinSet::new();
        let end = from + len;
        let mut at = from;
        while at < end {
            let to = end.min(at + PART);
            let (remote, name) = (Arc::clone(&self), name.clone());
            pieces.spawn(async move {
                let _permit = remote.gate.acquire().await.map_err(|error| Fault::Local(error.to_string()))?;
                let (bytes, _) = remote.fetch(&name, at..to, LARGE).await?;
                if bytes.len() as u64 == to - at {
                    Ok((at, bytes))
                } else {
                    Err(Fault::Refused("it gave fewer bytes than it was asked for".to_owned()))
                }
            });
            at = to;
        }
        let mut bytes = vec![0; usize::try_from(len).map_err(|error| Fault::Local(error.to_string()))?];
        while let Some(joined) = pieces.join_next().await {
            let (at, piece) = joined.map_err(|error| Fault::Local(error.to_string()))??;
            let at = usize::try_from(at - from).unwrap_or_default();
            bytes[at..at + piece.len()].copy_from_slice(&piece);
        }
        Ok(bytes)
    }

    async fn fetch(&self, name: &str, range: std::ops::Range<u64>, limit: Duration) -> Result<(Vec<u8>, u64), Fault> {
        let mut tries = 0;
        loop {
            tries += 1;
            let request = async {
                let options = GetOptions { range: Some(GetRange::Bounded(range.clone())), ..GetOptions::default() };
                let got = self.store.get_opts(&Name::from(name), options).await?;
                let size = got.meta.size;
                Ok((got.bytes().await?.to_vec(), size))
            };
            match self.within(limit, range.end - range.start, request).await {
                Err(Fault::Transient(_)) if tries < TRIES => {}
                other => return other,
            }
        }
    }

    /// Stores a pack. Nobody sees it before all of it is there.
    pub(super) async fn put_pack(self: Arc<Self>, name: &str, spool: Spool) -> Result<u64, Fault> {
        let size = spool.first.len() as u64 + spool.frames;
        let name = Name::from(name);
        if size <= PART {
            let bytes = spool.read(0..size)?;
            self.within(LARGE, size, self.store.put(&name, PutPayload::from(bytes))).await?;
            return Ok(size);
        }
        let mut upload = self.within(SMALL, 0, self.store.put_multipart(&name)).await?;
        let sent = match Arc::clone(&self).put_parts(upload.as_mut(), spool, size).await {
            Ok(()) => self.within(LARGE, 0, upload.complete()).await.map(|_| size),
            Err(fault) => Err(fault),
        };
        if sent.is_err() {
            // What it leaves costs only room, and the bucket's own rule takes it away.
            let _ = self.within(SMALL, 0, upload.abort()).await;
        }
        sent
    }

    async fn put_parts(
        self: Arc<Self>,
        upload: &mut dyn MultipartUpload,
        spool: Spool,
        size: u64,
    ) -> Result<(), Fault> {
        let mut tasks: JoinSet<Result<(), Fault>> = JoinSet::new();
        let mut at = 0;
        while at < size || !tasks.is_empty() {
            if at < size && tasks.len() < AT_ONCE {
                let to = size.min(at + PART);
                let part = upload.put_part(PutPayload::from(spool.read(at..to)?));
                let remote = Arc::clone(&self);
                tasks.spawn(async move { remote.within(LARGE, to - at, part).await });
                at = to;
            } else if let Some(ended) = tasks.join_next().await {
                ended.map_err(|error| Fault::Local(error.to_string()))??;
            }
        }
        Ok(())
    }
}

impl Spool {
    fn read(&self, range: std::ops::Range<u64>) -> Result<Vec<u8>, Fault> {
        let local = |error: io::Error| Fault::Local(format!("cannot read the pack to send: {error}"));
        let split = self.first.len() as u64;
        let index = |at: u64| usize::try_from(at.min(split)).unwrap_or_default();
        let mut bytes = self.first[index(range.start)..index(range.end)].to_vec();
        let (from, to) = (range.start.saturating_sub(split), range.end.saturating_sub(split));
        if from < to {
            let mut file = File::open(&self.path).map_err(local)?;
            file.seek(SeekFrom::Start(from)).map_err(local)?;
            file.take(to - from).read_to_end(&mut bytes).map_err(local)?;
        }
        let is_whole = bytes.len() as u64 == range.end - range.start;
        if is_whole { Ok(bytes) } else { Err(Fault::Local("the pack to send ends early".to_owned())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spool_is_its_index_and_then_its_frames() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs_err::write(file.path(), "frames and the rest").unwrap();
        let spool = Spool { first: b"index".to_vec(), path: file.path().to_path_buf(), frames: 6 };
        assert_eq!(spool.read(0..11).unwrap(), b"indexframes");
        assert_eq!(spool.read(3..7).unwrap(), b"exfr");
        assert_eq!(spool.read(5..11).unwrap(), b"frames");
        assert_eq!(spool.read(0..2).unwrap(), b"in");
        assert!(spool.read(0..100).is_err());
    }
}
