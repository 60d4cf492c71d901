//! A store in a local folder: one file per pack, complete or absent.
//!
//! Newest is by file time, which `put` keeps growing even when the clock does not.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use fs_err as fs;

use super::{Access, Entry, PackFile, Put, Store};
use crate::machine::disk::{self, Kind, Meta};
use crate::machine::interrupt::Unfinished;
use crate::moment::Moment;

const SUFFIX: &str = ".tar.zst";

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

    fn entries(&self) -> Result<Vec<(Moment, Entry)>> {
        let files = disk::walk(&self.dir, &|_| false).context("cannot list the store")?;
        let entry = |found: &disk::Found| {
            let key = found.path.file_name()?.to_str()?.strip_suffix(SUFFIX)?.to_owned();
            (found.meta.kind == Kind::File).then_some((found.meta.mtime, Entry { key }))
        };
        let mut entries: Vec<(Moment, Entry)> = files.iter().filter_map(entry).collect();
        entries.sort_by(|(a_time, a), (b_time, b)| b_time.cmp(a_time).then_with(|| b.key.cmp(&a.key)));
        Ok(entries)
    }
}

impl Store for DirStore {
    fn access(&self) -> Access {
        Access::FULL
    }

    fn find(&self, prefix: &str) -> Result<Vec<Entry>> {
        let entries = self.entries()?.into_iter().map(|(_, entry)| entry);
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
        Ok(bytes)
    }

    fn put(&self, key: &str, pack: &PackFile) -> Result<Put> {
        disk::make_private(&self.dir).with_context(|| format!("cannot make the store `{}`", self.dir.display()))?;
        let newest = self.entries()?.first().map(|(time, _)| *time).unwrap_or_default();
        let staged = tempfile::Builder::new()
            .prefix(".incoming-")
            .tempfile_in(&self.dir)
            .context("cannot write to the store")?;
        let _unfinished = Unfinished::new(staged.path());
        fs::copy(&pack.path, staged.path())?;
        let written = Meta::of(staged.path())?.mtime;
        if written <= newest {
            filetime::set_file_mtime(staged.path(), newest.plus(Duration::from_micros(1)).to_file_time())?;
        }
        match staged.persist_noclobber(self.path(key)) {
            Ok(_) => Ok(Put::Stored),
            Err(failure) if failure.error.kind() == io::ErrorKind::AlreadyExists => Ok(Put::AlreadyThere),
            Err(failure) => Err(failure.error).with_context(|| format!("cannot store `{key}`")),
        }
    }

    fn describe(&self) -> String {
        format!("folder `{}`", self.dir.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_entry_comes_first_and_a_second_put_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = DirStore::new(dir.path().join("store"));
        let file = dir.path().join("pack");
        let pack = PackFile { path: file.clone(), index_at: 0, bytes: 0 };
        assert_eq!(store.find("a.").unwrap(), []);
        for key in ["a.1", "a.2", "b.1"] {
            fs::write(&file, key).unwrap();
            assert_eq!(store.put(key, &pack).unwrap(), Put::Stored);
        }
        let keys: Vec<String> = store.find("a.").unwrap().into_iter().map(|entry| entry.key).collect();
        assert_eq!(keys, ["a.2", "a.1"]);
        fs::write(&file, "other").unwrap();
        assert_eq!(store.put("a.1", &pack).unwrap(), Put::AlreadyThere);
        assert_eq!(store.read("a.1", 0, 3).unwrap(), b"a.1");
        assert!(store.read("a.1", 0, 4).is_err());
        assert!(store.size("a.3").is_err());
    }
}
