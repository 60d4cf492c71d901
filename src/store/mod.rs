//! Where packs are kept: immutable entries under names, found by prefix, newest first.
//!
//! A store promises little: entries can vanish between two calls, be cut, or be somebody else's. Whoever reads one checks.

pub mod actions;
mod dir;
mod none;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use self::actions::{Absence, ActionsStore, Service};
use crate::job::inputs::StoreInput;
use crate::problem::Warning;

pub use dir::DirStore;
pub use none::NoStore;

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

    /// Stores a finished pack. An entry of that key that is already there stays as it is.
    fn put(&self, key: &str, pack: &PackFile) -> Result<Put>;

    /// Where it is, for people.
    fn describe(&self) -> String;
}

/// A finished pack on disk. Stores that take it in pieces put the index first, where one request finds it.
#[derive(Clone, Debug)]
pub struct PackFile {
    pub path: PathBuf,
    /// Where the index begins: everything from here to the end.
    pub index_at: u64,
    pub bytes: u64,
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

/// Opens a store, whose work has to be over in `budget`. One that cannot be reached is no store, with a warning unless
/// somebody wants it so.
pub fn open(input: &StoreInput, budget: Duration) -> (Box<dyn Store>, Option<Warning>) {
    let none =
        |reason: &str, warning: Option<Warning>| -> (Box<dyn Store>, _) { (Box::new(NoStore::new(reason)), warning) };
    match input {
        StoreInput::Dir(dir) => (Box::new(DirStore::new(dir.clone())), None),
        StoreInput::Actions => {
            match Service::choose(&crate::job::handover::environment(), jiff::Timestamp::now().as_second()) {
                Ok(service) => match ActionsStore::open(service, budget) {
                    Ok(store) => (Box::new(store), None),
                    Err(error) => none("it cannot be asked", Some(Warning::of("the cache service", &error))),
                },
                Err(Absence::Wished(reason)) => none(&reason, None),
                Err(Absence::Fault(reason)) => {
                    none(&reason, Some(Warning::new(format!("there is no cache: {reason}"))))
                }
            }
        }
    }
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
