//! What a restore foresaw against what the job compiled: nothing is missed where nothing happened behind its back, and nothing is
//! foreseen in vain where the job runs what the last one ran.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::super::moves::{Call, Kill, Step};
use super::super::packages::Part;
use super::Machines;

/// What a job ran, as far as it decides what is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ran {
    calls: BTreeSet<Call>,
    loud: bool,
}

impl Machines {
    /// `saved` is the log of the save that ended the job.
    pub(super) fn came_as_foreseen(&mut self, step: &Step, log: &str, saved: &str) -> Result<(), TestCaseError> {
        let ran = Ran { calls: step.calls.iter().map(|(call, _)| *call).collect(), loud: self.loud };
        let before = self.ran.replace(ran.clone()).filter(|_| step.kill == Kill::Never);
        let Some(before) = before else {
            self.ran = None;
            return Ok(());
        };
        // Another set of features is another set of units, and a secret is not written down.
        let is_known = before.loud == ran.loud && !self.shape.contains(&Part::Secret);
        if !is_known || step.calls.iter().any(|(_, acts)| !acts.is_empty()) {
            return Ok(());
        }
        let line = saved.lines().find_map(|line| line.strip_prefix("forecast: "));
        let Some(figures) = line.filter(|line| *line != "it came true") else { return Ok(()) };
        let figures: Vec<usize> = figures.split(' ').filter_map(|word| word.parse().ok()).collect();
        let [_, needless, missed] = figures[..] else { panic!("{saved}") };
        prop_assert!(missed == 0, "{} units were compiled and not foreseen\n{}\n{}", missed, log, saved);
        prop_assert!(
            needless == 0 || !ran.calls.is_superset(&before.calls),
            "{} units were foreseen in vain\n{}\n{}",
            needless,
            log,
            saved
        );
        Ok(())
    }
}
