//! Leases: while a job is under way, a store in a folder holds a small file that names the packs it builds on.
//!
//! How it can be wrong: a job that runs for longer than a day loses its lease; so does one whose folder another user may not write
//! to. What such a job builds on can then go, and its save stores everything anew.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use fs_err as fs;

use crate::machine::disk::{self, Meta};
use crate::moment::Moment;
use crate::store::StoreInput;

const PREFIX: &str = ".lease-";
/// Nobody holds one this old any more.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

/// Where the lease of a job lies; `job` is its name, and nobody else's.
fn place(store: &StoreInput, job: &str) -> Option<PathBuf> {
    let StoreInput::Dir(dir) = store else { return None };
    Some(dir.join(format!("{PREFIX}{job}")))
}

/// Takes a lease on these entries, in the place of an earlier one of the same job.
pub fn hold(store: &StoreInput, job: &str, keys: &BTreeSet<String>) -> Result<()> {
    let Some(path) = place(store, job).filter(|_| !keys.is_empty()) else { return Ok(()) };
    let lines: Vec<&str> = keys.iter().map(String::as_str).collect();
    disk::write_for_all(&path, lines.join("\n").as_bytes())?;
    Ok(())
}

/// Gives it back.
pub fn release(store: &StoreInput, job: &str) {
    if let Some(path) = place(store, job) {
        // One that stays is void after a day.
        let _ = fs::remove_file(path);
    }
}

/// Everything that somebody holds a lease on. Void ones are taken away.
pub fn held(dir: &Path, now: Moment) -> Result<BTreeSet<String>> {
    let mut held = BTreeSet::new();
    for found in disk::walk(dir, &|_| false)? {
        let is_lease =
            found.path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(PREFIX));
        if !is_lease {
            continue;
        }
        if now.since(found.meta.mtime) > ABANDONED {
            // It may be another user's, or gone already.
            let _ = fs::remove_file(&found.path);
            continue;
        }
        match fs::read_to_string(&found.path) {
            Ok(text) => held.extend(text.lines().map(str::to_owned)),
            Err(_) if Meta::of(&found.path).is_err() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(held)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_counts_until_it_is_given_back_or_a_day_old() {
        let dir = tempfile::tempdir().unwrap();
        let store = StoreInput::Dir(dir.path().to_path_buf());
        let keys = |names: &[&str]| -> BTreeSet<String> { names.iter().map(|name| (*name).to_owned()).collect() };
        let now = Moment::from(filetime::FileTime::now());
        hold(&store, "one", &keys(&["a", "b"])).unwrap();
        hold(&store, "two", &keys(&["c"])).unwrap();
        assert_eq!(held(dir.path(), now).unwrap(), keys(&["a", "b", "c"]));
        release(&store, "two");
        hold(&store, "one", &keys(&["b"])).unwrap();
        assert_eq!(held(dir.path(), now).unwrap(), keys(&["b"]));
        assert_eq!(held(dir.path(), now.plus(ABANDONED * 2)).unwrap(), keys(&[]));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
