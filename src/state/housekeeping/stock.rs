//! What lies in a store, entry by entry: what it is, who refers to it, and what becomes of it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Fate, Kin, Kind, Parents, Plan};
use crate::moment::Moment;
use crate::state::key::Key;
use crate::state::stored::Stored;

/// The whole of it, as `ls` and `prune` tell it.
#[derive(Clone, Debug, Serialize)]
pub struct Stock {
    pub store: String,
    pub entries: Vec<Row>,
    pub bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<Quota>,
    /// What could not be found out, and why.
    pub notes: Vec<String>,
}

/// One entry.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub key: String,
    #[serde(rename = "ref")]
    pub scope: Option<String>,
    pub name: Option<String>,
    pub lineage: Option<String>,
    pub is_base: bool,
    pub bytes: u64,
    #[serde(serialize_with = "as_time")]
    pub created: Moment,
    #[serde(serialize_with = "as_time")]
    pub used: Moment,
    /// How long ago that was, for people.
    #[serde(skip)]
    pub idle: std::time::Duration,
    /// None where nobody could read it.
    pub refers_to: Option<BTreeSet<String>>,
    pub referred_to_by: BTreeSet<String>,
    pub goes: bool,
    pub because: String,
}

/// What the store may hold, and what what it holds costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Quota {
    /// By everybody, other caches of the repository included.
    pub used: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    pub dollars_a_month: f64,
}

/// GitHub's list price of a gibibyte for a month, beyond the ten gigabytes that cost nothing.
const DOLLARS: f64 = 0.07;
const INCLUDED: u64 = 10_000_000_000;

impl Quota {
    pub fn of_github(used: u64, limit: u64) -> Self {
        let beyond = gibibytes(used.saturating_sub(INCLUDED));
        Self { used, limit: Some(limit), dollars_a_month: beyond * DOLLARS }
    }

    /// `dollars` is what a gibibyte costs for a month.
    pub fn of_bucket(used: u64, dollars: f64) -> Self {
        Self { used, limit: None, dollars_a_month: gibibytes(used) * dollars }
    }
}

#[expect(clippy::cast_precision_loss, reason = "cents are shown")]
fn gibibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

impl Stock {
    pub fn new(store: String, entries: &[Stored], kin: &Kin, plan: &Plan, now: Moment) -> Self {
        let mut referred: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for (at, parents) in kin {
            if let Parents::Known(parents) = parents {
                for parent in parents {
                    referred.entry(parent).or_default().insert(entries[*at].key.clone());
                }
            }
        }
        let row = |(at, entry): (usize, &Stored)| {
            let Stored { key, scope, bytes, created, used, zone: _, place: _ } = entry.clone();
            let kind = Kind::of(&key);
            let (name, lineage) = match &kind {
                Kind::State(Key { fields, lineage, .. }) => (Some(fields.name.clone()), Some(lineage.clone())),
                Kind::Seed { .. } | Kind::Unnamed | Kind::Other => (None, None),
            };
            let refers_to = match kin.get(&at) {
                Some(Parents::Known(parents)) => Some(parents.clone()),
                Some(Parents::Unreadable) | None => None,
            };
            let (goes, because) = match &plan.fates[at] {
                Fate::Stays(keep) => (false, keep.to_string()),
                Fate::Goes(reason) => (true, reason.to_string()),
            };
            let referred_to_by = referred.get(key.as_str()).cloned().unwrap_or_default();
            let (is_base, idle) = (kind.is_base(), now.since(used));
            Row {
                key,
                scope,
                name,
                lineage,
                is_base,
                bytes,
                created,
                used,
                idle,
                refers_to,
                referred_to_by,
                goes,
                because,
            }
        };
        let mut rows: Vec<Row> = entries.iter().enumerate().map(row).collect();
        rows.sort_by(|a, b| {
            (&a.name, &a.scope, &a.lineage, a.created).cmp(&(&b.name, &b.scope, &b.lineage, b.created))
        });
        let bytes = entries.iter().map(|entry| entry.bytes).sum();
        Self { store, entries: rows, bytes, quota: None, notes: Vec::new() }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn as_time<S: serde::Serializer>(moment: &Moment, serializer: S) -> Result<S::Ok, S::Error> {
    let time = jiff::Timestamp::from_nanosecond(i128::from(moment.nanos()) / 1_000_000_000 * 1_000_000_000);
    serializer.collect_str(&time.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_github_only_what_is_beyond_the_included_ten_gigabytes_costs_something() {
        assert!(Quota::of_github(9_000_000_000, 10_000_000_000).dollars_a_month.abs() < 1e-9);
        let twenty = Quota::of_github(10_000_000_000 + (10 << 30), 30_000_000_000);
        assert!((twenty.dollars_a_month - 0.7).abs() < 1e-9, "{twenty:?}");
        assert!((Quota::of_bucket(100 << 30, 0.02).dollars_a_month - 2.0).abs() < 1e-9);
    }
}
