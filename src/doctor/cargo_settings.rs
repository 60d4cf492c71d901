//! Rules about lock files, profiles and Cargo's settings, and about tools that a job compiles for itself.

use std::collections::BTreeSet;

use super::checkout::{Checkout, is_sample};
use super::job::{Step, WorkflowJob};
use super::packages::{dependencies, file_in};
use super::shell::ShellCommand;
use super::tree::Node;
use crate::doctor::finding::Finding;
use crate::doctor::rule::Rule;

pub(super) fn examine(checkout: &Checkout, into: &mut Vec<Finding>) {
    // A sample that a test builds is no project.
    for root in checkout.roots.iter().filter(|root| !is_sample(root)) {
        let found = no_lockfile(checkout, root);
        into.extend(found.map(|found| if checkout.is_named_by_a_job(root) { found } else { found.as_hint() }));
        into.extend(full_debuginfo(checkout, root));
    }
    incremental_in_variables(checkout, into);
    incremental_in_files(checkout, into);
    for (_, job) in checkout.jobs() {
        tools_from_source(job, into);
    }
}

fn no_lockfile(checkout: &Checkout, root: &str) -> Option<Finding> {
    let lock = file_in(root, "Cargo.lock");
    if checkout.is_tracked(&lock) || !checkout.compiles() || !depends_on_others(checkout, root) {
        return None;
    }
    let ignored = checkout.ignores.iter().position(|line| {
        let name = line.trim().trim_start_matches("**/").trim_start_matches('/');
        name == "Cargo.lock" || name == "*.lock" || name == lock
    });
    if let Some(index) = ignored {
        return Some(Finding::new(
            Rule::NoLockfile,
            ".gitignore",
            index + 1,
            format!("git is told to ignore `{lock}`"),
        ));
    }
    let manifest = &checkout.packages.get(root)?.file;
    Some(Finding::new(Rule::NoLockfile, manifest, 1, format!("`{lock}` is not in git")))
}

/// Whether a package of the workspace depends on anything that has releases of its own.
fn depends_on_others(checkout: &Checkout, root: &str) -> bool {
    let released = |table: &Node| table.entries().iter().any(|(_, dependency)| !dependency.at("path").exists());
    let members = checkout.packages.iter().filter(|(dir, _)| checkout.workspace(dir).as_deref() == Some(root));
    members.flat_map(|(_, package)| dependencies(&package.node)).any(released)
}

fn is_on(value: &str) -> bool {
    matches!(value, "1" | "true")
}

/// Whether a job told the action to keep incremental state.
fn keeps_incremental(job: &WorkflowJob) -> bool {
    job.rekindle().iter().any(|index| job.steps[*index].with("incremental") == Some("on"))
}

fn incremental_in_variables(checkout: &Checkout, into: &mut Vec<Finding>) {
    for (_, job) in checkout.jobs().filter(|(_, job)| !keeps_incremental(job)) {
        for (step, command, _) in job.cargo().filter(|(_, _, call)| call.compiles()) {
            let own = command.env.iter().any(|(name, value)| name == "CARGO_INCREMENTAL" && is_on(value));
            let setting = step.env.get("CARGO_INCREMENTAL").filter(|setting| is_on(&setting.value));
            if own {
                let what = format!("`CARGO_INCREMENTAL` is switched on for `{}`", command.said());
                into.push(Finding::new(Rule::IncrementalInCi, &step.file, command.line, what));
            } else if let Some(setting) = setting {
                let what = format!("`CARGO_INCREMENTAL: {}`", setting.value);
                into.push(Finding::new(Rule::IncrementalInCi, &setting.file, setting.line, what));
            }
        }
    }
}

fn incremental_in_files(checkout: &Checkout, into: &mut Vec<Finding>) {
    let decided = |step: &Step, command: &ShellCommand| step.variable(command, "CARGO_INCREMENTAL").is_some();
    let undecided = checkout.jobs().filter(|(_, job)| !keeps_incremental(job) && !job.writes("CARGO_INCREMENTAL"));
    let calls = undecided.flat_map(|(_, job)| job.cargo());
    let profiles: BTreeSet<String> = calls
        .filter(|(step, command, call)| call.compiles() && !decided(step, command))
        .map(|(_, _, call)| call.profile)
        .collect();
    if profiles.is_empty() {
        return;
    }
    let mut look = |file: &str, path: &str, node: &Node| {
        if node.text().is_some_and(is_on) {
            into.push(Finding::new(Rule::IncrementalInCi, file, node.line, format!("`{path} = true`, in CI too")));
        }
    };
    let config = checkout.cargo_config.iter().map(|(file, node)| (file, node));
    let manifests = checkout.roots.iter().filter_map(|root| checkout.packages.get(root));
    for (file, node) in config.clone().chain(manifests.map(|package| (&package.file, &package.node))) {
        let used = |name: &str| profiles.contains(name) || name == "test" && profiles.contains("dev");
        for (name, profile) in node.at("profile").entries().iter().filter(|(name, _)| used(name)) {
            look(file, &format!("profile.{name}.incremental"), profile.at("incremental"));
        }
    }
    for (file, node) in config {
        look(file, "build.incremental", node.path(&["build", "incremental"]));
    }
}

/// With fewer packages, what could be saved is not worth a line.
const MANY: usize = 100;

fn is_full_or_unset(profile: &Node) -> bool {
    is_full(profile.at("debug"))
}

fn is_full(debug: &Node) -> bool {
    !debug.exists() || matches!(debug.text(), Some("true" | "2" | "full"))
}

fn full_debuginfo(checkout: &Checkout, root: &str) -> Option<Finding> {
    let package = checkout.packages.get(root)?;
    let locked = checkout.locked.get(root).copied().filter(|locked| *locked >= MANY)?;
    let lowers = |node: &Node| {
        ["dev", "test"].iter().map(|profile| node.path(&["profile", profile])).any(|profile| {
            !is_full(profile.at("debug")) || profile.at("package").entries().iter().any(|(_, of)| !is_full_or_unset(of))
        })
    };
    if lowers(&package.node) || checkout.cargo_config.as_ref().is_some_and(|(_, node)| lowers(node)) {
        return None;
    }
    let lowered = ["CARGO_PROFILE_DEV_DEBUG", "CARGO_PROFILE_TEST_DEBUG"];
    let (job, call) = checkout.jobs().find_map(|(_, job)| {
        let full = job.cargo().find(|(step, command, call)| {
            let own = lowered.iter().any(|name| step.variable(command, name).is_some() || job.writes(name));
            let flags = step.variable(command, "RUSTFLAGS").is_some_and(|flags| flags.contains("debuginfo"))
                || command.words.iter().any(|word| word.contains("profile.dev.debug"));
            let folder = step.folder(command).and_then(|folder| checkout.workspace(&folder));
            call.generates_code() && call.profile == "dev" && !own && !flags && folder.as_deref() == Some(root)
        });
        full.map(|(_, _, call)| (job, call))
    })?;
    let profile = package.node.path(&["profile", "dev"]);
    let debug = profile.at("debug");
    let (line, state) = match (debug.text(), profile.exists()) {
        (Some(value), _) => (debug.line, format!("`profile.dev.debug = {value}`")),
        (None, true) => (profile.line, "`[profile.dev]` does not set `debug`, and the default is `true`".to_owned()),
        (None, false) => (1, "no `[profile.dev]` lowers `debug`, and the default is `true`".to_owned()),
    };
    let what = format!("{state}; job `{}` runs `{}`, and {locked} packages are locked", job.id, call.said);
    Some(Finding::new(Rule::FullDebuginfo, &package.file, line, what))
}

/// Whether a cache brings back what `cargo install` made.
fn keeps_tools(step: &Step) -> bool {
    let whole = |path: &str| matches!(path.trim().trim_end_matches(['/', '*']), "~/.cargo" | "$CARGO_HOME" | "~");
    let named = |path: &str| path.contains("bin") || path.contains("tools") || path.contains("${{") || whole(path);
    match step.action() {
        "swatinem/rust-cache" | "leafwing-studios/cargo-cache" | "moonrepo/setup-rust" => true,
        "actions-rust-lang/setup-rust-toolchain" => step.with("cache") != Some("false"),
        action if action.starts_with("actions/cache") => {
            step.with("path").is_some_and(|paths| paths.lines().any(named))
        }
        _ => false,
    }
}

fn tools_from_source(job: &WorkflowJob, into: &mut Vec<Finding>) {
    // A machine that stays keeps what was installed.
    let stays = job.node.at("runs-on").texts().contains(&"self-hosted");
    if stays || job.steps.iter().any(keeps_tools) {
        return;
    }
    for (step, command, call) in job.cargo().filter(|(_, _, call)| call.subcommand == "install") {
        let guarded = step.condition.as_ref().is_some_and(|condition| condition.contains("cache-hit"))
            || step.commands().iter().any(|other| other.line == command.line && other.has("binstall"));
        if guarded
            || ["--path", "--list"].iter().any(|option| command.words.iter().any(|word| word.starts_with(option)))
        {
            continue;
        }
        let what = format!("job `{}` compiles a tool in each run: `{}`", job.id, call.said);
        into.push(Finding::new(Rule::ToolFromSource, &step.file, command.line, what));
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{CHECKOUT, OURS, TEST, ids, job, workflow};

    const CI: &str = ".github/workflows/ci.yml";

    #[test]
    fn a_lock_file_is_missed_where_it_is_ignored_or_absent() {
        let ci = workflow(&[CHECKOUT, TEST]);
        let needs = |what: &str| format!("[package]\nname = \"a\"\n{what}");
        let found = |manifest: &str, ignored: &str| {
            ids(&[(CI, &ci), ("Cargo.toml", manifest), ("Cargo.lock", ""), (".gitignore", ignored)])
        };
        let serde = needs("[target.'cfg(unix)'.dev-dependencies]\nserde = \"1\"\n");
        assert_eq!(found(&serde, ""), ["no-lockfile:1"]);
        assert_eq!(found(&serde, "/target\nCargo.lock\n"), ["no-lockfile:2"]);
        assert!(ids(&[(CI, &ci), ("Cargo.toml", &serde)]).is_empty());
        assert!(found(&needs(""), "Cargo.lock\n").is_empty());
        assert!(found(&needs("[dependencies]\nb = { path = \"b\" }\n"), "").is_empty());
    }

    #[test]
    fn incremental_is_found_in_variables_and_files() {
        let step = |value: &str| format!("{{run: cargo test, env: {{CARGO_INCREMENTAL: {value}}}}}");
        assert_eq!(job(&[CHECKOUT, &step("1")]), ["incremental-in-ci:7"]);
        assert!(job(&[CHECKOUT, &step("0")]).is_empty());
        let kept = "{uses: a/rekindle@v1, with: {incremental: on}}";
        assert!(job(&[CHECKOUT, kept, &step("1")]).is_empty());
        let config = (".cargo/config.toml", "[build]\nincremental = true\n");
        let (plain, off) = (workflow(&[CHECKOUT, TEST]), workflow(&[CHECKOUT, &step("0")]));
        assert_eq!(ids(&[(CI, &plain), config]), ["incremental-in-ci:2"]);
        assert!(ids(&[(CI, &off), config]).is_empty());
        let manifest = "[package]\nname = \"a\"\n[profile.dev]\ndebug = 0\nincremental = true\n";
        assert_eq!(ids(&[(CI, &plain), ("Cargo.toml", manifest)]), ["incremental-in-ci:5"]);
        let other = manifest.replace("debug = 0", "debug = 0\n[profile.release]");
        assert!(ids(&[(CI, &plain), ("Cargo.toml", &other)]).is_empty());
    }

    #[test]
    fn full_debuginfo_is_found_where_nothing_lowers_it() {
        let in_lock = |packages: usize, manifest: &str, step: &str| {
            let ci = workflow(&[CHECKOUT, step]);
            let package = |at| format!("[[package]]\nname = \"p{at}\"\nversion = \"1.0.0\"\n");
            let lock: String = (0..packages).map(package).collect();
            let manifest = format!("[package]\nname = \"a\"\n{manifest}");
            ids(&[(CI, &ci), ("Cargo.toml", &manifest), ("Cargo.lock", &lock)])
        };
        let found = |manifest: &str, step: &str| in_lock(100, manifest, step);
        assert!(in_lock(99, "", TEST).is_empty());
        assert_eq!(found("", TEST), ["full-debuginfo:1"]);
        assert_eq!(found("[profile.dev]\nopt-level = 1\n", TEST), ["full-debuginfo:3"]);
        assert_eq!(found("[profile.dev]\ndebug = true\n", TEST), ["full-debuginfo:4"]);
        assert!(found("[profile.dev]\ndebug = \"line-tables-only\"\n", TEST).is_empty());
        assert!(found("", "{run: cargo test, env: {CARGO_PROFILE_DEV_DEBUG: 0}}").is_empty());
        assert!(found("[profile.dev.package.\"*\"]\ndebug = false\n", TEST).is_empty());
        assert!(found("", "run: cargo test --config profile.dev.debug=0").is_empty());
        assert!(found("", "run: cargo test --release").is_empty());
        assert!(found("", "run: cargo clippy").is_empty());
    }

    #[test]
    fn a_tool_that_is_compiled_is_found_unless_it_is_kept() {
        assert_eq!(job(&[CHECKOUT, OURS, "run: cargo install --locked cargo-deny"]), ["tool-from-source:8"]);
        assert!(job(&[CHECKOUT, OURS, "run: cargo install --path ."]).is_empty());
        assert!(
            job(&[CHECKOUT, "{uses: actions/cache@v5, with: {path: ~/.cargo/bin}}", "run: cargo install x"]).is_empty()
        );
        assert!(job(&[CHECKOUT, OURS, "run: cargo binstall -y x || cargo install x"]).is_empty());
        let stays =
            "on: push\njobs:\n  a:\n    runs-on: [self-hosted, linux]\n    steps:\n      - run: cargo install x\n";
        assert!(ids(&[(CI, stays)]).is_empty());
    }
}
