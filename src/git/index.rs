//! Git's index, as far as it takes to tell it that the status-change times of files moved although the files did not change.
//!
//! Git compares that time, and reads every file for which it moved; a tool that only compares (`git diff-index`) calls the tree
//! dirty until then. Here the new time is written into the entry, and only where the old one was there before: an entry that did
//! not match before does not match afterwards. What is not understood to the last byte is left alone: another version, a split
//! index, a wrong checksum. The file keeps its own time, by which git tells which entries are too young to be believed.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use filetime::FileTime;
use fs_err as fs;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::Repository;
use crate::digest::BlobAlgorithm;
use crate::machine::interrupt::Unfinished;
use crate::moment::Moment;

/// The numbers that precede an entry's object id.
const STAT: usize = 40;

/// The locked index of a repository. Nobody else writes it until this is stored or dropped.
#[derive(Debug)]
pub struct GitIndex {
    path: PathBuf,
    lock: Lock,
    bytes: Vec<u8>,
    entries: Entries,
}

#[derive(Debug)]
struct Lock {
    path: PathBuf,
    file: fs::File,
    /// Git refuses to work where one is left.
    _unfinished: Unfinished,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // It has become the index, or is in nobody's way any more.
        let _ = fs::remove_file(&self.path);
    }
}

/// Where entries begin, by name, and how long object ids are.
#[derive(Debug, Default, PartialEq, Eq)]
struct Entries {
    at: HashMap<Vec<u8>, usize>,
    id: usize,
}

impl GitIndex {
    pub fn lock(repository: &Repository) -> Result<Self> {
        let path = repository.git_dir.join("index");
        let lock = repository.git_dir.join("index.lock");
        let file = fs::OpenOptions::new().write(true).create_new(true).open(&lock)?;
        let lock = Lock { _unfinished: Unfinished::new(&lock), path: lock, file };
        let bytes = fs::read(&path)?;
        let id = match repository.algorithm {
            BlobAlgorithm::Sha1 => 20,
            BlobAlgorithm::Sha256 => 32,
        };
        let entries = parse(&bytes, id).context("the index has a form that is not known")?;
        Ok(Self { path, lock, bytes, entries })
    }

    /// Notes that this file's status-change time was `before` and is `after`.
    pub fn moved(&mut self, name: &Path, before: Moment, after: Moment) {
        let name = name.as_os_str().as_encoded_bytes();
        let Some(&at) = self.entries.at.get(name) else { return };
        let Some(field) = self.bytes.get_mut(at..at + 8) else { return };
        if field == spell(before) {
            field.copy_from_slice(&spell(after));
        }
    }

    pub fn store(mut self) -> Result<()> {
        let body = self.bytes.len() - self.entries.id;
        // A repository may be told to do without.
        if self.bytes[body..].iter().any(|byte| *byte != 0) {
            let sum = checksum(&self.bytes[..body], self.entries.id);
            self.bytes[body..].copy_from_slice(&sum);
        }
        let meta = fs::metadata(&self.path)?;
        self.lock.file.write_all(&self.bytes)?;
        fs::set_permissions(&self.lock.path, meta.permissions())?;
        filetime::set_file_mtime(&self.lock.path, FileTime::from_last_modification_time(&meta))?;
        fs::rename(&self.lock.path, &self.path)?;
        Ok(())
    }
}

fn spell(time: Moment) -> [u8; 8] {
    let time = time.to_file_time();
    // Git keeps the low half of the seconds.
    let seconds = u32::try_from(time.unix_seconds() & 0xffff_ffff).unwrap_or_default();
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&seconds.to_be_bytes());
    bytes[4..].copy_from_slice(&time.nanoseconds().to_be_bytes());
    bytes
}

fn checksum(bytes: &[u8], id: usize) -> Vec<u8> {
    if id == 20 { Sha1::digest(bytes).to_vec() } else { Sha256::digest(bytes).to_vec() }
}

fn parse(bytes: &[u8], id: usize) -> Option<Entries> {
    let body = bytes.get(..bytes.len().checked_sub(id)?)?;
    let trailer = &bytes[body.len()..];
    if trailer.iter().any(|byte| *byte != 0) && checksum(body, id) != trailer {
        return None;
    }
    let number = |at: usize| Some(u32::from_be_bytes(body.get(at..at + 4)?.try_into().ok()?));
    let version = number(4)?;
    if body.get(..4)? != b"DIRC" || !(2..=4).contains(&version) {
        return None;
    }
    let mut entries = Entries { at: HashMap::new(), id };
    let mut at = 12;
    let mut name: Vec<u8> = Vec::new();
    for _ in 0..number(8)? {
        let flags = u16::from_be_bytes(body.get(at + STAT + id..at + STAT + id + 2)?.try_into().ok()?);
        let mut rest = at + STAT + id + 2;
        if flags & 0x4000 != 0 {
            rest += 2;
        }
        if version == 4 {
            let (cut, after) = offset(body, rest)?;
            name.truncate(name.len().checked_sub(cut)?);
            rest = after;
        } else {
            name.clear();
        }
        let len = memchr::memchr(0, body.get(rest..)?)?;
        name.extend(&body[rest..rest + len]);
        let end = rest + len + 1;
        entries.at.insert(name.clone(), at);
        at = if version == 4 { end } else { at + (end - at).next_multiple_of(8) };
    }
    while at < body.len() {
        let signature = body.get(at..at + 4)?;
        // The rest of a split index lies in another file.
        if signature == b"link" {
            return None;
        }
        at = at.checked_add(8)?.checked_add(usize::try_from(number(at + 4)?).ok()?)?;
    }
    (at == body.len()).then_some(entries)
}

/// How many bytes of the name before are not shared, in git's own spelling of numbers.
fn offset(bytes: &[u8], mut at: usize) -> Option<(usize, usize)> {
    let mut byte = *bytes.get(at)?;
    let mut value = usize::from(byte & 0x7f);
    while byte & 0x80 != 0 {
        at += 1;
        byte = *bytes.get(at)?;
        value = value.checked_add(1)?.checked_mul(128)? + usize::from(byte & 0x7f);
    }
    Some((value, at + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What it printed, if it succeeded.
    fn said(dir: &Path, arguments: &[&str]) -> Option<String> {
        let mut command = crate::machine::ask::command("git");
        command.args(["-c", "user.name=t", "-c", "user.email=t@localhost"]).args(arguments).current_dir(dir);
        let output = crate::machine::children::output(command.env("GIT_OPTIONAL_LOCKS", "0")).unwrap();
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn git(dir: &Path, arguments: &[&str]) -> bool {
        said(dir, arguments).is_some()
    }

    fn repository(dir: &Path, format: &str) -> Repository {
        assert!(git(dir, &["init", "--quiet", &format!("--object-format={format}")]));
        for name in ["a", "dir/b", "dir/bb", "dir/c d"] {
            fs::create_dir_all(dir.join("dir")).unwrap();
            fs::write(dir.join(name), name).unwrap();
            // Older than the index: git reads what is not.
            filetime::set_file_mtime(dir.join(name), FileTime::from_unix_time(1_600_000_000, 0)).unwrap();
        }
        assert!(git(dir, &["add", "--all"]) && git(dir, &["commit", "--quiet", "-m", "x"]));
        Repository::discover(dir).unwrap()
    }

    // Where there is a status-change time.
    #[cfg(unix)]
    #[test]
    fn a_status_change_time_that_moved_leaves_the_tree_clean_in_every_version() {
        use crate::machine::disk::Meta;
        for (format, version) in [("sha1", "2"), ("sha1", "3"), ("sha1", "4"), ("sha256", "2")] {
            let dir = tempfile::tempdir().unwrap();
            let repository = repository(dir.path(), format);
            assert!(git(dir.path(), &["update-index", "--index-version", version]));
            // Most gits compare whole seconds.
            std::thread::sleep(std::time::Duration::from_millis(1_010));
            let mut index = GitIndex::lock(&repository).unwrap();
            for name in ["a", "dir/b", "dir/bb", "dir/c d"] {
                let path = dir.path().join(name);
                let before = Meta::of(&path).unwrap().ctime.unwrap();
                filetime::set_file_atime(&path, Moment::EPOCH.to_file_time()).unwrap();
                index.moved(Path::new(name), before, Meta::of(&path).unwrap().ctime.unwrap());
            }
            assert_ne!(said(dir.path(), &["diff-index", "HEAD"]).unwrap(), "", "nobody has told git yet");
            assert!(GitIndex::lock(&repository).is_err(), "it is locked");
            index.store().unwrap();
            assert!(git(dir.path(), &["diff-index", "--quiet", "HEAD"]), "{format} {version}");
            assert_eq!(Meta::of(&dir.path().join("a")).unwrap().atime, Moment::EPOCH, "git had to read it");
            assert!(git(dir.path(), &["fsck", "--strict"]));
            fs::write(dir.path().join("dir/b"), "x/b").unwrap();
            assert!(!git(dir.path(), &["diff-index", "--quiet", "HEAD"]));
        }
    }

    #[test]
    fn what_is_not_understood_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let repository = repository(dir.path(), "sha1");
        let good = fs::read(dir.path().join(".git/index")).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x40;
            assert_eq!(parse(&bad, 20), None, "byte {at}");
            assert_eq!(parse(&good[..at], 20), None, "cut at {at}");
        }
        assert!(git(dir.path(), &["update-index", "--split-index"]));
        assert!(GitIndex::lock(&repository).is_err());
        assert!(!dir.path().join(".git/index.lock").exists());
    }
}
