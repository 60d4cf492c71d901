//! What a manifest says about one file: what it is, and where its bytes lie, whole or as what makes it of an older version. Pure.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::moment::Moment;

/// A file that is stored as what makes it of an older one, and each version of it.
pub const MAX_PATCHED: u64 = 128 << 20;
/// Smaller ones are not worth it.
pub const LEAST_PATCHED: u64 = 64 << 10;
/// Versions that such a file goes through.
pub const MAX_VERSIONS: usize = 8;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileEntry {
    pub root: usize,
    pub path: String,
    pub mtime: Moment,
    /// The unit that is lost when this file is; none for files that belong to nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<usize>,
    #[serde(flatten)]
    pub content: Content,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Content {
    File {
        size: u64,
        mode: u32,
        sha256: Digest,
        at: Location,
        /// What lies there is not the file, but what makes it of an older one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        patch: Option<Box<Patch>>,
    },
    /// Another name of the file with this index.
    HardLink {
        to: usize,
    },
    Symlink {
        to: String,
    },
    Folder {
        mode: u32,
    },
}

/// Where a file's bytes start: `pack` 0 is the pack that carries the manifest, `n` is parent `n - 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Location {
    pub pack: usize,
    pub frame: usize,
    pub offset: u64,
}

/// How a file comes out of older versions of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patch {
    /// Bytes that it takes up.
    pub stored: u64,
    /// Oldest first. The first one lies in its pack as it was, each other one as what makes it of the one before.
    pub onto: Vec<Version>,
}

/// A file as it once was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    pub at: Location,
    /// Bytes that it takes up there.
    pub stored: u64,
    pub size: u64,
}

impl FileEntry {
    pub fn size(&self) -> u64 {
        match self.content {
            Content::File { size, .. } => size,
            Content::HardLink { .. } | Content::Symlink { .. } | Content::Folder { .. } => 0,
        }
    }

    /// Whether what is different of it may be worth storing on its own.
    pub fn may_be_patched(&self) -> bool {
        matches!(&self.content, Content::File { size, .. } if (LEAST_PATCHED..=MAX_PATCHED).contains(size))
    }

    /// Whether another version may be stored as what is different: it has the size, and has not changed too often already.
    pub fn may_be_built_on(&self) -> bool {
        let Content::File { patch, .. } = &self.content else { return false };
        self.may_be_patched() && patch.as_ref().map_or(0, |patch| patch.onto.len()) < MAX_VERSIONS
    }

    /// The bytes that it takes up in its pack.
    pub fn stored(&self) -> u64 {
        match &self.content {
            Content::File { patch: Some(patch), .. } => patch.stored,
            _ => self.size(),
        }
    }

    /// What has to be read to have it: which packs hold how many bytes of it.
    pub fn pieces(&self) -> Vec<(Location, u64)> {
        let Content::File { at, patch, .. } = &self.content else { return Vec::new() };
        let older = patch.iter().flat_map(|patch| &patch.onto).map(|version| (version.at, version.stored));
        older.chain([(*at, self.stored())]).collect()
    }

    /// Everything of it that says in which pack something lies.
    pub fn locations(&mut self) -> impl Iterator<Item = &mut Location> {
        let (at, patch) = match &mut self.content {
            Content::File { at, patch, .. } => (Some(at), patch.as_mut()),
            Content::HardLink { .. } | Content::Symlink { .. } | Content::Folder { .. } => (None, None),
        };
        at.into_iter().chain(patch.into_iter().flat_map(|patch| &mut patch.onto).map(|version| &mut version.at))
    }
}

impl Patch {
    /// The first size that no honest patch has, if any. Everything that a file goes through is held in memory.
    pub(super) fn out_of_bounds(&self, size: u64) -> Option<u64> {
        let sizes = self.onto.iter().flat_map(|version| [version.stored, version.size]).chain([self.stored, size]);
        let many = (self.onto.is_empty() || self.onto.len() > MAX_VERSIONS).then_some(u64::MAX);
        sizes.into_iter().find(|size| *size > MAX_PATCHED).or(many)
    }
}
