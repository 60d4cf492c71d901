//! What GitHub knows about the run: the event that started it, and labels of a pull request as they stand now. Pure.

mod event;
mod roll;
pub mod runner;
mod scope;

pub use event::{Event, PullRequest};
pub use roll::{GithubToken, key_roll};
pub use scope::Scope;

use serde::{Deserialize, Serialize};

/// A name that somebody wanted to start under anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roll {
    pub text: String,
    pub wished_by: RollSource,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RollSource {
    Input,
    /// A label of the pull request, as it stands now.
    Label,
    /// A label of the pull request, as it stood when the run was first started.
    LabelOfEvent,
}
