//! `rekindle explain`: why units were compiled, by a command that it runs or since a `restore`. Changes nothing itself.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use anyhow::{Context, Result};

use crate::cargo::survey;
use crate::cargo::traces;
use crate::cargo::units::Survey;
use crate::explain::inspection::Inspection;
use crate::job::beginning::Beginning;
use crate::job::facts::Facts;
use crate::job::handover::State;
use crate::job::inputs::Inputs;
use crate::machine::children;
use crate::problem::WrongInput;

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
    #[expect(clippy::disallowed_methods, reason = "what somebody runs through us has what it has without us")]
    let mut command = Command::new(program);
    let status = children::status(command.args(arguments));
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
    let paths: Vec<PathBuf> = facts.roots().iter().map(|root| root.path.clone()).collect();
    let surveys = survey::survey_all(&paths)?;
    // A later `save` goes by access times, and being explained is no use.
    traces::forget_reading(&surveys);
    Ok(surveys)
}
