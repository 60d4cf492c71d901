//! What the requests of one command share: whom it asks, what it may see, and what it has learned.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Result, anyhow};

use super::fault::Fault;
use super::inventory::Inventory;
use super::layout::{self, Layout};
use super::location::Location;
use super::remote::{Opened, Remote};
use super::scope::Reach;
use super::seen::{Located, Seen};
use super::signature::{Keys, Signer};
use crate::problem::{GivenUp, Warning, Warnings};

pub(super) type Shared = Arc<Inner>;

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) location: Location,
    pub(super) remote: Arc<Remote>,
    pub(super) layout: Layout,
    pub(super) reach: Reach,
    /// Who has to have signed what is believed, if anybody.
    pub(super) keys: Option<Keys>,
    pub(super) signer: Option<Signer>,
    pub(super) unconditional: AtomicBool,
    pub(super) state: Mutex<State>,
}

/// What was learned so far.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) seen: HashMap<String, Arc<Seen>>,
    pub(super) opened: HashMap<String, Arc<Opened>>,
    pub(super) inventory: Inventory,
    /// Entries whose use was noted, or need not be.
    pub(super) noted: HashSet<String>,
    pub(super) warnings: Warnings,
    pub(super) given_up: Option<GivenUp>,
}

impl Inner {
    /// A panic elsewhere leaves these values as they were.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn usable(&self) -> Result<(), GivenUp> {
        self.state().given_up.clone().map_or(Ok(()), Err)
    }

    pub(super) fn warn(&self, warning: Warning) {
        self.state().warnings.push(warning);
    }

    /// Turns a fault into an error, and remembers one after which there is no point in asking again.
    pub(super) fn settle<T>(&self, result: Result<T, Fault>) -> Result<T> {
        result.map_err(|fault| {
            if !fault.is_final() {
                return anyhow!(fault);
            }
            self.state().given_up.get_or_insert_with(|| GivenUp { reason: fault.to_string() }).clone().into()
        })
    }

    /// Where a pack lies, by what was seen so far.
    pub(super) fn located(&self, key: &str) -> Option<Located> {
        let state = self.state();
        let own = state.seen.get(layout::name_in(key)?).and_then(|seen| seen.packs.get(key));
        // What refers to a pack of another name says where it lies, whatever has become of that name.
        own.or_else(|| state.seen.values().find_map(|seen| seen.packs.get(key))).copied()
    }

    pub(super) fn knows_conditions(&self) -> bool {
        !self.unconditional.load(Ordering::Relaxed)
    }

    /// What two jobs write at once, one of them loses from here on.
    pub(super) fn give_up_conditions(&self) {
        if !self.unconditional.swap(true, Ordering::Relaxed) {
            let text = "this object store knows no conditions: of two jobs that save under one name at once, one may start colder the next time";
            self.warn(Warning::new(text));
        }
    }
}
