//! What lies in a bucket, for housekeeping: the only place that lists, and the only one that takes anything away.
//!
//! Entries are what heads name. Packs that they refer to and that have no entry of their own are listed with them, and so are packs
//! that nothing names: of a job that was killed, or dropped from a head that was full. How it can be wrong: a head that is written
//! while it is listed; so nothing that is younger than the longest job ever goes.

use std::collections::{BTreeMap, BTreeSet};

use tokio::task::JoinSet;

use super::draft::Read;
use super::fault::Fault;
use super::head::{self, Head, HeadEntry, HeadError};
use super::inner::{Inner, Shared};
use super::layout::scope_of;
use super::remote::{Condition, Listed};
use super::scope::Zone;
use crate::digest::Digest;
use crate::moment::Moment;
use crate::state::housekeeping::Kind;
use crate::store::Stored;

/// How often somebody else may be faster.
const TRIES: usize = 20;
/// Heads that are read at once.
const READS: usize = 16;

type Pack = (Zone, Digest);

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
struct Record {
    pack: Pack,
    /// The head that names it.
    head: Option<String>,
    /// By key.
    parents: BTreeSet<String>,
}

impl Inventory {
    pub(super) fn entries(&self) -> Vec<Stored> {
        self.entries.clone()
    }

    pub(super) fn parents(&self, place: &str) -> Option<BTreeSet<String>> {
        self.records.get(place).map(|record| record.parents.clone())
    }

    /// Unites what heads say with the packs that are there.
    fn of(heads: &[(Zone, String, Head)], packs: &BTreeMap<Pack, Listed>) -> Self {
        let mut all = Self::default();
        let mut dropped: BTreeMap<Pack, Moment> = BTreeMap::new();
        let mut needed: BTreeMap<Pack, (String, String)> = BTreeMap::new();
        for (zone, object, head) in heads {
            let scope = object.rsplit('/').nth(1).map(scope_of).unwrap_or_default();
            for entry in &head.entries {
                all.add_entry(*zone, object, &scope, entry);
                for need in &entry.needs {
                    // Nobody outside of the protected zone says what becomes of it.
                    if need.zone == *zone {
                        needed.entry((*zone, need.sha256)).or_insert_with(|| (need.key.clone(), scope.clone()));
                    }
                }
            }
            for pack in &head.dropped {
                let since = dropped.entry((*zone, pack.sha256)).or_default();
                *since = (*since).max(Moment::from_millis(pack.since));
            }
        }
        let entries: BTreeSet<Pack> = all.records.values().map(|record| record.pack).collect();
        for (pack, Listed { name, bytes, modified }) in packs {
            if entries.contains(pack) {
                continue;
            }
            let (key, scope) = match needed.get(pack) {
                Some((key, scope)) => (key.clone(), Some(scope.clone())),
                None => (Kind::unnamed(&pack.1), None),
            };
            let created = dropped.get(pack).copied().unwrap_or_default().max(*modified);
            let record = Record { pack: *pack, head: None, parents: BTreeSet::new() };
            all.records.insert(name.clone(), record);
            all.entries.push(Stored { key, scope, bytes: *bytes, created, used: created, place: name.clone() });
        }
        all
    }

    fn add_entry(&mut self, zone: Zone, object: &str, scope: &str, entry: &HeadEntry) {
        let HeadEntry { key, sha256, bytes, stored, used, needs, sequence: _, signature: _ } = entry;
        let place = format!("{object} {key}");
        let needs_packs = needs.iter().map(|need| (need.zone, need.sha256));
        for pack in needs_packs.chain([(zone, *sha256)]) {
            self.named_by.entry(pack).or_default().insert(place.clone());
        }
        let parents = needs.iter().map(|need| need.key.clone()).collect();
        let record = Record { pack: (zone, *sha256), head: Some(object.to_owned()), parents };
        self.records.insert(place.clone(), record);
        let used = Moment::from_millis(used.unwrap_or(*stored).max(*stored));
        let (scope, created) = (Some(scope.to_owned()), Moment::from_millis(*stored));
        self.entries.push(Stored { key: key.clone(), scope, bytes: *bytes, created, used, place });
    }

    /// Without this entry: its pack, if nothing else is made of that.
    fn forget(&mut self, place: &str, pack: Pack) -> Option<Pack> {
        for names in self.named_by.values_mut() {
            names.remove(place);
        }
        self.named_by.get(&pack).is_none_or(BTreeSet::is_empty).then_some(pack)
    }
}

impl Inner {
    /// Lists all of it. What cannot be read is a fault: nobody knows what it refers to.
    pub(super) async fn inventory(self: Shared) -> Result<Inventory, Fault> {
        let (mut packs, mut heads) = (BTreeMap::new(), Vec::new());
        for zone in [Zone::Protected, Zone::Open] {
            // The packs first: whatever is stored meanwhile is named by a head and not listed, and not the other way round.
            for listed in self.remote.list(&self.layout.packs(zone)).await? {
                let sha256 = listed.name.rsplit('/').next().and_then(|name| Digest::try_from(name.to_owned()).ok());
                // What somebody else put there is left alone.
                packs.extend(sha256.map(|sha256| ((zone, sha256), listed)));
            }
            for listed in self.remote.list(&self.layout.heads(zone)).await? {
                heads.push((zone, listed.name));
            }
        }
        Ok(Inventory::of(&self.read_heads(heads).await?, &packs))
    }

    async fn read_heads(self: Shared, mut names: Vec<(Zone, String)>) -> Result<Vec<(Zone, String, Head)>, Fault> {
        let (mut reads, mut heads) = (JoinSet::new(), Vec::new());
        loop {
            while let (true, Some((zone, name))) = (reads.len() < READS, names.pop()) {
                let inner = Shared::clone(&self);
                reads.spawn(async move {
                    let read = inner.remote.small(&name, 2 * head::BYTES).await;
                    (zone, name, read)
                });
            }
            let Some(joined) = reads.join_next().await else { return Ok(heads) };
            let (zone, name, read) = joined.map_err(|error| Fault::Local(error.to_string()))?;
            let Some((bytes, _)) = read? else { continue };
            match Head::read(&bytes) {
                Ok(head) => heads.push((zone, name, head)),
                Err(error @ HeadError::OtherFormat(_)) => {
                    return Err(Fault::Refused(format!("another version of this program stores here: {error}")));
                }
                // The next save writes it anew, and nobody starts from it.
                Err(_) => {}
            }
        }
    }

    /// Takes an entry out of its head, and its pack away if nothing else is made of it.
    pub(super) async fn remove_entry(self: Shared, place: String) -> Result<(), Fault> {
        let record = self.state().inventory.records.get(&place).cloned();
        let Some(Record { pack, head, parents: _ }) = record else { return Err(Fault::Gone) };
        if let Some(object) = head {
            let key = place.rsplit(' ').next().unwrap_or_default();
            self.drop_from_head(&object, key, &pack.1).await?;
        }
        let unneeded = self.state().inventory.forget(&place, pack);
        match unneeded {
            Some((zone, sha256)) => self.remote.delete(&self.layout.pack(zone, &sha256)).await,
            None => Ok(()),
        }
    }

    async fn drop_from_head(&self, object: &str, key: &str, sha256: &Digest) -> Result<(), Fault> {
        for _ in 0..TRIES {
            let Read { mut head, condition, is_there } = self.read_head(object).await?;
            if !is_there || !head.remove(key, sha256) {
                return Ok(());
            }
            // Whoever stores under this name in that very moment starts cold the next time.
            let is_empty = head.entries.is_empty() && head.dropped.is_empty();
            let written = if is_empty {
                self.remote.delete(object).await
            } else {
                self.remote.put_small(object, head.write(), &condition).await
            };
            match written {
                Err(Fault::Conflict) => {}
                Err(Fault::Unconditional) => self.give_up_conditions(),
                other => return other,
            }
        }
        Err(Fault::Conflict)
    }

    /// Notes that an entry was of use, where that was not noted today. Nobody waits for a second try.
    pub(super) async fn note_use(self: Shared, object: String, key: String, now: i64) -> Result<(), Fault> {
        let Read { mut head, condition, is_there } = self.read_head(&object).await?;
        let Some(entry) = head.entries.iter_mut().find(|entry| entry.key == key).filter(|_| is_there) else {
            return Ok(());
        };
        entry.used = Some(now);
        if let Condition::None = condition {
            return Ok(());
        }
        self.remote.put_small(&object, head.write(), &condition).await
    }
}
