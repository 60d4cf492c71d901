//! The plan: what goes, and why the rest stays. Pure.
//!
//! An entry that a job can start from keeps itself and whatever its manifest refers to, in whatever ref and under whatever name that
//! lies. A manifest lists all packs that it needs, so one step is all of them. What was to go and stays for another's sake can be the
//! newest of its group once the rest has gone, so it keeps what it refers to as well.

use std::collections::{BTreeMap, BTreeSet};

use super::kinship::{Group, Kind, Lineage, is_private};
use super::life::{self, Life};
use super::{Fate, Keep, Kin, Parents, Plan, Policy, Reason};
use crate::state::stored::Stored;

/// What does not change while it is planned.
struct House<'a> {
    entries: &'a [Stored],
    kinds: Vec<Kind>,
    groups: BTreeMap<Group, Vec<usize>>,
    policy: &'a Policy,
}

/// The entries whose parents have to be known for a plan.
pub fn wanted(entries: &[Stored], policy: &Policy) -> BTreeSet<usize> {
    let house = House::new(entries, policy);
    let life = house.life(&BTreeSet::new());
    let doubtful: BTreeSet<&str> = (0..entries.len())
        .filter(|at| matches!(house.kinds[*at], Kind::State(_)) && !life.live.contains(at))
        .filter(|at| !house.is_out_of_sight(*at) && !house.is_fresh(*at))
        .map(|at| house.kinds[at].hard())
        .collect();
    // Bytes can be shared where hard parts are equal, and nowhere else. With a budget anything may have to go, and what does not may
    // come to be the newest.
    if policy.budget.is_some() {
        return (0..entries.len()).filter(|at| house.can_be_started_from(*at)).collect();
    }
    let matters = |at: &usize| doubtful.contains(house.kinds[*at].hard());
    life.live.into_iter().filter(matters).collect()
}

/// Decides about every entry. `kin` holds the parents of those that are `wanted`; one that it lacks counts as unreadable.
pub fn plan(entries: &[Stored], kin: &Kin, policy: &Policy) -> Plan {
    let house = House::new(entries, policy);
    let all = house.fates(kin, &BTreeSet::new());
    let Some(budget) = policy.budget else { return all };
    // The least recently used group first, until the rest fits. What a job may be using is no choice.
    let mut order: Vec<&Group> = house.groups.keys().filter(|group| !house.is_in_use(group)).collect();
    order.sort_by_key(|group| life::used(entries, &house.groups[*group]));
    let with = |count: usize| house.fates(kin, &order[..count].iter().copied().collect());
    let fits = |plan: &Plan| house.staying(plan) <= budget;
    if fits(&all) {
        return all;
    }
    let (mut low, mut high) = (0, order.len());
    while low + 1 < high {
        let middle = usize::midpoint(low, high);
        if fits(&with(middle)) { high = middle } else { low = middle }
    }
    with(high)
}

impl<'a> House<'a> {
    fn new(entries: &'a [Stored], policy: &'a Policy) -> Self {
        let kinds: Vec<Kind> = entries.iter().map(|entry| Kind::of(&entry.key)).collect();
        let groups = life::groups(entries, &kinds, &policy.dead);
        Self { entries, kinds, groups, policy }
    }

    fn life(&self, demoted: &BTreeSet<&Group>) -> Life {
        life::life(self.entries, &self.kinds, &self.groups, demoted, self.policy)
    }

    fn is_dead(&self, at: usize) -> bool {
        self.entries[at].scope.as_ref().is_some_and(|scope| self.policy.dead.contains(scope))
    }

    /// Nobody sees it but jobs of a pull request that has none any more.
    fn is_out_of_sight(&self, at: usize) -> bool {
        self.is_dead(at) && is_private(self.entries[at].scope.as_deref())
    }

    fn is_fresh(&self, at: usize) -> bool {
        self.policy.now.since(self.entries[at].used) <= self.policy.grace
    }

    fn is_in_use(&self, group: &Group) -> bool {
        self.groups[group].iter().any(|&at| self.is_fresh(at) || self.policy.held.contains(&self.entries[at].key))
    }

    fn staying(&self, plan: &Plan) -> u64 {
        let staying = plan.fates.iter().zip(self.entries).filter(|(fate, _)| matches!(fate, Fate::Stays(_)));
        staying.map(|(_, entry)| entry.bytes).sum()
    }

    /// Whether jobs come to it at all, however many newer ones there are now.
    fn can_be_started_from(&self, at: usize) -> bool {
        matches!(self.kinds[at], Kind::State(_)) && !self.is_dead(at)
    }

    fn fates(&self, kin: &Kin, demoted: &BTreeSet<&Group>) -> Plan {
        let life = self.life(demoted);
        let mut needy = life.live.clone();
        loop {
            let plan = self.fates_where(&life, &needy, kin, demoted);
            // In any other group what stays is older than what a job starts from.
            let is_thinned =
                |at: usize| life.idle.contains(&at) || demoted.contains(&self.kinds[at].group(&self.entries[at]));
            let stays = |at: usize| matches!(plan.fates[at], Fate::Stays(_));
            let rising = |at: &usize| stays(*at) && self.can_be_started_from(*at) && is_thinned(*at);
            let before = needy.len();
            needy.extend((0..self.entries.len()).filter(rising));
            if needy.len() == before {
                return plan;
            }
        }
    }

    /// What becomes of everything if what the `needy` refer to has to stay.
    fn fates_where(&self, life: &Life, needy: &BTreeSet<usize>, kin: &Kin, demoted: &BTreeSet<&Group>) -> Plan {
        let referred = self.referred(needy, kin);
        let unread: Vec<usize> =
            needy.iter().copied().filter(|at| !matches!(kin.get(at), Some(Parents::Known(_)))).collect();
        let bases = self.bases();
        let seeds = self.newest_seeds();
        let fate = |at: usize| {
            let entry = &self.entries[at];
            if self.is_out_of_sight(at) {
                return Fate::Goes(Reason::DeadScope);
            }
            if life.live.contains(&at) {
                return Fate::Stays(Keep::Live);
            }
            if let Some(&by) = referred.get(entry.key.as_str()) {
                return Fate::Stays(Keep::ReferredTo { by: by.to_owned() });
            }
            if self.policy.held.contains(&entry.key) {
                return Fate::Stays(Keep::Held);
            }
            if self.is_fresh(at) {
                return Fate::Stays(Keep::Recent);
            }
            if let Some(&of) = unread.iter().find(|&&live| self.may_need(live, at)) {
                return Fate::Stays(Keep::Unsure { of: self.entries[of].key.clone() });
            }
            let kind = &self.kinds[at];
            let is_idle = life.idle.contains(&at) || self.policy.now.since(entry.used) > self.policy.idle;
            match kind {
                Kind::Unnamed => Fate::Goes(Reason::Unnamed),
                _ if self.is_dead(at) => Fate::Goes(Reason::DeadScope),
                _ if is_idle => Fate::Goes(Reason::Idle),
                Kind::Seed { .. } if seeds.contains(&at) => Fate::Stays(Keep::Seed),
                Kind::Seed { .. } => Fate::Goes(Reason::OldSeed),
                Kind::Other => Fate::Stays(Keep::OtherFormat),
                Kind::State(_) if kind.lineage().is_some_and(|lineage| !bases.contains(&lineage)) => {
                    Fate::Goes(Reason::Orphan)
                }
                Kind::State(_) if demoted.contains(&kind.group(entry)) => Fate::Goes(Reason::OverBudget),
                Kind::State(_) => Fate::Goes(Reason::Superseded),
            }
        };
        let mut plan = Plan { fates: (0..self.entries.len()).map(fate).collect() };
        self.keep_lineages_whole(&mut plan);
        plan
    }

    /// What manifests of these entries refer to, and whose.
    fn referred<'k>(&'k self, needy: &BTreeSet<usize>, kin: &'k Kin) -> BTreeMap<&'k str, &'k str> {
        let known = needy.iter().filter_map(|at| match kin.get(at)? {
            Parents::Known(parents) => Some((self.entries[*at].key.as_str(), parents)),
            Parents::Unreadable => None,
        });
        known.flat_map(|(by, parents)| parents.iter().map(move |parent| (parent.as_str(), by))).collect()
    }

    /// Whether a live entry that nobody could read may refer to another: one that was there before it and that its job could see.
    fn may_need(&self, live: usize, other: usize) -> bool {
        let same_hard = matches!(&self.kinds[other], Kind::State(key) if key.fields.hard == self.kinds[live].hard());
        let (live, other) = (&self.entries[live], &self.entries[other]);
        let sees = live.scope == other.scope || !is_private(other.scope.as_deref());
        same_hard && sees && other.created <= live.created
    }

    fn bases(&self) -> BTreeSet<Lineage> {
        self.kinds.iter().filter(|kind| kind.is_base()).filter_map(Kind::lineage).collect()
    }

    /// The newest seed of each hard part in each ref.
    fn newest_seeds(&self) -> BTreeSet<usize> {
        let mut newest: BTreeMap<Group, usize> = BTreeMap::new();
        for (at, (entry, kind)) in self.entries.iter().zip(&self.kinds).enumerate() {
            if matches!(kind, Kind::Seed { .. }) && !self.is_dead(at) {
                let best = newest.entry(kind.group(entry)).or_insert(at);
                if self.entries[*best].created < entry.created {
                    *best = at;
                }
            }
        }
        newest.into_values().collect()
    }

    /// Of a lineage without a live entry all go or none; of any other the base goes last.
    fn keep_lineages_whole(&self, plan: &mut Plan) {
        type Place<'a> = (Option<char>, Option<&'a str>);
        let mut lineages: BTreeMap<(Place<'_>, Lineage), Vec<usize>> = BTreeMap::new();
        for (at, kind) in self.kinds.iter().enumerate() {
            if let Some(lineage) = kind.lineage() {
                let Stored { zone, scope, .. } = &self.entries[at];
                lineages.entry(((*zone, scope.as_deref()), lineage)).or_default().push(at);
            }
        }
        for (((_, scope), _), members) in &lineages {
            if scope.is_some_and(|scope| self.policy.dead.contains(scope)) {
                continue;
            }
            let stays = |at: &&usize| matches!(plan.fates[**at], Fate::Stays(_));
            if !members.iter().any(|at| stays(&at)) {
                continue;
            }
            let is_alive = members.iter().any(|&at| plan.fates[at] == Fate::Stays(Keep::Live));
            for &at in members {
                if matches!(plan.fates[at], Fate::Goes(_)) && (!is_alive || self.kinds[at].is_base()) {
                    plan.fates[at] = Fate::Stays(Keep::Lineage);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;
    use crate::moment::Moment;

    const DAY: u64 = 24 * 3_600;

    fn entry(name: &str, lineage: &str, state: &str, day: u64) -> Stored {
        let key = format!("rekindle.3.{name}.hard.soft.{lineage}.{state}");
        let created = Moment::EPOCH.plus(Duration::from_secs(day * DAY));
        Stored { place: key.clone(), key, scope: None, bytes: 10, created, used: created, zone: None }
    }

    #[test]
    fn what_stays_for_the_sake_of_its_lineage_keeps_what_it_refers_to() {
        let entries = [
            entry("old-0", "first", "first", 1),
            entry("old-0", "other", "other", 2),
            entry("old-0", "first", "delta", 3),
            entry("new-0", "fresh", "fresh", 9),
        ];
        assert!(entries.iter().all(|entry| matches!(Kind::of(&entry.key), Kind::State(_))));
        let refers = |all: &[usize]| Parents::Known(all.iter().map(|&at| entries[at].key.clone()).collect());
        // The job that is in use keeps the base, the base its delta, and the delta another base.
        let kin: Kin = [(0, refers(&[])), (1, refers(&[])), (2, refers(&[0, 1])), (3, refers(&[0]))].into();
        let budget = Some(1);
        let (now, grace) = (entries[3].created, Duration::from_secs(DAY));
        let policy = Policy {
            now,
            grace,
            idle: Duration::from_secs(30 * DAY),
            dead: BTreeSet::new(),
            budget,
            held: BTreeSet::new(),
        };
        assert_eq!(wanted(&entries, &policy), (0..4).collect());
        assert_eq!(plan(&entries, &kin, &policy).goes().count(), 0);
        // Where nobody needs the base, all of it goes.
        let kin: Kin = kin.into_iter().chain([(3, refers(&[]))]).collect();
        let goes: Vec<_> = plan(&entries, &kin, &policy).goes().collect();
        assert_eq!(goes, [0, 1, 2].map(|at| (at, Reason::OverBudget)));
        // The same for what nobody has used for long.
        let later = Policy { now: now.plus(Duration::from_secs(25 * DAY)), budget: None, ..policy };
        let kin: Kin = [(3, refers(&[0])), (2, refers(&[0, 1]))].into();
        assert_eq!(plan(&entries, &kin, &later).goes().count(), 0);
    }
}
