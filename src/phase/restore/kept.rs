//! A disk that was kept: nothing is fetched, and only units that are still the recorded ones are believed.

use super::Arrival;
use std::collections::BTreeSet;
use vec1::Vec1;

use crate::cargo::clock::is_cargos;
use crate::cargo::units::Survey;
use crate::job::facts::Facts;
use crate::job::handover::{LocalManifest, Restored};
use crate::job::outcome::Start;
use crate::machine::disk::Kind;
use crate::stamp::doubt::Doubt;
use crate::stamp::recorded::{differences, places};
use crate::state::manifest::Root;

pub(super) fn arrive(facts: &Facts, roots: &Vec1<Root>, surveys: &[Survey]) -> Arrival {
    let on_disk: usize = surveys.iter().map(|survey| survey.units.len()).sum();
    // A time far ahead that another file has is nothing that a source must be newer than.
    let files = surveys.iter().flat_map(|survey| &survey.files);
    let files = files.filter(|file| file.meta.kind == Kind::File && is_cargos(&file.path));
    let newest = files.map(|file| file.meta.mtime).max().unwrap_or_default();

    let local = LocalManifest::load(&roots.first().path, &facts.parts)
        .filter(|local| local.manifest.roots.as_slice() == roots.as_slice());
    let Some(local) = local else {
        let unknown = places(surveys);
        return Arrival { start: Start::Unknown { units: on_disk }, unknown, newest, ..Arrival::default() };
    };
    let LocalManifest { manifest, pack, shift, changed } = local;
    let differ = differences(&manifest, &changed, shift, surveys);
    let lost_units: BTreeSet<usize> = differ.units.keys().copied().collect();
    let units = manifest.units.len() - lost_units.len();
    Arrival {
        start: Start::Kept { key: pack.key.clone(), units },
        restored: Some(Restored { manifest, pack, lost_files: differ.files, lost_units, damaged: false, changed }),
        shift,
        doubts: differ.units.into_iter().map(|(unit, file)| (unit, Doubt::DiffersOnDisk { file })).collect(),
        unknown: differ.unknown,
        newest,
        ..Arrival::default()
    }
}
