//! The packages whose files can change between two runs: members, path dependencies, and what is vendored.

use std::path::Path;

use super::Job;
use crate::manifest::{PackageKind, PackageRecord};
use crate::paths;

pub(super) fn records(job: &Job<'_>) -> Vec<PackageRecord> {
    let own = job.facts.workspaces.iter().flat_map(|workspace| &workspace.packages).map(|package| PackageRecord {
        name: package.name.clone(),
        dir: paths::text(&package.dir),
        kind: PackageKind::Path,
        sources: package.sources.iter().map(|path| paths::text(path)).collect(),
    });
    let vendored = job.facts.vendored.iter().map(|package| record_of_vendored(&package.name, &package.dir));
    let mut records: Vec<PackageRecord> = own.chain(vendored).collect();
    records.sort_by(|a, b| a.dir.cmp(&b.dir));
    records.dedup();
    records
}

fn record_of_vendored(name: &str, dir: &Path) -> PackageRecord {
    let (name, dir) = (name.to_owned(), paths::text(dir));
    PackageRecord { name, dir, kind: PackageKind::Vendored, sources: Vec::new() }
}
