//! A bucket of an object store as a store: S3 and what speaks like it, Google Cloud Storage, Azure.
//!
//! Packs are named by what they hold and never change, so any number of machines share a bucket without asking each other. What is
//! newest stands in small heads, one for each name and scope. Memory: at most eight pieces of 8 MiB. A store that does not answer
//! is given up for the rest of the command, with one warning.

mod caretaker;
mod connect;
mod draft;
mod fault;
mod head;
mod heads;
mod inner;
mod inventory;
mod layout;
mod location;
mod remote;
mod scope;
mod seen;
mod signature;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};

use self::inner::{Inner, Shared};
use self::layout::Layout;
use self::remote::{Opened, Remote};
use self::scope::{Origin, Reach};
use self::seen::{Located, Seen};
use self::signature::{Keys, Signer};
use super::{Access, Draft, Entry, Sending, Store, Stored};
use crate::digest::Digest;
use crate::github::{Event, PullRequest};
use crate::machine::net::{Engine, Patience};
use crate::problem::Warning;

pub use self::location::{Kind, Location};
pub use self::signature::NewKeys;

/// How exactly it is known when an entry was last of use.
const DAY: i64 = 24 * 60 * 60 * 1000;

#[derive(Debug)]
pub struct ObjectStore {
    engine: Engine,
    inner: Shared,
}

impl ObjectStore {
    /// Opens a bucket for a job with these variables and this event; everything has to be over in `budget`.
    pub fn open(location: &Location, env: &BTreeMap<String, String>, event: &Event, budget: Duration) -> Result<Self> {
        let patience = Patience::from_environment();
        let origin = Origin {
            default_branch: event.repository.default_branch.clone(),
            is_foreign: event.pull_request.as_ref().is_some_and(PullRequest::is_foreign),
        };
        let reach = Reach::of(env, &origin);
        let text = |name: &str| env.get(name).map_or("", |text| text.trim());
        let keys = Keys::read(text("REKINDLE_SIGNING_KEYS")).map_err(|reason| anyhow!(reason))?;
        let secret = Some(text("REKINDLE_SIGNING_SECRET")).filter(|text| !text.is_empty());
        let signer = secret.map(Signer::read).transpose().map_err(|reason| anyhow!(reason))?;
        let client = connect::connect(location, env, patience)?;
        let inner = Inner {
            location: location.clone(),
            remote: Arc::new(Remote::new(client, patience, budget)),
            layout: Layout::new(&location.prefix, &reach.repository),
            reach,
            keys,
            signer,
            unconditional: AtomicBool::new(false),
            state: Mutex::default(),
        };
        Ok(Self { engine: Engine::start()?, inner: Arc::new(inner) })
    }

    /// Which part of the bucket is this job's own, as a relative path: what may not be mixed with that of others.
    pub fn partition(&self) -> String {
        self.inner.layout.zone(self.inner.reach.own.zone)
    }

    /// What is seen of a name, asked for once.
    fn seen(&self, name: &str) -> Result<Arc<Seen>> {
        if let Some(seen) = self.inner.state().seen.get(name) {
            return Ok(Arc::clone(seen));
        }
        self.inner.usable()?;
        let seen = self.engine.wait(Arc::clone(&self.inner).look(name.to_owned()));
        let seen = Arc::new(self.inner.settle(seen)?);
        self.inner.state().seen.insert(name.to_owned(), Arc::clone(&seen));
        Ok(seen)
    }

    /// The object of a pack.
    fn object(&self, key: &str) -> Result<String> {
        let name = layout::name_in(key).with_context(|| format!("`{key}` is no key of this store"))?;
        let located = match self.inner.located(key) {
            Some(located) => Some(located),
            None => self.seen(name)?.packs.get(key).copied(),
        };
        let Located { zone, sha256 } = located.with_context(|| format!("nothing names `{key}`"))?;
        Ok(self.inner.layout.pack(zone, &sha256))
    }

    fn opened(&self, key: &str) -> Result<(String, Arc<Opened>)> {
        let object = self.object(key)?;
        if let Some(opened) = self.inner.state().opened.get(&object) {
            return Ok((object, Arc::clone(opened)));
        }
        self.inner.usable()?;
        let opened = self.engine.wait(self.inner.remote.open(&object));
        let opened = Arc::new(self.inner.settle(opened).with_context(|| format!("cannot open `{key}`"))?);
        self.inner.state().opened.insert(object.clone(), Arc::clone(&opened));
        self.note_use(key);
        Ok((object, opened))
    }

    /// Housekeeping leaves alone what is read, so that is noted once a day, by whoever may.
    pub(super) fn note_use(&self, key: &str) {
        let now = jiff::Timestamp::now().as_millisecond();
        let Some(name) = layout::name_in(key) else { return };
        if !self.inner.state().noted.insert(key.to_owned()) {
            return;
        }
        let used = self.inner.state().seen.get(name).and_then(|seen| seen.used.get(key).copied());
        if self.inner.reach.access.write.refusal().is_some() || used.is_none_or(|used| now.saturating_sub(used) < DAY) {
            return;
        }
        let own = &self.inner.reach.own;
        let object = self.inner.layout.head(own.zone, &own.scope, name);
        let noted = self.engine.wait(Arc::clone(&self.inner).note_use(object, key.to_owned(), now));
        if let Err(fault) = noted {
            tracing::debug!(key, %fault, "it is not noted that this was read");
        }
    }
}

impl Store for ObjectStore {
    fn access(&self) -> Access {
        self.inner.reach.access.clone()
    }

    fn find(&self, prefix: &str) -> Result<Vec<Entry>> {
        let Some(name) = layout::name_in(prefix) else { return Ok(Vec::new()) };
        let seen = self.seen(name)?;
        let keys = seen.entries.iter().map(|entry| entry.key.clone());
        Ok(keys.filter(|key| key.starts_with(prefix)).map(|key| Entry { key }).collect())
    }

    fn size(&self, key: &str) -> Result<u64> {
        Ok(self.opened(key)?.1.size)
    }

    fn read(&self, key: &str, offset: u64, len: u64) -> Result<Vec<u8>> {
        let (object, opened) = self.opened(key)?;
        let end = offset.checked_add(len).filter(|end| *end <= opened.size);
        let end = end.with_context(|| format!("`{key}` ends early"))?;
        if end <= opened.first.len() as u64 {
            return Ok(opened.first[usize::try_from(offset)?..usize::try_from(end)?].to_vec());
        }
        self.inner.usable()?;
        let read = self.engine.wait(Arc::clone(&self.inner.remote).read(object, offset, len));
        self.inner.settle(read).with_context(|| format!("cannot read `{key}`"))
    }

    fn begin<'a>(&'a self, key: &str, room: &Path, _: Sending) -> Result<Box<dyn Draft + 'a>> {
        ensure!(self.inner.reach.access.write.refusal().is_none(), "nothing may be stored here");
        self.inner.usable()?;
        Ok(Box::new(draft::Spooled::begin(&self.engine, &self.inner, key, room)?))
    }

    fn list(&self) -> Result<Vec<Stored>> {
        self.inner.usable()?;
        let listed = self.engine.wait(Arc::clone(&self.inner).inventory());
        let inventory = self.inner.settle(listed).context("the bucket cannot be listed")?;
        let entries = inventory.entries();
        self.inner.state().inventory = inventory;
        Ok(entries)
    }

    fn remove(&self, entry: &Stored) -> Result<()> {
        self.inner.usable()?;
        let removed = self.engine.wait(Arc::clone(&self.inner).remove_entry(entry.place.clone()));
        self.inner.settle(removed).with_context(|| format!("cannot remove `{}`", entry.key))
    }

    fn parents(&self, entry: &Stored) -> Option<BTreeSet<String>> {
        self.inner.state().inventory.parents(&entry.place)
    }

    fn digest(&self, key: &str) -> Option<Digest> {
        self.inner.located(key).map(|located| located.sha256)
    }

    fn confirm(&self, key: &str) -> Result<()> {
        let object = self.object(key)?;
        self.inner.usable()?;
        let exists = self.engine.wait(self.inner.remote.exists(&object));
        self.inner.settle(exists).with_context(|| format!("`{key}` is not there"))
    }

    fn warnings(&self) -> Vec<Warning> {
        self.inner.state().warnings.iter().cloned().collect()
    }

    fn describe(&self) -> String {
        format!("bucket `{}`", self.inner.location)
    }
}
