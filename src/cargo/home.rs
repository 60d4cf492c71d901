//! Which files of the Cargo home are worth keeping: the index, the archives that lock files name, the git databases.
//!
//! Sources are not kept: Cargo unpacks them from the archives, and never compares their times. Credentials and executables are
//! never looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::lockfile::Locked;
use crate::digest::Digest;
use crate::disk::{self, Found, Kind};

/// The Cargo home as spelled: Cargo compares the spelling, not what it leads to.
pub fn path() -> Option<PathBuf> {
    std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
}

/// The files to keep below `home`, and what of the lock files they do not cover.
#[derive(Debug, Default)]
pub struct Holdings {
    pub files: Vec<Found>,
    /// Archives and repositories that are there, by name: the state of a Cargo home.
    pub names: BTreeSet<String>,
}

/// Removes archives that are not what the lock files say, and names them. Cargo believes an archive that is there.
pub fn remove_forged(archives: &[PathBuf], locked: &[Locked]) -> io::Result<Vec<PathBuf>> {
    let known: BTreeMap<String, Option<String>> = locked.iter().flat_map(Locked::archives).collect();
    let mut removed = Vec::new();
    for path in archives {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(Some(checksum)) = known.get(&name)
            && Digest::of(&fs::read(path)?).as_str() != checksum
        {
            fs::remove_file(path)?;
            removed.push(path.clone());
        }
    }
    Ok(removed)
}

pub fn holdings(home: &Path, locked: &[Locked]) -> io::Result<Holdings> {
    let crates: BTreeSet<String> = locked.iter().flat_map(|locked| locked.archives().into_keys()).collect();
    let repositories: BTreeSet<String> = locked.iter().flat_map(Locked::git_names).collect();
    let mut holdings = Holdings::default();

    let index = home.join("registry/index");
    let skip_index = |dir: &Path| !dir.ends_with(".git/refs/remotes") && !dir.ends_with("tmp");
    holdings.files.extend(disk::walk(&index, &skip_index)?);

    for found in disk::walk(&home.join("registry/cache"), &|_| true)? {
        let name = found.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if found.meta.kind == Kind::Folder {
            holdings.files.push(found);
        } else if crates.contains(&name) {
            holdings.names.insert(name);
            holdings.files.push(found);
        }
    }

    let databases = home.join("git/db");
    let wanted = |dir: &Path| {
        let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        dir.parent() != Some(&databases)
            || name.rsplit_once('-').is_some_and(|(name, _)| repositories.contains(&name.to_lowercase()))
    };
    for found in disk::walk(&databases, &wanted)? {
        let top = found
            .path
            .strip_prefix(&databases)
            .ok()
            .and_then(|path| path.components().next())
            .map(|part| databases.join(part));
        if !top.is_some_and(|top| wanted(&top)) {
            continue;
        }
        let relative = found.path.strip_prefix(home).unwrap_or(&found.path).to_string_lossy().replace('\\', "/");
        let is_revision = found.path.extension().is_some_and(|end| end == "pack")
            || relative.contains("/objects/") && found.meta.kind == Kind::File;
        if is_revision || relative.ends_with("/FETCH_HEAD") {
            holdings.names.insert(relative);
        }
        holdings.files.push(found);
    }
    Ok(holdings)
}
