//! The rule about jobs that compile everything in every run.
//!
//! Speaks only of what is plain: a machine that GitHub gives and wipes, an event that comes often, Cargo called by its name on
//! packages that depend on others, and no step that could be a cache. One finding a workflow, because one line ends it in all
//! of its jobs.

use super::checkout::{Checkout, Workflow};
use super::job::{Step, WorkflowJob};
use super::packages::file_in;
use crate::doctor::finding::Finding;
use crate::doctor::rule::Rule;

/// With fewer, fetching a state takes as long as compiling.
const FEW_PACKAGES: usize = 10;

pub(super) fn examine(checkout: &Checkout, into: &mut Vec<Finding>) {
    into.extend(checkout.workflows.iter().filter(|workflow| comes_often(workflow)).filter_map(|workflow| {
        let mut jobs = workflow.jobs.iter().filter_map(|job| Some((job, compiles_anew(checkout, job)?)));
        let (job, (step, said)) = jobs.next()?;
        let more = match jobs.count() {
            0 => String::new(),
            1 => ", as does 1 more job".to_owned(),
            more => format!(", as do {more} more jobs"),
        };
        let what = format!("job `{}` runs `{said}` and compiles everything in every run{more}", job.id);
        Some(Finding::new(Rule::NoCache, &step.file, step.line, what))
    }));
}

/// What is stored by a run for a tag is found by nobody else.
fn comes_often(workflow: &Workflow) -> bool {
    let push = workflow.node.path(&["on", "push"]);
    let only_tags = push.at("tags").exists() && !push.at("branches").exists();
    workflow.starts_on("pull_request") || workflow.starts_on("push") && !only_tags
}

/// Of a wiped machine without a cache: the step that compiles, and its command.
fn compiles_anew<'a>(checkout: &Checkout, job: &'a WorkflowJob) -> Option<(&'a Step, String)> {
    let runners = job.node.at("runs-on").text().map(|text| job.values(text)).unwrap_or_default();
    let is_hosted = |name: &String| ["ubuntu-", "macos-", "windows-"].iter().any(|start| name.starts_with(start));
    if runners.is_empty() || !runners.iter().all(is_hosted) || job.steps.iter().any(could_be_a_cache) {
        return None;
    }
    let (step, command, _) = job.cargo().find(|(step, command, call)| {
        let root = step.folder(command).and_then(|folder| checkout.workspace(&folder));
        let locked = root.as_ref().and_then(|root| checkout.locked.get(root));
        // Without a lock file in git nobody knows how many they are.
        let is_small = locked.map_or_else(
            || root.is_none_or(|root| !checkout.has(&file_in(&root, "Cargo.lock"))),
            |locked| *locked < FEW_PACKAGES,
        );
        call.compiles() && !is_small && !job.writes("RUSTC_WRAPPER")
    })?;
    Some((step, command.said()))
}

/// An action that keeps something of Rust's, or of which nobody knows what it does.
fn could_be_a_cache(step: &Step) -> bool {
    let action = step.action();
    let own = ["toolchain", "setup-rust", "mise", "nix", "devenv", "earthly", "bazel", "moonrepo", "proto"];
    let is_plain = action.starts_with("dtolnay/rust-toolchain") || action.starts_with("actions-rs/toolchain");
    step.is_rekindle()
        || action.starts_with("./")
        || action.contains("cache")
        || own.iter().any(|name| action.contains(name)) && !is_plain
        || step.env.contains_key("RUSTC_WRAPPER")
        || step.env.contains_key("CARGO_BUILD_RUSTC_WRAPPER")
        || step.commands().iter().any(|command| command.said().contains("sccache"))
}

#[cfg(test)]
mod tests {
    use super::super::sample::{CHECKOUT, OURS, TEST, ids, workflow};

    const LOCK: &str = "[[package]]\nname = \"p\"\nversion = \"1.0.0\"\n";

    fn found(runner: &str, on: &str, steps: &[&str]) -> Vec<String> {
        let text = workflow(steps).replace("runs-on: x", &format!("runs-on: {runner}")).replace("on: push", on);
        let packages: String =
            (0..12).map(|at| LOCK.replace("\"p\"", &format!("\"p{at}\""))).collect::<Vec<_>>().join("\n");
        ids(&[(".github/workflows/ci.yml", &text), ("Cargo.lock", &format!("version = 4\n{packages}"))])
    }

    #[test]
    fn a_job_that_compiles_with_nothing_from_before_is_found() {
        let steps = [CHECKOUT, "uses: dtolnay/rust-toolchain@1.90", TEST];
        assert_eq!(found("ubuntu-latest", "on: push", &steps), ["no-cache:8"]);
        assert_eq!(found("ubuntu-latest", "on: [pull_request]", &steps), ["no-cache:8"]);
        assert!(found("self-hosted", "on: push", &steps).is_empty());
        assert!(found("ubuntu-latest", "on: {push: {tags: ['v*']}}", &steps).is_empty());
        assert!(found("ubuntu-latest", "on: schedule", &steps).is_empty());
        assert!(found("ubuntu-latest", "on: push", &[CHECKOUT, "run: cargo fmt"]).is_empty());
    }

    #[test]
    fn whatever_may_be_a_cache_is_one() {
        let mute =
            ["uses: Swatinem/rust-cache@v2", "uses: ./.github/actions/build", "uses: a/setup-rust-with-cache@v1", OURS];
        for step in mute {
            let found = found("ubuntu-latest", "on: push", &[CHECKOUT, step, TEST]);
            assert!(!found.iter().any(|one| one.starts_with("no-cache")), "{step}: {found:?}");
        }
    }
}
