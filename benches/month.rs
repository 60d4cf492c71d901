//! A month of a busy repository in GitHub's ten gigabytes, as a model: what lies there in the end, how often a job starts cold, and
//! what is sent to and fro; beside one archive per key and one archive per push, as the incumbents do. `cargo bench --bench month`
//! runs it; nothing is built. Housekeeping is this program's own plan.
//!
//! How it can be wrong: the sizes. A state, what a job adds to those of its siblings, and what an edit adds to its own are those of
//! `tests/e2e/matrix.py` and of the README; the repository is made up.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench is for people")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fastrand::Rng;
use rekindle::moment::Moment;
use rekindle::state::housekeeping::{Kin, Parents, Policy, plan, wanted};
use rekindle::state::stored::Stored;

const DAYS: u64 = 30;
const PUSHES: u64 = 20;
const PULL_REQUESTS: u64 = 39;
const JOBS: usize = 12;
/// Pull requests that are closed each day, each of which makes way for another.
const CLOSED: usize = 3;
/// Every so many days the lock file of the main branch changes.
const BUMP: u64 = 3;

const QUOTA: u64 = 10_000_000_000;
/// Bytes of a whole state; of what one of it needs beside its siblings; of what an edit, and a bump, change in it.
const WHOLE: u64 = 140_000_000;
const OWN: u64 = WHOLE * 27 / 100;
const EDIT: u64 = WHOLE * 19 / 100;
const BUMPED: u64 = WHOLE * 35 / 100;
/// Dependencies are so much of a state.
const DEPENDENCIES: u64 = WHOLE * 60 / 100;
const MAX_DELTAS: usize = 8;
/// Bytes a second.
const LINK: f64 = 60e6;

const MAIN: &str = "refs/heads/main";

/// An entry, and what it is made of.
struct Entry {
    stored: Stored,
    parents: BTreeSet<String>,
    soft: u64,
}

/// What all jobs together came to.
#[derive(Default)]
struct Bill {
    jobs: u64,
    cold: u64,
    sent: u64,
    fetched: u64,
    peak: u64,
}

/// How a job goes about it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Rekindle,
    /// Dependencies, under the lock file's digest; one that is there is not stored again.
    ByLockFile,
    /// All of the target, under each commit.
    ByPush,
}

struct Month {
    way: Way,
    rng: Rng,
    now: Moment,
    entries: Vec<Entry>,
    bill: Bill,
    states: u64,
}

fn main() {
    println!("| | at the end | at most | cold starts | sent | fetched | hours of transfer |");
    println!("|---|---|---|---|---|---|---|");
    for way in [Way::Rekindle, Way::ByLockFile, Way::ByPush] {
        let mut month = Month {
            way,
            rng: Rng::with_seed(9),
            now: Moment::EPOCH,
            entries: Vec::new(),
            bill: Bill::default(),
            states: 0,
        };
        month.run();
        let Bill { jobs, cold, sent, fetched, peak } = month.bill;
        let gigabytes = |bytes: u64| format!("{:.1} GB", in_gigabytes(bytes));
        println!(
            "| {} | {} | {} | {cold} of {jobs} | {} | {} | {:.1} |",
            match way {
                Way::Rekindle => "Rekindle",
                Way::ByLockFile => "dependencies, one archive per lock file",
                Way::ByPush => "the whole target, one archive per push",
            },
            gigabytes(month.bytes()),
            gigabytes(peak),
            gigabytes(sent),
            gigabytes(fetched),
            in_gigabytes(sent + fetched) * 1e9 / LINK / 3600.0,
        );
    }
}

#[expect(clippy::cast_precision_loss, reason = "tenths are shown")]
fn in_gigabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e9
}

impl Month {
    fn run(&mut self) {
        let mut numbers: Vec<u64> = (1..=PULL_REQUESTS).collect();
        let mut next = PULL_REQUESTS + 1;
        for day in 0..DAYS {
            for push in 0..PUSHES {
                self.now = Moment::EPOCH.plus(Duration::from_secs((day * PUSHES + push + 1) * 86_400 / PUSHES));
                // A third are merges.
                let number = numbers[self.rng.usize(0..numbers.len())];
                let is_merge = self.rng.u8(0..3) == 0;
                let scope = if is_merge { MAIN.to_owned() } else { format!("refs/pull/{number}/merge") };
                // A pull request in ten changes the lock file.
                let lock = if !is_merge && number.is_multiple_of(10) { 1000 + number } else { day / BUMP };
                for job in 0..JOBS {
                    self.job(&scope, job, lock);
                }
            }
            for _ in 0..CLOSED {
                let at = self.rng.usize(0..numbers.len());
                let dead = format!("refs/pull/{}/merge", std::mem::replace(&mut numbers[at], next));
                next += 1;
                if self.way == Way::Rekindle {
                    self.prune(&BTreeSet::from([dead]), None);
                }
            }
        }
    }

    fn bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.stored.bytes).sum()
    }

    /// The entry that a job starts from: of its own ref before the main branch's, with the same lock file before any other.
    fn best(&self, scope: &str, name: &str, lock: u64) -> Option<usize> {
        let rank = |at: &usize| {
            let Entry { stored, soft, .. } = &self.entries[*at];
            (*soft == lock, stored.scope.as_deref() == Some(scope), stored.created)
        };
        let sees = |at: &usize| {
            let Entry { stored, parents, .. } = &self.entries[*at];
            let of_name = stored.key.split('.').nth(2) == Some(name);
            let is_seen = [Some(scope), Some(MAIN)].contains(&stored.scope.as_deref());
            of_name && is_seen && parents.iter().all(|key| self.entries.iter().any(|entry| entry.stored.key == *key))
        };
        (0..self.entries.len()).filter(sees).max_by_key(rank)
    }

    fn job(&mut self, scope: &str, job: usize, lock: u64) {
        let name = format!("job-{job}");
        let best = self.best(scope, &name, lock);
        self.bill.jobs += 1;
        self.bill.cold += u64::from(best.is_none());
        if let Some(at) = best {
            let used = self.now;
            let keys: BTreeSet<String> =
                self.entries[at].parents.iter().cloned().chain([self.entries[at].stored.key.clone()]).collect();
            for entry in self.entries.iter_mut().filter(|entry| keys.contains(&entry.stored.key)) {
                entry.stored.used = used;
                self.bill.fetched += entry.stored.bytes.min(WHOLE);
            }
        }
        match self.way {
            Way::Rekindle => self.save(scope, &name, lock, best),
            Way::ByLockFile => {
                let is_hit = best.is_some_and(|at| self.entries[at].soft == lock);
                if !is_hit {
                    self.store(scope, &name, lock, DEPENDENCIES, BTreeSet::new(), None);
                }
            }
            Way::ByPush => self.store(scope, &name, lock, WHOLE, BTreeSet::new(), None),
        }
    }

    /// A delta on what it began with, or a base where that has become too much.
    fn save(&mut self, scope: &str, name: &str, lock: u64, best: Option<usize>) {
        let began = best.map(|at| &self.entries[at]);
        let bumped = began.is_some_and(|began| began.soft != lock);
        let size = if bumped { BUMPED } else { EDIT };
        let deltas = began.map_or(0, |began| began.parents.len());
        let is_lent = began.is_some_and(|began| scope != MAIN && began.stored.scope.as_deref() == Some(MAIN));
        let small = |deltas: usize| deltas < MAX_DELTAS && (deltas as u64) * EDIT < WHOLE / 2;
        match began {
            Some(began) if is_lent || small(deltas) => {
                let parents = began.parents.iter().cloned().chain([began.stored.key.clone()]).collect();
                let lineage = began.stored.key.split('.').nth(5).map(str::to_owned);
                self.store(scope, name, lock, size, parents, lineage);
            }
            _ => {
                let is_first = self.entries.iter().all(|entry| entry.stored.key.split('.').nth(2) == Some(name));
                self.store(scope, name, lock, if is_first { WHOLE } else { OWN }, BTreeSet::new(), None);
                let own = name.to_owned();
                self.prune(&BTreeSet::new(), Some(&own));
            }
        }
    }

    fn store(
        &mut self,
        scope: &str,
        name: &str,
        soft: u64,
        bytes: u64,
        parents: BTreeSet<String>,
        lineage: Option<String>,
    ) {
        self.states += 1;
        let state = format!("{:016x}", self.states);
        let lineage = lineage.unwrap_or_else(|| state.clone());
        let key = format!("rekindle.2.{name}.{:016x}.{soft:016x}.{lineage}.{state}", 1);
        let (scope, created, place) = (Some(scope.to_owned()), self.now, key.clone());
        let stored = Stored { key, scope, bytes, created, used: created, zone: None, place };
        self.entries.push(Entry { stored, parents, soft });
        self.bill.sent += bytes;
        // What nobody has used for the longest goes when there is no room, whoever needs it.
        while self.bytes() > QUOTA {
            let oldest = (0..self.entries.len()).min_by_key(|at| self.entries[*at].stored.used).unwrap();
            self.entries.remove(oldest);
        }
        self.bill.peak = self.bill.peak.max(self.bytes());
    }

    /// As after a save of a base, of that name; or as the workflow for closed pull requests does.
    fn prune(&mut self, dead: &BTreeSet<String>, name: Option<&str>) {
        let entries: Vec<Stored> = self.entries.iter().map(|entry| entry.stored.clone()).collect();
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        let policy = Policy {
            now: self.now,
            grace: hours(7),
            idle: hours(30 * 24),
            dead: dead.clone(),
            budget: None,
            held: BTreeSet::new(),
        };
        let known = |at: usize| (at, Parents::Known(self.entries[at].parents.clone()));
        let kin: Kin = wanted(&entries, &policy).into_iter().map(known).collect();
        let fates: BTreeMap<usize, _> = plan(&entries, &kin, &policy).goes().collect();
        let mut at = 0;
        self.entries.retain(|entry| {
            let is_own = name.is_none_or(|name| entry.stored.key.split('.').nth(2) == Some(name));
            let stays = !(is_own && fates.contains_key(&at));
            at += 1;
            stays
        });
    }
}
