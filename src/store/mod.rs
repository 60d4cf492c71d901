//! Where packs are kept: immutable entries under names, found by prefix, newest first.
//!
//! A store promises little: entries can vanish between two calls, be cut, or be somebody else's. Whoever reads one checks.

pub mod actions;
mod dir;
mod none;
pub mod object;
mod open;
mod tiers;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::machine::room;
use crate::problem::Warning;
use crate::state::manifest::Parent;

pub use dir::DirStore;
pub use none::NoStore;
pub use open::{before, bucket, open};

pub use crate::state::stored::Stored;

/// Which store somebody wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreInput {
    Dir(PathBuf),
    /// The cache service of the runner.
    Actions,
    /// A bucket of an object store.
    Object(object::Location),
    /// A folder of this machine in front of one.
    Tiers(PathBuf, object::Location),
}

/// A kind of place to keep packs in.
pub trait Store: Send + Sync + std::fmt::Debug {
    /// What this job may do here, known before any work is done.
    fn access(&self) -> Access;

    /// Keys that start with `prefix`, newest first. A service may name only the newest.
    fn find(&self, prefix: &str) -> Result<Vec<Entry>>;

    /// The size of an entry.
    fn size(&self, key: &str) -> Result<u64>;

    /// `len` bytes from `offset`; fewer is an error.
    fn read(&self, key: &str, offset: u64, len: u64) -> Result<Vec<u8>>;

    /// Begins an entry whose bytes are still being made. What has to lie somewhere until then lies in `room`, a folder of this
    /// job's own.
    fn begin<'a>(&'a self, key: &str, room: &Path, sending: Sending) -> Result<Box<dyn Draft + 'a>>;

    /// Bytes that an entry may take while it is being made, where that is known. `room` is as for `begin`.
    fn room(&self, room: &Path) -> Option<u64> {
        room::left(room)
    }

    /// Every entry that is Rekindle's, whoever stored it, in no order. For housekeeping: it may take many requests. A list that is
    /// not whole is an error.
    fn list(&self) -> Result<Vec<Stored>>;

    /// Takes an entry away that `list` named. One that is gone already is no error.
    fn remove(&self, entry: &Stored) -> Result<()>;

    /// The keys of all that an entry of the last `list` refers to, where the store knows them without opening it.
    fn parents(&self, _entry: &Stored) -> Option<BTreeSet<String>> {
        None
    }

    /// The digest of the index that an entry has to have, where the store knows it. Whoever opens the entry compares.
    fn digest(&self, _key: &str) -> Option<Digest> {
        None
    }

    /// Whether an entry lies where others find it, too, if that is not where it is read here.
    fn confirm(&self, _key: &str) -> Result<()> {
        Ok(())
    }

    /// Hears that the bytes of an entry are not what they have to be. Whether others may come of reading them once more.
    fn distrust(&self, _key: &str) -> bool {
        false
    }

    /// What went wrong so far and made no call fail.
    fn warnings(&self) -> Vec<Warning> {
        Vec::new()
    }

    /// Where it is, for people.
    fn describe(&self) -> String;
}

/// An entry that is being made: the frames of a pack are written to it. Nobody sees it before it is finished, and one that is
/// dropped has never been.
pub trait Draft: Write {
    /// Says what the entry holds, for a store that names things by content; before it is finished.
    fn tell(&mut self, _about: About) {}

    /// Adds what comes behind the frames, and stores the whole. An entry of that key that is already there stays as it is.
    fn finish(self: Box<Self>, tail: &[u8]) -> Result<Put>;
}

/// What a store may want to know of an entry.
#[derive(Clone, Debug)]
pub struct About {
    /// The digest of its index.
    pub sha256: Digest,
    /// The packs that it refers to.
    pub parents: Vec<Parent>,
}

/// Whether bytes may leave before it is known that there will be an entry. A name that was reserved for nothing stays so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sending {
    AsTheyCome,
    WhenComplete,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    Stored,
    /// Somebody stored the same state first.
    AlreadyThere,
    /// Somebody holds the name of the same state, and nothing is to be seen under it yet.
    Reserved,
}

/// What may be done, and why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    pub read: Permit,
    pub write: Permit,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permit {
    Granted,
    Refused(String),
}

impl Access {
    pub const FULL: Self = Self { read: Permit::Granted, write: Permit::Granted };
}

impl Permit {
    pub fn refusal(&self) -> Option<&str> {
        match self {
            Self::Granted => None,
            Self::Refused(reason) => Some(reason),
        }
    }
}
