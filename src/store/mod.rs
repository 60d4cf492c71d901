//! Where packs are kept: immutable entries under names, found by prefix, newest first.
//!
//! A store promises little: entries can vanish between two calls, be cut, or be somebody else's. Whoever reads one checks.

mod dir;

use std::path::Path;

use anyhow::Result;

pub use dir::DirStore;

/// A kind of place to keep packs in.
pub trait Store: Send + Sync + std::fmt::Debug {
    /// Keys that start with `prefix`, newest first.
    fn find(&self, prefix: &str) -> Result<Vec<Entry>>;

    /// The size of an entry.
    fn size(&self, key: &str) -> Result<u64>;

    /// `len` bytes from `offset`; fewer is an error.
    fn read(&self, key: &str, offset: u64, len: u64) -> Result<Vec<u8>>;

    /// Stores a finished file. An entry of that key that is already there stays as it is.
    fn put(&self, key: &str, file: &Path) -> Result<Put>;

    /// Removes an entry; one that is not there is no error.
    fn remove(&self, key: &str) -> Result<()>;

    /// Where it is, for people.
    fn describe(&self) -> String;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    pub bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    Stored,
    /// Somebody stored the same state first.
    AlreadyThere,
}
