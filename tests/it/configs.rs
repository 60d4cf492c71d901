//! Configuration that reaches the key: included files, files that a command line may name, and tools by whatever name.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::{World, words, write};

fn world() -> World {
    let mut world = World::new("work", |_| {
        [
            ("work/Cargo.toml", "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n"),
            ("work/src/main.rs", "fn main() { println!(\"app\"); }\n"),
            ("work/.gitignore", "/target\n"),
            ("work/.cargo/config.toml", "include = [\"more.toml\", \"../ci/shared.toml\"]\n"),
            ("work/.cargo/more.toml", "[build]\nincremental = false\n"),
            ("work/ci/shared.toml", "[profile.dev]\ndebug = 1\n"),
            ("work/.cargo/fast.toml", "[profile.dev]\nopt-level = 1\n"),
            ("work/sub/.cargo/config.toml", "[build]\njobs = 3\n"),
        ]
        .into_iter()
        .map(|(path, text)| (path.to_owned(), text.to_owned()))
        .collect()
    });
    world.command = words("build");
    world.env.remove("CARGO_INCREMENTAL");
    world
}

/// The log of a restore that finds the first run's state under another soft key.
fn rolled(world: &mut World, path: &str, text: &str) -> String {
    world.first_run();
    world.change(&[(path, text)]);
    world.wipe_and_clone();
    world.restore()
}

#[test]
fn an_included_file_decides_and_its_change_is_named() {
    let mut world = world();
    let log = rolled(&mut world, "work/ci/shared.toml", "[profile.dev]\ndebug = 2\n");
    assert!(log.contains("rolled: config `ci/shared.toml`"), "{log}");
    let key = world.rekindle(&["key"]);
    let key = String::from_utf8(key.stdout).unwrap();
    assert!(key.contains("build.incremental=false"), "{key}");
}

#[test]
fn a_file_that_a_command_line_may_name_is_part_of_the_key() {
    let log = rolled(&mut world(), "work/.cargo/fast.toml", "[profile.dev]\nopt-level = 2\n");
    assert!(log.contains("rolled: config `.cargo/fast.toml`"), "{log}");
}

#[test]
fn a_configuration_in_a_sub_folder_is_part_of_the_key() {
    let log = rolled(&mut world(), "work/sub/.cargo/config.toml", "[build]\njobs = 2\n");
    assert!(log.contains("rolled: config `sub/.cargo/config.toml`"), "{log}");
}

/// A program that says this of itself.
fn tool(world: &World, name: &str, says: &str) -> String {
    let path = world.dir.join(name);
    write(&path, &format!("#!/bin/sh\n{says}\n"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn hard(world: &World) -> String {
    let output = world.rekindle(&["key", "--json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    value["parts"]["hard"].to_string() + &value["hard"].to_string()
}

#[test]
fn a_tool_behind_a_wrapper_or_for_another_target_has_an_identity() {
    let mut world = world();
    world.wipe_and_clone();
    for (name, variable) in
        [("gcc-x", "CC"), ("g++-x", "CXX"), ("ar-x", "AR"), ("cross-x", "CC_aarch64_unknown_linux_gnu")]
    {
        let path = tool(&world, name, "echo one 1.0");
        world.env.insert(variable.into(), format!("ccache {path}"));
        let before = hard(&world);
        assert_eq!(hard(&world), before, "{variable}: asked twice");
        tool(&world, name, "echo one 1.1");
        assert_ne!(hard(&world), before, "{variable}");
    }
    let linker = tool(&world, "linker-x", "echo linker 1");
    write(
        &world.workspace().join(".cargo/more.toml"),
        &format!(
            "[target.aarch64-unknown-linux-gnu]\nlinker = {linker:?}\nrustflags = [\"-Clink-arg=-fuse-ld=odd\"]\n"
        ),
    );
    let before = hard(&world);
    tool(&world, "linker-x", "echo linker 2");
    assert_ne!(hard(&world), before);
}

#[test]
fn a_tool_that_prints_the_time_is_the_same_each_time() {
    let mut world = world();
    world.wipe_and_clone();
    let path = tool(&world, "cc-x", "echo \"cc 1.0 `date` `date +%s.%N`\"");
    world.env.insert("CC".into(), path);
    let before = hard(&world);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(hard(&world), before);
}

#[test]
fn a_library_that_flags_name_is_part_of_the_key() {
    let mut world = world();
    world.wipe_and_clone();
    let dir = world.dir.join("libs");
    write(&dir.join("libodd.a"), "one");
    let flags = ["-L".to_owned(), dir.display().to_string(), "-lstatic=odd".to_owned()].join("\u{1f}");
    world.env.insert("CARGO_ENCODED_RUSTFLAGS".into(), flags);
    let before = hard(&world);
    assert_eq!(hard(&world), before);
    write(&dir.join("libodd.a"), "two");
    assert_ne!(hard(&world), before);
}
