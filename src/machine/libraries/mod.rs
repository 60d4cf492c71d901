//! Libraries and other files that a linker is asked for, and what pins them: the version of the distribution package that owns the
//! file, else the file's own content. Cargo sees neither.
//!
//! How it can be wrong: a registry package that links by an attribute in its own sources and has no build script is not looked
//! into.

mod asked;
pub mod fact;
mod scripts;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::digest::Digest;
use crate::machine::ask;
use crate::machine::disk::Meta;
use crate::machine::libraries::fact::LibraryFact;
use crate::moment::Moment;

pub use asked::Asked;

/// The version of a file that was replaced after it was used: equal to none that there ever is.
const UNSEEN: &str = "replaced after it was used";

/// What pins each file now. One that changed in any way after `used` is not what was used then.
pub fn identify(files: &BTreeSet<PathBuf>, used: Option<Moment>) -> Vec<LibraryFact> {
    if files.is_empty() {
        return Vec::new();
    }
    let owners = owners(files);
    let versions = versions(&owners.values().cloned().collect());
    let fact = |path: &PathBuf| {
        let file = crate::machine::paths::text(path);
        let owned = owners.get(path).and_then(|name| Some((name.clone(), versions.get(name)?.clone())));
        let unseen = used.is_some_and(|used| changed_after(path, used));
        match owned {
            _ if unseen => LibraryFact { file, owner: None, version: UNSEEN.to_owned() },
            Some((package, version)) => LibraryFact { file, owner: Some(package), version },
            None => LibraryFact { file, owner: None, version: content(path) },
        }
    };
    files.iter().map(fact).collect()
}

fn changed_after(path: &Path, used: Moment) -> bool {
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let metas = [path, real.as_path()].into_iter().filter_map(|path| Meta::of(path).ok());
    metas.into_iter().any(|meta| meta.ctime.unwrap_or(meta.mtime) > used)
}

fn content(path: &Path) -> String {
    match fs::read(path) {
        Ok(bytes) => Digest::of(&bytes).short(),
        Err(_) => "missing".to_owned(),
    }
}

/// Distribution packages by file, for files that one owns.
fn owners(files: &BTreeSet<PathBuf>) -> BTreeMap<PathBuf, String> {
    // On merged-usr systems the database knows a file by either of its two names.
    let mut asked: BTreeMap<String, &PathBuf> = BTreeMap::new();
    for path in files {
        let text = path.to_string_lossy().into_owned();
        if let Some(short) = text.strip_prefix("/usr").filter(|rest| rest.starts_with("/lib")) {
            asked.insert(short.to_owned(), path);
        }
        asked.insert(text, path);
    }
    let text = ask::answers("dpkg-query", std::iter::once("--search".to_owned()).chain(asked.keys().cloned()));
    let lines = text.lines().filter_map(|line| line.rsplit_once(": "));
    lines
        .filter_map(|(owner, file)| Some(((*asked.get(file)?).clone(), owner.split(", ").next()?.to_owned())))
        .collect()
}

fn versions(packages: &BTreeSet<String>) -> BTreeMap<String, String> {
    if packages.is_empty() {
        return BTreeMap::new();
    }
    let format =
        ["--show".to_owned(), "--showformat=${Package}:${Architecture} ${binary:Package} ${Version}\\n".to_owned()];
    let text = ask::answers("dpkg-query", format.into_iter().chain(packages.iter().cloned()));
    let mut versions = BTreeMap::new();
    for line in text.lines() {
        if let [full, short, version] = line.split(' ').collect::<Vec<_>>()[..] {
            versions.insert(full.to_owned(), version.to_owned());
            versions.insert(short.to_owned(), version.to_owned());
        }
    }
    versions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_of_a_library_that_nobody_owns_pins_it_unless_it_is_too_new() {
        let dir = tempfile::tempdir().unwrap();
        let library = dir.path().join("libodd.a");
        fs::write(&library, "one").unwrap();
        let files = BTreeSet::from([library.clone()]);
        let before = identify(&files, None);
        assert_eq!(identify(&files, Some(Moment::from_nanos(i64::MAX))), before);
        fs::write(&library, "two").unwrap();
        assert_ne!(identify(&files, None), before);
        let unseen = identify(&files, Some(Moment::from_nanos(1)));
        assert_eq!(unseen[0].version, UNSEEN);
    }
}
