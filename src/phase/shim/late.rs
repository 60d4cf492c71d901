//! Gives late inputs the time that they had, where nothing can have been built from anything else in their place.
//!
//! The danger: a step writes other content, something is built from that, and another step writes the recorded content again.
//! With its old time the file would look older than what was built from the wrong one. So a file is stamped only if every
//! unit that names it is still, byte for byte and to the nanosecond, a restored one; if no build is running; and if no build
//! anywhere was seen to meet it with other content, or into another folder without it. Then it is compared once more after it
//! was stamped, because whoever writes to it later makes it newer by that.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fs_err as fs;

use super::line::Line;
use crate::cargo::invalidate::invalidate;
use crate::cargo::survey::survey_all;
use crate::cargo::units::Survey;
use crate::cargo::{building, named};
use crate::digest::ContentId;
use crate::job::handover::LocalManifest;
use crate::machine::disk::{self, Kind, Meta};
use crate::machine::paths::is_under;
use crate::machine::process::Lock;
use crate::moment::Moment;
use crate::shim::late::{LateInput, LateList};
use crate::stamp::recorded::differences;
use crate::stamp::sources::hash_file;

/// For another call that is busy with the same list.
const LATE_WAIT: Duration = Duration::from_secs(2);

/// How a file stands.
enum Standing {
    /// Nothing to do.
    Settled,
    Missing,
    /// As recorded, but too new.
    Late,
    /// As recorded and no newer.
    Arrived,
    /// Something else.
    Different(Meta),
}

/// Goes through every list in a folder; what there is to say.
pub(super) fn stamp(folder: &Path, line: &Line) -> Vec<String> {
    let paths = fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let lists = paths.filter(|path| path.extension().is_some_and(|end| end == "json"));
    lists.filter_map(|path| go_through(&path, line)).collect()
}

fn go_through(path: &Path, line: &Line) -> Option<String> {
    let list = LateList::load(path)?;
    let is_elsewhere = !line.builds_into(&list.roots, &list.workspaces);
    let is_news = |standing: &Standing| match standing {
        Standing::Settled => false,
        Standing::Missing => is_elsewhere,
        Standing::Late | Standing::Arrived | Standing::Different(_) => true,
    };
    if !list.inputs.iter().map(standing).any(|standing| is_news(&standing)) {
        return None;
    }
    // Only one call at a time, and it starts from what the last one left.
    let Some(_lock) = lock(path) else {
        LateList::forget(path);
        return Some("late inputs count as new: another call is busy with them".to_owned());
    };
    let mut list = LateList::load(path)?;
    let stamped = settle(&mut list, is_elsewhere);
    if list.store(path).is_err() {
        LateList::forget(path);
    }
    (stamped > 0).then(|| format!("{stamped} late inputs are as recorded and got their time back"))
}

fn lock(path: &Path) -> Option<Lock> {
    let lock = Lock::open(&path.with_extension("lock")).ok()?;
    let began = Instant::now();
    while began.elapsed() < LATE_WAIT {
        if lock.try_alone().ok()? {
            return Some(lock);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    None
}

/// Stamps what may be stamped and takes from the list what can never be.
fn settle(list: &mut LateList, is_elsewhere: bool) -> usize {
    let mut stamped = 0;
    let mut late = Vec::new();
    let (new_time, roots) = (list.new_time, list.roots.clone());
    list.inputs.retain_mut(|input| match standing(input) {
        Standing::Settled => true,
        Standing::Missing => !is_elsewhere,
        Standing::Arrived => {
            input.seen = true;
            true
        }
        Standing::Late => {
            late.push(input.path.clone());
            true
        }
        Standing::Different(meta) => {
            // A tool that keeps old times could make it look older than what was built from the recorded one.
            if meta.mtime < new_time && disk::set_mtime(&input.path, meta.kind, now()).is_err() {
                invalidate_readers(&roots, input);
            }
            false
        }
    });
    if late.is_empty() {
        return 0;
    }
    if building::is_going_on(&list.roots) {
        list.inputs.retain(|input| !late.contains(&input.path));
        return 0;
    }
    let trusted = Trust::of(list);
    list.inputs.retain_mut(|input| {
        if !late.contains(&input.path) {
            return true;
        }
        let is_done = trusted.as_ref().is_some_and(|trust| trust.allows(input)) && set_back(input);
        stamped += usize::from(is_done);
        input.seen = is_done;
        is_done
    });
    stamped
}

fn standing(input: &LateInput) -> Standing {
    let Ok(meta) = Meta::of(&input.path) else { return Standing::Missing };
    if input.seen && meta.mtime == input.mtime {
        return Standing::Settled;
    }
    match content(&input.path, &meta, &input.id) {
        Some(id) if id == input.id && meta.mtime > input.mtime => Standing::Late,
        Some(id) if id == input.id => Standing::Arrived,
        _ => Standing::Different(meta),
    }
}

fn content(path: &Path, meta: &Meta, like: &ContentId) -> Option<ContentId> {
    if meta.kind == Kind::File { hash_file(path, meta, like.algorithm()?) } else { None }
}

/// Whether the file has the time and still the content.
fn set_back(input: &LateInput) -> bool {
    if disk::set_mtime(&input.path, Kind::File, input.mtime).is_err() {
        return false;
    }
    let after = Meta::of(&input.path).ok().filter(|meta| meta.mtime == input.mtime);
    let same = after.is_some_and(|meta| content(&input.path, &meta, &input.id).is_some_and(|id| id == input.id));
    if !same {
        // Written to in between: whatever it is now, it is new.
        let _ = disk::set_mtime(&input.path, Kind::File, now());
    }
    same
}

/// Of a file whose time is not ours to set. A unit that cannot be invalidated was not restored whole.
fn invalidate_readers(roots: &[PathBuf], input: &LateInput) {
    let Some(LocalManifest { manifest, .. }) = roots.first().and_then(|root| LocalManifest::read(root)) else { return };
    let reads = |at: &usize| input.path.to_str() == Some(manifest.inputs[*at].path.as_str());
    for unit in manifest.units.iter().filter(|unit| unit.inputs.iter().any(&reads)) {
        if let Some(root) = roots.get(unit.root) {
            let _ = invalidate(root, &unit.place);
        }
    }
}

fn now() -> Moment {
    filetime::FileTime::now().into()
}

/// What the restored units are, and what the others name.
struct Trust {
    local: LocalManifest,
    /// Paths that units name which are not as restored.
    named_by_others: BTreeSet<String>,
}

impl Trust {
    fn of(list: &LateList) -> Option<Self> {
        let local = LocalManifest::read(list.roots.first()?)?;
        let roots = local.manifest.roots.iter().map(|root| root.path.clone());
        if !roots.eq(list.roots.iter().cloned()) {
            return None;
        }
        let surveys = survey_all(&list.roots).ok()?;
        let named_by_others = named_by_others(&local, &surveys)?;
        Some(Self { local, named_by_others })
    }

    fn allows(&self, input: &LateInput) -> bool {
        let Some(path) = input.path.to_str() else { return false };
        let LocalManifest { manifest, shift, .. } = &self.local;
        let is_recorded = manifest
            .inputs
            .iter()
            .any(|then| then.path == path && then.id == input.id && then.mtime.minus(*shift) == input.mtime);
        is_recorded && !self.named_by_others.iter().any(|named| named == path || is_under(path, named))
    }
}

/// Nothing if it cannot be known.
fn named_by_others(local: &LocalManifest, surveys: &[Survey]) -> Option<BTreeSet<String>> {
    let LocalManifest { manifest, shift, changed, .. } = local;
    let mut others = differences(manifest, changed, *shift, surveys);
    others.unknown.extend(others.units.keys().map(|&at| (manifest.units[at].root, manifest.units[at].place.clone())));
    let mut paths = BTreeSet::new();
    for (root, survey) in surveys.iter().enumerate() {
        for unit in survey.units.iter().filter(|unit| others.unknown.contains(&(root, unit.place.clone()))) {
            if unit.fingerprints.iter().any(|fingerprint| fingerprint.fingerprint.is_none()) {
                return None;
            }
            // Where it lies is not worth asking: every package of its name counts.
            let packages = manifest.packages.iter().filter(|package| package.name == unit.place.package);
            let dirs: Vec<PathBuf> = packages.map(|package| crate::machine::paths::path(&package.dir)).collect();
            paths.extend(named::paths(unit, &dirs, &survey.root));
        }
    }
    Some(paths)
}
