//! Outputs that carry no unit id in their names: whose they are, and what they go with.

use std::fs;

use crate::support::{Project, World};

const MANIFEST: &str = "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\
                        [features]\nloud = []\n[lib]\ncrate-type = [\"cdylib\", \"rlib\"]\n";
const LIB: &str = "pub fn text() -> &'static str { if cfg!(feature = \"loud\") { \"LOUD\" } else { \"quiet\" } }\n";

fn world() -> World {
    let mut world = World::new("work", |_| {
        let files = [
            ("Cargo.toml", MANIFEST),
            ("src/lib.rs", LIB),
            ("src/main.rs", "fn main() { println!(\"{}\", app::text()); }\n"),
            (".gitignore", "/target\n"),
        ];
        files.map(|(path, text)| (format!("work/{path}"), text.to_owned())).into_iter().collect::<Project>()
    });
    world.command = vec!["build".into()];
    world
}

/// Job after job of one command on a state that another one has left.
fn stays_warm(world: &World, others: &[&str], own: &str) {
    world.wipe_and_clone();
    world.restore();
    for command in others.iter().chain([&own]) {
        let verdict = world.cargo(command);
        assert!(verdict.success, "{}", verdict.stderr);
    }
    world.save();
    for run in 0..3 {
        world.wipe_and_clone();
        world.restore();
        let verdict = world.cargo(own);
        assert!(verdict.success && verdict.compiled.is_empty(), "run {run}: {:?}", verdict.compiled);
        // Something that is worth a save, or nothing is dropped.
        fs::write(world.workspace().join("src/main.rs"), format!("fn main() {{ println!(\"{run}\"); }}\n")).unwrap();
        assert!(world.cargo(own).success);
        world.save();
        fs::write(world.origin().join("work/src/main.rs"), format!("fn main() {{ println!(\"{run}\"); }}\n")).unwrap();
        crate::support::git(&world.origin(), &["commit", "--quiet", "--all", "-m", "run"], None);
    }
}

#[test]
fn a_library_without_an_id_outlives_the_checks_of_it() {
    let mut world = world();
    world.options = ["--keep-unused", "1"].map(str::to_owned).to_vec();
    stays_warm(&world, &["check", "clippy", "doc", "test --no-run"], "build");
}

#[test]
fn a_library_without_an_id_outlives_builds_with_other_features() {
    let mut world = world();
    world.options = ["--keep-unused", "1"].map(str::to_owned).to_vec();
    stays_warm(
        &world,
        &["build --features loud", "check --features loud", "rustc --lib --crate-type staticlib"],
        "build",
    );
}

#[test]
fn a_library_without_an_id_is_that_of_the_last_build() {
    let world = world();
    world.first_run();
    assert!(world.cargo("build --features loud").success);
    world.save();
    world.wipe_and_clone();
    world.restore();
    assert!(world.cargo("build --features loud").compiled.is_empty());
    assert_eq!(world.output(), "LOUD\n");
    world.wipe_and_clone();
    world.restore();
    assert!(!world.cargo("build").compiled.is_empty());
    assert_eq!(world.output(), "quiet\n");
}
