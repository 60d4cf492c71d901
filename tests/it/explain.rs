//! Causes against Cargo's own: what Rekindle says after a build, from nothing but the disk, is what Cargo said while it built.

use std::collections::BTreeSet;
use std::path::PathBuf;

use filetime::FileTime;
use rekindle::cargo::verdict::Verdict;
use serde_json::Value;

use crate::support::{World, nightly, write};

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
        ("the dependency `", &["dependency-rebuilt", "dependency-newer"]),
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
    agrees_with_the_log(&report, &verdict.stderr);
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

/// A unit in Cargo's fingerprint log, and why it was dirty.
struct Dirty {
    package: String,
    target: String,
    mode: String,
    reason: String,
}

/// Every unit that Cargo's fingerprint log calls dirty: `package_id=a v0.1.0 (…) target="a"}: … fingerprint dirty for a v0.1.0
/// (…)/Build/TargetInner …`, and in the next line of this target `dirty: …`.
fn dirty_units(log: &str) -> Vec<Dirty> {
    let mut open: Option<(String, String, String)> = None;
    let mut found = Vec::new();
    for line in log.lines() {
        let Some((head, text)) = line.split_once("cargo::core::compiler::fingerprint: ") else { continue };
        let text = text.trim();
        if let Some(rest) = text.strip_prefix("fingerprint dirty for ") {
            let package = rest.split(' ').next().unwrap().to_owned();
            let target = head.split_once("target=\"").unwrap().1.split('"').next().unwrap().to_owned();
            let mode = rest.split_once("/TargetInner").unwrap().0.rsplit('/').next().unwrap().to_owned();
            open = Some((package, target, mode));
        } else if let (Some(reason), Some((package, target, mode))) = (text.strip_prefix("dirty: "), open.take()) {
            found.push(Dirty { package, target, mode, reason: reason.to_owned() });
        }
    }
    found
}

/// Whether a fingerprint of this name can be this unit.
fn is_of(target: &str, dirty: &Dirty) -> bool {
    if dirty.target == "build-script-build" {
        let start = if dirty.mode.starts_with("RunCustomBuild") { "run-build-script-" } else { "build-script-" };
        return target.starts_with(start);
    }
    let is_test = dirty.mode.starts_with("Test") || dirty.mode.contains("test: true");
    let is_doc = dirty.mode.starts_with("Doc");
    target.starts_with("test-") == is_test
        && target.starts_with("doc-") == is_doc
        && !target.starts_with("run-")
        && target.ends_with(&format!("-{}", dirty.target))
}

/// The kinds of cause that may stand for a reason in Cargo's log; nothing where Cargo gives none.
fn kinds_in_log(reason: &str) -> Option<&'static [&'static str]> {
    let table: [(&str, &[&str]); 17] = [
        ("RustcChanged", &["toolchain-changed"]),
        ("FeaturesChanged", &["features-changed"]),
        ("DeclaredFeaturesChanged", &["declared-features-changed"]),
        ("TargetConfigurationChanged", &["target-definition-changed"]),
        ("PathToSourceChanged", &["path-moved"]),
        ("ProfileConfigurationChanged", &["profile-changed"]),
        ("RustflagsChanged", &["rustflags-changed"]),
        ("ConfigSettingsChanged", &["config-changed"]),
        ("CompileKindChanged", &["target-changed"]),
        ("PrecalculatedComponentsChanged", &["source-changed", "source-gone", "forced"]),
        ("EnvVar", &["env-changed"]),
        ("NumberOfDependenciesChanged", &["dependency-added", "dependency-removed"]),
        ("UnitDependency", &["dependency-rebuilt", "other-variant"]),
        ("FsStatusOutdated(StaleDep", &["dependency-rebuilt", "dependency-newer"]),
        ("FsStatusOutdated(StaleItem(ChangedEnv", &["env-changed"]),
        // Of several files, Cargo names any.
        ("FsStatusOutdated(StaleItem(ChangedFile", &["source-changed", "source-gone", "forced"]),
        ("FsStatusOutdated(StaleItem(MissingFile", &["source-gone", "source-changed", "forced", "output-missing"]),
    ];
    match reason {
        // The folder was not there.
        "FreshBuild" => None,
        _ => table
            .iter()
            .find(|(start, _)| reason.starts_with(start))
            .map_or(Some(&["forced", "output-missing"]), |(_, kinds)| Some(kinds)),
    }
}

/// The same unit by unit, against Cargo's fingerprint log.
fn agrees_with_the_log(report: &Value, log: &str) {
    let units = report["units"].as_array().unwrap();
    let dirty = dirty_units(log);
    assert_eq!(dirty.len(), log.matches("    dirty: ").count(), "the log has another form: {log}");
    for dirty in dirty {
        let Some(kinds) = kinds_in_log(&dirty.reason) else { continue };
        let named = |unit: &&Value| {
            let targets = unit["targets"].as_array().unwrap();
            unit["package"] == *dirty.package && targets.iter().any(|target| is_of(target.as_str().unwrap(), &dirty))
        };
        let said: Vec<&str> = units.iter().filter(named).filter_map(|unit| unit["cause"]["because"].as_str()).collect();
        assert!(
            said.iter().any(|kind| kinds.contains(kind)),
            "Cargo's log says of `{}`, {} ({}): {}\nRekindle says: {said:?}\n{report:#}",
            dirty.package,
            dirty.target,
            dirty.mode,
            dirty.reason
        );
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
    world.env.insert("RUSTUP_TOOLCHAIN".into(), nightly());
    // Another toolchain is another key: everything is cold, and says so.
    assert_eq!(roots(&world), set(&["cold-start"]));
}

/// Restores, builds, and gives what is said of the roots, checked against Cargo.
fn said(world: &World) -> Vec<Value> {
    world.wipe_and_clone();
    world.restore();
    said_after_restore(world)
}

fn said_after_restore(world: &World) -> Vec<Value> {
    let verdict = world.build();
    agrees_with_cargo(world, &verdict);
    explained(world)["rebuilds"].as_array().unwrap().clone()
}

/// The one cause of this kind.
fn cause<'a>(said: &'a [Value], kind: &str) -> &'a Value {
    let found: Vec<&Value> = said.iter().filter(|rebuild| rebuild["cause"]["because"] == kind).collect();
    assert_eq!(found.len(), 1, "{kind}: {said:#?}");
    found[0]
}

#[test]
fn a_variable_is_named_with_both_values_whoever_reads_it() {
    let mut world = prepared();
    world.env.insert("C_FLAG".into(), "on".into());
    world.env.insert("A_FLAG".into(), "on".into());
    let said = said(&world);
    let names: BTreeSet<&str> = said.iter().filter_map(|rebuild| rebuild["cause"]["name"].as_str()).collect();
    assert_eq!(names, BTreeSet::from(["A_FLAG", "C_FLAG"]), "{said:#?}");
    for rebuild in &said {
        assert_eq!(
            (&rebuild["cause"]["old"], &rebuild["cause"]["new"]),
            (&"(unset)".into(), &"`on`".into()),
            "{said:#?}"
        );
    }
}

#[test]
fn features_are_named_although_they_open_new_folders() {
    let mut world = prepared();
    world.command.extend(["--features".into(), "app/loud".into()]);
    let said = said(&world);
    let cause = cause(&said, "features-changed");
    assert_eq!(
        (&cause["cause"]["added"], &cause["cause"]["removed"]),
        (&serde_json::json!(["loud"]), &serde_json::json!([]))
    );
}

#[test]
fn profiles_and_lints_are_named_with_their_settings() {
    let mut world = prepared();
    let origin = world.origin();
    let read = |path: &str| std::fs::read_to_string(origin.join(path)).unwrap();
    let root = read("work/Cargo.toml") + "overflow-checks = false\n";
    world.change(&[("work/Cargo.toml", &root)]);
    let changed = said(&world);
    let text = cause(&changed, "profile-changed")["text"].as_str().unwrap();
    assert_eq!(text, "the profile or the lints changed: `profile.dev.overflow-checks`: (unset) → false");

    world.save();
    let manifest = read("work/b/Cargo.toml") + "[lints.rust]\nunused = \"deny\"\n";
    world.change(&[("work/b/Cargo.toml", &manifest)]);
    let changed = said(&world);
    let text = cause(&changed, "profile-changed")["text"].as_str().unwrap();
    assert_eq!(text, "the profile or the lints changed: `b/Cargo.toml: lints.rust.unused`: (unset) → deny");
}

#[test]
fn rustflags_and_declarations_are_named() {
    let mut world = prepared();
    let origin = world.origin();
    let read = |path: &str| std::fs::read_to_string(origin.join(path)).unwrap();
    let config = read("work/.cargo/config.toml") + "[build]\nrustflags = [\"--cfg\", \"quick\"]\n";
    world.change(&[("work/.cargo/config.toml", &config)]);
    let flags = said(&world);
    let flags = &cause(&flags, "rustflags-changed")["cause"];
    assert_eq!((&flags["old"], &flags["new"]), (&"".into(), &"--cfg quick".into()));

    world.save();
    let a = read("work/a/Cargo.toml").replace("loud = []", "loud = []\nnew = []");
    let b = read("work/b/Cargo.toml") + "[lib]\ncrate-type = [\"rlib\"]\n";
    world.change(&[("work/a/Cargo.toml", &a), ("work/b/Cargo.toml", &b)]);
    let declared = said(&world);
    assert_eq!(cause(&declared, "declared-features-changed")["cause"]["added"], serde_json::json!(["new"]));
    cause(&declared, "target-definition-changed");
}

#[test]
fn a_locked_package_is_named_with_both_versions() {
    let mut world = prepared();
    let origin = world.origin();
    let bumped = |path: &str| {
        let text = std::fs::read_to_string(origin.join(path)).unwrap();
        let (before, after) = text.split_once("name = \"vend\"\nversion = \"0.1.0\"").unwrap();
        format!("{before}name = \"vend\"\nversion = \"0.1.1\"{after}")
    };
    let (lock, manifest) = (bumped("work/Cargo.lock"), bumped("work/vendor/vend/Cargo.toml"));
    let sums = std::fs::read_to_string(origin.join("work/vendor/vend/.cargo-checksum.json")).unwrap();
    let mut sums: Value = serde_json::from_str(&sums).unwrap();
    sums["files"] = serde_json::json!({});
    let sums = sums.to_string();
    world.change(&[
        ("work/Cargo.lock", &lock),
        ("work/vendor/vend/Cargo.toml", &manifest),
        ("work/vendor/vend/.cargo-checksum.json", &sums),
    ]);
    let said = said(&world);
    let bump = cause(&said, "lock-bumped");
    assert_eq!(bump["text"], "`Cargo.lock` bumps vend 0.1.0 → 0.1.1");
    assert!(bump["cascades"].as_u64().unwrap() > 0, "{bump:#}");
}

#[test]
fn what_is_missing_and_what_was_pruned_is_said() {
    let mut world = prepared();
    world.wipe_and_clone();
    world.restore();
    let library = std::fs::read_dir(world.target().join("debug/deps")).unwrap().map(|entry| entry.unwrap().path());
    let library = library.filter(|path| path.to_str().unwrap().contains("libb-")).collect::<Vec<_>>();
    assert!(!library.is_empty());
    for path in library {
        std::fs::remove_file(path).unwrap();
    }
    let said_now = said_after_restore(&world);
    cause(&said_now, "output-missing");
    world.save();

    let tests = std::mem::replace(&mut world.command, ["build", "--offline"].map(str::to_owned).to_vec());
    for _ in 0..2 {
        world.warm_run();
        world.save_with(&["--keep-unused", "0"]);
    }
    world.command = tests;
    let said = said(&world);
    let pruned = cause(&said, "pruned");
    assert_eq!(said.len(), 1, "{said:#?}");
    let tests = pruned["units"]
        .as_array()
        .unwrap()
        .iter()
        .all(|unit| unit.as_str().unwrap().contains("test") || unit.as_str().unwrap().contains("example"));
    assert!(tests, "{pruned:#}");
}

/// A variable with a harmless name whose value holds another variable's secret.
#[test]
fn a_secret_is_never_shown_whatever_variable_holds_it() {
    let mut world = prepared();
    world.env.insert("MY_TOKEN".into(), "s3cr3t-value".into());
    world.env.insert("C_FLAG".into(), "https://s3cr3t-value@host".into());
    let said = said(&world);
    let cause = &cause(&said, "env-changed")["cause"];
    assert_eq!((&cause["name"], &cause["new"]), (&"C_FLAG".into(), &"(set, secret)".into()));
    assert!(!format!("{said:?}").contains("s3cr3t"), "{said:#?}");
    let state = std::fs::read_to_string(world.dir.join("state.json")).unwrap();
    assert!(!state.contains("s3cr3t"));
}

/// Access times of everything that Cargo would read to see whether a unit is fresh.
fn access_times(world: &World) -> Vec<(PathBuf, FileTime)> {
    let dirs = std::fs::read_dir(world.target().join("debug/.fingerprint")).unwrap().map(|entry| entry.unwrap().path());
    let files = dirs.flat_map(|dir| std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()));
    let mut times: Vec<_> = files
        .map(|path| {
            let time = FileTime::from_last_access_time(&std::fs::metadata(&path).unwrap());
            (path, time)
        })
        .collect();
    times.sort();
    times
}

#[test]
fn being_explained_is_no_use() {
    let world = prepared();
    world.wipe_and_clone();
    world.restore();
    let before = access_times(&world);
    assert!(before.iter().any(|(_, time)| *time == FileTime::zero()), "{before:?}");
    explained(&world);
    assert_eq!(access_times(&world), before);
}

/// An editor and a terminal that take turns in one target folder.
#[test]
fn two_tools_that_fight_over_one_folder_are_named() {
    let world = World::scenario();
    world.wipe_and_clone();
    let editor = |flag: &str| {
        let mut more = std::collections::BTreeMap::new();
        more.insert("A_FLAG".to_owned(), flag.to_owned());
        let arguments = ["explain", "--json", "--", "cargo", "check", "--quiet", "--offline", "-p", "a"];
        let output = world.rekindle_step(&arguments, &more);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        report["rebuilds"].as_array().unwrap().clone()
    };
    editor("ide");
    for (flag, other) in [("terminal", "ide"), ("ide", "terminal")] {
        let said = editor(flag);
        let text = cause(&said, "env-changed")["text"].as_str().unwrap();
        assert_eq!(text, format!("the variable `A_FLAG` changed: `{other}` → `{flag}`"));
    }
    assert_eq!(editor("ide"), Vec::<Value>::new());
}
