//! What a save writes down of the inputs it sees: job litter left out, folder times cleaned of it. Pure.
//!
//! How it can be wrong: litter that is recorded rebuilds something in the next run; an input that is taken for litter is
//! compared with nothing, so only files that no finished build can have seen are ever left out.

use std::collections::{BTreeMap, BTreeSet};

use crate::digest::ContentId;
use crate::machine::paths::{file_name, is_under, parent};
use crate::moment::Moment;
use crate::stamp::sight::View;
use crate::state::manifest::{Input, InputKind, Origin, PackageRecord, UnitRecord};

/// Folders whose time litter had moved, with the names of it.
pub type Litter = BTreeMap<String, BTreeSet<String>>;

/// Files that are newer than every unit that could have seen them. `named` are the paths that each unit names, `made` those that
/// a build script wrote, which may be needed when the program runs.
pub fn litter(
    view: &View<'_>,
    packages: &[PackageRecord],
    units: &[(&UnitRecord, &BTreeSet<String>)],
    made: &BTreeSet<String>,
) -> BTreeSet<String> {
    let named_alone: BTreeSet<&str> = units.iter().flat_map(|(_, named)| named.iter().map(String::as_str)).collect();
    let mut watchers: BTreeMap<&str, Moment> = BTreeMap::new();
    for (unit, named) in units {
        for path in *named {
            let newest = watchers.entry(path).or_default();
            *newest = unit.reference.max(*newest);
        }
    }
    let newest = |wanted: &dyn Fn(&UnitRecord) -> bool| {
        units.iter().filter(|(unit, _)| wanted(unit)).map(|(unit, _)| unit.reference).max()
    };
    let mut found = BTreeSet::new();
    for (path, input) in view.inputs {
        let is_foreign = matches!(input.origin, Origin::Untracked | Origin::Ignored | Origin::Outside);
        let is_known = named_alone.contains(path.as_str()) || made.contains(path);
        if !is_foreign || is_known || view.is_constant(path) {
            continue;
        }
        let owners = packages.iter().filter(|package| is_under(path, &package.dir));
        let owner = owners.max_by_key(|package| package.dir.len());
        let watched = folders_above(path).filter_map(|dir| watchers.get(dir).copied()).max();
        // Such units may have read every file of their package, and what belongs to none.
        let reads_all = |unit: &UnitRecord| unit.is_precalculated() || unit.uses_reading_macros();
        let of_package = match (input.origin, owner) {
            (Origin::Outside, _) => None,
            (_, Some(owner)) => newest(&|unit| unit.is_of(owner) && reads_all(unit)),
            (_, None) => newest(&UnitRecord::uses_reading_macros),
        };
        let built = match (watched.max(of_package), owner) {
            (Some(built), _) => Some(built),
            // Nobody reads it as far as is known: what is older than the package's units may be there again.
            (None, Some(owner)) => newest(&|unit| unit.is_of(owner)),
            (None, None) => None,
        };
        let time = view.changed.get(path).copied().unwrap_or_default().max(input.mtime);
        if built.is_none_or(|built| time > built) {
            found.insert(path.clone());
        }
    }
    found
}

fn folders_above(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(parent(path), |dir| parent(dir))
}

/// Adds the folders that hold these inputs, as far up as `roots` reach; a folder is the names of its counted children, and has
/// the origin of the root that it lies in.
pub fn with_folders(
    inputs: &mut BTreeMap<String, Input>,
    roots: &[(String, Origin)],
    mut mtime_of: impl FnMut(&str) -> Option<Moment>,
) {
    let mut children: BTreeMap<String, (Origin, BTreeSet<String>)> = BTreeMap::new();
    for path in inputs.keys() {
        let mut child = path.as_str();
        while let Some(dir) = parent(child) {
            let Some((_, origin)) = roots.iter().find(|(root, _)| dir == root || is_under(dir, root)) else { break };
            let (_, names) = children.entry(dir.to_owned()).or_insert_with(|| (*origin, BTreeSet::new()));
            if !names.insert(file_name(child).to_owned()) {
                break;
            }
            child = dir;
        }
    }
    for (path, (origin, names)) in children {
        let Some(mtime) = mtime_of(&path) else { continue };
        let id = ContentId::of_children(names.iter().map(String::as_str));
        inputs.insert(
            path.clone(),
            Input { path, kind: InputKind::Folder, id, executable: false, mtime, origin, resolved: None },
        );
    }
}

/// Sets right what the job's own steps did to times: a folder whose counted children did not change keeps the time it was
/// stamped with if it was litter that changed it, and so does what means the same inside `.git`. Which folders these were comes
/// back. `litter_in` says of a folder's children that do not count when the newest changed, and their names.
pub fn undo_job_effects(
    view: &View<'_>,
    litter_in: impl Fn(&str) -> (Option<Moment>, BTreeSet<String>),
) -> (BTreeMap<String, Moment>, Litter) {
    let (mut times, mut littered) = (BTreeMap::new(), Litter::new());
    for (path, input) in view.inputs {
        let then = view.stamped.get(path);
        if then.is_some_and(|then| input.mtime == then.mtime || input.id != then.id) {
            continue;
        }
        if let (true, Some(then)) = (input.id.is_meaning(), then) {
            times.insert(path.clone(), then.mtime);
        } else if input.kind == InputKind::Folder {
            let (newest, names) = litter_in(path);
            // A folder that changed after its last litter lost something, and a build may have seen that.
            if newest.is_some_and(|newest| input.mtime <= newest) {
                // One that was not looked at before keeps its time, but the next save knows the litter.
                times.extend(then.map(|then| (path.clone(), then.mtime)));
                littered.insert(path.clone(), names);
            }
        }
    }
    (times, littered)
}
