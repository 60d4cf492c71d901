//! What takes the space in a target folder: by kind of unit, and how much of what was linked is debug information.
//!
//! Debug information is read off section headers, of the largest files only; what cannot be parsed counts as having none, so the
//! figure is a lower bound.

use std::path::Path;

use fs_err as fs;
use object::{Object, ObjectSection, ReadCache};
use rayon::prelude::*;

use crate::cargo::units::{DiskFile, Role, Survey};
use crate::explain::inspection::Weights;
use crate::unit::TargetName;

/// Linked files that are opened.
const OPENED: usize = 64;
/// Smaller ones are not worth it.
const SMALLEST: u64 = 64 << 10;

pub fn weigh(surveys: &[Survey]) -> Weights {
    let mut weights = Weights::default();
    let mut linked: Vec<(&Survey, &DiskFile)> = Vec::new();
    for survey in surveys {
        for file in &survey.files {
            let size = file.meta.size;
            match file.role {
                Role::Incremental => weights.incremental += size,
                Role::Unit(at) => {
                    let target = survey.units[at].fingerprints.first().map_or("", |print| print.name.as_str());
                    let kind = TargetName::of(target).kind();
                    *weights.by_kind.entry(kind.to_owned()).or_default() += size;
                    let is_linked = ["bin", "test", "bench", "example", "lib", "build-script"].contains(&kind);
                    if is_linked && size >= SMALLEST && has_code(&file.path) {
                        linked.push((survey, file));
                    }
                }
                Role::Doc | Role::Folder | Role::Keep | Role::Drop => {}
            }
        }
    }
    linked.sort_by_key(|(_, file)| std::cmp::Reverse(file.meta.size));
    linked.truncate(OPENED);
    let found: Vec<(u64, u64)> = linked
        .par_iter()
        .filter_map(|(survey, file)| Some((file.meta.size, debug_bytes(&survey.on_disk(file))?)))
        .collect();
    weights.executables = found.iter().map(|(size, _)| size).sum();
    weights.debuginfo = found.iter().map(|(size, debug)| debug.min(size)).sum();
    weights
}

/// By its name, a file that a linker wrote.
fn has_code(path: &str) -> bool {
    let end = Path::new(path).extension().and_then(std::ffi::OsStr::to_str);
    // Extensions of executables are part of hashed names: `it-0123456789abcdef`.
    end.is_none_or(|end| ["exe", "dll", "so", "dylib", "pdb"].contains(&end))
}

fn debug_bytes(path: &Path) -> Option<u64> {
    if path.extension().is_some_and(|end| end == "pdb") {
        return fs::metadata(path).ok().map(|meta| meta.len());
    }
    let cache = ReadCache::new(std::fs::File::open(path).ok()?);
    let file = object::File::parse(&cache).ok()?;
    let is_debug = |name: &str| [".debug_", ".zdebug_", "__debug_"].iter().any(|start| name.starts_with(start));
    let sections = file.sections().filter(|section| section.name().is_ok_and(is_debug));
    Some(sections.filter_map(|section| section.file_range()).map(|(_, size)| size).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_program_has_debug_information() {
        let own = std::env::current_exe().unwrap();
        let debug = debug_bytes(&own).unwrap();
        assert!(debug < fs::metadata(&own).unwrap().len());
        assert_eq!(debug_bytes(Path::new(file!())), None);
        assert!(has_code("debug/deps/it-0123456789abcdef") && has_code("debug/deps/libx.so") && !has_code("x.rlib"));
    }
}
