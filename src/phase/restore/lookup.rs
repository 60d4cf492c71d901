//! `lookup-only`: what a restore would start from, by what the store says. Nothing is brought, and no save is told anything.
//!
//! How it can be wrong: the packs that an entry builds on are not looked at, and the sources are not compared. A restore can come
//! to less than what is said here.

use std::collections::BTreeSet;

use super::arrival::explain_miss;
use super::choice::{self, Chosen};
use crate::job::facts::Facts;
use crate::job::outcome::{Cold, RestoreOutcome, Start};
use crate::pack::Pack;
use crate::state::key::Fit;
use crate::store::Store;

pub(super) fn look(facts: &Facts, store: &dyn Store, outcome: &mut RestoreOutcome) {
    let mut passed_over = BTreeSet::new();
    let judge = |candidates: &[(Pack<'_>, Fit)]| choice::nearest(facts, candidates);
    let (fields, roots) = (facts.parts.fields(), facts.roots());
    let found = |pack: &Pack<'_>, fit, sibling: Option<String>, outcome: &mut RestoreOutcome| {
        let manifest = &pack.index.manifest;
        if fit != Fit::Soft {
            outcome.rolled = facts.parts.diff(&manifest.parts);
            outcome.rolled.retain(|change| sibling.is_none() || !change.part.is_name());
        }
        (outcome.files, outcome.bytes) = (manifest.files.len(), manifest.content_bytes());
        outcome.start = Start::Restored { key: pack.key.clone(), fit, units: manifest.units.len(), sibling };
    };
    let mut chosen = choice::best(store, &fields, Some(&roots), &judge, &mut passed_over, &mut outcome.warnings);
    if let Chosen::Nothing = chosen {
        let (this, warnings) = ((facts, outcome.system.as_str()), &mut outcome.warnings);
        chosen = choice::of_siblings(store, this, &roots, &judge, &mut passed_over, warnings);
    }
    match chosen {
        Chosen::State(pack, fit, _) => found(&pack, fit, None, outcome),
        Chosen::Siblings(pack, fit, _) => {
            let sibling = pack.index.manifest.parts.name.to_string();
            found(&pack, fit, Some(sibling), outcome);
        }
        Chosen::Nothing => {
            if !passed_over.is_empty() {
                outcome.cold = Cold::Unusable;
            }
            explain_miss(facts, store, &passed_over, outcome);
        }
        Chosen::Unanswered => outcome.cold = Cold::Unanswered,
    }
}
