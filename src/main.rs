//! The program: parses, runs one phase, prints its outcome. Prints nothing else, and decides nothing.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use rekindle::cli::{Cli, Command, KeyArgs, MtimeArgs, SaveArgs, TryArgs};
use rekindle::git::TimeOf;
use rekindle::inputs::RawInputs;
use rekindle::phase::{self, save::JobResult, try_it::TryInputs};
use rekindle::problem::WrongInput;
use rekindle::report::{log, table};
use rekindle::workflow;

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Restore(args) => {
            let outcome = phase::restore::run(&RawInputs::from(args).resolve()?)?;
            if outcome.incremental_off {
                workflow::export("CARGO_INCREMENTAL", "0")?;
            }
            print(&log::restore(&outcome))
        }
        Command::Save(args) => save(args),
        Command::Try(args) => try_it(args),
        Command::Key(args) => key(args),
        Command::Mtime(args) => mtime(&args),
    }
}

fn save(args: SaveArgs) -> Result<ExitCode> {
    let result = JobResult::from(&args);
    let SaveArgs { job, save, keep_unused, job_result: _ } = args;
    let inputs = RawInputs { save, keep_unused, ..RawInputs::from(job) }.resolve()?;
    match phase::save::run(&inputs, result) {
        Ok(outcome) => print(&log::save(&outcome)),
        Err(error) if error.is::<WrongInput>() => Err(error),
        Err(error) => print(&[format!("warning: nothing was saved: {error:#}")]),
    }
}

fn try_it(args: TryArgs) -> Result<ExitCode> {
    let TryArgs { path, commands, edit, json } = args;
    let outcome = phase::try_it::run(&TryInputs { path, commands, edit })?;
    let lines = if json { vec![table::json(&outcome)?] } else { table::text(&outcome) };
    print(&lines)?;
    Ok(if outcome.kept_the_promise() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn key(args: KeyArgs) -> Result<ExitCode> {
    let KeyArgs { job, diff, json } = args;
    let inputs = RawInputs::from(job).resolve()?;
    if let Some([old, new]) = diff.as_deref() {
        let changes = phase::key::diff(&inputs, old, new)?;
        let lines: Vec<String> = changes.iter().map(ToString::to_string).collect();
        return print(if lines.is_empty() { &["the keys have the same parts"][..] } else { &[] })
            .and_then(|_| print(&lines));
    }
    let parts = phase::key::current(&inputs)?;
    if json {
        return print(&[serde_json::to_string_pretty(&parts)?]);
    }
    print(&log::key(&parts))
}

fn mtime(args: &MtimeArgs) -> Result<ExitCode> {
    let time_of = if args.commit { TimeOf::Commit } else { TimeOf::Author };
    let outcome = phase::mtime::run(&args.path, time_of)?;
    print(&log::mtime(&outcome))
}

fn print<T: AsRef<str>>(lines: &[T]) -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    for line in lines {
        writeln!(out, "{}", line.as_ref())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// One line that names what is wrong, and one that says what to do about it.
fn fail(error: &anyhow::Error) -> ExitCode {
    let mut out = std::io::stderr().lock();
    // Nobody is left to tell when this fails.
    let _ = match error.downcast_ref::<WrongInput>() {
        Some(WrongInput { what, hint }) => writeln!(out, "error: {what}\nhint: {hint}"),
        None => writeln!(out, "error: {error:#}"),
    };
    if error.is::<WrongInput>() { ExitCode::from(2) } else { ExitCode::FAILURE }
}
