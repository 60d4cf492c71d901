//! Which files of the Cargo home are worth keeping: the index, the archives that lock files name, the git databases.
//!
//! Sources are not kept: they are unpacked from the archives, by the restore or by Cargo, which never compares their times. Credentials
//! and executables are never looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;
use rayon::prelude::*;

use super::lockfile::Locked;
use crate::digest::Digest;
use crate::machine::disk::{self, Found, Kind};

/// The Cargo home as spelled: Cargo compares the spelling, not what it leads to.
pub fn path() -> Option<PathBuf> {
    std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
}

/// The folders, relative to the Cargo home, that are kept. Nothing else is ever stored or restored.
const KEPT: [&str; 3] = ["registry/index", "registry/cache", "git/db"];
/// What a git database is made of. Anything else in it can make git run a program, or look somewhere else.
const OF_A_DATABASE: [&str; 8] =
    ["HEAD", "FETCH_HEAD", "config", "description", "packed-refs", "shallow", "objects", "refs"];

/// What lies in the index of a registry, besides a git database.
const OF_AN_INDEX: [&str; 3] = [".cache", "config.json", ".last-updated"];

/// Whether a path, relative to the Cargo home, may be stored and restored.
pub fn is_kept(path: &str) -> bool {
    let below = |dir: &&str| path.strip_prefix(*dir).and_then(|rest| rest.strip_prefix('/'));
    let Some(rest) = KEPT.iter().find_map(below) else { return false };
    let parts: Vec<&str> = rest.split('/').collect();
    if parts.contains(&"..") {
        return false;
    }
    match (path.split('/').next(), parts.as_slice()) {
        // The index of a registry is a folder of JSON, or has a git repository without a work tree beside it.
        (Some("git"), [_, inside @ ..]) | (_, [_, ".git", inside @ ..]) => is_of_a_database(inside),
        (_, [_, first, ..]) if path.starts_with("registry/index/") => OF_AN_INDEX.contains(first),
        (_, [_]) => true,
        (_, [_, archive]) => Path::new(archive).extension().is_some_and(|end| end == "crate"),
        _ => false,
    }
}

fn is_of_a_database(inside: &[&str]) -> bool {
    match inside {
        [] => true,
        // Objects of another database, wherever that is.
        ["objects", "info", file] => *file == "packs" || *file == "commit-graph",
        [part, ..] => OF_A_DATABASE.contains(part),
    }
}

/// Whether a path is that of a git database's settings.
pub fn is_database_config(path: &str) -> bool {
    matches!(
        path.split('/').collect::<Vec<_>>().as_slice(),
        ["git", "db", _, "config"] | ["registry", "index", _, ".git", "config"]
    )
}

/// Whether a git database's settings say nothing but what Cargo writes when it makes one: settings can name programs.
pub fn is_plain_config(text: &str) -> bool {
    const PLAIN: [&str; 8] = [
        "bare",
        "repositoryformatversion",
        "filemode",
        "ignorecase",
        "precomposeunicode",
        "symlinks",
        "logallrefupdates",
        "objectformat",
    ];
    text.lines().map(str::trim).filter(|line| !line.is_empty()).all(|line| {
        let name = line.split('=').next().unwrap_or_default().trim().to_lowercase();
        ["[core]", "[extensions]"].contains(&line) || PLAIN.contains(&name.as_str())
    })
}

/// Whether a file of this name has the same content wherever it is.
pub fn is_named_by_content(path: &str) -> bool {
    path.split('/').any(|part| part == "objects") || Path::new(path).extension().is_some_and(|end| end == "crate")
}

/// The files to keep below `home`, and what of the lock files they do not cover.
#[derive(Debug, Default)]
pub struct Holdings {
    pub files: Vec<Found>,
    /// Archives and repositories that are there, by name: the state of a Cargo home.
    pub names: BTreeSet<String>,
}

/// Which archives and repositories count.
#[derive(Clone, Copy, Debug)]
pub enum Wanted<'a> {
    /// Those that the lock files name.
    Locked(&'a [Locked]),
    /// All: there is no lock file yet.
    All,
}

impl Wanted<'_> {
    /// Whether a stored file is one of what counts: what no lock file names, nothing could be compared with.
    pub fn holds(&self, path: &str) -> bool {
        let Self::Locked(locked) = self else { return true };
        match path.split('/').collect::<Vec<_>>().as_slice() {
            ["registry", "cache", _, archive] => locked.iter().any(|locked| locked.archives().contains_key(*archive)),
            ["git", "db", database, ..] => {
                let name = database.rsplit_once('-').map(|(name, _)| name.to_lowercase());
                name.is_some_and(|name| locked.iter().any(|locked| locked.git_names().contains(&name)))
            }
            _ => true,
        }
    }
}

/// Archives that are not what the lock files say. Cargo believes an archive that is there.
pub fn forged(archives: &[PathBuf], locked: &[Locked]) -> Vec<PathBuf> {
    let known = checksums(locked);
    let is_forged = |path: &&PathBuf| {
        let checksum = known.get(&name_of(path)).and_then(Option::as_ref);
        checksum.is_some_and(|checksum| !has_checksum(path, checksum))
    };
    archives.par_iter().filter(is_forged).cloned().collect()
}

/// By file name; where two registries have a package of one name, nobody can tell which archive is meant.
fn checksums(locked: &[Locked]) -> BTreeMap<String, Option<String>> {
    let packages = locked.iter().flat_map(|locked| locked.packages.iter().cloned()).collect();
    Locked { packages }.archives()
}

fn has_checksum(path: &Path, checksum: &str) -> bool {
    fs::read(path).is_ok_and(|bytes| Digest::of(&bytes).to_string() == checksum)
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Whether Cargo has unpacked this archive, and so found it whole.
fn is_unpacked(home: &Path, archive: &Path) -> bool {
    let registry = archive.parent().and_then(Path::file_name).unwrap_or_default();
    let package = archive.file_stem().unwrap_or_default();
    home.join("registry/src").join(registry).join(package).join(".cargo-ok").exists()
}

/// What lies in the Cargo home. An archive that was cut is not there; `trusted` ones need not be read again.
pub fn holdings(home: &Path, wanted: Wanted<'_>, trusted: &BTreeSet<PathBuf>) -> io::Result<Holdings> {
    let locked = if let Wanted::Locked(locked) = wanted { locked } else { &[] };
    let all = matches!(wanted, Wanted::All);
    let crates = checksums(locked);
    let repositories: BTreeSet<String> = locked.iter().flat_map(Locked::git_names).collect();
    let mut holdings = Holdings::default();

    let may_be_stored = |found: &Found| {
        let relative = found.path.strip_prefix(home).unwrap_or(&found.path).to_string_lossy().replace('\\', "/");
        is_kept(&relative)
    };
    let index = home.join("registry/index");
    let skip_index = |dir: &Path| !dir.ends_with(".git/refs/remotes") && !dir.ends_with("tmp");
    holdings.files.extend(disk::walk(&index, &skip_index)?.into_iter().filter(may_be_stored));

    let cache = disk::walk(&home.join("registry/cache"), &|_| true)?;
    let is_whole = |found: &Found| {
        let checksum = crates.get(&name_of(&found.path)).and_then(Option::as_ref);
        let believed = || trusted.contains(&found.path) || is_unpacked(home, &found.path);
        found.meta.size > 0 && checksum.is_none_or(|checksum| believed() || has_checksum(&found.path, checksum))
    };
    let counts = |found: &Found| {
        let name = name_of(&found.path);
        (crates.contains_key(&name) || all && found.path.extension().is_some_and(|end| end == "crate"))
            && is_whole(found)
    };
    let counted: Vec<bool> = cache.par_iter().map(|found| found.meta.kind == Kind::File && counts(found)).collect();
    for (found, counted) in cache.into_iter().zip(counted) {
        if counted {
            holdings.names.insert(name_of(&found.path));
        }
        if counted || found.meta.kind == Kind::Folder {
            holdings.files.push(found);
        }
    }

    let databases = home.join("git/db");
    let wanted = |dir: &Path| {
        dir.parent() != Some(&databases)
            || all
            || name_of(dir).rsplit_once('-').is_some_and(|(name, _)| repositories.contains(&name.to_lowercase()))
    };
    for found in disk::walk(&databases, &|dir| wanted(dir))?.into_iter().filter(may_be_stored) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_indexes_archives_and_databases_are_kept() {
        for path in [
            "registry/index/i/.cache/a",
            "registry/cache/i/a-1.crate",
            "git/db/a-1/objects/pack/p.pack",
            "git/db/a-1/HEAD",
            "registry/index/i/config.json",
            "registry/index/i/.cache/3/a/abc",
            "registry/index/i/.git/objects/pack/p.pack",
            "registry/index/i/.git/refs/heads/main",
            "registry/index/i",
        ] {
            assert!(is_kept(path), "{path}");
        }
        for path in [
            "config.toml",
            "bin/git",
            "registry/src/i/a-1/build.rs",
            "git/checkouts/a/1/build.rs",
            "registry/index2/x",
            "registry/index",
            "git/db/../../bin/x",
            "git/db/a-1/hooks/post-checkout",
            "registry/index/i/.git/hooks/reference-transaction",
            "registry/index/i/.git/objects/info/alternates",
            "registry/index/i/.git/modules/x/config",
            "registry/index/i/src/lib.rs",
            "registry/cache/i/a-1/src/lib.rs",
            "registry/cache/i/a.txt",
            "git/db/a-1/commondir",
            "git/db/a-1/info/attributes",
            "git/db/a-1/objects/info/alternates",
        ] {
            assert!(!is_kept(path), "{path}");
        }
    }

    #[test]
    fn settings_of_a_database_that_name_a_program_are_not_plain() {
        assert!(is_plain_config("[core]\n\tbare = true\n\trepositoryformatversion = 0\n\tfilemode = true\n"));
        for line in [
            "sshCommand = evil",
            "[alias]",
            "[core] pager = x",
            "fsmonitor = evil",
            "[include]",
            "path = x",
            "hooksPath=x",
        ] {
            assert!(!is_plain_config(&format!("[core]\n\tbare = true\n\t{line}\n")), "{line}");
        }
    }
}
