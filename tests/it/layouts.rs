//! Every place where Cargo can put what it builds.

use std::fs;
use std::path::Path;

use crate::support::{World, nightly, words, write};

fn is_warm_and_follows_an_edit(mut world: World, edited: &str) {
    world.first_run();
    let warm = world.warm_run();
    assert!(warm.compiled.is_empty(), "{:?}", warm.compiled);
    world.change(&[("work/a/src/sub.rs", "pub fn sub() -> &'static str { \"sub-2\" }\n")]);
    let kept = world.kept_run();
    let warm = world.warm_run();
    assert_eq!(warm.compiled, kept.compiled);
    assert!(warm.compiled.contains(edited), "{:?}", warm.compiled);
    world.save();
    assert!(world.warm_run().compiled.is_empty());
}

#[test]
fn the_per_unit_layout() {
    let mut world = World::scenario();
    world.env.insert("RUSTUP_TOOLCHAIN".into(), nightly());
    world.command = words("build --workspace --all-targets -Zbuild-dir-new-layout");
    world.first_run();
    let units = fs::read_dir(world.target().join("debug/build/a")).unwrap().count();
    assert!(units > 0 && !world.target().join("debug/.fingerprint").exists(), "this is the new layout");
    assert!(world.warm_run().compiled.is_empty());
    world.change(&[
        ("work/a/src/sub.rs", "pub fn sub() -> &'static str { \"sub-2\" }\n"),
        ("work/c/assets/r.txt", "r\n"),
    ]);
    world.prove(&[]);
    world.warm_run();
    world.save();
    world.remove(&["work/b/notes/x.txt"]);
    world.wipe_and_clone();
    world.restore();
    assert!(world.build().compiled.contains("b build-script run"));
}

#[test]
fn a_build_folder_of_its_own() {
    let mut world = World::scenario();
    world.env.insert("CARGO_BUILD_BUILD_DIR".into(), "intermediate".into());
    world.change(&[("work/.gitignore", "/target\n/intermediate\n")]);
    is_warm_and_follows_an_edit(world, "a 0.1.0 lib a");
}

#[test]
fn a_build_folder_inside_the_target_folder() {
    let mut world = World::scenario();
    world.env.insert("CARGO_BUILD_BUILD_DIR".into(), "target/build-dir".into());
    is_warm_and_follows_an_edit(world, "a 0.1.0 lib a");
}

#[test]
fn a_target_triple_and_two_profiles() {
    let mut world = World::scenario();
    let rustc = std::process::Command::new("rustc").arg("-vV").output().unwrap();
    let text = String::from_utf8(rustc.stdout).unwrap();
    let host = text.lines().find_map(|line| line.strip_prefix("host: ")).unwrap().to_owned();
    world.command = words(&format!("build --workspace --target {host}"));
    world.first_run();
    assert!(world.target().join(&host).join("debug/.fingerprint").exists());
    assert!(world.warm_run().compiled.is_empty());
    world.command = words("build --workspace --release");
    assert!(!world.warm_run().compiled.is_empty());
    world.save();
    assert!(world.warm_run().compiled.is_empty());
    world.command = words(&format!("build --workspace --target {host}"));
    assert!(world.warm_run().compiled.is_empty(), "the first profile is still there");
}

#[test]
fn a_target_folder_elsewhere() {
    let mut world = World::scenario();
    let elsewhere = world.dir.join("elsewhere");
    world.env.insert("CARGO_TARGET_DIR".into(), elsewhere.to_str().unwrap().into());
    world.first_run();
    assert!(!world.target().exists());
    fs::remove_dir_all(&elsewhere).unwrap();
    assert!(world.warm_run().compiled.is_empty());
    assert!(elsewhere.join("debug/.fingerprint").exists());
}

#[test]
fn several_workspaces_in_one_job() {
    let mut world = World::scenario();
    let second = |root: &Path| {
        write(
            &root.join("second/Cargo.toml"),
            "[package]\nname = \"second\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n",
        );
        write(&root.join("second/src/main.rs"), "fn main() { println!(\"second\"); }\n");
        write(&root.join("second/.gitignore"), "/out\nCargo.lock\n");
    };
    second(&world.origin());
    world.commit("second workspace");
    world.options = vec!["--workspace".into(), ".".into(), "--workspace".into(), "../second -> out".into()];
    let build_both = |world: &World| {
        let mut verdict = world.build();
        verdict.merge(world.cargo("build --manifest-path ../second/Cargo.toml --target-dir ../second/out"));
        assert!(verdict.success);
        verdict
    };
    world.wipe_and_clone();
    world.restore();
    build_both(&world);
    world.save();
    world.wipe_and_clone();
    world.restore();
    assert!(build_both(&world).compiled.is_empty());
    world.change(&[("second/src/main.rs", "fn main() { println!(\"changed\"); }\n")]);
    world.wipe_and_clone();
    world.restore();
    assert_eq!(build_both(&world).compiled.into_iter().collect::<Vec<_>>(), ["second 0.1.0 bin second"]);
}

#[test]
fn checks_tests_and_clippy_side_by_side() {
    let world = World::scenario();
    let job = |world: &World| {
        let mut all = world.build();
        for command in ["check --workspace --all-targets", "test --workspace --no-run", "clippy --workspace"] {
            let verdict = world.cargo(command);
            assert!(verdict.success, "{}", verdict.stderr);
            all.merge(verdict);
        }
        all
    };
    world.wipe_and_clone();
    world.restore();
    job(&world);
    world.save();
    world.wipe_and_clone();
    world.restore();
    let compiled = job(&world).compiled;
    assert!(compiled.is_empty(), "{compiled:?}");
}
