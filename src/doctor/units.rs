//! Rules about commands of one job that could share what they compile, and do not.
//!
//! Only steps without a condition are compared: of two that exclude each other, one runs.

use std::collections::BTreeMap;

use super::cargo_call::CargoCall;
use super::checkout::Checkout;
use super::job::{Step, StepKind, WorkflowJob, join};
use super::shell::ShellCommand;
use crate::doctor::finding::Finding;
use crate::doctor::rule::Rule;

pub(super) fn examine(checkout: &Checkout, into: &mut Vec<Finding>) {
    for (_, job) in checkout.jobs() {
        let calls: Vec<Build> =
            job.cargo().filter_map(|(step, command, call)| Build::of(checkout, step, command, call)).collect();
        into.extend(target_dirs(checkout, job, &calls));
        into.extend(rustflags(job, &calls));
        into.extend(unused_build(job, &calls));
    }
}

/// A call of Cargo that compiles, with what decides where and how.
struct Build<'a> {
    step: &'a Step,
    call: CargoCall,
    folder: String,
    target_dir: String,
    rustflags: String,
}

impl<'a> Build<'a> {
    fn of(checkout: &Checkout, step: &'a Step, command: &ShellCommand, call: CargoCall) -> Option<Self> {
        if !call.compiles() || step.condition.is_some() {
            return None;
        }
        let of =
            |names: &[&str]| names.iter().find_map(|name| step.variable(command, name)).unwrap_or_default().to_owned();
        let from_variable = of(&["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR"]);
        let manifest = call.manifest.as_deref().unwrap_or(".");
        let here = step.folder(command)?;
        let folder = join(&here, manifest.strip_suffix("Cargo.toml").unwrap_or(manifest))?;
        let target_dir = match call.target_dir.as_deref().unwrap_or(&from_variable) {
            "" => placed(&checkout.workspace(&folder).unwrap_or_else(|| folder.clone()), "target"),
            own => placed(&here, own),
        };
        let rustflags = of(&["CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS"]);
        Some(Self { step, call, folder, target_dir, rustflags })
    }

    fn finding(&self, rule: Rule, what: String) -> Finding {
        Finding::new(rule, &self.step.file, self.call.line, what)
    }
}

fn target_dirs(checkout: &Checkout, job: &WorkflowJob, calls: &[Build<'_>]) -> Option<Finding> {
    if job.writes("TARGET_DIR") {
        return None;
    }
    let ours: Vec<&Step> = job.rekindle().iter().map(|index| &job.steps[*index]).collect();
    if ours.is_empty() {
        return apart(checkout, job, calls);
    }
    let mut told = Vec::new();
    for step in ours {
        told.extend(told_to(checkout, step)?);
    }
    let unknown = |call: &&Build<'_>| {
        let workspace = checkout.workspace(&call.folder);
        // A workspace that is not listed at all is another finding.
        told.iter().any(|(root, _)| Some(root) == workspace.as_ref())
            && told.iter().all(|(_, target_dir)| *target_dir != call.target_dir)
    };
    let call = calls.iter().find(unknown)?;
    let mut folders: Vec<String> = Vec::new();
    for folder in told.iter().map(|(_, target_dir)| format!("`{target_dir}`")) {
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    let what =
        format!("`{}` compiles into `{}`; the action restores {}", call.call.said, call.target_dir, folders.join(", "));
    Some(call.finding(Rule::TargetDirDiffers, what))
}

/// Workspaces and their target folders, as the action is told; nothing if an expression hides one.
fn told_to(checkout: &Checkout, step: &Step) -> Option<Vec<(String, String)>> {
    let lines = step.with("workspaces").map(str::trim).filter(|lines| !lines.is_empty()).unwrap_or(".");
    let one = |line: &str| {
        let (root, target) = line.split_once("->").map_or((line, None), |(root, target)| (root, Some(target.trim())));
        let root = join(".", root.trim())?;
        let target_dir = match (target, step.env.get("CARGO_TARGET_DIR")) {
            (Some(target), _) => placed(&root, target),
            (None, Some(setting)) => placed(".", &setting.value),
            (None, None) => join(&root, "target")?,
        };
        Some((checkout.workspace(&root).unwrap_or(root), target_dir))
    };
    lines.lines().filter(|line| !line.trim().is_empty()).map(one).collect()
}

/// A target folder from the root of the checkout, or as it is written where that cannot be known.
fn placed(folder: &str, target_dir: &str) -> String {
    join(folder, target_dir).unwrap_or_else(|| target_dir.trim_end_matches('/').to_owned())
}

/// Without the action, only what two commands could both use is compiled once too often.
fn apart(checkout: &Checkout, job: &WorkflowJob, calls: &[Build<'_>]) -> Option<Finding> {
    let first = calls.first()?;
    let kind = |call: &Build<'_>| {
        let CargoCall { toolchain, profile, target, .. } = &call.call;
        (call.call.generates_code(), toolchain.clone(), profile.clone(), target.clone(), call.rustflags.clone())
    };
    let other = calls.iter().find(|call| {
        call.target_dir != first.target_dir
            && kind(call) == kind(first)
            && checkout.workspace(&call.folder) == checkout.workspace(&first.folder)
    })?;
    let what = format!(
        "job `{}` runs `{}` in the target folder `{}` and `{}` in `{}`",
        job.id, first.call.said, first.target_dir, other.call.said, other.target_dir
    );
    Some(other.finding(Rule::TargetDirDiffers, what))
}

/// The flags without those that only say what rustc complains about; nothing if an expression hides some.
fn without_lints(flags: &str) -> Option<Vec<&str>> {
    if flags.contains("${") {
        return None;
    }
    let mut words = flags.split([' ', '\u{1f}']).filter(|word| !word.is_empty());
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        let long =
            ["--deny", "--warn", "--allow", "--forbid", "--cap-lints"].iter().find(|name| word.starts_with(*name));
        let short = ["-D", "-W", "-A", "-F"].iter().find(|name| word.starts_with(*name));
        match long.or(short) {
            // Its value is the next word.
            Some(name) if word == *name => drop(words.next()),
            Some(_) => {}
            None => kept.push(word),
        }
    }
    Some(kept)
}

fn rustflags(job: &WorkflowJob, calls: &[Build<'_>]) -> Option<Finding> {
    if job.writes("RUSTFLAGS") {
        return None;
    }
    let mut seen: BTreeMap<_, &Build<'_>> = BTreeMap::new();
    for call in calls {
        let CargoCall { toolchain, target, profile, .. } = &call.call;
        // What is only checked shares nothing with what is compiled down to machine code.
        let place = (&call.folder, &call.target_dir, toolchain, target, profile, call.call.generates_code());
        let first = seen.entry(place).or_insert(call);
        let alike = || Some(without_lints(&first.rustflags)? == without_lints(&call.rustflags)?);
        if first.rustflags != call.rustflags && alike() == Some(true) {
            let said = |call: &Build<'_>| match call.rustflags.as_str() {
                "" => "empty".to_owned(),
                flags => format!("`{flags}`"),
            };
            let what = format!(
                "in job `{}`, the RUSTFLAGS of `{}` are {} and those of `{}` are {}",
                job.id,
                first.call.said,
                said(first),
                call.call.said,
                said(call)
            );
            return Some(call.finding(Rule::RustflagsDiffer, what));
        }
    }
    None
}

/// A build whose features no later command of the job shares, and whose program nobody runs.
fn unused_build(job: &WorkflowJob, calls: &[Build<'_>]) -> Option<Finding> {
    let is_build = |call: &Build<'_>| matches!(call.call.subcommand.as_str(), "build" | "b");
    let alike = |a: &Build<'_>, b: &Build<'_>| {
        let same = |call: &Build<'_>| {
            let CargoCall { toolchain, target, selection, profile, .. } = &call.call;
            (toolchain.clone(), target.clone(), selection.clone(), profile.clone())
        };
        same(a) == same(b) && (&a.folder, &a.target_dir, &a.rustflags) == (&b.folder, &b.target_dir, &b.rustflags)
    };
    // Tests of what works without default features are meant to be another build.
    let usual = |call: &Build<'_>| !call.call.features.iter().any(|name| name == "--no-default-features");
    if uses_what_was_built(job) {
        return None;
    }
    for (index, build) in calls.iter().enumerate().filter(|(_, call)| is_build(call) && usual(call)) {
        let later: Vec<&Build<'_>> = calls[index + 1..]
            .iter()
            .filter(|call| call.call.generates_code() && alike(build, call) && usual(call))
            .collect();
        let other = later.iter().find(|call| call.call.features != build.call.features && !is_build(call));
        let shared = later.iter().any(|call| call.call.features == build.call.features);
        if let Some(other) = other
            && !shared
        {
            let what = format!(
                "in job `{}`, `{}` compiles with {} and `{}` with {}",
                job.id,
                build.call.said,
                build.call.features_said(),
                other.call.said,
                other.call.features_said()
            );
            return Some(build.finding(Rule::BuildNotUsed, what));
        }
    }
    None
}

/// Whether a step looks into the target folder, to run or to keep what lies there.
fn uses_what_was_built(job: &WorkflowJob) -> bool {
    job.steps.iter().any(|step| match &step.kind {
        StepKind::Run { script, .. } => ["target/", "target\\", "TARGET_DIR"].iter().any(|name| script.contains(name)),
        StepKind::Uses { action, with, .. } => {
            !action.contains("rekindle")
                && !action.starts_with("actions/cache")
                && with.entries().iter().any(|(_, value)| value.text().is_some_and(|text| text.contains("target/")))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::sample::{CHECKOUT, OURS, TEST, findings, job, workflow};

    #[test]
    fn target_folders_of_one_job_are_compared() {
        let other = "{run: cargo clippy, env: {CARGO_TARGET_DIR: target/clippy}}";
        assert_eq!(job(&[CHECKOUT, OURS, TEST, other]), ["target-dir-differs:9"]);
        assert_eq!(job(&[CHECKOUT, OURS, TEST, "run: cargo clippy --target-dir=x"]), ["target-dir-differs:9"]);
        let both = "{uses: a/rekindle@v1, with: {workspaces: \". -> target\\n. -> target/clippy\"}}";
        assert!(job(&[CHECKOUT, both, TEST, other]).is_empty());
        assert!(job(&[CHECKOUT, OURS, TEST, "run: cargo clippy --target-dir target/"]).is_empty());
        assert_eq!(job(&[CHECKOUT, OURS, "run: cargo test --target-dir x"]), ["target-dir-differs:8"]);
        let twice = workflow(&[CHECKOUT, OURS, TEST, OURS, "run: cargo clippy --target-dir x"]);
        let found = findings(&[(".github/workflows/ci.yml", &twice)]);
        assert!(found.iter().any(|finding| finding.what.ends_with("; the action restores `target`")), "{found:?}");
        let hidden = "{uses: a/rekindle@v1, with: {workspaces: \"${{ matrix.folders }}\"}}";
        assert!(job(&[CHECKOUT, hidden, TEST, other]).is_empty());
    }

    #[test]
    fn without_the_action_only_what_both_could_use_counts() {
        assert_eq!(job(&[CHECKOUT, TEST, "run: cargo build --target-dir x"]), ["target-dir-differs:8"]);
        for apart in [
            "cargo clippy --target-dir x",
            "cargo test --release --target-dir x",
            "RUSTFLAGS=-Cx cargo test --target-dir x",
        ] {
            assert!(job(&[CHECKOUT, TEST, &format!("run: {apart}")]).is_empty(), "{apart}");
        }
    }

    #[test]
    fn flags_of_one_job_are_compared_where_they_only_change_lints() {
        let strict = "{run: cargo build, env: {RUSTFLAGS: -D warnings}}";
        assert_eq!(job(&[CHECKOUT, OURS, TEST, strict]), ["rustflags-differ:9"]);
        assert_eq!(job(&[CHECKOUT, OURS, TEST, "run: RUSTFLAGS=-Dwarnings cargo test"]), ["rustflags-differ:9"]);
        assert!(job(&[CHECKOUT, OURS, strict, strict]).is_empty());
        for meant in
            ["--cfg tokio_unstable", "-C instrument-coverage", "-D warnings -C target-cpu=native", "${{ env.X }}"]
        {
            let step = format!("{{run: cargo test, env: {{RUSTFLAGS: '{meant}'}}}}");
            assert!(job(&[CHECKOUT, OURS, TEST, &step]).is_empty(), "{meant}");
        }
        assert!(job(&[CHECKOUT, OURS, TEST, "{run: cargo clippy, env: {RUSTFLAGS: -D warnings}}"]).is_empty());
        assert!(job(&[CHECKOUT, OURS, TEST, "{if: false, run: cargo test, env: {RUSTFLAGS: -Dx}}"]).is_empty());
        assert!(job(&[CHECKOUT, OURS, TEST, "run: echo RUSTFLAGS=x >> $GITHUB_ENV", strict]).is_empty());
    }

    #[test]
    fn a_build_that_no_test_uses_is_found() {
        let build = "run: cargo build --all-features";
        assert_eq!(job(&[CHECKOUT, build, TEST]), ["build-not-used:7"]);
        assert!(job(&[CHECKOUT, build, "run: cargo test --all-features"]).is_empty());
        assert!(job(&[CHECKOUT, build, TEST, "run: ./target/debug/sample"]).is_empty());
        assert!(
            job(&[CHECKOUT, build, TEST, "{uses: actions/upload-artifact@v7, with: {path: target/debug/sample}}"])
                .is_empty()
        );
        assert!(job(&[CHECKOUT, "run: cargo check --all-features", TEST]).is_empty());
        assert!(job(&[CHECKOUT, TEST, "run: cargo test --no-default-features"]).is_empty());
        // Each profile and each set of features has files of its own: to come back to one compiles nothing.
        assert!(job(&[CHECKOUT, TEST, "run: cargo build --release", TEST]).is_empty());
        assert!(job(&[CHECKOUT, TEST, "run: cargo test --features x", TEST]).is_empty());
        assert!(job(&[CHECKOUT, "run: cargo build -p a --features x", "run: cargo test -p b"]).is_empty());
    }
}
