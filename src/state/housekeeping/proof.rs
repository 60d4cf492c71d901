//! Random interleavings of jobs, saves and prunes on a store of thousands of entries: whatever a job could start from keeps all that
//! it refers to.
//!
//! The model knows what the planner is not told: what each job saw when it began, and when its save looked at what it refers to.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fastrand::Rng;
use proptest::prelude::*;

use super::{FEW, Kin, Parents, Policy, plan, wanted};
use crate::moment::Moment;
use crate::state::key::{Key, KeyFields};
use crate::state::stored::Stored;

const SAVES: usize = 5_000;
const REFS: usize = 60;
const MAIN: &str = "refs/heads/main";
/// A third of the refs are branches, the rest pull requests.
const BRANCHES: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Shop {
    /// Refs are kept apart, nobody sees what pull requests of others hold, and jobs leave no word.
    GitHub,
    /// Everybody sees everything, and jobs take leases.
    Folder,
}

struct Entry {
    stored: Stored,
    parents: BTreeSet<String>,
}

type Scope = Option<String>;
/// Name and hard part.
type Group = (String, String);

struct Job {
    scope: Scope,
    group: Group,
    soft: String,
    /// What it began with, and that entry's own parents.
    start: Option<(String, BTreeSet<String>)>,
    /// When its save looks at what it is going to refer to, and when that is stored.
    looks: u64,
    ends: u64,
    refers: Option<BTreeSet<String>>,
}

struct World {
    shop: Shop,
    rng: Rng,
    /// Minutes.
    now: u64,
    entries: BTreeMap<(Scope, String), Entry>,
    /// Keys by ref and group, the oldest first.
    groups: BTreeMap<(Scope, Group), Vec<String>>,
    jobs: Vec<Job>,
    scopes: Vec<String>,
    dead: BTreeSet<String>,
    /// What prunes have decided to remove, and when they get to it.
    doomed: Vec<(u64, Scope, String)>,
    saved: usize,
    removed: usize,
}

fn moment(minutes: u64) -> Moment {
    Moment::EPOCH.plus(Duration::from_secs(minutes * 60))
}

impl World {
    fn new(shop: Shop, seed: u64) -> Self {
        let scope = |at: usize| match at {
            0 => MAIN.to_owned(),
            1..BRANCHES => format!("refs/heads/branch-{at}"),
            _ => format!("refs/pull/{at}/merge"),
        };
        let scopes = (0..REFS).map(scope).collect();
        Self {
            shop,
            rng: Rng::with_seed(seed),
            now: 100_000,
            entries: BTreeMap::new(),
            groups: BTreeMap::new(),
            jobs: Vec::new(),
            scopes,
            dead: BTreeSet::new(),
            doomed: Vec::new(),
            saved: 0,
            removed: 0,
        }
    }

    /// The entry that a lookup from this ref comes to.
    fn find(&mut self, scope: &Scope, key: &str) -> Option<&mut Entry> {
        let place = [scope.clone(), Some(MAIN.to_owned())].map(|scope| (scope, key.to_owned()));
        let found = place.into_iter().find(|place| self.entries.contains_key(place))?;
        self.entries.get_mut(&found)
    }

    fn touch(&mut self, scope: &Scope, keys: &BTreeSet<String>) {
        let now = moment(self.now);
        for key in keys {
            if let Some(entry) = self.find(scope, key) {
                entry.stored.used = now;
            }
        }
    }

    /// The newest few of a group, the own ref's where it has any.
    fn newest(&self, scope: &Scope, group: &Group) -> Vec<String> {
        let of = |scope: Scope| self.groups.get(&(scope, group.clone())).filter(|keys| !keys.is_empty());
        let keys = of(scope.clone()).or_else(|| of(Some(MAIN.to_owned())));
        keys.into_iter().flatten().rev().take(FEW).cloned().collect()
    }

    fn begin(&mut self) {
        let scope = match self.shop {
            Shop::GitHub => Some(self.scopes[if self.rng.u8(..) < 80 { 0 } else { self.rng.usize(..REFS) }].clone()),
            Shop::Folder => None,
        };
        let group = (format!("n{}-0", self.rng.u8(..3)), format!("h{}", self.rng.u8(..2)));
        let soft = format!("s{}", self.rng.u8(..3));
        let seen = self.newest(&scope, &group);
        let start = (!seen.is_empty() && self.rng.u8(..) > 5).then(|| seen[self.rng.usize(..seen.len())].clone());
        let start = start.and_then(|key| Some((key.clone(), self.find(&scope, &key)?.parents.clone())));
        if let Some((key, parents)) = &start {
            let all = parents.iter().chain([key]).cloned().collect();
            self.touch(&scope, &all);
        }
        let looks = self.now + self.rng.u64(1..340);
        let ends = looks + self.rng.u64(1..12);
        self.jobs.push(Job { scope, group, soft, start, looks, ends, refers: None });
    }

    /// What a save is going to refer to: part of what it began with if all of that is there, and packs of others.
    fn look(&mut self, job: &mut Job) {
        let scope = &job.scope.clone();
        let mut refers = BTreeSet::new();
        if let Some((key, parents)) = &job.start {
            let all: BTreeSet<String> = parents.iter().chain([key]).cloned().collect();
            if all.iter().all(|key| self.find(scope, key).is_some()) && all.len() < 9 && self.rng.u8(..) > 30 {
                refers.extend(all.into_iter().filter(|parent| parent == key || self.rng.bool()));
            } else {
                job.start = None;
            }
        }
        // Of any name whose hard part is equal, as a seed would name them: what the newest entry of that name is made of.
        let other = (format!("n{}-0", self.rng.u8(..3)), job.group.1.clone());
        let newest = self.newest(scope, &other).into_iter().next().filter(|_| self.rng.u8(..) < 60);
        if let Some(key) = newest {
            let all = self.find(scope, &key).map(|entry| entry.parents.clone()).unwrap_or_default();
            // What a prune has decided about and not yet done is the one thing that nobody can see: who borrows it in that minute
            // loses it.
            let is_going = |key: &String| self.doomed.iter().any(|(.., doomed)| doomed == key);
            let lent: Vec<String> = all.into_iter().chain([key]).filter(|key| !is_going(key)).collect();
            refers.extend(lent.into_iter().filter(|key| self.find(scope, key).is_some()));
        }
        self.touch(scope, &refers);
        job.refers = Some(refers);
    }

    fn store(&mut self, job: Job) {
        self.saved += 1;
        let state = format!("st{}", self.saved);
        let lineage = job.start.and_then(|(key, _)| Some(Key::parse(&key)?.lineage)).unwrap_or_else(|| state.clone());
        let (name, hard) = job.group.clone();
        let scope = job.scope;
        let key = Key { fields: KeyFields { name, hard, soft: job.soft }, lineage, state }.to_string();
        // No two are equally new: stores see to that.
        let now = moment(self.now).plus(Duration::from_nanos(self.saved as u64));
        let bytes = self.rng.u64(1..100);
        self.groups.entry((scope.clone(), job.group)).or_default().push(key.clone());
        let stored = Stored {
            place: key.clone(),
            key: key.clone(),
            scope: scope.clone(),
            bytes,
            created: now,
            used: now,
            zone: None,
        };
        self.entries.insert((scope, key), Entry { stored, parents: job.refers.unwrap_or_default() });
    }

    fn prune(&mut self) {
        let listed: Vec<Stored> = self.entries.values().map(|entry| entry.stored.clone()).collect();
        let policy = Policy {
            now: moment(self.now),
            grace: Duration::from_secs(60 * if self.shop == Shop::GitHub { 7 * 60 } else { 15 }),
            idle: Duration::from_secs(30 * 24 * 3_600),
            dead: self.dead.clone(),
            budget: (self.rng.u8(..) < 60).then(|| self.rng.u64(..20_000)),
            held: self.held_by(&self.jobs),
        };
        let viewer = match self.shop {
            Shop::GitHub => Some(self.scopes[if self.rng.bool() { 0 } else { self.rng.usize(..REFS) }].clone()),
            Shop::Folder => None,
        };
        let parents = |at: usize| {
            let scope = &listed[at].scope;
            let is_read = *scope == viewer || scope.as_deref() == Some(MAIN);
            let entry = &self.entries[&(scope.clone(), listed[at].key.clone())];
            if is_read { Parents::Known(entry.parents.clone()) } else { Parents::Unreadable }
        };
        let kin: Kin = wanted(&listed, &policy).into_iter().map(|at| (at, parents(at))).collect();
        let when = self.now + self.rng.u64(..2);
        let mut goes: Vec<usize> = plan(&listed, &kin, &policy).goes().map(|(at, _)| at).collect();
        goes.sort_by_key(|&at| std::cmp::Reverse(listed[at].created));
        // One in ten is stopped half way.
        let most = if self.rng.u8(..) < 25 { goes.len() / 2 } else { goes.len() };
        let goes = goes.into_iter().take(most);
        self.doomed.extend(goes.map(|at| (when, listed[at].scope.clone(), listed[at].key.clone())));
    }

    fn close_one(&mut self) {
        let at = self.rng.usize(1..REFS);
        let kind = if at < BRANCHES { "heads/branch-x" } else { "pull/9" };
        let fresh = format!("refs/{kind}{}/merge", self.saved + at);
        let closed = std::mem::replace(&mut self.scopes[at], fresh);
        self.jobs.retain(|job| job.scope.as_deref() != Some(closed.as_str()));
        self.dead.insert(closed);
    }

    fn step(&mut self) {
        self.now += self.rng.u64(1..8);
        let mut jobs = std::mem::take(&mut self.jobs);
        for job in &mut jobs {
            if job.refers.is_none() && job.looks <= self.now {
                self.look(job);
            }
        }
        let held = self.held_by(&jobs);
        let due: Vec<_> = self.doomed.iter().filter(|(when, ..)| *when <= self.now).cloned().collect();
        self.doomed.retain(|(when, ..)| *when > self.now);
        for (_, scope, key) in due.into_iter().filter(|(.., key)| !held.contains(key)) {
            let fields = Key::parse(&key).unwrap().fields;
            if self.entries.remove(&(scope.clone(), key.clone())).is_some() {
                self.groups.get_mut(&(scope, (fields.name, fields.hard))).unwrap().retain(|one| *one != key);
                self.removed += 1;
            }
        }
        let (done, under_way) = jobs.into_iter().partition(|job| job.refers.is_some() && job.ends <= self.now);
        self.jobs = under_way;
        let done: Vec<Job> = done;
        for job in done {
            self.store(job);
        }
        match self.rng.u8(..) {
            0..10 => self.prune(),
            10..14 if self.shop == Shop::GitHub => self.close_one(),
            _ => self.begin(),
        }
    }

    /// What jobs under way hold a lease on.
    fn held_by(&self, jobs: &[Job]) -> BTreeSet<String> {
        let starts = jobs.iter().filter(|_| self.shop == Shop::Folder).filter_map(|job| job.start.as_ref());
        starts.flat_map(|(key, parents)| parents.iter().chain([key])).cloned().collect()
    }

    /// Whatever a job can start from now has all its parents where its job can see them.
    fn check(&mut self) {
        let groups: Vec<(Scope, Group)> = self.groups.keys().cloned().collect();
        for (scope, group) in groups {
            if scope.as_ref().is_some_and(|scope| self.dead.contains(scope)) {
                continue;
            }
            let keys = self.groups[&(scope.clone(), group)].clone();
            for key in keys.iter().rev().take(FEW) {
                let parents = self.entries[&(scope.clone(), key.clone())].parents.clone();
                for parent in parents {
                    assert!(self.find(&scope, &parent).is_some(), "`{key}` of {scope:?} has lost `{parent}`");
                }
            }
        }
    }
}

fn prove(shop: Shop, seed: u64, most: usize) {
    let mut world = World::new(shop, seed);
    let mut steps = 0;
    while world.saved < SAVES {
        world.step();
        steps += 1;
        if steps % 20 == 0 {
            world.check();
        }
    }
    world.check();
    // It is not for want of pruning.
    assert!(world.entries.len() < most, "{} of {} are left", world.entries.len(), world.saved);
    assert_eq!(world.removed + world.entries.len(), world.saved);
}

/// More where the long forms of the tests are asked for.
fn cases() -> u32 {
    if std::env::var("REKINDLE_FULL").is_ok_and(|value| value == "1") { 20 } else { 1 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_live_manifest_of_any_ref_ever_loses_a_parent(seed in any::<u64>()) {
        prove(Shop::GitHub, seed, SAVES * 4 / 5);
    }

    #[test]
    fn no_live_manifest_in_a_folder_ever_loses_a_parent(seed in any::<u64>()) {
        prove(Shop::Folder, seed, SAVES / 10);
    }
}
