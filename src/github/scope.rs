//! Who can read what a run stores in GitHub's cache, which goes by the ref of the run. Pure.
//!
//! A branch is read by its next runs and, if it is the default one or the base of a pull request, by others. What a pull request
//! stores only its own next runs read. How it can be wrong: other services may be more generous.

use serde::{Deserialize, Serialize};

/// The ref of a run, as in `refs/heads/main`; empty outside of a workflow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scope(pub String);

impl Scope {
    pub fn is_pull_request(&self) -> bool {
        self.0.starts_with("refs/pull/")
    }

    /// Why nobody is going to read it.
    pub fn unread(&self) -> Option<&'static str> {
        if self.0.starts_with("refs/tags/") {
            Some("no other run reads what a tag stores")
        } else if self.0.starts_with("refs/heads/gh-readonly-queue/") {
            Some("no other run reads what a merge queue stores")
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_merge_queues_are_read_by_nobody() {
        let unread = |name: &str| Scope(name.to_owned()).unread().is_some();
        assert!(unread("refs/tags/v1") && unread("refs/heads/gh-readonly-queue/main/pr-1-abc"));
        assert!(
            !unread("refs/heads/main") && !unread("refs/pull/1/merge") && !unread("refs/heads/tags") && !unread("")
        );
        assert!(Scope("refs/pull/1/merge".into()).is_pull_request());
    }
}
