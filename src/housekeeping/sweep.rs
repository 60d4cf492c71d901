//! Takes away what a plan names, in an order in which nothing is worth less for having been stopped half way.

use std::time::{Duration, Instant};

use super::shelf::{Shelf, is_held};
use crate::state::housekeeping::Plan;
use crate::state::housekeeping::stock::Stock;
use crate::state::stored::Stored;

/// What became of it.
#[derive(Debug, Default)]
pub struct Swept {
    /// By their place in the list.
    pub gone: Vec<usize>,
    pub bytes: u64,
    /// What should have gone and is still there.
    pub left: usize,
    /// The first reason for that.
    pub fault: Option<String>,
}

/// What was in a store, and what became of it.
#[derive(Debug)]
pub struct Pruning {
    pub stock: Stock,
    pub dry_run: bool,
    pub swept: Swept,
}

/// Removes every entry that goes and that `is_meant`, for as long as there is `time`. The first fault ends it.
pub fn sweep(
    shelf: &Shelf,
    entries: &[Stored],
    plan: &Plan,
    time: Duration,
    is_meant: &dyn Fn(&Stored) -> bool,
) -> Swept {
    let began = Instant::now();
    let mut order: Vec<usize> = plan.goes().map(|(at, _)| at).filter(|&at| is_meant(&entries[at])).collect();
    // The newest first: nothing goes before what refers to it.
    order.sort_by_key(|&at| std::cmp::Reverse(entries[at].created));
    let mut swept = Swept::default();
    for &at in &order {
        let entry = &entries[at];
        if swept.fault.is_some() || is_held(shelf.dir.as_deref(), &entry.key) {
            swept.left += 1;
        } else if began.elapsed() >= time {
            swept.left += 1;
            swept.fault = Some("the time for it is over".to_owned());
        } else if let Err(error) = shelf.store.remove(entry) {
            swept.left += 1;
            swept.fault = Some(format!("{error:#}"));
        } else {
            swept.gone.push(at);
            swept.bytes += entry.bytes;
        }
    }
    swept
}
