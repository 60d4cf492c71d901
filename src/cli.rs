//! The command line as typed. Parsing validates and never acts.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::inputs::RawInputs;

/// Makes a CI job behave as if its machine had never been wiped.
///
/// Exit codes: 0 done, or done with less than hoped; 1 the promise did not hold (`try`); 2 a wrong input.
#[derive(Debug, Parser)]
#[command(name = "rekindle", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Bring the target folder and the Cargo home back, and give the sources their times
    Restore(JobArgs),
    /// Store what the job changed
    Save(SaveArgs),
    /// Prove the promise on a checkout: build, save, wipe, restore, build, edit, build
    Try(TryArgs),
    /// Print the parts of the key, or explain how two keys differ
    Key(KeyArgs),
    /// Give files the time of their last commit, by the rules of git-restore-mtime
    Mtime(MtimeArgs),
}

#[derive(Debug, Default, Args)]
pub struct JobArgs {
    /// A workspace, as `root` or `root -> target`; repeat it for several [default: the current folder]
    #[arg(long = "workspace", value_name = "LINE", env = "REKINDLE_WORKSPACES")]
    pub workspaces: Vec<String>,
    /// Where packs are kept: `dir:PATH` [default: a folder in the user's cache folder]
    #[arg(long, value_name = "STORE", env = "REKINDLE_STORE")]
    pub store: Option<String>,
    /// Keeps this job's packs apart from others of the same workflow and job
    #[arg(long, value_name = "TEXT", env = "REKINDLE_KEY")]
    pub key: Option<String>,
    /// Starts under a new name when it changes
    #[arg(long, value_name = "TEXT", env = "REKINDLE_KEY_ROLL")]
    pub key_roll: Option<String>,
    /// Keep incremental state: `off` or `on` [default: off]
    #[arg(long, value_name = "WISH", env = "REKINDLE_INCREMENTAL")]
    pub incremental: Option<String>,
    /// The file in which `restore` tells `save` what it did [default: one per workspace in the temporary folder]
    #[arg(long, value_name = "FILE", env = "REKINDLE_STATE")]
    pub state: Option<PathBuf>,
}

#[derive(Debug, Default, Args)]
pub struct SaveArgs {
    #[command(flatten)]
    pub job: JobArgs,
    /// When to save: `auto`, `always` or `never` [default: auto]
    #[arg(long, value_name = "WHEN", env = "REKINDLE_SAVE")]
    pub save: Option<String>,
    /// Successful runs for which an unused unit is kept [default: 3]
    #[arg(long, value_name = "RUNS", env = "REKINDLE_KEEP_UNUSED")]
    pub keep_unused: Option<u32>,
    /// How the job went; nothing ages in one that failed
    #[arg(long, value_enum, default_value_t)]
    pub job_result: JobResultArg,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum JobResultArg {
    #[default]
    Success,
    Failure,
}

#[derive(Debug, Args)]
pub struct TryArgs {
    /// The folder of a Cargo workspace
    #[arg(default_value = ".")]
    pub path: PathBuf,
    /// What to build; repeat it for several commands
    #[arg(long = "command", value_name = "CARGO", default_value = "cargo test --no-run")]
    pub commands: Vec<String>,
    /// The file to edit, relative to the workspace [default: the first source of a leaf crate]
    #[arg(long, value_name = "FILE")]
    pub edit: Option<PathBuf>,
    /// Print the numbers as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct KeyArgs {
    #[command(flatten)]
    pub job: JobArgs,
    /// Explain how two keys differ; each is a file written by `--json`, or the name of a stored entry
    #[arg(long, num_args = 2, value_names = ["A", "B"])]
    pub diff: Option<Vec<String>>,
    /// Print the parts as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct MtimeArgs {
    /// A checkout with its whole history
    #[arg(default_value = ".")]
    pub path: PathBuf,
    /// Use the date of the commit instead of the author's
    #[arg(long)]
    pub commit: bool,
}

impl From<JobArgs> for RawInputs {
    fn from(args: JobArgs) -> Self {
        let JobArgs { workspaces, store, key, key_roll, incremental, state } = args;
        Self { workspaces, store, key, key_roll, incremental, state, ..Self::default() }
    }
}

impl From<&SaveArgs> for crate::phase::save::JobResult {
    fn from(args: &SaveArgs) -> Self {
        match args.job_result {
            JobResultArg::Success => Self::Succeeded,
            JobResultArg::Failure => Self::Failed,
        }
    }
}
