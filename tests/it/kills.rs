//! `restore` is killed at any point and never run again: Cargo finds what it brings cold or whole, and builds the truth.
//!
//! The points lie evenly over the time that this restore takes on this machine, which is measured first.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use filetime::FileTime;
use rekindle::digest::Digest;

use crate::support::{Project, World, full, git, scrub, words, write};

/// How often a restore is killed.
fn rounds() -> u32 {
    if full() { 200 } else { 12 }
}

fn manifest(name: &str, rest: &str) -> String {
    format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n{rest}\n")
}

/// A program, a library that changes, and a build script that leaves enough for a restore to take its time.
fn project() -> Project {
    let script = r#"
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=seed.txt");
    let seed: u64 = std::fs::read_to_string("seed.txt").unwrap().trim().parse().unwrap();
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR").unwrap());
    let mut state = seed;
    for at in 0..300 {
        let bytes: Vec<u8> = (0..65_536).map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as u8
        }).collect();
        std::fs::write(out.join(at.to_string()), bytes).unwrap();
    }
}
"#;
    let bulk = "pub fn sum() -> u64 { [&include_bytes!(concat!(env!(\"OUT_DIR\"), \"/7\"))[..], \
                include_bytes!(concat!(env!(\"OUT_DIR\"), \"/299\"))].iter().flat_map(|part| part.iter()).map(|byte| u64::from(*byte)).sum() }\n";
    [
        ("Cargo.toml", "[workspace]\nresolver = \"2\"\nmembers = [\"app\", \"leaf\", \"bulk\"]\n".to_owned()),
        (".gitignore", "/target\n".to_owned()),
        (
            "app/Cargo.toml",
            manifest("app", "[dependencies]\nleaf = { path = \"../leaf\" }\nbulk = { path = \"../bulk\" }"),
        ),
        ("app/src/main.rs", "fn main() { println!(\"{} {}\", leaf::text(), bulk::sum()); }\n".to_owned()),
        ("leaf/Cargo.toml", manifest("leaf", "")),
        ("leaf/src/lib.rs", LEAF_1.to_owned()),
        ("bulk/Cargo.toml", manifest("bulk", "")),
        ("bulk/build.rs", script.to_owned()),
        ("bulk/seed.txt", "1\n".to_owned()),
        ("bulk/src/lib.rs", bulk.to_owned()),
    ]
    .into_iter()
    .map(|(path, text)| (path.to_owned(), text))
    .collect()
}

const LEAF_1: &str = "pub fn text() -> &'static str { \"leaf-1\" }\n";
const LEAF_2: &str = "pub fn text() -> &'static str { \"leaf-2\" }\n";

fn world() -> World {
    let mut world = World::in_memory("", |_| project());
    world.command = words("build --workspace");
    world
}

/// Gives every source an old time, as `tar x` or `cp -p` do.
fn age(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().is_some_and(|name| name == ".git" || name == "target") {
            continue;
        }
        if path.is_dir() && !path.is_symlink() {
            age(&path);
        }
        let old = FileTime::from_unix_time(1_000_000_000, 0);
        filetime::set_symlink_file_times(&path, old, old).unwrap();
    }
}

/// How long a restore takes that nobody kills.
fn duration(world: &World) -> Duration {
    let began = Instant::now();
    world.restore();
    began.elapsed()
}

/// The round's place in the restore, a little beyond both ends included.
fn point(whole: Duration, round: u32) -> Duration {
    let jitter = round.wrapping_mul(2_654_435_761) % 1000;
    whole.mul_f64((f64::from(round) + f64::from(jitter) / 1000.0) / f64::from(rounds()) * 1.05)
}

/// Starts a restore and kills it; whether it was still there.
fn kill(world: &World, after: Duration) -> bool {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rekindle"));
    command.args(["restore", "--state", world.dir.join("state.json").to_str().unwrap()]);
    command.args(["--store", &format!("dir:{}", world.store().display())]).args(&world.options);
    command.current_dir(world.workspace()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    scrub(&mut command);
    let mut child = command.envs(&world.env).spawn().unwrap();
    std::thread::sleep(after);
    let was_there = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    was_there
}

#[test]
fn a_wiped_machine_with_old_sources_is_never_stale() {
    let mut world = world();
    world.first_run();
    world.change(&[("leaf/src/lib.rs", LEAF_2), ("bulk/seed.txt", "2\n")]);
    let expected = world.cold_output();
    world.wipe_and_clone();
    age(&world.work());
    let whole = duration(&world);
    let mut killed = 0;
    for round in 0..rounds() {
        world.wipe_and_clone();
        age(&world.work());
        killed += u32::from(kill(&world, point(whole, round)));
        assert!(world.build().success, "round {round}");
        assert_eq!(world.output(), expected, "round {round}, killed after {:?}", point(whole, round));
    }
    assert!(killed * 2 > rounds(), "only {killed} of {} were still running", rounds());
}

#[test]
fn what_was_unpacked_before_the_kill_is_whole() {
    let world = world();
    world.first_run();
    let expected = world.output();
    world.wipe_and_clone();
    let whole = duration(&world);
    for round in 0..rounds() {
        world.wipe_and_clone();
        kill(&world, point(whole, round));
        let compiled = world.build().compiled;
        assert!(compiled.is_empty() || compiled.len() == 5, "round {round}: neither cold nor whole: {compiled:?}");
        assert_eq!(world.output(), expected, "round {round}");
    }
}

#[test]
fn a_kept_machine_whose_last_build_was_not_saved_is_never_stale() {
    let mut world = world();
    world.first_run();
    let first = world.head();
    let expected = world.output();
    // Many files, so that giving them their times takes a while.
    let many: Vec<(String, String)> = (0..400).map(|at| (format!("leaf/notes/{at}"), "note\n".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    world.change(&[&many[..], &[("leaf/src/lib.rs", LEAF_2)]].concat());
    world.update_in_place();
    let build_other = |world: &World| {
        git(&world.work(), &["checkout", "--quiet", "--detach", "main"], None);
        git(&world.work(), &["fetch", "--quiet", "origin"], None);
        git(&world.work(), &["checkout", "--quiet", "--detach", "origin/main"], None);
        assert!(world.build().success);
        git(&world.work(), &["checkout", "--quiet", "--detach", &first], None);
    };
    build_other(&world);
    let whole = duration(&world);
    for round in 0..rounds() {
        build_other(&world);
        kill(&world, point(whole, round));
        assert!(world.build().success, "round {round}");
        assert_eq!(world.output(), expected, "round {round}, killed after {:?}", point(whole, round));
    }
}

/// Small packages of the registry.
fn fetched() -> Project {
    let dependencies = "[dependencies]\nitoa = \"1\"\nryu = \"1\"\nfnv = \"1\"\nscopeguard = \"1\"\n";
    [
        (".gitignore", "/target\n".to_owned()),
        ("Cargo.toml", manifest("app", dependencies)),
        ("src/main.rs", "fn main() { println!(\"{}\", itoa::Buffer::new().format(7)); }\n".to_owned()),
    ]
    .into_iter()
    .map(|(path, text)| (path.to_owned(), text))
    .collect()
}

fn archives(home: &Path) -> Vec<PathBuf> {
    let registries = fs::read_dir(home.join("registry/cache")).into_iter().flatten();
    registries.flat_map(|dir| fs::read_dir(dir.unwrap().path()).unwrap()).map(|file| file.unwrap().path()).collect()
}

#[test]
fn archives_of_the_cargo_home_are_whole_or_not_there() {
    let mut world = World::in_memory("", |_| fetched());
    world.command = words("build");
    let home = world.dir.join("cargo-home");
    fs::remove_dir_all(&home).unwrap();
    world.first_run();
    let sums = |home: &Path| -> BTreeMap<String, Digest> {
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        archives(home).iter().map(|path| (name(path), Digest::of(&fs::read(path).unwrap()))).collect()
    };
    let good = sums(&home);
    assert_eq!(good.len(), 4);
    fs::remove_dir_all(&home).unwrap();
    world.wipe_and_clone();
    let whole = duration(&world);
    assert_eq!(sums(&home), good, "a restore that nobody kills brings them all");
    for round in 0..rounds() {
        fs::remove_dir_all(&home).unwrap();
        world.wipe_and_clone();
        kill(&world, point(whole, round));
        for (name, sum) in sums(&home) {
            assert_eq!(good[&name], sum, "round {round}: `{name}` was cut");
        }
        let _ = fs::remove_dir_all(world.target());
        assert!(world.build().success, "round {round}");
    }
    // Whatever the last one left, another restore on a machine without a network is enough.
    fs::remove_dir_all(&home).unwrap();
    world.wipe_and_clone();
    kill(&world, point(whole, rounds() / 2));
    world.env.insert("CARGO_NET_OFFLINE".into(), "true".into());
    world.restore();
    assert!(world.build().success);
}

/// Nobody restores after it.
#[test]
fn a_save_sweeps_away_what_a_killed_restore_left() {
    let world = World::scenario();
    world.wipe_and_clone();
    world.restore();
    let left = world.target().join(".rekindle/arriving-AbCdEf");
    write(&left.join("debug/deps/half"), "half");
    world.build();
    world.save();
    assert!(!left.exists());
}

#[test]
fn what_a_killed_restore_left_is_swept_away_and_never_stored() {
    let world = world();
    world.first_run();
    world.wipe_and_clone();
    // What a kill in the middle of unpacking leaves.
    let left = world.target().join(".rekindle/arriving-left");
    write(&left.join("debug/.fingerprint/leaf-0123456789abcdef/lib-leaf"), "0123456789abcdef");
    write(&left.join("debug/deps/libleaf-0123456789abcdef.rlib"), "cut");
    write(&world.target().join(".rekindle-probe123"), "probe");
    assert!(world.build().success);
    let log = world.restore();
    assert!(!left.exists(), "{log}");
    world.save_with(&["--save", "always"]);
    let pack = world.packs().pop().unwrap();
    let raw = Command::new("zstd").arg("-dc").arg(&pack).output().unwrap().stdout;
    let tar = world.dir.join("tar");
    fs::write(&tar, raw).unwrap();
    let listed = Command::new("tar").arg("tf").arg(&tar).output().unwrap().stdout;
    assert!(!String::from_utf8_lossy(&listed).contains(".rekindle"), "{}", String::from_utf8_lossy(&listed));
}
