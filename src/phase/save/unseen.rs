//! Which inputs of each unit are recorded as something that the unit cannot be shown to have been built from.
//!
//! Besides what a unit names, one that is judged by its whole package reads all of that, and one whose package holds links reads
//! through them. How it can be wrong: a unit that reads what it does not name, in a package that no macro is suspected in.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::job::Job;
use crate::digest::{ContentId, Digest};
use crate::machine::disk;
use crate::machine::paths;
use crate::moment::Moment;
use crate::stamp::reach::{Reach, owner};
use crate::stamp::sight::{Reader, View, is_known_litter};
use crate::state::manifest::{Content, InputKind, Manifest, UnitRecord};
use crate::unit::Unit;

/// Paths that are written down for one unit; the first is reason enough.
pub(super) const MENTIONED: usize = 3;

pub(super) fn find(
    job: &Job<'_>,
    live: &[usize],
    manifest: &Manifest,
    named: &[BTreeSet<String>],
    written_again: &BTreeSet<String>,
    view: &View<'_>,
) -> Vec<Vec<String>> {
    let all: Vec<&str> = view.inputs.keys().map(String::as_str).collect();
    // In the order in which a manifest lists them.
    let saw = saw(job);
    let of_unit = |(at, (unit, named)): (usize, (&UnitRecord, &BTreeSet<String>))| {
        let known_record = job.unchanged(live[at]);
        let reader = match known_record {
            Some(_) => Reader::Kept { reference: unit.reference, saw: &saw },
            // Documentation is dated by its end.
            None => Reader::Built(job.unit(live[at]).started.unwrap_or(unit.reference).min(unit.reference)),
        };
        // Cargo sees no time of what documentation takes in from elsewhere.
        let was_seen = |path: &str| {
            if unit.is_doc() { view.was_built_from(path, reader) } else { view.was_seen(path, reader) }
        };
        let mut unseen: BTreeSet<&str> =
            unit.inputs.iter().map(|&input| all[input]).filter(|path| !was_seen(path)).collect();
        let taken_in = named.iter().filter(|path| unit.is_doc() && view.stamped.contains_key(*path));
        unseen.extend(taken_in.map(String::as_str).filter(|path| !view.was_seen_gone(path, reader)));
        let reach = Reach { view, packages: &manifest.packages, reader };
        unseen.extend(reach.unseen_in_packages(|package| unit.is_of(package), unit.is_precalculated()));
        if unit.uses_reading_macros() {
            unseen.extend(
                macro_inputs(job, live[at], manifest, view, unit, known_record)
                    // A script writes it again for each of its runs, and a macro may read it before, between and after.
                    .filter(|path| !written_again.contains(*path))
                    .filter(|path| !view.was_built_from(path, reader) || !view.was_seen_gone(path, reader)),
            );
        }
        unseen.extend(reach.unseen_links_to(named));
        if !unseen.is_empty() && is_believed(job, live[at], manifest, view, &unseen) {
            unseen.clear();
        }
        unseen.into_iter().take(MENTIONED).map(str::to_owned).collect()
    };
    manifest.units.iter().zip(named).enumerate().map(of_unit).collect()
}

/// Files that a macro of a unit's may have read: all of its package and of no package, but for those that nobody read.
fn macro_inputs<'a>(
    job: &'a Job<'_>,
    at: usize,
    manifest: &'a Manifest,
    view: &'a View<'_>,
    unit: &'a UnitRecord,
    before: Option<&'a UnitRecord>,
) -> impl Iterator<Item = &'a str> {
    let began = job.unit(at).started;
    let unread_now =
        job.unread.as_ref().filter(|unread| before.is_none() && began.is_some_and(|began| began > unread.since));
    let restored = job.previous().map(|restored| &restored.manifest);
    let set = before.and_then(|before| restored?.unread.get(before.macros.as_ref()?.unread?));
    let unread_then: BTreeSet<&str> = restored
        .zip(set)
        .into_iter()
        .flat_map(|(restored, set)| {
            let inputs = restored.inputs.iter().enumerate().filter(|(at, _)| set.holds(*at));
            inputs.map(|(_, input)| input.path.as_str())
        })
        .collect();
    let here = view.inputs.values().filter(|input| input.kind != InputKind::Folder).map(|input| input.path.as_str());
    let gone = view.stamped.keys().map(String::as_str).filter(|path| !view.inputs.contains_key(*path));
    here.chain(gone).filter(move |path| {
        // Nothing happened to most of them.
        let is_suspect =
            !view.is_constant(path) && owner(&manifest.packages, path).is_none_or(|owner| unit.is_of(owner));
        let is_innocent = view.inputs.contains_key(*path)
            && (unread_now.is_some_and(|unread| unread.paths.contains(*path)) || unread_then.contains(path));
        is_suspect && !is_innocent
    })
}

/// What the restored state was built from, and since when, as this disk has it.
fn saw<'a>(job: &'a Job<'_>) -> BTreeMap<&'a str, (&'a ContentId, Moment)> {
    let inputs = job.previous().into_iter().flat_map(|restored| &restored.manifest.inputs);
    inputs.map(|input| (input.path.as_str(), (&input.id, input.mtime.minus(job.state.shift)))).collect()
}

/// Whether a build script's run may be believed although litter lies in a folder that it watches: it was made to run because of
/// the same litter, the folder held the same before and after, and what came of it is what came of it the last time.
fn is_believed(job: &Job<'_>, at: usize, manifest: &Manifest, view: &View<'_>, unseen: &BTreeSet<&str>) -> bool {
    let Some(restored) = job.previous() else { return false };
    let place = &job.unit(at).place;
    let before = restored
        .manifest
        .units
        .iter()
        .position(|unit| unit.root == job.units[at].0 && unit.place == *place && !unit.unseen.is_empty());
    let Some(before) = before else { return false };
    let is_same_litter = |folder: &&str| {
        let is_same =
            view.inputs.get(*folder).zip(view.stamped.get(*folder)).is_some_and(|(now, then)| now.id == then.id);
        let litter = manifest.litter.get(*folder);
        let known = restored.manifest.litter.get(*folder);
        is_same && litter.is_some_and(|litter| is_known_litter(litter, known))
    };
    unseen.iter().all(is_same_litter) && made_the_same(job, at, before)
}

/// Whether what a run printed and put into its folder is, byte for byte, what the restored one was.
fn made_the_same(job: &Job<'_>, at: usize, before: usize) -> bool {
    let Some(restored) = job.previous() else { return false };
    let (root, _) = job.units[at];
    let place = &job.unit(at).place;
    let (output, out) = (place.run_output(), format!("{}/", place.out_dir()));
    let counts = |path: &str| path == output || path.starts_with(&out);
    let survey = &job.surveys[root];
    let now: BTreeMap<&str, PathBuf> = survey
        .files
        .iter()
        .filter(|file| counts(&file.path) && file.meta.kind == disk::Kind::File)
        .map(|file| (file.path.as_str(), survey.root.join(paths::path(&file.path))))
        .collect();
    let then: BTreeMap<&str, &Digest> = restored
        .manifest
        .files
        .iter()
        .filter(|file| file.unit == Some(before) && counts(&file.path))
        .filter_map(|file| match &file.content {
            Content::File { sha256, .. } => Some((file.path.as_str(), sha256)),
            _ => None,
        })
        .collect();
    now.len() == then.len()
        && now.iter().all(|(path, disk_path)| {
            then.get(path).is_some_and(|then| disk::digest(disk_path).is_ok_and(|now| now == **then))
        })
}
