//! The one thing that `restore` tells `save`: a versioned file in the runner's temporary folder.
//!
//! Also reads and writes the manifest that stays in the target folder, so that a disk which is kept knows what it holds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::digest::FieldHasher;
use crate::explain::snapshot::Snapshot;
use crate::job::inputs::Inputs;
use crate::job::outcome::RestoreOutcome;
use crate::machine::{disk, paths};
use crate::moment::Moment;
use crate::stamp::observed::Watch;
use crate::stamp::recorded::Changed;
use crate::stamp::sight::Stamped;
use crate::state::key::{FORMAT, KeyParts};
use crate::state::manifest::{Manifest, Parent};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    pub format: u32,
    /// The job, as its target knows it.
    #[serde(default)]
    pub mark: JobMark,
    #[serde(default)]
    pub run: Run,
    pub parts: KeyParts,
    pub started: Moment,
    /// What the target held when the job began, as far as a manifest speaks for it.
    pub restored: Option<Restored>,
    /// Restored times are this much older than the manifest says.
    pub shift: Duration,
    /// Content and time of every input after stamping.
    pub stamped: Stamped,
    /// The commits that were checked out when the job began.
    #[serde(default)]
    pub heads: Vec<String>,
    /// Variables of the step, each with a mark that tells its value from another; none of a secret.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Access times were set to zero and can be believed.
    pub access_times: bool,
    /// What it takes to tell which sources nobody read.
    #[serde(default)]
    pub watch: Option<Watch>,
    /// Entries that would have fitted and could not be used. A new one must not bear the name of one of them.
    pub passed_over: BTreeSet<String>,
    /// Units that were on disk although no manifest speaks for them, by place.
    pub unknown_units: BTreeSet<String>,
    pub home: HomeState,
    /// What the target said when the job began.
    pub before: Snapshot,
    /// Units that Cargo was made to rebuild, and sources that were made to look new, with the reason.
    pub forced: BTreeMap<String, String>,
    pub touched: BTreeMap<String, String>,
    pub inputs: Inputs,
    pub outcome: RestoreOutcome,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Restored {
    pub manifest: Manifest,
    /// The pack that carried it.
    pub pack: Parent,
    /// Files and units that did not come back, or are not the ones that it speaks for.
    pub lost_files: BTreeSet<usize>,
    pub lost_units: BTreeSet<usize>,
    /// A pack that it refers to was missing or damaged.
    pub damaged: bool,
    /// When its files last changed in any way, as of the end of the restore.
    #[serde(default)]
    pub changed: Changed,
}

/// The same for the Cargo home.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HomeState {
    pub parts: KeyParts,
    pub manifest: Option<Manifest>,
    pub pack: Option<Parent>,
    pub passed_over: BTreeSet<String>,
    pub names: BTreeSet<String>,
    pub lost_files: BTreeSet<usize>,
    pub damaged: bool,
}

impl State {
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).context("`rekindle restore` left no state here")?;
        let value: serde_json::Value = serde_json::from_slice(&bytes).context("the state file is not readable")?;
        let format = value.get("format").and_then(serde_json::Value::as_u64);
        if format != Some(u64::from(FORMAT)) {
            bail!("the state file `{}` was written by another version of Rekindle", path.display());
        }
        let state: Self = serde_json::from_value(value).context("the state file is not readable")?;
        if let Some(restored) = &state.restored {
            restored.manifest.check()?;
        }
        Ok(state)
    }

    /// Where the state of these inputs goes. A run can use the action for several sets of workspaces, and each has a save of its own.
    pub fn place(inputs: &Inputs) -> PathBuf {
        let run = Run::of_environment();
        let is_others = |state: &Self| state.run == run && state.inputs.workspaces != inputs.workspaces;
        let path = inputs.state.clone();
        if !Self::load(&path).is_ok_and(|state| is_others(&state)) {
            return path;
        }
        let mut hasher = FieldHasher::default();
        for workspace in &inputs.workspaces {
            hasher.field(paths::text(&workspace.root));
            hasher.field(workspace.target.as_deref().map(paths::text).unwrap_or_default());
        }
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        path.with_file_name(format!("{stem}-{}.json", hasher.finish().short()))
    }

    /// What nobody else calls this job.
    pub fn lease(&self) -> String {
        let mut hasher = FieldHasher::default();
        hasher.field(paths::text(&self.inputs.state)).field(&self.mark.0);
        hasher.finish().short()
    }

    /// The packs, by key, that what was restored is made of.
    pub fn builds_on(&self) -> BTreeSet<String> {
        let target = self.restored.as_ref().map(|restored| (&restored.pack, &restored.manifest));
        let home = self.home.pack.as_ref().zip(self.home.manifest.as_ref());
        let packs = target.into_iter().chain(home).flat_map(|(pack, manifest)| manifest.parents.iter().chain([pack]));
        packs.map(|pack| pack.key.clone()).collect()
    }

    pub fn store(&self, path: &Path) -> Result<()> {
        disk::write_atomically(path, &serde_json::to_vec(self)?)
            .with_context(|| format!("cannot write the state file `{}`", path.display()))
    }

    pub fn forget(path: &Path) {
        // One that cannot be removed cannot be written either, and that is an error.
        let _ = fs::remove_file(path);
    }
}

/// Which run of which job this is, as far as a runner says so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Run(Vec<String>);

impl Run {
    pub fn of_environment() -> Self {
        let names = ["GITHUB_RUN_ID", "GITHUB_RUN_ATTEMPT", "GITHUB_JOB"];
        Self(names.iter().map(|name| std::env::var(name).unwrap_or_default()).collect())
    }
}

/// Names the job that a target folder belongs to, from its first `restore` to its `save`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobMark(String);

impl JobMark {
    fn path(build_dir: &Path) -> PathBuf {
        build_dir.join(".rekindle").join("job")
    }

    /// Marks a target folder.
    pub fn place(build_dir: &Path) -> Result<Self> {
        let mark = Self(uuid::Uuid::new_v4().to_string());
        disk::write_atomically(&Self::path(build_dir), mark.0.as_bytes())?;
        Ok(mark)
    }

    pub fn read(build_dir: &Path) -> Option<Self> {
        let text = fs::read_to_string(Self::path(build_dir)).ok().filter(|text| !text.is_empty())?;
        Some(Self(text))
    }

    /// The job is over: whoever restores next begins another.
    pub fn remove(build_dir: &Path) {
        // One that stays is compared with a state file that has gone on.
        let _ = fs::remove_file(Self::path(build_dir));
    }
}

/// What a target folder says about itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LocalManifest {
    pub manifest: Manifest,
    pub pack: Parent,
    /// Times on disk are this much older than the manifest says.
    pub shift: Duration,
    /// When its files last changed in any way, as of the moment at which this was written.
    pub changed: Changed,
}

impl LocalManifest {
    pub fn path(build_dir: &Path) -> PathBuf {
        build_dir.join(".rekindle").join("manifest.json")
    }

    /// What lies in the target folder, unless it is for other hard parts, unreadable or of another version.
    pub fn load(build_dir: &Path, parts: &KeyParts) -> Option<Self> {
        Self::read(build_dir).filter(|local| local.manifest.parts.hard == parts.hard)
    }

    /// The same for whatever parts it is.
    pub fn read(build_dir: &Path) -> Option<Self> {
        let local: Self = serde_json::from_slice(&fs::read(Self::path(build_dir)).ok()?).ok()?;
        local.manifest.check().is_ok().then_some(local)
    }

    pub fn store(&self, build_dir: &Path) -> Result<()> {
        disk::write_atomically(&Self::path(build_dir), &serde_json::to_vec(self)?)
            .context("cannot note what the target holds")
    }

    pub fn forget(build_dir: &Path) {
        // One that cannot be removed is caught by the rule that it speaks only for files which still match it.
        let _ = fs::remove_file(Self::path(build_dir));
    }
}

/// Seconds per unit and runs per state are kept for this many runs.
pub const HISTORY: usize = 20;
