//! Which unit is which: packages of one name in two workspaces or two versions, and one package that is built and checked. What a
//! restore foresees of them, what came of it, and what the causes say.

use serde_json::Value;

use crate::support::{Project, World, write};

/// A workspace of a program `a` that is built from a library `b`, in a folder.
fn two(project: &mut Project, dir: &str) {
    let mut add = |path: &str, text: &str| {
        let path = if dir.is_empty() { path.to_owned() } else { format!("{dir}/{path}") };
        project.insert(path, text.to_owned());
    };
    add("Cargo.toml", "[workspace]\nmembers = [\"a\", \"b\"]\nresolver = \"2\"\n");
    let package = |name: &str| format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
    add("a/Cargo.toml", &(package("a") + "[dependencies]\nb = { path = \"../b\" }\n"));
    add("a/src/main.rs", "fn main() { println!(\"{}\", b::b()); }\n");
    add("b/Cargo.toml", &package("b"));
    add("b/src/lib.rs", "pub fn b() -> u32 { 1 }\n");
    project.insert(".gitignore".to_owned(), "target\n".to_owned());
}

fn world() -> World {
    World::in_memory("", |_| {
        let mut project = Project::new();
        two(&mut project, "");
        project
    })
}

/// What a job said and did.
struct Ran {
    log: String,
    saved: String,
    report: Value,
}

/// Wipes, restores, runs these commands of Cargo and saves.
fn run(world: &World, commands: &[&str]) -> Ran {
    world.wipe_and_clone();
    let log = world.restore();
    for command in commands {
        assert!(world.cargo(command).success, "{command}");
    }
    let saved = world.save();
    let report = std::fs::read_to_string(world.dir.join("state.report.json")).unwrap();
    Ran { log, saved, report: serde_json::from_str(&report).unwrap() }
}

impl Ran {
    /// Expected, and of these right and needless; and of what was compiled missed and new.
    fn figures(&self) -> [u64; 5] {
        let forecast = &self.report["forecast"];
        let figures = ["expected", "right", "needless", "missed", "new"].map(|name| forecast[name].as_u64().unwrap());
        let [expected, right, needless, missed, new] = figures;
        assert_eq!(expected, right + needless, "{forecast:#}");
        assert_eq!(right + missed + new, self.report["compiled"].as_u64().unwrap(), "{forecast:#}");
        figures
    }

    /// Everything that was compiled was foreseen, and nothing else was.
    fn came_true(&self, units: u64) {
        assert_eq!(self.figures(), [units, units, 0, 0, 0], "{}\n{}", self.log, self.saved);
    }

    fn says(&self, forecast: &str) {
        assert!(self.log.contains(forecast), "{}", self.log);
    }

    fn cause(&self, text: &str) {
        let said = self.report["rebuilds"].as_array().unwrap();
        assert!(said.iter().any(|rebuild| rebuild["text"] == text), "{said:#?}");
        assert_eq!(self.report["unexplained"], 0, "{said:#?}");
    }
}

fn replace(world: &mut World, path: &str, from: &str, to: &str) {
    let text = std::fs::read_to_string(world.origin().join(path)).unwrap();
    assert!(text.contains(from), "{text}");
    world.change(&[(path, &text.replace(from, to))]);
}

#[test]
fn packages_of_one_name_in_two_workspaces_are_two() {
    let mut world = World::in_memory("x", |_| {
        let mut project = Project::new();
        two(&mut project, "x");
        two(&mut project, "y");
        project
    });
    let lock = world.cargo_raw(&world.origin().join("y"), &["generate-lockfile"]);
    assert!(lock.status.success());
    world.commit("both");
    for name in ["x", "y"] {
        world.options.extend(["--workspace".to_owned(), world.work().join(name).display().to_string()]);
    }
    let job = |world: &World| {
        world.wipe_and_clone();
        let log = world.restore();
        for dir in ["x", "y"] {
            let built = world.cargo_raw(&world.work().join(dir), &["build", "--offline"]);
            assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        }
        let saved = world.save();
        let report = std::fs::read_to_string(world.dir.join("state.report.json")).unwrap();
        Ran { log, saved, report: serde_json::from_str(&report).unwrap() }
    };
    job(&world);
    job(&world).came_true(0);

    world.change(&[("x/b/src/lib.rs", "pub fn b() -> u32 { 2 }\n")]);
    let ran = job(&world);
    ran.came_true(2);
    ran.says("2 of 4 units will be compiled");
    ran.cause("`x/b/src/lib.rs` changed");
    assert_eq!(ran.report["rebuilds"].as_array().unwrap().len(), 1, "{:#}", ran.report["rebuilds"]);

    replace(&mut world, "x/b/Cargo.toml", "0.1.0", "0.1.1");
    replace(&mut world, "x/Cargo.lock", "name = \"b\"\nversion = \"0.1.0\"", "name = \"b\"\nversion = \"0.1.1\"");
    let ran = job(&world);
    ran.came_true(2);
    ran.cause("`Cargo.toml` bumps b 0.1.0 → 0.1.1");

    // A profile of the one is nothing to the other.
    let manifest = std::fs::read_to_string(world.origin().join("y/Cargo.toml")).unwrap();
    world.change(&[("y/Cargo.toml", &format!("{manifest}[profile.dev]\nopt-level = 1\n"))]);
    let ran = job(&world);
    ran.came_true(2);
    ran.says("`y/Cargo.toml: profile.dev.opt-level`: (unset) → 1");
}

#[test]
fn what_is_checked_and_what_is_built_are_two() {
    let mut world = world();
    run(&world, &["build"]);
    // Nobody checked it before.
    assert_eq!(run(&world, &["check"]).figures(), [0, 0, 0, 0, 2]);
    run(&world, &["build", "check"]);
    world.change(&[("b/src/lib.rs", "pub fn b() -> u32 { 3 }\n")]);
    let ran = run(&world, &["check"]);
    assert_eq!(ran.figures(), [2, 2, 0, 0, 0], "only what the last job used is told of: {}", ran.log);
    world.change(&[("b/src/lib.rs", "pub fn b() -> u32 { 4 }\n")]);
    let ran = run(&world, &["check", "build"]);
    assert_eq!(ran.figures(), [2, 2, 0, 0, 2], "{}", ran.log);
    world.change(&[("b/src/lib.rs", "pub fn b() -> u32 { 5 }\n")]);
    run(&world, &["check", "build"]).came_true(4);
}

/// A package of this name and version in the vendor folder.
fn vend(world: &World, dir: &str, version: &str) {
    let manifest =
        format!("[package]\nname = \"dep\"\nversion = \"{version}\"\nedition = \"2021\"\n[features]\nf = []\n");
    let at = world.origin().join("vendor").join(dir);
    write(&at.join("Cargo.toml"), &manifest);
    write(&at.join("src/lib.rs"), "pub fn d() {}\n");
    let sum = format!("{:0>64}", version.replace('.', ""));
    write(&at.join(".cargo-checksum.json"), &format!("{{\"files\":{{}},\"package\":\"{sum}\"}}"));
}

fn lock(world: &mut World) {
    world.commit("change");
    let lock = world.cargo_raw(&world.origin(), &["generate-lockfile", "--offline"]);
    assert!(lock.status.success(), "{}", String::from_utf8_lossy(&lock.stderr));
    world.commit("lock");
}

#[test]
fn two_versions_of_one_package_are_two() {
    let mut world = world();
    write(
        &world.origin().join(".cargo/config.toml"),
        "[source.crates-io]\nreplace-with = \"v\"\n[source.v]\ndirectory = \"vendor\"\n",
    );
    vend(&world, "one", "1.0.0");
    vend(&world, "two", "2.0.0");
    replace(&mut world, "a/Cargo.toml", "[dependencies]\n", "[dependencies]\ndep = \"1\"\n");
    let b = std::fs::read_to_string(world.origin().join("b/Cargo.toml")).unwrap();
    write(&world.origin().join("b/Cargo.toml"), &format!("{b}[dependencies]\ndep = \"2\"\n"));
    lock(&mut world);
    run(&world, &["build --offline"]);

    vend(&world, "one", "1.0.1");
    lock(&mut world);
    let ran = run(&world, &["build --offline"]);
    ran.came_true(2);
    ran.says("`Cargo.lock` bumps dep 1.0.0 → 1.0.1 (2 units)");

    vend(&world, "two", "2.1.0");
    lock(&mut world);
    let ran = run(&world, &["build --offline"]);
    ran.came_true(3);
    ran.cause("`Cargo.lock` bumps dep 2.0.0 → 2.1.0");

    // From one of them to the other, which is there already.
    replace(&mut world, "b/Cargo.toml", "dep = \"2\"", "dep = \"1\"");
    lock(&mut world);
    let ran = run(&world, &["build --offline"]);
    ran.came_true(2);
    ran.says("`b/Cargo.toml: dependencies.dep`: 2 → 1 (2 units)");
    ran.cause("it is built against another variant of `dep (lib)` (there, the version changed: 2.1.0 → 1.0.1)");

    // Another spelling is no change; a feature is one of the dependency.
    replace(&mut world, "b/Cargo.toml", "dep = \"1\"", "dep = { version = \"1\" }");
    run(&world, &["build --offline"]).came_true(0);
    replace(&mut world, "b/Cargo.toml", "{ version = \"1\" }", "{ version = \"1\", features = [\"f\"] }");
    let ran = run(&world, &["build --offline"]);
    ran.came_true(3);
    ran.says("`b/Cargo.toml: dependencies.dep`: 1 → { features = [\"f\"], version = \"1\" }");
    ran.cause("the features changed +f");
    // It goes as it came.
    replace(&mut world, "b/Cargo.toml", ", features = [\"f\"]", "");
    run(&world, &["build --offline"]).figures();
}

#[test]
fn an_old_value_is_the_one_of_the_last_job() {
    let mut world = world();
    run(&world, &["build"]);
    for (flag, change) in [("one", "(none) → --cfg one"), ("two", "--cfg one → --cfg two")] {
        world.change(&[(".cargo/config.toml", &format!("[build]\nrustflags = [\"--cfg\", \"{flag}\"]\n"))]);
        let ran = run(&world, &["build"]);
        ran.came_true(2);
        ran.says(&format!("the rustflags of Cargo's configuration changed: {change} (2 units)"));
        ran.cause(&format!("the rustflags changed: {change}"));
        assert_eq!(ran.report["rebuilds"].as_array().unwrap().len(), 1, "{:#}", ran.report["rebuilds"]);
    }
    let b = std::fs::read_to_string(world.origin().join("b/Cargo.toml")).unwrap();
    world.change(&[("b/Cargo.toml", &format!("{b}[features]\nf = []\ng = []\n"))]);
    run(&world, &["build"]).came_true(2);
    for (features, cause) in [("[\"f\"]", "+f"), ("[\"f\", \"g\"]", "+g")] {
        let a = std::fs::read_to_string(world.origin().join("a/Cargo.toml")).unwrap();
        let (before, _) = a.split_once("b = {").unwrap();
        world.change(&[("a/Cargo.toml", &format!("{before}b = {{ path = \"../b\", features = {features} }}\n"))]);
        let ran = run(&world, &["build"]);
        ran.came_true(2);
        ran.cause(&format!("the features changed {cause}"));
    }
}

#[test]
fn a_feature_that_enables_less_reaches_who_has_it() {
    let mut world = world();
    for (path, more) in [("a/Cargo.toml", "[features]\nx = [\"b/y\"]\n"), ("b/Cargo.toml", "[features]\ny = []\n")] {
        let text = std::fs::read_to_string(world.origin().join(path)).unwrap();
        world.change(&[(path, &(text + more))]);
    }
    let job = ["test --no-run", "build --features a/x"];
    run(&world, &job);
    replace(&mut world, "a/Cargo.toml", "x = [\"b/y\"]", "x = []");
    run(&world, &job).came_true(1);
}

#[test]
fn a_dependency_that_is_called_otherwise_or_lies_elsewhere_is_told_as_that() {
    let mut world = world();
    run(&world, &["build"]);
    write(&world.origin().join("a/src/main.rs"), "fn main() { println!(\"{}\", bb::b()); }\n");
    replace(&mut world, "a/Cargo.toml", "b = { path", "bb = { package = \"b\", path");
    let ran = run(&world, &["build"]);
    ran.came_true(1);
    ran.says("`a/Cargo.toml`: the dependency `b` is called `bb` now (1 unit)");
    ran.cause("the dependency `b` is called `bb` now");

    std::fs::rename(world.origin().join("b"), world.origin().join("bee")).unwrap();
    replace(&mut world, "Cargo.toml", "\"b\"", "\"bee\"");
    replace(&mut world, "a/Cargo.toml", "../b", "../bee");
    let ran = run(&world, &["build"]);
    ran.came_true(2);
    ran.says("the package `b` moved: `b` → `bee` (2 units)");
}

#[test]
fn arguments_of_a_command_are_not_told_as_settings_of_tests() {
    let world = world();
    run(&world, &["build -p b"]);
    let ran = run(&world, &["rustc -p b --lib -- --cfg zzz"]);
    let text = ran.report["rebuilds"][0]["text"].as_str().unwrap();
    assert!(text.contains("settings or arguments only") && text.contains("`cargo rustc`"), "{text}");
}

#[test]
fn a_target_that_is_gone_is_not_expected() {
    let mut world = world();
    world.change(&[("b/tests/one.rs", "#[test]\nfn one() {}\n"), ("b/tests/two.rs", "#[test]\nfn two() {}\n")]);
    run(&world, &["test --no-run"]);
    world.remove(&["b/tests/one.rs"]);
    run(&world, &["test --no-run"]).came_true(0);
}

#[test]
fn what_was_built_from_something_that_is_gone_is_expected() {
    let mut world = world();
    let script = "fn main() { println!(\"cargo:rerun-if-changed=build.rs\"); }\n";
    world.change(&[("b/build.rs", script)]);
    run(&world, &["build"]);
    world.remove(&["b/build.rs"]);
    let ran = run(&world, &["build"]);
    ran.came_true(2);
    ran.says("the build script of `b` is gone (2 units)");
    // What is taken from an earlier job was not compiled in this one.
    world.change(&[("b/build.rs", script)]);
    let ran = run(&world, &["build"]);
    let said = format!("{:#}", ran.report["rebuilds"]);
    assert!(!said.contains("`b` was compiled"), "{said}");
}

#[test]
fn a_version_of_an_own_package_is_the_one_of_its_manifest() {
    let mut world = world();
    run(&world, &["build"]);
    // The lock file is not committed anew: Cargo writes it in every job.
    replace(&mut world, "b/Cargo.toml", "0.1.0", "0.2.0");
    let ran = run(&world, &["build"]);
    ran.came_true(2);
    ran.says("`Cargo.toml` bumps b 0.1.0 → 0.2.0");
    ran.cause("`Cargo.toml` bumps b 0.1.0 → 0.2.0");
    run(&world, &["build"]).came_true(0);
}

#[test]
fn variables_of_the_configuration_are_foreseen() {
    let mut world = world();
    let script = "fn main() {\n    println!(\"cargo:rerun-if-changed=build.rs\");\n    println!(\"cargo:rerun-if-env-changed=FOO\");\n}\n";
    world.change(&[("b/build.rs", script)]);
    run(&world, &["build"]);
    world.change(&[(".cargo/config.toml", "[env]\nFOO = \"1\"\nBAR = \"1\"\n")]);
    let ran = run(&world, &["build"]);
    ran.came_true(3);
    ran.says("`Cargo's configuration: env.FOO`: (unset) → 1 (3 units)");
    world.change(&[(".cargo/config.toml", "[env]\nFOO = \"1\"\nBAR = \"2\"\n")]);
    run(&world, &["build"]).came_true(0);
}

#[test]
fn what_is_built_in_each_job_is_expected_again() {
    let mut world = world();
    let script = |line: &str| {
        format!("fn main() {{\n    println!(\"cargo:rerun-if-changed=build.rs\");\n    println!(\"{line}\");\n}}\n")
    };
    world.change(&[("b/build.rs", &script("cargo:rerun-if-changed=nothere.txt"))]);
    run(&world, &["build"]);
    for _ in 0..2 {
        let ran = run(&world, &["build"]);
        ran.came_true(3);
        ran.says("`b/nothere.txt` is watched and not there, so that its build script is run in every build (3 units)");
    }
    // Two steps that take turns.
    world.change(&[("b/build.rs", &script("cargo:rerun-if-env-changed=FOO"))]);
    let job = |world: &mut World| {
        world.wipe_and_clone();
        let log = world.restore();
        for value in [Some("1"), None] {
            world.env.remove("FOO");
            world.env.extend(value.map(|value| ("FOO".to_owned(), value.to_owned())));
            assert!(world.cargo("build").success);
        }
        let saved = world.save();
        let report = std::fs::read_to_string(world.dir.join("state.report.json")).unwrap();
        Ran { log, saved, report: serde_json::from_str(&report).unwrap() }
    };
    job(&mut world);
    // Nobody can know it yet.
    assert_eq!(job(&mut world).figures(), [0, 0, 0, 3, 0]);
    let ran = job(&mut world);
    ran.came_true(3);
    ran.says("the last job built it, too, and nothing had changed in the end (it depends on `FOO`)");
}

#[test]
fn what_was_put_back_after_it_was_built_is_built_again() {
    let world = world();
    run(&world, &["build"]);
    world.wipe_and_clone();
    world.restore();
    let file = world.work().join("b/src/lib.rs");
    let text = std::fs::read_to_string(&file).unwrap();
    write(&file, "pub fn b() -> u32 { 5 }\n");
    assert!(world.cargo("build").success);
    write(&file, &text);
    world.save();
    let ran = run(&world, &["build"]);
    ran.came_true(2);
    ran.says("`b/src/lib.rs` changed after it was built");
}

/// It is ignored by git, and some step makes it.
#[test]
fn what_is_not_there_yet_has_not_changed() {
    let mut world = world();
    world.change(&[
        (".gitignore", "target\ngen.rs\n"),
        ("b/src/lib.rs", "mod gen;\npub fn b() -> u32 { gen::G }\n"),
        ("b/build.rs", "fn main() { println!(\"cargo:rerun-if-changed=src\"); }\n"),
    ]);
    let restored = |world: &World, number: u32| {
        world.wipe_and_clone();
        let log = world.restore();
        write(&world.work().join("b/src/gen.rs"), &format!("pub const G: u32 = {number};\n"));
        log
    };
    let ended = |world: &World, log: String| {
        let saved = world.save();
        let report = std::fs::read_to_string(world.dir.join("state.report.json")).unwrap();
        Ran { log, saved, report: serde_json::from_str(&report).unwrap() }
    };
    let first = |world: &World| {
        restored(world, 1);
        assert!(world.cargo("build").success);
        world.save();
    };
    first(&world);
    let log = restored(&world, 1);
    assert!(log.contains("forecast: none of "), "{log}");

    // Built from something else, whose time is set back before anybody looks.
    world.remove(&["b/build.rs"]);
    first(&world);
    let log = restored(&world, 2);
    assert!(world.cargo("build").success);
    let old = filetime::FileTime::from_unix_time(1_500_000_000, 0);
    filetime::set_file_mtime(world.work().join("b/src/gen.rs"), old).unwrap();
    let ran = ended(&world, log);
    let said = format!("{:#}", ran.report["rebuilds"]);
    assert!(said.contains("`b/src/gen.rs` changed") && !said.contains("missing"), "{said}");
}
