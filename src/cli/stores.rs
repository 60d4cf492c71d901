//! What commands about stores are told: which one, what is to go, and whose roles.
//!
//! How it can be wrong: texts are judged by whoever takes them, not here.

use clap::{Args, Subcommand};

/// Which store is looked at.
#[derive(Debug, Args)]
pub struct StockArgs {
    /// Where packs are kept: `dir:PATH`, a bucket as in `s3://bucket/prefix`, or `actions`, the cache of a repository [default:
    /// `actions` in a workflow, else a folder in the user's cache folder]
    #[arg(long, value_name = "STORE", env = "REKINDLE_STORE")]
    pub store: Option<String>,
    /// A token with `actions: read`, or `actions: write` to prune, for the repository that `GITHUB_REPOSITORY` names
    #[arg(long, value_name = "TOKEN", env = "REKINDLE_GITHUB_TOKEN", hide_env_values = true)]
    pub github_token: Option<String>,
    /// Print it as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct LsArgs {
    #[command(flatten)]
    pub store: StockArgs,
}

#[derive(Debug, Args)]
pub struct PruneArgs {
    #[command(flatten)]
    pub store: StockArgs,
    /// Say what would go, and remove nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Remove the least recently used, too, until the rest is no larger than this, as in `2 GB`
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true)]
    pub max_size: Option<String>,
    /// Longer than any job takes: what was of use within it stays [default: 7 h, in a folder 15 min]
    #[arg(long, value_name = "TIME", allow_negative_numbers = true)]
    pub grace: Option<String>,
}

#[derive(Debug, Args)]
pub struct StoreArgs {
    #[command(subcommand)]
    pub command: StoreCommand,
}

#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Print roles by which only protected branches store what protected branches read
    Policy(PolicyArgs),
    /// Make a new pair of keys, one to sign entries with and one to check them
    Keys,
}

#[derive(Debug, Args)]
pub struct PolicyArgs {
    /// The bucket, as `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`
    #[arg(value_name = "STORE")]
    pub location: String,
    /// Whose jobs, as `owner/name`
    #[arg(long, value_name = "NAME", env = "GITHUB_REPOSITORY")]
    pub repository: String,
    /// The number that GitHub gives the repository: `gh api repos/OWNER/NAME --jq .id`
    #[arg(long, value_name = "NUMBER", env = "GITHUB_REPOSITORY_ID")]
    pub repository_id: String,
    /// A protected branch; repeat it for several
    #[arg(long = "branch", value_name = "NAME", default_value = "main")]
    pub branches: Vec<String>,
}
