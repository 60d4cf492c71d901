//! A disk that was kept: nothing is fetched, and only units that are still the recorded ones are believed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use super::Arrival;
use crate::cargo::layout::UnitPlace;
use crate::cargo::units::Survey;
use crate::disk::{Kind, Meta};
use crate::facts::Facts;
use crate::manifest::{Content, Root};
use crate::outcome::Start;
use crate::rebuild::Doubt;
use crate::state::{LocalManifest, Restored};

pub(super) fn arrive(facts: &Facts, roots: &[Root], surveys: &[Survey]) -> Arrival {
    let on_disk: usize = surveys.iter().map(|survey| survey.units.len()).sum();
    let files = surveys.iter().flat_map(|survey| &survey.files).filter(|file| file.meta.kind == Kind::File);
    let newest = files.map(|file| file.meta.mtime).max().unwrap_or_default();
    let places = surveys
        .iter()
        .enumerate()
        .flat_map(|(root, survey)| survey.units.iter().map(move |unit| (root, unit.place.clone())));
    let mut unknown: BTreeSet<(usize, UnitPlace)> = places.collect();

    let local =
        LocalManifest::load(Path::new(&roots[0].path), &facts.parts).filter(|local| local.manifest.roots == roots);
    let Some(local) = local else {
        return Arrival { start: Start::Unknown { units: on_disk }, unknown, newest, ..Arrival::default() };
    };
    let LocalManifest { manifest, pack, shift } = local;
    let metas: HashMap<(usize, &str), &Meta> = surveys
        .iter()
        .enumerate()
        .flat_map(|(root, survey)| survey.files.iter().map(move |file| ((root, file.path.as_str()), &file.meta)))
        .collect();
    let mut doubts: BTreeMap<usize, Doubt> = BTreeMap::new();
    let mut lost_files = BTreeSet::new();
    for (at, file) in manifest.files.iter().enumerate() {
        let meta = metas.get(&(file.root, file.path.as_str()));
        let same = match &file.content {
            Content::File { size, .. } => meta.is_some_and(|meta| {
                meta.kind == Kind::File && meta.size == *size && meta.mtime == file.mtime.minus(shift)
            }),
            Content::HardLink { .. } | Content::Symlink { .. } | Content::Folder { .. } => meta.is_some(),
        };
        if !same {
            lost_files.insert(at);
            if let Some(unit) = file.unit {
                doubts.entry(unit).or_insert_with(|| Doubt::DiffersOnDisk { file: file.path.clone() });
            }
        }
    }
    for unit in &manifest.units {
        unknown.remove(&(unit.root, place_of(unit)));
    }
    let lost_units: BTreeSet<usize> = doubts.keys().copied().collect();
    let units = manifest.units.len() - lost_units.len();
    Arrival {
        start: Start::Kept { key: pack.key.clone(), units },
        restored: Some(Restored { manifest, pack, lost_files, lost_units, damaged: false }),
        shift,
        doubts: doubts.into_iter().collect(),
        unknown,
        newest,
        ..Arrival::default()
    }
}

/// Where a recorded unit lies.
pub(super) fn place_of(unit: &crate::manifest::UnitRecord) -> UnitPlace {
    UnitPlace { layout: unit.layout, profile: unit.profile.clone(), package: unit.package.clone(), id: unit.id.clone() }
}
