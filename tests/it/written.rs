//! What build scripts write outside the target folder, wherever that is, and what becomes of it on a wiped machine.

use std::fs;

use crate::support::{Project, World, file_url, git, restored_time, write};

const MANIFEST: &str = "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n";

/// A program of these files; `below` is where its workspace lies in the repository.
fn world(below: &str, files: &[(&str, &str)]) -> World {
    let project: Project = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    let mut world = World::new(below, |_| project);
    world.command = vec!["build".into()];
    world
}

/// Three jobs on machines that are wiped in between, of which each has the program's output right.
fn is_right_each_time(world: &World, expected: &str) {
    for run in 0..3 {
        world.wipe_and_clone();
        let log = world.restore();
        world.build();
        assert_eq!(world.output(), expected, "run {run}: {log}");
        world.save();
    }
    // As long as it is there, nothing runs.
    world.restore();
    assert!(world.build().compiled.is_empty());
}

/// A script that writes one file, at a path relative to its package.
fn writes(path: &str) -> String {
    format!(
        "fn main() {{ println!(\"cargo:rerun-if-changed=build.rs\"); let path = std::path::Path::new({path:?}); \
         std::fs::create_dir_all(path.parent().unwrap()).unwrap(); std::fs::write(path, \"page\").unwrap(); }}\n"
    )
}

/// A program that prints a file, by its path relative to the package.
fn prints(path: &str) -> String {
    format!(
        "fn main() {{ print!(\"{{}}\", std::fs::read_to_string(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/\", {path:?})).unwrap()); }}\n"
    )
}

#[test]
fn an_ignored_file_beside_the_workspace_is_written_again() {
    let world = world(
        "rust",
        &[
            (".gitignore", "target\ngen\n"),
            ("rust/Cargo.toml", MANIFEST),
            ("rust/build.rs", &writes("../gen/deep/page")),
            ("rust/src/main.rs", &prints("../gen/deep/page")),
        ],
    );
    is_right_each_time(&world, "page");
}

#[test]
fn an_ignored_file_in_the_workspace_and_in_no_package_is_written_again() {
    let world = world(
        "",
        &[
            (".gitignore", "target\n/gen\n"),
            ("Cargo.toml", "[workspace]\nresolver = \"2\"\nmembers = [\"app\"]\n"),
            ("app/Cargo.toml", MANIFEST),
            ("app/build.rs", &writes("../gen/deep/page")),
            ("app/src/main.rs", &prints("../gen/deep/page")),
        ],
    );
    is_right_each_time(&world, "page");
}

/// A program that prints a file which its script puts into `~/.cache`, and names as this `VALUE`.
fn cached(script: &str) -> World {
    let main =
        "fn main() { print!(\"{}\", std::fs::read_to_string(concat!(env!(\"SEEN\"), \"/deep/page\")).unwrap()); }\n";
    let script = format!(
        "fn main() {{ println!(\"cargo:rerun-if-changed=build.rs\"); \
         let dir = std::env::var(\"HOME\").unwrap() + \"/.cache/some tool\"; println!(\"cargo:rustc-env=SEEN={{dir}}\"); {script} }}\n"
    );
    let mut world = world(
        "",
        &[(".gitignore", "/target\n"), ("Cargo.toml", MANIFEST), ("build.rs", &script), ("src/main.rs", main)],
    );
    // The toolchain is found by the home folder, unless something else says where it is.
    let rustup = std::env::var("RUSTUP_HOME").unwrap_or_else(|_| std::env::var("HOME").unwrap() + "/.rustup");
    world.env.insert("RUSTUP_HOME".into(), rustup);
    world.env.insert("HOME".into(), world.dir.join("home").display().to_string());
    world
}

const FILLS: &str = "std::fs::create_dir_all(format!(\"{dir}/deep\")).unwrap(); std::fs::write(format!(\"{dir}/deep/page\"), \"page\").unwrap();";

/// A wiped machine has nothing in its home folder, either.
fn wiped(world: &World) -> String {
    let _ = fs::remove_dir_all(world.dir.join("home"));
    world.wipe_and_clone();
    world.restore()
}

#[test]
fn a_file_in_the_home_folder_that_a_build_script_names_is_written_again() {
    for named in ["", "println!(\"cargo:warning=wrote {dir}/deep/page\");"] {
        let world = cached(&format!("{FILLS}{named}"));
        for run in 0..3 {
            let log = wiped(&world);
            let compiled = world.build().compiled;
            assert_eq!(world.output(), "page", "run {run}: {log}");
            assert!(compiled.contains("app build-script run"), "run {run}: {compiled:?}");
            world.save();
        }
    }
}

/// A tool that it builds for itself.
#[test]
fn a_file_in_the_cargo_home_that_a_build_script_names_is_written_again() {
    let script = "let dir = std::env::var(\"CARGO_HOME\").unwrap() + \"/bin\"; println!(\"cargo:rustc-env=TOOL={dir}/tool\"); \
                  std::fs::create_dir_all(&dir).unwrap(); std::fs::write(format!(\"{dir}/tool\"), \"page\").unwrap();";
    let world = cached(&format!("{FILLS}{script}"));
    for run in 0..3 {
        let bin = world.dir.join("cargo-home/bin");
        let _ = fs::remove_dir_all(&bin);
        wiped(&world);
        world.build();
        assert_eq!(fs::read_to_string(bin.join("tool")).unwrap(), "page", "run {run}");
        world.save();
    }
    world.wipe_and_clone();
    world.restore();
    assert!(world.build().compiled.is_empty());
}

/// It is not replaced, although it is newer than the script's start.
#[cfg(unix)]
#[test]
fn a_library_that_a_build_script_makes_in_a_home_folder_that_stays_is_linked_once() {
    let script = "let dir = std::env::var(\"HOME\").unwrap() + \"/.cache/native\"; std::fs::create_dir_all(&dir).unwrap(); \
                  std::fs::write(format!(\"{dir}/odd.c\"), \"int odd(void) { return 7; }\").unwrap(); \
                  for words in [[\"cc\", \"-c\", \"odd.c\"], [\"ar\", \"crs\", \"libodd.a\"]] { \
                  let last = if words[0] == \"ar\" { vec![\"odd.o\"] } else { vec![] }; \
                  assert!(std::process::Command::new(words[0]).args(&words[1..]).args(last).current_dir(&dir).status().unwrap().success()); } \
                  println!(\"cargo:rustc-link-search=native={dir}\"); println!(\"cargo:rustc-link-lib=static=odd\");";
    let world = cached(&format!("{FILLS}{script}"));
    wiped(&world);
    world.build();
    world.save();
    for run in 0..2 {
        world.wipe_and_clone();
        let log = world.restore();
        let compiled = world.build().compiled;
        assert!(compiled.is_empty(), "run {run}: {compiled:?} {log}");
        world.save();
    }
    // Somebody else's is another one.
    fs::copy(world.dir.join("home/.cache/native/odd.o"), world.dir.join("home/.cache/native/libodd.a")).unwrap();
    world.wipe_and_clone();
    let log = world.restore();
    assert!(log.contains("libodd.a`, which is another file now"), "{log}");
}

/// What stays is compared like everything else, and a time of it is nobody's business.
#[test]
fn a_machine_that_keeps_its_home_folder_runs_the_script_when_another_file_is_there() {
    let world = cached(FILLS);
    wiped(&world);
    world.build();
    let page = world.dir.join("home/.cache/some tool/deep/page");
    // The program itself, or another tool, leaves something beside it.
    fs::write(page.with_file_name("log"), "ran").unwrap();
    world.save();
    let again = |text: Option<&str>| {
        if let Some(text) = text {
            fs::write(&page, text).unwrap();
        }
        let before = restored_time(&page);
        fs::write(page.with_file_name("log"), "ran again").unwrap();
        world.wipe_and_clone();
        world.restore();
        assert_eq!(restored_time(&page), before);
        let compiled = world.build().compiled;
        world.save();
        (!compiled.is_empty(), fs::read_to_string(&page).unwrap())
    };
    assert_eq!(again(None), (false, "page".to_owned()));
    // Another tool writes the same once more.
    assert_eq!(again(Some("page")), (false, "page".to_owned()));
    assert_eq!(again(Some("another branch's")), (true, "page".to_owned()));
    assert_eq!(again(None), (false, "page".to_owned()));
}

/// A file that something else brings in every job is not the script's.
#[test]
fn what_a_step_of_the_job_brings_before_the_build_costs_one_run_at_most() {
    let world = cached(&format!("if !std::path::Path::new(&format!(\"{{dir}}/deep/page\")).exists() {{ {FILLS} }}"));
    wiped(&world);
    world.build();
    world.save();
    for run in 0..3 {
        wiped(&world);
        write(&world.dir.join("home/.cache/some tool/deep/page"), "page");
        let compiled = world.build().compiled;
        assert_eq!(compiled.is_empty(), run > 0, "run {run}: {compiled:?}");
        world.save();
    }
}

/// Nothing that Cargo or another unit answers for, and no folder that is everybody's.
#[test]
fn a_script_that_names_folders_above_everything_runs_once() {
    let script = "println!(\"cargo:root=/\"); println!(\"cargo:home={}\", std::env::var(\"HOME\").unwrap()); println!(\"cargo:warning={}\", std::env::temp_dir().display()); \
                  println!(\"cargo:warning={}\", std::env::var(\"OUT_DIR\").unwrap()); \
                  std::fs::write(std::env::temp_dir().join(\"passing\"), \"\").unwrap(); \
                  std::fs::write(std::env::var(\"HOME\").unwrap() + \"/passing\", \"\").unwrap();";
    let mut world = cached(&format!("{FILLS}{script}"));
    let temporary = tempfile::tempdir().unwrap();
    world.env.insert("TMPDIR".into(), temporary.path().display().to_string());
    wiped(&world);
    world.build();
    world.save();
    for dir in [temporary.path(), &world.dir.join("home")] {
        fs::remove_file(dir.join("passing")).unwrap();
    }
    world.wipe_and_clone();
    let log = world.restore();
    assert!(world.build().compiled.is_empty(), "{log}");
}

/// A program that prints the text of a git dependency, whose package lies in this folder of its repository.
fn with_dependency(folder: &str, library: &str, script: &str, ignored: &str) -> World {
    let mut world = World::new("", |dir| {
        let dependency = dir.join("dependency");
        let package = dependency.join(folder);
        write(&package.join("Cargo.toml"), &MANIFEST.replace("app", "deep"));
        write(&package.join("src/lib.rs"), library);
        write(&package.join("build.rs"), script);
        for arguments in [&["init", "--quiet"][..], &["add", "--all"], &["commit", "--quiet", "-m", "first"]] {
            git(&dependency, arguments, None);
        }
        let manifest = format!("{MANIFEST}[dependencies]\ndeep = {{ git = \"{}\" }}\n", file_url(&dependency));
        [
            ("Cargo.toml", manifest.as_str()),
            (".gitignore", ignored),
            ("src/main.rs", "fn main() { print!(\"{}\", deep::text()); }\n"),
        ]
        .map(|(path, text)| (path.to_owned(), text.to_owned()))
        .into()
    });
    world.command = vec!["build".into()];
    world
}

/// Cargo unpacks the sources of a git dependency anew on a wiped machine.
#[test]
fn what_the_script_of_a_git_dependency_writes_into_its_own_sources_is_written_again() {
    let library = "include!(\"made.rs\"); pub fn text() -> String { std::fs::read_to_string(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/made.txt\")).unwrap() + MADE }\n";
    let script = "fn main() { println!(\"cargo:rerun-if-changed=build.rs\"); std::fs::write(\"made.txt\", \"text\").unwrap(); \
             std::fs::write(\"src/made.rs\", \"pub const MADE: &str = \\\" and source\\\";\").unwrap(); }\n";
    let world = with_dependency("deep", library, script, "/target\n");
    for run in 0..3 {
        let _ = fs::remove_dir_all(world.dir.join("cargo-home"));
        world.wipe_and_clone();
        let log = world.restore();
        world.build();
        assert_eq!(world.output(), "text and source", "run {run}: {log}");
        let check = world.cargo("check");
        assert!(check.success, "run {run}: {}", check.stderr);
        world.save();
    }
    // A Cargo home that stays has it.
    world.wipe_and_clone();
    world.restore();
    assert!(world.build().compiled.is_empty());
}

/// An ignored place of the project, into which nobody looks for the work of a script that is not the project's own.
#[test]
fn what_the_script_of_a_git_dependency_writes_into_the_project_is_written_again() {
    let library = "pub fn text() -> String { std::fs::read_to_string(env!(\"MADE\")).unwrap_or_default() }\n";
    let script = "fn main() { println!(\"cargo:rerun-if-changed=build.rs\"); let out = std::env::var(\"OUT_DIR\").unwrap(); \
             let top = std::path::Path::new(&out).ancestors().nth(5).unwrap().join(\"made\"); \
             std::fs::create_dir_all(&top).unwrap(); std::fs::write(top.join(\"text\"), \"text\").unwrap(); \
             println!(\"cargo:rustc-env=MADE={}/text\", top.display()); }\n";
    let world = with_dependency("", library, script, "/target\n/made\n");
    for run in 0..3 {
        world.wipe_and_clone();
        let log = world.restore();
        world.build();
        assert_eq!(world.output(), "text", "run {run}: {log}");
        world.save();
    }
    // A work tree that stays has it.
    let _ = fs::remove_dir_all(world.target());
    world.restore();
    assert!(world.build().compiled.is_empty());
}
