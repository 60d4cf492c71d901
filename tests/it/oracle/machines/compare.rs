//! One job on both machines, side by side: nothing is stale, and what was compiled is the same, or has a reason.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::super::expect;
use super::super::moves::{Kill, Step};
use super::{Job, Machines, Units};

impl Machines {
    pub(super) fn compare(&mut self, step: &Step, kept: &Job, warm: &Job, log: &str) -> Result<(), TestCaseError> {
        prop_assert!(warm.wrong.is_empty(), "stale: {:?} (left: printed, right: in the tree)\n{}", warm.wrong, log);
        let owned = |names: BTreeSet<&str>| names.into_iter().map(str::to_owned).collect::<Units>();
        let all: BTreeSet<&str> = kept.effects.iter().map(|effect| effect.package).collect();
        let (mut now, mut hidden) = (owned(all), Units::new());
        for effect in kept.effects.iter().filter(|effect| effect.matters && !effect.is_visible) {
            hidden.insert(effect.package.to_owned());
        }
        now.extend(owned(self.effects.iter().map(|effect| effect.package).collect()));
        self.named.add(&expect::named(log, &self.members));
        self.stale.add(kept.wrong.keys());

        let was_killed = step.kill != Kill::Never;
        if matches!(step.kill, Kill::Restore { again: false, .. }) {
            self.lost = expect::all_keys();
        }
        for ((call, kept), (_, warm)) in kept.calls.iter().zip(&warm.calls) {
            let key = (*call, self.loud);
            let mut too_much = self.named.of(key);
            too_much.extend(self.stale.of(key));
            too_much.extend(self.rewritten.of(key));
            too_much.extend(hidden.iter().cloned());
            let mut too_little = self.touched.of(key);
            too_little.extend(self.stale.of(key));
            too_little.extend(now.iter().cloned());
            let excess = expect::unexplained(warm.compiled.difference(&kept.compiled), *call, &too_much);
            let missing = expect::unexplained(kept.compiled.difference(&warm.compiled), *call, &too_little);
            let all = format!("{call:?}, kept: {:?}, restored: {:?}", kept.compiled, warm.compiled);
            prop_assert!(
                excess.is_empty() || self.lost.contains(&key),
                "excess, and no rule is named: {:?}; {}\n{}",
                excess,
                all,
                log
            );
            prop_assert!(missing.is_empty(), "compiled less than a kept machine: {:?}; {}\n{}", missing, all, log);
        }
        for (call, kept) in &kept.calls {
            let key = (*call, self.loud);
            let compiled: Units = kept.compiled.iter().map(|unit| expect::package_of(unit, *call)).collect();
            self.named.clear(key);
            self.stale.remove(key, &compiled);
            self.rewritten.clear(key);
            self.touched.clear(key);
            if !was_killed {
                self.lost.remove(&key);
            }
        }
        // What is stale stays so until it is compiled.
        self.stale.add(kept.wrong.keys());
        self.touched.add(&now);
        self.rewritten.add(&hidden);
        for (call, _) in &kept.calls {
            self.rewritten.clear((*call, self.loud));
        }
        if matches!(step.kill, Kill::Save { .. }) {
            self.lost = expect::all_keys();
        }
        Ok(())
    }
}
