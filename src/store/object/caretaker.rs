//! Housekeeping's requests: lists a bucket, takes entries away, and notes what was read.
//!
//! The only place that lists, and the only one that takes anything away. How it can be wrong: a head that is written while it is
//! listed; so nothing that is younger than the longest job ever goes.

use std::collections::BTreeMap;

use tokio::task::JoinSet;

use super::draft::Read;
use super::fault::Fault;
use super::head::{self, Head, HeadError};
use super::inner::{Inner, Shared};
use super::inventory::{Inventory, Record};
use super::layout::scope_of;
use super::remote::Condition;
use super::scope::Zone;
use crate::digest::Digest;
use crate::problem::Warning;

/// How often somebody else may be faster.
const TRIES: usize = 20;
/// Heads that are read at once.
const READS: usize = 16;

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
        let record = self.state().inventory.record(&place);
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
