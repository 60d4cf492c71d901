//! What stamping must not believe: kept disks, skewed clocks, job litter, outside files, libraries, commits.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use filetime::FileTime;

#[cfg(target_os = "linux")]
use crate::support::as_root;
use crate::support::{A_UNITS, World, file_url, git, restored_time, write};

fn set(units: &[&str]) -> BTreeSet<String> {
    units.iter().map(|unit| (*unit).to_owned()).collect()
}

const SUB_2: &str = "pub fn sub() -> &'static str { \"sub-2\" }\n";

#[test]
fn a_kept_disk_fetches_nothing_and_compiles_nothing() {
    let world = World::scenario();
    world.first_run();
    fs::remove_dir_all(world.store()).unwrap();
    let log = world.restore();
    assert!(log.contains("the disk was kept"), "{log}");
    assert!(world.build().compiled.is_empty());
}

#[test]
fn a_kept_disk_whose_last_build_was_killed_before_its_save() {
    let mut world = World::scenario();
    world.first_run();
    let first = world.head();
    world.change(&[("work/a/src/sub.rs", SUB_2)]);
    world.update_in_place();
    world.restore();
    world.build();
    // Killed here: no save. The machine then gets the first state again, on a fresh checkout beside the kept target.
    git(&world.work(), &["checkout", "--quiet", "--detach", &first], None);
    let log = world.restore();
    assert!(log.contains("is not the one that was saved"), "{log}");
    assert_eq!(world.build().compiled, set(&A_UNITS));
    assert!(world.output().contains("sub-1"), "{}", world.output());
}

#[test]
fn a_kept_disk_without_a_manifest_gets_no_old_times() {
    let mut world = World::scenario();
    world.first_run();
    let first = world.head();
    world.change(&[("work/a/src/sub.rs", SUB_2)]);
    world.update_in_place();
    world.build();
    fs::remove_dir_all(world.target().join(".rekindle")).unwrap();
    git(&world.work(), &["checkout", "--quiet", "--detach", &first], None);
    // As another tool would: everything gets the time of its commit, long before the build.
    assert!(
        Command::new(env!("CARGO_BIN_EXE_rekindle")).arg("mtime").current_dir(world.work()).status().unwrap().success()
    );
    let log = world.restore();
    assert!(log.contains("without a record"), "{log}");
    let compiled = world.build().compiled;
    assert!(compiled.contains("a 0.1.0 lib a") && !compiled.contains("vend 0.1.0 lib gitdep"), "{compiled:?}");
    assert!(world.output().contains("sub-1"), "{}", world.output());
}

#[test]
fn a_kept_disk_with_the_manifest_of_another_disk() {
    let mut world = World::scenario();
    world.first_run();
    let foreign = fs::read(world.target().join(".rekindle/manifest.json")).unwrap();
    let first = world.head();
    world.change(&[("work/a/src/sub.rs", SUB_2)]);
    world.wipe_and_clone();
    world.build();
    fs::create_dir_all(world.target().join(".rekindle")).unwrap();
    fs::write(world.target().join(".rekindle/manifest.json"), foreign).unwrap();
    git(&world.work(), &["checkout", "--quiet", "--detach", &first], None);
    world.restore();
    world.build();
    assert!(world.output().contains("sub-1"), "{}", world.output());
}

/// Moves every time below `dir` a day on, once, as if the machine's clock had been ahead.
fn skew(dir: &Path) {
    let limit = FileTime::from_system_time(SystemTime::now() + Duration::from_secs(3600));
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap() == ".git" {
            continue;
        }
        if path.is_dir() && !path.is_symlink() {
            skew(&path);
        }
        let time = restored_time(&path);
        // A second name of a file that was moved already is left alone.
        if time < limit {
            let moved = FileTime::from_unix_time(time.unix_seconds() + 86_400, time.nanoseconds());
            filetime::set_symlink_file_times(&path, moved, moved).unwrap();
        }
    }
}

/// A machine whose clock was a day ahead when it checked out, built and saved.
fn skewed() -> World {
    let mut world = World::scenario();
    world.command = vec!["build".into(), "--workspace".into()];
    world.wipe_and_clone();
    world.restore();
    skew(&world.work());
    world.build();
    skew(&world.target());
    world.save();
    world
}

#[test]
fn a_state_from_a_clock_that_was_ahead_is_shifted_back() {
    let world = skewed();
    world.wipe_and_clone();
    let log = world.restore();
    assert!(log.contains("clock skew"), "{log}");
    let compiled = world.build().compiled;
    let old_style = ["b build-script run", "b 0.1.0 lib b", "app 0.1.0 bin app"];
    assert!(compiled.is_subset(&set(&old_style)), "{compiled:?}\n{log}");
    let now = FileTime::from_system_time(SystemTime::now());
    assert!(restored_time(&world.workspace().join("a/src/sub.rs")) <= now);
}

#[test]
fn a_change_after_a_state_from_the_future_is_seen() {
    let mut world = skewed();
    world.change(&[("work/a/src/sub.rs", SUB_2)]);
    world.wipe_and_clone();
    world.restore();
    assert!(world.build().compiled.contains("a 0.1.0 lib a"));
    assert!(world.output().contains("sub-2"));
    world.save();
    world.wipe_and_clone();
    world.restore();
    assert_eq!(world.build().compiled, BTreeSet::new(), "nothing changed since");
}

#[test]
fn a_clock_that_is_behind_changes_nothing() {
    let world = World::scenario();
    world.first_run();
    // Everything recorded lies in the past of this machine; the past has no end.
    world.wipe_and_clone();
    world.restore();
    assert!(world.build().compiled.is_empty());
}

#[test]
fn litter_of_a_job_rebuilds_nothing_in_the_third_run() {
    let world = World::scenario();
    for run in 1..=3 {
        world.wipe_and_clone();
        world.restore();
        let compiled = world.build().compiled;
        // As on a machine that is never wiped: the second run finds the watched folder newer than what was built from it.
        let of_folder = [
            "c build-script run",
            "c 0.1.0 lib c",
            "c 0.1.0 lib c test",
            "app 0.1.0 bin app",
            "app 0.1.0 bin app test",
        ];
        let allowed = if run == 2 { set(&of_folder) } else { BTreeSet::new() };
        assert!(run == 1 || compiled.is_subset(&allowed), "run {run}: {compiled:?}");
        // What tests leave: an ignored folder in a watched folder, a log in a package whose build script names no inputs.
        write(&world.workspace().join("c/assets/__pycache__/x.pyc"), "litter");
        write(&world.workspace().join("b/test.log"), &format!("run {run}"));
        write(&world.workspace().join("c/assets/report.tmp"), "litter");
        world.save_with(&["--save", "always"]);
    }
}

#[test]
fn a_file_that_a_build_saw_and_that_was_taken_away_again_is_not_forgotten() {
    let world = World::scenario();
    world.wipe_and_clone();
    world.restore();
    let passing = world.workspace().join("c/assets/passing.txt");
    write(&passing, "seen by the build");
    world.build();
    fs::remove_file(&passing).unwrap();
    world.save();
    world.wipe_and_clone();
    world.restore();
    world.build();
    assert!(!world.output().contains("passing"), "{}", world.output());
}

#[test]
fn an_outside_file_is_remembered_by_a_unit_whose_fingerprint_holds_a_secret() {
    let (_dir, file) = outside_file();
    let mut world = watching(&file);
    let script = fs::read_to_string(world.origin().join("build.rs")).unwrap();
    let tracked =
        script.replacen("fn main() {", "fn main() { println!(\"cargo:rerun-if-env-changed=DEPLOY_TOKEN\");", 1);
    world.change(&[("build.rs", &tracked)]);
    world.env.insert("DEPLOY_TOKEN".into(), "hunter2-hunter2".into());
    world.first_run();
    assert!(world.warm_run().compiled.is_empty());
    world.save_with(&["--save", "always"]);
    fs::write(&file, "two").unwrap();
    filetime::set_file_mtime(&file, FileTime::from_unix_time(1_500_000_000, 0)).unwrap();
    world.warm_run();
    assert_eq!(world.output(), "two\n");
}

#[test]
fn an_untracked_file_that_a_build_has_seen_is_missed_when_it_is_gone() {
    let world = World::scenario();
    world.wipe_and_clone();
    write(&world.workspace().join("c/assets/seen.txt"), "seen");
    world.restore();
    world.build();
    assert!(world.output().contains("seen.txt"));
    world.save();
    world.wipe_and_clone();
    world.restore();
    let compiled = world.build().compiled;
    assert!(compiled.contains("c build-script run"), "{compiled:?}");
    assert!(!world.output().contains("seen.txt"));
}

#[test]
fn a_change_that_was_given_an_old_time_is_not_believed_twice() {
    let world = World::scenario();
    world.first_run();
    world.wipe_and_clone();
    world.restore();
    let path = world.workspace().join("a/src/sub.rs");
    let old = restored_time(&path);
    fs::write(&path, SUB_2).unwrap();
    filetime::set_file_mtime(&path, old).unwrap();
    // Cargo is stale here, as on any machine.
    assert!(world.build().compiled.is_empty());
    world.save_with(&["--save", "always"]);
    world.wipe_and_clone();
    fs::write(&path, SUB_2).unwrap();
    world.restore();
    assert!(world.build().compiled.contains("a 0.1.0 lib a"));
    assert!(world.output().contains("sub-2"));
}

/// A workspace whose build script watches a file outside of everything.
fn watching(outside: &Path) -> World {
    let text = format!(
        "fn main() {{ let p = \"{}\"; println!(\"cargo:rerun-if-changed={{p}}\"); \
         println!(\"cargo:rustc-env=SEEN={{}}\", std::fs::read_to_string(p).unwrap().trim()); }}\n",
        outside.display()
    );
    World::new("", move |_| {
        [
            ("Cargo.toml", "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
            (".gitignore", "/target\n"),
            ("build.rs", &text),
            ("src/main.rs", "fn main() { println!(\"{}\", env!(\"SEEN\")); }\n"),
        ]
        .into_iter()
        .map(|(path, text)| (path.to_owned(), text.to_owned()))
        .collect()
    })
}

fn outside_file() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = fs::canonicalize(dir.path()).unwrap().join("header.h");
    fs::write(&file, "one").unwrap();
    filetime::set_file_mtime(&file, FileTime::from_unix_time(1_600_000_000, 5)).unwrap();
    (dir, file)
}

#[test]
fn an_outside_file_that_was_written_again_gets_its_time_back() {
    let (_dir, file) = outside_file();
    let world = watching(&file);
    world.first_run();
    fs::write(&file, "one").unwrap();
    assert!(world.warm_run().compiled.is_empty());
    assert_eq!(restored_time(&file), FileTime::from_unix_time(1_600_000_000, 5));
}

#[test]
fn an_outside_file_that_changed_rebuilds_its_readers_even_with_an_old_time() {
    let (_dir, file) = outside_file();
    let world = watching(&file);
    world.first_run();
    fs::write(&file, "two").unwrap();
    filetime::set_file_mtime(&file, FileTime::from_unix_time(1_500_000_000, 0)).unwrap();
    world.wipe_and_clone();
    let log = world.restore();
    assert!(log.contains("outside the workspace changed"), "{log}");
    world.build();
    assert_eq!(world.output(), "two\n");
    assert_eq!(
        restored_time(&file),
        FileTime::from_unix_time(1_500_000_000, 0),
        "a changed outside file is not ours to stamp"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn an_outside_file_of_another_user_is_reported() {
    let (_dir, file) = outside_file();
    let world = watching(&file);
    world.first_run();
    fs::write(&file, "one").unwrap();
    let newer = FileTime::from_system_time(SystemTime::now());
    filetime::set_file_mtime(&file, newer).unwrap();
    as_root(&["chown", "12345", file.to_str().unwrap()]);
    world.wipe_and_clone();
    let log = world.restore();
    assert!(log.contains("newer than recorded, and another user's"), "{log}");
    assert!(restored_time(&file).unix_seconds() > 1_600_000_000);
    let compiled = world.build().compiled;
    assert!(compiled.contains("app build-script run"), "{compiled:?}");
}

#[cfg(unix)]
#[test]
fn an_outside_file_of_the_system_that_nobody_touched_rebuilds_nothing() {
    // What it prints names no folder into which others write meanwhile.
    let world = watching(Path::new("/etc/group"));
    world.first_run();
    assert!(world.warm_run().compiled.is_empty());
}

/// A workspace whose build script links a library outside of everything and names no inputs of its own.
fn linking(dir: &Path) -> World {
    let text = format!(
        "fn main() {{ println!(\"cargo:rerun-if-changed=build.rs\"); println!(\"cargo:rustc-link-search=native={0}\"); \
         println!(\"cargo:rustc-link-lib=static=odd\"); \
         println!(\"cargo:rustc-env=SEEN={{}}\", std::fs::read(\"{0}/libodd.a\").unwrap().len()); }}\n",
        dir.display()
    );
    World::new("", move |_| {
        [
            ("Cargo.toml", "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
            (".gitignore", "/target\n"),
            ("build.rs", &text),
            ("src/main.rs", "fn main() { println!(\"{}\", env!(\"SEEN\")); }\n"),
        ]
        .into_iter()
        .map(|(path, text)| (path.to_owned(), text.to_owned()))
        .collect()
    })
}

fn make_library(dir: &Path, functions: usize) {
    let lines: Vec<String> = (0..functions).map(|at| format!("int odd_{at}(void) {{ return {at}; }}\n")).collect();
    fs::write(dir.join("odd.c"), lines.concat()).unwrap();
    let run = |program: &str, arguments: &[&str]| {
        assert!(Command::new(program).args(arguments).current_dir(dir).status().unwrap().success());
    };
    let _ = fs::remove_file(dir.join("libodd.a"));
    run("cc", &["-c", "odd.c", "-o", "odd.o"]);
    run("ar", &["crsD", "libodd.a", "odd.o"]);
}

#[test]
fn a_replaced_library_runs_the_build_script_that_linked_it_again() {
    let temp = tempfile::tempdir().unwrap();
    let dir = fs::canonicalize(temp.path()).unwrap();
    make_library(&dir, 1);
    let world = linking(&dir);
    world.first_run();
    assert!(world.warm_run().compiled.is_empty());
    make_library(&dir, 40);
    world.wipe_and_clone();
    let log = world.restore();
    assert!(log.contains("the library") && log.contains("libodd.a` changed"), "{log}");
    assert!(world.build().compiled.contains("app build-script run"));
    assert_eq!(world.output(), world.cold_output());
}

/// Whatever writes into `OUT_DIR` later, such as a test, does not make the script's run last longer.
#[test]
fn a_library_that_is_replaced_after_the_script_has_run_is_not_what_was_linked() {
    for touches in [false, true] {
        let temp = tempfile::tempdir().unwrap();
        let dir = fs::canonicalize(temp.path()).unwrap();
        make_library(&dir, 1);
        let world = linking(&dir);
        world.wipe_and_clone();
        world.restore();
        world.build();
        make_library(&dir, 40);
        if touches {
            let builds = fs::read_dir(world.target().join("debug/build")).unwrap().map(|entry| entry.unwrap().path());
            builds.filter(|build| build.join("out").exists()).for_each(|build| write(&build.join("out/late"), "late"));
        }
        world.save();
        world.wipe_and_clone();
        let log = world.restore();
        assert!(log.contains("libodd.a` changed: replaced after it was used"), "{touches}: {log}");
        world.build();
        assert_eq!(world.output(), world.cold_output());
    }
}

#[test]
fn an_upgraded_distribution_package_runs_the_build_script_again() {
    let temp = tempfile::tempdir().unwrap();
    let dir = fs::canonicalize(temp.path()).unwrap();
    make_library(&dir, 1);
    let mut world = linking(&dir);
    let database = dir.join("dpkg");
    let install = |version: &str| {
        write(&database.join("info/libodd-dev.list"), &format!("/.\n{}\n", dir.join("libodd.a").display()));
        let status = format!(
            "Package: libodd-dev\nStatus: install ok installed\nMaintainer: x <x@localhost>\nArchitecture: all\nVersion: {version}\nDescription: odd\n\n"
        );
        write(&database.join("status"), &status);
        fs::create_dir_all(database.join("updates")).unwrap();
        write(&database.join("info/format"), "1\n");
    };
    install("1.0-1");
    world.env.insert("DPKG_ADMINDIR".into(), database.to_str().unwrap().into());
    world.first_run();
    assert!(world.warm_run().compiled.is_empty());
    // The headers changed and the archive did not: only the package's version says so.
    install("1.0-2");
    world.wipe_and_clone();
    let log = world.restore();
    assert!(log.contains("libodd-dev 1.0-1 → libodd-dev 1.0-2"), "{log}");
    assert!(world.build().compiled.contains("app build-script run"));
}

/// A workspace whose build script writes the commit down and watches nothing that changes.
fn stamping_world() -> World {
    World::new("", |_| {
        [
            ("Cargo.toml", "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
            (".gitignore", "/target\n"),
            (
                "build.rs",
                "fn main() { println!(\"cargo:rerun-if-changed=build.rs\"); let o = std::process::Command::new(\"git\")\
                 .args([\"rev-parse\", \"--short=9\", \"HEAD\"]).output().unwrap(); \
                 println!(\"cargo:rustc-env=COMMIT={}\", String::from_utf8(o.stdout).unwrap().trim()); }\n",
            ),
            ("src/main.rs", "fn main() { println!(\"{}\", env!(\"COMMIT\")); }\n"),
        ]
        .into_iter()
        .map(|(path, text)| (path.to_owned(), text.to_owned()))
        .collect()
    })
}

#[test]
fn a_build_script_that_wrote_the_commit_down_runs_again_for_another_commit() {
    let mut world = stamping_world();
    world.first_run();
    assert!(world.warm_run().compiled.is_empty());
    world.change(&[("README.md", "nothing that is built\n")]);
    world.wipe_and_clone();
    let log = world.restore();
    assert!(log.contains("it embeds the commit"), "{log}");
    world.build();
    assert!(world.head().starts_with(world.output().trim()));
    world.save();
    assert!(world.warm_run().compiled.is_empty());
}

#[test]
fn a_submodule_and_an_ignored_input_are_identified_by_their_bytes() {
    let mut world = World::scenario();
    let module = world.dir.join("module");
    write(&module.join("part.txt"), "part-1\n");
    git(&module, &["init", "--quiet", "--initial-branch=main"], None);
    git(&module, &["add", "--all"], None);
    git(&module, &["commit", "--quiet", "-m", "first"], Some(1_650_000_000));
    git(&world.origin(), &["submodule", "--quiet", "add", module.to_str().unwrap(), "work/a/module"], None);
    let lib = fs::read_to_string(world.origin().join("work/a/src/lib.rs")).unwrap();
    write(
        &world.origin().join("work/a/src/lib.rs"),
        &format!("{lib}\npub const PART: &str = include_str!(\"../module/part.txt\");\n"),
    );
    world.commit("submodule");
    let clone = |world: &World| {
        world.wipe_and_clone();
        git(&world.work(), &["submodule", "--quiet", "update", "--init"], None);
    };
    clone(&world);
    world.restore();
    world.build();
    world.save();
    clone(&world);
    world.restore();
    assert_eq!(world.build().compiled, BTreeSet::new());
    write(&module.join("part.txt"), "part-2\n");
    git(&module, &["commit", "--quiet", "--all", "-m", "second"], Some(1_500_000_000));
    git(&world.origin().join("work/a/module"), &["pull", "--quiet"], None);
    world.commit("bump");
    clone(&world);
    world.restore();
    assert_eq!(world.build().compiled, set(&A_UNITS));
}

/// A text that is large enough for git to be asked about it.
fn large(head: &str) -> String {
    format!("{head}\n{}", "line\n".repeat(20_000))
}

#[test]
fn a_large_file_is_the_same_however_it_is_looked_at() {
    let mut world = World::scenario();
    world.change(&[("work/a/data.txt", &large("data-1"))]);
    world.first_run();
    assert!(world.warm_run().compiled.is_empty(), "git vouched for it both times");
    world.wipe_and_clone();
    // Git's index no longer knows its times: the bytes have to say that it is the same.
    fs::write(world.workspace().join("a/data.txt"), large("data-1")).unwrap();
    world.restore();
    assert!(world.build().compiled.is_empty());
    world.wipe_and_clone();
    fs::write(world.workspace().join("a/data.txt"), large("data-2")).unwrap();
    world.restore();
    assert_eq!(world.build().compiled, set(&A_UNITS));
}

#[test]
fn files_that_git_is_told_to_overlook_are_read() {
    for flag in ["--assume-unchanged", "--skip-worktree"] {
        let mut world = World::scenario();
        world.change(&[("work/a/data.txt", &large("data-1"))]);
        world.first_run();
        world.wipe_and_clone();
        git(&world.work(), &["update-index", flag, "work/a/data.txt"], None);
        fs::write(world.workspace().join("a/data.txt"), large("data-9")).unwrap();
        world.restore();
        assert_eq!(world.build().compiled, set(&A_UNITS), "{flag}");
        assert!(world.output().contains("data-9"));
    }
}

#[test]
fn a_filtered_file_counts_by_its_bytes() {
    // As with LFS: the blob is one thing, the file on disk another, and both are clean.
    let mut world = World::scenario();
    world.change(&[(".gitattributes", "*.txt filter=shout\n"), ("work/a/data.txt", &large("data-1"))]);
    let clone = |world: &World, smudge: &str| {
        world.wipe_and_clone();
        git(&world.work(), &["config", "filter.shout.smudge", smudge], None);
        git(&world.work(), &["config", "filter.shout.clean", "cat"], None);
        fs::remove_file(world.workspace().join("a/data.txt")).unwrap();
        git(&world.work(), &["checkout", "--", "work/a/data.txt"], None);
    };
    clone(&world, "cat");
    world.restore();
    world.build();
    world.save();
    clone(&world, "tr a-z A-Z");
    assert!(fs::read_to_string(world.workspace().join("a/data.txt")).unwrap().starts_with("DATA-1\n"));
    world.restore();
    assert_eq!(world.build().compiled, set(&A_UNITS));
}

#[test]
fn a_cold_start_with_full_history_gives_files_the_time_of_their_commit() {
    let mut world = World::scenario();
    world.env.insert("RUNNER_ENVIRONMENT".into(), "github-hosted".into());
    world.change(&[("work/a/src/sub.rs", SUB_2)]);
    world.wipe_and_clone();
    let log = world.restore();
    assert!(log.contains("have the time of their last commit"), "{log}");
    assert_eq!(restored_time(&world.workspace().join("a/src/sub.rs")), FileTime::from_unix_time(1_700_086_400, 0));
    assert_eq!(restored_time(&world.workspace().join("a/data.txt")), FileTime::from_unix_time(1_700_000_000, 0));
}

#[test]
fn a_cold_start_on_a_shallow_clone_says_that_it_leaves_times_alone() {
    let mut world = World::scenario();
    world.env.insert("RUNNER_ENVIRONMENT".into(), "github-hosted".into());
    world.change(&[("work/a/src/sub.rs", SUB_2)]);
    let url = file_url(&world.origin());
    git(&world.dir, &["clone", "--quiet", "--depth=1", &url, world.work().to_str().unwrap()], None);
    let before = restored_time(&world.workspace().join("a/data.txt"));
    let log = world.restore();
    assert!(log.contains("the clone is shallow"), "{log}");
    assert_eq!(restored_time(&world.workspace().join("a/data.txt")), before);
}

#[test]
fn a_cold_start_on_a_machine_that_may_not_be_wiped_leaves_times_alone() {
    let mut world = World::scenario();
    world.change(&[("work/a/src/sub.rs", SUB_2)]);
    world.wipe_and_clone();
    let before = restored_time(&world.workspace().join("a/data.txt"));
    world.restore();
    assert_eq!(restored_time(&world.workspace().join("a/data.txt")), before);
}
