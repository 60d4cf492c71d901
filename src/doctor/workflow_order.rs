//! Rules about where the action stands among the steps of its job, and about steps that undo it.

use super::cargo_call::CargoCall;
use super::checkout::Checkout;
use super::job::{Step, StepKind, WorkflowJob, join};
use super::python::uses_pyo3;
use super::shell::ShellCommand;
use crate::doctor::finding::Finding;
use crate::doctor::rule::Rule;

pub(super) fn examine(checkout: &Checkout, into: &mut Vec<Finding>) {
    for (_, job, ours) in checkout.warm_jobs() {
        let first = ours[0];
        checkouts(job, first, into);
        into.extend(toolchain(checkout, job, first));
        into.extend(build_before(job, first));
        if uses_pyo3(checkout) {
            into.extend(interpreter(job, first));
        }
        into.extend(job.steps.iter().filter_map(commit_times));
        into.extend(job.steps[first + 1..].iter().flat_map(|step| cleaning(checkout, step)));
        into.extend(ours.windows(2).filter_map(|pair| twice(job, pair[0], pair[1])));
    }
}

fn is_checkout(step: &Step) -> bool {
    step.action() == "actions/checkout"
}

fn checkouts(job: &WorkflowJob, first: usize, into: &mut Vec<Finding>) {
    let before = job.steps[..first].iter().any(|step| is_checkout(step) || runs(step, &["git", "clone"]));
    let folder =
        |step: &Step| step.with("path").unwrap_or(".").trim_start_matches("./").trim_end_matches('/').to_owned();
    let ours = &job.steps[first];
    let own = |step: &&Step| is_checkout(step) && step.with("repository").is_none() && step.condition.is_none();
    for step in job.steps[first + 1..].iter().filter(own) {
        if !before && step.with("path").is_none() {
            let what = format!("job `{}` checks out on line {}, after the action", job.id, step.line);
            into.push(Finding::new(Rule::ActionBeforeCheckout, &ours.file, ours.line, what));
            return;
        }
        let same = job.steps[..first].iter().any(|earlier| is_checkout(earlier) && folder(earlier) == folder(step));
        if same && step.with("clean") != Some("false") {
            let what = format!("job `{}` checks out into `{}` again, after the action", job.id, folder(step));
            into.push(Finding::new(Rule::CheckoutAfterAction, &step.file, step.line, what));
        }
    }
}

fn runs(step: &Step, words: &[&str]) -> bool {
    step.commands().iter().any(|command| command.begins(words))
}

/// What sets the toolchain that plain `cargo` uses.
fn sets_toolchain(job: &WorkflowJob, step: &Step) -> Option<String> {
    let actions = [
        "dtolnay/rust-toolchain",
        "actions-rs/toolchain",
        "actions-rust-lang/setup-rust-toolchain",
        "moonrepo/setup-rust",
    ];
    if actions.contains(&step.action()) {
        return Some(step.action().to_owned());
    }
    let sets = |command: &&ShellCommand| match command.words.get(1).map(String::as_str) {
        Some("default" | "override" | "update") => true,
        // One that is named in each call leaves the others as they are.
        Some("toolchain" | "install") => {
            command.has("install")
                && !job.cargo().any(|(_, _, call)| call.toolchain.is_some_and(|own| command.has(&own)))
        }
        _ => false,
    };
    step.commands().iter().filter(|command| command.program() == "rustup").find(sets).map(ShellCommand::said)
}

/// Whether a step compiles Rust, itself or by way of a tool for Python packages.
fn may_compile(step: &Step) -> bool {
    let tools = ["maturin", "pip", "pip3", "uv", "uvx", "nox", "tox", "pytest", "hatch", "make", "just", "cross"];
    let compiles = |command: &ShellCommand| {
        CargoCall::of(command).is_some_and(|call| call.compiles())
            || tools.contains(&command.program())
            || command.program().starts_with("python")
    };
    step.action().ends_with("/maturin-action") || step.commands().iter().any(compiles)
}

/// The first step after the action that sets something up, if nothing is compiled before it and something is after it.
fn set_up_late<'a>(
    job: &'a WorkflowJob,
    first: usize,
    sets: &dyn Fn(&Step) -> Option<String>,
) -> Option<(&'a Step, String)> {
    let after = &job.steps[first + 1..];
    let (index, how) = after.iter().enumerate().find_map(|(index, step)| Some((index, sets(step)?)))?;
    let early = after[..index].iter().any(may_compile);
    let late = after[index..].iter().any(may_compile);
    (!early && late).then(|| (&after[index], how))
}

fn toolchain(checkout: &Checkout, job: &WorkflowJob, first: usize) -> Option<Finding> {
    // The toolchain file decides wherever Cargo is called, and a second toolchain is not the one that builds.
    if checkout.toolchain.is_some() || job.steps[..first].iter().any(|step| sets_toolchain(job, step).is_some()) {
        return None;
    }
    let (step, how) = set_up_late(job, first, &|step| sets_toolchain(job, step))?;
    let ours = &job.steps[first];
    let what = format!("job `{}` sets its toolchain up on line {} (`{how}`), after the action", job.id, step.line);
    Some(Finding::new(Rule::ActionBeforeToolchain, &ours.file, ours.line, what))
}

fn sets_interpreter(step: &Step) -> Option<String> {
    let with_python = ["python-version", "activate-environment"].iter().any(|input| step.with(input).is_some());
    let sets = match step.action() {
        "actions/setup-python" | "conda-incubator/setup-miniconda" => true,
        // By itself it only fetches uv.
        "astral-sh/setup-uv" => with_python,
        _ => false,
    };
    if sets {
        return Some(step.action().to_owned());
    }
    let makes = |command: &&ShellCommand| {
        let python = command.program().starts_with("python");
        python
            && command.words.windows(2).any(|pair| pair[0] == "-m" && matches!(pair[1].as_str(), "venv" | "virtualenv"))
            || command.begins(&["uv", "venv"])
            || command.program() == "virtualenv"
    };
    step.commands().iter().find(makes).map(ShellCommand::said)
}

fn interpreter(job: &WorkflowJob, first: usize) -> Option<Finding> {
    let (step, how) = set_up_late(job, first, &sets_interpreter)?;
    let ours = &job.steps[first];
    let what = format!("job `{}` sets Python up on line {} (`{how}`), after the action", job.id, step.line);
    Some(Finding::new(Rule::ActionBeforeInterpreter, &ours.file, ours.line, what))
}

fn build_before(job: &WorkflowJob, first: usize) -> Option<Finding> {
    let compiles = |command: &&ShellCommand| {
        CargoCall::of(command).is_some_and(|call| call.compiles())
            || command.program() == "maturin"
                && matches!(command.words.get(1).map(String::as_str), Some("develop" | "build"))
    };
    let (step, command) = job.steps[..first]
        .iter()
        .filter(|step| step.condition.is_none())
        .find_map(|step| Some((step, step.commands().iter().find(compiles)?)))?;
    let what =
        format!("`{}` runs in job `{}` before the action on line {}", command.said(), job.id, job.steps[first].line);
    Some(Finding::new(Rule::BuildBeforeAction, &step.file, command.line, what))
}

fn commit_times(step: &Step) -> Option<Finding> {
    if step.action().ends_with("/git-restore-mtime-action") {
        let what = format!("`{}` gives files the time of their last commit", step.action());
        return Some(Finding::new(Rule::CommitTimes, &step.file, step.line, what));
    }
    let restores = |command: &&ShellCommand| {
        command.begins(&["git", "restore-mtime"])
            || command.program().starts_with("git-restore-mtime")
            || command.begins(&["rekindle", "mtime"])
    };
    let command = step.commands().iter().find(restores)?;
    let what = format!("`{}` gives files the time of their last commit", command.said());
    Some(Finding::new(Rule::CommitTimes, &step.file, command.line, what))
}

fn short(word: &str, letters: &[char]) -> bool {
    word.starts_with('-') && !word.starts_with("--") && word.contains(letters)
}

/// Whether git deletes what it ignores, and is neither told to spare the target folder nor to stay in another one.
fn cleans_ignored(command: &ShellCommand) -> bool {
    if !command.begins(&["git", "clean"]) || !command.words.iter().any(|word| short(word, &['x', 'X'])) {
        return false;
    }
    let mut paths = Vec::new();
    let mut words = command.words.iter().skip(2).map(String::as_str);
    while let Some(word) = words.next() {
        let spared = match word {
            "-e" | "--exclude" => words.next().unwrap_or_default(),
            "--dry-run" => return false,
            word if short(word, &['n']) => return false,
            word if word.starts_with('-') => word.strip_prefix("--exclude=").unwrap_or_default(),
            path => {
                paths.push(path);
                ""
            }
        };
        if spared.contains("target") {
            return false;
        }
    }
    paths.is_empty() || paths.iter().any(|path| matches!(path.trim_end_matches('/'), "." | "*" | "target" | "./target"))
}

/// Commands that delete what was restored.
fn cleaning(checkout: &Checkout, step: &Step) -> Vec<Finding> {
    let mut found = Vec::new();
    for command in step.commands() {
        let said = format!("`{}` deletes what was restored", command.said());
        let folder = step.folder(command);
        let removes = command.program() == "rm"
            && command.words.iter().any(|word| short(word, &['r', 'R']) || word == "--recursive")
            && command.words.iter().any(|word| is_target(checkout, folder.as_deref(), word));
        // With an option it only takes a part: one package, the documentation, another folder.
        let cleans = CargoCall::of(command).is_some_and(|call| call.subcommand == "clean") && command.words.len() == 2;
        if removes || cleans {
            found.push(Finding::new(Rule::CleanAfterAction, &step.file, command.line, said));
        } else if cleans_ignored(command) {
            found.push(Finding::new(Rule::GitCleanAfterAction, &step.file, command.line, said));
        }
    }
    found
}

/// Whether a path names the target folder of a package, seen from this folder.
fn is_target(checkout: &Checkout, folder: Option<&str>, path: &str) -> bool {
    let top = ["$GITHUB_WORKSPACE/", "${GITHUB_WORKSPACE}/", "${{ github.workspace }}/", "${{github.workspace}}/"];
    let from_top = top.iter().find_map(|top| path.strip_prefix(top)).map(|path| (".", path));
    let from_here = folder.map(|folder| (folder, path.trim_start_matches("$PWD/").trim_start_matches("${PWD}/")));
    let Some(path) = from_top.or(from_here).and_then(|(folder, path)| join(folder, path.trim_end_matches('*'))) else {
        return false;
    };
    let above = path.strip_suffix("target").map(|above| above.strip_suffix('/').unwrap_or(above));
    above.is_some_and(|above| checkout.packages.contains_key(if above.is_empty() { "." } else { above }))
}

fn twice(job: &WorkflowJob, first: usize, second: usize) -> Option<Finding> {
    let (a, b) = (&job.steps[first], &job.steps[second]);
    let between =
        job.steps[first + 1..second].iter().any(|step| matches!(step.kind, StepKind::Run { .. }) || !is_checkout(step));
    let exclusive = a.condition != b.condition;
    let what = format!("job `{}` uses the action on line {} and again here, with no step in between", job.id, a.line);
    (!between && !exclusive && a.with("workspaces") == b.with("workspaces"))
        .then(|| Finding::new(Rule::ActionTwice, &b.file, b.line, what))
}

#[cfg(test)]
mod tests {
    use super::super::sample::{CHECKOUT, OURS, TEST, ids, job, python_job, workflow};

    #[test]
    fn the_checkout_comes_first_and_once() {
        assert_eq!(job(&[OURS, CHECKOUT, TEST]), ["action-before-checkout:6"]);
        assert_eq!(job(&[CHECKOUT, OURS, CHECKOUT, TEST]), ["checkout-after-action:8"]);
        assert!(job(&[CHECKOUT, OURS, "{uses: actions/checkout@v7, with: {path: other}}", TEST]).is_empty());
        assert!(job(&[CHECKOUT, OURS, "{uses: actions/checkout@v7, with: {clean: false}}", TEST]).is_empty());
        assert!(job(&["run: git clone x", OURS, TEST]).is_empty());
    }

    #[test]
    fn the_toolchain_comes_before_the_action() {
        let filed = job;
        let job = |steps: &[&str]| ids(&[(".github/workflows/ci.yml", &workflow(steps)), ("rust-toolchain.toml", "")]);
        for setup in
            ["uses: dtolnay/rust-toolchain@1.90", "run: rustup default 1.90", "run: rustup toolchain install 1.90"]
        {
            assert_eq!(job(&[CHECKOUT, OURS, setup, TEST]), ["action-before-toolchain:7"], "{setup}");
            assert!(job(&[CHECKOUT, setup, OURS, TEST]).is_empty(), "{setup}");
            assert!(job(&[CHECKOUT, OURS, TEST, setup]).is_empty(), "{setup}");
            assert!(job(&[CHECKOUT, setup, OURS, TEST, setup, TEST]).is_empty(), "{setup}");
            assert!(filed(&[CHECKOUT, OURS, setup, TEST]).is_empty(), "the toolchain file decides, not {setup}");
        }
        let other = "run: rustup toolchain install nightly-2026-01-01";
        assert!(job(&[CHECKOUT, OURS, TEST, other, "run: cargo +nightly-2026-01-01 fmt"]).is_empty());
        assert!(job(&[CHECKOUT, OURS, "run: rustup component add clippy", TEST]).is_empty());
    }

    #[test]
    fn the_interpreter_comes_before_the_action_where_it_matters() {
        for setup in ["uses: actions/setup-python@v6", "run: python3 -m venv .venv", "run: uv venv"] {
            assert_eq!(python_job(&[CHECKOUT, OURS, setup, "run: maturin develop"]), ["action-before-interpreter:7"]);
            assert!(python_job(&[CHECKOUT, setup, OURS, "run: maturin develop"]).is_empty());
            assert!(job(&[CHECKOUT, OURS, setup, TEST]).is_empty());
            assert!(python_job(&[CHECKOUT, OURS, "run: maturin develop", setup]).is_empty());
        }
        assert!(python_job(&[CHECKOUT, OURS, "uses: astral-sh/setup-uv@v7", "run: maturin develop"]).is_empty());
    }

    #[test]
    fn a_build_before_the_action_is_found() {
        assert_eq!(job(&[CHECKOUT, "run: cargo build", OURS, TEST]), ["build-before-action:7"]);
        assert!(job(&[CHECKOUT, "run: cargo fmt --check", OURS, TEST]).is_empty());
    }

    #[test]
    fn what_deletes_the_target_is_found_after_the_action_only() {
        for (command, id) in [
            ("cargo clean", "clean-after-action:8"),
            ("rm -rf ./target/", "clean-after-action:8"),
            ("rm -rf \"$GITHUB_WORKSPACE/target\"", "clean-after-action:8"),
            ("cd java && rm -r '${{ github.workspace }}/target/'*", "clean-after-action:8"),
            ("rm -rf \"${PWD}/target\"", "clean-after-action:8"),
            ("git clean -ffdx", "git-clean-after-action:8"),
        ] {
            let step = format!("run: {command}");
            assert_eq!(job(&[CHECKOUT, OURS, &step, TEST]), [id]);
            assert!(job(&[CHECKOUT, &step, OURS, TEST]).is_empty());
        }
        assert!(job(&[CHECKOUT, OURS, "run: rm -rf target/doc && git clean -fd", TEST]).is_empty());
        for fine in [
            "git clean -ffdx -e target",
            "git clean -ffdx --exclude=/target",
            "git clean -ndx",
            "git clean -n -dx",
            "git clean -fdx docs",
            "cargo clean -p sample",
            "cargo clean --doc",
            "cd java && rm -rf target",
            "rm -rf \"$GITHUB_WORKSPACE/java/target\" \"$HOME/target\" /target my-target",
        ] {
            assert!(job(&[CHECKOUT, OURS, &format!("run: {fine}"), TEST]).is_empty(), "{fine}");
        }
    }

    #[test]
    fn commit_times_are_found_on_either_side() {
        for step in ["uses: chetan/git-restore-mtime-action@v2", "run: git restore-mtime", "run: git-restore-mtime -c"]
        {
            assert_eq!(job(&[CHECKOUT, step, OURS, TEST]), ["commit-times:7"]);
            assert_eq!(job(&[CHECKOUT, OURS, step, TEST]), ["commit-times:8"]);
            assert!(job(&[CHECKOUT, step, TEST]).is_empty());
        }
    }

    #[test]
    fn the_action_is_used_again_only_after_a_step() {
        assert_eq!(job(&[CHECKOUT, OURS, OURS, TEST]), ["action-twice:8"]);
        assert!(job(&[CHECKOUT, OURS, "run: make generated", OURS, TEST]).is_empty());
        assert!(job(&[CHECKOUT, OURS, "{uses: a/rekindle@v1, with: {workspaces: .}}", TEST]).is_empty());
    }
}
