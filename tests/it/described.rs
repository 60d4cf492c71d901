//! Versions that a build script took from git's tags.

use crate::support::{World, git, words};

const SCRIPT: &str = r#"
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let output = std::process::Command::new("git").args(ARGUMENTS).output().unwrap();
    println!("cargo:rustc-env=VERSION={}", String::from_utf8(output.stdout).unwrap().trim());
}
"#;

fn world(arguments: &str) -> World {
    let mut world = World::new("work", |_| {
        [
            ("work/Cargo.toml", "[package]\nname = \"app\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[workspace]\n"),
            ("work/src/main.rs", "fn main() { println!(\"{}\", env!(\"VERSION\")); }\n"),
            ("work/build.rs", SCRIPT.replace("ARGUMENTS", arguments).as_str()),
            ("work/.gitignore", "/target\n"),
        ]
        .into_iter()
        .map(|(path, text)| (path.to_owned(), text.to_owned()))
        .collect()
    });
    world.command = words("build");
    git(&world.origin(), &["tag", "v1.0.0"], None);
    world
}

const UNITS: [&str; 2] = ["app 1.0.0 bin app", "app build-script run"];

fn compiled(world: &World) -> Vec<String> {
    world.warm_run().compiled.into_iter().collect()
}

#[test]
fn a_commit_after_the_tag_is_noticed_and_nothing_else_is() {
    let mut world = world("[\"describe\", \"--tags\"]");
    world.first_run();
    assert_eq!(world.output().trim(), "v1.0.0");
    assert!(compiled(&world).is_empty());
    world.save();
    world.change(&[("work/notes.txt", "no source\n")]);
    assert_eq!(compiled(&world), UNITS);
    assert!(world.output().starts_with("v1.0.0-1-g"), "{}", world.output());
}

#[test]
fn a_new_tag_on_the_same_commit_is_noticed() {
    let world = world("[\"describe\", \"--tags\", \"--abbrev=0\"]");
    world.first_run();
    git(&world.origin(), &["tag", "-d", "v1.0.0"], None);
    git(&world.origin(), &["tag", "v2.0.0"], None);
    assert_eq!(compiled(&world), UNITS);
    assert_eq!(world.output().trim(), "v2.0.0");
}

#[test]
fn a_tag_on_a_commit_that_had_none_is_noticed() {
    let world = world("[\"describe\", \"--tags\", \"--always\"]");
    git(&world.origin(), &["tag", "-d", "v1.0.0"], None);
    world.first_run();
    assert!(compiled(&world).is_empty());
    git(&world.origin(), &["tag", "v2.0.0"], None);
    assert_eq!(compiled(&world), UNITS);
    assert_eq!(world.output().trim(), "v2.0.0");
}

#[test]
fn a_tag_that_comes_between_the_build_and_the_save_is_not_believed() {
    let world = world("[\"describe\", \"--tags\"]");
    world.first_run();
    git(&world.work(), &["tag", "-d", "v1.0.0"], None);
    git(&world.work(), &["tag", "v2.0.0"], None);
    git(&world.origin(), &["tag", "v2.0.0"], None);
    world.save();
    git(&world.origin(), &["tag", "-d", "v1.0.0"], None);
    assert_eq!(compiled(&world), UNITS);
    assert_eq!(world.output().trim(), "v2.0.0");
}

#[test]
fn a_tag_that_is_the_packages_own_version_says_nothing() {
    let mut world = world("[\"--version\"]");
    let script = "fn main() { println!(\"cargo:rerun-if-changed=build.rs\"); println!(\"cargo:rustc-env=VERSION=v{}\", env!(\"CARGO_PKG_VERSION\")); }\n";
    world.change(&[("work/build.rs", script)]);
    git(&world.origin(), &["tag", "--force", "v1.0.0"], None);
    world.first_run();
    world.change(&[("work/notes.txt", "no source\n")]);
    assert!(compiled(&world).is_empty());
}

#[test]
fn another_branch_at_the_same_commit_is_noticed() {
    let arguments = "[\"branch\", \"--show-current\"]";
    let script = SCRIPT.replace("ARGUMENTS", arguments);
    let constant = format!(
        "{}\n",
        script.replace(
            "println!(\"cargo:rustc-env=VERSION={}\", String::from_utf8(output.stdout).unwrap().trim());",
            "println!(\"cargo:rustc-env=VERSION=x\"); let file = std::env::var(\"OUT_DIR\").unwrap() + \"/built.rs\"; \
             std::fs::write(file, format!(\"const B: &str = {:?};\", String::from_utf8(output.stdout).unwrap().trim())).unwrap();",
        )
    );
    let main = "include!(concat!(env!(\"OUT_DIR\"), \"/built.rs\"));\nfn main() { println!(\"{B}\"); }\n";
    for in_a_file in [false, true] {
        let mut world = world(arguments);
        if in_a_file {
            world.change(&[("work/build.rs", &constant), ("work/src/main.rs", main)]);
        }
        world.first_run();
        assert_eq!(world.output(), "main\n");
        assert!(compiled(&world).is_empty());
        git(&world.origin(), &["checkout", "--quiet", "-b", "release"], None);
        assert_eq!(compiled(&world), UNITS, "in a file: {in_a_file}");
        assert_eq!(world.output(), "release\n");
        world.save();
        assert!(compiled(&world).is_empty());
        // A commit alone is no branch.
        world.wipe_and_clone();
        git(&world.work(), &["checkout", "--quiet", "--detach"], None);
        let log = world.restore();
        assert!(log.contains("the branch's name, which changed: release → HEAD"), "{log}");
        world.build();
        assert_eq!(world.output(), "\n");
    }
}

/// A profile or a target can have the name of a branch.
#[test]
fn a_value_of_a_script_that_does_not_ask_git_is_no_branch() {
    let mut world = world("[\"--version\"]");
    let script =
        "fn main() { println!(\"cargo:rerun-if-changed=build.rs\"); println!(\"cargo:rustc-env=VERSION=main\"); }\n";
    world.change(&[("work/build.rs", script)]);
    world.first_run();
    git(&world.origin(), &["checkout", "--quiet", "-b", "release"], None);
    assert!(compiled(&world).is_empty());
}
