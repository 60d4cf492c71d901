//! The packages whose files can change between two runs: members, path dependencies, and what is vendored.

use super::job::Job;
use crate::machine::paths::text;
use crate::state::manifest::{PackageKind, PackageRecord};

pub(super) fn records(job: &Job<'_>) -> Vec<PackageRecord> {
    let own = job.facts.workspaces.iter().flat_map(|workspace| {
        workspace.packages.iter().map(|package| PackageRecord {
            name: package.name.clone(),
            dir: text(&package.real),
            kind: PackageKind::Path,
            sources: package.real_sources().map(|path| text(&path)).collect(),
            linked: package.is_linked(&workspace.root),
        })
    });
    let vendored = job.facts.vendored.iter().map(|package| PackageRecord {
        name: package.name.clone(),
        dir: text(&package.real),
        kind: PackageKind::Vendored,
        sources: Vec::new(),
        linked: false,
    });
    let mut records: Vec<PackageRecord> = own.chain(vendored).collect();
    records.sort_by(|a, b| a.dir.cmp(&b.dir));
    records.dedup();
    records
}
