//! Rules about packages that Rust is built into for Python.
//!
//! Measured facts decide what is reported: the isolation of uv and `build` has a random path, pip's has none; maturin from 1.14.1
//! hides the path from `PyO3` 0.29 and later where the stable ABI is used.

use std::collections::BTreeSet;

use super::cargo_call::CargoCall;
use super::checkout::{Checkout, Package, has_extension};
use super::job::{Step, StepKind, WorkflowJob, join};
use super::packages::dependencies;
use super::shell::ShellCommand;
use super::tree::Node;
use crate::doctor::finding::Finding;
use crate::doctor::rule::Rule;

pub(super) fn examine(checkout: &Checkout, into: &mut Vec<Finding>) {
    if !uses_pyo3(checkout) {
        return;
    }
    let drifts = drifts(checkout);
    for (_, job, ours) in checkout.warm_jobs() {
        let drifts = drifts && !is_given_a_path(job, &ours);
        into.extend(maturin_and_cargo(checkout, job));
        for (step, command) in job.commands().filter(|(step, command)| of_project(checkout, step, command)) {
            let target_dir = step.variable(command, "CARGO_TARGET_DIR").is_some() || job.writes("CARGO_TARGET_DIR");
            let keeps_copies = ours.iter().any(|&at| job.steps[at].with("isolation") == Some("alias"));
            if from_sdist(command) && !target_dir && !keeps_copies {
                let what = format!("`{}` builds the wheel from a copy of the sources", command.said());
                into.push(Finding::new(Rule::WheelFromSdist, &step.file, command.line, what));
            } else if drifts && !switched_off(step, command) && (isolates(command) || syncs_anew(job, step, command)) {
                // What `uv run` runs is not what builds.
                let run = if command.syncs && command.program() != "uv" { "uv run " } else { "" };
                let what = format!("`{run}{}` builds in an environment with a random path", command.said());
                into.push(Finding::new(Rule::BuildIsolation, &step.file, command.line, what));
            }
        }
    }
}

/// Whether a job that builds in isolation compiles `PyO3` again.
fn drifts(checkout: &Checkout) -> bool {
    !hides_the_path(checkout) && !avoids_isolation(checkout)
}

fn is_given_a_path(job: &WorkflowJob, ours: &[usize]) -> bool {
    ours.iter().any(|&at| matches!(job.steps[at].with("isolation"), Some("alias" | "base")))
}

/// The same of what any job calls.
pub(super) fn drifts_everywhere(checkout: &Checkout) -> bool {
    uses_pyo3(checkout) && drifts(checkout) && !checkout.warm_jobs().any(|(_, job, ours)| is_given_a_path(job, &ours))
}

/// What packages say about their dependency on `PyO3`.
fn pyo3(checkout: &Checkout) -> impl Iterator<Item = &Node> {
    let of = |node: &'static str| {
        checkout.packages.values().flat_map(move |package| dependencies(&package.node).map(move |table| table.at(node)))
    };
    of("pyo3").chain(of("pyo3-ffi")).filter(|node| node.exists())
}

/// Whether a package of the checkout is built against Python's headers.
pub(super) fn uses_pyo3(checkout: &Checkout) -> bool {
    pyo3(checkout).next().is_some()
}

/// Whether maturin hands `PyO3` a file in place of a path, and no build script looks at the path itself.
fn hides_the_path(checkout: &Checkout) -> bool {
    let recent = pyo3(checkout).any(|node| {
        let version = node.text().or_else(|| node.at("version").text()).unwrap_or_default();
        let minor = version
            .trim_start_matches(['=', '^', '~', '>', ' '])
            .strip_prefix("0.")
            .and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u32>().ok());
        minor.is_some_and(|minor| minor >= 29)
    });
    let abi3 = |node: &Node| node.texts().iter().any(|name| name.contains("abi3"));
    let stable_abi = pyo3(checkout).any(|node| abi3(node.at("features")))
        || checkout
            .packages
            .values()
            .any(|package| package.node.at("features").entries().iter().any(|(_, names)| abi3(names)))
        || checkout.pyprojects.iter().any(|(_, node)| abi3(node.path(&["tool", "maturin", "features"])));
    let maturin = checkout.pyprojects.iter().all(|(_, node)| {
        node.path(&["build-system", "requires"]).texts().iter().any(|name| name.starts_with("maturin"))
    });
    let tracked = checkout.texts.iter().any(|(file, text)| has_extension(file, "rs") && text.contains("PYO3_PYTHON"));
    recent && stable_abi && maturin && !tracked
}

fn avoids_isolation(checkout: &Checkout) -> bool {
    checkout.pyprojects.iter().any(|(_, node)| {
        let uv = node.path(&["tool", "uv"]);
        node.path(&["tool", "maturin", "use-base-python"]).is("true")
            || uv.at("no-build-isolation").is("true")
            || uv.at("no-build-isolation-package").exists()
    })
}

fn switched_off(step: &Step, command: &ShellCommand) -> bool {
    let names = [
        "MATURIN_PEP517_USE_BASE_PYTHON",
        "SETUPTOOLS_RUST_PEP517_USE_BASE_PYTHON",
        "UV_NO_BUILD_ISOLATION",
        "PYO3_CONFIG_FILE",
    ];
    names.iter().any(|name| step.variable(command, name).is_some())
}

/// Whether words name the project itself or a folder of it.
pub(super) fn is_local(word: &str) -> bool {
    let path = word.split('[').next().unwrap_or(word);
    path == "." || path == ".." || path.starts_with("./") && !has_extension(path, "whl") && !has_extension(path, "txt")
}

/// Whether a command builds a Python package that Rust is compiled for: the one it names, or the one of its folder.
fn of_project(checkout: &Checkout, step: &Step, command: &ShellCommand) -> bool {
    let Some(folder) = step.folder(command) else { return false };
    let is_path = |word: &&String| is_local(word) || is_build(command) && word.contains('/');
    let named: Vec<&String> = command.words.iter().skip(1).filter(is_path).collect();
    let folders = named.iter().map(|word| join(&folder, word.split('[').next().unwrap_or(word)));
    let folders: Vec<String> = if named.is_empty() { vec![folder.clone()] } else { folders.flatten().collect() };
    checkout.pyprojects.iter().any(|(file, _)| {
        let own = file.strip_suffix("/pyproject.toml").unwrap_or(".");
        folders.iter().any(|folder| folder == own)
    })
}

fn is_build(command: &ShellCommand) -> bool {
    let module = command.program().starts_with("python")
        && command.words.windows(2).any(|pair| pair[0] == "-m" && pair[1] == "build");
    module || command.program() == "pyproject-build" || command.begins(&["uv", "build"])
}

/// Whether `uv run` installs the project before it runs anything: it does unless it is told not to. After a `uv sync` of the whole
/// project there is nothing left to install.
fn syncs_anew(job: &WorkflowJob, step: &Step, command: &ShellCommand) -> bool {
    let is_off = ["UV_NO_SYNC", "UV_NO_PROJECT"].iter().any(|name| step.variable(command, name).is_some());
    let first = job.commands().find(|(_, other)| other.syncs || isolates(other)).map(|(_, other)| other.line);
    command.syncs && !is_off && !job.writes("UV_NO_SYNC") && first == Some(command.line)
}

fn from_sdist(command: &ShellCommand) -> bool {
    let one = ["-w", "--wheel", "-s", "--sdist", "--help"];
    is_build(command) && !command.words.iter().any(|word| one.contains(&word.as_str()))
}

pub(super) fn isolates(command: &ShellCommand) -> bool {
    let is_install = command.begins(&["uv", "pip", "install"]) || command.begins(&["uv", "tool", "install"]);
    let installs = is_install && command.words.iter().any(|word| is_local(word));
    let syncs = command.begins(&["uv", "sync"])
        && !command.has("--no-install-project")
        && !command.has("--no-install-workspace");
    let stays = command.words.iter().any(|word| word.starts_with("--no-build-isolation") || word == "--no-isolation");
    let builds = is_build(command) && !command.has("-n") && !command.has("--sdist") && !command.has("-s");
    (installs || syncs || builds) && !stays
}

/// The profile that a step has maturin build with.
fn maturin_profile(step: &Step) -> Option<(usize, String, String)> {
    let profile = |words: &[&str]| {
        let named = words.windows(2).find(|pair| pair[0] == "--profile").map(|pair| pair[1]);
        let release = words.iter().any(|word| matches!(*word, "--release" | "-r"));
        named.unwrap_or(if release { "release" } else { "dev" }).to_owned()
    };
    if let StepKind::Uses { action, .. } = &step.kind {
        let develop = action == "pyo3/maturin-action" && step.with("command") == Some("develop");
        let words: Vec<&str> = step.with("args").unwrap_or_default().split_whitespace().collect();
        return develop.then(|| (step.line, profile(&words), "maturin develop".to_owned()));
    }
    let command = step.commands().iter().find(|command| {
        command.program() == "maturin"
            && matches!(command.words.get(1).map(String::as_str), Some("develop" | "build"))
            && !command.words.iter().any(|word| word.starts_with("--target-dir"))
            && !step
                .variable(command, "CARGO_TARGET_DIR")
                .is_some_and(|_| command.env.iter().any(|(name, _)| name == "CARGO_TARGET_DIR"))
    })?;
    let words: Vec<&str> = command.words.iter().map(String::as_str).collect();
    Some((command.line, profile(&words), command.said()))
}

/// Whether a package of the workspace in which a call compiles depends on `PyO3`.
fn compiles_pyo3(checkout: &Checkout, step: &Step, command: &ShellCommand, call: &CargoCall) -> bool {
    let manifest = call.manifest.as_deref().map_or(".", |path| path.strip_suffix("Cargo.toml").unwrap_or(path));
    let workspace = step.folder(command).and_then(|dir| join(&dir, manifest)).and_then(|dir| checkout.workspace(&dir));
    let uses = |package: &Package| {
        dependencies(&package.node).any(|table| table.at("pyo3").exists() || table.at("pyo3-ffi").exists())
    };
    let own = |(dir, package): (&String, &Package)| uses(package) && checkout.workspace(dir) == workspace;
    workspace.is_some() && checkout.packages.iter().any(own)
}

/// Features that only maturin selects and that are `PyO3`'s `extension-module`, or select it.
fn maturin_features(checkout: &Checkout) -> BTreeSet<String> {
    let selects = |name: &str| {
        name.contains("extension-module")
            || checkout.packages.values().any(|package| {
                package.node.at("features").at(name).texts().iter().any(|one| one.contains("extension-module"))
            })
    };
    let named = checkout.pyprojects.iter().flat_map(|(_, node)| node.path(&["tool", "maturin", "features"]).texts());
    named.filter(|name| selects(name)).map(str::to_owned).collect()
}

fn maturin_and_cargo(checkout: &Checkout, job: &WorkflowJob) -> Option<Finding> {
    let target_dir = |step: &Step| step.env.get("CARGO_TARGET_DIR").map(|setting| setting.value.clone());
    let (maturin, (line, profile, said)) = job.steps.iter().find_map(|step| Some((step, maturin_profile(step)?)))?;
    let aligned = |name: &str| maturin.env.contains_key(name) || job.writes(name);
    if aligned("PYO3_CONFIG_FILE") || aligned("PYO3_ENVIRONMENT_SIGNATURE") {
        return None;
    }
    let own_features = maturin_features(checkout);
    let (_, _, call) = job.cargo().find(|(step, command, call)| {
        let elsewhere = call.target_dir.is_some()
            || target_dir(step) != target_dir(maturin)
            || command.env.iter().any(|(name, _)| name == "CARGO_TARGET_DIR");
        // A package that is named may be one without PyO3.
        let chosen = call.selection.iter().any(|one| one != "--workspace");
        // With a feature of its own PyO3 is there once for each, and a switch compiles the last crate only.
        let has_own = !own_features.is_empty()
            && !call.features.iter().any(|name| name == "--all-features" || own_features.contains(name));
        call.compiles()
            && call.profile == profile
            && !elsewhere
            && !chosen
            && !has_own
            && compiles_pyo3(checkout, step, command, call)
    })?;
    let what = format!(
        "job `{}` runs `{said}` and, on line {}, `{}`, both with the profile `{profile}`",
        job.id, call.line, call.said
    );
    Some(Finding::new(Rule::MaturinAndCargo, &maturin.file, line, what))
}

#[cfg(test)]
mod tests {
    use super::super::sample::{CHECKOUT, OURS, TEST, ids, job, python_job, workflow};

    #[test]
    fn isolation_with_a_random_path_is_found() {
        for command in ["uv pip install -e .[test]", "uv sync --locked", "python -m build --wheel", "uv build --wheel"]
        {
            let step = format!("run: {command}");
            assert_eq!(python_job(&[CHECKOUT, OURS, &step]), ["build-isolation:8"], "{command}");
            assert!(python_job(&[CHECKOUT, &step]).is_empty(), "{command}");
            assert!(job(&[CHECKOUT, OURS, &step]).is_empty(), "{command}");
        }
        for fine in
            ["pip install .", "uv pip install --no-build-isolation .", "uv pip install pytest", "uv build --sdist"]
        {
            assert!(python_job(&[CHECKOUT, OURS, &format!("run: {fine}")]).is_empty(), "{fine}");
        }
        for isolation in ["alias", "base"] {
            let ours = format!("{{uses: rekindle-rs/rekindle@v1, with: {{isolation: {isolation}}}}}");
            assert!(python_job(&[CHECKOUT, &ours, "run: uv sync"]).is_empty(), "{isolation}");
        }
        let base = "{run: uv sync, env: {MATURIN_PEP517_USE_BASE_PYTHON: 1}}";
        assert!(python_job(&[CHECKOUT, OURS, base]).is_empty());
    }

    #[test]
    fn the_stable_abi_of_a_recent_pyo3_hides_the_path() {
        let found = |version: &str, build: &str| {
            let manifest = format!(
                "[package]\nname = \"a\"\n[dependencies]\npyo3 = {{ version = \"{version}\", features = [\"abi3-py39\"] }}\n\
                 [profile.dev]\ndebug = 0\n"
            );
            ids(&[
                (".github/workflows/ci.yml", &workflow(&[CHECKOUT, OURS, "run: uv sync"])),
                ("Cargo.toml", &manifest),
                ("pyproject.toml", "[build-system]\nrequires = [\"maturin\"]\n"),
                ("build.rs", build),
            ])
        };
        assert!(found("0.29", "").is_empty());
        assert_eq!(found("0.28", ""), ["build-isolation:8"]);
        let tracking = "fn main() { println!(\"cargo::rerun-if-env-changed=PYO3_PYTHON\"); }\n";
        assert_eq!(found("0.29", tracking), ["build-isolation:8"]);
    }

    #[test]
    fn uv_run_installs_the_project_unless_it_is_told_not_to() {
        let found = |steps: &[&str]| python_job(&[&[CHECKOUT, OURS], steps].concat());
        assert_eq!(found(&["run: uv run pytest"]), ["build-isolation:8"]);
        assert_eq!(found(&["run: uv tool install ."]), ["build-isolation:8"]);
        assert!(found(&["run: uv run --no-sync pytest"]).is_empty());
        assert!(found(&["env: {UV_NO_SYNC: 1}\n        run: uv run pytest"]).is_empty());
        assert_eq!(found(&["run: uv sync", "run: uv run pytest"]), ["build-isolation:8"]);
        let late =
            ["run: uv sync --no-install-project", "run: maturin develop", "run: uv run pytest", "run: uv run mypy"];
        assert_eq!(found(&late), ["build-isolation:10"]);
    }

    #[test]
    fn a_wheel_from_an_sdist_is_found() {
        assert_eq!(python_job(&[CHECKOUT, OURS, "run: python -m build"]), ["wheel-from-sdist:8"]);
        assert_eq!(python_job(&[CHECKOUT, OURS, "run: uv build"]), ["wheel-from-sdist:8"]);
        let alias = "{uses: rekindle-rs/rekindle@v1, with: {isolation: alias}}";
        assert!(python_job(&[CHECKOUT, alias, "run: uv build"]).is_empty());
        assert!(python_job(&[CHECKOUT, OURS, "run: python -m build --sdist"]).is_empty());
    }

    #[test]
    fn maturin_and_cargo_share_a_profile() {
        assert_eq!(python_job(&[CHECKOUT, OURS, "run: maturin develop", TEST]), ["maturin-and-cargo:8"]);
        assert!(python_job(&[CHECKOUT, OURS, "run: maturin develop --release", TEST]).is_empty());
        assert!(python_job(&[CHECKOUT, OURS, "run: maturin develop", "run: cargo fmt"]).is_empty());
        let apart = "{uses: a/rekindle@v1, with: {workspaces: \".\\n. -> target/cargo\"}}";
        let own = "{run: cargo test, env: {CARGO_TARGET_DIR: target/cargo}}";
        assert!(python_job(&[CHECKOUT, apart, "run: maturin develop", own]).is_empty());
    }
}
