//! Why a unit is not trusted although Cargo would trust it, as past-tense facts with old and new value.
//!
//! Each variant is a soundness rule: something that Cargo cannot see, or would read wrongly after a restore.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One reason to make Cargo rebuild a unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "because")]
pub enum Doubt {
    /// The disk holds another build of it than the manifest speaks for.
    DiffersOnDisk { file: String },
    /// The disk holds it and no manifest speaks for it.
    Unrecorded,
    /// Part of it could not be restored.
    Incomplete { file: String },
    /// It read through a symlink that now leads elsewhere.
    LinkMoved { link: String, old: String },
    /// What it read as one kind of thing is now another.
    KindChanged { path: String },
    /// A file outside the workspace that it names has other content.
    OutsideChanged { path: String },
    /// A generated file that its package reads is gone and has to be generated again.
    GeneratedMissing { path: String },
    /// A vendored package changed at the same version.
    VendoredChanged { path: String },
    /// A library that its build script linked was replaced.
    LibraryChanged { file: String, old: String, new: String },
    /// Its build script wrote the commit down.
    HeadChanged { old: String, new: String },
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DiffersOnDisk { file } => write!(f, "`{file}` on disk is not the one that was saved"),
            Self::Unrecorded => write!(f, "it was built after the last save"),
            Self::Incomplete { file } => write!(f, "`{file}` could not be restored"),
            Self::LinkMoved { link, old } => write!(f, "the symlink `{link}` no longer leads to `{old}`"),
            Self::KindChanged { path } => write!(f, "`{path}` became another kind of file"),
            Self::OutsideChanged { path } => write!(f, "`{path}` outside the workspace changed"),
            Self::GeneratedMissing { path } => write!(f, "the generated file `{path}` is missing"),
            Self::VendoredChanged { path } => write!(f, "the vendored file `{path}` changed"),
            Self::LibraryChanged { file, old, new } => write!(f, "the library `{file}` changed: {old} → {new}"),
            Self::HeadChanged { old, new } => write!(f, "it embeds the commit, which changed: {old} → {new}"),
        }
    }
}

/// One reason to give an unchanged source file a new time, so that Cargo rebuilds what reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "because")]
pub enum Touch {
    /// The package's build script names no inputs, and Cargo does not notice that a file of the package went away.
    FileSetChanged { package: String, path: String },
    /// A proc macro that reads files may have read this one.
    MacroInput { package: String, path: String, reader: String },
    /// The saved times lie in the future and the package cannot be shifted with the rest.
    ClockSkew { package: String },
}

impl fmt::Display for Touch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FileSetChanged { package, path } => {
                write!(f, "`{package}` has a build script without `rerun-if`, and `{path}` went away")
            }
            Self::MacroInput { package, path, reader } => {
                write!(f, "`{package}` uses `{reader}`, a proc macro that reads files, and `{path}` changed")
            }
            Self::ClockSkew { package } => write!(f, "the saved times of `{package}` lie in the future (clock skew)"),
        }
    }
}
