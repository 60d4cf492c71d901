//! What a save writes down of the inputs it sees: job litter left out, folder times cleaned of it, backdated changes undone.
//!
//! How it can be wrong: litter that is recorded rebuilds something in the next run; an input that is taken for litter is
//! compared with nothing, so only files that no finished build can have seen are ever left out.

use std::collections::{BTreeMap, BTreeSet};

use crate::digest::ContentId;
use crate::manifest::{Input, InputKind, Origin, PackageRecord, UnitRecord};
use crate::moment::Moment;
use crate::paths::{file_name, is_under, parent};

/// What stamping left behind, from the state file.
pub type Stamped = BTreeMap<String, (ContentId, Moment)>;

/// Drops untracked files that are newer than every unit of their package: no build has seen them.
pub fn without_litter(
    inputs: &mut BTreeMap<String, Input>,
    packages: &[PackageRecord],
    units: &[UnitRecord],
    named: &BTreeSet<String>,
) {
    let newest = |owner: Option<&PackageRecord>| {
        let built = units.iter().filter(|unit| owner.is_none_or(|owner| unit.is_of(owner)));
        built.map(|unit| unit.reference).max()
    };
    inputs.retain(|path, input| {
        if input.origin != Origin::Untracked || named.contains(path) {
            return true;
        }
        let owners = packages.iter().filter(|package| is_under(path, &package.dir));
        let owner = owners.max_by_key(|package| package.dir.len());
        newest(owner).is_some_and(|built| input.mtime <= built)
    });
}

/// Adds the folders that hold these inputs, as far up as `roots` reach; a folder is the names of its counted children.
pub fn with_folders(inputs: &mut BTreeMap<String, Input>, roots: &[String], mtime_of: impl Fn(&str) -> Option<Moment>) {
    let mut children: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in inputs.values().filter(|input| input.origin != Origin::Outside).map(|input| input.path.as_str()) {
        let mut child = path;
        while let Some(dir) = parent(child) {
            if !roots.iter().any(|root| dir == root || is_under(dir, root)) {
                break;
            }
            if !children.entry(dir.to_owned()).or_default().insert(file_name(child).to_owned()) {
                break;
            }
            child = dir;
        }
    }
    for (path, names) in children {
        let Some(mtime) = mtime_of(&path) else { continue };
        let id = ContentId::of_children(names.iter().map(String::as_str));
        let origin = Origin::Tracked;
        inputs.insert(path.clone(), Input { path, kind: InputKind::Folder, id, mtime, origin, resolved: None });
    }
}

/// Sets right what the job's own steps did to times: a folder whose counted children did not change keeps the time it was
/// stamped with if it was litter that changed it, and a change that was given an old time (`touch -d`, `cp -p`, `mv`) is
/// recorded as the newest thing there is. `litter_in` is the newest time of a folder's children that do not count.
pub fn undo_job_effects(
    inputs: &mut BTreeMap<String, Input>,
    stamped: &Stamped,
    restored_at: Moment,
    newest: Moment,
    litter_in: impl Fn(&str) -> Option<Moment>,
) {
    let mut calmed = Vec::new();
    for (path, input) in inputs.iter_mut() {
        let Some((id, mtime)) = stamped.get(path) else { continue };
        match input.kind {
            // A folder that changed after its last litter lost something, and a build may have seen that.
            InputKind::Folder if *id == input.id && input.mtime != *mtime => {
                if litter_in(path).is_some_and(|litter| input.mtime <= litter) {
                    calmed.push((path.clone(), *mtime));
                }
            }
            InputKind::Folder => {}
            InputKind::File | InputKind::Symlink => {
                if *id != input.id && input.mtime <= restored_at {
                    input.mtime = Moment(newest.0.saturating_add(1));
                }
            }
        }
    }
    for (path, mtime) in calmed {
        if let Some(input) = inputs.get_mut(&path) {
            input.mtime = mtime;
        }
    }
}
