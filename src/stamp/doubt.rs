//! Why a unit is not trusted although Cargo would trust it, as past-tense facts with old and new value. Pure.
//!
//! Each variant is a soundness rule: something that Cargo cannot see, or would read wrongly after a restore.

use std::collections::BTreeMap;
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
    /// No clock can have given it the time that it has, so nothing could be newer.
    FromTheFuture,
    /// Part of it could not be restored.
    Incomplete { file: String },
    /// It read through a symlink that now leads elsewhere.
    LinkMoved { link: String, old: String },
    /// What it read as one kind of thing is now another.
    KindChanged { path: String },
    /// A file outside the workspace that it names has other content.
    OutsideChanged { path: String },
    /// A file that it wrote is gone and has to be written again.
    GeneratedMissing { path: String },
    /// A file that it wrote is another one now.
    GeneratedChanged { path: String },
    /// What it read was changed after it was built, in a way that Cargo does not see.
    Unseen { path: String },
    /// A vendored package changed at the same version.
    VendoredChanged { path: String },
    /// It is judged by the newest file of its package, and does not miss one that went away.
    FileGone { path: String },
    /// The same where a new manifest takes a folder out of the package.
    PackageSplit { manifest: String },
    /// Its package lies behind a symlink, where Cargo does not look for files that changed.
    ChangedBehindLink { path: String },
    /// A module has a second file now, and there can be only one.
    TwoModuleFiles { new: String, old: String },
    /// A file of settings appeared where they are looked for.
    NewSettings { path: String },
    /// A library that it links, or that its build script does, was replaced.
    LibraryChanged { file: String, old: String, new: String },
    /// Its build script wrote the commit down.
    HeadChanged { old: String, new: String },
    /// Its build script wrote the branch's name down.
    BranchChanged { old: String, new: String },
    /// It asked a Python interpreter, and another one is there now.
    InterpreterChanged { old: String, new: String },
    /// A proc macro that it uses may have read this file, which is another one now, or gone. `observed` if the file is known to
    /// have been read in the job that compiled it.
    MacroInput { path: String, reader: String, observed: bool },
    /// The same of the assembler, to which its sources hand files.
    AssemblerInput { path: String, observed: bool },
    /// Documentation takes this file in from outside of its package, where Cargo does not look.
    IncludedInDocs { path: String },
    /// Another build of it writes the same file, and one of them is out of date.
    SharesItsOutput,
}

impl Doubt {
    /// Whether a build script's run that watches `PYO3_PYTHON`, which was `watched`, has asked an interpreter that is another
    /// one now. Both sides are what a key says of interpreters, by path. One that is named is compared by itself; for the rest
    /// any difference counts, since nobody knows which of them was asked.
    pub fn of_interpreter(
        watched: &str,
        old: &BTreeMap<String, String>,
        new: &BTreeMap<String, String>,
    ) -> Option<Self> {
        if let (Some(before), Some(after)) = (old.get(watched), new.get(watched)) {
            // The first fact that differs; the version comes before what follows from it.
            let mut pairs = before.lines().zip(after.lines()).filter(|(before, after)| before != after);
            let (old, new) = pairs.next().unwrap_or((before, after));
            return (before != after).then(|| Self::InterpreterChanged { old: old.to_owned(), new: new.to_owned() });
        }
        let name =
            |(path, text): (&String, &String)| format!("{} at `{path}`", text.lines().next().unwrap_or_default());
        let all = |of: &BTreeMap<String, String>| of.iter().map(name).collect::<Vec<_>>().join(", ");
        (old != new).then(|| Self::InterpreterChanged { old: all(old), new: all(new) })
    }
}

/// What advice knows a reason by.
pub const EMBEDS_COMMIT: &str = "it embeds the commit, which changed";
pub const GONE_UNMISSED: &str = " is gone, and Cargo does not miss it: the build script names no inputs";

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DiffersOnDisk { file } => write!(f, "`{file}` on disk is not the one that was saved"),
            Self::Unrecorded => write!(f, "it was built after the last save"),
            Self::FromTheFuture => write!(f, "it has a time that lies far in the future"),
            Self::Incomplete { file } => write!(f, "`{file}` could not be restored"),
            Self::LinkMoved { link, old } => write!(f, "the symlink `{link}` no longer leads to `{old}`"),
            Self::KindChanged { path } => write!(f, "`{path}` became another kind of file"),
            Self::OutsideChanged { path } => write!(f, "`{path}` outside the workspace changed"),
            Self::GeneratedMissing { path } => write!(f, "the generated file `{path}` is missing"),
            Self::GeneratedChanged { path } => write!(f, "it had written `{path}`, which is another file now"),
            Self::Unseen { path } => {
                write!(f, "`{path}` was changed after it was built and given an old time, or may have been")
            }
            Self::VendoredChanged { path } => write!(f, "the vendored file `{path}` changed"),
            Self::FileGone { path } => {
                write!(f, "`{path}`{GONE_UNMISSED}")
            }
            Self::PackageSplit { manifest } => write!(f, "`{manifest}` is new and takes its folder out of the package"),
            Self::ChangedBehindLink { path } => {
                write!(f, "`{path}` changed, and Cargo does not look for it behind a symlink")
            }
            Self::TwoModuleFiles { new, old } => write!(f, "`{new}` is new, and `{old}` is the same module"),
            Self::NewSettings { path } => write!(f, "`{path}` is new, and what clippy says goes by it"),
            Self::LibraryChanged { file, old, new } => write!(f, "the library `{file}` changed: {old} → {new}"),
            Self::InterpreterChanged { old, new } => {
                let show = |name: &str| if name.is_empty() { "none".to_owned() } else { name.to_owned() };
                write!(f, "the Python interpreter that it asked changed: {} → {}", show(old), show(new))
            }
            Self::MacroInput { path, reader, observed } => {
                write!(
                    f,
                    "it uses `{reader}`, a proc macro that may read files, and `{path}`{} changed",
                    read(*observed)
                )
            }
            Self::AssemblerInput { path, observed } => {
                write!(f, "it hands files to the assembler, and `{path}`{} changed", read(*observed))
            }
            Self::IncludedInDocs { path } => {
                write!(
                    f,
                    "it takes in `{path}` from outside of its package, which changed, and Cargo does not look there"
                )
            }
            Self::SharesItsOutput => {
                write!(
                    f,
                    "another build of it writes the same file, and Cargo would take what that one left for its own"
                )
            }
            Self::HeadChanged { old, new } => write!(f, "{EMBEDS_COMMIT}: {old} → {new}"),
            Self::BranchChanged { old, new } => write!(f, "it embeds the branch's name, which changed: {old} → {new}"),
        }
    }
}

fn read(observed: bool) -> &'static str {
    if observed { ", which was read in the job that compiled it," } else { "" }
}

/// A package whose unchanged sources were given a new time, so that Cargo rebuilds what reads them: the saved times lie in the
/// future, and it cannot be shifted with the rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockSkew {
    pub package: String,
}

impl fmt::Display for ClockSkew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the saved times of `{}` lie in the future (clock skew)", self.package)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interpreter_is_doubted_if_it_is_another_one() {
        let key = |entries: &[(&str, &str)]| -> BTreeMap<String, String> {
            entries.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
        };
        let doubt = |watched: &str, old: &[(&str, &str)], new: &[(&str, &str)]| {
            Doubt::of_interpreter(watched, &key(old), &key(new)).map(|doubt| doubt.to_string())
        };
        let old = [("/a", "CPython 3.12.1\nLIBDIR: /x"), ("/b", "CPython 3.13.0")];
        let new = [("/a", "CPython 3.12.1\nLIBDIR: /x"), ("/b", "CPython 3.13.1")];
        let words = "the Python interpreter that it asked changed: ";
        assert_eq!(doubt("/a", &old, &new), None);
        assert_eq!(doubt("/b", &old, &new), Some(format!("{words}CPython 3.13.0 → CPython 3.13.1")));
        // Unset: PATH or VIRTUAL_ENV decided.
        assert_eq!(doubt("", &old[..1], &old[..1]), None);
        assert_eq!(
            doubt("", &old[..1], &new[1..]),
            Some(format!("{words}CPython 3.12.1 at `/a` → CPython 3.13.1 at `/b`"))
        );
        assert_eq!(doubt("", &[], &[]), None);
        assert_eq!(doubt("/a", &[], &new[..1]), Some(format!("{words}none → CPython 3.12.1 at `/a`")));
        let moved = [("/a", "CPython 3.12.1\nLIBDIR: /y")];
        assert_eq!(doubt("/a", &old, &moved), Some(format!("{words}LIBDIR: /x → LIBDIR: /y")));
    }
}
