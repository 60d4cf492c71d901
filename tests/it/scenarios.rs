//! One mutation a test: the compiled set is that of a machine that was never wiped, the output that of a build from scratch.
//!
//! Where a test passes units to `prove`, a soundness rule rebuilds them although Cargo alone would not: on the machine that was
//! never wiped the output is stale there.

use std::fs;
use std::path::Path;

use filetime::FileTime;

use crate::support::{A_UNITS, World, git, nightly, restored_time, write};

fn ready() -> World {
    let world = World::scenario();
    world.first_run();
    world
}

#[test]
fn nothing_changed() {
    let log = ready().prove(&[]);
    assert!(log.contains("restored"), "{log}");
}

#[test]
fn a_source_file_changes() {
    let mut world = ready();
    world.change(&[("work/a/src/sub.rs", "pub fn sub() -> &'static str { \"sub-2\" }\n")]);
    world.prove(&[]);
}

#[test]
fn an_included_file_changes() {
    let mut world = ready();
    world.change(&[("work/a/data.txt", "data-2\n")]);
    world.prove(&[]);
}

#[test]
fn a_change_is_committed_with_a_date_before_the_cached_build() {
    let mut world = ready();
    world.date = 1_000_000_000;
    world.change(&[("work/a/src/sub.rs", "pub fn sub() -> &'static str { \"sub-old\" }\n")]);
    world.prove(&[]);
}

#[test]
fn a_change_is_reverted_after_it_was_built_and_saved() {
    let mut world = ready();
    let old = fs::read_to_string(world.origin().join("work/a/src/sub.rs")).unwrap();
    world.change(&[("work/a/src/sub.rs", "pub fn sub() -> &'static str { \"sub-2\" }\n")]);
    world.warm_run();
    world.save();
    world.change(&[("work/a/src/sub.rs", &old)]);
    world.prove(&[]);
}

#[test]
fn a_branch_is_switched_to_and_back() {
    let mut world = ready();
    let main = world.head();
    git(&world.origin(), &["checkout", "--quiet", "-b", "other"], None);
    world.change(&[("work/c/assets/p.txt", "p-other\n"), ("work/a/data.txt", "other\n")]);
    world.prove(&[]);
    // The proof left a cold tree behind; do the other branch's run again and save it.
    world.warm_run();
    world.save();
    git(&world.origin(), &["checkout", "--quiet", "main"], None);
    assert_eq!(world.head(), main);
    world.prove(&[]);
}

#[test]
fn a_file_that_a_dep_info_names_is_deleted_and_its_module_with_it() {
    let mut world = ready();
    let lib = fs::read_to_string(world.origin().join("work/a/src/lib.rs")).unwrap();
    write(
        &world.origin().join("work/a/src/lib.rs"),
        &lib.replace("mod sub;", "mod sub { pub fn sub() -> &'static str { \"inline\" } }"),
    );
    world.remove(&["work/a/src/sub.rs"]);
    world.prove(&[]);
}

#[test]
fn a_module_is_renamed() {
    let mut world = ready();
    let text = fs::read_to_string(world.origin().join("work/a/src/sub.rs")).unwrap();
    fs::remove_file(world.origin().join("work/a/src/sub.rs")).unwrap();
    world.change(&[("work/a/src/sub/mod.rs", &text)]);
    world.prove(&[]);
}

#[test]
fn a_file_under_a_watched_folder_is_deleted() {
    let mut world = ready();
    world.remove(&["work/c/assets/q.txt"]);
    world.prove(&[]);
}

#[test]
fn a_file_is_added_to_a_watched_folder() {
    let mut world = ready();
    world.change(&[("work/c/assets/r.txt", "r-1\n")]);
    world.prove(&[]);
}

#[test]
fn a_file_is_renamed_in_a_watched_folder() {
    let mut world = ready();
    git(&world.origin(), &["mv", "work/c/assets/q.txt", "work/c/assets/z.txt"], None);
    world.commit("rename");
    world.prove(&[]);
}

#[test]
fn a_file_beside_a_watched_folder_changes() {
    let mut world = ready();
    world.change(&[("work/c/notes.txt", "nobody reads this\n")]);
    world.prove(&[]);
}

#[test]
fn an_old_style_package_gets_a_new_file() {
    let mut world = ready();
    world.change(&[("work/b/notes/z.txt", "z-1\n")]);
    world.prove(&[]);
}

#[test]
fn an_old_style_package_loses_a_file_that_was_not_its_newest() {
    let mut world = ready();
    // The machine that was never wiped is right only if the file was the newest: Cargo looks at nothing else.
    world.remove(&["work/b/notes/x.txt"]);
    let log = world.prove(&[
        "b build-script run",
        "b 0.1.0 lib b",
        "b 0.1.0 lib b test",
        "app 0.1.0 bin app",
        "app 0.1.0 bin app test",
    ]);
    assert!(log.contains("Cargo does not miss it"), "{log}");
}

#[test]
fn an_old_style_package_has_a_file_changed() {
    let mut world = ready();
    world.change(&[("work/b/notes/x.txt", "x-2\n")]);
    world.prove(&[]);
}

#[test]
fn a_symlink_leads_elsewhere() {
    let mut world = ready();
    world.change(&[("work/a/src/chosen.rs", "-> ../choices/two.rs")]);
    let log = world.prove(&A_UNITS);
    assert!(log.contains("no longer leads to"), "{log}");
}

#[test]
fn a_symlink_becomes_a_file() {
    let mut world = ready();
    world.change(&[("work/a/src/chosen.rs", "pub fn chosen() -> &'static str { \"own\" }\n")]);
    world.prove(&A_UNITS);
}

#[test]
fn a_file_becomes_a_symlink_to_an_old_file() {
    let mut world = ready();
    world.change(&[("work/a/data.txt", "-> src/sub.rs")]);
    world.prove(&A_UNITS);
}

#[test]
fn a_file_that_only_a_proc_macro_reads_changes() {
    let mut world = ready();
    world.change(&[("work/a/macro_input.txt", "macro-2\n")]);
    let log = world.prove(&A_UNITS);
    assert!(log.contains("a proc macro that may read files"), "{log}");
}

#[test]
fn a_readme_changes_where_no_macro_reads_files() {
    let mut world = ready();
    world.change(&[("work/c/README.md", "about c\n"), (".github/workflows/ci.yml", "on: push\n")]);
    world.prove(&[]);
}

#[test]
fn a_vendored_package_changes_at_the_same_version() {
    let mut world = ready();
    world.change(&[
        ("work/vendor/vend/src/lib.rs", "pub fn vend() -> &'static str { \"vend-2\" }\n"),
        (
            "work/vendor/vend/.cargo-checksum.json",
            &format!("{{\"files\":{{}},\"package\":\"{}\", \"x\":1}}", "1".repeat(64)),
        ),
    ]);
    let log = world.prove(&[&A_UNITS[..], &["vend 0.1.0 lib vend"]].concat());
    assert!(log.contains("the vendored file"), "{log}");
}

#[test]
fn a_path_dependency_outside_the_workspace_changes() {
    let mut world = ready();
    world.change(&[("outside/src/lib.rs", "pub fn text() -> String { \"outside=2\".to_string() }\n")]);
    world.prove(&[]);
}

#[test]
fn line_endings_change() {
    let mut world = ready();
    world.change(&[("work/a/src/sub.rs", "pub fn sub() -> &'static str { \"sub-1\" }\r\n")]);
    world.prove(&[]);
}

#[test]
fn the_checkout_converts_line_endings_that_the_blob_does_not_have() {
    let mut world = World::scenario();
    let text = "data-1\n".repeat(20_000);
    world.change(&[("work/a/data.txt", &text)]);
    world.first_run();
    // The same blobs, other bytes on disk: only the bytes may count.
    git(&world.origin(), &["config", "core.autocrlf", "false"], None);
    world.wipe_and_clone();
    git(&world.work(), &["config", "core.autocrlf", "true"], None);
    fs::remove_file(world.workspace().join("a/data.txt")).unwrap();
    git(&world.work(), &["-c", "core.autocrlf=true", "checkout", "--", "work/a/data.txt"], None);
    assert!(fs::read(world.workspace().join("a/data.txt")).unwrap().starts_with(b"data-1\r\ndata-1\r\n"));
    world.restore();
    let compiled = world.build().compiled;
    assert!(compiled.contains("a 0.1.0 lib a"), "{compiled:?}");
}

#[test]
fn a_member_is_added_and_another_gets_a_feature() {
    let mut world = ready();
    let root = fs::read_to_string(world.origin().join("work/Cargo.toml")).unwrap();
    world.change(&[
        ("work/Cargo.toml", &root.replace("\"pm\"", "\"d\", \"pm\"")),
        ("work/d/Cargo.toml", "[package]\nname = \"d\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
        ("work/d/src/lib.rs", "pub fn text() {}\n"),
        ("work/c/Cargo.toml", "[package]\nname = \"c\"\nversion = \"0.1.0\"\nedition = \"2021\"\nbuild = \"build.rs\"\n[features]\nnew = []\n"),
    ]);
    world.prove(&[]);
}

#[test]
fn a_tracked_variable_changes() {
    let mut world = ready();
    world.env.insert("C_FLAG".into(), "on".into());
    world.env.insert("A_FLAG".into(), "on".into());
    world.prove(&[]);
}

#[test]
fn a_feature_is_switched_on() {
    let mut world = ready();
    world.command.extend(["--features".into(), "app/loud".into()]);
    let kept = world.kept_run();
    world.wipe_and_clone();
    world.restore();
    assert_eq!(world.build().compiled, kept.compiled);
}

#[test]
fn a_profile_changes() {
    let mut world = ready();
    let text = fs::read_to_string(world.origin().join("work/Cargo.toml")).unwrap();
    world.change(&[("work/Cargo.toml", &format!("{text}overflow-checks = false\n"))]);
    let log = world.prove(&[]);
    assert!(log.contains("rolled: manifest `Cargo.toml`"), "{log}");
}

#[test]
fn lints_change() {
    let mut world = ready();
    let text = fs::read_to_string(world.origin().join("work/c/Cargo.toml")).unwrap();
    world.change(&[("work/c/Cargo.toml", &format!("{text}\n[lints.rust]\nunused_variables = \"deny\"\n"))]);
    world.prove(&[]);
}

#[test]
fn the_compiler_flags_change_and_come_back() {
    let mut world = ready();
    world.env.insert("RUSTFLAGS".into(), "-C debug-assertions=off".into());
    let kept = world.kept_run();
    world.wipe_and_clone();
    let log = world.restore();
    assert!(log.contains("rolled: flags `RUSTFLAGS`: (none) → -C debug-assertions=off"), "{log}");
    assert_eq!(world.build().compiled, kept.compiled);
    world.save();
    world.env.remove("RUSTFLAGS");
    assert!(world.warm_run().compiled.is_empty());
}

#[test]
fn another_toolchain_is_a_cold_start_that_says_so() {
    let mut world = ready();
    world.env.insert("RUSTUP_TOOLCHAIN".into(), nightly());
    world.wipe_and_clone();
    let log = world.restore();
    assert!(log.contains("cold start") && log.contains("rolled: toolchain: rustc 1."), "{log}");
}

#[test]
fn another_place_is_a_cold_start_that_says_so() {
    let mut world = ready();
    let moved = world.dir.join("moved");
    git(&world.dir, &["clone", "--quiet", world.origin().to_str().unwrap(), moved.to_str().unwrap()], None);
    world.work_dir = moved.clone();
    let log = world.restore();
    assert!(log.contains("cold start") && log.contains("rolled: workspace path"), "{log}");
    assert!(world.build().compiled.contains("a 0.1.0 lib a"));
    assert!(world.output().contains("sub-1"));
}

#[test]
fn a_build_fails_and_is_saved_and_then_mended() {
    let mut world = ready();
    let old = fs::read_to_string(world.origin().join("work/a/src/sub.rs")).unwrap();
    world.change(&[("work/a/src/sub.rs", "this is no rust\n"), ("work/c/assets/p.txt", "p-2\n")]);
    world.wipe_and_clone();
    world.restore();
    assert!(!world.cargo("build --workspace --all-targets").success);
    world.save_with(&["--job-result", "failure"]);
    world.change(&[("work/a/src/sub.rs", &old)]);
    // The never-wiped machine fails first, too.
    world.wipe_and_clone();
    world.restore();
    let warm = world.build().compiled;
    assert!(warm.contains("a 0.1.0 lib a") && warm.contains("app 0.1.0 bin app"), "{warm:?}");
    let output = world.output();
    assert_eq!(output, world.cold_output());
}

#[test]
fn a_part_of_the_workspace_is_built_and_the_rest_is_stale() {
    // Flattened times would call `app` fresh here.
    let mut world = World::scenario();
    world.command = vec!["build".into()];
    world.first_run();
    world.change(&[("work/c/src/lib.rs", "pub fn text() -> String { \"c2\".into() }\n")]);
    world.wipe_and_clone();
    world.restore();
    assert!(world.cargo("build -p c").success);
    world.save();
    world.wipe_and_clone();
    world.restore();
    let compiled = world.build().compiled;
    assert!(compiled.contains("app 0.1.0 bin app") && !compiled.contains("c 0.1.0 lib c"), "{compiled:?}");
    let output = world.output();
    assert_eq!(output, world.cold_output());
}

#[test]
fn a_generated_source_is_generated_again() {
    let mut world = World::scenario_with_generated();
    world.command = vec!["build".into(), "-p".into(), "gen".into()];
    world.first_run();
    let units = ["gen build-script run", "gen 0.1.0 lib gen", "gen 0.1.0 bin gen"];
    let log = world.prove(&units);
    assert!(log.contains("the generated file"), "{log}");
}

#[test]
fn a_generated_source_follows_its_schema() {
    let mut world = World::scenario_with_generated();
    world.command = vec!["build".into(), "-p".into(), "gen".into()];
    world.first_run();
    world.change(&[("work/gen/schema.txt", "schema-2\n")]);
    world.prove(&[]);
}

#[test]
fn times_come_back_to_the_nanosecond_and_git_sees_a_clean_tree() {
    let world = ready();
    let path = world.workspace().join("b/notes/x.txt");
    let recorded = FileTime::from_unix_time(1_600_000_000, 123_456_789);
    filetime::set_file_mtime(&path, recorded).unwrap();
    fs::remove_dir_all(world.store()).unwrap();
    fs::remove_dir_all(world.target()).unwrap();
    world.restore();
    filetime::set_file_mtime(&path, recorded).unwrap();
    world.build();
    world.save();
    world.wipe_and_clone();
    world.restore();
    assert_eq!(restored_time(&path), recorded);
    assert!(world.build().compiled.is_empty());
    git(&world.work(), &["diff-index", "--quiet", "HEAD"], None);
}

#[test]
fn the_git_folder_is_left_alone() {
    let world = ready();
    world.wipe_and_clone();
    let head = world.work().join(".git/HEAD");
    let before = (restored_time(&head), fs::read(&head).unwrap());
    world.restore();
    assert_eq!((restored_time(&head), fs::read(&head).unwrap()), before);
    assert!(!Path::new(&world.workspace().join("gen/src/generated.rs")).exists());
}

#[test]
fn another_cargo_home_is_a_cold_start_that_says_so() {
    let mut world = ready();
    world.env.insert("CARGO_HOME".into(), world.dir.join("other-home").to_str().unwrap().into());
    world.wipe_and_clone();
    let log = world.restore();
    assert!(log.contains("cold start") && log.contains("rolled: CARGO_HOME"), "{log}");
}

#[test]
fn an_ignored_file_that_a_late_step_makes_again_is_stamped_by_a_second_restore() {
    let mut world = World::scenario();
    world.change(&[
        ("work/.gitignore", "/target\n/c/made.txt\n"),
        (
            "work/c/src/lib.rs",
            "pub fn text() -> String { format!(\"c={} {}\", env!(\"C_ASSETS\"), include_str!(\"../made.txt\")) }\n",
        ),
    ]);
    let made = |world: &World, text: &str| write(&world.workspace().join("c/made.txt"), text);
    world.wipe_and_clone();
    made(&world, "made-1");
    world.restore();
    world.build();
    world.save();
    world.wipe_and_clone();
    world.restore();
    made(&world, "made-1");
    world.restore();
    assert!(world.build().compiled.is_empty());
    world.wipe_and_clone();
    world.restore();
    made(&world, "made-2");
    world.restore();
    assert!(world.build().compiled.contains("c 0.1.0 lib c"));
    assert!(world.output().contains("made-2"));
}

#[test]
fn a_package_is_taken_out_of_the_workspace() {
    let mut world = ready();
    let edit = |path: &str, from: &str, to: &str| {
        let path = world.origin().join(path);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
    };
    edit("work/Cargo.toml", "\"b\", ", "");
    edit("work/app/Cargo.toml", "b = { path = \"../b\" }\n", "");
    edit("work/app/src/main.rs", "b::text(), ", "");
    edit("work/app/src/main.rs", "{}\\n{}\\n", "{}\\n");
    let lock = fs::read_to_string(world.origin().join("work/Cargo.lock")).unwrap();
    let lock = lock.replace("[[package]]\nname = \"b\"\nversion = \"0.1.0\"\n\n", "").replace(" \"b\",\n", "");
    fs::write(world.origin().join("work/Cargo.lock"), lock).unwrap();
    world.remove(&["work/b"]);
    let log = world.prove(&[]);
    assert!(!log.contains("warning"), "{log}");
}
