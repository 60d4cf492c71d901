//! Which files and units on a disk are still the ones that a manifest speaks for.
//!
//! Size and mtime alone prove nothing: whatever copies or unpacks files can set both. A file is the recorded one if its
//! status-change time, which nobody can set, is the one that it had when it was last known to be; otherwise its bytes are
//! compared. Cargo's own hard links move that time, so this happens.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rayon::prelude::*;

use crate::cargo::units::Survey;
use crate::digest::Digest;
use crate::machine::disk::{self, Kind, Meta};
use crate::machine::paths;
use crate::moment::Moment;
use crate::state::manifest::{Content, FileEntry, Manifest};
use crate::unit::UnitPlace;

/// When each file of a manifest last changed in any way, as of the moment at which it was known to be the recorded one; none
/// for one that was not, or where the platform does not say.
pub type Changed = Vec<Option<Moment>>;

/// What is not as recorded.
#[derive(Debug, Default)]
pub struct Differences {
    /// Recorded files that are gone or others.
    pub files: BTreeSet<usize>,
    /// Recorded units that lost one, with its name.
    pub units: BTreeMap<usize, String>,
    /// Units on disk that were never recorded.
    pub unknown: BTreeSet<(usize, UnitPlace)>,
}

/// Compares. Recorded times are `shift` older on disk.
pub fn differences(manifest: &Manifest, changed: &Changed, shift: Duration, surveys: &[Survey]) -> Differences {
    let same = same_files(manifest, changed, shift, surveys);
    let mut found = Differences { unknown: places(surveys), ..Differences::default() };
    for (at, file) in manifest.files.iter().enumerate().filter(|(at, _)| !same.contains(at)) {
        found.files.insert(at);
        if let Some(unit) = file.unit {
            found.units.entry(unit).or_insert_with(|| file.path.clone());
        }
    }
    for unit in &manifest.units {
        found.unknown.remove(&(unit.root, unit.place.clone()));
    }
    found
}

/// The recorded files that are on disk as they were recorded. Of links and folders only that they are there.
pub fn same_files(manifest: &Manifest, changed: &Changed, shift: Duration, surveys: &[Survey]) -> BTreeSet<usize> {
    let metas: HashMap<(usize, &str), &Meta> = surveys
        .iter()
        .enumerate()
        .flat_map(|(root, survey)| survey.files.iter().map(move |file| ((root, file.path.as_str()), &file.meta)))
        .collect();
    let is_same = |(at, file): (usize, &FileEntry)| {
        let meta = metas.get(&(file.root, file.path.as_str()))?;
        let same = match &file.content {
            Content::File { size, sha256, .. } => {
                let alike = meta.kind == Kind::File && meta.size == *size && meta.mtime == file.mtime.minus(shift);
                let untouched = meta.ctime.is_some() && changed.get(at).copied().flatten() == meta.ctime;
                alike && (untouched || digest(&surveys[file.root].root.join(paths::path(&file.path))) == Some(*sha256))
            }
            Content::HardLink { .. } | Content::Symlink { .. } | Content::Folder { .. } => true,
        };
        same.then_some(at)
    };
    manifest.files.par_iter().enumerate().filter_map(is_same).collect()
}

fn digest(path: &Path) -> Option<Digest> {
    disk::digest(path).ok()
}

/// When each file of a manifest last changed, now that it is known to be the recorded one.
pub fn changed(manifest: &Manifest, roots: &[PathBuf], lost: &BTreeSet<usize>) -> Changed {
    let of = |(at, file): (usize, &FileEntry)| {
        let known = matches!(file.content, Content::File { .. }) && !lost.contains(&at);
        known.then(|| Meta::of(&roots[file.root].join(paths::path(&file.path))).ok()?.ctime).flatten()
    };
    manifest.files.par_iter().enumerate().map(of).collect()
}

/// Every unit on disk.
pub fn places(surveys: &[Survey]) -> BTreeSet<(usize, UnitPlace)> {
    let places = |(root, survey): (usize, &Survey)| {
        survey.units.iter().map(move |unit| (root, unit.place.clone())).collect::<Vec<_>>()
    };
    surveys.iter().enumerate().flat_map(places).collect()
}
