//! The Cargo home: its own lineage, shared by jobs, enough to build without a network.

use std::fs;
use std::path::Path;

use crate::support::{Project, World};

/// Two members with one small registry package each, so that a job can fetch a part of what the lock file names.
fn project() -> Project {
    let manifest = |name: &str, dependency: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\n{dependency}\n")
    };
    [
        ("Cargo.toml", "[workspace]\nresolver = \"2\"\nmembers = [\"one\", \"two\"]\n".to_owned()),
        (".gitignore", "/target\n".to_owned()),
        ("one/Cargo.toml", manifest("one", "itoa = \"1\"")),
        ("one/src/lib.rs", "pub fn text() -> String { itoa::Buffer::new().format(1).to_owned() }\n".to_owned()),
        ("two/Cargo.toml", manifest("two", "ryu = \"1\"")),
        ("two/src/lib.rs", "pub fn text() -> String { ryu::Buffer::new().format(1.5).to_owned() }\n".to_owned()),
    ]
    .into_iter()
    .map(|(path, text)| (path.to_owned(), text))
    .collect()
}

fn archives(home: &Path) -> usize {
    let mut count = 0;
    for registry in fs::read_dir(home.join("registry/cache")).into_iter().flatten() {
        count += fs::read_dir(registry.unwrap().path()).unwrap().count();
    }
    count
}

fn fresh_home(world: &World) {
    let home = world.dir.join("cargo-home");
    if home.exists() {
        fs::remove_dir_all(home).unwrap();
    }
}

/// One job on a wiped machine that builds one package; it may use the network or not.
fn job(world: &mut World, package: &str, offline: bool) -> String {
    fresh_home(world);
    if offline {
        world.env.insert("CARGO_NET_OFFLINE".into(), "true".into());
    } else {
        world.env.remove("CARGO_NET_OFFLINE");
    }
    world.options = vec!["--key".into(), package.into()];
    world.wipe_and_clone();
    let log = world.restore();
    let verdict = world.cargo(&format!("build -p {package}"));
    assert!(verdict.success, "{package}: {log}\n{}", verdict.stderr);
    format!("{log}{}", world.save())
}

#[test]
fn a_subset_then_the_rest_and_the_third_job_of_either_kind_works_offline() {
    let mut world = World::new("", |_| project());
    let first = job(&mut world, "one", false);
    assert!(first.contains("Cargo home: saved"), "{first}");
    let second = job(&mut world, "two", false);
    assert!(second.contains("Cargo home: saved"), "{second}");
    assert_eq!(archives(&world.dir.join("cargo-home")), 2, "the union is on the second machine");
    for package in ["one", "two"] {
        let third = job(&mut world, package, true);
        assert!(third.contains("Cargo home: ") && !third.contains("Cargo home: saved"), "{third}");
        assert_eq!(archives(&world.dir.join("cargo-home")), 2);
    }
}

#[test]
fn a_git_dependency_works_offline_after_its_server_is_gone() {
    let mut world = World::scenario();
    fresh_home(&world);
    world.first_run();
    fresh_home(&world);
    fs::rename(world.dir.join("gitdep"), world.dir.join("gone")).unwrap();
    world.env.insert("CARGO_NET_OFFLINE".into(), "true".into());
    fs::remove_dir_all(world.target()).unwrap();
    world.wipe_and_clone();
    let log = world.restore();
    assert!(log.contains("Cargo home: "), "{log}");
    assert!(world.build().compiled.is_empty());
    fs::remove_dir_all(world.target()).unwrap();
    assert!(world.build().compiled.contains("gitdep 0.1.0 lib gitdep"), "and from scratch, too");
}

#[test]
fn nothing_that_is_there_is_overwritten_and_credentials_are_never_stored() {
    let world = World::new("", |_| project());
    let home = world.dir.join("cargo-home");
    fresh_home(&world);
    fs::create_dir_all(&home).unwrap();
    fs::write(home.join("credentials.toml"), "[registry]\ntoken = \"s3cr3t-s3cr3t\"\n").unwrap();
    world.wipe_and_clone();
    world.restore();
    assert!(world.cargo("build").success);
    world.save();
    let index = home.join("registry/index");
    let some_file = walk(&index).into_iter().find(|path| path.ends_with("config.json")).unwrap();
    fs::write(&some_file, "{\"mine\":true}").unwrap();
    fs::remove_dir_all(home.join("registry/cache")).unwrap();
    world.wipe_and_clone();
    world.restore();
    assert_eq!(fs::read_to_string(&some_file).unwrap(), "{\"mine\":true}");
    assert_eq!(archives(&home), 2);
    for pack in walk(&world.store()) {
        let raw = std::process::Command::new("zstd").arg("-dc").arg(&pack).output().unwrap().stdout;
        assert!(!raw.windows(13).any(|window| window == b"s3cr3t-s3cr3t"));
    }
}

#[test]
fn an_archive_that_the_lock_file_does_not_name_is_not_believed() {
    let world = World::new("", |_| project());
    fresh_home(&world);
    world.wipe_and_clone();
    world.restore();
    assert!(world.cargo("build").success);
    // A machine that was tampered with stores what it has.
    let archive = walk(&world.dir.join("cargo-home/registry/cache")).remove(0);
    fs::write(&archive, "not what it says").unwrap();
    world.save();
    fresh_home(&world);
    world.wipe_and_clone();
    let log = world.restore();
    assert!(log.contains("is not the one that the lock file names"), "{log}");
    assert_eq!(archives(&world.dir.join("cargo-home")), 1);
    fs::remove_dir_all(world.target()).unwrap();
    assert!(world.cargo("build").success, "Cargo fetches it again");
}

fn walk(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(walk(&path)) } else { found.push(path) }
    }
    found
}
