//! Machines that are not as one expects: no room, nothing to write to, no HOME, no git, an odd umask, other disks, clocks that
//! jump. A restore and a save end well, their words are true, and the next build says what the sources say.
//!
//! Permissions bind nobody who is root, so the program runs without root's right to pass over them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use filetime::FileTime;

use crate::support::runner::project;
use crate::support::{Project, World, as_root, scrub, words, write};

fn world() -> World {
    world_in(crate::support::memory())
}

fn world_in(dir: tempfile::TempDir) -> World {
    let mut world = World::new_at(dir, "", |_| project(&[]));
    world.command = words("build");
    world
}

/// A file system of its own over a folder, until this goes.
struct Mount<'a>(&'a Path);

impl<'a> Mount<'a> {
    fn memory(path: &'a Path, options: &str) -> Self {
        fs::create_dir_all(path).unwrap();
        as_root(&["mount", "-t", "tmpfs", "-o", options, "tmpfs", path.to_str().unwrap()]);
        Self(path)
    }

    /// What lies there, and nobody can write to it.
    fn read_only(path: &'a Path) -> Self {
        fs::create_dir_all(path).unwrap();
        let text = path.to_str().unwrap();
        as_root(&["mount", "--bind", text, text]);
        as_root(&["mount", "-o", "remount,ro,bind", text]);
        Self(path)
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        as_root(&["umount", "--lazy", self.0.to_str().unwrap()]);
    }
}

/// Runs a step behind these words, which change its surroundings. The exit code has to be 0.
fn step(world: &World, before: &[&str], phase: &str, more: &BTreeMap<String, String>) -> String {
    let mut command = Command::new(before.first().copied().unwrap_or(env!("CARGO_BIN_EXE_rekindle")));
    if !before.is_empty() {
        command.args(&before[1..]).arg(env!("CARGO_BIN_EXE_rekindle"));
    }
    command.args([phase, "--state", world.dir.join("temp/state.json").to_str().unwrap()]);
    command.current_dir(world.workspace()).stdin(Stdio::null());
    scrub(&mut command);
    command.envs(&world.env).env("REKINDLE_STORE", format!("dir:{}", world.store().display())).envs(more);
    let output = command.output().unwrap();
    let log = format!("{}{}", String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    assert_eq!(output.status.code(), Some(0), "{phase}: {log}");
    assert!(!log.contains("panicked"), "{log}");
    log
}

fn plain(world: &World, phase: &str) -> String {
    step(world, &[], phase, &BTreeMap::new())
}

fn warnings(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.starts_with("warning: ")).collect()
}

fn first_run(world: &World) {
    world.wipe_and_clone();
    plain(world, "restore");
    world.build();
    let log = plain(world, "save");
    assert!(log.contains("target: saved") && warnings(&log).is_empty(), "{log}");
}

/// The next machine, undisturbed, finds a state and is right.
fn next_is_warm(world: &World, output: &str) {
    world.wipe_and_clone();
    let log = plain(world, "restore");
    let compiled = world.build().compiled;
    assert!(compiled.is_empty(), "{compiled:?}\n{log}");
    assert_eq!(world.output(), output);
}

#[test]
fn a_store_without_room_costs_a_line_and_keeps_no_half_entry() {
    let world = world();
    world.wipe_and_clone();
    plain(&world, "restore");
    world.build();
    let store = world.store();
    {
        let _full = Mount::memory(&store, "size=64k");
        let log = plain(&world, "save");
        assert_eq!(warnings(&log).len(), 0, "{log}");
        assert!(
            log.contains("target: not saved, it takes ") && log.contains(" and the disk has room for 61.4 kB"),
            "{log}"
        );
        assert_eq!(fs::read_dir(&store).unwrap().count(), 0, "half an entry is left");
    }
    let log = plain(&world, "save");
    assert!(log.contains("target: saved"), "{log}");
    next_is_warm(&world, "one\n");
}

#[test]
fn a_temporary_folder_without_room_costs_a_warning_at_most() {
    let world = world();
    first_run(&world);
    write(&world.origin().join("lib/src/text.txt"), "two");
    let mut world = world;
    world.commit("edit");
    world.wipe_and_clone();
    let temp = world.dir.join("temp");
    plain(&world, "restore");
    world.build();
    let state = fs::read(temp.join("state.json")).unwrap();
    {
        let room = format!("size={}k", state.len() / 1024 + 24);
        let _full = Mount::memory(&temp, &room);
        fs::write(temp.join("state.json"), &state).unwrap();
        let log = plain(&world, "save");
        // A pack is written where it will lie.
        assert!(log.contains("target: saved") && warnings(&log).is_empty(), "{log}");
    }
    {
        // Not even the state of a restore has room.
        let _full = Mount::memory(&temp, "size=4k");
        world.wipe_and_clone();
        let log = plain(&world, "restore");
        assert!(!warnings(&log).is_empty(), "{log}");
        assert!(world.build().success);
        assert_eq!(world.output(), "two\n");
        plain(&world, "save");
    }
    world.wipe_and_clone();
    plain(&world, "restore");
    world.build();
    assert_eq!(world.output(), "two\n");
    assert!(plain(&world, "save").contains("target: saved"));
    next_is_warm(&world, "two\n");
}

#[test]
fn a_target_folder_that_cannot_be_written_costs_a_warning() {
    let world = world();
    first_run(&world);
    world.wipe_and_clone();
    let target = world.target();
    {
        let _fixed = Mount::read_only(&target);
        let log = plain(&world, "restore");
        assert!(!warnings(&log).is_empty() && !log.contains("restored "), "{log}");
    }
    world.build();
    assert_eq!(world.output(), "one\n");
    {
        let _fixed = Mount::read_only(&target);
        plain(&world, "save");
    }
    next_is_warm(&world, "one\n");
}

/// With one package of the registry.
fn fetching() -> Project {
    let mut project =
        project(&[("app/src/main.rs", "fn main() { println!(\"{}\", itoa::Buffer::new().format(7)); }\n")]);
    project.get_mut("app/Cargo.toml").unwrap().push_str("itoa = \"1\"\n");
    project
}

#[test]
fn a_cargo_home_that_cannot_be_written_or_is_full_costs_a_warning() {
    let mut world = World::in_memory("", |_| fetching());
    world.command = words("build");
    let home = world.dir.join("cargo-home");
    fs::remove_dir_all(&home).unwrap();
    first_run(&world);
    for row in ["read-only", "full"] {
        world.wipe_and_clone();
        fs::remove_dir_all(&home).unwrap();
        {
            let _fixed = if row == "full" { Mount::memory(&home, "size=16k") } else { Mount::read_only(&home) };
            let log = plain(&world, "restore");
            assert!(log.contains("restored ") && !warnings(&log).is_empty(), "{row}: {log}");
        }
        world.build();
        assert_eq!(world.output(), "7\n", "{row}");
        {
            let _fixed = Mount::read_only(&home);
            plain(&world, "save");
        }
    }
    next_is_warm(&world, "7\n");
}

#[test]
fn nobody_needs_a_home() {
    let world = world();
    let without = ["env", "-u", "HOME", "-u", "XDG_CACHE_HOME", "-u", "USER", "-u", "LOGNAME"];
    let none = BTreeMap::new();
    world.wipe_and_clone();
    step(&world, &without, "restore", &none);
    world.build();
    let log = step(&world, &without, "save", &none);
    assert!(log.contains("target: saved"), "{log}");
    world.wipe_and_clone();
    let log = step(&world, &without, "restore", &none);
    assert!(log.contains("restored "), "{log}");
    assert!(world.build().compiled.is_empty(), "{log}");
}

#[test]
fn a_path_without_git_is_slower_and_as_right() {
    let mut world = world();
    first_run(&world);
    let bin = world.dir.join("bin");
    fs::create_dir_all(&bin).unwrap();
    for dir in std::env::split_paths(&std::env::var_os("PATH").unwrap()) {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if !name.to_string_lossy().starts_with("git") {
                // The first of a name is the one that counts.
                let _ = std::os::unix::fs::symlink(entry.path(), bin.join(name));
            }
        }
    }
    let without = BTreeMap::from([("PATH".to_owned(), bin.to_str().unwrap().to_owned())]);
    for text in ["one", "two"] {
        world.change(&[("lib/src/text.txt", text)]);
        world.wipe_and_clone();
        step(&world, &[], "restore", &without);
        world.build();
        assert_eq!(world.output(), format!("{text}\n"));
        step(&world, &[], "save", &without);
    }
    next_is_warm(&world, "two\n");
}

/// Without the right to pass over permissions.
const MODEST: [&str; 2] = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner"];

#[test]
fn a_umask_that_leaves_the_others_nothing_changes_nothing() {
    let world = world();
    let strict = [MODEST[0], MODEST[1], "sh", "-c", "umask 0077; exec \"$0\" \"$@\""];
    let none = BTreeMap::new();
    world.wipe_and_clone();
    step(&world, &strict, "restore", &none);
    world.build();
    assert!(step(&world, &strict, "save", &none).contains("target: saved"));
    world.wipe_and_clone();
    let log = step(&world, &strict, "restore", &none);
    assert!(log.contains("restored ") && warnings(&log).is_empty(), "{log}");
    assert!(world.build().compiled.is_empty(), "{log}");
    assert_eq!(world.output(), "one\n");
}

#[test]
fn a_second_user_of_a_shared_folder_reads_the_packs_that_the_umask_lets_at() {
    let reads = |umask: &str| {
        let world = world();
        fs::create_dir(world.store()).unwrap();
        fs::set_permissions(world.store(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        world.wipe_and_clone();
        let command = format!("umask {umask}; exec \"$0\" \"$@\"");
        let none = BTreeMap::new();
        step(&world, &["sh", "-c", &command], "restore", &none);
        world.build();
        assert!(step(&world, &["sh", "-c", &command], "save", &none).contains("target: saved"));
        let packs = fs::read_dir(world.store()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut second = Command::new("setpriv");
        second.args(["--reuid=65534", "--regid=65534", "--clear-groups", "cat"]).args(packs);
        let read = second.current_dir(world.store()).stdin(Stdio::null()).output().unwrap();
        read.status.success() && !read.stdout.is_empty()
    };
    assert!(reads("022"));
    assert!(!reads("077"));
}

#[test]
fn a_umask_that_leaves_oneself_nothing_costs_the_cache_only() {
    let mut world = world();
    first_run(&world);
    world.change(&[("lib/src/text.txt", "two")]);
    let nothing = [MODEST[0], MODEST[1], "sh", "-c", "umask 0777; exec \"$0\" \"$@\""];
    let none = BTreeMap::new();
    world.wipe_and_clone();
    step(&world, &nothing, "restore", &none);
    world.build();
    assert_eq!(world.output(), "two\n");
    step(&world, &nothing, "save", &none);
    world.wipe_and_clone();
    plain(&world, "restore");
    world.build();
    assert_eq!(world.output(), "two\n");
}

#[test]
fn permissions_that_are_taken_away_cost_a_warning() {
    let mut world = world();
    first_run(&world);
    world.change(&[("lib/src/text.txt", "two")]);
    let none = BTreeMap::new();
    for folder in ["target", ""] {
        world.wipe_and_clone();
        let folder = world.work().join(folder);
        fs::create_dir_all(&folder).unwrap();
        let mode = |mode| fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        mode(0o555);
        let log = step(&world, &MODEST, "restore", &none);
        mode(0o755);
        assert_eq!(warnings(&log).len(), 1, "{log}");
        world.build();
        assert_eq!(world.output(), "two\n");
        step(&world, &MODEST, "save", &none);
    }
    world.wipe_and_clone();
    plain(&world, "restore");
    world.build();
    assert_eq!(world.output(), "two\n");
}

#[test]
fn disks_that_note_no_reads_and_lie_apart_are_as_right() {
    let place = tempfile::tempdir().unwrap();
    let _disk = Mount::memory(place.path(), "size=1g,noatime");
    let mut world = world_in(tempfile::tempdir_in(place.path()).unwrap());
    let elsewhere = tempfile::tempdir().unwrap();
    // The Cargo home and the store on another disk than the checkout.
    world.env.insert("CARGO_HOME".into(), elsewhere.path().join("home").to_str().unwrap().into());
    world.env.insert("CARGO_TARGET_DIR".into(), elsewhere.path().join("target").to_str().unwrap().into());
    world.wipe_and_clone();
    plain(&world, "restore");
    world.build();
    assert!(plain(&world, "save").contains("target: saved"));
    fs::remove_dir_all(elsewhere.path().join("target")).unwrap();
    world.wipe_and_clone();
    let log = plain(&world, "restore");
    assert!(log.contains("restored ") && warnings(&log).is_empty(), "{log}");
    assert!(world.build().compiled.is_empty(), "{log}");
    world.change(&[("lib/src/text.txt", "two")]);
    fs::remove_dir_all(elsewhere.path().join("target")).unwrap();
    world.wipe_and_clone();
    plain(&world, "restore");
    assert_eq!(world.build().compiled.len(), 2);
    let output = Command::new(elsewhere.path().join("target/debug/app")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "two\n");
    // Before the disk goes.
    drop(world);
}

#[test]
fn clocks_that_jump_make_nothing_stale() {
    let mut world = world();
    first_run(&world);
    let century = 100 * 365 * 86_400;
    let now = FileTime::now().unix_seconds();
    for (round, seconds) in [1, now + 3600, now + 2 * 86_400, now + century, -86_400].into_iter().enumerate() {
        let text = format!("round {round}");
        world.change(&[("lib/src/text.txt", &text)]);
        world.wipe_and_clone();
        let jump = |path: &str| {
            let time = FileTime::from_unix_time(seconds, 0);
            filetime::set_file_times(world.work().join(path), time, time).unwrap();
        };
        for path in ["lib/src/text.txt", "lib/src/lib.rs", "app/src/main.rs", "lib/build.rs", "lib/Cargo.toml"] {
            jump(path);
        }
        let log = plain(&world, "restore");
        world.build();
        assert_eq!(world.output(), format!("{text}\n"), "{seconds}: {log}");
        // The clock of the machine that saves was elsewhere, too.
        let target = world.target().join("debug/.fingerprint");
        for path in crate::support::runner::files_below(&target) {
            let time = FileTime::from_unix_time(seconds, 0);
            filetime::set_file_times(path, time, time).unwrap();
        }
        plain(&world, "save");
        world.change(&[("lib/src/text.txt", &format!("{text}, later"))]);
        world.wipe_and_clone();
        let log = plain(&world, "restore");
        world.build();
        assert_eq!(world.output(), format!("{text}, later\n"), "{seconds}: {log}");
    }
}

/// On macOS `/tmp` and `/var` are links into `/private`, and a home or a workspace may well be named by them.
#[test]
fn a_machine_whose_folders_are_named_by_links_is_as_warm_and_right() {
    let mut world = world();
    let (private, link) = (world.dir.join("private"), world.dir.join("var"));
    fs::create_dir_all(&private).unwrap();
    std::os::unix::fs::symlink("private", &link).unwrap();
    fs::rename(world.dir.join("cargo-home"), private.join("cargo-home"))
        .or_else(|_| fs::create_dir(private.join("cargo-home")))
        .unwrap();
    world.work_dir = link.join("work");
    for (name, folder) in [("CARGO_HOME", "cargo-home"), ("TMPDIR", "temp"), ("RUNNER_TEMP", "temp"), ("HOME", "home")]
    {
        let folder = link.join(folder);
        fs::create_dir_all(&folder).unwrap();
        world.env.insert(name.into(), folder.to_str().unwrap().into());
    }
    let named = link.join("work").to_str().unwrap().to_owned();
    // By the name that the runner gives, by the one that the system gives, and back.
    for (round, name) in
        [named.clone(), private.join("work").to_str().unwrap().to_owned(), named].into_iter().enumerate()
    {
        world.env.insert("GITHUB_WORKSPACE".into(), name.clone());
        world.env.insert("PWD".into(), name);
        let verdict = world.warm_run();
        assert_eq!(verdict.compiled.is_empty(), round > 0, "{:?}", verdict.compiled);
        world.save();
    }
    world.change(&[("app/src/main.rs", "fn main() { println!(\"another\"); }\n")]);
    world.prove(&[]);
}
