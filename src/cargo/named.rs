//! The paths that a unit names, as absolute ones: from its dep-info and from what its build script asked to be watched.

use std::path::{Component, Path, PathBuf};

use fs_err as fs;

use super::depinfo::DepFile;
use super::fingerprint::Local;
use super::units::DiskUnit;

use crate::machine::paths;

/// In the order in which Cargo looks at them. `dirs` are the folders in which the package can lie, none if its files never
/// change; `build_root` is the folder that the unit lies in.
pub fn paths(unit: &DiskUnit, dirs: &[PathBuf], build_root: &Path) -> Vec<String> {
    let mut paths: Vec<PathBuf> = Vec::new();
    let mut add = |path: &str| {
        if Path::new(path).is_absolute() {
            paths.push(PathBuf::from(path));
        } else {
            paths.extend(dirs.iter().map(|dir| dir.join(path)));
        }
    };
    let dep_infos = unit.fingerprints.iter().filter_map(|fingerprint| fingerprint.dep_info.as_ref());
    for file in dep_infos.flat_map(|info| &info.files) {
        match file {
            DepFile::InPackage(path) => add(path),
            DepFile::InBuildRoot(path) => add(&build_root.join(path).to_string_lossy()),
        }
    }
    for path in watched(unit) {
        add(&path);
    }
    paths.iter().filter_map(|path| tidy(path).to_str().map(str::to_owned)).collect()
}

fn watched(unit: &DiskUnit) -> Vec<String> {
    let paths = unit.locals().filter_map(|local| match local {
        Local::RerunIfChanged { paths } => Some(paths),
        _ => None,
    });
    paths.flatten().collect()
}

/// A path without `.` and `..`, as the file system resolves them where it can.
fn tidy(path: &Path) -> PathBuf {
    if !path.components().any(|part| matches!(part, Component::ParentDir)) {
        return path.components().filter(|part| !matches!(part, Component::CurDir)).collect();
    }
    fs::canonicalize(path).unwrap_or_else(|_| paths::lexical(path))
}
