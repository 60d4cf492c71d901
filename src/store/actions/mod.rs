//! GitHub's cache service as a store, v2 or v1.
//!
//! Memory: one block of 4 MiB or range of 8 MiB per request in flight, eight at a time, never a whole pack. The first
//! fault that will not pass gives the service up for the rest of the command: a miss, or nothing saved, never a failed job.

mod blob;
mod fault;
mod listed;
mod retry;
mod rpc;
mod service;
mod signed;
mod token;
mod upload;

use std::collections::HashMap;
use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::blob::Fetched;
use self::fault::Fault;
use self::retry::{Limits, Retry};
use self::rpc::Match;
use self::signed::SignedUrl;
use super::{Access, Draft, Entry, Sending, Store, Stored};
use crate::machine::net::{Engine, Net};
use crate::problem::GivenUp;

pub use self::listed::ListedStore;
pub use self::service::{Absence, Service};

/// The first request for an entry: most indexes end within it.
const HEAD: u64 = 1 << 20;
const PIECE: u64 = 8 << 20;
const AT_ONCE: usize = 8;
/// A url this close to its end is renewed first.
const NEARLY_OVER: Duration = Duration::from_secs(15);
const RENEWALS: u32 = 2;

#[derive(Debug)]
pub struct ActionsStore {
    engine: Engine,
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    net: Net,
    service: Service,
    limits: Limits,
    gate: Semaphore,
    given_up: Mutex<Option<GivenUp>>,
    /// Urls that lookups gave out.
    urls: Mutex<HashMap<String, SignedUrl>>,
    blobs: Mutex<HashMap<String, Arc<Blob>>>,
}

/// An entry that has been opened.
#[derive(Debug)]
struct Blob {
    key: String,
    link: tokio::sync::Mutex<Link>,
    size: u64,
    etag: Option<String>,
    head: Vec<u8>,
    /// All of it, where the server knows no ranges.
    whole: Option<Mutex<File>>,
}

#[derive(Debug)]
struct Link {
    url: SignedUrl,
    /// Since a range came.
    renewals: u32,
    /// Before its end, which a clock that is wrong may see in each url.
    early: u32,
}

impl ActionsStore {
    /// Opens the service; everything that is asked of it has to be over in `budget`.
    pub fn open(service: Service, budget: Duration) -> Result<Self> {
        let inner = Inner {
            net: Net::new(budget)?,
            service,
            limits: Limits::default(),
            gate: Semaphore::new(AT_ONCE),
            given_up: Mutex::default(),
            urls: Mutex::default(),
            blobs: Mutex::default(),
        };
        Ok(Self { engine: Engine::start()?, inner: Arc::new(inner) })
    }

    fn blob(&self, key: &str) -> Result<Arc<Blob>> {
        if let Some(blob) = lock(&self.inner.blobs).get(key) {
            return Ok(Arc::clone(blob));
        }
        self.inner.usable()?;
        let opened = self.engine.wait(self.inner.open(key));
        let blob = Arc::new(self.inner.settle(opened).with_context(|| format!("cannot open `{key}`"))?);
        lock(&self.inner.blobs).insert(key.to_owned(), Arc::clone(&blob));
        Ok(blob)
    }
}

impl Store for ActionsStore {
    fn access(&self) -> Access {
        self.inner.service.access.clone()
    }

    fn find(&self, prefix: &str) -> Result<Vec<Entry>> {
        if self.inner.service.access.read.refusal().is_some() {
            return Ok(Vec::new());
        }
        self.inner.usable()?;
        let found = self.engine.wait(self.inner.lookup(prefix));
        let found = self.inner.settle(found)?;
        Ok(found
            .into_iter()
            .map(|Match { key, url }| {
                lock(&self.inner.urls).insert(key.clone(), url);
                Entry { key }
            })
            .collect())
    }

    fn size(&self, key: &str) -> Result<u64> {
        Ok(self.blob(key)?.size)
    }

    fn read(&self, key: &str, offset: u64, len: u64) -> Result<Vec<u8>> {
        let blob = self.blob(key)?;
        let end = offset.checked_add(len).filter(|end| *end <= blob.size);
        let end = end.with_context(|| format!("`{key}` ends early"))?;
        if end <= blob.head.len() as u64 {
            return Ok(blob.head[usize::try_from(offset)?..usize::try_from(end)?].to_vec());
        }
        if let Some(file) = &blob.whole {
            let mut file = lock(file);
            let mut bytes = vec![0; usize::try_from(len)?];
            file.seek(SeekFrom::Start(offset))?;
            file.read_exact(&mut bytes)?;
            return Ok(bytes);
        }
        self.inner.usable()?;
        let read = self.engine.wait(Arc::clone(&self.inner).read(blob, offset, len));
        self.inner.settle(read).with_context(|| format!("cannot read `{key}`"))
    }

    fn begin<'a>(&'a self, key: &str, room: &Path, sending: Sending) -> Result<Box<dyn Draft + 'a>> {
        ensure!(self.inner.service.access.write.refusal().is_none(), "nothing may be stored here");
        self.inner.usable()?;
        Ok(Box::new(upload::Upload::begin(&self.engine, &self.inner, key, room, sending)?))
    }

    fn list(&self) -> Result<Vec<Stored>> {
        bail!("the cache service lists nothing: only GitHub's REST interface does")
    }

    fn remove(&self, _: &Stored) -> Result<()> {
        bail!("the cache service removes nothing: only GitHub's REST interface does")
    }

    fn describe(&self) -> String {
        "cache service".to_owned()
    }
}

impl Inner {
    fn usable(&self) -> Result<(), GivenUp> {
        lock(&self.given_up).clone().map_or(Ok(()), Err)
    }

    /// Turns a fault into an error, and remembers one after which there is no point in asking again.
    fn settle<T>(&self, result: Result<T, Fault>) -> Result<T> {
        result.map_err(|fault| {
            if !fault.is_final() {
                return anyhow!(fault);
            }
            lock(&self.given_up).get_or_insert_with(|| GivenUp { reason: fault.to_string() }).clone().into()
        })
    }

    /// The same for whoever writes and knows no other errors.
    fn failure(&self, fault: Fault) -> io::Error {
        let Err(error) = self.settle::<Infallible>(Err(fault));
        // Its causes are those of what stands in it.
        io::Error::other(error.context("it cannot be sent"))
    }

    async fn lookup(&self, key: &str) -> Result<Option<Match>, Fault> {
        let mut attempts = retry::LOOKUP.begin(&self.net, &self.limits, 0);
        loop {
            match attempts.within(rpc::lookup(&self.net, &self.service, key)).await {
                Ok(found) => return Ok(found),
                Err(fault) => attempts.pause(fault).await?,
            }
        }
    }

    /// The url of exactly this entry.
    async fn locate(&self, key: &str) -> Result<SignedUrl, Fault> {
        let found = self.lookup(key).await?.filter(|found| found.key.eq_ignore_ascii_case(key));
        Ok(found.ok_or(Fault::Gone)?.url)
    }

    async fn open(&self, key: &str) -> Result<Blob, Fault> {
        let known = lock(&self.urls).get(key).cloned();
        let mut url = match known {
            Some(url) => url,
            None => self.locate(key).await?,
        };
        let mut head = Vec::new();
        let mut renewals = 0;
        let fetched = loop {
            match self.fetch(retry::OPEN, &url, (0, HEAD), None, &mut head).await {
                Err(Fault::Expired) if renewals < RENEWALS => {
                    renewals += 1;
                    url = self.locate(key).await?;
                }
                other => break other?,
            }
        };
        let (described, whole) = match fetched {
            Fetched::Range(described) => (described, None),
            Fetched::Whole => {
                let mut file = tempfile::tempfile().map_err(|error| Fault::Local(error.to_string()))?;
                let size = self.fetch_whole(&url, &mut file).await?;
                (blob::Described { size, etag: None }, Some(Mutex::new(file)))
            }
        };
        let link = tokio::sync::Mutex::new(Link { url, renewals, early: 0 });
        Ok(Blob { key: key.to_owned(), link, size: described.size, etag: described.etag, head, whole })
    }

    /// Ranges of one entry, side by side.
    async fn read(self: Arc<Self>, blob: Arc<Blob>, offset: u64, len: u64) -> Result<Vec<u8>, Fault> {
        let mut pieces = JoinSet::new();
        let end = offset + len;
        let mut from = offset;
        while from < end {
            let piece = PIECE.min(end - from);
            let (inner, blob) = (Arc::clone(&self), Arc::clone(&blob));
            pieces.spawn(async move { (from, inner.piece(&blob, from, piece).await) });
            from += piece;
        }
        let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
        while let Some(joined) = pieces.join_next().await {
            let (from, piece) = joined.map_err(|error| Fault::Local(error.to_string()))?;
            let piece = piece?;
            let at = usize::try_from(from - offset).unwrap_or_default();
            bytes[at..at + piece.len()].copy_from_slice(&piece);
        }
        Ok(bytes)
    }

    async fn piece(&self, blob: &Blob, from: u64, len: u64) -> Result<Vec<u8>, Fault> {
        let _permit = self.gate.acquire().await.map_err(|error| Fault::Local(error.to_string()))?;
        let mut bytes = Vec::new();
        loop {
            let url = self.link(blob).await?;
            match self.fetch(retry::FETCH, &url, (from, len), blob.etag.as_deref(), &mut bytes).await {
                Ok(Fetched::Range(_)) => {
                    blob.link.lock().await.renewals = 0;
                    return Ok(bytes);
                }
                Ok(Fetched::Whole) => return Err(Fault::Changed),
                Err(Fault::Expired) => self.renew(blob, &url).await?,
                Err(fault) => return Err(fault),
            }
        }
    }

    /// A range, tried until it is there; what has arrived is not asked for again.
    async fn fetch(
        &self,
        retry: Retry,
        url: &SignedUrl,
        (from, len): (u64, u64),
        etag: Option<&str>,
        into: &mut Vec<u8>,
    ) -> Result<Fetched, Fault> {
        let mut attempts = retry.begin(&self.net, &self.limits, len);
        loop {
            match attempts.within(blob::fetch(&self.net, url, from, len, etag, into)).await {
                Ok(fetched) => return Ok(fetched),
                Err(fault) => attempts.pause(fault).await?,
            }
        }
    }

    async fn fetch_whole(&self, url: &SignedUrl, file: &mut File) -> Result<u64, Fault> {
        // Nobody knows the size: as long as enough bytes keep coming, only the budget ends it.
        let mut attempts = retry::FETCH.begin(&self.net, &self.limits, u64::MAX / 2);
        loop {
            match attempts.within(blob::fetch_whole(&self.net, url, file)).await {
                Ok(size) => return Ok(size),
                Err(fault) => attempts.pause(fault).await?,
            }
        }
    }

    /// The url to use now, renewed when its end is near.
    async fn link(&self, blob: &Blob) -> Result<SignedUrl, Fault> {
        let url = blob.link.lock().await.url.clone();
        if url.good_for().is_some_and(|left| left < self.net.patience.of(NEARLY_OVER)) {
            let mut link = blob.link.lock().await;
            let is_first = link.url == url && link.early < RENEWALS;
            link.early += u32::from(is_first);
            drop(link);
            // One that cannot be renewed may still do.
            if is_first {
                let _ = self.renew(blob, &url).await;
            }
            return Ok(blob.link.lock().await.url.clone());
        }
        Ok(url)
    }

    /// Asks for a new url in place of `old`, unless another request has done so already.
    async fn renew(&self, blob: &Blob, old: &SignedUrl) -> Result<(), Fault> {
        let mut link = blob.link.lock().await;
        if link.url != *old {
            return Ok(());
        }
        if link.renewals >= RENEWALS {
            return Err(Fault::Expired);
        }
        link.renewals += 1;
        link.url = self.locate(&blob.key).await?;
        Ok(())
    }
}

/// A panic elsewhere leaves these values as they were.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
