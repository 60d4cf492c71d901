//! `rekindle doctor`: examines the files of a checkout, and runs nothing of it.

use std::path::Path;

use anyhow::Result;
use fs_err as fs;

use crate::doctor;
use crate::doctor::finding::Examination;
use crate::doctor::rule::Rule;
use crate::git::Repository;
use crate::problem::WrongInput;

const WORKFLOWS: &str = ".github/workflows";

pub fn run(dir: &Path) -> Result<Examination> {
    let hint = "name the root of a checkout: `rekindle doctor path/to/checkout`";
    if !dir.is_dir() {
        return Err(WrongInput::new(format!("`{}` is not a folder", dir.display()), hint).into());
    }
    let examination = examine(dir)?;
    let unread = examination.findings.iter().any(|finding| finding.rule == Rule::UnreadableFile);
    if examination.workflows == 0 && examination.packages == 0 && !unread {
        let what = format!("`{}` holds neither a workflow nor a `Cargo.toml`", dir.display());
        return Err(WrongInput::new(what, hint).into());
    }
    Ok(examination)
}

/// A folder of a repository is built by the workflows at its top, and examined with these.
fn examine(dir: &Path) -> Result<Examination> {
    let own = fs::canonicalize(dir)?;
    let top = Repository::discover(dir).and_then(|repository| fs::canonicalize(repository.top).ok());
    let Some((top, below)) = top.and_then(|top| Some((top.clone(), own.strip_prefix(&top).ok()?.to_path_buf()))) else {
        return doctor::examine(dir);
    };
    if below.as_os_str().is_empty() || own.join(WORKFLOWS).is_dir() || !top.join(WORKFLOWS).is_dir() {
        return doctor::examine(dir);
    }
    let prefix = format!("{}/", below.to_string_lossy().replace('\\', "/"));
    let mut examination = doctor::examine(&top)?;
    examination.findings.retain_mut(|finding| match finding.file.strip_prefix(&prefix) {
        Some(file) => {
            finding.file = file.to_owned();
            true
        }
        None => false,
    });
    Ok(examination)
}
