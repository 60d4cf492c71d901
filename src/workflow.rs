//! The runner's file commands: the one way in which a step changes what later steps see.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use fs_err as fs;

/// Puts a variable into the environment of the job's later steps; false where there is no runner to tell.
pub fn export(name: &str, value: &str) -> Result<bool> {
    let Some(path) = std::env::var_os("GITHUB_ENV").filter(|path| !path.is_empty()).map(PathBuf::from) else {
        return Ok(false);
    };
    let mut file = fs::OpenOptions::new().append(true).create(true).open(path)?;
    writeln!(file, "{name}={value}").context("cannot write to GITHUB_ENV")?;
    Ok(true)
}
