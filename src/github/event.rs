//! The event that started the run, as the runner wrote it down. A re-run reads the old one again.

use std::path::Path;

use fs_err as fs;
use serde::Deserialize;

/// As much of an event as matters here.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Event {
    pub pull_request: Option<PullRequest>,
    pub repository: Repository,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Repository {
    pub id: u64,
    pub default_branch: String,
}

/// One side of a pull request.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Side {
    /// A repository that is gone has none.
    repo: Option<Repository>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PullRequest {
    pub number: u64,
    labels: Vec<Label>,
    head: Side,
    base: Side,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Label {
    name: String,
}

impl Event {
    /// One that cannot be read is one without news.
    pub fn load(path: &Path) -> Self {
        fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }
}

impl PullRequest {
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.labels.iter().map(|label| label.name.as_str())
    }

    /// Whether its commits come from another repository, or from nobody knows where.
    pub fn is_foreign(&self) -> bool {
        match (&self.head.repo, &self.base.repo) {
            (Some(head), Some(base)) => head.id != base.id,
            _ => true,
        }
    }
}
