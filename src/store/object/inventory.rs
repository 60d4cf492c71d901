//! What lies in a bucket, for housekeeping: the only place that lists, and the only one that takes anything away.
//!
//! Entries are what heads name. Packs that they refer to and that have no entry of their own are listed with them, and so are packs
//! that nothing names: of a job that was killed, or dropped from a head that was full. What lies in one zone says nothing of what
//! becomes of the other. How it can be wrong: a head that is written while it is listed; so nothing that is younger than the
//! longest job ever goes.

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
use crate::problem::Warning;
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
    /// None for a head that names nothing.
    pack: Option<Pack>,
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
    fn of(heads: &[(Zone, String, Head)], packs: &BTreeMap<Pack, Listed>, now: Moment) -> Self {
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
            let listed = self.remote.list(&self.layout.packs(zone)).await?;
            let names: Vec<String> =
                self.remote.list(&self.layout.heads(zone)).await?.into_iter().map(|listed| listed.name).collect();
            let Some(read) = Shared::clone(&self).read_heads(names).await? else {
                let text = format!(
                    "in the part `{}` of the bucket another version of this program stores, and nothing of it is looked at",
                    zone.letter()
                );
                self.warn(Warning::new(text));
                continue;
            };
            heads.extend(read.into_iter().map(|(name, head)| (zone, name, head)));
            packs.extend(listed.into_iter().filter_map(|listed| {
                let sha256 = Digest::try_from(listed.name.rsplit('/').next()?.to_owned()).ok()?;
                // What somebody else put there is left alone.
                (listed.name == self.layout.pack(zone, &sha256)).then_some(((zone, sha256), listed))
            }));
        }
        Ok(Inventory::of(&heads, &packs, filetime::FileTime::now().into()))
    }

    /// None where one is of another version.
    async fn read_heads(self: Shared, mut names: Vec<String>) -> Result<Option<Vec<(String, Head)>>, Fault> {
        let (mut reads, mut heads) = (JoinSet::new(), Vec::new());
        loop {
            while let (true, Some(name)) = (reads.len() < READS, names.pop()) {
                let inner = Shared::clone(&self);
                reads.spawn(async move {
                    let read = inner.remote.small(&name, 2 * head::BYTES).await;
                    (name, read)
                });
            }
            let Some(joined) = reads.join_next().await else { return Ok(Some(heads)) };
            let (name, read) = joined.map_err(|error| Fault::Local(error.to_string()))?;
            let Some((bytes, _)) = read? else { continue };
            match Head::read(&bytes) {
                Ok(head) => heads.push((name, head)),
                Err(HeadError::OtherFormat(_)) => return Ok(None),
                // The next save writes it anew, and nobody starts from it.
                Err(error) => {
                    let scope = name.rsplit('/').nth(1).map(scope_of).unwrap_or_default();
                    self.warn(Warning::new(format!("what `{scope}` stored has lost its names: {error}")));
                }
            }
        }
    }

    /// Takes an entry out of its head, and its pack away if nothing else is made of it.
    pub(super) async fn remove_entry(self: Shared, place: String) -> Result<(), Fault> {
        let record = self.state().inventory.records.get(&place).cloned();
        let Some(Record { pack, head, parents: _ }) = record else { return Err(Fault::Gone) };
        if let Some(object) = head {
            let key = place.rsplit(' ').next().unwrap_or_default();
            self.drop_from_head(&object, key, pack.map(|(_, sha256)| sha256).as_ref()).await?;
        }
        let unneeded = pack.and_then(|pack| self.state().inventory.forget(&place, pack));
        match unneeded {
            Some((zone, sha256)) => self.remote.delete(&self.layout.pack(zone, &sha256)).await,
            None => Ok(()),
        }
    }

    /// Takes an entry out of a head; none where the head itself goes, if it names nothing.
    async fn drop_from_head(&self, object: &str, key: &str, sha256: Option<&Digest>) -> Result<(), Fault> {
        for _ in 0..TRIES {
            let Read { mut head, condition, is_there } = self.read_head(object).await?;
            let was_there = sha256.is_none_or(|sha256| head.remove(key, sha256));
            if !is_there || !was_there {
                return Ok(());
            }
            head.forget_old(jiff::Timestamp::now().as_millisecond());
            // Whoever stores under this name in that very moment starts cold the next time.
            let written = if head.entries.is_empty() && (sha256.is_none() || head.dropped.is_empty()) {
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
