//! A wiped disk: finds the best stored state, unpacks it, and drops whole units whose files did not all arrive.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use fs_err as fs;

use super::Arrival;
use crate::disk::FileSystem;
use crate::facts::Facts;
use crate::key::{Fit, Key, KeyFields, PartChange};
use crate::manifest::{Content, Manifest, Parent, Root};
use crate::outcome::{RestoreOutcome, Start};
use crate::pack::{self, Pack};
use crate::paths;
use crate::problem::{Warning, Warnings};
use crate::rebuild::Doubt;
use crate::state::Restored;
use crate::store::Store;

/// How many damaged entries are passed over before a start counts as cold.
const TRIES: usize = 3;
/// A clock difference that is waited out instead of shifted away.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn arrive(
    facts: &Facts,
    roots: &[Root],
    store: &dyn Store,
    file_system: &FileSystem,
    outcome: &mut RestoreOutcome,
) -> Arrival {
    let fields = facts.parts.fields();
    let mut passed_over = BTreeSet::new();
    let Some((pack, fit)) = best(store, &fields, Some(roots), &mut passed_over, &mut outcome.warnings) else {
        explain_miss(facts, store, &passed_over, outcome);
        return Arrival { passed_over, ..Arrival::default() };
    };
    if fit != Fit::Soft {
        outcome.rolled = facts.parts.diff(&pack.index.manifest.parts);
    }
    let manifest = pack.index.manifest.clone();
    let newest = manifest.newest().unwrap_or_default();
    let ahead = newest.since(file_system.now);
    let shift = if ahead > PATIENCE { ahead } else { Duration::ZERO };
    if !shift.is_zero() {
        let text = format!(
            "the stored state lies {:.0} s in the future (clock skew); its times are shifted back",
            ahead.as_secs_f64()
        );
        outcome.warnings.push(Warning::new(text));
    }

    let own = parent_of(&pack);
    let key = pack.key.clone();
    let (packs, damaged_parents) = with_parents(store, pack, &manifest, &mut outcome.warnings);
    let paths: Vec<PathBuf> = roots.iter().map(|root| PathBuf::from(&root.path)).collect();
    let unpacked = pack::unpack(&manifest, &packs, &paths, shift, &BTreeSet::new());
    outcome.files = unpacked.files;
    outcome.lost_files = unpacked.failed.len();
    outcome.bytes = unpacked.bytes;

    let (doubts, lost_files) = drop_incomplete(&manifest, &paths, &unpacked.failed);
    // That a pack is missing has been said.
    let unsaid = unpacked.failed.iter().find(|(_, reason)| !damaged_parents && !outcome.warnings.names(reason));
    if let Some((file, reason)) = unsaid {
        let (count, path) = (unpacked.failed.len(), &manifest.files[*file].path);
        outcome.warnings.push(Warning::new(format!("{count} files were not restored, `{path}` first: {reason}")));
    }
    let lost_units: BTreeSet<usize> = doubts.iter().map(|(unit, _)| *unit).collect();
    let units = manifest.units.len() - lost_units.len();
    let damaged = damaged_parents || !unpacked.failed.is_empty();
    Arrival {
        start: Start::Restored { key, fit, units },
        newest: crate::moment::Moment(newest.0).minus(shift),
        restored: Some(Restored { manifest, pack: own, lost_files, lost_units, damaged, changed: Vec::new() }),
        shift,
        doubts,
        passed_over,
        ..Arrival::default()
    }
}

/// The newest entry with equal soft parts, else the newest with equal hard parts; damaged ones are passed over and noted.
pub(super) fn best<'a>(
    store: &'a dyn Store,
    fields: &KeyFields,
    roots: Option<&[Root]>,
    passed_over: &mut BTreeSet<String>,
    warnings: &mut Warnings,
) -> Option<(Pack<'a>, Fit)> {
    for fit in [Fit::Soft, Fit::Hard] {
        let keys = match admitted(store, fields, fit) {
            Ok(keys) => keys,
            Err(error) => {
                warnings.fault(&format!("looking in the {}", store.describe()), &error);
                return None;
            }
        };
        for key in keys.iter().take(TRIES) {
            if passed_over.contains(key) {
                continue;
            }
            match open(store, key, roots) {
                Ok(pack) => return Some((pack, fit)),
                Err(error) => {
                    warnings.fault("a stored state is passed over", &error);
                    passed_over.insert(key.clone());
                }
            }
        }
    }
    None
}

fn admitted(store: &dyn Store, fields: &KeyFields, fit: Fit) -> Result<Vec<String>> {
    let entries = store.find(&fields.prefix(fit))?;
    let fits = |key: &String| Key::parse(key).is_some_and(|key| fields.admits(&key, fit));
    Ok(entries.into_iter().map(|entry| entry.key).filter(fits).collect())
}

fn open<'a>(store: &'a dyn Store, key: &str, roots: Option<&[Root]>) -> Result<Pack<'a>> {
    let pack = Pack::open(store, key)?;
    ensure!(pack.index.manifest.key == key, "`{key}` says that it is `{}`", pack.index.manifest.key);
    if let Some(roots) = roots {
        ensure!(pack.index.manifest.roots == roots, "`{key}` is for other folders");
    }
    Ok(pack)
}

/// What a pack is called in manifests that build on it.
pub(super) fn parent_of(pack: &Pack<'_>) -> Parent {
    let own = |content: &Content| match content {
        Content::File { size, at, .. } if at.pack == 0 => *size,
        _ => 0,
    };
    let bytes = pack.index.manifest.files.iter().map(|file| own(&file.content)).sum();
    Parent { key: pack.key.clone(), sha256: pack.sha256.clone(), bytes }
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
    for parent in &manifest.parents {
        let opened = Pack::open(store, &parent.key).and_then(|pack| {
            ensure!(pack.sha256 == parent.sha256, "`{}` holds other bytes than the ones it was built on", parent.key);
            Ok(pack)
        });
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
    roots: &[PathBuf],
    failed: &BTreeMap<usize, String>,
) -> (Vec<(usize, Doubt)>, BTreeSet<usize>) {
    let mut doubts: BTreeMap<usize, Doubt> = BTreeMap::new();
    for &at in failed.keys() {
        let file = &manifest.files[at];
        if let Some(unit) = file.unit {
            doubts.entry(unit).or_insert_with(|| Doubt::Incomplete { file: file.path.clone() });
        }
    }
    let mut lost: BTreeSet<usize> = failed.keys().copied().collect();
    for (at, file) in manifest.files.iter().enumerate() {
        if file.unit.is_some_and(|unit| doubts.contains_key(&unit)) && lost.insert(at) {
            let path = roots[file.root].join(paths::path(&file.path));
            // A folder stays if something is left in it.
            let _ =
                if let Content::Folder { .. } = file.content { fs::remove_dir(&path) } else { fs::remove_file(&path) };
        }
    }
    (doubts.into_iter().collect(), lost)
}

/// Nothing fits: the newest entry of the same name says which part rolled the key.
fn explain_miss(facts: &Facts, store: &dyn Store, passed_over: &BTreeSet<String>, outcome: &mut RestoreOutcome) {
    let fields = facts.parts.fields();
    if let Some(roll) = &outcome.roll {
        // The name is new, so nothing of that name can be compared with.
        let change = PartChange { part: "key-roll".to_owned(), old: String::new(), new: roll.text.clone() };
        outcome.rolled.push(change);
    }
    let newest = admitted(store, &fields, Fit::Name).ok().and_then(|keys| keys.into_iter().next());
    let Some(key) = newest.filter(|key| !passed_over.contains(key)) else {
        return;
    };
    match Pack::open(store, &key) {
        // An entry of this very name was rolled to before.
        Ok(pack) => outcome.rolled = facts.parts.diff(&pack.index.manifest.parts),
        Err(error) => outcome.warnings.fault("the last state cannot say why the key rolled", &error),
    }
}
