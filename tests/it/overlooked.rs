//! What Cargo overlooks because it goes by times and by what was read: a mode, a new file that takes effect, a file that comes
//! late and old. The oracle is a build from scratch, since a machine that was never wiped overlooks most of it, too.

use std::time::Duration;

use filetime::FileTime;

use crate::explain::explained;
#[cfg(unix)]
use crate::support::git;
use crate::support::{World, write};

/// Git writes a file anew when only its mode changes, so a machine that was never wiped runs what reads it.
#[test]
#[cfg(unix)]
fn a_file_becomes_executable_and_nothing_else_changes() {
    use std::os::unix::fs::PermissionsExt;
    for mode in [0o755, 0o644] {
        let mut world = World::scenario();
        let path = world.origin().join("work/c/assets/p.txt");
        let set = |mode: u32| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        set(mode ^ 0o111);
        world.commit("before");
        world.first_run();
        set(mode);
        world.commit("another mode");
        let said = world.prove(&[]);
        assert!(said.contains("p.txt"), "{said}");
        let report = explained(&world);
        assert_ne!(report["compiled"], 0, "{report:#}");
    }
}

/// A step of the job that makes a file executable is no change of the repository.
#[test]
#[cfg(unix)]
fn a_step_that_sets_a_mode_rebuilds_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::scenario();
    world.first_run();
    for run in 0..2 {
        world.wipe_and_clone();
        world.restore();
        let path = world.workspace().join("c/assets/p.txt");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let verdict = world.build();
        assert!(verdict.compiled.is_empty(), "run {run}: {:?}", verdict.compiled);
        world.save();
    }
}

/// Git writes it anew in the middle of a job: a second restore does not take it for what it was.
#[test]
#[cfg(unix)]
fn a_file_becomes_executable_between_two_restores() {
    let world = World::scenario();
    world.first_run();
    world.wipe_and_clone();
    world.restore();
    assert!(world.build().compiled.is_empty());
    let (work, path) = (world.workspace(), world.workspace().join("c/assets/p.txt"));
    git(&work, &["update-index", "--chmod=+x", "c/assets/p.txt"], None);
    std::fs::remove_file(&path).unwrap();
    git(&work, &["checkout-index", "c/assets/p.txt"], None);
    let said = world.restore();
    assert!(said.contains("goes on with what it has built"), "{said}");
    let compiled = world.build().compiled;
    assert!(compiled.contains("c build-script run"), "{compiled:?}");
}

/// A package of one library with a module, and nothing that could read its files in another way.
fn plain() -> World {
    let mut world = World::new("", |_| {
        let manifest = "[package]\nname = \"plain\"\nversion = \"0.1.0\"\nedition = \"2021\"\n";
        let files = [
            ("Cargo.toml", manifest),
            (".gitignore", "/target\n"),
            ("src/lib.rs", "pub mod sub;\n"),
            ("src/sub.rs", "pub fn sub() {}\n"),
        ];
        files.map(|(path, text)| (path.to_owned(), text.to_owned())).into()
    });
    world.command = ["build", "--offline"].map(str::to_owned).to_vec();
    world
}

/// The compiler refuses a module that has two files; a build that was restored has to find that out.
#[test]
fn a_module_gets_a_second_file() {
    for (new, moved) in [("src/sub/mod.rs", None), ("src/sub.rs", Some("src/sub/mod.rs"))] {
        let mut world = plain();
        if let Some(moved) = moved {
            world.remove(&["src/sub.rs"]);
            world.change(&[(moved, "pub fn sub() {}\n")]);
        }
        world.first_run();
        world.change(&[(new, "pub fn sub() {}\n")]);
        world.wipe_and_clone();
        let said = world.restore();
        assert!(said.contains("is the same module"), "{said}");
        let verdict = world.cargo(&world.command.join(" "));
        assert!(!verdict.success && verdict.stderr.contains("E0761"), "{new}: {}", verdict.stderr);
    }
}

/// Clippy names its settings if there are some, and nothing if there are none.
#[test]
fn settings_of_clippy_appear() {
    for path in ["work/clippy.toml", "work/a/.clippy.toml"] {
        let mut world = World::scenario();
        world.change(&[(
            "work/a/src/sub.rs",
            "pub fn sub() -> &'static str { let forbidden = \"sub-1\"; forbidden }\n",
        )]);
        world.command = ["clippy", "--offline", "-p", "a"].map(str::to_owned).to_vec();
        world.first_run();
        world.wipe_and_clone();
        world.restore();
        assert!(world.build().compiled.is_empty());
        world.change(&[(path, "disallowed-names = [\"forbidden\"]\n")]);
        let verdict = world.warm_run();
        assert!(verdict.compiled.iter().any(|unit| unit.starts_with("a ")), "{path}: {:?}", verdict.compiled);
        let text = explained(&world)["rebuilds"][0]["text"].as_str().unwrap().to_owned();
        assert!(text.contains("clippy.toml` is new"), "{text}");
    }
}

/// A step brings a file with the time that it has in an archive.
fn bring(world: &World, text: &str) {
    let path = world.workspace().join("a/brought.txt");
    write(&path, text);
    filetime::set_file_mtime(&path, FileTime::from_unix_time(1_000_000_000, 0)).unwrap();
}

/// Cargo compares times, and an ignored file that is brought after the restore is older than everything. The job that brings it
/// is as stale as it would be on a kept machine, is told so, and the state is not: the next run builds it.
#[test]
fn a_step_brings_another_file_with_an_old_time() {
    let mut world = World::scenario();
    let lib = std::fs::read_to_string(world.origin().join("work/a/src/lib.rs")).unwrap();
    let ignored = std::fs::read_to_string(world.origin().join("work/.gitignore")).unwrap() + "/a/brought.txt\n";
    let lib = lib
        + "\npub fn brought() -> &'static str { include_str!(\"../brought.txt\") }\n#[test]\nfn is_new() { if let Ok(now) = std::env::var(\"BROUGHT\") { assert_eq!(brought(), now) } }\n";
    world.change(&[("work/a/src/lib.rs", &lib), ("work/.gitignore", &ignored)]);
    world.command = ["test", "--offline", "-p", "a", "--lib"].map(str::to_owned).to_vec();
    world.wipe_and_clone();
    world.restore();
    bring(&world, "one");
    world.build();
    world.save();

    for (run, text) in ["one", "one", "two", "two", "two"].into_iter().enumerate() {
        std::thread::sleep(Duration::from_millis(20));
        world.wipe_and_clone();
        world.restore();
        bring(&world, text);
        let is_stale = run == 2;
        if !is_stale {
            world.env.insert("BROUGHT".into(), text.into());
        }
        let verdict = world.build();
        assert_eq!(verdict.compiled.is_empty(), run != 3, "run {run}: {:?}\n{}", verdict.compiled, verdict.stderr);
        world.env.remove("BROUGHT");
        let said = world.save();
        assert_eq!(said.contains("brought.txt` came after the restore"), is_stale, "run {run}: {said}");
    }
}

/// Documentation that is doubted is taken away as a whole; what was taken away was built before.
#[test]
fn documentation_that_was_doubted_says_so() {
    let mut world = World::scenario();
    world.command = ["doc", "--offline", "--no-deps", "-p", "a"].map(str::to_owned).to_vec();
    world.first_run();
    world.remove(&["work/a/src/chosen.rs"]);
    world.change(&[("work/a/src/chosen.rs", "pub fn chosen() -> &'static str { \"no link\" }\n")]);
    world.warm_run();
    let report = explained(&world);
    let documented = report["rebuilds"].as_array().unwrap().iter().find(|rebuild| {
        rebuild["units"].as_array().unwrap().iter().any(|unit| unit.as_str().unwrap().contains("docs"))
    });
    let cause = &documented.unwrap_or_else(|| panic!("{report:#}"))["cause"]["because"];
    assert!(cause == "forced" || cause == "source-changed", "{report:#}");
}
