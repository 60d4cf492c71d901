//! A folder of this machine in front of a bucket: what comes from the bucket stays in the folder, and what is saved goes to both.
//!
//! The bucket says what there is, and by which digest; the folder says so only when the bucket does not answer. Each zone has a
//! part of the folder of its own, so that nobody finds there what the bucket would not show him. How it can be wrong: whoever may
//! write to the folder can put anything there; it is for machines whose jobs trust each other.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use fs_err as fs;

use super::object::ObjectStore;
use super::{About, Access, DirStore, Draft, Entry, Put, Sending, Store, Stored};
use crate::digest::Digest;
use crate::machine::disk;
use crate::problem::{GivenUp, Warning, Warnings};

/// What is copied at once.
const PIECE: u64 = 32 << 20;

#[derive(Debug)]
pub(super) struct TierStore {
    near: DirStore,
    far: ObjectStore,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What could not be copied: it is read where it lies.
    only_far: BTreeSet<String>,
    /// What lay in the folder with other bytes.
    distrusted: BTreeSet<String>,
    warnings: Warnings,
}

/// The part of the folder in which a job keeps what it has of the bucket.
pub(super) fn part(folder: &Path, far: &ObjectStore) -> PathBuf {
    folder.join(far.partition())
}

impl TierStore {
    pub(super) fn new(folder: &Path, far: ObjectStore) -> Self {
        let part = part(folder, &far);
        // The rights of the folder itself say who may share it. A save that finds no part says why.
        let _ = disk::make_private(folder).and_then(|()| fs::create_dir_all(&part));
        let near = DirStore::new(part);
        Self { near, far, state: Mutex::default() }
    }

    /// A panic elsewhere leaves these values as they were.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn warn(&self, what: &str, error: &anyhow::Error) {
        self.state().warnings.fault(what, error);
    }

    /// Where an entry is read from: the folder, once it is there.
    fn holder(&self, key: &str) -> Result<&dyn Store> {
        let is_only_far = self.state().only_far.contains(key);
        if !is_only_far && self.near.size(key).is_ok() {
            self.far.note_use(key);
            return Ok(&self.near);
        }
        let size = self.far.size(key)?;
        if !is_only_far {
            match self.fill(key, size)? {
                Ok(()) => return Ok(&self.near),
                Err(error) => {
                    self.warn("the folder before the bucket does not take what is read", &error);
                    self.state().only_far.insert(key.to_owned());
                }
            }
        }
        Ok(&self.far)
    }

    /// Copies an entry. The inner fault is the folder's.
    fn fill(&self, key: &str, size: u64) -> Result<Result<()>> {
        let mut draft = match self.near.begin(key, Path::new(""), Sending::WhenComplete) {
            Ok(draft) => draft,
            Err(error) => return Ok(Err(error)),
        };
        let mut at = 0;
        while at < size {
            let len = PIECE.min(size - at);
            if let Err(error) = draft.write_all(&self.far.read(key, at, len)?) {
                return Ok(Err(error.into()));
            }
            at += len;
        }
        Ok(draft.finish(&[]).map(|_| ()))
    }
}

impl Store for TierStore {
    /// Where nothing may be stored in the bucket, nothing may in the folder.
    fn access(&self) -> Access {
        self.far.access()
    }

    fn find(&self, prefix: &str) -> Result<Vec<Entry>> {
        match self.far.find(prefix) {
            Ok(entries) => Ok(entries),
            Err(error) => {
                let entries = self.near.find(prefix).unwrap_or_default();
                if entries.is_empty() {
                    return Err(error);
                }
                self.warn("only what the folder holds is seen", &error);
                Ok(entries)
            }
        }
    }

    fn size(&self, key: &str) -> Result<u64> {
        self.holder(key)?.size(key)
    }

    fn read(&self, key: &str, offset: u64, len: u64) -> Result<Vec<u8>> {
        let read = self.holder(key)?.read(key, offset, len);
        // A job of this machine may have taken it out of the folder in between.
        if read.is_err() && self.near.size(key).is_err() { self.far.read(key, offset, len) } else { read }
    }

    fn begin<'a>(&'a self, key: &str, room: &Path, sending: Sending) -> Result<Box<dyn Draft + 'a>> {
        let both = [self.near.begin(key, room, sending), self.far.begin(key, room, sending)];
        let mut drafts: Vec<Box<dyn Draft + 'a>> = Vec::new();
        for begun in both {
            match begun {
                Ok(draft) => drafts.push(draft),
                Err(error) if drafts.is_empty() && self.far.access().write.refusal().is_some() => return Err(error),
                Err(error) => self.warn("the save goes to one place only", &error),
            }
        }
        Ok(Box::new(Twice { store: self, drafts }))
    }

    fn room(&self, room: &Path) -> Option<u64> {
        self.near.room(room).into_iter().chain(self.far.room(room)).min()
    }

    fn list(&self) -> Result<Vec<Stored>> {
        self.far.list()
    }

    fn remove(&self, entry: &Stored) -> Result<()> {
        self.far.remove(entry)
    }

    fn parents(&self, entry: &Stored) -> Option<BTreeSet<String>> {
        self.far.parents(entry)
    }

    fn digest(&self, key: &str) -> Option<Digest> {
        self.far.digest(key)
    }

    fn confirm(&self, key: &str) -> Result<()> {
        match self.far.confirm(key) {
            // Whoever looks there now finds nothing at all.
            Err(error) if GivenUp::in_chain(&error).is_some() => Ok(()),
            confirmed => confirmed,
        }
    }

    /// What lies in the folder is a copy, which can be had anew.
    fn distrust(&self, key: &str) -> bool {
        if self.near.size(key).is_ok()
            && self.state().distrusted.insert(key.to_owned())
            && self.near.forget(key).is_err()
        {
            self.state().only_far.insert(key.to_owned());
        }
        self.state().distrusted.contains(key)
    }

    fn warnings(&self) -> Vec<Warning> {
        let mut warnings = self.state().warnings.clone();
        warnings.extend(self.far.warnings());
        warnings.iter().cloned().collect()
    }

    fn describe(&self) -> String {
        format!("{} and {}", self.near.describe(), self.far.describe())
    }
}

/// An entry that goes to as many places as take it, the nearest first.
struct Twice<'a> {
    store: &'a TierStore,
    drafts: Vec<Box<dyn Draft + 'a>>,
}

impl Write for Twice<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut last = None;
        let store = self.store;
        self.drafts.retain_mut(|draft| match draft.write_all(bytes) {
            Ok(()) => true,
            Err(error) => {
                last = Some(error);
                false
            }
        });
        match (last, self.drafts.is_empty()) {
            (Some(error), true) => return Err(error),
            (Some(error), false) => store.warn("the save goes to one place only", &error.into()),
            (None, _) => {}
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.drafts.iter_mut().try_for_each(Write::flush)
    }
}

impl Draft for Twice<'_> {
    fn tell(&mut self, about: About) {
        self.drafts.iter_mut().for_each(|draft| draft.tell(about.clone()));
    }

    fn finish(self: Box<Self>, tail: &[u8]) -> Result<Put> {
        let mut put: Option<Put> = None;
        let mut fault = None;
        for draft in self.drafts {
            match draft.finish(tail) {
                // The farthest is the one that others see.
                Ok(done) => put = Some(done),
                Err(error) => fault = Some(error),
            }
        }
        match (put, fault) {
            (Some(put), None) => Ok(put),
            (Some(put), Some(error)) => {
                self.store.warn("the save went to one place only", &error);
                Ok(put)
            }
            (None, fault) => Err(fault.context("there is no place to store it")?),
        }
    }
}
