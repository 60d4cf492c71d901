//! What an entry may take: what somebody wished, or what the disk has room for. Pure.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::words;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Limit {
    /// Bytes.
    pub limit: u64,
    #[serde(default)]
    pub of: Bound,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    #[default]
    MaxSize,
    /// Where the entry is made.
    Disk,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = words::size(self.limit);
        match self.of {
            Bound::MaxSize => write!(f, "`max-size` ({size})"),
            Bound::Disk => write!(f, "the disk ({size} to spare)"),
        }
    }
}
