//! Housekeeping after a save: what the job's own save has made superfluous, in little time and never at the job's cost.

use std::collections::BTreeSet;
use std::time::Duration;

use super::shelf::Shelf;
use super::sweep::{Swept, sweep};
use crate::github::GithubToken;
use crate::state::housekeeping::{Kind, Pruned, plan, wanted};
use crate::state::key::Key;
use crate::state::stored::Stored;
use crate::store::StoreInput;

/// For all of it.
const BUDGET: Duration = Duration::from_secs(30);
const READING: Duration = Duration::from_secs(8);
const REMOVING: Duration = Duration::from_secs(12);

/// GitHub answers a repository's jobs a thousand questions an hour: a new base is worth one, and one in so many deltas.
const DELTAS: u64 = 8;

/// Prunes what belongs to these entries, which the job has just stored: a folder as a whole, and one that
/// stands before a bucket; elsewhere their own names. Nothing that
/// goes wrong is more than a reason.
pub fn after_save(input: &StoreInput, token: Option<&GithubToken>, stored: &[String]) -> Pruned {
    let is_due = |key: &String| match input {
        StoreInput::Dir(_) | StoreInput::Tiers(..) => true,
        StoreInput::Actions => token.is_some() && is_worth_asking(key),
        // To list one takes many requests, and a job has no right to take anything away.
        StoreInput::Object(_) => false,
    };
    if !stored.iter().any(is_due) {
        return Pruned::NotDue;
    }
    let prune = || -> anyhow::Result<Swept> {
        let shelf = match input {
            StoreInput::Tiers(folder, location) => Shelf::before(location, folder, BUDGET)?,
            StoreInput::Dir(_) | StoreInput::Actions | StoreInput::Object(_) => Shelf::open(input, BUDGET, token)?,
        };
        let entries = shelf.store.list()?;
        let policy = shelf.policy()?;
        let kin = shelf.kin(&entries, &wanted(&entries, &policy), READING);
        let plan = plan(&entries, &kin, &policy);
        let names: BTreeSet<String> = stored.iter().filter_map(|key| name(key)).collect();
        let is_whole = shelf.dir.is_some();
        let is_own = |entry: &Stored| is_whole || name(&entry.key).is_some_and(|name| names.contains(&name));
        Ok(sweep(&shelf, &entries, &plan, REMOVING, &is_own))
    };
    match prune() {
        Ok(Swept { gone, fault: Some(fault), .. }) if gone.is_empty() => Pruned::NotAllowed(fault),
        Ok(Swept { gone, bytes, left, .. }) => Pruned::Done { entries: gone.len(), bytes, left },
        Err(error) => Pruned::NotAllowed(format!("{error:#}")),
    }
}

fn is_worth_asking(key: &str) -> bool {
    let Kind::State(Key { lineage, state, .. }) = Kind::of(key) else { return false };
    lineage == state || u64::from_str_radix(&state, 16).is_ok_and(|digits| digits % DELTAS == 0)
}

fn name(key: &str) -> Option<String> {
    match Kind::of(key) {
        Kind::State(Key { fields, .. }) => Some(fields.name),
        Kind::Seed { .. } | Kind::Unnamed | Kind::Other => None,
    }
}
