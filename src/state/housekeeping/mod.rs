//! Which entries of a store go and which stay, as values: a plan and its reasons. Pure.
//!
//! How it can be wrong: what it is told. A list that lacks an entry lacks what that entry refers to, so a list that is not whole is
//! never planned with; an entry whose manifest nobody could read is taken to need whatever it could have seen.

mod kinship;
mod life;
mod plan;
#[cfg(test)]
mod proof;
pub mod stock;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

pub use kinship::Kind;
pub use plan::{plan, wanted};

use crate::moment::Moment;

/// The newest entries of one ref, name and hard part that a job can start from: as many as a restore compares.
pub const FEW: usize = 4;
/// The same counted by soft parts, of which the newest entry each: for whoever changes back and forth between lock files.
pub const SOFTS: usize = 2;

/// What housekeeping goes by.
#[derive(Clone, Debug)]
pub struct Policy {
    pub now: Moment,
    /// Longer than any job that may be under way: whatever was of use within it stays.
    pub grace: Duration,
    /// What no job has used for so long is no longer needed.
    pub idle: Duration,
    /// Refs that are gone: closed pull requests, deleted branches.
    pub dead: BTreeSet<String>,
    /// Bytes that may stay, as far as what is in use leaves a choice.
    pub budget: Option<u64>,
    /// Entries, by key, that jobs under way have said they build on.
    pub held: BTreeSet<String>,
}

/// The packs that an entry's manifest refers to, by key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parents {
    Known(BTreeSet<String>),
    /// It cannot be read from here: another ref's, damaged, or there was no time.
    Unreadable,
}

/// The parents of entries, by their place in the list.
pub type Kin = BTreeMap<usize, Parents>;

/// What becomes of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    Stays(Keep),
    Goes(Reason),
}

/// Why one stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keep {
    /// A job can start from it, or could within the grace period.
    Live,
    /// The manifest of this live entry refers to it.
    ReferredTo { by: String },
    /// A job that is under way builds on it.
    Held,
    /// It was stored or read within the grace period.
    Recent,
    /// Nobody here can read this live entry, which may refer to it.
    Unsure { of: String },
    /// Others of its lineage stay, and without it they would be worth nothing.
    Lineage,
    /// The newest seed of its hard part.
    Seed,
    /// Of another version of Rekindle.
    OtherFormat,
}

/// Why one goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The pull request is closed, or the branch deleted.
    DeadScope,
    /// The base that it builds on is gone.
    Orphan,
    /// Nothing in the bucket names it.
    Unnamed,
    /// Newer entries have taken its place.
    Superseded,
    /// Nobody has used it for long.
    Idle,
    /// There is a newer seed.
    OldSeed,
    /// The least recently used, while all was too large.
    OverBudget,
}

/// What becomes of every entry, in the order of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub fates: Vec<Fate>,
}

impl Plan {
    pub fn goes(&self) -> impl Iterator<Item = (usize, Reason)> {
        self.fates.iter().enumerate().filter_map(|(at, fate)| match fate {
            Fate::Goes(reason) => Some((at, *reason)),
            Fate::Stays(_) => None,
        })
    }
}

/// What housekeeping after a save came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Pruned {
    /// Nothing was stored, so nothing has become superfluous.
    #[default]
    NotDue,
    /// So many entries of so many bytes went, and so many that should have gone are still there.
    Done { entries: usize, bytes: u64, left: usize },
    /// The store does not let this job, and why.
    NotAllowed(String),
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Live => f.write_str("a job can start from it"),
            Self::ReferredTo { by } => write!(f, "`{by}` refers to it"),
            Self::Held => f.write_str("a job that is under way builds on it"),
            Self::Recent => f.write_str("it was used within the grace period"),
            Self::Unsure { of } => write!(f, "`{of}`, which cannot be read from here, may refer to it"),
            Self::Lineage => f.write_str("others of its lineage stay"),
            Self::Seed => f.write_str("the newest seed of its kind"),
            Self::OtherFormat => f.write_str("another version of Rekindle stored it"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DeadScope => "its pull request is closed or its branch deleted",
            Self::Orphan => "the base that it builds on is gone",
            Self::Unnamed => "nothing names it any more",
            Self::Superseded => "newer entries have taken its place",
            Self::Idle => "nobody has used it for long",
            Self::OldSeed => "there is a newer seed",
            Self::OverBudget => "it is the least recently used, and all is too large",
        })
    }
}
