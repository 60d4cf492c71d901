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
        let figures = figures(saved);
        let [right, _, missed, new] = figures;
        // Whatever the job ran, each unit is counted once.
        let compiled = saved.lines().find_map(|line| line.split_once(" fresh, ")?.1.split(' ').next()?.parse().ok());
        let has_forecast = log.contains("forecast: ") && figures != [0; 4];
        prop_assert!(!has_forecast || compiled == Some(right + missed + new), "{:?}\n{}\n{}", figures, log, saved);
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
        let [_, needless, missed, _] = figures;
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

/// What was right, needless, missed and new, as the save says it; nothing where nothing was foreseen and nothing came.
fn figures(saved: &str) -> [usize; 4] {
    let numbers = |text: &str| text.split(' ').filter_map(|word| word.parse().ok()).collect::<Vec<usize>>();
    let Some(line) = saved.lines().find_map(|line| line.strip_prefix("forecast: ")) else { return [0; 4] };
    let (told, new) = line.split_once("; ").unwrap_or((line, ""));
    let new = numbers(new).first().copied().unwrap_or_default();
    if let [right, needless, missed] = numbers(told)[..] {
        return [right, needless, missed, new];
    }
    // It came true: everything but what is new was expected.
    let compiled = saved.lines().find_map(|line| line.split_once(" fresh, ")?.1.split(' ').next()?.parse().ok());
    [compiled.unwrap_or(new) - new, 0, 0, new]
}
