//! A store in a local folder: one file per pack, complete or absent.
//!
//! Newest is by file time, which `put` keeps growing even when the clock does not. Users who share the folder share the packs as
//! far as the umask lets them. A save that was killed leaves a draft, which a later one takes away; how that can be wrong: a save
//! that writes nothing for longer than a day loses its draft, and stores nothing.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use fs_err as fs;
use tempfile::NamedTempFile;

use super::{Access, Draft, Entry, Put, Sending, Store, Stored};
use crate::digest::Digest;
use crate::machine::disk::{self, Found, Kind, Meta};
use crate::machine::interrupt::Unfinished;
use crate::machine::room;
use crate::moment::Moment;
use crate::state::housekeeping;

const SUFFIX: &str = ".tar.zst";
const DRAFT: &str = ".incoming-";
/// Characters that make a draft's name its own.
const RANDOM: usize = 6;
/// Nobody writes on a draft this old any more.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Clone, Debug)]
pub struct DirStore {
    dir: PathBuf,
}

impl DirStore {
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    fn path(&self, key: &str) -> PathBuf {
        self.dir.join(format!("{key}{SUFFIX}"))
    }

    fn unwritable(&self) -> String {
        let gone = if self.dir.is_dir() { "" } else { ", which is gone" };
        format!("cannot write to the store `{}`{gone}", self.dir.display())
    }

    /// Takes an entry away.
    pub(super) fn forget(&self, key: &str) -> Result<()> {
        Ok(fs::remove_file(self.path(key))?)
    }

    fn files(&self) -> Result<Vec<Found>> {
        let mut files = disk::walk(&self.dir, &|_| false).context("cannot list the store")?;
        files.retain(|found| found.meta.kind == Kind::File);
        Ok(files)
    }
}

impl Store for DirStore {
    fn access(&self) -> Access {
        Access::FULL
    }

    fn find(&self, prefix: &str) -> Result<Vec<Entry>> {
        let entries = entries(&self.files()?).into_iter().map(|(_, entry)| entry);
        Ok(entries.filter(|entry| entry.key.starts_with(prefix)).collect())
    }

    fn size(&self, key: &str) -> Result<u64> {
        Ok(Meta::of(&self.path(key))?.size)
    }

    fn read(&self, key: &str, offset: u64, len: u64) -> Result<Vec<u8>> {
        let mut file = fs::File::open(self.path(key))?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = vec![0; usize::try_from(len)?];
        file.read_exact(&mut bytes).with_context(|| format!("`{key}` ends early"))?;
        // Disks note few reads by themselves. Another user's file is left to what they do.
        let _ = filetime::set_file_handle_times(file.file(), Some(filetime::FileTime::now()), None);
        Ok(bytes)
    }

    fn begin<'a>(&'a self, key: &str, _: &Path, _: Sending) -> Result<Box<dyn Draft + 'a>> {
        disk::make_private(&self.dir).with_context(|| format!("cannot make the store `{}`", self.dir.display()))?;
        let mut draft = tempfile::Builder::new();
        draft.prefix(DRAFT).rand_bytes(RANDOM);
        disk::leave_to_umask(&mut draft);
        let file = draft.tempfile_in(&self.dir).with_context(|| self.unwritable())?;
        let unfinished = Unfinished::new(file.path());
        sweep(&self.files()?, Meta::of(file.path())?.mtime);
        Ok(Box::new(Incoming { store: self, key: key.to_owned(), file, unfinished }))
    }

    /// A folder that is not there yet will be on the disk of the one above it.
    fn room(&self, _: &Path) -> Option<u64> {
        self.dir.ancestors().find_map(room::left)
    }

    fn list(&self) -> Result<Vec<Stored>> {
        let stored = |found: &Found| {
            let Found { path, meta } = found;
            let key = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?.to_owned();
            let (place, used) = (key.clone(), meta.atime.max(meta.mtime));
            Some(Stored { key, scope: None, bytes: meta.size, created: meta.mtime, used, zone: None, place })
        };
        let abandoned = |found: &Found| {
            let Found { path, meta } = found;
            let (place, digest) =
                (path.file_name()?.to_str()?.to_owned(), Digest::of(path.as_os_str().as_encoded_bytes()));
            let (key, created) = (housekeeping::Kind::unnamed(&digest), meta.mtime);
            Some(Stored { key, scope: None, bytes: meta.size, created, used: created, zone: None, place })
        };
        let files = self.files()?;
        let mut listed: Vec<Stored> = files.iter().filter_map(stored).collect();
        listed.retain(|entry| entry.key.starts_with("rekindle."));
        let now = Moment::from(filetime::FileTime::now());
        listed.extend(files.iter().filter(|found| is_abandoned(found, now)).filter_map(abandoned));
        Ok(listed)
    }

    fn remove(&self, entry: &Stored) -> Result<()> {
        let is_draft = entry.place.starts_with(DRAFT);
        let path = if is_draft { self.dir.join(&entry.place) } else { self.path(&entry.place) };
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn describe(&self) -> String {
        format!("folder `{}`", self.dir.display())
    }
}

/// A pack that is being written where it will lie.
struct Incoming<'a> {
    store: &'a DirStore,
    key: String,
    file: NamedTempFile,
    unfinished: Unfinished,
}

impl Write for Incoming<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Draft for Incoming<'_> {
    fn finish(self: Box<Self>, tail: &[u8]) -> Result<Put> {
        let store = self.store;
        self.land(tail).with_context(|| store.unwritable())
    }
}

impl Incoming<'_> {
    fn land(self, tail: &[u8]) -> Result<Put> {
        let Self { store, key, mut file, unfinished } = self;
        file.write_all(tail)?;
        let newest = entries(&store.files()?).first().map(|(time, _)| *time).unwrap_or_default();
        let written = Meta::of(file.path())?.mtime;
        if written <= newest {
            filetime::set_file_mtime(file.path(), newest.plus(Duration::from_micros(1)).to_file_time())?;
        }
        let stored = file.persist_noclobber(store.path(&key));
        drop(unfinished);
        match stored {
            Ok(_) => Ok(Put::Stored),
            Err(failure) if failure.error.kind() == io::ErrorKind::AlreadyExists => Ok(Put::AlreadyThere),
            Err(failure) => Err(failure.error.into()),
        }
    }
}

fn entries(files: &[Found]) -> Vec<(Moment, Entry)> {
    let entry = |found: &Found| {
        let key = found.path.file_name()?.to_str()?.strip_suffix(SUFFIX)?.to_owned();
        Some((found.meta.mtime, Entry { key }))
    };
    let mut entries: Vec<(Moment, Entry)> = files.iter().filter_map(entry).collect();
    entries.sort_by(|(a_time, a), (b_time, b)| b_time.cmp(a_time).then_with(|| b.key.cmp(&a.key)));
    entries
}

/// Takes away what saves left that were killed. `now` is the time of the folder's own file system.
fn sweep(files: &[Found], now: Moment) {
    for found in files.iter().filter(|found| is_abandoned(found, now)) {
        // It may be another user's, or gone already.
        let _ = fs::remove_file(&found.path);
    }
}

fn is_abandoned(Found { path, meta }: &Found, now: Moment) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let own = name.strip_prefix(DRAFT).unwrap_or_default();
    let is_draft = own.len() == RANDOM && own.chars().all(|character| character.is_ascii_alphanumeric());
    is_draft && now.since(meta.mtime) > ABANDONED
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(store: &DirStore, key: &str, bytes: &str) -> Put {
        let (frames, tail) = bytes.split_at(1);
        let mut draft = store.begin(key, Path::new("nowhere"), Sending::AsTheyCome).unwrap();
        draft.write_all(frames.as_bytes()).unwrap();
        draft.finish(tail.as_bytes()).unwrap()
    }

    #[test]
    fn drafts_that_nobody_writes_on_any_more_are_taken_away_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let store = DirStore::new(dir.path().join("store"));
        fs::create_dir(&store.dir).unwrap();
        let now = Moment::from(filetime::FileTime::now());
        let hours = |hours: u64| now.minus(Duration::from_secs(hours * 60 * 60)).to_file_time();
        let lay = |name: &str, age| {
            fs::write(store.dir.join(name), "draft").unwrap();
            filetime::set_file_mtime(store.dir.join(name), hours(age)).unwrap();
        };
        lay(".incoming-aB3dE9", 25);
        let stay = [".incoming-aB3dE8", ".incoming-aB3dE", ".incoming-notes.txt", "incoming-aB3dE9", "a.0.tar.zst"];
        lay(stay[0], 23);
        stay[1..].iter().for_each(|name| lay(name, 1000));
        // It cannot be removed as a file.
        fs::create_dir(store.dir.join(".incoming-aB3dE7")).unwrap();
        filetime::set_file_mtime(store.dir.join(".incoming-aB3dE7"), hours(1000)).unwrap();
        assert_eq!(put(&store, "a.1", "bytes"), Put::Stored);
        drop(store.begin("a.2", Path::new("nowhere"), Sending::AsTheyCome).unwrap());
        let left = disk::walk(&store.dir, &|_| false).unwrap();
        let left: Vec<&str> = left.iter().map(|found| found.path.file_name().unwrap().to_str().unwrap()).collect();
        let mut expected = [&stay[..], &[".incoming-aB3dE7", "a.1.tar.zst"]].concat();
        expected.sort_unstable();
        assert_eq!(left, expected);
    }

    /// The folder was made for several users, and each of them lists, reads and stores while the others do.
    #[test]
    fn of_many_writers_one_wins_and_readers_see_whole_entries_only() {
        const USERS: usize = 12;
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("store");
        fs::create_dir(&folder).unwrap();
        // Another user's draft, old enough to be swept, where nobody may remove anything of it.
        fs::create_dir(folder.join(".incoming-aB3dE9")).unwrap();
        let barrier = std::sync::Barrier::new(2 * USERS);
        let puts: Vec<Put> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..USERS)
                .map(|at| {
                    let (store, barrier) = (DirStore::new(folder.clone()), &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        assert_eq!(put(&store, &format!("own.{at:02}"), &"x".repeat(10_000)), Put::Stored);
                        put(&store, "shared.1", &at.to_string().repeat(10_000))
                    })
                })
                .collect();
            for _ in 0..USERS {
                let (store, barrier) = (DirStore::new(folder.clone()), &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    for entry in (0..20).flat_map(|_| store.find("own.").unwrap()) {
                        assert_eq!(store.size(&entry.key).unwrap(), 10_000);
                        assert_eq!(store.read(&entry.key, 0, 10_000).unwrap(), vec![b'x'; 10_000]);
                    }
                });
            }
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        assert_eq!(puts.iter().filter(|put| **put == Put::Stored).count(), 1, "{puts:?}");
        let store = DirStore::new(folder);
        assert_eq!((store.find("own.").unwrap().len(), store.find("shared.").unwrap().len()), (USERS, 1));
    }

    #[test]
    fn the_newest_entry_comes_first_and_a_second_put_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = DirStore::new(dir.path().join("store"));
        assert_eq!(store.find("a.").unwrap(), []);
        for key in ["a.1", "a.2", "b.1"] {
            assert_eq!(put(&store, key, key), Put::Stored);
        }
        let keys: Vec<String> = store.find("a.").unwrap().into_iter().map(|entry| entry.key).collect();
        assert_eq!(keys, ["a.2", "a.1"]);
        assert_eq!(put(&store, "a.1", "other"), Put::AlreadyThere);
        assert_eq!(store.read("a.1", 0, 3).unwrap(), b"a.1");
        assert!(store.read("a.1", 0, 4).is_err());
        assert!(store.size("a.3").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_store_that_vanishes_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let store = DirStore::new(dir.path().join("store"));
        let draft = store.begin("a.1", Path::new("nowhere"), Sending::AsTheyCome).unwrap();
        fs::remove_dir_all(&store.dir).unwrap();
        let error = format!("{:#}", draft.finish(b"tail").unwrap_err());
        let expected = format!("cannot write to the store `{}`, which is gone", store.dir.display());
        assert!(error.starts_with(&expected), "{error}");
    }

    #[test]
    fn what_is_listed_can_be_removed_once_or_twice_and_is_ours() {
        let dir = tempfile::tempdir().unwrap();
        let store = DirStore::new(dir.path().join("store"));
        assert_eq!(store.list().unwrap(), []);
        for key in ["rekindle.3.a", "rekindle.3.b", "somebody.else"] {
            put(&store, key, key);
        }
        let listed = store.list().unwrap();
        let seen: Vec<(&str, u64)> = listed.iter().map(|entry| (entry.key.as_str(), entry.bytes)).collect();
        assert_eq!(seen, [("rekindle.3.a", 12), ("rekindle.3.b", 12)]);
        assert!(listed.iter().all(|entry| entry.used >= entry.created && entry.created > Moment::EPOCH));
        store.remove(&listed[0]).unwrap();
        store.remove(&listed[0]).unwrap();
        assert_eq!(store.list().unwrap(), listed[1..]);
        assert!(store.size("somebody.else").is_ok());
    }
}
