//! What the build script of a fetched package wrote into its own sources. Cargo unpacks these anew on a wiped machine, and takes
//! the script for fresh.
//!
//! How it can be wrong: a checkout with so many files that not all of them are looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::job::Job;
use super::printed::{is_made, written_below};
use crate::cargo::whereabouts;
use crate::machine::paths;
use crate::state::manifest::Lies;
use crate::unit::Unit;

/// Such files, by run of this job.
pub(super) fn by_run(job: &Job<'_>, live: &[usize]) -> BTreeMap<usize, BTreeSet<String>> {
    let home = &job.facts.cargo_home;
    let runs = live
        .iter()
        .copied()
        .filter(|&at| job.unit(at).is_run() && job.unchanged(at).is_none() && job.place(at).lies == Lies::Fetched);
    let files = runs.filter_map(|at| {
        let unit = job.unit(at);
        let (span, package) = (unit.span()?, unit.place.package.as_str());
        let of_version = |dir: &PathBuf| {
            let name = dir.file_name().unwrap_or_default().to_string_lossy();
            name.strip_prefix(package).is_some_and(|rest| rest.starts_with('-'))
        };
        let unpacked = grandchildren(&home.join("registry/src")).into_iter().filter(of_version);
        let checkouts = grandchildren(&home.join("git/checkouts"));
        let written = unpacked.chain(checkouts).flat_map(|dir| written_below(&dir, |meta| is_made(meta, span)));
        // In a checkout there can be many packages.
        let own = written.filter(|path| path.ancestors().skip(1).any(|dir| whereabouts::is_package(dir, package)));
        let files: BTreeSet<String> = own.map(|path| paths::text(&path)).collect();
        (!files.is_empty()).then_some((at, files))
    });
    files.collect()
}

/// `<registry>/<package>-<version>`, and `<repository>/<commit>`.
fn grandchildren(dir: &Path) -> Vec<PathBuf> {
    let children = |dir: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    };
    children(dir).iter().flat_map(|dir| children(dir)).collect()
}
