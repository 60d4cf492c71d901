//! The manifest: the value inside a pack that says everything about the state that the pack restores. Pure.
//!
//! It speaks only for target files that still have the size and mtime it recorded; every rule that gives a source file an old
//! time rests on that. It is read from places that others can write to, so nothing in it is believed before it is checked:
//! paths by `pack::reader`, indices by `Manifest::check`.

mod beyond;
mod file;
mod unit;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::digest::{ContentId, Digest};
use crate::moment::Moment;
use crate::state::key::{FORMAT, KeyParts};
use crate::state::limit::Limit;
use crate::state::seed::{self, Sibling};

pub use beyond::{BeyondInput, ReadBeyond};
pub use file::{Content, FileEntry, LEAST_PATCHED, Location, MAX_PATCHED, MAX_VERSIONS, Patch, Version};
pub use unit::{Described, FingerprintRecord, Lies, MacroFacts, RunFacts, Scan, UnitRecord, Unread};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    /// The key of the pack that carries this manifest.
    pub key: String,
    pub parts: KeyParts,
    /// The commit that was built, by the top folder of its repository.
    pub heads: BTreeMap<String, String>,
    /// Packs that hold the bytes of files which this pack does not hold itself.
    pub parents: Vec<Parent>,
    pub roots: Vec<Root>,
    pub files: Vec<FileEntry>,
    pub inputs: Vec<Input>,
    pub units: Vec<UnitRecord>,
    pub packages: Vec<PackageRecord>,
    /// What nobody read in the jobs that units were compiled in.
    #[serde(default)]
    pub unread: Vec<Unread>,
    /// What somebody read in them although it lies beyond the source roots.
    #[serde(default)]
    pub beyond: ReadBeyond,
    /// Environment variables that units track, with what the step that restored saw of them.
    pub env: BTreeMap<String, EnvRecord>,
    /// Locked packages, members included.
    #[serde(default)]
    pub locked: BTreeSet<LockedPackage>,
    /// Profiles, lints and definitions of targets, by name and value.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// Places of units that were dropped lately.
    #[serde(default)]
    pub pruned: BTreeSet<String>,
    /// Units that the job used and for which a budget had no room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<LeftOut>,
    /// Folders in which the job had left something that counts for nothing, with the names of it.
    #[serde(default)]
    pub litter: BTreeMap<String, BTreeSet<String>>,
    /// What was installed when the job began: nobody starts from the state of a job whose system had something else.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub system: String,
    /// Variables that the sources speak of, as the step that restored saw them, by marks. Those who see others are other machines.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub spoken: BTreeMap<String, String>,
    /// The ref whose runs wrote the base, where the store goes by refs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub scope: String,
    /// The last runs, newest last.
    pub history: Vec<RunRecord>,
    /// Of a seed, which holds nothing else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub siblings: Vec<Sibling>,
}

/// How settings of Cargo's configuration are called, whichever file they stand in.
pub const CONFIGURATION: &str = "Cargo's configuration";

/// A pack that this one builds on, by name and by content: the same name with other bytes is another pack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    pub key: String,
    pub sha256: Digest,
    /// Uncompressed bytes of file content that it holds.
    pub bytes: u64,
}

/// What a budget had no room for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeftOut {
    #[serde(flatten)]
    pub limit: Limit,
    /// What the state would have taken with them.
    pub whole: u64,
    /// Places of the units.
    pub units: BTreeSet<String>,
    /// The units themselves, without what points at anything else of a manifest.
    #[serde(default)]
    pub records: Vec<UnitRecord>,
}

/// A package as a lock file names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LockedPackage {
    pub name: String,
    pub version: String,
    /// The root that the workspace of this lock file builds in.
    #[serde(default)]
    pub root: usize,
}

/// A folder that files are restored into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// What stands before every path in the archive.
    pub label: String,
    #[serde(with = "crate::machine::paths::as_text")]
    pub path: PathBuf,
}

/// Something that a build read, or could have read, and what it was then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Absolute: the workspace path is a hard part of the key.
    pub path: String,
    pub kind: InputKind,
    pub id: ContentId,
    /// As git has it: a job's own `chmod` is no change.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
    pub mtime: Moment,
    pub origin: Origin,
    /// Where a symlink leads in the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InputKind {
    File,
    Folder,
    Symlink,
}

/// Who answers for an input being there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// In git's index: a checkout brings it back.
    Tracked,
    /// In a package, not in git, not ignored.
    Untracked,
    /// Ignored by git; here because a unit names it.
    Ignored,
    /// Outside every source root; here because a unit names it.
    Outside,
}

/// A package whose files can change between two runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageRecord {
    pub name: String,
    /// Without symlinks, as git lists its files.
    pub dir: String,
    pub kind: PackageKind,
    /// Root sources of its targets, build script excepted.
    pub sources: Vec<String>,
    /// Cargo reaches it through a symlink, and does not see its files when it looks for the newest.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub linked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PackageKind {
    /// A workspace member or a path dependency.
    Path,
    /// A registry package in a vendor folder: Cargo never looks at its files' times.
    Vendored,
}

/// The value of a tracked variable; a secret-looking one is only ever known to be set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnvRecord {
    Unset,
    Set,
    Value(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    pub commit: Option<String>,
    pub at: Moment,
    pub restored: Option<String>,
    pub compiled: usize,
    /// Spent on what was compiled, and what the rest had taken when it was.
    pub seconds: f64,
    #[serde(default)]
    pub saved: f64,
    /// The size of the whole state.
    #[serde(default)]
    pub bytes: u64,
    /// What was advised, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub advice: Vec<String>,
}

#[derive(Debug, Error, PartialEq, Eq)]
pub enum ManifestError {
    #[error("format {found} is {} than the one of this Rekindle ({FORMAT})", if *found > FORMAT { "newer" } else { "older" })]
    OtherFormat { found: u32 },
    #[error("{count} {what} are more than there can be")]
    TooMany { what: &'static str, count: usize },
    #[error("`{name}` is not the name of a folder")]
    BadName { name: String },
    #[error("{0} bytes are more than a file has")]
    TooLarge(u64),
    #[error("a path in it is {0} folders deep, or longer than a path can be")]
    TooDeep(usize),
    #[error("it refers to `{0}`, which is not the name of an entry")]
    BadKey(String),
    #[error("`{what}` points at entry {index}, which does not exist")]
    BadIndex { what: &'static str, index: usize },
}

/// A state refers to a base and a few deltas, and each workspace has one or two roots.
const MAX_PARENTS: usize = 64;
const MAX_ROOTS: usize = 1_000;
/// Of one file, or of all that a parent holds: a tebibyte. However many there are, their sum is a number.
const MAX_BYTES: u64 = 1 << 40;
/// Folders in one another; a save stores nothing that lies deeper.
pub const MAX_DEPTH: usize = 100;
const MAX_PATH: usize = 4_096;
const MAX_KEY: usize = 512;

impl Manifest {
    /// One of a state that nothing is known of yet.
    pub fn blank(parts: KeyParts, roots: Vec<Root>) -> Self {
        Self {
            format: FORMAT,
            key: String::new(),
            parts,
            heads: BTreeMap::new(),
            parents: Vec::new(),
            roots,
            files: Vec::new(),
            inputs: Vec::new(),
            units: Vec::new(),
            packages: Vec::new(),
            unread: Vec::new(),
            beyond: ReadBeyond::default(),
            env: BTreeMap::new(),
            settings: BTreeMap::new(),
            locked: BTreeSet::new(),
            pruned: BTreeSet::new(),
            left_out: None,
            litter: BTreeMap::new(),
            history: Vec::new(),
            system: String::new(),
            spoken: BTreeMap::new(),
            scope: String::new(),
            siblings: Vec::new(),
        }
    }

    /// Refuses what later code would index with; a manifest that passes cannot make it panic.
    pub fn check(&self) -> Result<(), ManifestError> {
        if self.format != FORMAT {
            return Err(ManifestError::OtherFormat { found: self.format });
        }
        let at_most = |what, count: usize, limit: usize| {
            if count <= limit { Ok(()) } else { Err(ManifestError::TooMany { what, count }) }
        };
        at_most("packs", self.parents.len(), MAX_PARENTS)?;
        at_most("roots", self.roots.len(), MAX_ROOTS)?;
        at_most("siblings", self.siblings.len(), seed::MOST)?;
        if let Some(sibling) = self.siblings.iter().find(|sibling| !sibling.is_plain()) {
            return Err(ManifestError::BadName { name: sibling.name.escape_debug().to_string() });
        }
        let within = |what, index: usize, len: usize| {
            if index < len { Ok(()) } else { Err(ManifestError::BadIndex { what, index }) }
        };
        if let Some(parent) = self.parents.iter().find(|parent| !is_key(&parent.key)) {
            let shown: String = parent.key.chars().take(80).collect();
            return Err(ManifestError::BadKey(shown.escape_debug().to_string()));
        }
        let mut sizes = self.files.iter().map(FileEntry::size).chain(self.parents.iter().map(|parent| parent.bytes));
        if let Some(size) = sizes.find(|size| *size > MAX_BYTES) {
            return Err(ManifestError::TooLarge(size));
        }
        for file in &self.files {
            let depth = file.path.split('/').count();
            if depth > MAX_DEPTH || file.path.len() > MAX_PATH {
                return Err(ManifestError::TooDeep(depth));
            }
            within("file root", file.root, self.roots.len())?;
            if let Some(unit) = file.unit {
                within("file unit", unit, self.units.len())?;
            }
            match &file.content {
                Content::File { at, patch, .. } => {
                    within("file pack", at.pack, self.parents.len() + 1)?;
                    for version in patch.iter().flat_map(|patch| &patch.onto) {
                        within("pack of an older version", version.at.pack, self.parents.len() + 1)?;
                    }
                    if let Some(size) = patch.as_ref().and_then(|patch| patch.out_of_bounds(file.size())) {
                        return Err(ManifestError::TooLarge(size));
                    }
                }
                Content::HardLink { to } => within("hard link", *to, self.files.len())?,
                Content::Symlink { .. } | Content::Folder { .. } => {}
            }
        }
        for unit in &self.units {
            within("unit root", unit.root, self.roots.len())?;
            // Folders are made of these, and removed by them.
            let names = unit.place.profile.split('/').chain([unit.place.package.as_str(), unit.place.id.as_str()]);
            let is_odd = |name: &&str| *name == ".." || *name == "." || name.contains(['/', '\\', '\0']);
            if let Some(name) = names.into_iter().find(is_odd) {
                return Err(ManifestError::BadName { name: name.escape_debug().to_string() });
            }
            unit.inputs.iter().try_for_each(|&input| within("unit input", input, self.inputs.len()))?;
            unit.deps.iter().try_for_each(|&dep| within("unit dependency", dep, self.units.len()))?;
            let made = unit.run.iter().flat_map(|run| &run.made);
            made.copied().try_for_each(|input| within("generated file", input, self.inputs.len()))?;
        }
        let mut beyond = self.beyond.sets.iter().flatten().copied();
        beyond.try_for_each(|input| within("file beyond", input, self.beyond.inputs.len()))?;
        Ok(())
    }

    /// The newest time of any regular file that a restore would bring.
    pub fn newest(&self) -> Option<Moment> {
        let files = self.files.iter().filter(|file| matches!(file.content, Content::File { .. }));
        files.map(|file| file.mtime).max()
    }

    /// Bytes of file content, wherever they are stored.
    pub fn content_bytes(&self) -> u64 {
        self.files.iter().map(FileEntry::size).sum()
    }
}

impl Input {
    /// Whether it is what it was, times apart.
    pub fn is(&self, then: &Self) -> bool {
        (self.kind, &self.id, self.executable, &self.resolved) == (then.kind, &then.id, then.executable, &then.resolved)
    }
}

/// Entries are named by these, and stores put the names into paths.
fn is_key(name: &str) -> bool {
    let plain = |char: char| char.is_ascii_alphanumeric() || ['.', '-', '_'].contains(&char);
    !name.is_empty() && name.len() <= MAX_KEY && name.chars().all(plain)
}
