//! `rekindle prune`: takes away what nobody needs any more, or says what that would be.

use std::time::Duration;

use anyhow::Result;
use jiff::SignedDuration;

use crate::github::GithubToken;
use crate::housekeeping::shelf::{Shelf, check};
use crate::housekeeping::sweep::{Pruning, Swept, sweep};
use crate::problem::WrongInput;
use crate::state::housekeeping::stock::Stock;
use crate::state::housekeeping::{Policy, plan, wanted};
use crate::store::StoreInput;

const BUDGET: Duration = Duration::from_secs(30 * 60);
/// For manifests; what was not read by then is taken to be needed.
const READING: Duration = Duration::from_secs(10 * 60);
const REMOVING: Duration = Duration::from_secs(15 * 60);

/// What somebody wants otherwise than it is done by itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct PruneWishes {
    pub dry_run: bool,
    pub budget: Option<u64>,
    pub grace: Option<Duration>,
}

impl PruneWishes {
    pub fn resolve(dry_run: bool, budget: Option<u64>, grace: Option<&str>) -> Result<Self> {
        let wrong = |text: &str| {
            let hint = "write one with its unit, as in `6 h` or `30 min`";
            WrongInput::new(format!("`--grace {text}` is not a time"), hint)
        };
        let parse = |text: &str| {
            let span: SignedDuration = text.parse().map_err(|_| wrong(text))?;
            Duration::try_from(span).map_err(|_| wrong(text))
        };
        Ok(Self { dry_run, budget, grace: grace.map(parse).transpose()? })
    }
}

pub fn run(store: &StoreInput, token: Option<&GithubToken>, wishes: PruneWishes) -> Result<Pruning> {
    let PruneWishes { dry_run, budget, grace } = wishes;
    check(store, token)?;
    let shelf = Shelf::open(store, BUDGET, token)?;
    let entries = shelf.store.list()?;
    let (dead, unknown) = shelf.dead_scopes(&entries);
    let usual = shelf.policy()?;
    let policy = Policy { dead, budget, grace: grace.unwrap_or(usual.grace), ..usual };
    let kin = shelf.kin(&entries, &wanted(&entries, &policy), READING);
    let plan = plan(&entries, &kin, &policy);
    let mut stock = Stock::new(shelf.store.describe(), &entries, &kin, &plan, policy.now);
    stock.notes = shelf.notes(&unknown);
    let swept = if dry_run { Swept::default() } else { sweep(&shelf, &entries, &plan, REMOVING, &|_| true) };
    stock.notes.extend(swept.fault.iter().map(|fault| format!("not all of it was removed: {fault}")));
    Ok(Pruning { stock, dry_run, swept })
}
