//! Until when a job could start from an entry. Pure.
//!
//! A job looks at the newest few of its ref, name and hard part, and at the newest with its very soft part. Each save moves one
//! more out of sight. Whoever started before that may still build on it, so it is needed for the grace period longer.

use std::collections::{BTreeMap, BTreeSet};

use super::kinship::{Group, Kind};
use super::{FEW, Policy, SOFTS};
use crate::moment::Moment;
use crate::state::key::Key;
use crate::state::stored::Stored;

/// Entries that a job can start from, or could within the grace period, and those of groups that nobody uses any more.
#[derive(Debug, Default)]
pub(super) struct Life {
    pub(super) live: BTreeSet<usize>,
    pub(super) idle: BTreeSet<usize>,
}

/// All groups with their members, the newest first.
pub(super) fn groups(entries: &[Stored], kinds: &[Kind], dead: &BTreeSet<String>) -> BTreeMap<Group, Vec<usize>> {
    let mut groups: BTreeMap<Group, Vec<usize>> = BTreeMap::new();
    for (at, (entry, kind)) in entries.iter().zip(kinds).enumerate() {
        let is_dead = entry.scope.as_ref().is_some_and(|scope| dead.contains(scope));
        if !is_dead && matches!(kind, Kind::State(_)) {
            groups.entry(kind.group(entry)).or_default().push(at);
        }
    }
    for members in groups.values_mut() {
        members.sort_by(|&a, &b| entries[b].created.cmp(&entries[a].created).then_with(|| b.cmp(&a)));
    }
    groups
}

/// When a group was of use for the last time.
pub(super) fn used(entries: &[Stored], members: &[usize]) -> Moment {
    members.iter().map(|&at| entries[at].used).max().unwrap_or_default()
}

/// `demoted` are groups that have to make room, however new their entries are.
pub(super) fn life(
    entries: &[Stored],
    kinds: &[Kind],
    groups: &BTreeMap<Group, Vec<usize>>,
    demoted: &BTreeSet<&Group>,
    policy: &Policy,
) -> Life {
    let mut life = Life::default();
    for (group, members) in groups {
        if policy.now.since(used(entries, members)) > policy.idle {
            life.idle.extend(members);
        } else if !demoted.contains(group) {
            let softs: Vec<&str> = members.iter().map(|&at| soft(&kinds[at])).collect();
            let times: Vec<Moment> = members.iter().map(|&at| entries[at].created).collect();
            let since = |end: Option<Moment>| end.is_none_or(|end| policy.now.since(end) <= policy.grace);
            let needed =
                (0..members.len()).filter(|&at| since(among_few(&times, at)) || since(among_softs(&times, &softs, at)));
            life.live.extend(needed.map(|at| members[at]));
        }
    }
    life
}

fn soft(kind: &Kind) -> &str {
    match kind {
        Kind::State(Key { fields, .. }) => &fields.soft,
        Kind::Seed { .. } | Kind::Unnamed | Kind::Other => "",
    }
}

/// When the entry left the newest few; none if it is among them. `times` are those of a group, the newest first.
fn among_few(times: &[Moment], at: usize) -> Option<Moment> {
    at.checked_sub(FEW).map(|newer| times[newer])
}

/// When the entry ceased to be the newest of one of the newest soft parts; none if it is that.
fn among_softs(times: &[Moment], softs: &[&str], at: usize) -> Option<Moment> {
    let mut others = BTreeSet::new();
    for newer in (0..at).rev() {
        others.insert(softs[newer]);
        if softs[newer] == softs[at] || others.len() >= SOFTS {
            return Some(times[newer]);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_goes_out_of_sight_when_enough_newer_ones_are_there() {
        let times: Vec<Moment> = (0..6).map(|at| Moment::from_nanos(100 - at)).collect();
        let end = |at| among_few(&times, at).map(Moment::nanos);
        assert_eq!([end(0), end(3), end(4), end(5)], [None, None, Some(100), Some(99)]);
        let end = |softs: [&str; 6], at| among_softs(&times, &softs, at).map(Moment::nanos);
        let back_and_forth = ["a", "b", "a", "b", "a", "b"];
        assert_eq!([end(back_and_forth, 0), end(back_and_forth, 1), end(back_and_forth, 2)], [None, None, Some(100)]);
        // Two other lock files came in between.
        assert_eq!(end(["c", "c", "b", "b", "b", "a"], 5), Some(99));
        assert_eq!(end(["c", "c", "c", "c", "c", "a"], 5), None);
    }
}
