//! Takes a snapshot of what was surveyed, and finds the times and names that it takes to compare two of them.
//!
//! Reading a target folder leaves traces; whoever goes by access times sets them back afterwards.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::path::Path;

use rustc_stable_hash::StableSipHasher128;

use crate::cargo::fingerprint::Fields;
use crate::cargo::named;
use crate::cargo::units::{DiskUnit, Role, Survey};
use crate::cargo::whereabouts::{Place, Whereabouts};
use crate::explain::snapshot::{PrintSnapshot, Snapshot, UnitSnapshot};
use crate::machine::disk::{self, Kind, Meta};
use crate::moment::Moment;
use crate::state::manifest::EnvRecord;
use crate::state::secrets::Secrets;
use crate::unit::Mode;

/// What the units of these surveys say.
pub fn take(surveys: &[Survey], whereabouts: &Whereabouts) -> Snapshot {
    let secrets = Secrets::of_environment();
    let places = whereabouts.locate(surveys, &|_, _| None);
    let mut units = Vec::new();
    for (root, survey) in surveys.iter().enumerate() {
        let outputs = survey.outputs();
        let mut bytes = vec![0; survey.units.len()];
        for file in &survey.files {
            if let Role::Unit(at) = file.role {
                bytes[at] += file.meta.size;
            }
        }
        for (at, unit) in survey.units.iter().enumerate() {
            units.push(UnitSnapshot {
                lacks_output: outputs[at].is_empty(),
                mode: unit.mode(&outputs[at]),
                bytes: bytes[at],
                ..unit_snapshot(root, survey, unit, &places[root][at], &secrets)
            });
        }
    }
    Snapshot { units }
}

fn unit_snapshot(root: usize, survey: &Survey, unit: &DiskUnit, place: &Place, secrets: &Secrets) -> UnitSnapshot {
    let prints = unit.fingerprints.iter().map(|print| PrintSnapshot {
        target: print.name.clone(),
        hash: print.hash.clone(),
        fields: print.fingerprint.as_ref().map(|print| {
            let fields = print.fields();
            let rustflags = fields.rustflags.iter().map(|flag| secrets.flag(flag)).collect();
            Fields { rustflags, ..fields }
        }),
    });
    let env: BTreeMap<String, EnvRecord> =
        unit.tracked_env().map(|(name, value)| (name.clone(), secrets.record(&name, value))).collect();
    let files = named::paths(unit, &place.dirs, &survey.root);
    UnitSnapshot {
        place: format!("{root}:{}", unit.place.fingerprint_dir()),
        profile: unit.place.profile.clone(),
        package: unit.place.package.clone(),
        lies: place.lies.clone(),
        version: place.version.clone(),
        mode: Mode::default(),
        reference: unit.reference,
        started: unit.started,
        seconds: unit.seconds,
        used: unit.accessed > Moment::EPOCH,
        lacks_output: false,
        bytes: 0,
        prints: prints.collect(),
        files,
        env: env.into_iter().collect(),
    }
}

/// The times of these paths now, as Cargo looks at them: a folder is as new as the newest thing below it.
pub fn times<'a>(paths: impl Iterator<Item = &'a String>) -> HashMap<String, Option<Moment>> {
    paths.map(|path| (path.clone(), newest(Path::new(path)))).collect()
}

fn newest(path: &Path) -> Option<Moment> {
    // Through a symlink, as Cargo does.
    let own = Meta::of(&fs_err::canonicalize(path).ok()?).ok()?;
    if own.kind != Kind::Folder {
        return Some(own.mtime);
    }
    let below = disk::walk(path, &|_| true).unwrap_or_default();
    below.iter().map(|found| found.meta.mtime).max().max(Some(own.mtime))
}

/// The number under which Cargo remembers a compiler, from what `rustc -vV` prints.
pub fn toolchain_hash(rustc: &str) -> u64 {
    let mut hasher = StableSipHasher128::new();
    rustc.hash(&mut hasher);
    std::hash::Hasher::finish(&hasher)
}

/// `1.95.0 (59807616e 2026-04-14)`, from what `rustc -vV` prints.
pub fn toolchain_name(rustc: &str) -> String {
    rustc.lines().next().unwrap_or_default().trim_start_matches("rustc ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_toolchain_has_the_number_that_cargo_gives_it() {
        let rustc = crate::machine::ask::answers("rustc", std::iter::once("-vV".to_owned()));
        assert_ne!(toolchain_hash(&rustc), toolchain_hash("rustc 1.0.0"));
        assert!(toolchain_name("rustc 1.95.0 (abc 2026-04-14)\nbinary: rustc\n").starts_with("1.95.0 (abc"));
    }
}
