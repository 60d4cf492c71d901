//! What a file inside `.git` means: builds that watch one want to know the commit, not how this clone happens to store it.
//!
//! The index means the tree that it lists, a log means the commit that it ends with, packed refs mean the tags. `HEAD` and loose
//! refs are their own bytes. Everything else (objects, hooks, what was fetched when) means nothing to a build. How it can be
//! wrong: a build script that counts objects is not run again.

use std::path::Path;

use anyhow::Result;
use fs_err as fs;

use super::{Repository, run};
use crate::digest::{ContentId, FieldHasher};

impl Repository {
    /// Whether a path lies in this repository's own folder, or is that folder.
    pub fn owns(&self, path: &Path) -> bool {
        path.starts_with(&self.git_dir) || path.starts_with(&self.common_dir) || path.starts_with(self.top.join(".git"))
    }

    /// What a file or folder inside the repository's own folder means; nothing for one whose bytes are what it means.
    pub fn meaning(&self, path: &Path, is_folder: bool) -> Option<ContentId> {
        let dirs = [&self.top.join(".git"), &self.git_dir, &self.common_dir];
        let inner = dirs.iter().find_map(|dir| path.strip_prefix(dir).ok())?;
        let mut parts = inner.components().filter_map(|part| part.as_os_str().to_str());
        let text = match (parts.next(), parts.next()) {
            (None, _) if is_folder => {
                format!(
                    "{} {} {}",
                    self.head_text(),
                    self.index().unwrap_or_default(),
                    self.tag_list().unwrap_or_default()
                )
            }
            (Some("index"), None) => self.index().ok()?,
            (Some("logs"), _) if !is_folder => last_commit(&fs::read(path).ok()?)?,
            (Some("packed-refs"), None) => self.tag_list().ok()?,
            (Some("FETCH_HEAD" | "ORIG_HEAD"), None) => self.head_text(),
            (Some("refs"), Some("remotes")) => String::new(),
            (Some("refs"), Some("tags")) if is_folder => self.tag_list().ok()?,
            (Some("refs"), _) if is_folder => format!("{} {}", self.head_text(), self.tag_list().unwrap_or_default()),
            // The top's own `.git` file, in a submodule or a linked work tree, and what is its own bytes.
            (None | Some("HEAD"), None) | (Some("refs"), _) => return None,
            _ => String::new(),
        };
        Some(ContentId::of_meaning(&text))
    }

    /// What lies loose in the repository's own folder and still has a meaning of its own.
    fn head_text(&self) -> String {
        self.head.clone().unwrap_or_default()
    }

    fn index(&self) -> Result<String> {
        Ok(digest(&run(&self.top, ["ls-files", "-z", "--stage"])?))
    }

    /// Every tag with what it leads to.
    fn tag_list(&self) -> Result<String> {
        Ok(digest(&run(&self.top, ["for-each-ref", "--format=%(refname) %(objectname)", "refs/tags"])?))
    }

    /// Commits that this work tree had checked out, newest last, as far as its log goes back.
    pub fn visited(&self) -> Vec<String> {
        let log = fs::read_to_string(self.git_dir.join("logs/HEAD")).unwrap_or_default();
        let commits = log.lines().filter_map(|line| line.split(' ').nth(1)).map(str::to_owned);
        commits.filter(|commit| commit.len() >= 40).collect()
    }
}

fn last_commit(log: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(log);
    text.lines().next_back()?.split(' ').nth(1).map(str::to_owned)
}

fn digest(bytes: &[u8]) -> String {
    let mut hasher = FieldHasher::default();
    hasher.field(bytes);
    hasher.finish().to_string()
}
