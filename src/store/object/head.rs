//! The head of a name in one scope: its newest entries, the newest first, and the packs that they are made of.
//!
//! A head is small, whatever is stored, and it is a hint: what it names is believed only after its digest was compared. Two that
//! were written at once are united, and nothing that both could hold is lost. A pack that a head ceases to name is remembered for
//! a day: a job under way may build on it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::layout::hard_in;
use super::scope::Zone;
use crate::digest::Digest;

const FORMAT: u32 = 1;
/// Entries of one hard part: what a branch jumps back to.
const OF_ONE: usize = 8;
/// Hard parts: toolchains and systems that take turns under one name.
const OF_ALL: usize = 16;
/// So many of them, the newest: more than anybody stores under one name in a day.
const DROPPED: usize = 1_000;
/// For how long what was dropped is remembered: longer than any job takes.
const REMEMBERED: i64 = 24 * 60 * 60 * 1000;
/// No honest head gets this far.
const LAST: u64 = 1 << 60;
/// What a head takes up at most.
pub(super) const BYTES: usize = 512 << 10;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    format: u32,
    /// Of the newest entry that there ever was.
    sequence: u64,
    pub(super) entries: Vec<HeadEntry>,
    /// Packs that no entry is made of any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) dropped: Vec<Dropped>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Dropped {
    pub(super) sha256: Digest,
    /// Milliseconds of the clock of whoever dropped it.
    pub(super) since: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HeadEntry {
    pub(super) key: String,
    pub(super) sha256: Digest,
    pub(super) bytes: u64,
    /// Milliseconds of the clock of whoever stored it.
    pub(super) stored: i64,
    /// When a job that may write here last read it, to the day; as `stored`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) used: Option<i64>,
    /// Grows with each entry of a head; what decides which is newer.
    pub(super) sequence: u64,
    /// The packs that it refers to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) needs: Vec<Need>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) signature: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Need {
    pub(super) key: String,
    pub(super) sha256: Digest,
    pub(super) zone: Zone,
}

#[derive(Debug, Error)]
pub(super) enum HeadError {
    #[error("it is larger than any head")]
    TooLarge,
    #[error("it has format {0}, and this program knows {FORMAT}")]
    OtherFormat(u32),
    #[error("it is not readable: {0}")]
    Damaged(#[from] serde_json::Error),
}

impl HeadEntry {
    fn packs(&self) -> impl Iterator<Item = Digest> {
        std::iter::once(self.sha256).chain(self.needs.iter().map(|need| need.sha256))
    }
}

impl Default for Head {
    fn default() -> Self {
        Self { format: FORMAT, sequence: 0, entries: Vec::new(), dropped: Vec::new() }
    }
}

impl Head {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, HeadError> {
        #[derive(Deserialize)]
        struct Probe {
            format: u32,
        }
        if bytes.len() > 2 * BYTES {
            return Err(HeadError::TooLarge);
        }
        let Probe { format } = serde_json::from_slice(bytes)?;
        if format != FORMAT {
            return Err(HeadError::OtherFormat(format));
        }
        let mut head: Self = serde_json::from_slice(bytes)?;
        head.sort();
        head.sequence = head.entries.first().map_or(0, |newest| newest.sequence).max(head.sequence);
        Ok(head)
    }

    pub(super) fn write(&self) -> Vec<u8> {
        // Plain structs of strings and numbers have no failing case.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The number that the next entry gets. Where somebody has used up all numbers, they begin anew.
    pub(super) fn next(&mut self) -> u64 {
        if self.sequence >= LAST {
            for (number, entry) in (1..).zip(self.entries.iter_mut().rev()) {
                entry.sequence = number;
            }
            self.sequence = self.entries.len() as u64;
        }
        self.sequence + 1
    }

    pub(super) fn get(&self, key: &str) -> Option<&HeadEntry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// With one more, and without what that leaves no room for.
    pub(super) fn add(&mut self, entry: HeadEntry) {
        let (now, before) = (entry.stored, self.packs());
        self.forget_old(now);
        self.sequence = self.sequence.max(entry.sequence);
        self.entries.retain(|other| other.key != entry.key);
        self.entries.push(entry);
        self.sort();
        self.trim();
        let after = self.packs();
        self.dropped.retain(|dropped| !after.contains(&dropped.sha256));
        self.dropped.extend(before.difference(&after).map(|sha256| Dropped { sha256: *sha256, since: now }));
        let beyond = self.dropped.len().saturating_sub(DROPPED);
        self.dropped.drain(..beyond);
    }

    /// Without what was dropped so long ago that no job builds on it.
    pub(super) fn forget_old(&mut self, now: i64) {
        self.dropped.retain(|dropped| now.saturating_sub(dropped.since) < REMEMBERED);
    }

    /// Without this entry; whether it was there.
    pub(super) fn remove(&mut self, key: &str, sha256: &Digest) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.key != key || entry.sha256 != *sha256);
        self.entries.len() < before
    }

    /// Every pack that its entries are made of.
    fn packs(&self) -> BTreeSet<Digest> {
        self.entries.iter().flat_map(HeadEntry::packs).collect()
    }

    fn sort(&mut self) {
        self.entries.sort_by(|a, b| b.sequence.cmp(&a.sequence).then_with(|| b.key.cmp(&a.key)));
    }

    fn trim(&mut self) {
        let mut held: BTreeMap<String, usize> = BTreeMap::new();
        self.entries.retain(|entry| {
            let hard = hard_in(&entry.key).to_owned();
            let is_known = held.contains_key(&hard);
            if !is_known && held.len() == OF_ALL {
                return false;
            }
            let count = held.entry(hard).or_default();
            *count += 1;
            *count <= OF_ONE
        });
        let mut bytes = self.write().len();
        while bytes > BYTES && self.entries.len() > 1 {
            // With the comma before it.
            bytes -= self.entries.pop().map_or(0, |entry| serde_json::to_vec(&entry).unwrap_or_default().len() + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(key: &str, sequence: u64) -> HeadEntry {
        let sha256 = Digest::of(key.as_bytes());
        HeadEntry {
            key: key.to_owned(),
            sha256,
            bytes: 1,
            stored: 0,
            used: None,
            sequence,
            needs: Vec::new(),
            signature: None,
        }
    }

    fn key(hard: usize, state: usize) -> String {
        format!("rekindle.3.name.{hard}.soft.{state}.{state}")
    }

    #[test]
    fn the_newest_few_of_each_hard_part_are_kept() {
        let mut head = Head::default();
        for state in 0..40 {
            let next = head.next();
            head.add(entry(&key(state % 2, state), next));
        }
        let states: Vec<&str> = head.entries.iter().map(|entry| entry.key.rsplit('.').next().unwrap()).collect();
        assert_eq!(states[..4], ["39", "38", "37", "36"]);
        assert_eq!((head.entries.len(), head.next()), (2 * OF_ONE, 41));
        for hard in 2..60 {
            let next = head.next();
            head.add(entry(&key(hard, 0), next));
        }
        assert_eq!(head.entries.len(), OF_ALL);
        assert_eq!(Head::read(&head.write()).unwrap(), head);
    }

    #[test]
    fn what_is_dropped_is_remembered_for_a_day() {
        let mut head = Head::default();
        let base = Digest::of(b"base");
        for state in 0..OF_ONE + 2 {
            let need = Need { key: "base".to_owned(), sha256: base, zone: Zone::Open };
            // All but the last two are made of a base.
            let needs = if state < OF_ONE { vec![need] } else { Vec::new() };
            let next = head.next();
            head.add(HeadEntry { needs, stored: i64::try_from(state).unwrap(), ..entry(&key(0, state), next) });
        }
        let dropped = |head: &Head| head.dropped.iter().map(|dropped| dropped.sha256).collect::<Vec<_>>();
        let of = |state| Digest::of(key(0, state).as_bytes());
        assert_eq!(dropped(&head), [of(0), of(1)], "an entry that is left is made of the base");
        for state in 0..OF_ONE {
            assert!(head.remove(&key(0, state), &of(state)) == (state >= 2), "{state}");
        }
        let next = head.next();
        head.add(HeadEntry { stored: REMEMBERED + 8, ..entry(&key(1, 0), next) });
        assert_eq!(dropped(&head), [of(1)]);
    }

    #[test]
    fn whoever_uses_up_all_numbers_keeps_nobody_out() {
        let mut head = Head::default();
        for state in 0..OF_ONE {
            head.add(entry(&key(0, state), u64::MAX));
        }
        let mut head = Head::read(&head.write()).unwrap();
        for state in 100..103 {
            let next = head.next();
            head.add(entry(&key(0, state), next));
            assert_eq!(head.entries[0].key, key(0, state));
        }
        assert_eq!(head.entries.len(), OF_ONE);
    }

    #[test]
    fn a_head_of_another_format_or_none_at_all_is_not_read() {
        assert!(Head::read(br#"{"format":2,"later":1}"#).unwrap_err().to_string().contains("format 2"));
        assert!(Head::read(b"<html>").is_err());
        assert!(Head::read(&vec![b' '; 2 * BYTES + 1]).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4))]
        #[test]
        fn a_head_is_small_and_holds_what_was_added_last(adds in prop::collection::vec((0_usize..40, 0_usize..50, 0_usize..30), 1..40)) {
            let mut head = Head::default();
            for (hard, state, needs) in adds {
                let need = |at: usize| Need { key: "k".repeat(900), sha256: Digest::of(&at.to_le_bytes()), zone: Zone::Open };
                let entry = HeadEntry { needs: (0..needs).map(need).collect(), ..entry(&key(hard, state), head.next()) };
                head.add(entry.clone());
                prop_assert_eq!(head.get(&entry.key), Some(&entry));
                prop_assert_eq!(&head.entries[0], &entry);
                prop_assert!(head.write().len() <= BYTES);
            }
        }
    }
}
