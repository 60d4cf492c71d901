//! `rekindle doctor`: examines the files of a checkout, and runs nothing of it.

use std::path::Path;

use anyhow::Result;

use crate::doctor;
use crate::doctor::finding::Examination;
use crate::doctor::rule::Rule;
use crate::problem::WrongInput;

pub fn run(dir: &Path) -> Result<Examination> {
    let hint = "name the root of a checkout: `rekindle doctor path/to/checkout`";
    if !dir.is_dir() {
        return Err(WrongInput::new(format!("`{}` is not a folder", dir.display()), hint).into());
    }
    let examination = doctor::examine(dir)?;
    let unread = examination.findings.iter().any(|finding| finding.rule == Rule::UnreadableFile);
    if examination.workflows == 0 && examination.packages == 0 && !unread {
        let what = format!("`{}` holds neither a workflow nor a `Cargo.toml`", dir.display());
        return Err(WrongInput::new(what, hint).into());
    }
    Ok(examination)
}
