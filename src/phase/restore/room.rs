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
use crate::state::manifest::{Manifest, Root};
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

/// Bytes by disk.
type Sizes = Vec<u64>;

struct Cost<'a> {
    sizes: Sizes,
    seconds: f64,
    deps: &'a [usize],
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
    for file in &manifest.files {
        let sizes = file.unit.and_then(|unit| costs.get_mut(unit)).map_or(&mut rest, |cost| &mut cost.sizes);
        sizes[of_root[file.root]] += file.size().next_multiple_of(BLOCK);
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

/// Takes the room if it is there.
fn take(room: &mut Sizes, sizes: &Sizes) -> bool {
    let fits = room.iter().zip(sizes).all(|(room, size)| size <= room);
    if fits {
        room.iter_mut().zip(sizes).for_each(|(room, size)| *room -= size);
    }
    fits
}

/// The units that come: the dearest for their size first, and none without what it was built from, which would only be thrown away.
fn choose(costs: &[Cost<'_>], mut room: Sizes) -> BTreeSet<usize> {
    #[allow(clippy::cast_precision_loss, reason = "only an order")]
    let value = |cost: &Cost<'_>| cost.seconds / (1 + cost.sizes.iter().sum::<u64>()) as f64;
    let mut order: Vec<usize> = (0..costs.len()).collect();
    order.sort_by(|a, b| value(&costs[*b]).total_cmp(&value(&costs[*a])));
    let mut kept = BTreeSet::new();
    for unit in order {
        let mut with = BTreeSet::new();
        let mut open = vec![unit];
        while let Some(next) = open.pop() {
            if let Some(cost) = costs.get(next).filter(|_| !kept.contains(&next))
                && with.insert(next)
            {
                open.extend(cost.deps);
            }
        }
        let mut sizes = vec![0; room.len()];
        for &unit in &with {
            sizes.iter_mut().zip(&costs[unit].sizes).for_each(|(sum, size)| *sum += size);
        }
        if take(&mut room, &sizes) {
            kept.append(&mut with);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(units: &[(u64, f64, &[usize])], room: u64) -> Vec<usize> {
        let cost = |(size, seconds, deps)| Cost { sizes: vec![size], seconds, deps };
        let costs: Vec<Cost<'_>> = units.iter().copied().map(cost).collect();
        choose(&costs, vec![room]).into_iter().collect()
    }

    #[test]
    fn the_dearest_for_their_size_come_with_what_they_were_built_from() {
        let units: [(u64, f64, &[usize]); 4] = [(10, 1.0, &[]), (10, 50.0, &[0]), (100, 90.0, &[]), (30, 20.0, &[])];
        assert_eq!(kept(&units, 150), [0, 1, 2, 3]);
        assert_eq!(kept(&units, 120), [0, 1, 2]);
        assert_eq!(kept(&units, 60), [0, 1, 3]);
        // The dearest one does not fit with what it needs.
        assert_eq!(kept(&units, 15), [0]);
        assert!(kept(&units, 9).is_empty());
        // Hostile edges may run in circles, and to nowhere.
        assert_eq!(kept(&[(1, 1.0, &[1, 7]), (1, 1.0, &[0])], 2), [0, 1]);
    }

    #[test]
    fn every_disk_has_its_own_room() {
        let costs = [
            Cost { sizes: vec![5, 0], seconds: 1.0, deps: &[] },
            Cost { sizes: vec![0, 5], seconds: 1.0, deps: &[] },
            Cost { sizes: vec![2, 2], seconds: 1.0, deps: &[] },
        ];
        assert_eq!(choose(&costs, vec![7, 2]), BTreeSet::from([0, 2]));
    }
}
