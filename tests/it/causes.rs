//! Causes of commands that take turns, fail, or are run for the first time: shapes in which nothing changed, and in which a cause
//! that says so would be false. Each case is a list of commands in one target, explained one after the other.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::support::{World, write};

/// A member with a build script that watches a variable, one that is a program and a library, and a macro.
fn world() -> World {
    let world = World::scenario();
    world.wipe_and_clone();
    world
}

/// Runs a command and gives what is said of what it compiled.
fn explain(world: &World, command: &str, env: &[(&str, &str)]) -> Vec<Value> {
    let env: BTreeMap<String, String> =
        env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let words = command.split(' ').chain(["--offline", "--quiet"]);
    let arguments: Vec<&str> = ["explain", "--json", "--"].into_iter().chain(words).collect();
    let output = world.rekindle_step(&arguments, &env);
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(report["unexplained"], 0, "{report:#}");
    report["rebuilds"].as_array().unwrap().clone()
}

fn texts(said: &[Value]) -> BTreeSet<String> {
    said.iter().map(|rebuild| rebuild["text"].as_str().unwrap().to_owned()).collect()
}

fn kinds(said: &[Value]) -> BTreeSet<&str> {
    said.iter().map(|rebuild| rebuild["cause"]["because"].as_str().unwrap()).collect()
}

/// Another command in a warm target: nothing changed, and nothing is said to have.
#[test]
fn a_first_command_of_its_kind_is_told_as_that() {
    let world = world();
    assert_eq!(kinds(&explain(&world, "cargo build --workspace", &[])), BTreeSet::from(["cold-start"]));

    let checked = explain(&world, "cargo check --workspace", &[]);
    assert!(texts(&checked).contains("it was never checked before, only built"), "{checked:#?}");
    // What was built for macros and build scripts is checked under other settings.
    let rest = BTreeSet::from(["other-mode", "other-settings"]);
    assert!(kinds(&checked).is_subset(&rest), "{checked:#?}");

    let linted = explain(&world, "cargo clippy --workspace", &[]);
    assert!(
        texts(&linted).iter().all(|text| text.starts_with("it was never looked at by clippy before")),
        "{linted:#?}"
    );

    let documented = explain(&world, "cargo doc --workspace --no-deps", &[]);
    assert!(
        texts(&documented).iter().any(|text| text.starts_with("it was never documented before")),
        "{documented:#?}"
    );
    assert!(kinds(&documented).is_subset(&BTreeSet::from(["other-mode", "never-built"])), "{documented:#?}");

    let tests = explain(&world, "cargo test --workspace --no-run", &[]);
    let rest = BTreeSet::from(["never-built", "other-settings", "other-variant"]);
    assert!(kinds(&tests).is_subset(&rest), "{tests:#?}");

    let released = explain(&world, "cargo build --workspace --release", &[]);
    let expected = "it was never built for `release` before, only for `debug`";
    assert_eq!(texts(&released), BTreeSet::from([expected.to_owned()]), "{released:#?}");

    // All of them again: nothing is left to compile.
    for command in ["build", "check", "clippy", "test --no-run", "build --release"] {
        let said = explain(&world, &format!("cargo {command} --workspace"), &[]);
        assert_eq!(said, Vec::<Value>::new(), "{command}");
    }
}

/// As maturin asks for it.
#[test]
fn another_kind_of_library_is_no_change_of_the_manifest() {
    let world = world();
    explain(&world, "cargo build --workspace", &[]);
    let said = explain(&world, "cargo rustc -p a --lib --crate-type cdylib", &[]);
    assert_eq!(kinds(&said), BTreeSet::from(["other-crate-types"]), "{said:#?}");
}

/// Two steps of one job whose variables differ: at the end everything is as at the start, and yet something was built twice.
#[test]
fn what_changed_and_changed_back_is_told_as_that() {
    let world = world();
    explain(&world, "cargo build --workspace", &[("C_FLAG", "one")]);
    let state = world.dir.join("both.sh");
    write(
        &state,
        "set -e\nC_FLAG=two cargo build -p c --offline --quiet\nC_FLAG=one cargo build -p c --offline --quiet\n",
    );
    let output = world.rekindle(&["explain", "--json", "--", "bash", state.to_str().unwrap()]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let said = report["rebuilds"].as_array().unwrap();
    assert_eq!(kinds(said), BTreeSet::from(["changed-back"]), "{report:#}");
    assert_eq!(said[0]["cause"]["names"], serde_json::json!(["C_FLAG"]), "{report:#}");
    let text = said[0]["text"].as_str().unwrap();
    assert!(text.contains("`C_FLAG`") && !text.contains("was missing"), "{text}");
}

/// What a failed build leaves was built before, and is not told as new; neither in this target nor after a save and a restore.
#[test]
fn what_an_earlier_build_did_not_finish_is_told_as_that() {
    let mut world = World::scenario();
    world.first_run();
    let lib = std::fs::read_to_string(world.origin().join("work/a/src/lib.rs")).unwrap();
    world.change(&[("work/a/src/lib.rs", &format!("{lib}\nfn broken() {{ let number: u8 = \"\"; }}\n"))]);
    world.wipe_and_clone();
    world.restore();
    assert!(!world.cargo(&world.command.join(" ")).success);
    world.save();

    world.change(&[("work/a/src/lib.rs", &lib)]);
    world.wipe_and_clone();
    world.restore();
    world.build();
    let report = crate::explain::explained(&world);
    let said = report["rebuilds"].as_array().unwrap();
    assert!(!said.is_empty() && kinds(said).is_subset(&BTreeSet::from(["unfinished", "source-changed"])), "{report:#}");
}

#[test]
fn a_path_that_never_was_there_is_told_as_that() {
    let world = world();
    write(
        &world.workspace().join("c/build.rs"),
        "fn main() {\n    println!(\"cargo:rerun-if-changed=assets/*.txt\");\n    println!(\"cargo:rustc-env=C_ASSETS=x\");\n}\n",
    );
    explain(&world, "cargo build --workspace", &[]);
    for _ in 0..2 {
        let said = explain(&world, "cargo build --workspace", &[]);
        assert_eq!(kinds(&said), BTreeSet::from(["never-there"]), "{said:#?}");
        assert!(said[0]["cause"]["path"].as_str().unwrap().ends_with("c/assets/*.txt"), "{said:#?}");
    }
}

/// What Cargo says to every compiler differs between packages, and is no variable that somebody changed.
#[test]
fn a_value_that_cargo_gives_is_not_told_as_changed() {
    let world = world();
    for (package, version) in [("b", "0.2.0"), ("c", "0.3.0")] {
        let path = |name: &str| world.workspace().join(package).join(name);
        let manifest = std::fs::read_to_string(path("Cargo.toml")).unwrap().replace("0.1.0", version);
        write(&path("Cargo.toml"), &manifest);
        let lib = std::fs::read_to_string(path("src/lib.rs")).unwrap();
        write(&path("src/lib.rs"), &format!("{lib}\npub const VERSION: &str = env!(\"CARGO_PKG_VERSION\");\n"));
    }
    explain(&world, "cargo build --workspace", &[]);
    let libraries = std::fs::read_dir(world.target().join("debug/deps")).unwrap().map(|entry| entry.unwrap().path());
    let script = world.dir.join("taken.sh");
    let names: Vec<String> =
        libraries.map(|path| path.display().to_string()).filter(|path| path.contains("/libb-")).collect();
    write(&script, &format!("set -e\nrm {}\ncargo build --workspace --offline --quiet\n", names.join(" ")));
    let output = world.rekindle(&["explain", "--json", "--", "bash", script.to_str().unwrap()]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let said = report["rebuilds"].as_array().unwrap();
    assert_eq!(kinds(said), BTreeSet::from(["output-missing"]), "{report:#}");
}
