//! `rekindle explain`: why units were compiled, by a command that it runs or since a `restore`. Changes nothing itself.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use anyhow::{Context, Result};

use crate::cargo::units::{self, DiskUnit, Survey};
use crate::disk::{Kind, Meta};
use crate::evidence::Beginning;
use crate::facts::Facts;
use crate::inputs::Inputs;
use crate::inspection::Inspection;
use crate::problem::WrongInput;
use crate::state::State;

/// Since the `restore` that wrote this state.
pub fn since(path: &Path) -> Result<Inspection> {
    let state = State::load(path).map_err(|error| {
        let hint =
            "name the state file of a `rekindle restore`, or a command to run, as in `rekindle explain -- cargo test`";
        WrongInput::new(format!("there is nothing to compare with: {error:#}"), hint)
    })?;
    let facts = Facts::without_interpreters(&state.inputs)?;
    let surveys = survey(&facts)?;
    Ok(Beginning::of(&state).inspect(&facts, &surveys))
}

/// Runs a command and explains what it compiled.
pub fn command(inputs: &Inputs, words: &[String]) -> Result<(Inspection, ExitStatus)> {
    let (program, arguments) = words.split_first().context("no command")?;
    let facts = Facts::without_interpreters(inputs)?;
    let beginning = Beginning::now(&facts, &survey(&facts)?);
    let mut command = Command::new(program);
    let status = command.args(arguments).status();
    let status = status.map_err(|error| {
        WrongInput::new(
            format!("`{program}` cannot be run: {error}"),
            "write the command after `--`, as in `-- cargo test`",
        )
    })?;
    // The command may have changed the manifests, or the lock file.
    let facts = Facts::without_interpreters(inputs)?;
    let mut inspection = beginning.inspect(&facts, &survey(&facts)?);
    // What the command left alone it may not have looked at.
    inspection.forget_fresh();
    Ok((inspection, status))
}

fn survey(facts: &Facts) -> Result<Vec<Survey>> {
    let paths: Vec<PathBuf> = facts.roots().iter().map(|root| PathBuf::from(&root.path)).collect();
    let surveys = units::survey_all(&paths)?;
    forget_reading(&surveys);
    Ok(surveys)
}

/// A later `save` goes by access times, and being explained is no use.
fn forget_reading(surveys: &[Survey]) {
    for survey in surveys {
        let units: HashSet<String> = survey.units.iter().map(DiskUnit::fingerprint_dir).collect();
        let read = survey.files.iter().filter(|file| {
            let dir = file.path.rsplit_once('/').map_or("", |(dir, _)| dir);
            file.meta.kind == Kind::File && units.contains(dir)
        });
        for file in read {
            let path = survey.on_disk(file);
            if Meta::of(&path).is_ok_and(|now| now.atime != file.meta.atime) {
                // Somebody else's file: then it only looks used.
                let _ = filetime::set_file_atime(&path, file.meta.atime.to_file_time());
            }
        }
    }
}
