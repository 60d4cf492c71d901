//! What can happen: between two runs, and inside a job. Moves are data, drawn at random; places and folders are numbers that
//! are taken modulo what the workspace has, so that every move means something in every workspace.

use std::ops::Range;

use proptest::prelude::*;

use super::packages::{NAMES, PARTS, Shape};

/// One thing that happens between two runs, in the repository or the environment.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Edit {
        place: usize,
        value: u8,
    },
    /// The same with a commit date long before every cached build.
    OldDatedEdit {
        place: usize,
        value: u8,
    },
    Add {
        folder: usize,
        name: usize,
        value: u8,
    },
    Delete {
        folder: usize,
        which: usize,
    },
    Rename {
        folder: usize,
        which: usize,
        name: usize,
    },
    /// A link leads to another file.
    Retarget {
        two: bool,
    },
    /// A link leads to another folder.
    RetargetFolder {
        two: bool,
    },
    /// Everything goes back to an earlier commit.
    Revert {
        steps: usize,
    },
    /// A branch from an earlier commit is merged.
    Merge {
        steps: usize,
        place: usize,
        value: u8,
    },
    LockBump {
        package: usize,
    },
    Feature {
        on: bool,
    },
    Variable {
        which: usize,
        value: Option<u8>,
    },
    /// The submodule moves on, if there is one.
    Submodule {
        name: usize,
        value: u8,
    },
    /// The secret of the build step is another one.
    Rotate,
    Nothing,
}

/// The time that a tool gives to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Time {
    Now,
    /// A time of the archive that it was unpacked from.
    Old,
    /// The time of a file that it was copied from: between the last build and this job.
    Copied,
}

/// One thing that a step of a job does to the work tree.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// A tracked file gets another content.
    Write { place: usize, value: u8, time: Time },
    /// A tracked file gets another time.
    Touch { place: usize, time: Time },
    /// A file that is not tracked appears in a folder; ignored by git, or not.
    Litter { folder: usize, name: usize, is_ignored: bool, time: Time },
    /// All litter goes away.
    CleanUp,
}

/// What a job runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Call {
    Build,
    Check,
    Test,
    Release,
    Clippy,
    Doc,
    /// A build of the second workspace.
    Second,
}

/// What happens to Rekindle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kill {
    Never,
    /// After so many hundredths of what a restore takes; then it is run again, or not.
    Restore {
        percent: u32,
        again: bool,
    },
    Save {
        percent: u32,
    },
}

/// One run.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) change: Change,
    /// Before the restore.
    pub(super) before: Vec<Act>,
    /// Each with what happens after it.
    pub(super) calls: Vec<(Call, Vec<Act>)>,
    pub(super) kill: Kill,
}

impl Step {
    /// Whether its job does nothing but to build.
    pub(super) fn is_plain(&self) -> bool {
        self.before.is_empty()
            && self.calls.iter().all(|(_, acts)| acts.is_empty())
            && self.calls.len() == 1
            && self.kill == Kill::Never
    }
}

#[derive(Clone, Debug)]
pub(super) struct History {
    pub(super) shape: Shape,
    pub(super) steps: Vec<Step>,
}

const ANY: Range<usize> = 0..1000;

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        5 => (ANY, any::<u8>()).prop_map(|(place, value)| Change::Edit { place, value }),
        1 => (ANY, any::<u8>()).prop_map(|(place, value)| Change::OldDatedEdit { place, value }),
        2 => (ANY, 0..NAMES, any::<u8>()).prop_map(|(folder, name, value)| Change::Add { folder, name, value }),
        2 => (ANY, ANY).prop_map(|(folder, which)| Change::Delete { folder, which }),
        1 => (ANY, ANY, 0..NAMES).prop_map(|(folder, which, name)| Change::Rename { folder, which, name }),
        1 => any::<bool>().prop_map(|two| Change::Retarget { two }),
        1 => any::<bool>().prop_map(|two| Change::RetargetFolder { two }),
        2 => (1..4_usize).prop_map(|steps| Change::Revert { steps }),
        1 => (1..3_usize, ANY, any::<u8>()).prop_map(|(steps, place, value)| Change::Merge { steps, place, value }),
        1 => ANY.prop_map(|package| Change::LockBump { package }),
        1 => any::<bool>().prop_map(|on| Change::Feature { on }),
        2 => (0..2_usize, prop::option::of(0..3_u8)).prop_map(|(which, value)| Change::Variable { which, value }),
        1 => (0..NAMES, any::<u8>()).prop_map(|(name, value)| Change::Submodule { name, value }),
        1 => Just(Change::Rotate),
        4 => Just(Change::Nothing),
    ]
}

fn time() -> impl Strategy<Value = Time> {
    prop_oneof![2 => Just(Time::Now), 1 => Just(Time::Old), 1 => Just(Time::Copied)]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (ANY, any::<u8>(), time()).prop_map(|(place, value, time)| Act::Write { place, value, time }),
        2 => (ANY, time()).prop_map(|(place, time)| Act::Touch { place, time }),
        3 => (ANY, 0..NAMES, any::<bool>(), time())
            .prop_map(|(folder, name, is_ignored, time)| Act::Litter { folder, name, is_ignored, time }),
        1 => Just(Act::CleanUp),
    ]
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    prop_oneof![4 => Just(Vec::new()), 1 => prop::collection::vec(act(), 1..3)]
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    prop_oneof![
        12 => Just(vec![Call::Build]),
        4 => Just(vec![Call::Build, Call::Build]),
        1 => Just(vec![Call::Check, Call::Build]),
        1 => Just(vec![Call::Build, Call::Test]),
        1 => Just(vec![Call::Build, Call::Release]),
        1 => Just(vec![Call::Clippy, Call::Build]),
        1 => Just(vec![Call::Build, Call::Doc]),
    ]
}

fn kill() -> impl Strategy<Value = Kill> {
    prop_oneof![
        16 => Just(Kill::Never),
        1 => (0..110_u32, any::<bool>()).prop_map(|(percent, again)| Kill::Restore { percent, again }),
        1 => (0..110_u32).prop_map(|percent| Kill::Save { percent }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let calls = calls().prop_flat_map(|calls| {
        let after = prop::collection::vec(acts(), calls.len());
        after.prop_map(move |after| calls.iter().copied().zip(after).collect())
    });
    (change(), acts(), calls, kill()).prop_map(|(change, before, calls, kill)| Step { change, before, calls, kill })
}

pub(super) fn history() -> impl Strategy<Value = History> {
    // About three of eight.
    let shape = prop::collection::vec(prop::bool::weighted(0.35), PARTS.len());
    (shape, prop::collection::vec(step(), 6..9)).prop_map(|(parts, steps)| {
        let shape = PARTS.into_iter().zip(parts).filter_map(|(part, is_there)| is_there.then_some(part)).collect();
        History { shape, steps }
    })
}
