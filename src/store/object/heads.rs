//! Reads the heads of one name in all scopes that a job sees, side by side.
//!
//! At most four small reads for a name, however much is stored, and nothing is ever listed.

use tokio::task::JoinSet;

use super::fault::Fault;
use super::head::{self, Head, HeadEntry};
use super::inner::{Inner, Shared};
use super::scope::Place;
use super::seen::Seen;
use super::signature::Standing;
use crate::problem::Warning;

impl Inner {
    /// Reads all heads of a name. What one of them does not give is said; only if none answers there is a fault.
    pub(super) async fn look(self: Shared, name: String) -> Result<Seen, Fault> {
        let mut reads = JoinSet::new();
        for (at, place) in self.reach.seen.iter().cloned().enumerate() {
            let (inner, name) = (Shared::clone(&self), name.clone());
            reads.spawn(async move {
                let object = inner.layout.head(place.zone, &place.scope, &name);
                (at, place, inner.remote.small(&object, 2 * head::BYTES).await)
            });
        }
        let (mut heads, mut faults) = (Vec::new(), Vec::new());
        while let Some(joined) = reads.join_next().await {
            let (at, place, read) = joined.map_err(|error| Fault::Local(error.to_string()))?;
            match read {
                Ok(Some((bytes, _))) => heads.push((at, place, bytes)),
                Ok(None) => heads.push((at, place, Vec::new())),
                Err(fault) => faults.push(fault),
            }
        }
        if let (true, Some(fault)) = (heads.is_empty(), faults.first()) {
            return Err(fault.clone());
        }
        if let Some(fault) = faults.first() {
            self.warn(Warning::new(format!("a part of what is stored cannot be seen: {fault}")));
        }
        heads.sort_by_key(|(at, ..)| *at);
        let mut read = Vec::new();
        for (_, place, bytes) in heads.into_iter().filter(|(.., bytes)| !bytes.is_empty()) {
            match Head::read(&bytes) {
                Ok(head) => read.push((self.trusted(head, &place, &name), place)),
                Err(error) => {
                    self.warn(Warning::new(format!("what `{}` stored is not looked at: {error}", place.scope)));
                }
            }
        }
        Ok(Seen::of(read, &self.reach.own))
    }

    /// Whether somebody signed it who may. What nobody signed is not there.
    pub(super) fn accepts(&self, entry: &HeadEntry, place: &Place, name: &str) -> bool {
        let standing = Standing { repository: &self.reach.repository, scope: &place.scope, name };
        self.keys.as_ref().is_none_or(|keys| keys.accept(standing, entry))
    }

    /// Without what nobody signed who should have.
    fn trusted(&self, mut head: Head, place: &Place, name: &str) -> Head {
        let before = head.entries.len();
        head.entries.retain(|entry| self.accepts(entry, place, name));
        let refused = before - head.entries.len();
        if refused > 0 {
            let text =
                format!("{refused} of {before} entries of `{}` are refused: nobody signed them who may", place.scope);
            self.warn(Warning::new(text));
        }
        head
    }
}
