//! Which units on a disk are still the ones that a manifest speaks for: those whose every file has the size and the time that
//! it recorded.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use crate::cargo::layout::UnitPlace;
use crate::cargo::units::Survey;
use crate::disk::{Kind, Meta};
use crate::manifest::{Content, Manifest, UnitRecord};

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
pub fn differences(manifest: &Manifest, shift: Duration, surveys: &[Survey]) -> Differences {
    let metas: HashMap<(usize, &str), &Meta> = surveys
        .iter()
        .enumerate()
        .flat_map(|(root, survey)| survey.files.iter().map(move |file| ((root, file.path.as_str()), &file.meta)))
        .collect();
    let mut found = Differences { unknown: places(surveys), ..Differences::default() };
    for (at, file) in manifest.files.iter().enumerate() {
        let meta = metas.get(&(file.root, file.path.as_str()));
        let same = match &file.content {
            Content::File { size, .. } => meta.is_some_and(|meta| {
                meta.kind == Kind::File && meta.size == *size && meta.mtime == file.mtime.minus(shift)
            }),
            Content::HardLink { .. } | Content::Symlink { .. } | Content::Folder { .. } => meta.is_some(),
        };
        if !same {
            found.files.insert(at);
            if let Some(unit) = file.unit {
                found.units.entry(unit).or_insert_with(|| file.path.clone());
            }
        }
    }
    for unit in &manifest.units {
        found.unknown.remove(&(unit.root, place_of(unit)));
    }
    found
}

/// Every unit on disk.
pub fn places(surveys: &[Survey]) -> BTreeSet<(usize, UnitPlace)> {
    let places = |(root, survey): (usize, &Survey)| {
        survey.units.iter().map(move |unit| (root, unit.place.clone())).collect::<Vec<_>>()
    };
    surveys.iter().enumerate().flat_map(places).collect()
}

/// Where a recorded unit lies.
pub fn place_of(unit: &UnitRecord) -> UnitPlace {
    UnitPlace { layout: unit.layout, profile: unit.profile.clone(), package: unit.package.clone(), id: unit.id.clone() }
}
