//! What the heads of a name come to: where to start from, and where each pack that they name lies.

use std::collections::HashMap;

use super::head::{Head, HeadEntry};
use super::scope::{Place, Zone};
use crate::digest::Digest;

/// Where a pack lies, and what it has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Located {
    pub(super) zone: Zone,
    pub(super) sha256: Digest,
}

/// The entries of one name, the best to start from first, and all packs that they are made of.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) entries: Vec<HeadEntry>,
    pub(super) packs: HashMap<String, Located>,
    /// When those of the own scope were last of use, in milliseconds.
    pub(super) used: HashMap<String, i64>,
}

impl Seen {
    /// The own scope first, whatever the others have; among those the newest.
    pub(super) fn of(heads: Vec<(Head, Place)>, own: &Place) -> Self {
        let mut seen = Self::default();
        let mut others = Vec::new();
        for (head, place) in heads {
            for entry in head.entries {
                seen.packs.entry(entry.key.clone()).or_insert(Located { zone: place.zone, sha256: entry.sha256 });
                for need in &entry.needs {
                    // Whoever is protected follows nobody out of the zone.
                    let zone = if place.zone == Zone::Protected { Zone::Protected } else { need.zone };
                    seen.packs.entry(need.key.clone()).or_insert(Located { zone, sha256: need.sha256 });
                }
                if place == *own {
                    seen.used.insert(entry.key.clone(), entry.used.unwrap_or_default().max(entry.stored));
                    seen.entries.push(entry);
                } else {
                    others.push(entry);
                }
            }
        }
        others.sort_by_key(|entry| std::cmp::Reverse(entry.stored));
        for entry in others {
            if seen.entries.iter().all(|known| known.key != entry.key) {
                seen.entries.push(entry);
            }
        }
        seen
    }
}
