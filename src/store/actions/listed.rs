//! The cache service beside GitHub's REST interface: what the one cannot do, list and remove, the other does.
//!
//! How it can be wrong: the interface shows an entry some seconds late. What it does not show yet is young, and nothing that is
//! young is removed.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use octocrab::models::actions::ActionsCacheItem;

use crate::github::Repository;
use crate::moment::Moment;
use crate::store::{Access, Draft, Entry, Sending, Store, Stored};

#[derive(Debug)]
pub struct ListedStore {
    pub service: Box<dyn Store>,
    pub repository: Arc<Repository>,
}

impl Store for ListedStore {
    fn access(&self) -> Access {
        self.service.access()
    }

    fn find(&self, prefix: &str) -> Result<Vec<Entry>> {
        self.service.find(prefix)
    }

    fn size(&self, key: &str) -> Result<u64> {
        self.service.size(key)
    }

    fn read(&self, key: &str, offset: u64, len: u64) -> Result<Vec<u8>> {
        self.service.read(key, offset, len)
    }

    fn begin<'a>(&'a self, key: &str, room: &Path, sending: Sending) -> Result<Box<dyn Draft + 'a>> {
        self.service.begin(key, room, sending)
    }

    fn list(&self) -> Result<Vec<Stored>> {
        let entries = self.repository.cache_entries("rekindle.").context("the entries cannot be listed")?;
        entries.into_iter().map(|entry| stored(entry).context("an entry has no time")).collect()
    }

    fn remove(&self, entry: &Stored) -> Result<()> {
        Ok(self.repository.remove_cache_entry(&entry.place)?)
    }

    fn describe(&self) -> String {
        "cache of this repository".to_owned()
    }
}

fn stored(entry: ActionsCacheItem) -> Option<Stored> {
    let created = Moment::from_nanos(entry.created_at.timestamp_nanos_opt()?);
    let used = Moment::from_nanos(entry.last_accessed_at.timestamp_nanos_opt()?);
    let bytes = u64::try_from(entry.size_in_bytes).unwrap_or_default();
    let (key, scope, place) = (entry.key, entry.r#ref, entry.id.to_string());
    Some(Stored { key, scope, bytes, created, used: used.max(created), zone: None, place })
}
