//! What a file is besides its content and times. Pure.

use serde::{Deserialize, Serialize};

/// What a file is besides its content and times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shell {
    pub inode: u64,
    pub mode: u32,
    pub owner: u32,
    pub group: u32,
    pub links: u64,
}
