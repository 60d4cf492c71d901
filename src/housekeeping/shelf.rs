//! A store as housekeeping sees it: everything that lies there, who refers to whom, and what is known to be gone or in use.
//!
//! What cannot be read or asked is said to be unknown, and never to be nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::lease;
use super::parents::Noted;
use crate::github::{GithubToken, Refusal, Repository};
use crate::machine::environment;
use crate::moment::Moment;
use crate::pack::Pack;
use crate::problem::WrongInput;
use crate::state::housekeeping::stock::Quota;
use crate::state::housekeeping::{Kin, Kind, Parents, Policy};
use crate::state::stored::Stored;
use crate::store::actions::{ListedStore, Service};
use crate::store::object::{self, Location};
use crate::store::{self, DirStore, Store, StoreInput};

/// A job of a hosted runner takes six hours at most, and GitHub notes each reading.
const GRACE: Duration = Duration::from_secs(7 * 60 * 60);
/// In a folder, leases say what jobs under way build on; this is for what they do before they have one, and while they save.
const GRACE_IN_A_FOLDER: Duration = Duration::from_secs(15 * 60);
const IDLE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

#[derive(Debug)]
pub struct Shelf {
    pub store: Box<dyn Store>,
    pub repository: Option<Arc<Repository>>,
    /// Where the packs lie, if that is a folder.
    pub dir: Option<PathBuf>,
    /// The refs that this job can read, the own one first; none where nobody says so.
    scopes: Option<Vec<String>>,
    /// What somebody has to know who reads the rest.
    remarks: Vec<String>,
}

impl Shelf {
    /// Opens a store for housekeeping, whose work has to be over in `budget`.
    pub fn open(input: &StoreInput, budget: Duration, token: Option<&GithubToken>) -> Result<Self> {
        match input {
            StoreInput::Dir(dir) => {
                let (store, _) = store::open(input, budget);
                Ok(Self { store, repository: None, dir: Some(dir.clone()), scopes: None, remarks: Vec::new() })
            }
            // What a disk before a bucket holds is a copy, and kept small after each save.
            StoreInput::Object(location) | StoreInput::Tiers(_, location) => {
                let env = environment::variables();
                let (mut repository, mut remarks) = (None, Vec::new());
                if let Some(id) = env.get("GITHUB_REPOSITORY_ID").filter(|id| !id.trim().is_empty()) {
                    let asked = token.map(|token| Repository::open(&env, token, budget)).transpose()?;
                    match asked.as_ref().map(Repository::number) {
                        // Refs of one say nothing of the entries of another.
                        Some(Ok(number)) if number.to_string() != id.trim() => {
                            let hint = "the two have to mean the same repository";
                            let what = format!(
                                "`GITHUB_REPOSITORY` has the number {number}, and `GITHUB_REPOSITORY_ID` is {id}"
                            );
                            return Err(WrongInput::new(what, hint).into());
                        }
                        Some(Err(refusal)) => remarks.push(format!("which refs are gone is not known: {refusal}")),
                        Some(Ok(_)) | None => repository = asked.map(Arc::new),
                    }
                } else {
                    let text =
                        "`GITHUB_REPOSITORY_ID` is not set: this is what was stored without it, outside of workflows";
                    remarks.push(text.to_owned());
                }
                let store = Box::new(store::bucket(location, budget)?);
                Ok(Self { store, repository, dir: None, scopes: None, remarks })
            }
            StoreInput::Actions => {
                let env = environment::variables();
                let token = token.context("no `github-token` is given")?;
                let repository = Arc::new(Repository::open(&env, token, budget)?);
                let service = Service::choose(&env, jiff::Timestamp::now().as_second()).ok();
                let scopes = service.map(|service| service.scopes).filter(|scopes| !scopes.is_empty());
                // Without the service everything can be listed, and nothing read.
                let (service, _) = store::open(input, budget);
                let store = ListedStore { service, repository: Arc::clone(&repository) };
                let (store, remarks) = (Box::new(store), Vec::new());
                Ok(Self { store, repository: Some(repository), dir: None, scopes, remarks })
            }
        }
    }

    /// Opens the disk that stands before a bucket.
    pub fn before(location: &Location, folder: &Path, budget: Duration) -> Result<Self> {
        let dir = store::before(location, folder, budget)?;
        let store = Box::new(DirStore::new(dir.clone()));
        Ok(Self { store, repository: None, dir: Some(dir), scopes: None, remarks: Vec::new() })
    }

    /// What is done where nobody says otherwise.
    pub fn policy(&self) -> Result<Policy> {
        let now = Moment::from(filetime::FileTime::now());
        let held = self.dir.as_deref().map(|dir| lease::held(dir, now)).transpose()?.unwrap_or_default();
        let grace = if self.dir.is_some() { GRACE_IN_A_FOLDER } else { GRACE };
        Ok(Policy { now, grace, idle: IDLE, dead: BTreeSet::new(), budget: None, held })
    }

    /// Refs of these entries that are known to be gone, and what could not be found out. Asked after the entries were listed: a ref
    /// that came later has none of them.
    pub fn dead_scopes(&self, entries: &[Stored]) -> (BTreeSet<String>, Vec<Refusal>) {
        let scopes: BTreeSet<&str> = entries.iter().filter_map(|entry| entry.scope.as_deref()).collect();
        let (mut dead, mut unknown) = (BTreeSet::new(), Vec::new());
        let Some(repository) = &self.repository else { return (dead, unknown) };
        let numbers: Vec<(u64, &str)> = scopes.iter().filter_map(|scope| Some((number(scope)?, *scope))).collect();
        if !numbers.is_empty() {
            match repository.open_pull_requests() {
                Ok(open) => dead.extend(
                    numbers.iter().filter(|(number, _)| !open.contains(number)).map(|(_, scope)| (*scope).to_owned()),
                ),
                Err(refusal) => unknown.push(refusal),
            }
        }
        let branches: Vec<(&str, &str)> =
            scopes.iter().filter_map(|scope| Some((scope.strip_prefix("refs/heads/")?, *scope))).collect();
        if !branches.is_empty() {
            match repository.branches() {
                Ok(there) => dead.extend(
                    branches.iter().filter(|(name, _)| !there.contains(*name)).map(|(_, scope)| (*scope).to_owned()),
                ),
                Err(refusal) => unknown.push(refusal),
            }
        }
        (dead, unknown)
    }

    /// What could not be found out, and what the store has to say.
    pub fn notes(&self, unknown: &[Refusal]) -> Vec<String> {
        let said = self.store.warnings().into_iter().map(|warning| warning.to_string());
        self.remarks.iter().cloned().chain(unknown.iter().map(ToString::to_string)).chain(said).collect()
    }

    /// The parents of these entries, as far as they can be read in time.
    pub fn kin(&self, entries: &[Stored], wanted: &BTreeSet<usize>, time: Duration) -> Kin {
        let began = Instant::now();
        let mut noted = Noted::load(self.dir.as_deref());
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        for entry in entries {
            *names.entry(&entry.key).or_default() += 1;
        }
        let mut kin = Kin::new();
        for &at in wanted {
            let entry = &entries[at];
            let is_one = names[entry.key.as_str()] == 1;
            let parents = if let Some(parents) = self.store.parents(entry) {
                Parents::Known(parents)
            } else if let Some(parents) = noted.get(entry) {
                Parents::Known(parents.clone())
            } else if began.elapsed() < time && self.is_in_sight(entry, is_one) {
                match parents(self.store.as_ref(), &entry.key) {
                    Ok(parents) => {
                        noted.add(entry, parents.clone());
                        Parents::Known(parents)
                    }
                    Err(error) => {
                        tracing::debug!(entry.key, ?error, "a manifest cannot be read");
                        Parents::Unreadable
                    }
                }
            } else {
                Parents::Unreadable
            };
            kin.insert(at, parents);
        }
        noted.store(entries);
        kin
    }

    /// Whether what is read under this name is this very entry: a lookup takes the first ref that has one.
    fn is_in_sight(&self, entry: &Stored, is_one: bool) -> bool {
        match (&self.scopes, entry.scope.as_ref()) {
            (_, None) => true,
            (None, Some(_)) => is_one,
            (Some(scopes), Some(scope)) => scopes.first() == Some(scope) || is_one && scopes.contains(scope),
        }
    }
}

fn parents(store: &dyn Store, key: &str) -> Result<BTreeSet<String>> {
    let pack = Pack::open(store, key)?;
    anyhow::ensure!(pack.index.manifest.key == key, "it says that it is another");
    Ok(pack.index.manifest.parents.into_iter().map(|parent| parent.key).collect())
}

/// The list price of a gibibyte for a month, of the standard kind and in the United States.
fn dollars(kind: object::Kind) -> f64 {
    match kind {
        object::Kind::S3 => 0.023,
        object::Kind::Gcs => 0.020,
        object::Kind::Azure => 0.0184,
    }
}

/// `refs/pull/7/merge`.
fn number(scope: &str) -> Option<u64> {
    scope.strip_prefix("refs/pull/")?.split('/').next()?.parse().ok()
}

/// Every entry whose manifest says something.
pub fn states(entries: &[Stored]) -> BTreeSet<usize> {
    (0..entries.len()).filter(|&at| matches!(Kind::of(&entries[at].key), Kind::State(_))).collect()
}

/// Whether anybody holds a lease on it by now.
pub(super) fn is_held(dir: Option<&Path>, key: &str) -> bool {
    let now = Moment::from(filetime::FileTime::now());
    dir.is_some_and(|dir| lease::held(dir, now).map_or(true, |held| held.contains(key)))
}

/// GitHub is not asked without a token.
pub fn check(store: &StoreInput, token: Option<&GithubToken>) -> Result<()> {
    if *store == StoreInput::Actions && token.is_none() {
        let hint = "give `--github-token` one with `actions: write`, or `--store dir:PATH` for a folder";
        return Err(WrongInput::new("there is no token to ask GitHub with", hint).into());
    }
    Ok(())
}

/// What the store may hold, where there is a limit, and what it costs; what cannot be asked is noted.
pub fn quota(store: &StoreInput, shelf: &Shelf, bytes: u64, notes: &mut Vec<String>) -> Option<Quota> {
    if let StoreInput::Object(location) | StoreInput::Tiers(_, location) = store {
        return Some(Quota::of_bucket(bytes, dollars(location.kind)));
    }
    let repository = shelf.repository.as_ref()?;
    let used =
        repository.cache_usage().map_err(|refusal| notes.push(format!("the use is not known: {refusal}"))).ok()?;
    // Few may ask for the limit; ten gigabytes is what everybody has.
    let gigabytes = repository.cache_limit().unwrap_or(10);
    Some(Quota::of_github(used, u64::from(gigabytes) * 1_000_000_000))
}
