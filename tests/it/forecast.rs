//! The forecast of a restore against what Cargo compiled afterwards, and `rekindle affected`.

use serde_json::Value;

use crate::support::{World, git, write};

/// Restores on a wiped machine, builds and saves; what the restore said, and what the report says of its forecast.
fn run(world: &World) -> (String, Value) {
    world.wipe_and_clone();
    let log = world.restore();
    world.build();
    world.save();
    let report = std::fs::read_to_string(world.dir.join("state.report.json")).unwrap();
    (log, serde_json::from_str(&report).unwrap())
}

fn prepared() -> World {
    let world = World::scenario();
    world.first_run();
    world
}

/// Everything that was compiled was foreseen, and nothing else was.
fn came_true(report: &Value) {
    let forecast = &report["forecast"];
    let figures = ["right", "needless", "missed"].map(|name| forecast[name].as_u64().unwrap());
    let said = &report["rebuilds"];
    assert_eq!(figures, [report["compiled"].as_u64().unwrap(), 0, 0], "{forecast:#}\n{said:#}");
    assert_eq!(forecast["expected"], forecast["right"], "{forecast:#}");
}

#[test]
fn nothing_differs_and_nothing_is_foreseen() {
    let world = prepared();
    let (log, report) = run(&world);
    assert!(log.contains("forecast: none of ") && !log.contains("will be compiled, about"), "{log}");
    came_true(&report);
    let cold = World::scenario();
    cold.wipe_and_clone();
    assert!(!cold.restore().contains("forecast"));
}

#[test]
fn changes_of_sources_are_foreseen_with_all_that_follows() {
    let changes: [(&str, &str); 6] = [
        ("work/a/src/sub.rs", "pub fn sub() -> &'static str { \"sub-2\" }\n"),
        ("work/a/data.txt", "data-2\n"),
        ("work/c/assets/p.txt", "p-2\n"),
        ("work/c/assets/new.txt", "new\n"),
        ("work/b/notes/x.txt", "x-2\n"),
        ("work/app/src/main.rs", ""),
    ];
    let mut world = prepared();
    for (path, text) in changes {
        let old = std::fs::read_to_string(world.origin().join(path)).unwrap_or_default();
        let text = if text.is_empty() { format!("{old}\n// edited\n") } else { text.to_owned() };
        world.change(&[(path, &text)]);
        let (log, report) = run(&world);
        assert!(log.contains(" will be compiled, about "), "{path}: {log}");
        let file = path.strip_prefix("work/").unwrap();
        let folder = file.rsplit_once('/').unwrap().0;
        assert!(log.contains(&format!("`{file}` changed")) || log.contains(&format!("`{folder}` changed")), "{log}");
        assert_ne!(report["compiled"], 0, "{path}");
        came_true(&report);
    }
}

#[test]
fn settings_and_definitions_are_foreseen() {
    let mut world = prepared();
    for (path, more) in [
        ("work/a/Cargo.toml", "[lints.rust]\nunused = \"warn\"\n"),
        ("work/b/Cargo.toml", "[features]\nnew = []\n"),
        ("work/b/Cargo.toml", "[lib]\ncrate-type = [\"rlib\"]\n"),
    ] {
        let text = std::fs::read_to_string(world.origin().join(path)).unwrap() + more;
        world.change(&[(path, &text)]);
        let (log, report) = run(&world);
        assert!(log.contains(&format!("{}: ", path.strip_prefix("work/").unwrap())), "{log}");
        assert_ne!(report["compiled"], 0, "{path}");
        came_true(&report);
    }
}

#[test]
fn another_source_of_the_same_version_is_foreseen() {
    let mut world = prepared();
    let dependency = world.dir.join("gitdep");
    write(&dependency.join("src/lib.rs"), "pub fn text() -> String { \"gitdep=2\".to_string() }\n");
    git(&dependency, &["commit", "--quiet", "--all", "-m", "second"], None);
    let update = world.cargo_raw(&world.origin().join("work"), &["update", "--quiet", "gitdep"]);
    assert!(update.status.success(), "{}", String::from_utf8_lossy(&update.stderr));
    world.commit("update");
    let (log, report) = run(&world);
    assert!(log.contains("`Cargo.lock` has another source for gitdep 0.1.0"), "{log}");
    assert_ne!(report["compiled"], 0);
    came_true(&report);
}

#[test]
fn a_bump_is_foreseen_by_package_and_version() {
    let mut world = prepared();
    let bumped = |path: &str| {
        let text = std::fs::read_to_string(world.origin().join(path)).unwrap();
        text.replace("name = \"vend\"\nversion = \"0.1.0\"", "name = \"vend\"\nversion = \"0.1.1\"")
    };
    let (lock, manifest) = (bumped("work/Cargo.lock"), bumped("work/vendor/vend/Cargo.toml"));
    let sums = std::fs::read_to_string(world.origin().join("work/vendor/vend/.cargo-checksum.json")).unwrap();
    let mut sums: Value = serde_json::from_str(&sums).unwrap();
    sums["files"] = serde_json::json!({});
    world.change(&[
        ("work/Cargo.lock", &lock),
        ("work/vendor/vend/Cargo.toml", &manifest),
        ("work/vendor/vend/.cargo-checksum.json", &sums.to_string()),
    ]);
    let (log, report) = run(&world);
    assert!(log.contains("`Cargo.lock` bumps vend 0.1.0 → 0.1.1"), "{log}");
    came_true(&report);
}

#[test]
fn a_variable_of_the_whole_job_is_foreseen_and_one_of_a_single_step_is_not_invented() {
    let mut world = prepared();
    world.env.insert("A_FLAG".into(), "on".into());
    let (log, report) = run(&world);
    assert!(log.contains("the variable `A_FLAG` changed: (unset) → `on`"), "{log}");
    came_true(&report);
    // The step that builds has a value of its own in every run, and the one that restores has none in any.
    world.env.remove("A_FLAG");
    world.wipe_and_clone();
    world.restore();
    let in_step = |world: &World| {
        let env =
            [world.env.clone(), [("C_FLAG".to_owned(), "step".to_owned())].into()].into_iter().flatten().collect();
        let verdict = rekindle::cargo::verdict::run(&world.workspace(), &world.command, &env).unwrap();
        assert!(verdict.success, "{}", verdict.stderr);
        verdict.compiled.len()
    };
    assert_ne!(in_step(&world), 0);
    world.save();
    world.wipe_and_clone();
    let log = world.restore();
    assert!(log.contains("forecast: none of "), "{log}");
    assert_eq!(in_step(&world), 0);
}

#[test]
fn what_an_edit_affects_is_listed_and_nothing_is_changed() {
    let world = prepared();
    world.wipe_and_clone();
    let state = world.dir.join("state.json");
    let arguments = ["affected", "--json", "--since", state.to_str().unwrap()];
    let missing = world.rekindle(&arguments);
    assert_eq!(missing.status.code(), Some(2), "{}", String::from_utf8_lossy(&missing.stderr));
    world.restore();
    let affected = |world: &World| -> Value {
        let output = world.rekindle(&arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    assert_eq!(affected(&world)["packages"], serde_json::json!([]));
    write(&world.workspace().join("a/src/sub.rs"), "pub fn sub() -> &'static str { \"sub-2\" }\n");
    let found = affected(&world);
    let packages = found["packages"].as_array().unwrap();
    let names: Vec<&str> = packages.iter().map(|package| package["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "app"], "{found:#}");
    assert_eq!(packages[0]["because"], serde_json::json!(["`a/src/sub.rs` changed"]), "{found:#}");
    let tests = packages[0]["tests"].as_array().unwrap();
    assert!(tests.iter().any(|test| test == "test integration"), "{found:#}");
    let compiled = world.build().compiled.len();
    assert_eq!(found["units"], compiled, "{found:#}");
}
