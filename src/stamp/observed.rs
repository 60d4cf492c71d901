//! Which source files nobody has read since a certain moment, by their access times.
//!
//! The times are set far behind, so that any file system which keeps them at all moves them at the next read. A file counts as
//! untouched only if its access time is still there and nothing about it changed since (nobody can set a status-change time), so
//! a tool that puts access times back hides nothing. How it can be wrong: a copy that shares blocks instead of reading them, and
//! a part of the tree that is mounted without access times although its top is not, leave no trace.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use fs_err as fs;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::machine::disk::{FileSystem, Kind, Meta};
use crate::machine::paths;
use crate::moment::Moment;
use crate::stamp::beyond::{Beyond, Read};

/// What it takes to read the access times later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// The file system of the sources.
    device: u64,
    /// When the watch began, by its clock.
    since: Moment,
    /// The same by the clock of the target's.
    target_since: Moment,
    /// What is watched although it is no input.
    #[serde(default)]
    beyond: Beyond,
}

/// Files that were there when the watch began, that nobody has read, and that are as they were.
#[derive(Clone, Debug, Default)]
pub struct Untouched {
    pub paths: BTreeSet<String>,
    /// When the watch began, by the clock of the target's file system.
    pub since: Moment,
    /// Of what is watched beyond the inputs: whatever is not untouched.
    pub touched_beyond: BTreeSet<String>,
}

/// A file whose access time was set, and what that did to its status-change time.
#[derive(Clone, Debug)]
pub struct Moved {
    pub path: String,
    pub before: Moment,
    pub after: Moment,
}

/// The file system of a folder, if it notices reads. Tried out on a file in that folder.
pub fn device(dir: &Path) -> Result<u64> {
    let (device, _) = Meta::of(dir)?.identity.context("the platform does not say which file system a folder is on")?;
    let file = tempfile::Builder::new().prefix(".rekindle-probe").tempfile_in(dir)?;
    fs::write(file.path(), b"probe")?;
    for _ in 0..2 {
        // A read that a cache answers has to be noticed like the first one.
        filetime::set_file_atime(file.path(), Moment::EPOCH.to_file_time())?;
        ensure!(Meta::of(file.path())?.atime == Moment::EPOCH, "access times cannot be set");
        fs::read(file.path())?;
        ensure!(Meta::of(file.path())?.atime > Moment::EPOCH, "reads leave no traces");
    }
    Ok(device)
}

/// Sets the access times of these files behind, where they are on this file system and ours to set. Other times stay.
pub fn set_behind<'a>(device: u64, files: impl ParallelIterator<Item = &'a str>) -> Vec<Moved> {
    let set = |text: &str| {
        let path = paths::path(text);
        let before = Meta::of(&path).ok().filter(|meta| is_file_on(meta, device))?;
        filetime::set_file_atime(&path, Moment::EPOCH.to_file_time()).ok()?;
        let after = Meta::of(&path).ok()?;
        if after.mtime != before.mtime {
            // Whoever set one time set both; the old one has to be there.
            filetime::set_file_mtime(&path, before.mtime.to_file_time()).ok()?;
        }
        Some(Moved { path: text.to_owned(), before: before.ctime?, after: Meta::of(&path).ok()?.ctime? })
    };
    files.filter_map(set).collect()
}

fn is_file_on(meta: &Meta, device: u64) -> bool {
    meta.kind == Kind::File && meta.identity.is_some_and(|(own, _)| own == device) && meta.ctime.is_some()
}

impl Watch {
    /// From now on. `probe` is a folder on the sources' file system.
    pub fn begin(device: u64, probe: &Path, target: &Path, beyond: Beyond) -> Result<Self> {
        let (since, target_since) = (FileSystem::probe(probe)?.now, FileSystem::probe(target)?.now);
        Ok(Self { device, since, target_since, beyond })
    }

    /// Which of these are untouched. Whoever asks has read none of them yet.
    pub fn untouched<'a>(&self, files: impl Iterator<Item = &'a String>) -> Untouched {
        let is_untouched = |path: &&&String| {
            let meta = Meta::of(&paths::path(path)).ok().filter(|meta| is_file_on(meta, self.device));
            meta.is_some_and(|meta| {
                meta.atime == Moment::EPOCH && meta.ctime.is_some_and(|changed| changed <= self.since)
            })
        };
        let (files, beyond): (Vec<&String>, Vec<&String>) = (files.collect(), self.beyond.watched().collect());
        let paths: Vec<&String> = files.par_iter().filter(is_untouched).copied().collect();
        let touched: Vec<&String> = beyond.par_iter().filter(|path| !is_untouched(path)).copied().collect();
        Untouched {
            paths: paths.into_iter().cloned().collect(),
            since: self.target_since,
            touched_beyond: touched.into_iter().cloned().collect(),
        }
    }

    /// What was read beyond the inputs, as far as it is still there.
    pub fn read_beyond(&self, touched: &BTreeSet<String>) -> Read {
        self.beyond.identify(touched, self.since)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_neither_read_nor_changed_is_untouched() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let names = ["left", "read", "through-a-link", "rewritten", "put-back", "replaced"].map(path);
        for name in &names {
            fs::write(name, "x").unwrap();
        }
        fs_err::os::unix::fs::symlink("through-a-link", path("link")).unwrap();
        let Ok(device) = device(dir.path()) else { return };
        let mtime = Meta::of(Path::new(&names[0])).unwrap().mtime;
        assert_eq!(set_behind(device, names.par_iter().map(String::as_str)).len(), names.len());
        assert_eq!(Meta::of(Path::new(&names[0])).unwrap().mtime, mtime);
        let watch = Watch::begin(device, dir.path(), dir.path(), Beyond::default()).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        fs::write(path("new"), "x").unwrap();
        fs::read(path("read")).unwrap();
        fs::read(path("link")).unwrap();
        fs::write(path("rewritten"), "y").unwrap();
        fs::read(path("put-back")).unwrap();
        filetime::set_file_atime(path("put-back"), Moment::EPOCH.to_file_time()).unwrap();
        fs::rename(path("new"), path("replaced")).unwrap();
        filetime::set_file_atime(path("replaced"), Moment::EPOCH.to_file_time()).unwrap();
        let untouched = watch.untouched(names.iter());
        assert_eq!(untouched.paths.into_iter().collect::<Vec<_>>(), [path("left")]);
    }
}
