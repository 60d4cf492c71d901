//! Outputs that carry no unit id in their names: whose they are, and what they go with.

use std::fs;

use crate::support::{Project, World};

const MANIFEST: &str = "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\
                        [features]\nloud = []\n[lib]\ncrate-type = [\"cdylib\", \"rlib\"]\n";
const LIB: &str = "pub fn text() -> &'static str { if cfg!(feature = \"loud\") { \"LOUD\" } else { \"quiet\" } }\n";

fn world() -> World {
    let main = "fn main() { println!(\"{}\", app::text()); }\n";
    world_of(&[("Cargo.toml", MANIFEST), ("src/lib.rs", LIB), ("src/main.rs", main)])
}

/// A workspace of these files.
fn world_of(files: &[(&str, &str)]) -> World {
    let all = files.iter().chain(&[(".gitignore", "/target\n")]);
    let project: Project = all.map(|(path, text)| (format!("work/{path}"), (*text).to_owned())).collect();
    let mut world = World::new("work", |_| project);
    world.command = vec!["build".into()];
    world
}

/// Job after job of one command on a state that another one has left.
fn stays_warm(world: &World, others: &[&str], own: &str) {
    world.wipe_and_clone();
    world.restore();
    for command in others.iter().chain([&own]) {
        let verdict = world.cargo(command);
        assert!(verdict.success, "{}", verdict.stderr);
    }
    world.save();
    for run in 0..3 {
        world.wipe_and_clone();
        world.restore();
        let verdict = world.cargo(own);
        assert!(verdict.success && verdict.compiled.is_empty(), "run {run}: {:?}", verdict.compiled);
        // Something that is worth a save, or nothing is dropped.
        fs::write(world.workspace().join("src/main.rs"), format!("fn main() {{ println!(\"{run}\"); }}\n")).unwrap();
        assert!(world.cargo(own).success);
        world.save();
        fs::write(world.origin().join("work/src/main.rs"), format!("fn main() {{ println!(\"{run}\"); }}\n")).unwrap();
        crate::support::git(&world.origin(), &["commit", "--quiet", "--all", "-m", "run"], None);
    }
}

#[test]
fn a_library_without_an_id_outlives_the_checks_of_it() {
    let mut world = world();
    world.options = ["--keep-unused", "1"].map(str::to_owned).to_vec();
    stays_warm(&world, &["check", "clippy", "doc", "test --no-run"], "build");
}

#[test]
fn a_library_without_an_id_outlives_builds_with_other_features() {
    let mut world = world();
    world.options = ["--keep-unused", "1"].map(str::to_owned).to_vec();
    stays_warm(
        &world,
        &["build --features loud", "check --features loud", "rustc --lib --crate-type staticlib"],
        "build",
    );
}

#[test]
fn a_library_without_an_id_is_that_of_the_last_build() {
    let world = world();
    world.first_run();
    assert!(world.cargo("build --features loud").success);
    world.save();
    world.wipe_and_clone();
    world.restore();
    assert!(world.cargo("build --features loud").compiled.is_empty());
    assert_eq!(world.output(), "LOUD\n");
    world.wipe_and_clone();
    world.restore();
    assert!(!world.cargo("build").compiled.is_empty());
    assert_eq!(world.output(), "quiet\n");
}

/// Two of these write one file, and Cargo takes that of the last for the one that is asked for.
const TURNS: [(&str, &str, &str); 5] = [
    ("work/Cargo.toml", "version = \"0.1.0\"", "version = \"0.2.0\""),
    ("work/dep/Cargo.toml", "version = \"0.1.0\"", "version = \"0.2.0\""),
    ("work/Cargo.toml", "default = []", "default = [\"loud\"]"),
    ("work/Cargo.toml", "debug-assertions = true", "debug-assertions = false"),
    ("work/.cargo/config.toml", "[]", "[\"--cfg\", \"flagged\"]"),
];

fn extension() -> World {
    let dependency = "[package]\nname = \"dep\"\nversion = \"0.1.0\"\nedition = \"2021\"\n";
    let manifest = "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\ndescription = \"told once\"\n[lib]\ncrate-type = [\"cdylib\"]\n\
                    [features]\ndefault = []\nloud = []\n[dependencies]\ndep = { path = \"dep\" }\n\
                    [profile.dev]\ndebug-assertions = true\n";
    let lib = "#[no_mangle]\npub extern \"C\" fn text() -> *const u8 {\n    [concat!(\"<\", env!(\"CARGO_PKG_VERSION\"), \">\\0\").as_ptr(), dep::TEXT.as_ptr(),\n     \
               if cfg!(feature = \"loud\") { \"<loud>\".as_ptr() } else { \"<quiet>\".as_ptr() },\n     \
               if cfg!(debug_assertions) { \"<checked>\".as_ptr() } else { \"<trusted>\".as_ptr() },\n     \
               if cfg!(flagged) { \"<flagged>\".as_ptr() } else { \"<plain>\".as_ptr() }][std::process::id() as usize % 5]\n}\n";
    world_of(&[
        ("Cargo.toml", manifest),
        (".cargo/config.toml", "[build]\nrustflags = []\n"),
        ("src/lib.rs", lib),
        ("dep/Cargo.toml", dependency),
        ("dep/src/lib.rs", "pub const TEXT: &str = concat!(\"<dep \", env!(\"CARGO_PKG_VERSION\"), \">\\0\");\n"),
    ])
}

/// Which of the texts are in the library that was just built.
fn texts(world: &World) -> Vec<&'static str> {
    let name = format!("{}app{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let library = fs::read(world.target().join("debug").join(name)).unwrap();
    let all = [
        "<0.1.0>",
        "<0.2.0>",
        "<dep 0.1.0>",
        "<dep 0.2.0>",
        "<loud>",
        "<quiet>",
        "<checked>",
        "<trusted>",
        "<flagged>",
        "<plain>",
    ];
    all.into_iter().filter(|text| memchr::memmem::find(&library, text.as_bytes()).is_some()).collect()
}

/// Commits one edit of a file.
fn edit(world: &mut World, path: &str, old: &str, new: &str) {
    let text = fs::read_to_string(world.origin().join(path)).unwrap();
    assert!(text.contains(old), "{path}: {text}");
    world.change(&[(path, &text.replace(old, new))]);
}

#[test]
fn a_library_without_an_id_is_that_of_the_checkout_when_two_of_it_take_turns() {
    for (path, first, second) in TURNS {
        let mut world = extension();
        world.first_run();
        let mut seen = vec![texts(&world)];
        for (old, new) in [(first, second), (second, first)] {
            edit(&mut world, path, old, new);
            world.wipe_and_clone();
            let log = world.restore();
            world.build();
            seen.push(texts(&world));
            assert_ne!(seen[seen.len() - 2], seen[seen.len() - 1], "{path}: {new}: {log}");
            let log = world.save();
            // Where an older state fits as it is, nothing is compiled.
            let is_foreseen = ["it came true", "0 not foreseen", "nothing was compiled"];
            assert!(is_foreseen.iter().any(|text| log.contains(text)), "{path}: {new}: {log}");
        }
        assert_eq!(seen[0], seen[2], "{path}");
        // As long as nothing turns, nothing is compiled, whatever else is edited.
        edit(&mut world, "work/Cargo.toml", "once", "twice");
        let again = world.warm_run().compiled;
        assert!(again.is_empty(), "{path}: {again:?}");
    }
}

#[test]
fn a_library_without_an_id_is_that_of_the_checkout_on_a_disk_that_is_kept() {
    let (path, first, second) = TURNS[0];
    let mut world = extension();
    world.first_run();
    let expected = texts(&world);
    for (old, new) in [(first, second), (second, first)] {
        edit(&mut world, path, old, new);
        world.update_in_place();
        world.restore();
        world.build();
        world.save();
    }
    assert_eq!(texts(&world), expected);
}

/// It begins with what another one left, of whose builds nobody knows which it wants.
#[test]
fn a_library_without_an_id_is_that_of_the_checkout_in_a_job_that_starts_from_another_ones_state() {
    let (path, first, second) = TURNS[0];
    let mut world = extension();
    world.first_run();
    let expected = texts(&world);
    edit(&mut world, path, first, second);
    world.warm_run();
    world.save();
    edit(&mut world, path, second, first);
    world.options = ["--key", "other"].map(str::to_owned).to_vec();
    world.wipe_and_clone();
    let log = world.restore();
    assert!(log.contains("which another job stored"), "{log}");
    world.build();
    assert_eq!(texts(&world), expected, "{log}");
}

/// Cargo has one place for a library without an id, whichever features of a dependency went into it.
#[test]
fn a_library_without_an_id_that_two_commands_of_a_job_build_is_explained_and_foreseen() {
    let package = |name: &str, rest: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n{rest}")
    };
    let app = "[lib]\ncrate-type = [\"cdylib\", \"rlib\"]\n[dependencies]\ndep = { path = \"../dep\" }\n";
    let other = "[dependencies]\ndep = { path = \"../dep\", features = [\"more\"] }\n";
    let mut world = world_of(&[
        ("Cargo.toml", "[workspace]\nresolver = \"2\"\nmembers = [\"app\", \"dep\", \"other\"]\n"),
        ("app/Cargo.toml", &package("app", app)),
        ("app/src/lib.rs", "pub fn text() -> &'static str { dep::text() }\n"),
        ("dep/Cargo.toml", &package("dep", "[features]\nmore = []\n")),
        ("dep/src/lib.rs", &LIB.replace("loud", "more")),
        ("other/Cargo.toml", &package("other", other)),
        ("other/src/lib.rs", ""),
    ]);
    world.command = vec!["build".into(), "--workspace".into()];
    let mut logs = Vec::new();
    for _ in 0..3 {
        world.wipe_and_clone();
        let mut log = world.restore();
        assert!(world.cargo("build -p app").success);
        world.build();
        log += &world.save();
        logs.push(log);
    }
    for log in &logs[1..] {
        assert!(log.contains("app (lib): the job's commands take turns with it: it has one place"), "{log}");
        assert!(log.contains("against each variant of `dep (lib)`"), "{log}");
    }
    assert!(logs[2].contains("forecast: it came true"), "{}", logs[2]);
    // What was taken away is still told as that.
    fs::remove_dir_all(world.target().join("debug/deps")).unwrap();
    let output = world.rekindle(&["explain", "--", "cargo", "build", "--workspace", "--offline"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("was missing") && !said.contains("take turns"), "{said}");
}
