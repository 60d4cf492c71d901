//! The program: parses, runs one phase, prints its outcome. Prints nothing else, and decides nothing.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{CommandFactory, Parser};
use rekindle::cli::{
    AffectedArgs, Cli, Command, CompletionsArgs, DoctorArgs, ExplainArgs, FindingsFormat, KeyArgs, LsArgs, MtimeArgs,
    PolicyArgs, PruneArgs, PythonArgs, RestoreArgs, SaveArgs, StockArgs, StoreArgs, StoreCommand, TryArgs,
};
use rekindle::git::TimeOf;
use rekindle::github::GithubToken;
use rekindle::github::runner;
use rekindle::job::handover::State;
use rekindle::job::inputs::{Lookup, Miss, RawInputs, SaveWishes, Strictness, Summary, default_state};
use rekindle::job::outcome::{IsolationOutcome, RestoreOutcome, SaveOutcome};
use rekindle::machine::{disk, interrupt};
use rekindle::phase::{self, prune::PruneWishes, try_it::TryInputs};
use rekindle::problem::{JobFault, Warning, Warnings, WrongInput};
use rekindle::report::policy::Policy;
use rekindle::report::{self, findings, log, outputs, stock, summary, table};
use rekindle::state::secrets::Secrets;
use rekindle::store::object::{Location, NewKeys};

fn main() -> ExitCode {
    // Nothing that costs time comes before this: it is in the way of every call of cargo.
    let mut words = std::env::args_os();
    if phase::shim::called_as_cargo(words.next().as_deref()) {
        return cargo(words.collect(), true);
    }
    let Cli { command, verbose } = Cli::parse();
    if verbose || runner::is_debug() {
        report::journal::begin();
    }
    match run(command) {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Restore(args) => {
            interrupt::watch(|signal, number| leave(signal, number, "nothing more is restored"));
            in_nobodys_way("nothing was restored", restore(*args))
        }
        Command::Save(args) => {
            interrupt::watch(|signal, number| leave(signal, number, "nothing more is saved"));
            in_nobodys_way("nothing was saved", save(args))
        }
        Command::Explain(args) => explain(args),
        Command::Affected(args) => affected(args),
        Command::Try(args) => try_it(args),
        Command::Key(args) => key(args),
        Command::Ls(args) => in_nobodys_way("nothing was listed", ls(args)),
        Command::Prune(args) => in_nobodys_way("nothing was pruned", prune(args)),
        Command::Mtime(args) => mtime(&args),
        Command::Doctor(args) => doctor(&args),
        Command::Python(args) => python(args),
        Command::Store(args) => store(args),
        Command::Cargo(args) => Ok(cargo(args.arguments, false)),
        Command::Completions(args) => completions(&args),
    }
}

fn restore(args: RestoreArgs) -> Result<ExitCode> {
    let token = args.github_token.as_deref().and_then(GithubToken::new);
    let mut inputs = RawInputs::from(args).resolve()?;
    if runner::is_step() && std::env::current_dir().is_ok_and(|dir| inputs.state == default_state(&dir)) {
        inputs.state = State::place(&inputs);
    }
    let (strict, miss, state) = (inputs.strict, inputs.miss, inputs.state.clone());
    // The post step finds it there, whatever becomes of this one. A lookup leaves it nothing to do.
    let kept = if inputs.lookup == Lookup::Only { Ok(()) } else { runner::keep("state", &state.to_string_lossy()) };
    let outcome = match phase::restore::run(inputs, token.as_ref()) {
        Ok(outcome) => outcome,
        Err(error) if error.is::<WrongInput>() => return Err(error),
        Err(error) => {
            let code = conclude(strict, &nothing_done("nothing was restored", &error))?;
            return missed(miss).map(|failure| failure.unwrap_or(code));
        }
    };
    let mut warnings = outcome.warnings.clone();
    if let Err(error) = kept.and_then(|()| hand_on(&outcome)) {
        warnings.fault("later steps are not told everything", &error);
    }
    // What was restored stays, whoever cannot be told.
    in_nobodys_way("what was restored could not be said", say_restored(&outcome, &warnings, strict, miss))
}

fn say_restored(outcome: &RestoreOutcome, warnings: &Warnings, strict: Strictness, miss: Miss) -> Result<ExitCode> {
    tell(&log::restore(outcome))?;
    let code = conclude(strict, warnings)?;
    let later = log::later_steps(outcome, runner::is_step());
    // Outside a workflow these are what the command is run for: `eval "$(rekindle restore)"`.
    if runner::is_step() {
        tell(&later)?;
    } else {
        write(&mut std::io::stdout().lock(), later.into_iter())?;
    }
    let is_miss = outputs::state(outcome) == "miss";
    Ok(if is_miss { missed(miss)?.unwrap_or(code) } else { code })
}

/// The one failure that is no wrong input: somebody asked for it.
fn missed(miss: Miss) -> Result<Option<ExitCode>> {
    if miss == Miss::Tolerated {
        return Ok(None);
    }
    let text = "nothing was restored, and `fail-on-cache-miss` is on";
    if runner::is_step() {
        command(std::iter::once(runner::annotation("error", text)))?;
    } else {
        tell(&[format!("error: {text}")])?;
    }
    Ok(Some(ExitCode::FAILURE))
}

/// What later steps of the job go by.
fn hand_on(outcome: &RestoreOutcome) -> Result<()> {
    if outcome.incremental_off {
        runner::export("CARGO_INCREMENTAL", "0")?;
    }
    let IsolationOutcome { variables, path } = &outcome.isolation;
    for (name, value) in variables {
        runner::export(name, value)?;
    }
    if let Some(path) = path {
        runner::add_path(&path.to_string_lossy())?;
    }
    for (name, value) in outputs::restore(outcome) {
        runner::output(name, &value)?;
    }
    Ok(())
}

fn save(args: SaveArgs) -> Result<ExitCode> {
    let SaveArgs { save, keep_unused, job_result, github_token, state } = args;
    let token = github_token.as_deref().and_then(GithubToken::new);
    let wishes = SaveWishes::resolve(save.as_deref(), keep_unused.as_deref())?;
    let path = state.map_or_else(|| std::env::current_dir().map(|dir| default_state(&dir)), Ok)?;
    match phase::save::run(&path, wishes, job_result.into(), token.as_ref()) {
        Ok((state, outcome)) => {
            let mut warnings = outcome.warnings.clone();
            if let Err(error) = write_reports(&path, &state, &outcome) {
                warnings.fault("the report was not written", &error);
            }
            tell(&log::save(&outcome))?;
            conclude(state.inputs.strict, &warnings)
        }
        Err(error) => conclude(Strictness::Lenient, &nothing_done("nothing was saved", &error)),
    }
}

fn write_reports(path: &Path, state: &State, outcome: &SaveOutcome) -> Result<()> {
    let secrets = Secrets::of_environment();
    if state.inputs.summary == Summary::Written {
        runner::summary(&secrets.mask(&summary::markdown(&state.inputs.job, &state.outcome, outcome)))?;
    }
    let report = secrets.mask(&report::json::job(&state.outcome, outcome)?);
    Ok(disk::write_atomically(&path.with_extension("report.json"), report.as_bytes())?)
}

/// Only a wrong input, or a warning where `strict` wants it so, fails a step: whatever else goes wrong costs the cache.
fn in_nobodys_way(what: &str, result: Result<ExitCode>) -> Result<ExitCode> {
    match result {
        Err(error) if !error.is::<WrongInput>() => {
            // Where not even that can be said, nobody listens.
            Ok(conclude(Strictness::Lenient, &nothing_done(what, &error)).unwrap_or(ExitCode::SUCCESS))
        }
        result => result,
    }
}

/// A fault of the job's own is said with what to do about it.
fn nothing_done(what: &str, error: &anyhow::Error) -> Warnings {
    match error.downcast_ref::<JobFault>() {
        Some(JobFault { what: fault, hint }) => Warning::new(format!("{what}: {fault} (hint: {hint})")).into(),
        None => Warning::of(what, error).into(),
    }
}

/// Says every warning, and what they come to.
fn conclude(strict: Strictness, warnings: &Warnings) -> Result<ExitCode> {
    if runner::is_step() {
        command(warnings.iter().map(|warning| runner::annotation("warning", &warning.to_string())))?;
    } else {
        tell(&warnings.iter().map(|warning| format!("warning: {warning}")).collect::<Vec<_>>())?;
    }
    let failed = strict == Strictness::Strict && !warnings.is_empty();
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Ends at a signal, with one line. Nobody waits for one whom nobody reads.
#[expect(clippy::exit, reason = "what is under way on other threads may wait for long")]
fn leave(signal: &str, number: i32, what: &str) {
    let line = format!("stopped by {signal}: {what}");
    let (said, heard) = mpsc::channel();
    std::thread::spawn(move || said.send(tell(&[line]).is_ok()));
    let _ = heard.recv_timeout(Duration::from_secs(1));
    std::process::exit(128 + number);
}

fn explain(args: ExplainArgs) -> Result<ExitCode> {
    let ExplainArgs { workspaces, since, json, html, command } = args;
    let title = if command.is_empty() { "What was compiled, and why".to_owned() } else { command.join(" ") };
    let inputs = RawInputs { workspaces, ..RawInputs::default() }.resolve()?;
    if let Some(dir) = html.as_deref().and_then(Path::parent).filter(|dir| !dir.as_os_str().is_empty() && !dir.is_dir())
    {
        let hint = "name a file in a folder that is there";
        return Err(WrongInput::new(format!("`--html`: there is no folder `{}`", dir.display()), hint).into());
    }
    let (inspection, code) = if command.is_empty() {
        (phase::explain::since(&since.unwrap_or(inputs.state))?, ExitCode::SUCCESS)
    } else {
        let (inspection, status) = phase::explain::command(&inputs, &command)?;
        (inspection, status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
    };
    if let Some(path) = html {
        fs_err::write(path, report::html::page(&title, &inspection))?;
    }
    if json {
        data(&report::json::inspection(&inspection)?)?;
    } else {
        print(&log::inspection(&inspection))?;
    }
    Ok(code)
}

fn affected(args: AffectedArgs) -> Result<ExitCode> {
    let AffectedArgs { workspaces, since, json } = args;
    let inputs = RawInputs { workspaces, ..RawInputs::default() }.resolve()?;
    let found = phase::affected::since(&since.unwrap_or(inputs.state))?;
    if json { data(&serde_json::to_string_pretty(&found)?) } else { print(&log::affected(&found)) }
}

fn try_it(args: TryArgs) -> Result<ExitCode> {
    let TryArgs { path, commands, edit, json } = args;
    let outcome = phase::try_it::run(&TryInputs { path, commands, edit })?;
    if json {
        data(&table::json(&outcome)?)?;
    } else {
        print(&table::text(&outcome))?;
    }
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
        return data(&serde_json::to_string_pretty(&parts)?);
    }
    print(&log::key(&parts))
}

fn ls(args: LsArgs) -> Result<ExitCode> {
    let StockArgs { store, github_token, json } = args.store;
    let inputs = RawInputs { store, ..RawInputs::default() }.resolve()?;
    let token = github_token.as_deref().and_then(GithubToken::new);
    let found = phase::ls::run(&inputs.store, token.as_ref())?;
    if json { data(&stock::json(&found)?) } else { print(&stock::text(&found)) }
}

fn prune(args: PruneArgs) -> Result<ExitCode> {
    let PruneArgs { store: StockArgs { store, github_token, json }, dry_run, max_size, grace } = args;
    let inputs = RawInputs { store, max_size, ..RawInputs::default() }.resolve()?;
    let wishes = PruneWishes::resolve(dry_run, inputs.max_size, grace.as_deref())?;
    let token = github_token.as_deref().and_then(GithubToken::new);
    let done = phase::prune::run(&inputs.store, token.as_ref(), wishes)?;
    if json { data(&stock::pruning_json(&done)?) } else { print(&stock::pruning(&done)) }
}

fn mtime(args: &MtimeArgs) -> Result<ExitCode> {
    let time_of = if args.commit { TimeOf::Commit } else { TimeOf::Author };
    let outcome = phase::mtime::run(&args.path, time_of)?;
    print(&log::mtime(&outcome))
}

fn doctor(args: &DoctorArgs) -> Result<ExitCode> {
    let DoctorArgs { path, format, deny } = args;
    let examination = phase::doctor::run(path)?;
    match format {
        FindingsFormat::Text => print(&findings::text(&examination))?,
        FindingsFormat::Json => data(&findings::json(&examination)?)?,
        FindingsFormat::Github => command(findings::github(&examination).into_iter())?,
    };
    Ok(if *deny && !examination.findings.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn python(args: PythonArgs) -> Result<ExitCode> {
    let PythonArgs { workspaces, python, export, json } = args;
    let inputs = RawInputs { workspaces, python, ..RawInputs::default() }.resolve()?;
    let interpreters = phase::python::run(&inputs)?;
    match export {
        Some(wanted) => print(&report::python::export(&interpreters, wanted.into())?),
        None if json => data(&report::python::json(&interpreters)?),
        None => print(&report::python::text(&interpreters)),
    }
}

/// Becomes cargo. Its own words go where cargo's go; standard output is cargo's alone.
fn cargo(arguments: Vec<OsString>, as_cargo: bool) -> ExitCode {
    let say = |text: &str| {
        // Nobody is left to tell when this fails.
        let _ = writeln!(std::io::stderr().lock(), "rekindle: {text}");
    };
    let call = match phase::shim::prepare(arguments, as_cargo) {
        Ok(call) => call,
        Err(error) => {
            say(&error.to_string());
            return ExitCode::from(127);
        }
    };
    call.notes.iter().for_each(|note| say(note));
    call.run().unwrap_or_else(|error| {
        say(&format!("cargo cannot be started: {error}"));
        ExitCode::from(126)
    })
}

fn store(args: StoreArgs) -> Result<ExitCode> {
    match args.command {
        StoreCommand::Policy(PolicyArgs { location: text, repository, repository_id: id, branches }) => {
            let wrong =
                || WrongInput::new("the bucket is not named", "write it as `s3://bucket/prefix`, `gs://…` or `az://…`");
            let location = Location::parse(&text).ok_or_else(wrong)?;
            print(&Policy { location, repository, id, branches }.lines())
        }
        StoreCommand::Keys => {
            let keys = NewKeys::make().context("this system gives no random numbers")?;
            let NewKeys { secret, public } = keys;
            print(&[format!("REKINDLE_SIGNING_SECRET={secret}"), format!("REKINDLE_SIGNING_KEYS={public}")])
        }
    }
}

fn completions(args: &CompletionsArgs) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "rekindle", &mut script);
    std::io::stdout().lock().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}

/// What somebody asked for.
fn print<T: AsRef<str>>(lines: &[T]) -> Result<ExitCode> {
    write(&mut std::io::stdout().lock(), lines.iter().map(|line| runner::plain(line.as_ref())))
}

/// The same for programs.
fn data(json: &str) -> Result<ExitCode> {
    write(&mut std::io::stdout().lock(), std::iter::once(runner::plain_json(json)))
}

/// What was done: the log of a step, which a runner reads on standard output, and elsewhere a word beside what was asked for.
fn tell<T: AsRef<str>>(lines: &[T]) -> Result<ExitCode> {
    let lines = lines.iter().map(|line| runner::plain_line(line.as_ref()));
    if runner::is_step() {
        write(&mut std::io::stdout().lock(), lines)
    } else {
        write(&mut std::io::stderr().lock(), lines)
    }
}

/// Commands to the runner, which nothing else may look like.
fn command(lines: impl Iterator<Item = String>) -> Result<ExitCode> {
    write(&mut std::io::stdout().lock(), lines)
}

fn write(out: &mut impl Write, lines: impl Iterator<Item = String>) -> Result<ExitCode> {
    let secrets = Secrets::of_environment();
    for line in lines {
        writeln!(out, "{}", secrets.mask(&line))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// One line that names what is wrong, and one that says what to do about it.
fn fail(error: &anyhow::Error) -> ExitCode {
    let said = |what: &str, hint: &str| {
        let (what, hint) = (runner::plain_line(what), runner::plain_line(hint));
        writeln!(std::io::stderr().lock(), "error: {what}\nhint: {hint}")
    };
    // Whoever read us has read enough: `rekindle key | head`.
    if error.chain().any(|cause| cause.downcast_ref::<std::io::Error>().is_some_and(is_closed)) {
        return ExitCode::SUCCESS;
    }
    // Nobody is left to tell when this fails.
    let _ = match error.downcast_ref::<WrongInput>() {
        Some(WrongInput { what, hint }) if runner::is_step() => {
            writeln!(std::io::stdout().lock(), "{}", runner::annotation("error", &format!("{what}; {hint}")))
        }
        Some(WrongInput { what, hint }) => said(what, hint),
        None => match error.downcast_ref::<JobFault>() {
            Some(JobFault { what, hint }) => said(what, hint),
            None => writeln!(std::io::stderr().lock(), "error: {}", runner::plain(&format!("{error:#}"))),
        },
    };
    if error.is::<WrongInput>() { ExitCode::from(2) } else { ExitCode::FAILURE }
}

fn is_closed(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::BrokenPipe
}
