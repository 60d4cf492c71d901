//! What a save may write down: only what the build can be shown to have seen. Each test has a job that changes something after
//! its build, or behind Cargo's back, and a next job whose checkout equals what the first one left.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use filetime::FileTime;

use crate::support::{Project, World, git, restored_time, write};

/// A workspace of one program, `app`, and these files.
fn tiny(files: &[(&str, &str)]) -> World {
    let mut project: Project = [
        ("Cargo.toml", "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
        (".gitignore", "/target\n"),
        ("src/main.rs", "fn main() { println!(\"{}\", env!(\"SEEN\")); }\n"),
    ]
    .into_iter()
    .chain(files.iter().copied())
    .map(|(path, text)| (path.to_owned(), text.to_owned()))
    .collect();
    project.retain(|_, text| !text.is_empty());
    let mut world = World::new("", |_| project);
    world.command = vec!["build".into()];
    world
}

/// A build script that watches a folder and writes down the names in it.
const WATCHES_ASSETS: &str = "fn main() { println!(\"cargo:rerun-if-changed=assets\"); \
    let mut names: Vec<String> = std::fs::read_dir(\"assets\").unwrap()\
    .map(|e| String::from_utf8_lossy(e.unwrap().file_name().as_encoded_bytes()).into_owned())\
    .filter(|name| !name.starts_with('_')).collect(); names.sort(); \
    println!(\"cargo:rustc-env=SEEN={}\", names.join(\",\").escape_default()); }\n";

fn copy_old(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    filetime::set_file_mtime(path, FileTime::from_unix_time(1_500_000_000, 0)).unwrap();
}

/// The next job, on a wiped machine: it prints what a build from scratch prints.
fn next_is_right(world: &World) -> String {
    let log = world.save_and_restore();
    let compiled = world.build().compiled;
    let output = world.output();
    assert_eq!(output, world.cold_output(), "left: restored, right: from scratch; compiled {compiled:?}\n{log}");
    output
}

impl World {
    fn save_and_restore(&self) -> String {
        self.save_with(&["--save", "always"]);
        self.wipe_and_clone();
        self.restore()
    }

    fn start(&self) {
        self.wipe_and_clone();
        self.restore();
    }
}

#[test]
fn an_output_with_other_bytes_and_the_same_size_and_time_is_stored_anew() {
    let script = "fn main() { println!(\"cargo:rerun-if-changed=data.txt\"); \
        let out = std::path::PathBuf::from(std::env::var(\"OUT_DIR\").unwrap()).join(\"x.rs\"); \
        std::fs::write(&out, format!(\"pub const X: &str = {:?};\", std::fs::read_to_string(\"data.txt\").unwrap())).unwrap(); \
        assert!(std::process::Command::new(\"touch\").args([\"-d\", \"2001-01-01\"]).arg(&out).status().unwrap().success()); }\n";
    let main = "mod leaf; include!(concat!(env!(\"OUT_DIR\"), \"/x.rs\")); fn main() { println!(\"{} {}\", X, leaf::LEAF); }\n";
    let leaf = |text: &str| format!("pub const LEAF: &str = {text:?};\n");
    let mut world =
        tiny(&[("build.rs", script), ("data.txt", "one"), ("src/main.rs", main), ("src/leaf.rs", &leaf("1"))]);
    world.first_run();
    world.change(&[("data.txt", "two")]);
    world.warm_run();
    assert_eq!(world.output(), "two 1\n");
    world.save();
    world.change(&[("src/leaf.rs", &leaf("2"))]);
    world.warm_run();
    assert_eq!(world.output(), "two 2\n");
    world.save();
    world.warm_run();
    assert_eq!(world.output(), "two 2\n");
}

/// A build script that writes a source file from a schema, wherever that file lies.
fn writes(path: &str) -> String {
    format!(
        "fn main() {{ println!(\"cargo:rerun-if-changed=schema.txt\"); \
         println!(\"cargo:rustc-env=SEEN=x\"); \
         std::fs::create_dir_all(std::path::Path::new({path:?}).parent().unwrap()).unwrap(); \
         std::fs::write({path:?}, format!(\"pub const S: &str = {{:?}};\", std::fs::read_to_string(\"schema.txt\").unwrap())).unwrap(); }}\n"
    )
}

#[test]
fn a_tracked_file_that_a_build_script_rewrites_is_rewritten_again() {
    let main = "mod generated; fn main() { println!(\"{}\", generated::S); }\n";
    let world = tiny(&[
        ("build.rs", &writes("src/generated.rs")),
        ("schema.txt", "new"),
        ("src/main.rs", main),
        ("src/generated.rs", "pub const S: &str = \"old\";"),
    ]);
    world.first_run();
    assert_eq!(world.output(), "new\n");
    world.warm_run();
    assert_eq!(world.output(), "new\n");
    assert_eq!(next_is_right(&world), "new\n");
}

#[test]
fn an_ignored_file_that_a_build_script_writes_and_the_program_reads_is_written_again() {
    let main = "fn main() { println!(\"{}\", std::fs::read_to_string(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/dist/index.html\")).unwrap()); }\n";
    let world = tiny(&[
        ("build.rs", &writes("dist/index.html")),
        ("schema.txt", "page"),
        ("src/main.rs", main),
        (".gitignore", "/target\n/dist\n"),
    ]);
    world.first_run();
    let log = world.save_and_restore();
    world.build();
    assert!(world.output().contains("page"), "{log}");
    // As long as it is there, nothing runs.
    world.restore();
    assert!(world.build().compiled.is_empty());
    next_is_right(&world);
}

#[test]
fn sources_that_a_build_script_writes_elsewhere_are_written_again() {
    let member = |name: &str, rest: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n{rest}")
    };
    let mut world = World::new("rust", |_| {
        [
            ("rust/Cargo.toml", "[workspace]\nresolver = \"2\"\nmembers = [\"gen\", \"app\"]\n".to_owned()),
            (".gitignore", "/rust/target\n/rust/app/src/made.rs\n/shared\n".to_owned()),
            ("rust/gen/Cargo.toml", member("gen", "")),
            ("rust/gen/schema.txt", "one".to_owned()),
            ("rust/gen/src/lib.rs", String::new()),
            (
                "rust/gen/build.rs",
                "fn main() { println!(\"cargo:rerun-if-changed=schema.txt\"); let s = std::fs::read_to_string(\"schema.txt\").unwrap(); \
                 std::fs::write(\"../app/src/made.rs\", format!(\"pub const A: &str = {s:?};\")).unwrap(); \
                 std::fs::create_dir_all(\"../../shared\").unwrap(); \
                 std::fs::write(\"../../shared/b.rs\", format!(\"pub const B: &str = {s:?};\")).unwrap(); }\n"
                    .to_owned(),
            ),
            ("rust/app/Cargo.toml", member("app", "[dependencies]\ngen = { path = \"../gen\" }\n")),
            (
                "rust/app/src/main.rs",
                "mod made; #[path = \"../../../shared/b.rs\"] mod b; fn main() { println!(\"{} {}\", made::A, b::B); }\n"
                    .to_owned(),
            ),
        ]
        .into_iter()
        .map(|(path, text)| (path.to_owned(), text))
        .collect()
    });
    world.command = vec!["build".into()];
    world.first_run();
    world.warm_run();
    assert_eq!(world.output(), "one one\n");
    world.save();
    world.change(&[("rust/gen/schema.txt", "two")]);
    world.warm_run();
    assert_eq!(world.output(), "two two\n");
}

#[test]
fn a_file_that_came_and_went_in_a_watched_folder_is_not_hidden_by_litter() {
    let world = tiny(&[("build.rs", WATCHES_ASSETS), ("assets/a", "a")]);
    world.first_run();
    world.start();
    let passing = world.workspace().join("assets/passing");
    write(&passing, "seen by the build");
    world.build();
    assert_eq!(world.output(), "a,passing\n");
    fs::remove_file(&passing).unwrap();
    write(&world.workspace().join("assets/_litter"), "litter");
    assert_eq!(next_is_right(&world), "a\n");
}

#[test]
fn litter_after_the_build_costs_one_rebuild_as_on_a_kept_machine_and_no_second_one() {
    let world = tiny(&[("build.rs", WATCHES_ASSETS), ("assets/a", "a"), (".gitignore", "/target\n__pycache__\n")]);
    for run in 1..=4 {
        world.start();
        let compiled = world.build().compiled;
        assert!(run < 3 || compiled.is_empty(), "run {run}: {compiled:?}");
        write(&world.workspace().join("assets/__pycache__/x.pyc"), "litter");
        world.save_with(&["--save", "always"]);
    }
}

#[test]
fn an_input_that_was_replaced_after_the_build_is_not_what_the_build_saw() {
    let main = "fn main() { println!(\"{}\", include_str!(\"../note.txt\")); }\n";
    for ignored in [true, false] {
        let world =
            tiny(&[("src/main.rs", main), (".gitignore", if ignored { "/target\n/note.txt\n" } else { "/target\n" })]);
        let note = world.workspace().join("note.txt");
        world.wipe_and_clone();
        fs::write(&note, "one").unwrap();
        world.restore();
        world.build();
        copy_old(&note, "two");
        world.save_with(&["--save", "always"]);
        world.wipe_and_clone();
        copy_old(&note, "two");
        let log = world.restore();
        world.build();
        assert_eq!(world.output(), "two\n", "{log}");
        assert!(log.contains("note.txt"), "{log}");
    }
}

#[test]
fn a_link_that_was_turned_after_the_build_is_not_what_the_build_saw() {
    let mut world = tiny(&[
        ("src/main.rs", "mod chosen; fn main() { println!(\"{}\", chosen::C); }\n"),
        ("src/chosen.rs", "-> ../choices/one.rs"),
        ("choices/one.rs", "pub const C: u8 = 1;\n"),
        ("choices/two.rs", "pub const C: u8 = 2;\n"),
    ]);
    world.first_run();
    world.start();
    write(&world.workspace().join("choices/one.rs"), "pub const C: u8 = 1; // again\n");
    world.build();
    write(&world.workspace().join("choices/one.rs"), "pub const C: u8 = 1;\n");
    write(&world.workspace().join("src/chosen.rs"), "-> ../choices/two.rs");
    world.change(&[("src/chosen.rs", "-> ../choices/two.rs")]);
    assert_eq!(next_is_right(&world), "2\n");
}

#[test]
fn a_commit_that_was_made_after_the_build_is_not_the_one_that_was_built() {
    let script = "fn main() { println!(\"cargo:rerun-if-changed=build.rs\"); let o = std::process::Command::new(\"git\")\
        .args([\"rev-parse\", \"--short=9\", \"HEAD\"]).output().unwrap(); \
        println!(\"cargo:rustc-env=SEEN={}\", String::from_utf8(o.stdout).unwrap().trim()); }\n";
    let mut world = tiny(&[("build.rs", script)]);
    world.start();
    world.build();
    world.change(&[("README.md", "about\n")]);
    world.update_in_place();
    next_is_right(&world);
    assert!(world.head().starts_with(world.run().trim()));
}

#[test]
fn a_file_of_an_old_style_package_that_went_away_after_the_build_was_seen_by_it() {
    let script = "fn main() { let mut names: Vec<String> = std::fs::read_dir(\"notes\").unwrap()\
        .map(|e| e.unwrap().file_name().into_string().unwrap()).collect(); names.sort(); \
        println!(\"cargo:rustc-env=SEEN={}\", names.join(\",\")); }\n";
    let mut world = tiny(&[("build.rs", script), ("notes/a", "a"), ("notes/b", "b")]);
    world.start();
    world.build();
    fs::remove_file(world.workspace().join("notes/a")).unwrap();
    world.remove(&["notes/a"]);
    assert_eq!(next_is_right(&world), "b\n");
}

#[test]
fn a_name_that_is_no_text_is_missed_when_it_is_gone() {
    let mut world = tiny(&[("build.rs", WATCHES_ASSETS), ("assets/a", "a")]);
    let odd = world.origin().join("assets").join(std::ffi::OsStr::from_bytes(b"odd\xFF\\name\n"));
    fs::write(&odd, "odd").unwrap();
    world.commit("odd");
    world.first_run();
    assert!(world.warm_run().compiled.is_empty());
    fs::remove_file(&odd).unwrap();
    world.commit("gone");
    world.wipe_and_clone();
    world.restore();
    world.build();
    assert_eq!(world.output(), "a\n");
}

#[test]
fn a_watched_submodule_that_did_not_change_runs_nothing() {
    let mut world = tiny(&[("build.rs", WATCHES_ASSETS), ("assets/a", "a")]);
    let module = world.dir.join("module");
    write(&module.join("part.txt"), "part-1\n");
    git(&module, &["init", "--quiet", "--initial-branch=main"], None);
    git(&module, &["add", "--all"], None);
    git(&module, &["commit", "--quiet", "-m", "first"], Some(1_650_000_000));
    git(&world.origin(), &["submodule", "--quiet", "add", module.to_str().unwrap(), "assets/module"], None);
    world.commit("submodule");
    for run in 1..=3 {
        world.wipe_and_clone();
        git(&world.work(), &["submodule", "--quiet", "update", "--init"], None);
        let log = world.restore();
        let compiled = world.build().compiled;
        assert!(run == 1 || compiled.is_empty(), "run {run}: {compiled:?}\n{log}");
        world.save();
    }
}

#[test]
fn what_git_keeps_for_itself_counts_by_what_it_means() {
    let script = "fn main() { for name in [\"HEAD\", \"index\", \"logs/HEAD\", \"refs\", \"packed-refs\"] { \
        if std::path::Path::new(\".git\").join(name).exists() { println!(\"cargo:rerun-if-changed=.git/{name}\"); } } \
        let o = std::process::Command::new(\"git\").args([\"log\", \"-1\", \"--format=%s\"]).output().unwrap(); \
        println!(\"cargo:rustc-env=SEEN={}\", String::from_utf8(o.stdout).unwrap().trim()); }\n";
    let main = "const _: &[u8] = include_bytes!(\"../.git/index\"); fn main() { println!(\"{}\", env!(\"SEEN\")); }\n";
    let mut world = tiny(&[("build.rs", script), ("src/main.rs", main)]);
    world.first_run();
    for run in 2..=3 {
        world.wipe_and_clone();
        let log = world.restore();
        assert_eq!(world.build().compiled, std::collections::BTreeSet::new(), "run {run}\n{log}");
        world.save_with(&["--save", "always"]);
    }
    world.commit("second");
    world.wipe_and_clone();
    world.restore();
    assert!(world.build().compiled.contains("app build-script run"));
    assert_eq!(world.output(), "second\n");
}

/// A workspace whose build script watches a folder outside of everything, by this path.
fn watching_outside(folder: &Path) -> World {
    let script = WATCHES_ASSETS.replace("assets", folder.to_str().unwrap());
    tiny(&[("build.rs", &script)])
}

fn outside() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = fs::canonicalize(dir.path()).unwrap();
    write(&path.join("real/a"), "a");
    write(&path.join("real/below/b"), "b");
    (dir, path)
}

#[test]
fn litter_in_a_watched_folder_outside_rebuilds_nothing_in_the_third_run() {
    for (is_repository, is_link) in [(false, false), (true, false), (false, true)] {
        let (_dir, path) = outside();
        let real = path.join("real");
        if is_repository {
            write(&path.join(".gitignore"), "_cache\n");
            git(&path, &["init", "--quiet", "--initial-branch=main"], None);
            git(&path, &["add", "--all"], None);
            git(&path, &["commit", "--quiet", "-m", "first"], None);
        }
        let folder = if is_link { path.join("link") } else { real.clone() };
        if is_link {
            std::os::unix::fs::symlink(&real, &folder).unwrap();
        }
        let world = watching_outside(&folder);
        for run in 1..=4 {
            world.wipe_and_clone();
            let log = world.restore();
            let compiled = world.build().compiled;
            assert!(run < 3 || compiled.is_empty(), "run {run} {is_repository} {is_link}: {compiled:?}\n{log}");
            let _ = fs::remove_dir_all(real.join("_cache"));
            write(&real.join("_cache/x"), "litter");
            world.save_with(&["--save", "always"]);
            fs::remove_dir_all(real.join("_cache")).unwrap();
        }
        // And a file that counts is still seen, in the folder and below.
        write(&real.join("below/c"), "c");
        world.start();
        assert!(!world.build().compiled.is_empty());
        world.save();
        write(&real.join("d"), "d");
        filetime::set_file_mtime(&real, restored_time(&real.join("a"))).unwrap();
        world.start();
        world.build();
        assert_eq!(world.output(), "a,below,d\n", "{is_repository} {is_link}");
    }
}

#[test]
fn a_library_that_was_replaced_after_the_build_is_not_the_one_that_was_linked() {
    let dir = tempfile::tempdir().unwrap();
    let dir = fs::canonicalize(dir.path()).unwrap();
    let make = |value: u8| {
        fs::write(dir.join("odd.c"), format!("int odd(void) {{ return {value}; }}\n")).unwrap();
        let run = |program: &str, arguments: &[&str]| {
            assert!(Command::new(program).args(arguments).current_dir(&dir).status().unwrap().success());
        };
        let _ = fs::remove_file(dir.join("libodd.a"));
        run("cc", &["-c", "odd.c", "-o", "odd.o"]);
        run("ar", &["crsD", "libodd.a", "odd.o"]);
        filetime::set_file_mtime(dir.join("libodd.a"), FileTime::from_unix_time(1_500_000_000, 0)).unwrap();
    };
    let script = format!(
        "fn main() {{ println!(\"cargo:rerun-if-changed=build.rs\"); println!(\"cargo:rustc-link-search=native={}\"); \
         println!(\"cargo:rustc-link-lib=static=odd\"); }}\n",
        dir.display()
    );
    let main = "unsafe extern \"C\" { fn odd() -> i32; } fn main() { println!(\"{}\", unsafe { odd() }); }\n";
    let world = tiny(&[("build.rs", &script), ("src/main.rs", main)]);
    make(1);
    world.start();
    world.build();
    make(2);
    assert_eq!(next_is_right(&world), "2\n");
}

#[test]
fn a_second_restore_in_one_job_keeps_what_was_built_and_dates_what_came_late() {
    let main = "fn main() { println!(\"{}\", include_str!(\"../made.txt\")); }\n";
    let mut world =
        tiny(&[("src/main.rs", main), (".gitignore", "/target\n/made.txt\n"), ("src/lib.rs", "pub fn f() {}\n")]);
    let made = world.workspace().join("made.txt");
    world.start();
    fs::write(&made, "made").unwrap();
    world.build();
    world.save();

    world.change(&[("src/lib.rs", "pub fn f() {} pub fn g() {}\n")]);
    world.start();
    assert!(world.cargo("build --lib").success);
    fs::write(&made, "made").unwrap();
    let log = world.restore();
    assert!(log.contains("1 late input"), "{log}");
    let compiled = world.build().compiled;
    assert_eq!(
        compiled,
        ["app 0.1.0 bin app".to_owned()].into(),
        "the program was built from the library, which changed\n{log}"
    );
    world.save();
    world.start();
    fs::write(&made, "made").unwrap();
    world.restore();
    assert!(world.build().compiled.is_empty());

    // What is other content now is compiled, however old it looks.
    copy_old(&made, "other");
    world.restore();
    world.build();
    assert_eq!(world.output(), "other\n");
    assert!(next_save_says(&world), "the save after it still works");
}

/// A build script that names no inputs, and so is judged by the newest file of its package.
const READS_ALL: &str = "fn main() { let mut names: Vec<_> = std::fs::read_dir(\"notes\").unwrap()\
    .map(|e| std::fs::read_to_string(e.unwrap().path()).unwrap()).collect(); names.sort(); \
    println!(\"cargo:rustc-env=SEEN={}\", names.join(\",\")); }\n";

#[test]
fn a_second_restore_doubts_what_was_built_from_a_whole_package_that_is_another_now() {
    let world = tiny(&[("build.rs", READS_ALL), ("notes/a", "a"), ("notes/b", "b")]);
    let note = |name: &str| world.workspace().join("notes").join(name);
    let is_right = |text: &str| {
        let log = world.restore();
        world.build();
        assert_eq!(world.output(), format!("{text}\n"), "{log}");
    };
    world.start();
    world.build();
    assert_eq!(world.output(), "a,b\n");
    // Built by this job: another text with an old time, then one file less.
    copy_old(&note("a"), "c");
    is_right("b,c");
    fs::remove_file(note("a")).unwrap();
    is_right("b");
    git(&world.workspace(), &["checkout", "--quiet", "."], None);
    is_right("a,b");
    world.save();
    // The same with what an earlier job built.
    world.start();
    assert!(world.build().compiled.is_empty());
    copy_old(&note("a"), "c");
    is_right("b,c");
    fs::remove_file(note("b")).unwrap();
    is_right("c");
}

#[cfg(unix)]
#[test]
fn a_second_restore_doubts_what_was_built_through_a_link_that_leads_elsewhere_now() {
    let main = |path: &str| format!("fn main() {{ println!(\"{{}}\", include_str!({path:?})); }}\n");
    // In the package itself, and beside it.
    let (inside, beside) = (main("../now/text.txt"), main("../../now/text.txt"));
    let member = "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n";
    let worlds = [
        tiny(&[("src/main.rs", &inside), ("one/text.txt", "one"), ("two/text.txt", "two")]),
        tiny(&[
            ("Cargo.toml", "[workspace]\nmembers = [\"app\"]\nresolver = \"2\"\n"),
            ("app/Cargo.toml", member),
            ("app/src/main.rs", &beside),
            ("src/main.rs", ""),
            ("one/text.txt", "one"),
            ("two/text.txt", "two"),
        ]),
    ];
    for world in worlds {
        let link = |to: &str| {
            let link = world.workspace().join("now");
            let _ = fs::remove_file(&link);
            std::os::unix::fs::symlink(to, &link).unwrap();
            let old = FileTime::from_unix_time(1_500_000_000, 0);
            filetime::set_symlink_file_times(&link, old, old).unwrap();
        };
        let is_right = |text: &str| {
            let log = world.restore();
            world.build();
            assert_eq!(world.output(), format!("{text}\n"), "{log}");
        };
        world.wipe_and_clone();
        link("one");
        is_right("one");
        link("two");
        is_right("two");
        world.save();
        world.wipe_and_clone();
        link("two");
        is_right("two");
        link("one");
        is_right("one");
        link("two");
        is_right("two");
    }
}

#[cfg(unix)]
#[test]
fn a_file_that_a_script_wrote_anew_with_the_same_size_and_time_is_stored_anew() {
    // What never changes outweighs the rest, so that the second save is one of changes only.
    let script = "fn main() { println!(\"cargo:rerun-if-changed=word.txt\"); let mut number = 7_u64; \
        let ballast: Vec<u8> = (0..16_000_000).map(|_| { number = number.wrapping_mul(6364136223846793005) \
        .wrapping_add(1442695040888963407); (number >> 33) as u8 }).collect(); \
        let out = std::env::var(\"OUT_DIR\").unwrap(); std::fs::write(format!(\"{out}/ballast\"), ballast).unwrap(); \
        let to = std::path::Path::new(&std::env::var(\"OUT_DIR\").unwrap()).join(\"word.txt\"); \
        std::fs::copy(\"word.txt\", &to).unwrap(); \
        assert!(std::process::Command::new(\"touch\").args([\"-d\", \"@1500000000\"]).arg(&to).arg(format!(\"{out}/ballast\")).status().unwrap().success()); }\n";
    let main = "fn main() { println!(\"{}\", include_str!(concat!(env!(\"OUT_DIR\"), \"/word.txt\"))); }\n";
    let mut world = tiny(&[("build.rs", script), ("word.txt", "one"), ("src/main.rs", main)]);
    world.start();
    world.build();
    world.save();
    world.change(&[("word.txt", "two")]);
    world.start();
    world.build();
    assert_eq!(world.output(), "two\n");
    let log = world.save();
    assert!(log.contains("changes only"), "{log}");
    // Only the program is compiled, from what the script had written.
    world.change(&[("src/main.rs", &format!("{main}// once more\n"))]);
    world.start();
    assert_eq!(world.build().compiled, ["app 0.1.0 bin app".to_owned()].into());
    assert_eq!(world.output(), "two\n");
}

fn next_save_says(world: &World) -> bool {
    world.save_with(&["--save", "always"]).contains("saved")
}

#[test]
fn a_target_folder_that_nobody_manages_is_not_made_to_believe_old_times() {
    let text = |value: u8| format!("fn main() {{ println!(\"{value}\"); }}\n");
    let mut world = tiny(&[("src/main.rs", &text(1))]);
    world.env.insert("XDG_CACHE_HOME".into(), world.dir.join("cache").to_str().unwrap().into());
    let own = world.dir.join("persist");
    let build_there = |world: &World| {
        assert!(world.cargo(&format!("build --target-dir {}", own.display())).success);
        String::from_utf8(Command::new(own.join("debug/app")).output().unwrap().stdout).unwrap()
    };
    world.start();
    world.build();
    assert_eq!(build_there(&world), "1\n");
    world.save();
    let first = world.head();
    // A newer state on the same machine, then the first one again: by recorded times it would look older than what lies there.
    world.change(&[("src/main.rs", &text(2))]);
    world.start();
    world.build();
    assert_eq!(build_there(&world), "2\n");
    world.save();
    git(&world.origin(), &["checkout", "--quiet", &first], None);
    world.start();
    assert_eq!(build_there(&world), "1\n");
    // And on a cold start, by the dates of commits.
    git(&world.origin(), &["checkout", "--quiet", "main"], None);
    world.start();
    assert_eq!(build_there(&world), "2\n");
    fs::remove_dir_all(world.store()).unwrap();
    git(&world.origin(), &["checkout", "--quiet", &first], None);
    world.start();
    assert_eq!(build_there(&world), "1\n");
}

#[test]
fn what_a_build_script_wrote_for_two_profiles_is_missed_by_both() {
    let script = writes("gen/g.rs");
    let main = "include!(\"../gen/g.rs\"); fn main() { println!(\"{S}\"); }\n";
    for (ignored, held) in [(true, ""), (false, "pub const S: &str = \"old\";")] {
        let ignore = if ignored { "/target\n/gen\n" } else { "/target\n" };
        let world = tiny(&[
            ("build.rs", &script),
            ("schema.txt", "new"),
            ("src/main.rs", main),
            (".gitignore", ignore),
            ("gen/g.rs", held),
        ]);
        let job = |world: &World| {
            for arguments in ["build", "build --release"] {
                let verdict = world.cargo(arguments);
                assert!(verdict.success, "{arguments}: {}", verdict.stderr);
            }
            assert_eq!(world.output(), "new\n", "ignored: {ignored}");
        };
        for _ in 1..=3 {
            world.start();
            job(&world);
            world.save();
        }
    }
}

#[test]
fn a_lock_file_that_is_not_committed_costs_no_documentation() {
    let mut world = tiny(&[("src/lib.rs", "pub fn f() {}\n"), ("src/main.rs", "")]);
    world.remove(&["Cargo.lock"]);
    let job = |world: &World| ["check", "doc --no-deps"].map(|arguments| world.cargo(arguments).compiled.len());
    world.start();
    job(&world);
    world.save();
    world.start();
    assert_eq!(job(&world), [0, 0]);
}

#[test]
fn a_save_after_a_killed_restore_still_saves_what_was_built() {
    let world = tiny(&[("src/main.rs", "fn main() { println!(\"1\"); }\n")]);
    world.first_run();
    world.wipe_and_clone();
    world.kill_during("restore", std::time::Duration::from_millis(60));
    world.build();
    world.save();
    world.warm_run();
    assert_eq!(world.output(), "1\n");
}
