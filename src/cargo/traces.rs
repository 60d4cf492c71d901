//! Access times of fingerprints: what a job used is read from them, so our own reading must leave no trace.

use std::collections::HashSet;

use super::units::Survey;
use crate::machine::disk::{Kind, Meta};
use crate::machine::paths;

/// Sets back the access times that a survey moved.
pub fn forget_reading(surveys: &[Survey]) {
    for survey in surveys {
        let units: HashSet<String> = survey.units.iter().map(|unit| unit.place.fingerprint_dir()).collect();
        let read = survey.files.iter().filter(|file| {
            let dir = file.path.rsplit_once('/').map_or("", |(dir, _)| dir);
            file.meta.kind == Kind::File && units.contains(dir)
        });
        for file in read {
            let path = survey.root.join(paths::path(&file.path));
            if Meta::of(&path).is_ok_and(|now| now.atime != file.meta.atime) {
                // Somebody else's file: then it only looks used.
                let _ = filetime::set_file_atime(&path, file.meta.atime.to_file_time());
            }
        }
    }
}
