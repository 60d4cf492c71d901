//! Rules about what is cached, by whom, and under which name.

use std::collections::{BTreeMap, BTreeSet};

use super::cache_paths::{is_cargos, plain_cache};
use super::checkout::{Checkout, Workflow};
use super::job::{Step, StepKind, WorkflowJob};
use super::tree::Node;
use crate::doctor::finding::Finding;
use crate::doctor::rule::Rule;
use crate::job::inputs;

pub(super) fn examine(checkout: &Checkout, into: &mut Vec<Finding>) {
    for (workflow, job, ours) in checkout.warm_jobs() {
        let condition = &job.steps[ours[0]].condition;
        // Of two steps with conditions, only one may run.
        let together = |step: &&Step| step.condition.is_none() || condition.is_none() || step.condition == *condition;
        into.extend(job.steps.iter().filter(together).filter_map(|step| second_cache(checkout, job, step)));
        into.extend(compiler_cache(job));
        into.extend(pull_request_target(workflow, job, ours[0]));
        into.extend(key_from_inputs(checkout, workflow, job, ours[0]));
        let ours: Vec<&Step> = ours.iter().map(|index| &job.steps[*index]).collect();
        into.extend(cache_mode(workflow, job, &ours));
        into.extend(never_saved(job, &ours));
        for step in ours {
            into.extend(constant_key(job, step));
            unknown_inputs(step, into);
        }
    }
}

fn second_cache(checkout: &Checkout, job: &WorkflowJob, step: &Step) -> Option<Finding> {
    let off = |input: &str| step.with(input) == Some("false");
    let what = match step.action() {
        "swatinem/rust-cache" => "`Swatinem/rust-cache` keeps `target` and the Cargo home too".to_owned(),
        "actions-rust-lang/setup-rust-toolchain" if !off("cache") => {
            "`actions-rust-lang/setup-rust-toolchain` runs `Swatinem/rust-cache` unless it is told `cache: false`"
                .to_owned()
        }
        "moonrepo/setup-rust" if !off("cache") => {
            "`moonrepo/setup-rust` keeps `target` and the Cargo home unless it is told `cache: false`".to_owned()
        }
        "leafwing-studios/cargo-cache" => {
            "`Leafwing-Studios/cargo-cache` keeps `target` and the Cargo home too".to_owned()
        }
        action if plain_cache(action).is_some() && step.with("lookup-only") != Some("true") => {
            let paths = step.with("path")?.lines().map(str::trim).filter(|path| is_cargos(checkout, path));
            let mut paths: Vec<String> = paths.map(|path| format!("`{path}`")).collect();
            paths.dedup();
            if paths.is_empty() {
                return None;
            }
            format!("`{}` keeps {} too", step.action(), paths.join(", "))
        }
        _ => return None,
    };
    Some(Finding::new(Rule::SecondCache, &step.file, step.line, format!("in job `{}`, {what}", job.id)))
}

fn compiler_cache(job: &WorkflowJob) -> Option<Finding> {
    let by_action = job.steps.iter().find(|step| step.action() == "mozilla-actions/sccache-action");
    let by_action = by_action.map(|step| (step.file.clone(), step.line, "`mozilla-actions/sccache-action`".to_owned()));
    let by_variable = job.steps.iter().find_map(|step| {
        let setting = step.env.get("RUSTC_WRAPPER").filter(|setting| setting.value.contains("sccache"))?;
        Some((setting.file.clone(), setting.line, format!("`RUSTC_WRAPPER: {}`", setting.value)))
    });
    let (file, line, how) = by_action.or(by_variable)?;
    Some(Finding::new(
        Rule::CompilerCache,
        &file,
        line,
        format!("job `{}` also compiles through sccache: {how}", job.id),
    ))
}

/// Events whose runs get a cache token that can write; the state that they store is restored by the others.
const WRITING: [&str; 6] = ["push", "pull_request", "schedule", "workflow_dispatch", "merge_group", "workflow_call"];

/// Whether the cache service decides what is saved.
fn in_service(step: &Step) -> bool {
    step.with("store").is_none_or(|store| store.is_empty() || store == "actions")
}

fn pull_request_target(workflow: &Workflow, job: &WorkflowJob, ours: usize) -> Option<Finding> {
    let step = &job.steps[ours];
    if !in_service(step) || WRITING.iter().any(|event| workflow.starts_on(event)) {
        return None;
    }
    let what = format!("job `{}` uses the action, and this workflow only runs on `pull_request_target`", job.id);
    workflow
        .starts_on("pull_request_target")
        .then(|| Finding::new(Rule::PullRequestTarget, &step.file, step.line, what))
}

/// Whether the key holds a value of the matrix already, as the system or the compiler.
fn told_apart(job: &WorkflowJob, name: &str) -> bool {
    let written = format!("matrix.{name}");
    let usual = ["os", "runner", "runs-on", "platform", "arch", "toolchain", "rust", "rust-version", "rust_version"];
    let toolchain = |step: &Step| {
        let setup = step.action().ends_with("toolchain") || step.action().ends_with("setup-rust");
        let texts = ["toolchain", "channel"].iter().filter_map(|input| step.with(input)).chain([step.reference()]);
        setup && texts.into_iter().any(|text| text.contains(&written))
            || step.commands().iter().any(|command| {
                let sets = ["default", "override", "update", "install"].iter().any(|word| command.has(word));
                command.program() == "rustup" && sets && command.said().contains(&written)
            })
    };
    usual.contains(&name)
        || mentions(job.node.at("runs-on"), &written)
        || mentions(job.node.at("container"), &written)
        || job.steps.iter().any(toolchain)
}

fn mentions(node: &Node, written: &str) -> bool {
    let below = node.entries().iter().map(|(_, node)| node).chain(node.items());
    node.text().is_some_and(|text| text.contains(written)) || below.into_iter().any(|node| mentions(node, written))
}

/// Names of the matrix by which two legs differ that nothing else tells apart.
fn differing(job: &WorkflowJob) -> BTreeSet<&str> {
    let matrix = job.node.path(&["strategy", "matrix"]);
    let lists = matrix.entries().iter().filter(|(name, _)| !matches!(name.as_str(), "include" | "exclude"));
    let lists: Vec<(&str, usize)> = lists.map(|(name, values)| (name.as_str(), values.items().len())).collect();
    if !lists.is_empty() {
        // What `include` adds to them goes with the others.
        let differ = lists.iter().filter(|(name, count)| *count > 1 && !told_apart(job, name));
        return differ.map(|(name, _)| *name).collect();
    }
    let mut groups: BTreeMap<Vec<(&str, Option<&str>)>, Vec<&Node>> = BTreeMap::new();
    for row in matrix.at("include").items() {
        let apart = row.entries().iter().filter(|(name, _)| told_apart(job, name));
        let mut apart: Vec<_> = apart.map(|(name, value)| (name.as_str(), value.text())).collect();
        apart.sort_unstable();
        groups.entry(apart).or_default().push(row);
    }
    let rows = groups.values().filter(|rows| rows.len() > 1).flatten();
    rows.flat_map(|row| row.entries()).map(|(name, _)| name.as_str()).filter(|name| !told_apart(job, name)).collect()
}

fn constant_key(job: &WorkflowJob, step: &Step) -> Option<Finding> {
    let key = step.with("key")?;
    let chosen = step.condition.as_ref().is_some_and(|condition| condition.contains("matrix"));
    let others: Vec<String> = differing(job).iter().map(|name| format!("`{name}`")).collect();
    if key.contains("${{") || others.is_empty() || chosen || step.with("shared-key").is_some() {
        return None;
    }
    let what =
        format!("the key `{key}` is the same for every leg of job `{}`, whatever its {}", job.id, others.join(", "));
    Some(Finding::new(Rule::ConstantKeyInMatrix, &step.file, step.with_line("key"), what))
}

fn key_from_inputs(checkout: &Checkout, workflow: &Workflow, job: &WorkflowJob, ours: usize) -> Option<Finding> {
    // Calls that are given nothing all do the same.
    if workflow.node.path(&["on", "workflow_call", "inputs"]).entries().is_empty() {
        return None;
    }
    let step = &job.steps[ours];
    let key = step.with("key").unwrap_or("${{ matrix }}");
    let tells = step.with("shared-key").is_some()
        || ["inputs", "github.run_id"].iter().any(|name| key.contains(name))
        || job.matrix.values().flatten().any(|value| value.contains("inputs."))
        // The key holds the system and the compiler already.
        || mentions(job.node.at("runs-on"), "inputs.")
        || mentions(job.node.at("container"), "inputs.")
        || job.steps.iter().any(|step| step.with("toolchain").is_some_and(|text| text.contains("inputs.")));
    let path = format!("./{}", workflow.file);
    let calls = |other: &&Workflow| {
        let callers = other.jobs.iter().filter(|job| job.node.at("uses").is(&path));
        callers.map(|job| if job.matrix.is_empty() { 1 } else { 2 }).sum::<usize>()
    };
    let caller = checkout.workflows.iter().find(|other| calls(other) > 1)?;
    let what = format!(
        "`{}` calls this workflow more than once, and the key of job `{}` is the same in all calls",
        caller.file, job.id
    );
    (!tells).then(|| Finding::new(Rule::KeyNotFromInputs, &step.file, step.with_line("key"), what))
}

fn cache_mode(workflow: &Workflow, job: &WorkflowJob, ours: &[&Step]) -> Option<Finding> {
    let mode = [&job.node, &workflow.node].into_iter().map(|node| node.at("cache-mode")).find(|mode| mode.exists())?;
    let text = mode.text().filter(|mode| matches!(*mode, "none" | "read"))?;
    let what = format!("job `{}` uses the action under `cache-mode: {text}`", job.id);
    ours.iter().all(|step| in_service(step)).then(|| Finding::new(Rule::NeverSaved, &workflow.file, mode.line, what))
}

fn never_saved(job: &WorkflowJob, ours: &[&Step]) -> Option<Finding> {
    let step = ours.first()?;
    let told = step.with("save").unwrap_or_default();
    if ours.iter().all(|step| matches!(step.with("save"), Some("never" | "false"))) {
        let what = format!("the action is told `save: {told}`");
        return Some(Finding::new(Rule::NeverSaved, &step.file, step.with_line("save"), what));
    }
    let of_half = |step: &Step, half: &str| step.action().ends_with(&format!("/rekindle/dist/{half}"));
    let halves = ours.iter().all(|step| of_half(step, "restore"));
    let what = "the job restores by `dist/restore`, and no step of it uses `dist/save`";
    let saves = job.steps.iter().any(|step| of_half(step, "save"));
    (halves && !saves).then(|| Finding::new(Rule::NeverSaved, &step.file, step.line, what))
}

fn unknown_inputs(step: &Step, into: &mut Vec<Finding>) {
    let StepKind::Uses { action, with, .. } = &step.kind else { return };
    let of_hook: &[&str] = match action.rsplit('/').next() {
        Some("hook") => &["binary", "job-status"],
        Some("restore") => &["binary"],
        _ => &[],
    };
    let known = |name: &str| inputs::OF_THE_ACTION.iter().chain(of_hook).any(|known| name.eq_ignore_ascii_case(known));
    for (name, value) in with.entries().iter().filter(|(name, _)| !known(name)) {
        let what = format!("the action has no input `{name}`");
        into.push(Finding::new(Rule::UnknownInput, &step.file, value.line, what));
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{CHECKOUT, OURS, TEST, ids, job};

    #[test]
    fn a_second_cache_is_found_by_its_paths() {
        for other in [
            "uses: Swatinem/rust-cache@v2",
            "{uses: actions/cache@v5, with: {path: target, key: x}}",
            "{uses: actions/cache/restore@v5, with: {path: \"~/.cargo/registry\\n~/.npm\", key: x}}",
            "uses: actions-rust-lang/setup-rust-toolchain@v1",
            "{uses: buildjet/cache@v4, with: {path: target, key: x}}",
            "{uses: WarpBuilds/cache/restore@v1, with: {path: target, key: x}}",
        ] {
            assert_eq!(job(&[CHECKOUT, other, OURS, TEST]), ["second-cache:7"], "{other}");
            assert!(!job(&[CHECKOUT, other, TEST]).contains(&"second-cache:7".to_owned()), "{other}");
        }
        for fine in [
            "{uses: actions/cache@v5, with: {path: ~/.cargo/bin, key: x}}",
            "{uses: actions/cache@v5, with: {path: node_modules, key: x}}",
            "{uses: buildjet/cache-delete@v1, with: {path: target}}",
            "{uses: somebody/cache@v1, with: {path: target, key: x}}",
            "{uses: actions-rust-lang/setup-rust-toolchain@v1, with: {cache: false}}",
        ] {
            assert!(job(&[CHECKOUT, fine, OURS, TEST]).is_empty(), "{fine}");
        }
        let kept =
            |path: &str| job(&[CHECKOUT, &format!("{{uses: actions/cache@v5, with: {{path: '{path}'}}}}"), OURS]);
        for cargos in ["**/target/", "./target/*", "${{ github.workspace }}/target", "target/release", "~/.cargo"] {
            assert_eq!(kept(cargos), ["second-cache:7"], "{cargos}");
        }
        for other in
            ["!target", "targets", "java/target", "target/criterion", "${{ matrix.dir }}/target", "~/.cargo/bin"]
        {
            assert!(kept(other).is_empty(), "{other}");
        }
        let apart = [
            "{uses: Swatinem/rust-cache@v2, if: runner.os == 'macOS'}",
            "{uses: a/rekindle@v1, if: runner.os == 'Linux'}",
        ];
        assert!(job(&apart).is_empty());
    }

    #[test]
    fn sccache_is_found_as_action_and_as_variable() {
        assert_eq!(job(&[CHECKOUT, OURS, "uses: mozilla-actions/sccache-action@v1", TEST]), ["compiler-cache:8"]);
        assert_eq!(job(&[CHECKOUT, OURS, "{run: cargo test, env: {RUSTC_WRAPPER: sccache}}"]), ["compiler-cache:8"]);
        assert!(job(&[CHECKOUT, "uses: mozilla-actions/sccache-action@v1", TEST]).is_empty());
    }

    fn whole(text: &str) -> Vec<String> {
        ids(&[(".github/workflows/ci.yml", text)])
    }

    #[test]
    fn what_is_never_saved_is_found() {
        let text = |mode: &str| {
            format!("on: push\njobs:\n  a:\n    cache-mode: {mode}\n    steps:\n      - {OURS}\n      - {TEST}\n")
        };
        assert_eq!(whole(&text("read")), ["never-saved:4"]);
        assert!(whole(&text("write")).is_empty());
        let with = "{uses: rekindle-rs/rekindle@v1, with: {save: never}}";
        assert_eq!(job(&[CHECKOUT, with, TEST]), ["never-saved:7"]);
        assert!(job(&[CHECKOUT, OURS, TEST, with]).is_empty());
        let with = "{uses: rekindle-rs/rekindle@v1, with: {save: false}}";
        assert_eq!(job(&[CHECKOUT, with, TEST]), ["never-saved:7"]);
        let (restore, save) = ("uses: a/rekindle/dist/restore@v1", "uses: a/rekindle/dist/save@v1");
        assert_eq!(job(&[CHECKOUT, restore, TEST]), ["never-saved:7"]);
        assert!(job(&[CHECKOUT, restore, TEST, save]).is_empty());
        let sometimes =
            "{uses: a/rekindle@v1, with: {save: \"${{ github.ref_name == 'main' && 'auto' || 'never' }}\"}}";
        assert!(job(&[CHECKOUT, sometimes, TEST]).is_empty());
    }

    #[test]
    fn pull_request_target_is_found_in_each_spelling() {
        for on in ["pull_request_target", "[issues, pull_request_target]", "{pull_request_target: {types: [opened]}}"] {
            let text = format!("on: {on}\njobs:\n  a:\n    steps:\n      - {OURS}\n");
            assert_eq!(whole(&text), ["pull-request-target:5"], "{on}");
        }
        // Another event of the same workflow stores what this one restores.
        for on in ["pull_request", "[push, pull_request_target]"] {
            assert!(whole(&format!("on: {on}\njobs:\n  a:\n    steps:\n      - {OURS}\n")).is_empty());
        }
    }

    #[test]
    fn a_constant_key_is_found_where_it_does_not_tell_legs_apart() {
        let text = |matrix: &str, key: &str| {
            format!(
                "on: push\njobs:\n  a:\n    strategy: {{matrix: {matrix}}}\n    steps:\n      - uses: \
                 a/rekindle@v1\n        with: {{key: '{key}'}}\n"
            )
        };
        assert_eq!(whole(&text("{feature: [a, b]}", "ci")), ["constant-key-in-matrix:7"]);
        assert!(whole(&text("{feature: [a, b]}", "${{ matrix.feature }}")).is_empty());
        assert!(whole(&text("{os: [a, b], toolchain: ['1.80']}", "ci")).is_empty());
        let rows = |second: &str| format!("{{include: [{{os: a, name: x}}, {{os: {second}, name: y}}]}}");
        assert_eq!(whole(&text(&rows("a"), "ci")), ["constant-key-in-matrix:7"]);
        assert!(whole(&text(&rows("b"), "ci")).is_empty(), "the system tells them apart, not the name");
        let image = "{image: [a, b]}}\n    container: {image: '${{ matrix.image }}'";
        assert!(whole(&text(image, "ci")).is_empty());
    }

    #[test]
    fn a_shared_workflow_needs_its_inputs_in_the_key() {
        let called = |key: &str| {
            format!(
                "on:\n  workflow_call:\n    inputs: {{features: {{type: string}}}}\njobs:\n  a:\n    steps:\n      - uses: \
                 a/rekindle@v1\n        with: {{key: '{key}'}}\n      - run: cargo test\n"
            )
        };
        let call =
            |name: &str| format!("  {name}:\n    uses: ./.github/workflows/test.yml\n    with: {{features: {name}}}\n");
        let found = |key: &str, callers: &str| {
            ids(&[
                (".github/workflows/test.yml", &called(key)),
                (".github/workflows/ci.yml", &format!("on: push\njobs:\n{callers}")),
            ])
        };
        let twice = call("x") + &call("y");
        assert_eq!(found("ci", &twice), ["key-not-from-inputs:8"]);
        assert!(found("${{ toJSON(inputs) }}", &twice).is_empty());
        assert!(found("ci", &call("x")).is_empty());
    }

    #[test]
    fn an_input_that_another_action_has_is_found() {
        let step = |input: &str| format!("{{uses: rekindle-rs/rekindle@v1, with: {{{input}: x}}}}");
        assert_eq!(job(&[CHECKOUT, &step("cache-on-failure"), TEST]), ["unknown-input:7"]);
        assert!(job(&[CHECKOUT, &step("key-roll"), TEST]).is_empty());
        assert_eq!(job(&[CHECKOUT, &step("binary"), TEST]), ["unknown-input:7"]);
        assert!(job(&[CHECKOUT, "{uses: a/rekindle/dist/hook@v1, with: {binary: x}}", TEST]).is_empty());
    }
}
