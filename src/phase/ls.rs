//! `rekindle ls`: what lies in a store, who refers to whom, and what a prune would do. Changes nothing.

use std::time::Duration;

use anyhow::Result;

use crate::github::GithubToken;
use crate::housekeeping::shelf::{Shelf, check, quota, states};
use crate::state::housekeeping::stock::Stock;
use crate::state::housekeeping::{Policy, plan};
use crate::store::StoreInput;

const BUDGET: Duration = Duration::from_secs(10 * 60);
/// For manifests.
const READING: Duration = Duration::from_secs(5 * 60);

pub fn run(store: &StoreInput, token: Option<&GithubToken>) -> Result<Stock> {
    check(store, token)?;
    let shelf = Shelf::open(store, BUDGET, token)?;
    let entries = shelf.store.list()?;
    let (dead, unknown) = shelf.dead_scopes(&entries);
    let policy = Policy { dead, ..shelf.policy()? };
    let kin = shelf.kin(&entries, &states(&entries), READING);
    let plan = plan(&entries, &kin, &policy);
    let mut stock = Stock::new(shelf.store.describe(), &entries, &kin, &plan, policy.now);
    stock.notes = shelf.notes(&unknown);
    stock.quota = quota(store, &shelf, stock.bytes, &mut stock.notes);
    Ok(stock)
}
