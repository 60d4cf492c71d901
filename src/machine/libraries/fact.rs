//! What pins a library, as a manifest holds it. Pure.

use serde::{Deserialize, Serialize};

/// A file outside the target that is linked, and what pins it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LibraryFact {
    pub file: String,
    /// The distribution package that owns it, if one does.
    pub owner: Option<String>,
    /// That package's version, else the file's content id.
    pub version: String,
}
