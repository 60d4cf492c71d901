//! What a target of unpacked sources was built from last, file by file, and since when each of them is what it is.
//!
//! It stands in a file beside the profiles. The time of that file is the time of the newest source, and every other time in it is
//! told from there, so that whoever moves the file's time moves all of them. Where any file differs, everything is new, because
//! macros read files of which nobody is told, in whatever package; but for packages without dependencies, which have no macros but
//! those of the language: all that is taken into them their dependency files name. How it can be wrong: no way is known; a copy
//! whose packages all use others is built anew after each edit.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;
use fs_err as fs;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::cargo::tables;
use crate::digest::Digest;
use crate::machine::disk::{self, Kind, Meta};
use crate::machine::paths::{self, is_under, parent};
use crate::moment::Moment;

/// The time of the file that it stands in is that of the newest source.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct MadeFrom {
    /// The copy whose files were given their times; none while that goes on.
    pub(super) copy: Option<String>,
    #[serde(default)]
    sources: BTreeMap<String, Made>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Made {
    content: Digest,
    /// Nanoseconds before the newest.
    age: u64,
}

impl MadeFrom {
    pub(super) fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    pub(super) fn write(&self, path: &Path, time: Moment) -> Result<()> {
        disk::write_atomically(path, &serde_json::to_vec(self)?)?;
        Ok(disk::set_mtime(path, Kind::File, time)?)
    }

    /// The times of these sources, which lie in `root`, after those that `path` tells of.
    pub(super) fn times(
        path: &Path,
        root: &Path,
        sources: &BTreeMap<String, Digest>,
        new: Moment,
    ) -> BTreeMap<String, Moment> {
        let last = Self::read(path).zip(Meta::of(path).ok());
        let then: BTreeMap<String, (Digest, Moment)> = last
            .map(|(last, meta)| {
                let time = |age: u64| meta.mtime.minus(std::time::Duration::from_nanos(age));
                last.sources.into_iter().map(|(path, made)| (path, (made.content, time(made.age)))).collect()
            })
            .unwrap_or_default();
        let packages = Packages::find(root, sources.keys().map(String::as_str));
        let old = Packages::find(root, then.keys().map(String::as_str));
        let differs = |path: &&str| then.get(*path).map(|(content, _)| content) != sources.get(*path);
        let changed: Vec<&str> = then.keys().chain(sources.keys()).map(String::as_str).filter(differs).collect();
        let owners: Option<BTreeSet<&str>> = changed.iter().map(|path| packages.owner(path)).collect();
        // A manifest is what makes a package, and what its files are for.
        let owners = owners.filter(|_| packages.dirs == old.dirs);
        let time = |path: &String| {
            let kept = then.get(path).filter(|(content, _)| sources.get(path) == Some(content)).map(|(_, time)| *time);
            let is_apart = || {
                let owner = packages.owner(path)?;
                let manifest = manifest(root, owner)?;
                let stays = !owners.as_ref()?.contains(owner) && !has_dependencies(&manifest, &DEPENDENCIES);
                (stays || is_lone_script(&manifest, owner, path)).then_some(())
            };
            kept.filter(|_| is_apart().is_some()).unwrap_or(new)
        };
        // Nothing differs: all of them keep their times, whoever owns them.
        let all = |path: &String| then.get(path).map_or(new, |(_, time)| *time);
        let times = |path: &String| if changed.is_empty() { all(path) } else { time(path) };
        sources.keys().map(|path| (path.clone(), times(path))).collect()
    }

    pub(super) fn of(
        copy: Option<String>,
        sources: &BTreeMap<String, Digest>,
        times: &BTreeMap<String, Moment>,
    ) -> (Self, Moment) {
        let newest = times.values().copied().max().unwrap_or_default();
        let age = |path: &String| {
            let age = times.get(path).map_or(std::time::Duration::ZERO, |time| newest.since(*time));
            u64::try_from(age.as_nanos()).unwrap_or(u64::MAX)
        };
        let made = |(path, content): (&String, &Digest)| (path.clone(), Made { content: *content, age: age(path) });
        (Self { copy, sources: sources.iter().map(made).collect() }, newest)
    }
}

/// Folders of packages, relative to the copy; empty for its top.
struct Packages {
    dirs: BTreeSet<String>,
}

impl Packages {
    fn find<'a>(root: &Path, paths: impl Iterator<Item = &'a str>) -> Self {
        let manifests = paths.filter(|path| paths::file_name(path) == "Cargo.toml");
        // One that is gone held a package, as far as anybody knows.
        let is_package = |path: &&str| {
            let table = tables::read(&root.join(paths::path(path)));
            table.is_none_or(|table| tables::package(&table).is_some())
        };
        Self { dirs: manifests.filter(is_package).map(|path| parent(path).unwrap_or_default().to_owned()).collect() }
    }

    /// The deepest that a file lies in.
    fn owner(&self, path: &str) -> Option<&str> {
        let above = self.dirs.iter().filter(|dir| dir.is_empty() || is_under(path, dir));
        above.max_by_key(|dir| dir.len()).map(String::as_str)
    }
}

/// Tables of what a package is built from.
const DEPENDENCIES: [&str; 3] = ["dependencies", "build-dependencies", "dev-dependencies"];

fn manifest(root: &Path, package: &str) -> Option<Table> {
    tables::read(&root.join(paths::path(package)).join("Cargo.toml"))
}

/// Whether a manifest has such a table, for whatever platform. Older manifests have `_` for `-`.
fn has_dependencies(manifest: &Table, tables: &[&str]) -> bool {
    let has = |table: &Table| {
        tables.iter().any(|name| table.contains_key(*name) || table.contains_key(&name.replace('-', "_")))
    };
    let platforms = manifest.get("target").and_then(Value::as_table).into_iter().flat_map(|all| all.values());
    has(manifest) || platforms.filter_map(Value::as_table).any(has)
}

/// A build script that is built from no other package has no macros, and all that it is compiled from is known.
fn is_lone_script(manifest: &Table, package: &str, path: &str) -> bool {
    let script = tables::package(manifest).and_then(|package| package.get("build"));
    let script = match script {
        None | Some(Value::Boolean(true)) => "build.rs",
        Some(script) => script.as_str().unwrap_or_default(),
    };
    let is_it = path.strip_prefix(package).map(|rest| rest.trim_start_matches('/')) == Some(script);
    let targets = ["bin", "example", "test", "bench"].into_iter().filter_map(|kind| manifest.get(kind)?.as_array());
    let mut targets = targets.flatten().chain(manifest.get("lib"));
    let is_target = targets.any(|target| target.get("path").and_then(Value::as_str) == Some(script));
    is_it && !has_dependencies(manifest, &["build-dependencies"]) && !is_target
}
