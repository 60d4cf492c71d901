//! What git says of a commit by its tags, and of the branch.

use super::{Repository, run};

/// Tags that are looked for at most.
const MOST: usize = 500;

impl Repository {
    /// `v1.2.3`, `v1.2.3-4-g0123abc`, or the abbreviated commit where there is no tag.
    pub fn described(&self) -> Option<String> {
        let text = run(&self.top, ["describe", "--tags", "--always", "HEAD"]).ok()?;
        Some(String::from_utf8_lossy(&text).trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// The branch that is checked out, or `HEAD` where it is a commit alone: as on most machines of a CI service.
    pub fn branch(&self) -> Option<String> {
        let text = run(&self.top, ["rev-parse", "--abbrev-ref", "HEAD"]).ok()?;
        Some(String::from_utf8_lossy(&text).trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// Tags of the commit and of those before it, newest first.
    pub fn tags(&self) -> Vec<String> {
        let listed = run(&self.top, ["tag", "--merged", "HEAD", "--sort=-creatordate"]).unwrap_or_default();
        String::from_utf8_lossy(&listed).lines().take(MOST).map(str::to_owned).collect()
    }
}
