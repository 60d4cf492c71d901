//! The command line as typed. Parsing validates and never acts.

mod stores;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::job::inputs::RawInputs;

pub use stores::{LsArgs, PolicyArgs, PruneArgs, StockArgs, StoreArgs, StoreCommand};

/// Makes a CI job behave as if its machine had never been wiped.
///
/// Exit codes: 0 done, or done with less than hoped; 1 the promise did not hold (`try`), a warning under `--strict`, or a
/// finding under `--deny`; 2 a wrong input.
#[derive(Debug, Parser)]
#[command(name = "rekindle", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Say what is done on the way, too
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

/// The values that an option takes, for help and completions. `RawInputs::resolve` judges what was typed: an action gives an
/// empty text for an input that nobody set.
#[derive(Clone, Debug)]
struct Values(&'static [&'static str]);

const SWITCH: Values = Values(&["on", "off"]);
const WHEN: Values = Values(&["auto", "always", "never", "true", "false"]);
const WAYS: Values = Values(&["report", "base", "alias"]);

impl TypedValueParser for Values {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.0.iter().map(|value| PossibleValue::new(*value))))
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Bring the target folder and the Cargo home back, and give the sources their times
    Restore(Box<RestoreArgs>),
    /// Store what the job changed
    Save(SaveArgs),
    /// Say why units were compiled: by a command, or since the last `restore`
    Explain(ExplainArgs),
    /// List packages, targets and tests that differ from what was restored
    Affected(AffectedArgs),
    /// Prove the promise on a checkout: build, save, wipe, restore, build, edit, build
    Try(TryArgs),
    /// Print the parts of the key, or explain how two keys differ
    Key(KeyArgs),
    /// List what lies in a store, who refers to whom, and what can go
    Ls(LsArgs),
    /// Take away what no job needs any more
    ///
    /// What newer entries have replaced, what closed pull requests and deleted branches left, and with `--max-size` the least recently
    /// used; never what a state that a job can start from refers to.
    Prune(PruneArgs),
    /// Give files the time of their last commit, by the rules of git-restore-mtime
    Mtime(MtimeArgs),
    /// Say what in the files of a checkout makes its CI slow or wrong
    ///
    /// A rule is switched off, with a reason, in `.github/rekindle.yml` or by a comment `# rekindle: ignore[rule] reason`;
    /// docs/doctor.md lists the rules.
    Doctor(DoctorArgs),
    /// Say which Python interpreters the key depends on, and print lines to share one
    Python(PythonArgs),
    /// Say how a bucket is set up for several jobs: rights for its zones, keys to sign with
    Store(StoreArgs),
    /// Run cargo as the shim of `--isolation alias` does: `rekindle cargo -- build`
    Cargo(CargoArgs),
    /// Print a script that completes this command line in a shell
    Completions(CompletionsArgs),
}

/// What the key depends on.
#[derive(Debug, Default, Args)]
pub struct JobArgs {
    /// A workspace, as `root` or `root -> target`; repeat it for several [default: the current folder]
    #[arg(long = "workspace", value_name = "LINE", env = "REKINDLE_WORKSPACES")]
    pub workspaces: Vec<String>,
    /// Where packs are kept: `dir:PATH`, `actions`, the runner's cache service, or a bucket as in `s3://bucket/prefix`, `gs://…`,
    /// `az://…` [default: `actions` in a workflow, else a folder in the user's cache folder]
    #[arg(long, value_name = "STORE", env = "REKINDLE_STORE")]
    pub store: Option<String>,
    /// Keeps this job's packs apart from others of the same workflow and job
    #[arg(long, value_name = "TEXT", env = "REKINDLE_KEY")]
    pub key: Option<String>,
    /// A name of its own for the packs, in the place of workflow, job and `--key`: jobs that give the same one share them
    #[arg(long, value_name = "TEXT", env = "REKINDLE_SHARED_KEY")]
    pub shared_key: Option<String>,
    /// Starts under a new name when it changes
    #[arg(long, value_name = "TEXT", env = "REKINDLE_KEY_ROLL")]
    pub key_roll: Option<String>,
    /// Further variables whose values are part of the key, with spaces or commas; a `*` at the end stands for the rest of a name
    #[arg(long, value_name = "NAMES", env = "REKINDLE_ENV_VARS")]
    pub env_vars: Option<String>,
    /// Python interpreters that the key depends on, one a line or with commas: paths, versions, `auto` or `off` [default:
    /// `auto`: the one that a build would find, where the project is one of Python and Rust]
    #[arg(long, value_name = "WHICH", env = "REKINDLE_PYTHON")]
    pub python: Option<String>,
    /// Keep incremental state [default: off]
    #[arg(long, value_name = "WISH", env = "REKINDLE_INCREMENTAL", value_parser = SWITCH)]
    pub incremental: Option<String>,
}

#[derive(Debug, Default, Args)]
pub struct RestoreArgs {
    #[command(flatten)]
    pub job: JobArgs,
    /// Give files that did not change the time that they were built with [default: on]
    #[arg(long, value_name = "WISH", env = "REKINDLE_MTIME", value_parser = SWITCH)]
    pub mtime: Option<String>,
    /// What is done about the environments that build frontends throw away after one build: `report`, `base` (their backends
    /// use the base interpreter) or `alias` (a `cargo` in front of the real one gives them a path that stays) [default: report]
    #[arg(long, value_name = "WAY", env = "REKINDLE_ISOLATION", value_parser = WAYS)]
    pub isolation: Option<String>,
    /// When `save` saves; `true` is `auto`, and `false` is `never` [default: auto]
    #[arg(long, value_name = "WHEN", env = "REKINDLE_SAVE", value_parser = WHEN)]
    pub save: Option<String>,
    /// Say what would be restored, and restore nothing; there is nothing to save then [default: off]
    #[arg(long, value_name = "WISH", env = "REKINDLE_LOOKUP_ONLY", value_parser = SWITCH)]
    pub lookup_only: Option<String>,
    /// Fail with exit code 1 if nothing was restored [default: off]
    #[arg(long, value_name = "WISH", env = "REKINDLE_FAIL_ON_CACHE_MISS", value_parser = SWITCH)]
    pub fail_on_cache_miss: Option<String>,
    /// Successful runs for which `save` keeps an unused unit [default: 3]
    #[arg(long, value_name = "RUNS", env = "REKINDLE_KEEP_UNUSED", allow_negative_numbers = true)]
    pub keep_unused: Option<String>,
    /// Of a state that is larger, what is cheapest to compile for its size is not stored, as in `2 GB` [default: no limit]
    #[arg(long, value_name = "SIZE", env = "REKINDLE_MAX_SIZE", allow_negative_numbers = true)]
    pub max_size: Option<String>,
    /// Write a summary to the page of the run [default: on]
    #[arg(long, value_name = "WISH", env = "REKINDLE_SUMMARY", value_parser = SWITCH)]
    pub summary: Option<String>,
    /// Fail with exit code 1 on a warning [default: off]
    #[arg(long, value_name = "WISH", env = "REKINDLE_STRICT", value_parser = SWITCH)]
    pub strict: Option<String>,
    /// A token that may read the labels of pull requests
    #[arg(long, value_name = "TOKEN", env = "REKINDLE_GITHUB_TOKEN", hide_env_values = true)]
    pub github_token: Option<String>,
    /// The file in which `restore` tells `save` what it did and was told [default: one per folder in the temporary folder]
    #[arg(long, value_name = "FILE", env = "REKINDLE_STATE")]
    pub state: Option<PathBuf>,
}

/// Whatever is not said here is as `restore` was told.
#[derive(Debug, Default, Args)]
pub struct SaveArgs {
    /// When to save; `true` is `auto`, and `false` is `never`
    #[arg(long, value_name = "WHEN", value_parser = WHEN)]
    pub save: Option<String>,
    /// Successful runs for which an unused unit is kept
    #[arg(long, value_name = "RUNS", allow_negative_numbers = true)]
    pub keep_unused: Option<String>,
    /// A token with `actions: write`, to prune what this save makes superfluous in the cache service
    #[arg(long, value_name = "TOKEN", env = "REKINDLE_GITHUB_TOKEN", hide_env_values = true)]
    pub github_token: Option<String>,
    /// How the job went; nothing ages in one that did not succeed
    #[arg(long, value_enum, default_value_t)]
    pub job_result: JobResultArg,
    /// The file that `restore` wrote [default: the one of the current folder]
    #[arg(long, value_name = "FILE", env = "REKINDLE_STATE")]
    pub state: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum JobResultArg {
    #[default]
    Success,
    Failure,
    Cancelled,
}

#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// A workspace, as `root` or `root -> target`; repeat it for several [default: the current folder]
    #[arg(long = "workspace", value_name = "LINE")]
    pub workspaces: Vec<String>,
    /// The state file of the `restore` to compare with [default: the one of the current folder]
    #[arg(long, value_name = "STATE", conflicts_with = "command")]
    pub since: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
    /// Write the report as a page that opens without a network, too
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// The command to run and explain, as in `rekindle explain -- cargo test`
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

#[derive(Debug, Args)]
pub struct AffectedArgs {
    /// A workspace, as `root` or `root -> target`; repeat it for several [default: the current folder]
    #[arg(long = "workspace", value_name = "LINE")]
    pub workspaces: Vec<String>,
    /// The state file of the `restore` to compare with [default: the one of the current folder]
    #[arg(long, value_name = "STATE")]
    pub since: Option<PathBuf>,
    /// Print them as JSON
    #[arg(long)]
    pub json: bool,
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

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// A checkout
    #[arg(default_value = ".")]
    pub path: PathBuf,
    /// `text` for people, `json` for programs, `github` for annotations on the page of a run
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub format: FindingsFormat,
    /// End with exit code 1 when something is found that is not ignored
    #[arg(long)]
    pub deny: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum FindingsFormat {
    #[default]
    Text,
    Json,
    Github,
}

#[derive(Debug, Args)]
pub struct PythonArgs {
    /// A workspace, as `root` or `root -> target`; repeat it for several [default: the current folder]
    #[arg(long = "workspace", value_name = "LINE", env = "REKINDLE_WORKSPACES")]
    pub workspaces: Vec<String>,
    /// Interpreters, one a line or with commas: paths, versions, `auto` or `off` [default: auto]
    #[arg(long, value_name = "WHICH", env = "REKINDLE_PYTHON")]
    pub python: Option<String>,
    /// Print lines for a shell, a step of a workflow, VS Code or `RustRover` [default: all of them]. They are only
    /// printed: nothing is exported
    #[arg(long, value_name = "FOR", value_enum, num_args = 0..=1, default_missing_value = "all")]
    pub export: Option<ExportArg>,
    /// Print the facts as JSON
    #[arg(long, conflicts_with = "export")]
    pub json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportArg {
    Shell,
    Github,
    Vscode,
    Rustrover,
    All,
}

#[derive(Debug, Args)]
pub struct CargoArgs {
    /// What cargo is to do
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    pub arguments: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

impl From<JobArgs> for RawInputs {
    fn from(args: JobArgs) -> Self {
        let JobArgs { workspaces, store, key, shared_key, key_roll, env_vars, python, incremental } = args;
        Self { workspaces, store, key, shared_key, key_roll, env_vars, python, incremental, ..Self::default() }
    }
}

impl From<RestoreArgs> for RawInputs {
    fn from(args: RestoreArgs) -> Self {
        let RestoreArgs { job, mtime, isolation, save, lookup_only, fail_on_cache_miss, keep_unused, max_size, .. } =
            args;
        let RestoreArgs { summary, strict, state, .. } = args;
        let raw = Self { save, lookup_only, fail_on_cache_miss, mtime, isolation, ..Self::from(job) };
        Self { keep_unused, max_size, summary, strict, state, ..raw }
    }
}

impl From<ExportArg> for crate::report::python::Export {
    fn from(arg: ExportArg) -> Self {
        match arg {
            ExportArg::Shell => Self::Shell,
            ExportArg::Github => Self::Github,
            ExportArg::Vscode => Self::Vscode,
            ExportArg::Rustrover => Self::Rustrover,
            ExportArg::All => Self::All,
        }
    }
}

impl From<JobResultArg> for crate::job::inputs::JobResult {
    fn from(arg: JobResultArg) -> Self {
        match arg {
            JobResultArg::Success => Self::Succeeded,
            JobResultArg::Failure => Self::Failed,
            JobResultArg::Cancelled => Self::Cancelled,
        }
    }
}
