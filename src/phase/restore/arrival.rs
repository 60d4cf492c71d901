//! A wiped disk: finds the best stored state and unpacks it beside its place, where the rest of a restore makes it fit.
//!
//! Whole units whose files did not all arrive are dropped. What stands beside its place is not there for Cargo before
//! `move_in`, which comes after the sources have their times and every doubted unit is invalidated: whoever is killed before
//! leaves a cold target, whoever is killed later a sound one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use fs_err as fs;
use rayon::prelude::*;
use vec1::Vec1;

use super::choice::{self, Chosen};
use super::{Arrival, packages, room};
use crate::cargo::clock;
use crate::job::facts::Facts;
use crate::job::handover::Restored;
use crate::job::outcome::{Cold, RestoreOutcome, Start};
use crate::machine::disk::FileSystem;
use crate::machine::paths;
use crate::pack::{Late, Pack, Staged};
use crate::problem::{Warning, Warnings};
use crate::stamp::doubt::Doubt;
use crate::state::key::Fit;
use crate::state::key_change::{Part, PartChange};
use crate::state::manifest::{Content, Manifest, Parent, Root, UnitRecord};
use crate::state::union;
use crate::store::Store;

/// A clock difference that is waited out instead of shifted away.
const LOCK_WAIT: Duration = Duration::from_secs(2);

pub(super) fn arrive(
    facts: &Facts,
    roots: &Vec1<Root>,
    store: &dyn Store,
    file_system: &FileSystem,
    outcome: &mut RestoreOutcome,
) -> Arrival {
    let fields = facts.parts.fields();
    let mut passed_over = BTreeSet::new();
    let judge = |candidates: &[(Pack<'_>, Fit)]| choice::nearest(facts, candidates);
    let mut chosen = choice::best(store, &fields, Some(roots), &judge, &mut passed_over, &mut outcome.warnings);
    if let Chosen::Nothing = chosen {
        let (this, warnings) = ((facts, outcome.system.as_str()), &mut outcome.warnings);
        chosen = choice::of_siblings(store, this, roots, &judge, &mut passed_over, warnings);
    }
    let (pack, fit, sibling, others) = match chosen {
        Chosen::State(pack, fit, others) => (*pack, fit, None, others),
        Chosen::Siblings(pack, fit, others) => {
            let sibling = pack.index.manifest.parts.name.to_string();
            (*pack, fit, Some(sibling), others)
        }
        Chosen::Nothing => {
            if !passed_over.is_empty() {
                outcome.cold = Cold::Unusable;
            }
            explain_miss(facts, store, &passed_over, outcome);
            return Arrival { passed_over, ..Arrival::default() };
        }
        Chosen::Unanswered => {
            outcome.cold = Cold::Unanswered;
            return Arrival { passed_over, ..Arrival::default() };
        }
    };
    let places: Vec<PathBuf> = roots.iter().map(|root| root.path.clone()).collect();
    let staged = match Staged::beside(&places) {
        Ok(staged) => staged,
        Err(error) => {
            outcome.take_back(&error);
            return Arrival { passed_over, ..Arrival::default() };
        }
    };
    let manifest = with_others(facts, &pack, &others);
    let newest = clock::newest(&manifest, file_system.now);
    let ahead = newest.since(file_system.now);
    let shift = if ahead > LOCK_WAIT { ahead } else { Duration::ZERO };

    let own = pack.as_parent();
    let key = pack.key.clone();
    let (packs, damaged_parents) = with_parents(store, pack, &manifest, &mut outcome.warnings);
    let left_out = room::left_out(&manifest, roots);
    if left_out.files.len() == manifest.files.len() && !left_out.files.is_empty() {
        drop(staged);
        outcome.take_back(&anyhow::Error::msg(left_out.reason));
        return Arrival { passed_over, ..Arrival::default() };
    }
    let (unpacked, packages) = std::thread::scope(|scope| {
        let packages = scope.spawn(|| packages::unpack(facts, &manifest));
        let unpacked = staged.unpack(&manifest, &packs, shift, &|file| left_out.files.contains(&file));
        // One that panicked has unpacked nothing that Cargo would take for whole.
        (unpacked, packages.join().unwrap_or_default())
    });
    outcome.home.packages = packages;
    if let Some(reason) = unpacked.full {
        // What would fit is not worth the room that the job needs.
        drop(staged);
        outcome.take_back(&anyhow::Error::msg(reason));
        return Arrival { passed_over, ..Arrival::default() };
    }
    if fit != Fit::Soft {
        outcome.rolled = facts.parts.diff(&manifest.parts);
        outcome.rolled.retain(|change| sibling.is_none() || !change.part.is_name());
    }
    if !shift.is_zero() {
        let text = format!(
            "the stored state lies {:.0} s in the future (clock skew); its times are shifted back",
            ahead.as_secs_f64()
        );
        outcome.warnings.push(Warning::new(text));
    }
    outcome.files = unpacked.files;
    outcome.lost_files = unpacked.failed.len() + left_out.files.len();
    outcome.bytes = unpacked.bytes;

    let missing = unpacked.failed.keys().chain(&left_out.files).copied().collect();
    let (mut doubts, lost_files) = drop_incomplete(&manifest, &staged.dirs(), missing);
    if !left_out.files.is_empty() {
        outcome.warnings.push(Warning::new(left_out.reason));
    }
    // That a pack is missing has been said.
    let unsaid = unpacked.failed.iter().find(|(_, reason)| !damaged_parents && !outcome.warnings.tell_of(reason));
    if let Some((file, reason)) = unsaid {
        outcome.warnings.push(not_restored(&manifest, unpacked.failed.len(), *file, reason));
    }
    let lost_units: BTreeSet<usize> = doubts.iter().map(|(unit, _)| *unit).collect();
    let units = manifest.units.len() - lost_units.len();
    let damaged = damaged_parents || !unpacked.failed.is_empty();
    // A time that no clock can have given is not a reason to take a unit for newer than every change.
    let odd = manifest.units.iter().enumerate();
    let odd = odd.filter(|(at, unit)| {
        !lost_units.contains(at) && clock::is_implausible(unit.reference.minus(shift), file_system.now)
    });
    doubts.extend(odd.map(|(at, _)| (at, Doubt::FromTheFuture)));
    Arrival {
        start: Start::Restored { key, fit, units, sibling },
        newest: newest.minus(shift),
        restored: Some(Restored { manifest, pack: own, lost_files, lost_units, damaged, changed: Vec::new() }),
        shift,
        doubts,
        passed_over,
        staged: Some(staged),
        ..Arrival::default()
    }
}

/// What the state says, with what other states alone hold and this job may want.
fn with_others(facts: &Facts, pack: &Pack<'_>, others: &[Pack<'_>]) -> Manifest {
    let mut manifest = pack.index.manifest.clone();
    for other in others {
        let there = &other.index.manifest;
        let locked = choice::locked_alike(facts, there);
        // What its last run did not use has had its days of grace where it lies.
        let wanted = |unit: &UnitRecord| unit.idle == 0 && locked.contains(unit.place.package.as_str());
        let added = union::unite(&mut manifest, there, &other.as_parent(), &wanted);
        tracing::debug!(added, other.key, "units of another state");
    }
    manifest
}

fn not_restored(manifest: &Manifest, count: usize, first: usize, reason: &str) -> Warning {
    let path = paths::shown(&manifest.files[first].path);
    Warning::new(format!("{count} files were not restored, `{path}` first: {reason}"))
}

impl Arrival {
    /// Where the units lie that Cargo is going to find: beside their place until they are moved in.
    pub(super) fn standing(&self, roots: &Vec1<Root>) -> Vec1<Root> {
        let Some(staged) = &self.staged else { return roots.clone() };
        let mut standing = roots.clone();
        for (root, dir) in standing.iter_mut().zip(staged.dirs()) {
            root.path = dir;
        }
        standing
    }

    /// Lets Cargo see what was unpacked: fingerprints last, each after those that it names. What cannot get to its place takes
    /// the fingerprints of its units along.
    pub(super) fn move_in(&mut self, outcome: &mut RestoreOutcome) {
        let (Some(staged), Some(restored)) = (self.staged.take(), self.restored.as_mut()) else { return };
        let manifest = &restored.manifest;
        let (late, dirs) = (fingerprints(manifest), staged.dirs());
        let units_of = |missing: &BTreeMap<usize, String>| -> BTreeSet<usize> {
            missing.keys().filter_map(|&at| manifest.files[at].unit).collect()
        };
        let missing = staged.move_in(manifest, &late, |missing| {
            for unit in units_of(missing).into_iter().map(|at| &manifest.units[at]) {
                // One that is not there cannot mislead anybody.
                let _ = fs::remove_dir_all(dirs[unit.root].join(unit.place.fingerprint_dir()));
            }
        });
        // Those that had been lost before have been told of.
        let missing: BTreeMap<usize, String> =
            missing.into_iter().filter(|(at, _)| !restored.lost_files.contains(at)).collect();
        let Some((&first, reason)) = missing.first_key_value() else { return };
        outcome.warnings.push(not_restored(manifest, missing.len(), first, reason));
        outcome.lost_files += missing.len();
        for unit in units_of(&missing) {
            let (record, file) = (&manifest.units[unit], manifest.files[first].path.clone());
            self.forced.insert(record.place.name_in(record.root), Doubt::Incomplete { file }.to_string());
            restored.lost_units.insert(unit);
        }
        restored.damaged = true;
        restored.lost_files.extend(missing.into_keys());
        if let Start::Restored { units, .. } = &mut self.start {
            *units = restored.manifest.units.len() - restored.lost_units.len();
        }
    }
}

/// The fingerprint folders of each root, numbered so that a unit comes after those that it was built from.
fn fingerprints(manifest: &Manifest) -> Vec<Late> {
    let mut depths = vec![1; manifest.units.len()];
    // As often as the longest chain is long, and hostile edges may run in circles.
    for _ in 0..manifest.units.len() {
        let mut settled = true;
        for (at, unit) in manifest.units.iter().enumerate() {
            let depth = unit.deps.iter().map(|&dep| depths[dep] + 1).max().unwrap_or(1);
            if depth > depths[at] && depth <= manifest.units.len() {
                (depths[at], settled) = (depth, false);
            }
        }
        if settled {
            break;
        }
    }
    let mut late = vec![Late::new(); manifest.roots.len()];
    for (unit, depth) in manifest.units.iter().zip(depths) {
        late[unit.root].insert(paths::path(&unit.place.fingerprint_dir()), depth);
    }
    late
}

/// Opens the packs that a manifest refers to; whether any is missing comes along.
pub(super) fn with_parents<'a>(
    store: &'a dyn Store,
    pack: Pack<'a>,
    manifest: &Manifest,
    warnings: &mut Warnings,
) -> (Vec<Option<Pack<'a>>>, bool) {
    let mut packs = vec![Some(pack)];
    let mut damaged = false;
    let open = |parent: &Parent| {
        let pack = Pack::open(store, &parent.key)?;
        ensure!(pack.sha256 == parent.sha256, "`{}` holds other bytes than the ones it was built on", parent.key);
        Ok(pack)
    };
    // Each is a few requests.
    let opened: Vec<Result<Pack<'_>>> = manifest.parents.par_iter().map(open).collect();
    for opened in opened {
        match opened {
            Ok(pack) => packs.push(Some(pack)),
            Err(error) => {
                warnings.fault("a pack that the state is made of is missing", &error);
                packs.push(None);
                damaged = true;
            }
        }
    }
    (packs, damaged)
}

/// Removes every file of units that did not arrive whole: half a unit can be a build error.
fn drop_incomplete(
    manifest: &Manifest,
    dirs: &[PathBuf],
    missing: BTreeSet<usize>,
) -> (Vec<(usize, Doubt)>, BTreeSet<usize>) {
    let mut doubts: BTreeMap<usize, Doubt> = BTreeMap::new();
    for &at in &missing {
        let file = &manifest.files[at];
        if let Some(unit) = file.unit {
            doubts.entry(unit).or_insert_with(|| Doubt::Incomplete { file: file.path.clone() });
        }
    }
    let mut lost = missing;
    for (at, file) in manifest.files.iter().enumerate() {
        if file.unit.is_some_and(|unit| doubts.contains_key(&unit)) && lost.insert(at) {
            let path = dirs[file.root].join(paths::path(&file.path));
            // A folder stays if something is left in it.
            let _ =
                if let Content::Folder { .. } = file.content { fs::remove_dir(&path) } else { fs::remove_file(&path) };
        }
    }
    (doubts.into_iter().collect(), lost)
}

/// Nothing fits: the newest entry of the same name says which part rolled the key.
pub(super) fn explain_miss(
    facts: &Facts,
    store: &dyn Store,
    passed_over: &BTreeSet<String>,
    outcome: &mut RestoreOutcome,
) {
    let fields = facts.parts.fields();
    if let Some(roll) = &outcome.roll {
        // The name is new, so nothing of that name can be compared with.
        let change = PartChange { part: Part::Roll, old: String::new(), new: roll.text.clone() };
        outcome.rolled.push(change);
    }
    let newest = choice::admitted(store, &fields, Fit::Name).ok().and_then(|keys| keys.into_iter().next());
    let Some(key) = newest.filter(|key| !passed_over.contains(key)) else {
        return;
    };
    match Pack::open(store, &key) {
        // An entry of this very name was rolled to before.
        Ok(pack) => outcome.rolled = facts.parts.diff(&pack.index.manifest.parts),
        Err(error) => outcome.warnings.fault("the last state cannot say why the key rolled", &error),
    }
}
