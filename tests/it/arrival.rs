//! A restore that cannot finish takes back what it brought, and odd places, names and times are no reason to lose anything.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use filetime::FileTime;

use crate::support::{World, restored_time, words, write};
#[cfg(target_os = "linux")]
use crate::support::{as_root, runner::files_below};

const SUB_2: &str = "pub fn sub() -> &'static str { \"sub-2\" }\n";

fn age(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap() == ".git" {
            continue;
        }
        if path.is_dir() && !path.is_symlink() {
            age(&path);
        }
        let old = FileTime::from_unix_time(1_000_000_000, 0);
        filetime::set_symlink_file_times(&path, old, old).unwrap();
    }
}

fn warnings(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.starts_with("warning:")).collect()
}

#[test]
fn a_repository_whose_index_is_garbage_is_read_file_by_file() {
    let mut world = World::new("", |_| {
        let manifest = |name: &str, rest: &str| {
            format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n{rest}")
        };
        let main = "fn main() { println!(\"{} {}\", same::text(), leaf::text()); }\n";
        let dependencies = "[dependencies]\nleaf = { path = \"leaf\" }\nsame = { path = \"same\" }\n[workspace]\n";
        [
            ("Cargo.toml", manifest("app", dependencies)),
            (".gitignore", "/target\n".to_owned()),
            ("src/main.rs", main.to_owned()),
            ("leaf/Cargo.toml", manifest("leaf", "")),
            ("leaf/src/lib.rs", "pub fn text() -> &'static str { \"leaf-1\" }\n".to_owned()),
            ("same/Cargo.toml", manifest("same", "")),
            ("same/src/lib.rs", "pub fn text() -> &'static str { \"same\" }\n".to_owned()),
        ]
        .into_iter()
        .map(|(path, text)| (path.to_owned(), text))
        .collect()
    });
    world.command = words("build");
    world.first_run();
    world.change(&[("leaf/src/lib.rs", "pub fn text() -> &'static str { \"leaf-2\" }\n")]);
    world.wipe_and_clone();
    age(&world.work());
    fs::write(world.work().join(".git/index"), "garbage ".repeat(100)).unwrap();
    let log = world.restore();
    assert_eq!(warnings(&log).len(), 1, "{log}");
    assert!(log.contains("restored"), "{log}");
    let compiled = world.build().compiled;
    assert!(!compiled.contains("same 0.1.0 lib same") && compiled.contains("leaf 0.1.0 lib leaf"), "{compiled:?}");
    assert_eq!(world.output(), "same leaf-2\n");
    let log = world.save();
    assert!(!log.contains("nothing was saved"), "{log}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_takes_everything_back_and_the_job_is_saved() {
    let mut world = World::scenario();
    world.first_run();
    world.change(&[("work/a/src/sub.rs", SUB_2)]);
    world.wipe_and_clone();
    age(&world.work());
    fs::create_dir_all(world.target()).unwrap();
    let target = world.target();
    let target = target.to_str().unwrap();
    as_root(&["mount", "-t", "tmpfs", "-o", "size=2g,nr_inodes=40,mode=777", "tmpfs", target]);
    let log = world.restore();
    let left: Vec<_> = fs::read_dir(world.target()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    as_root(&["mount", "-o", "remount,nr_inodes=0", target]);
    let build = world.build();
    let output = world.output();
    let saved = world.save();
    as_root(&["umount", target]);
    assert_eq!(warnings(&log).len(), 1, "{log}");
    assert!(log.contains("nothing was restored") && !log.contains("nothing is stored"), "{log}");
    assert!(!log.contains("the disk has room"), "it says that there is room, and has none: {log}");
    assert!(left.iter().all(|name| name == "CACHEDIR.TAG" || name == ".rekindle"), "{left:?}\n{log}");
    assert!(build.compiled.contains("vend 0.1.0 lib vend"));
    assert!(output.contains("sub-2"), "{output}");
    assert!(saved.contains("saved"), "{saved}");
    assert!(world.warm_run().compiled.is_empty());
}

/// Less room than the state needs: what comes is whole, the rest is compiled, and the disk is never filled to the brim.
#[cfg(target_os = "linux")]
#[test]
fn a_small_disk_gets_what_is_dearest_to_compile() {
    let mut world = World::scenario();
    world.change(&[("work/.gitignore", "target\n__pycache__\n")]);
    world.first_run();
    let all = world.build().fresh.len();
    let size = |dir: &Path| -> u64 {
        // Second names take up nothing.
        let files = files_below(dir).into_iter().filter(|path| !path.to_string_lossy().contains("/.rekindle/"));
        files.map(|path| fs::metadata(path).unwrap().len()).sum()
    };
    let needed = size(&world.target());
    for (part, comes) in [(8, 1), (4, 0)] {
        world.wipe_and_clone();
        let target = world.target();
        fs::create_dir_all(&target).unwrap();
        let target = target.to_str().unwrap();
        let options = format!("size={},mode=777", needed * part / 10);
        as_root(&["mount", "-t", "tmpfs", "-o", &options, "tmpfs", target]);
        let log = world.restore();
        let taken = size(&world.target());
        as_root(&["mount", "-o", "remount,size=2g", target]);
        let build = world.build();
        let output = world.output();
        as_root(&["umount", target]);
        assert_eq!(warnings(&log).len(), 1, "{log}");
        assert!(log.contains("the disk has room for "), "{log}");
        assert!(taken < needed * part / 10, "{taken} of {needed}");
        assert!(build.success && (build.fresh.len() >= comes), "{log}");
        assert!(build.fresh.len() < all && !build.compiled.is_empty(), "{log}");
        assert!(!output.is_empty());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_target_folder_on_another_disk_is_restored_there() {
    let mut world = World::scenario();
    let places = [std::env::temp_dir(), "/dev/shm".into(), "/var/tmp".into(), env!("CARGO_TARGET_TMPDIR").into()];
    let disk = |path: &Path| fs::metadata(path).map(|meta| std::os::unix::fs::MetadataExt::dev(&meta)).ok();
    let is_elsewhere = |path: &&std::path::PathBuf| disk(path).is_some_and(|other| Some(other) != disk(&world.dir));
    let elsewhere = places.iter().find(is_elsewhere).expect("one of these folders is on another disk");
    let elsewhere = tempfile::tempdir_in(elsewhere).unwrap();
    world.change(&[("work/.gitignore", "target\n__pycache__\n")]);
    world.first_run();
    world.wipe_and_clone();
    std::os::unix::fs::symlink(elsewhere.path(), world.target()).unwrap();
    let log = world.restore();
    assert_eq!(warnings(&log), Vec::<&str>::new(), "{log}");
    assert!(elsewhere.path().join("debug/.fingerprint").exists());
    assert!(world.build().compiled.is_empty());
}

#[test]
fn folders_that_are_there_already_are_filled() {
    let world = World::scenario();
    world.first_run();
    world.wipe_and_clone();
    // As a step before ours left them: no unit, but every folder that units lie in, and a file of the same name.
    for dir in ["debug/.fingerprint", "debug/build", "debug/deps"] {
        fs::create_dir_all(world.target().join(dir)).unwrap();
    }
    write(&world.target().join("CACHEDIR.TAG"), "mine");
    let log = world.restore();
    assert_eq!(warnings(&log), Vec::<&str>::new(), "{log}");
    assert!(world.build().compiled.is_empty(), "{log}");
}

#[test]
fn a_file_in_the_place_of_a_folder_costs_what_lies_below_it() {
    let world = World::scenario();
    world.first_run();
    let expected = world.output();
    world.wipe_and_clone();
    write(&world.target().join("debug/build"), "in the way");
    let log = world.restore();
    assert!(log.contains("is in the way"), "{log}");
    fs::remove_file(world.target().join("debug/build")).unwrap();
    let compiled = world.build().compiled;
    assert!(compiled.contains("b build-script run") || compiled.iter().any(|unit| unit.contains("build-script")));
    assert_eq!(world.output(), expected);
}

#[test]
fn a_build_that_gives_a_file_a_far_time_is_no_clock_skew() {
    for (year, seconds) in [(2099, 4_070_908_800_i64), (1970, 0)] {
        let mut world = World::scenario();
        let script = format!(
            "fn main() {{ println!(\"cargo:rerun-if-changed=assets\"); println!(\"cargo:rustc-env=C_ASSETS=x\");\n\
             let path = std::path::PathBuf::from(std::env::var(\"OUT_DIR\").unwrap()).join(\"far\");\n\
             std::fs::write(&path, \"far\").unwrap();\n\
             std::process::Command::new(\"touch\").args([\"-d\", \"@{seconds}\"]).arg(&path).status().unwrap(); }}\n"
        );
        world.change(&[("work/c/build.rs", &script)]);
        world.first_run();
        let log = world.prove(&[]);
        assert!(!log.contains("clock skew"), "{log}");
        world.change(&[("work/a/src/sub.rs", SUB_2)]);
        world.wipe_and_clone();
        let log = world.restore();
        assert!(!log.contains("clock skew"), "{year}: {log}");
        let now = SystemTime::now();
        let source = restored_time(&world.workspace().join("a/src/sub.rs"));
        assert!(source <= FileTime::from_system_time(now + Duration::from_secs(3)), "{year}: {source}");
        let other = restored_time(&world.workspace().join("a/src/lib.rs"));
        assert!(other.unix_seconds() >= 1_600_000_000, "no shift reaches back behind its commit: {year}: {other}");
        world.build();
        assert!(world.output().contains("sub-2"));
        // The same on the machine that was kept.
        world.restore();
        let source = restored_time(&world.workspace().join("a/src/sub.rs"));
        assert!(source <= FileTime::from_system_time(SystemTime::now()), "{year}: {source}");
        assert!(world.build().compiled.is_empty(), "{year}");
    }
}

#[test]
fn a_lookup_that_failed_is_not_called_an_empty_store() {
    let mut world = World::scenario();
    world.command = words("build --workspace");
    world.wipe_and_clone();
    // A store that cannot be listed.
    fs::write(world.store(), "no folder").unwrap();
    let log = world.restore();
    assert!(!log.contains("nothing is stored"), "{log}");
    assert!(log.contains("cold start") && log.contains("could not be asked"), "{log}");
}
