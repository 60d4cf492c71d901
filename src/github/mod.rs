//! What GitHub knows about the run and its repository: the event that started it, labels of a pull request as they stand now, and
//! what the repository's cache holds. Pure.

mod event;
mod repository;
mod roll;
pub mod runner;
mod scope;
mod token;

pub use event::{Event, PullRequest};
pub use repository::{Refusal, Repository};
pub use roll::key_roll;
pub use scope::Scope;
pub use token::GithubToken;

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
