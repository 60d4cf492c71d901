//! What a disk has room for: where a state does not fit, the units come that are dearest to compile for their size, each with
//! what it was built from.
//!
//! How it can be wrong: somebody else writes to the disk meanwhile. Then nothing is restored, as on any disk that is full.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use vec1::Vec1;

use crate::cargo::workspace;
use crate::machine::disk::Meta;
use crate::machine::room;
use crate::state::manifest::{FileEntry, Manifest, Root};
use crate::state::worth::{Cost, Sizes, choose, take};
use crate::words;

/// What a small file takes up at least.
const BLOCK: u64 = 4 << 10;
/// The job itself needs room: this part of what a state needs.
const OF_THE_JOB: u64 = 4;

/// What stays out, and why.
#[derive(Debug, Default)]
pub(super) struct LeftOut {
    pub(super) files: BTreeSet<usize>,
    pub(super) reason: String,
}

/// The files of a manifest for which there is no room at the places of its roots.
pub(super) fn left_out(manifest: &Manifest, roots: &Vec1<Root>) -> LeftOut {
    let mut disks: BTreeMap<Option<u64>, usize> = BTreeMap::new();
    let mut room: Vec<u64> = Vec::new();
    let of_root = |root: &Root| {
        let disk = Meta::of(&workspace::real(&root.path)).ok().and_then(|meta| meta.identity).map(|(disk, _)| disk);
        *disks.entry(disk).or_insert_with(|| {
            room.push(left(&root.path));
            room.len() - 1
        })
    };
    let of_root: Vec<usize> = roots.iter().map(of_root).collect();
    let blank = || vec![0; room.len()];
    let mut rest = blank();
    let units = manifest.units.iter();
    let mut costs: Vec<Cost<'_>> =
        units.map(|unit| Cost { sizes: blank(), seconds: unit.seconds, deps: &unit.deps }).collect();
    let is_whole = |file: &&FileEntry| file.pieces().len() == 1;
    let mut counted: BTreeSet<_> = manifest.files.iter().filter(is_whole).flat_map(FileEntry::pieces).collect();
    for file in &manifest.files {
        let sizes = file.unit.and_then(|unit| costs.get_mut(unit)).map_or(&mut rest, |cost| &mut cost.sizes);
        // What a file is made of lies beside it for a while, unless it is a file of its own.
        let beside = file.pieces().into_iter().filter(|piece| counted.insert(*piece)).map(|(_, bytes)| bytes);
        let beside: u64 = beside.sum();
        sizes[of_root[file.root]] += (file.size() + beside).next_multiple_of(BLOCK);
    }
    let needed: Sizes =
        (0..room.len()).map(|disk| rest[disk] + costs.iter().map(|cost| cost.sizes[disk]).sum::<u64>()).collect();
    if needed.iter().zip(&room).all(|(needed, room)| needed + needed / OF_THE_JOB <= *room) {
        return LeftOut::default();
    }
    let mut budget: Sizes =
        room.iter().zip(&needed).map(|(room, needed)| room.saturating_sub(needed / OF_THE_JOB)).collect();
    let kept = if take(&mut budget, &rest) { choose(&costs, budget) } else { BTreeSet::new() };
    let goes = |unit: Option<usize>| unit.is_none_or(|unit| !kept.contains(&unit));
    let everything = kept.is_empty();
    let files = manifest.files.iter().enumerate();
    let files = files.filter(|(_, file)| if everything { true } else { file.unit.is_some() && goes(file.unit) });
    let reason = format!(
        "the disk has room for {} and the state needs {}, besides what the job needs: {} of {} are left out, the cheapest for \
         their size",
        words::size(room.iter().sum()),
        words::size(needed.iter().sum()),
        costs.len() - kept.len(),
        words::count(costs.len(), "unit")
    );
    LeftOut { files: files.map(|(at, _)| at).collect(), reason }
}

fn left(dir: &Path) -> u64 {
    room::left(dir).unwrap_or(u64::MAX)
}
