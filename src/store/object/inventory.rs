//! What lies in a bucket, as values: what heads say, united with the packs that are there. It asks nobody.
//!
//! Entries are what heads name. Packs that they refer to and that have no entry of their own are listed with them, and so are packs
//! that nothing names: of a job that was killed, or dropped from a head that was full. What lies in one zone says nothing of what
//! becomes of the other. How it can be wrong: what it is told; an entry whose pack is not in the list counts for nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::head::{Head, HeadEntry};
use super::layout::scope_of;
use super::remote::Listed;
use super::scope::Zone;
use crate::digest::Digest;
use crate::moment::Moment;
use crate::state::housekeeping::Kind;
use crate::store::Stored;

pub(super) type Pack = (Zone, Digest);

/// All of a repository's part of a bucket.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    entries: Vec<Stored>,
    /// By the place of an entry.
    records: BTreeMap<String, Record>,
    /// The places of the entries that a pack is named by.
    named_by: BTreeMap<Pack, BTreeSet<String>>,
}

/// What an entry of the list stands for.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// None for a head that names nothing.
    pub(super) pack: Option<Pack>,
    /// The head that names it.
    pub(super) head: Option<String>,
    /// By key.
    pub(super) parents: BTreeSet<String>,
}

impl Inventory {
    pub(super) fn entries(&self) -> Vec<Stored> {
        self.entries.clone()
    }

    pub(super) fn record(&self, place: &str) -> Option<Record> {
        self.records.get(place).cloned()
    }

    pub(super) fn parents(&self, place: &str) -> Option<BTreeSet<String>> {
        self.records.get(place).map(|record| record.parents.clone())
    }

    /// Unites what heads say with the packs that are there.
    pub(super) fn of(heads: &[(Zone, String, Head)], packs: &BTreeMap<Pack, Listed>, now: Moment) -> Self {
        let mut all = Self::default();
        let mut dropped: BTreeMap<Pack, Moment> = BTreeMap::new();
        let mut needed: BTreeMap<Pack, (String, String)> = BTreeMap::new();
        for (zone, object, head) in heads {
            let scope = object.rsplit('/').nth(1).map(scope_of).unwrap_or_default();
            // The newest is the one with the largest number, whatever the clock of whoever stored it said.
            let mut before = Moment::EPOCH;
            for entry in head.entries.iter().rev() {
                before = Moment::from_millis(entry.stored).max(before).min(now);
                all.add_entry(*zone, object, (&scope, before), entry, packs);
                for need in &entry.needs {
                    needed.entry((need.zone, need.sha256)).or_insert_with(|| (need.key.clone(), scope.clone()));
                }
            }
            for pack in &head.dropped {
                let since = dropped.entry((*zone, pack.sha256)).or_default();
                *since = (*since).max(Moment::from_millis(pack.since)).min(now);
            }
            if head.entries.is_empty() {
                let created = head.dropped.iter().map(|pack| Moment::from_millis(pack.since).min(now)).max();
                let key = Kind::unnamed(&Digest::of(object.as_bytes()));
                let record = Record { pack: None, head: Some(object.clone()), parents: BTreeSet::new() };
                all.add(key, (*zone, Some(scope)), (0, created.unwrap_or_default(), None), object.clone(), record);
            }
        }
        let entries: BTreeSet<Pack> = all.records.values().filter_map(|record| record.pack).collect();
        for (pack, Listed { name, bytes, modified }) in packs.iter().filter(|(pack, _)| !entries.contains(pack)) {
            let (key, scope) = match needed.get(pack) {
                Some((key, scope)) => (key.clone(), Some(scope.clone())),
                None => (Kind::unnamed(&pack.1), None),
            };
            let created = dropped.get(pack).copied().unwrap_or_default().max(*modified);
            let record = Record { pack: Some(*pack), head: None, parents: BTreeSet::new() };
            all.add(key, (pack.0, scope), (*bytes, created, None), name.clone(), record);
        }
        all
    }

    fn add(
        &mut self,
        key: String,
        (zone, scope): (Zone, Option<String>),
        (bytes, created, used): (u64, Moment, Option<Moment>),
        place: String,
        record: Record,
    ) {
        self.records.insert(place.clone(), record);
        let (zone, used) = (Some(zone.letter()), used.unwrap_or(created).max(created));
        self.entries.push(Stored { key, scope, bytes, created, used, zone, place });
    }

    fn add_entry(
        &mut self,
        zone: Zone,
        object: &str,
        (scope, created): (&str, Moment),
        entry: &HeadEntry,
        packs: &BTreeMap<Pack, Listed>,
    ) {
        let HeadEntry { key, sha256, bytes: _, stored: _, used, needs, sequence: _, signature: _ } = entry;
        let place = format!("{object} {key}");
        for pack in needs.iter().map(|need| (need.zone, need.sha256)).chain([(zone, *sha256)]) {
            self.named_by.entry(pack).or_default().insert(place.clone());
        }
        // One without a pack is nobody's newest: it was stored in this minute, or it is a lie.
        let Some(Listed { bytes, .. }) = packs.get(&(zone, *sha256)) else { return };
        let parents = needs.iter().map(|need| need.key.clone()).collect();
        let record = Record { pack: Some((zone, *sha256)), head: Some(object.to_owned()), parents };
        let used = used.map(Moment::from_millis);
        self.add(key.clone(), (zone, Some(scope.to_owned())), (*bytes, created, used), place, record);
    }

    /// Without this entry: its pack, if nothing else is made of that.
    pub(super) fn forget(&mut self, place: &str, pack: Pack) -> Option<Pack> {
        for names in self.named_by.values_mut() {
            names.remove(place);
        }
        self.named_by.get(&pack).is_none_or(BTreeSet::is_empty).then_some(pack)
    }
}
