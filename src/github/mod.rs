//! What GitHub knows about the run: the event that started it, and labels of a pull request as they stand now.

mod event;
mod roll;
pub mod runner;

pub use event::{Event, PullRequest};
pub use roll::{GithubToken, key_roll};
