//! Gives an environment that is made for one build a path that is the same in every build: a link, named after everything
//! that is in the environment.
//!
//! Who holds the lock may rely on the link. It leads elsewhere only when nobody does: two environments of one name are equal,
//! so a build would not notice the change, but the one that it began with may be thrown away while it still reads. Whoever
//! cannot have the lock in time builds without an alias, as if there were none.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fs_err as fs;

use super::ephemeral::{ENVIRONMENT, INTERPRETERS};
use crate::digest::Digest;
use crate::machine::disk;
use crate::machine::process::Lock;

/// Between two looks at a lock that somebody else holds.
const PAUSE: Duration = Duration::from_millis(20);

/// A link that leads to the environment for as long as this process lasts.
#[derive(Debug)]
pub struct Alias {
    pub path: PathBuf,
    lock: Lock,
}

impl Alias {
    /// Points the link for `digest` in `dir` at `root`, when nobody relies on it leading elsewhere; nothing if somebody does
    /// for longer than `patience`.
    pub fn take(dir: &Path, digest: &Digest, root: &Path, patience: Duration) -> Result<Option<Self>> {
        let path = dir.join(digest.short());
        let lock_path = dir.join(format!("{}.lock", digest.short()));
        let lock = Lock::open(&lock_path).context("the alias cannot be locked")?;
        let began = Instant::now();
        loop {
            if lock.try_together()? {
                if leads_to(&path, root) {
                    return Ok(Some(Self { path, lock }));
                }
                lock.release()?;
            }
            if lock.try_alone()? {
                point(&path, root).with_context(|| format!("cannot link `{}`", path.display()))?;
                // Others who want this very environment may come in.
                lock.try_together()?;
                return Ok(Some(Self { path, lock }));
            }
            if began.elapsed() >= patience {
                return Ok(None);
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Holds the lock until this process ends, whatever program it is by then.
    pub fn keep(self) -> io::Result<PathBuf> {
        self.lock.keep()?;
        Ok(self.path)
    }
}

fn leads_to(path: &Path, root: &Path) -> bool {
    fs::read_link(path).is_ok_and(|target| target == root)
}

/// A new link takes the old one's place in one step.
fn point(path: &Path, root: &Path) -> Result<()> {
    let text = root.to_str().context("its path is not UTF-8")?;
    let new = path.with_extension(format!("new-{}", std::process::id()));
    // Left behind by a process that was killed here and had our number.
    let _ = fs::remove_file(&new);
    disk::symlink(Path::new(text), &new)?;
    Ok(fs::rename(&new, path)?)
}

/// The variables that name the environment, with the alias in its place. Only whole leading components count.
pub fn rewrite(
    root: &Path,
    alias: &Path,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Vec<(&'static str, OsString)> {
    let real = fs::canonicalize(root).ok();
    let spellings: Vec<&Path> = [Some(root), real.as_deref()].into_iter().flatten().collect();
    let replaced = |value: &OsStr| {
        let path = Path::new(value);
        spellings.iter().find_map(|root| path.strip_prefix(root).ok()).map(|rest| {
            if rest.as_os_str().is_empty() { alias.to_path_buf() } else { alias.join(rest) }.into_os_string()
        })
    };
    let mut changes = Vec::new();
    for name in INTERPRETERS.into_iter().chain([ENVIRONMENT]) {
        changes.extend(variable(name).and_then(|value| Some((name, replaced(&value)?))));
    }
    if let Some(value) = variable("PATH") {
        let entries: Vec<OsString> = std::env::split_paths(&value)
            .map(|entry| replaced(entry.as_os_str()).unwrap_or_else(|| entry.into_os_string()))
            .collect();
        if let Ok(joined) = std::env::join_paths(entries)
            && joined != value
        {
            changes.push(("PATH", joined));
        }
    }
    changes
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn only_the_environments_own_paths_are_rewritten() {
        let values = [
            ("PYO3_PYTHON", "/tmp/build-env-x/bin/python"),
            ("VIRTUAL_ENV", "/tmp/build-env-x"),
            ("PYTHON_SYS_EXECUTABLE", "/tmp/build-env-xy/bin/python"),
            ("PATH", "/tmp/build-env-x/bin:/usr/bin::/tmp/build-env-xy"),
        ];
        let variable =
            |name: &str| values.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value));
        let changes = rewrite(Path::new("/tmp/build-env-x"), Path::new("/a/1"), variable);
        let expected = [
            ("PYO3_PYTHON", "/a/1/bin/python"),
            ("VIRTUAL_ENV", "/a/1"),
            ("PATH", "/a/1/bin:/usr/bin::/tmp/build-env-xy"),
        ];
        assert_eq!(changes, expected.map(|(name, value)| (name, OsString::from(value))));
    }

    #[test]
    fn a_link_takes_the_place_of_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let digest = Digest::of(b"x");
        for name in ["a", "b", "b"] {
            let root = dir.path().join(name);
            let alias = Alias::take(dir.path(), &digest, &root, Duration::ZERO).unwrap().unwrap();
            assert_eq!(fs::read_link(&alias.path).unwrap(), root);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "the link and its lock");
    }
}
