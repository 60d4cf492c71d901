//! No store at all: a job for which no cache can be reached, and the reason.

use std::path::Path;

use anyhow::{Result, bail};

use super::{Access, Draft, Entry, Permit, Sending, Store, Stored};

#[derive(Debug)]
pub struct NoStore {
    reason: String,
}

impl NoStore {
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

impl Store for NoStore {
    fn access(&self) -> Access {
        let refused = Permit::Refused(self.reason.clone());
        Access { read: refused.clone(), write: refused }
    }

    fn find(&self, _: &str) -> Result<Vec<Entry>> {
        Ok(Vec::new())
    }

    fn size(&self, key: &str) -> Result<u64> {
        bail!("there is no `{key}`: {}", self.reason)
    }

    fn read(&self, key: &str, _: u64, _: u64) -> Result<Vec<u8>> {
        bail!("there is no `{key}`: {}", self.reason)
    }

    fn begin<'a>(&'a self, _: &str, _: &Path, _: Sending) -> Result<Box<dyn Draft + 'a>> {
        bail!("nothing can be stored: {}", self.reason)
    }

    fn list(&self) -> Result<Vec<Stored>> {
        bail!("nothing can be listed: {}", self.reason)
    }

    fn remove(&self, entry: &Stored) -> Result<()> {
        bail!("there is no `{}`: {}", entry.key, self.reason)
    }

    fn describe(&self) -> String {
        "no cache".to_owned()
    }
}
