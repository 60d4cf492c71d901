//! What a command did, as one value. Everything that is printed or reported is a function of it. Pure.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::explain::advice::{Advice, Unstored};
use crate::explain::forecast::{self, Forecast};
use crate::explain::inspection::Inspection;
use crate::explain::inspection::Weights;
use crate::github::Roll;
use crate::problem::Warnings;
use crate::python::Interpreter;
use crate::stamp::doubt::{ClockSkew, Doubt};
use crate::state::decision::SkipReason;
use crate::state::delta::DeltaKind;
use crate::state::housekeeping::Pruned;
use crate::state::key::Fit;
use crate::state::key_change::PartChange;
use crate::state::manifest::RunRecord;

/// What `restore` found and did.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RestoreOutcome {
    pub start: Start,
    /// Why nothing was restored, where nothing was.
    #[serde(default)]
    pub cold: Cold,
    pub key: String,
    pub rolled: Vec<PartChange>,
    pub files: usize,
    /// Files of the state that did not arrive.
    pub lost_files: usize,
    pub bytes: u64,
    pub seconds: f64,
    pub stamping: Stamping,
    /// Units, by title, that Cargo is made to rebuild, and why.
    pub doubts: BTreeMap<String, Vec<Doubt>>,
    pub home: HomeOutcome,
    /// Python interpreters in the key.
    #[serde(default)]
    pub interpreters: Vec<Interpreter>,
    pub incremental_off: bool,
    pub isolation: IsolationOutcome,
    pub roll: Option<Roll>,
    pub warnings: Warnings,
    pub notes: Vec<String>,
    /// What was installed when the job began.
    #[serde(default)]
    pub system: String,
    /// A second restore in one job, which gave this many late inputs their time back; the rest is the first one's.
    #[serde(default)]
    pub again: Option<usize>,
    /// What the job will compile, where something is known of it.
    #[serde(default)]
    pub forecast: Option<Forecast>,
    /// Nothing was restored: this is what would have been.
    #[serde(default)]
    pub only_looked: bool,
}

/// What a cold start comes of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cold {
    #[default]
    NothingStored,
    /// What is stored cannot be used.
    Unusable,
    /// Nobody knows what is stored.
    Unanswered,
    /// Something was brought and could not be made to fit.
    TakenBack,
}

/// What the job starts from.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    #[default]
    Cold,
    /// A stored state was restored.
    Restored {
        key: String,
        fit: Fit,
        units: usize,
        /// The job that stored it, where that is another one.
        #[serde(default)]
        sibling: Option<String>,
    },
    /// The disk was kept and its own manifest speaks for it.
    Kept { key: String, units: usize },
    /// The disk was kept and nobody speaks for it.
    Unknown { units: usize },
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Stamping {
    pub same: usize,
    pub differing: Vec<String>,
    pub skewed: Vec<ClockSkew>,
    pub not_ours: Vec<String>,
    pub by_commit: usize,
}

/// What later steps are to find in their environment for the sake of throw-away environments.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IsolationOutcome {
    pub variables: Vec<(String, String)>,
    /// Goes before all others on PATH.
    pub path: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct HomeOutcome {
    pub key: Option<String>,
    pub files: usize,
    pub bytes: u64,
    /// Whose sources were unpacked.
    #[serde(default)]
    pub packages: usize,
}

/// What `save` found and did.
#[derive(Debug, Default)]
pub struct SaveOutcome {
    pub compiled: Vec<String>,
    /// Every unit of the job, and why it was compiled if it was.
    pub inspection: Inspection,
    /// How the forecast turned out, if there was one.
    pub forecast: Option<forecast::Outcome>,
    pub weights: Weights,
    /// The last runs and this one.
    pub history: Vec<RunRecord>,
    pub advice: Vec<Advice>,
    pub dropped: usize,
    pub live: usize,
    /// Left out because of a secret in them, with what was built from them.
    pub secret_units: Vec<String>,
    /// The same of files that no unit is known to have made.
    pub secret_files: Vec<String>,
    /// Units of the job for which `max-size` has no room.
    pub left_out: Option<Unstored>,
    /// The job did not succeed, so no unused unit counts as older.
    pub nothing_aged: bool,
    pub target: Saved,
    pub home: Saved,
    pub pruned: Pruned,
    pub seconds: f64,
    pub warnings: Warnings,
}

impl SaveOutcome {
    /// The entries that this job has added.
    pub fn stored(&self) -> Vec<String> {
        let key = |saved: &Saved| match saved {
            Saved::Stored { key, .. } => Some(key.clone()),
            _ => None,
        };
        [&self.target, &self.home].into_iter().filter_map(key).collect()
    }
}

#[derive(Debug, Default)]
pub enum Saved {
    Skipped(SkipReason),
    /// Nothing that the lock file names was fetched.
    NothingFetched,
    Stored {
        key: String,
        kind: DeltaKind,
        files: usize,
        bytes: u64,
        content_bytes: u64,
    },
    /// Another job stored the same state first.
    AlreadyThere {
        key: String,
    },
    /// Another job is storing the same state, or was interrupted in doing so.
    Reserved {
        key: String,
    },
    /// A warning says why.
    #[default]
    Failed,
}

/// What `mtime` did.
#[derive(Debug, Default)]
pub struct MtimeOutcome {
    pub files: usize,
    pub folders: usize,
    /// Tracked, but in no commit.
    pub missing: Vec<String>,
}

/// One build of `try`.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct TryRun {
    pub seconds: f64,
    pub compiled: usize,
    pub fresh: usize,
}

/// What `try` measured.
#[derive(Debug)]
pub struct TryOutcome {
    pub cold: TryRun,
    pub warm: TryRun,
    pub edited: TryRun,
    /// What the warm build compiled although nothing had changed.
    pub warm_compiled: Vec<String>,
    /// Compiled after the edit although a machine that was never wiped did not, and the other way round.
    pub surplus: Vec<String>,
    pub lacking: Vec<String>,
    pub expected: usize,
    pub pack_bytes: u64,
    pub delta_bytes: u64,
    pub restore_seconds: f64,
    pub save_seconds: f64,
}

impl RestoreOutcome {
    /// Nothing of the target was restored after all.
    pub fn take_back(&mut self, error: &anyhow::Error) {
        (self.start, self.cold) = (Start::Cold, Cold::TakenBack);
        (self.files, self.lost_files, self.bytes) = (0, 0, 0);
        self.stamping = Stamping::default();
        self.rolled.clear();
        self.doubts.clear();
        self.warnings.fault("nothing was restored", error);
    }

    /// Whether the job starts from exactly what it would have had on a machine that was never wiped, with nothing changed.
    pub fn is_hit(&self) -> bool {
        self.is_whole() && self.stamping.differing.is_empty() && self.stamping.skewed.is_empty()
    }

    /// Whether what was restored fits in every part.
    pub fn is_whole(&self) -> bool {
        let fits = match &self.start {
            Start::Restored { fit, .. } => *fit == Fit::Soft,
            Start::Kept { .. } => true,
            Start::Cold | Start::Unknown { .. } => false,
        };
        fits && self.doubts.is_empty() && self.lost_files == 0
    }
}

impl TryOutcome {
    pub fn kept_the_promise(&self) -> bool {
        self.warm_compiled.is_empty() && self.surplus.is_empty() && self.lacking.is_empty()
    }
}
