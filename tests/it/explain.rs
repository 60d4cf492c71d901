//! Causes against Cargo's own: what Rekindle says after a build, from nothing but the disk, is what Cargo said while it built.

use std::collections::BTreeSet;

use rekindle::cargo::verdict::Verdict;
use serde_json::Value;

use crate::support::{World, write};

/// What `rekindle explain` says about the build since the last restore.
pub(crate) fn explained(world: &World) -> Value {
    let state = world.dir.join("state.json");
    let output = world.rekindle(&["explain", "--json", "--since", state.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The kinds of cause that may stand for one of Cargo's reasons.
fn kinds(reason: &str) -> &'static [&'static str] {
    let table: [(&str, &[&str]); 15] = [
        ("the toolchain changed", &["toolchain-changed"]),
        ("the list of features changed", &["features-changed"]),
        ("the list of declared features changed", &["declared-features-changed"]),
        ("the target configuration changed", &["target-definition-changed"]),
        ("the path to the source changed", &["path-moved"]),
        ("the profile configuration changed", &["profile-changed"]),
        ("the rustflags changed", &["rustflags-changed"]),
        ("the config settings changed", &["config-changed"]),
        ("the rustc compile kind changed", &["target-changed"]),
        ("the env variable", &["env-changed"]),
        ("the environment variable", &["env-changed"]),
        ("the precalculated components changed", &["source-changed", "forced"]),
        ("the dependency `", &["dependency-rebuilt"]),
        ("info of dependency", &["dependency-rebuilt", "other-variant"]),
        ("number of dependencies changed", &["dependency-added", "dependency-removed"]),
    ];
    if let Some((_, kinds)) = table.iter().find(|(start, _)| reason.starts_with(start)) {
        return kinds;
    }
    // Of several files, Cargo names any.
    if reason.starts_with("the file `") {
        return &["source-changed", "source-gone", "forced"];
    }
    &["forced", "output-missing"]
}

/// Every reason that Cargo gave is the one that Rekindle gives, and every unit that was compiled has a cause.
pub(crate) fn agrees_with_cargo(world: &World, verdict: &Verdict) {
    let report = explained(world);
    assert_eq!(report["unexplained"], 0, "{report:#}\n{}", verdict.stderr);
    let units = report["units"].as_array().unwrap();
    let compiled: Vec<&Value> = units.iter().filter(|unit| !unit["cause"].is_null()).collect();
    for line in verdict.stderr.lines().map(str::trim) {
        let Some((package, reason)) = line.strip_prefix("Dirty ").and_then(|rest| rest.split_once(": ")) else {
            continue;
        };
        let package = package.split(' ').next().unwrap();
        let causes = compiled.iter().filter(|unit| unit["package"] == package);
        let said: BTreeSet<&str> = causes.clone().filter_map(|unit| unit["cause"]["because"].as_str()).collect();
        assert!(
            kinds(reason).iter().any(|kind| said.contains(kind)),
            "Cargo says of `{package}`: {reason}\nRekindle says: {said:?}\n{report:#}\n{}",
            verdict.stderr
        );
        // Names of variables and files agree, too.
        let named = reason.split('`').nth(1).filter(|_| reason.starts_with("the file `"));
        let variable = reason.strip_prefix("the env variable ").or(reason.strip_prefix("the environment variable "));
        let variable = variable.and_then(|rest| rest.split(' ').next());
        if let Some(name) = variable {
            assert!(causes.clone().any(|unit| unit["cause"]["name"] == name), "{reason}\n{report:#}");
        }
        if let (Some(file), false) = (named, said.contains("forced")) {
            let is_named = |path: &str| path.ends_with(file) || file.ends_with(path);
            let ends = |unit: &&Value| {
                let files = unit["files"].as_array().into_iter().flatten().chain([&unit["cause"]["path"]]);
                files.filter_map(Value::as_str).any(is_named)
            };
            assert!(causes.clone().any(ends), "{reason}\n{report:#}");
        }
    }
}

/// Restores, builds, and gives the roots' causes by kind.
fn roots(world: &World) -> BTreeSet<String> {
    world.wipe_and_clone();
    world.restore();
    let verdict = world.build();
    agrees_with_cargo(world, &verdict);
    let report = explained(world);
    let causes = report["rebuilds"].as_array().unwrap().iter();
    causes.map(|rebuild| rebuild["cause"]["because"].as_str().unwrap().to_owned()).collect()
}

fn prepared() -> World {
    let world = World::scenario();
    world.first_run();
    world
}

fn set(kinds: &[&str]) -> BTreeSet<String> {
    kinds.iter().map(|kind| (*kind).to_owned()).collect()
}

#[test]
fn nothing_changed_has_no_cause_and_a_cold_start_has_one() {
    let world = World::scenario();
    assert_eq!(roots(&world), set(&["cold-start"]));
    world.save();
    assert_eq!(roots(&world), set(&[]));
}

#[test]
fn a_source_is_the_root_and_its_dependents_follow() {
    let mut world = prepared();
    write(
        &world.origin().join("work/a/src/lib.rs"),
        &format!("{}\n// edited\n", std::fs::read_to_string(world.origin().join("work/a/src/lib.rs")).unwrap()),
    );
    world.commit("edit");
    assert_eq!(roots(&world), set(&["source-changed"]));
    let report = explained(&world);
    let rebuild = &report["rebuilds"][0];
    assert!(rebuild["cascades"].as_u64().unwrap() > 0, "{report:#}");
    assert!(rebuild["cause"]["path"].as_str().unwrap().ends_with("a/src/lib.rs"), "{report:#}");
}

#[test]
fn settings_that_open_new_folders_are_named_although_cargo_gives_no_reason() {
    let mut world = prepared();
    world.env.insert("CARGO_PROFILE_DEV_OPT_LEVEL".into(), "1".into());
    assert!(roots(&world).is_subset(&set(&["profile-changed"])) && !roots(&world).is_empty());
    world.env.remove("CARGO_PROFILE_DEV_OPT_LEVEL");
    world.env.insert("RUSTUP_TOOLCHAIN".into(), "nightly".into());
    // Another toolchain is another key: everything is cold, and says so.
    assert_eq!(roots(&world), set(&["cold-start"]));
}
