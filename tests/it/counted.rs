//! What a restore and a save cost, counted and not timed: bytes and calls that go through the kernel, programs that are called,
//! requests to the service. The bounds are a third above what was counted; whoever exceeds one has to say why.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use crate::support::runner::{Runner, ballast};
use crate::support::{World, scrub, words, write};

const MIB: u64 = 1 << 20;
/// What does not compress.
const BALLAST: u64 = 24;
const FILES: u64 = 400;

/// A program whose build script makes megabytes and many small files.
fn world() -> World {
    let script = "fn main() {\n println!(\"cargo::rerun-if-changed=build.rs\");\n let out = std::env::var(\"OUT_DIR\").unwrap();\n \
                  let mut state = 1_u64;\n let mut byte = || { state ^= state << 13; state ^= state >> 7; state ^= state << 17; state as u8 };\n \
                  let bytes: Vec<u8> = (0..BALLAST << 20).map(|_| byte()).collect();\n std::fs::write(format!(\"{out}/large\"), bytes).unwrap();\n \
                  for at in 0..FILES { std::fs::write(format!(\"{out}/small-{at}\"), at.to_string()).unwrap(); }\n}\n";
    let script = script.replace("BALLAST", &BALLAST.to_string()).replace("FILES", &FILES.to_string());
    let files = [
        (".gitignore", "/target\n".to_owned()),
        ("Cargo.toml", "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n".to_owned()),
        ("build.rs", script),
        ("src/main.rs", "fn main() { println!(\"app\"); }\n".to_owned()),
    ];
    let mut world = World::in_memory("", |_| files.into_iter().map(|(path, text)| (path.to_owned(), text)).collect());
    world.command = words("build");
    world
}

/// What a process and all that it waited for asked of the kernel.
#[derive(Debug)]
struct Asked {
    read: u64,
    written: u64,
    reads: u64,
    writes: u64,
}

/// Runs a phase, and looks at its counters before it is forgotten.
fn asked(world: &World, phase: &str, more: &BTreeMap<String, String>) -> Asked {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rekindle"));
    command.args([phase, "--state", world.dir.join("state.json").to_str().unwrap()]).current_dir(world.workspace());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    scrub(&mut command);
    command.env("REKINDLE_STORE", format!("dir:{}", world.store().display()));
    let mut child = command.envs(&world.env).envs(more).spawn().unwrap();
    let pid = Pid::from_child(&child);
    waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
    let text = fs::read_to_string(format!("/proc/{}/io", child.id())).unwrap();
    assert!(child.wait().unwrap().success(), "{phase}");
    let field = |name: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap();
        line.parse().unwrap()
    };
    Asked { read: field("rchar"), written: field("wchar"), reads: field("syscr"), writes: field("syscw") }
}

fn within(what: &str, asked: &Asked, bounds: &Asked) {
    let pairs = [
        ("bytes read", asked.read, bounds.read),
        ("bytes written", asked.written, bounds.written),
        ("reads", asked.reads, bounds.reads),
        ("writes", asked.writes, bounds.writes),
    ];
    let mut found = String::new();
    for (name, count, bound) in pairs {
        if count > bound {
            let _ = write!(found, "{what}: {count} {name}, more than {bound}; ");
        }
    }
    assert!(found.is_empty(), "{found}{asked:?}");
}

#[test]
fn bytes_and_calls_follow_the_size_of_what_is_moved() {
    let world = world();
    world.wipe_and_clone();
    let none = BTreeMap::new();
    let empty = asked(&world, "restore", &none);
    within("an empty restore", &empty, &Asked { read: 2 * MIB, written: MIB, reads: 3_000, writes: 600 });
    world.build();
    let save = asked(&world, "save", &none);
    let moved = BALLAST * MIB;
    within("a save", &save, &Asked { read: moved * 2 + 4 * MIB, written: moved + 2 * MIB, reads: 3_600, writes: 120 });
    world.wipe_and_clone();
    let restore = asked(&world, "restore", &none);
    within("a restore", &restore, &Asked { read: moved * 2, written: moved * 3 / 2, reads: 6_000, writes: 3_000 });
    world.build();
    let idle = asked(&world, "save", &none);
    within("a save without news", &idle, &Asked { read: 4 * MIB, written: MIB, reads: 6_000, writes: 600 });
}

/// Puts a script before each of these programs that counts its calls.
fn counting(world: &World, programs: &[&str]) -> BTreeMap<String, String> {
    let (dir, log) = (world.dir.join("counting"), world.dir.join("counted"));
    fs::create_dir_all(&dir).unwrap();
    for program in programs {
        let real = std::env::split_paths(&std::env::var_os("PATH").unwrap())
            .map(|dir| dir.join(program))
            .find(|path| path.exists())
            .unwrap();
        let script = format!("#!/bin/sh\necho {program} >> '{}'\nexec '{}' \"$@\"\n", log.display(), real.display());
        write(&dir.join(program), &script);
        fs::set_permissions(dir.join(program), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = std::env::var("PATH").unwrap();
    BTreeMap::from([("PATH".to_owned(), format!("{}:{path}", dir.display()))])
}

/// How often each was called since it was asked last.
fn calls(world: &World) -> BTreeMap<String, usize> {
    let log = world.dir.join("counted");
    let text = fs::read_to_string(&log).unwrap_or_default();
    let _ = fs::remove_file(log);
    let mut calls = BTreeMap::new();
    for line in text.lines() {
        *calls.entry(line.to_owned()).or_default() += 1;
    }
    calls
}

#[test]
fn few_programs_are_called_and_none_twice_for_one_answer() {
    let world = world();
    let path = counting(&world, &["git", "cargo", "rustc", "cc"]);
    let of = |phase: &str| {
        asked(&world, phase, &path);
        calls(&world)
    };
    let bounds = |calls: &BTreeMap<String, usize>, most: &[(&str, usize)]| {
        for (program, count) in calls {
            let bound = most.iter().find(|(name, _)| name == program).map_or(0, |(_, bound)| *bound);
            assert!(*count <= bound, "{program} was called {count} times: {calls:?}");
        }
    };
    world.wipe_and_clone();
    of("restore");
    world.build();
    bounds(&of("save"), &[("git", 19), ("cargo", 1), ("rustc", 1), ("cc", 1)]);
    world.wipe_and_clone();
    bounds(&of("restore"), &[("git", 19), ("cargo", 1), ("rustc", 1), ("cc", 1)]);
}

#[test]
fn a_warm_job_asks_the_service_a_few_things_only() {
    let mut runner = Runner::with(&[("lib/build.rs", &ballast(4))]);
    runner.job();
    runner.service.clear_requests();
    let warm = runner.job();
    assert!(warm.compiled.is_empty(), "{warm:#?}");
    let requests = runner.service.requests();
    assert!(requests.len() <= 8, "{requests:#?}");
}
