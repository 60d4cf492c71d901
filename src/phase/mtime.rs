//! `rekindle mtime`: gives the files of a checkout the time of their last commit.
//!
//! The same rules as `git-restore-mtime`, file by file. Folders differ on purpose: a rename counts as a removal and an addition,
//! and the walk goes on until the folders are found too.

use std::path::Path;

use anyhow::Result;

use crate::git::{Repository, TimeOf};
use crate::job::outcome::MtimeOutcome;
use crate::machine::disk::{self, Kind, Meta};
use crate::problem::WrongInput;

pub fn run(dir: &Path, time_of: TimeOf) -> Result<MtimeOutcome> {
    let Some(repository) = Repository::discover(dir) else {
        let hint = "run it in a checkout, or name one: `rekindle mtime path/to/checkout`";
        let why = Repository::refusal(dir);
        return Err(WrongInput::new(format!("`{}` is in no git work tree: {why}", dir.display()), hint).into());
    };
    if repository.shallow {
        let hint = "check out with the whole history: `fetch-depth: 0`";
        return Err(WrongInput::new("the clone is shallow: its history does not say when files changed", hint).into());
    }
    let times = repository.commit_times(time_of)?;
    let mut outcome = MtimeOutcome { missing: times.missing, ..MtimeOutcome::default() };
    for (path, time) in &times.files {
        let path = repository.top.join(path);
        let Ok(meta) = Meta::of(&path) else { continue };
        disk::set_mtime(&path, meta.kind, *time)?;
        outcome.files += 1;
    }
    for (path, time) in &times.folders {
        let path = if path.is_empty() { repository.top.clone() } else { repository.top.join(path) };
        disk::set_mtime(&path, Kind::Folder, *time)?;
        outcome.folders += 1;
    }
    repository.refresh_index()?.finish()?;
    Ok(outcome)
}
