//! The Cargo home's own lineage: brings back the index, archives and git databases that are not there yet.
//!
//! Nothing that is there and whole is ever overwritten; nothing arrives that a save would not store, nor any archive that is
//! not the one which the lock file names. Files appear whole: unpacked beside, then renamed. What does not arrive, Cargo
//! fetches.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use fs_err as fs;

use super::arrival;
use super::choice::{self, Chosen};
use crate::cargo::home::{
    Holdings, Wanted, forged, holdings, is_database_config, is_kept, is_named_by_content, is_plain_config,
};
use crate::cargo::lockfile::Locked;
use crate::job::facts::{Facts, home_parts};
use crate::job::handover::HomeState;
use crate::job::outcome::RestoreOutcome;
use crate::machine::disk::Meta;
use crate::machine::paths;
use crate::pack::{self, Late, Pack, Staged};
use crate::problem::Warning;
use crate::state::key::Fit;
use crate::state::manifest::{Content, Manifest};
use crate::store::Store;
use crate::words::count;

pub(super) fn restore(facts: &Facts, store: &dyn Store, outcome: &mut RestoreOutcome) -> HomeState {
    let mut parts = home_parts(&facts.locked);
    // A lock file that is not there yet names nothing, so nobody knows what is missing.
    let unlocked = facts.locked.iter().any(|locked| locked.packages.is_empty());
    if unlocked {
        parts.soft.manifests.clone_from(&facts.parts.soft.manifests);
    }
    let wanted = if unlocked { Wanted::All } else { Wanted::Locked(&facts.locked) };
    let mut state = HomeState {
        parts,
        manifest: None,
        pack: None,
        passed_over: BTreeSet::new(),
        names: BTreeSet::new(),
        lost_files: BTreeSet::new(),
        damaged: false,
    };
    pack::sweep(&facts.cargo_home);
    let held = holdings(&facts.cargo_home, wanted, &BTreeSet::new()).unwrap_or_default();
    if !unlocked && has_everything(facts, &held.names) {
        state.names = held.names;
        return state;
    }
    let judge = |candidates: &[(Pack<'_>, Fit)]| fullest(&facts.locked, candidates);
    let fields = state.parts.fields();
    let found = choice::best(store, &fields, None, &judge, &mut state.passed_over, &mut outcome.warnings);
    let brought = match found {
        Chosen::State(pack, ..) if pack.index.manifest.roots.len() == 1 => {
            bring(facts, store, *pack, (&held, wanted), &mut state, outcome)
        }
        Chosen::State(..) | Chosen::Siblings(..) | Chosen::Nothing | Chosen::Unanswered => BTreeSet::new(),
    };
    // What is there before the job's own steps is not news.
    state.names = holdings(&facts.cargo_home, wanted, &brought).map(|held| held.names).unwrap_or_default();
    state
}

/// Brings what is not there, and says which archives came.
fn bring<'a>(
    facts: &Facts,
    store: &'a dyn Store,
    pack: Pack<'a>,
    (held, wanted): (&Holdings, Wanted<'_>),
    state: &mut HomeState,
    outcome: &mut RestoreOutcome,
) -> BTreeSet<PathBuf> {
    let home = &facts.cargo_home;
    let manifest = pack.index.manifest.clone();
    let own = pack.as_parent();
    let key = pack.key.clone();
    let staged = match Staged::beside(std::slice::from_ref(home)) {
        Ok(staged) => staged,
        Err(error) => {
            outcome.warnings.fault("the Cargo home was not restored", &error);
            return BTreeSet::new();
        }
    };
    let (packs, damaged) = arrival::with_parents(store, pack, &manifest, &mut outcome.warnings);
    let refused: BTreeSet<usize> = (0..manifest.files.len()).filter(|&at| !may_come(&manifest, at)).collect();
    if let Some(path) = refused.first().map(|&at| paths::shown(&manifest.files[at].path)) {
        let text = format!(
            "of the stored Cargo home {} refused, `{path}` first: no save stores such a path",
            if refused.len() == 1 { "1 file is".to_owned() } else { format!("{} files are", refused.len()) }
        );
        outcome.warnings.push(Warning::new(text));
    }
    let there = there(facts, &manifest, held);
    let is_skipped =
        |at: usize| refused.contains(&at) || there.contains(&at) || !wanted.holds(&manifest.files[at].path);
    let unpacked = staged.unpack(&manifest, &packs, Duration::ZERO, &is_skipped);
    if let Some(reason) = unpacked.full {
        outcome.warnings.push(Warning::new(format!("the Cargo home was not restored: {reason}")));
        return BTreeSet::new();
    }
    let dir = staged.dirs().remove(0);
    let came = |at: &usize| !is_skipped(*at) && !unpacked.failed.contains_key(at);
    let archives: BTreeMap<PathBuf, usize> = (0..manifest.files.len())
        .filter(came)
        .map(|at| (dir.join(paths::path(&manifest.files[at].path)), at))
        .filter(|(path, _)| path.extension().is_some_and(|end| end == "crate"))
        .collect();
    let mut lost = unpacked.failed.clone();
    let forged = forged(&archives.keys().cloned().collect::<Vec<_>>(), &facts.locked);
    let mut unfit: Vec<(usize, &str)> = forged
        .iter()
        .filter_map(|path| Some((*archives.get(path)?, "is not the one that the lock file names")))
        .collect();
    let configs = (0..manifest.files.len()).filter(came).filter(|&at| is_database_config(&manifest.files[at].path));
    let is_plain = |at: &usize| {
        let text = fs::read_to_string(dir.join(paths::path(&manifest.files[*at].path)));
        text.is_ok_and(|text| is_plain_config(&text))
    };
    unfit.extend(configs.filter(|at| !is_plain(at)).map(|at| (at, "of a git database says more than Cargo writes")));
    for (at, why) in unfit {
        let path = dir.join(paths::path(&manifest.files[at].path));
        // Before anybody could see it. One that cannot be removed is not moved in either: nothing is.
        if let Err(error) = fs::remove_file(&path) {
            outcome.warnings.fault("the Cargo home was not restored", &error.into());
            return BTreeSet::new();
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let reason = format!("the stored `{name}` {why}");
        outcome.warnings.push(Warning::new(format!("{reason}; it is removed")).because(&reason));
        lost.insert(at, reason);
    }
    let missing = staged.move_in(&manifest, &[last(&manifest)], |_| {});
    lost.extend(missing.into_iter().filter(|(at, _)| !is_skipped(*at)));
    if let Some(reason) = lost.values().find(|reason| !outcome.warnings.tell_of(reason)).filter(|_| !damaged) {
        let text = format!("{} of the Cargo home could not be restored: {reason}", count(lost.len(), "file"));
        outcome.warnings.push(Warning::new(text));
    }
    let brought: Vec<usize> =
        (0..manifest.files.len()).filter(|at| !is_skipped(*at) && !lost.contains_key(at)).collect();
    outcome.home.key = Some(key);
    outcome.home.files = brought.len();
    outcome.home.bytes = brought.iter().map(|&at| manifest.files[at].size()).sum();
    state.pack = Some(own);
    state.damaged = damaged || !lost.is_empty() || !refused.is_empty();
    state.lost_files = lost.into_keys().chain(refused).collect();
    let trusted = archives.into_values().filter(|at| !state.lost_files.contains(at));
    let trusted = trusted.map(|at| home.join(paths::path(&manifest.files[at].path))).collect();
    state.manifest = Some(manifest);
    trusted
}

fn may_come(manifest: &Manifest, at: usize) -> bool {
    let file = &manifest.files[at];
    matches!(file.content, Content::File { .. } | Content::Folder { .. }) && is_kept(&file.path)
}

/// Which files of the manifest need not come: something is there under their name, and it is not a part of them only.
fn there(facts: &Facts, manifest: &Manifest, held: &Holdings) -> BTreeSet<usize> {
    let locked: BTreeSet<String> = facts.locked.iter().flat_map(|locked| locked.archives().into_keys()).collect();
    let is_there = |at: &usize| {
        let file = &manifest.files[*at];
        let path = paths::path(&file.path);
        let Ok(meta) = Meta::of(&facts.cargo_home.join(&path)) else { return false };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if locked.contains(&name) {
            return held.names.contains(&name);
        }
        !is_named_by_content(&file.path) || meta.size >= file.size()
    };
    (0..manifest.files.len()).filter(is_there).collect()
}

/// What git goes by when it looks for the rest comes after the rest.
fn last(manifest: &Manifest) -> Late {
    let mut late = Late::new();
    for file in manifest.files.iter().filter(|file| matches!(file.content, Content::File { .. })) {
        let path = paths::path(&file.path);
        let is_git = file.path.starts_with("git/db/");
        if path.extension().is_some_and(|end| end == "idx") {
            late.insert(path, 1);
        } else if is_git && !is_named_by_content(&file.path) {
            late.insert(path, 2);
        }
    }
    late
}

/// The state that holds most of what the lock files name; of equal ones the newest, which comes first.
fn fullest(locked: &[Locked], candidates: &[(Pack<'_>, Fit)]) -> usize {
    let archives: BTreeSet<String> = locked.iter().flat_map(|locked| locked.archives().into_keys()).collect();
    let repositories: BTreeSet<String> = locked.iter().flat_map(Locked::git_names).collect();
    let count = |manifest: &Manifest| {
        let names = manifest.files.iter().filter_map(|file| {
            let mut parts = file.path.split('/').rev();
            let name = parts.next()?;
            let repository =
                file.path.strip_prefix("git/db/").and_then(|rest| rest.split('/').next()?.rsplit_once('-'));
            let repository = repository.map(|(name, _)| name.to_lowercase()).filter(|name| repositories.contains(name));
            archives.contains(name).then(|| name.to_owned()).or(repository)
        });
        names.collect::<BTreeSet<String>>().len()
    };
    let counts: Vec<usize> = candidates.iter().map(|(pack, _)| count(&pack.index.manifest)).collect();
    let best = counts.iter().copied().max().unwrap_or_default();
    counts.iter().position(|count| *count == best).unwrap_or_default()
}

fn has_everything(facts: &Facts, names: &BTreeSet<String>) -> bool {
    let wanted: BTreeSet<String> = facts.locked.iter().flat_map(|locked| locked.archives().into_keys()).collect();
    let git = facts.locked.iter().flat_map(Locked::git_names).count();
    git == 0 && wanted.is_subset(names)
}
