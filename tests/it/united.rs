//! A job takes from each state that it can see what that one alone has built of fetched packages, and only where it fits: one that has
//! stored nothing from jobs that are set up alike, any other from its own older states.

use std::collections::BTreeSet;

use crate::support::{World, file_url, git, write};

/// Of the job that has more to give, and of the other one.
const COMMANDS: [&str; 2] = ["build -p app -p slow", "build -p tool"];

/// What both sides are made of; its build script makes a number.
fn base(number: &str) -> String {
    format!(
        "fn main() {{\n    println!(\"cargo:rerun-if-env-changed=LEVEL\");\n    let number = {number};\n    \
         let level = std::env::var(\"LEVEL\").unwrap_or_default();\n    \
         let out = std::path::Path::new(&std::env::var(\"OUT_DIR\").unwrap()).join(\"made.rs\");\n    \
         std::fs::write(out, format!(\"pub const MADE: &str = \\\"{{number}}{{level}}\\\";\")).unwrap();\n}}\n"
    )
}

/// Two programs, each of which uses one half of a repository that Cargo fetches; and a package that takes long, with which a job has
/// more to give than the others.
fn world(number: &str) -> World {
    world_with(number, &[])
}

/// The same with more files, or others, in what is fetched.
fn world_with(number: &str, more: &[(&str, &str)]) -> World {
    let number = number.to_owned();
    World::in_memory("", move |dir| {
        let fetched = dir.join("fetched");
        let package = |name: &str, rest: &str| {
            format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n{rest}")
        };
        let uses_base = "[dependencies]\nbase = { path = \"../base\" }\n";
        let side = |name: &str| format!("pub fn text() -> String {{ format!(\"{name} {{}}\", base::MADE) }}\n");
        for (path, text) in [
            ("Cargo.toml", "[workspace]\nresolver = \"2\"\nmembers = [\"base\", \"left\", \"right\"]\n".to_owned()),
            ("base/Cargo.toml", package("base", "")),
            ("base/build.rs", base(&number)),
            ("base/src/lib.rs", "include!(concat!(env!(\"OUT_DIR\"), \"/made.rs\"));\n".to_owned()),
            ("left/Cargo.toml", package("left", uses_base)),
            ("left/src/lib.rs", side("left")),
            ("right/Cargo.toml", package("right", uses_base)),
            ("right/src/lib.rs", side("right")),
        ] {
            write(&fetched.join(path), &text);
        }
        for (path, text) in more {
            write(&fetched.join(path), text);
        }
        git(&fetched, &["init", "--quiet", "--initial-branch=main"], None);
        git(&fetched, &["add", "--all"], None);
        git(&fetched, &["commit", "--quiet", "-m", "first"], Some(1_500_000_000));
        let url = file_url(&fetched);
        let program = |name: &str, of: &str| {
            let uses = format!("[dependencies]\n{of} = {{ git = \"{url}\" }}\n");
            let main = format!("fn main() {{ println!(\"{{}}\", {of}::text()); }}\n");
            [(format!("{name}/Cargo.toml"), package(name, &uses)), (format!("{name}/src/main.rs"), main)]
        };
        let plain = [
            (".gitignore".to_owned(), "/target\n".to_owned()),
            (
                "Cargo.toml".to_owned(),
                "[workspace]\nresolver = \"2\"\nmembers = [\"app\", \"slow\", \"tool\"]\n".to_owned(),
            ),
            ("slow/Cargo.toml".to_owned(), package("slow", "")),
            (
                "slow/src/lib.rs".to_owned(),
                (0..800)
                    .map(|at| format!("pub fn f{at}(x: u64) -> String {{ format!(\"{{x}} {at}\") }}\n"))
                    .collect::<Vec<_>>()
                    .concat(),
            ),
        ];
        plain.into_iter().chain(program("app", "left")).chain(program("tool", "right")).collect()
    })
}

/// The job of this name on a wiped machine; one that is `blind` begins before anything was stored.
fn job(world: &mut World, name: &str, command: &str, blind: bool) -> (BTreeSet<String>, String) {
    world.options = vec![format!("--key={name}")];
    world.wipe_and_clone();
    let (store, aside) = (world.store(), world.dir.join("aside"));
    if blind && store.exists() {
        std::fs::rename(&store, &aside).unwrap();
    }
    let restored = world.restore();
    if aside.exists() {
        let _ = std::fs::remove_dir_all(&store);
        std::fs::rename(&aside, &store).unwrap();
    }
    assert!(!restored.contains("warning"), "{restored}");
    let verdict = world.cargo(command);
    assert!(verdict.success, "{}", verdict.stderr);
    let compiled = verdict.compiled.iter().map(|unit| unit.split(' ').next().unwrap().to_owned()).collect();
    let saved = world.save();
    assert!(!saved.contains("warning"), "{saved}");
    (compiled, format!("{restored}{saved}"))
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn said(world: &World, program: &str) -> String {
    let output = std::process::Command::new(world.target().join("debug").join(program)).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_several_jobs_have_built_of_fetched_packages_is_there_for_a_new_one() {
    // What one has may be older than what it was built from in the other, or newer.
    for order in [["tool", "app"], ["app", "tool"]] {
        let mut world = world("1");
        for name in order {
            job(&mut world, name, COMMANDS[usize::from(name == "tool")], true);
        }
        let (compiled, log) = job(&mut world, "all", "build --workspace", false);
        // It starts from the one that has more, and of the other only the program itself is built.
        assert_eq!(compiled, set(&["tool"]), "{log}");
        assert_eq!((said(&world, "app"), said(&world, "tool")), ("left 1\n".into(), "right 1\n".into()));
        let (compiled, log) = job(&mut world, "all", "build --workspace", false);
        assert_eq!(compiled, set(&[]), "{log}");
        assert!(log.contains("nothing was compiled and nothing was dropped"), "{log}");
    }
}

#[test]
fn what_was_built_from_other_bytes_is_not_mixed() {
    // Each run of the build script makes another number.
    let mut world = world("std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos()");
    for (name, command) in ["app", "tool"].into_iter().zip(COMMANDS) {
        job(&mut world, name, command, true);
    }
    let (compiled, log) = job(&mut world, "all", "build --workspace", false);
    assert_eq!(compiled, set(&["right", "tool"]), "{log}");
    let number = |text: String| text.split_whitespace().nth(1).unwrap().to_owned();
    assert_eq!(number(said(&world, "app")), number(said(&world, "tool")));
}

#[test]
fn what_depends_on_a_variable_is_taken_only_where_both_say_the_same() {
    let mut world = world("1");
    for (name, command, level) in [("app", COMMANDS[0], "low"), ("tool", COMMANDS[1], "high")] {
        world.env.insert("LEVEL".into(), level.into());
        job(&mut world, name, command, true);
    }
    for level in ["low", "high"] {
        world.env.insert("LEVEL".into(), level.into());
        let (_, log) = job(&mut world, &format!("all-{level}"), "build --workspace", false);
        let expected = (format!("left 1{level}\n"), format!("right 1{level}\n"));
        assert_eq!((said(&world, "app"), said(&world, "tool")), expected, "{log}");
    }
}

#[test]
fn what_a_build_script_left_beside_its_folder_is_not_missed() {
    // Beside everything that Cargo made; the library looks for it when it runs.
    let script = "fn main() {\n    println!(\"cargo:rerun-if-changed=build.rs\");\n    \
                  let out = std::path::PathBuf::from(std::env::var(\"OUT_DIR\").unwrap());\n    \
                  let helper = out.ancestors().nth(3).unwrap().join(\"deps/helper.txt\");\n    \
                  std::fs::write(&helper, \"helps\").unwrap();\n    \
                  println!(\"cargo:rustc-env=HELPER={}\", helper.display());\n}\n";
    let library = "pub fn text() -> String {\n    let helper = std::fs::read_to_string(env!(\"HELPER\"));\n    \
                   format!(\"right {} {:?}\", base::MADE, helper.ok())\n}\n";
    let mut world = world_with("1", &[("right/build.rs", script), ("right/src/lib.rs", library)]);
    for (name, command) in ["app", "tool"].into_iter().zip(COMMANDS) {
        job(&mut world, name, command, true);
    }
    for compiled in [set(&["right", "tool"]), set(&[])] {
        let (these, log) = job(&mut world, "all", "build --workspace", false);
        assert_eq!(these, compiled, "{log}");
        assert_eq!(said(&world, "tool"), "right 1 Some(\"helps\")\n");
    }
}

/// A program that uses two packages, each fetched at one of two versions that are not in the other's repository.
fn versions(of_left: u8, of_right: u8, dir: &std::path::Path) -> String {
    let one = |name: &str, version: u8| {
        format!("{name} = {{ git = \"{}\", tag = \"{version}\" }}\n", file_url(&dir.join(name)))
    };
    format!(
        "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\n{}{}",
        one("left", of_left),
        one("right", of_right)
    )
}

fn of_versions() -> World {
    World::in_memory("", |dir| {
        for name in ["left", "right"] {
            let package = dir.join(name);
            git(&dir.join("."), &["init", "--quiet", "--initial-branch=main", name], None);
            for version in ["1", "2"] {
                let manifest =
                    format!("[package]\nname = \"{name}\"\nversion = \"{version}.0.0\"\nedition = \"2021\"\n");
                write(&package.join("Cargo.toml"), &manifest);
                write(
                    &package.join("src/lib.rs"),
                    &format!("pub fn text() -> &'static str {{ \"{name} {version}\" }}\n"),
                );
                git(&package, &["add", "--all"], None);
                git(&package, &["commit", "--quiet", "-m", version], Some(1_500_000_000));
                git(&package, &["tag", version], None);
            }
        }
        let main = "fn main() { println!(\"{} {}\", left::text(), right::text()); }\n";
        [(".gitignore", "/target\n".to_owned()), ("Cargo.toml", versions(1, 1, dir)), ("src/main.rs", main.to_owned())]
            .map(|(path, text)| (path.to_owned(), text))
            .into()
    })
}

#[test]
fn where_branches_meet_each_gives_what_it_alone_has_built() {
    let mut world = of_versions();
    let at = |world: &mut World, (left, right): (u8, u8)| {
        write(&world.origin().join("Cargo.toml"), &versions(left, right, &world.dir));
        let lock = world.cargo_raw(&world.origin(), &["update", "--quiet", "left", "right"]);
        assert!(lock.status.success(), "{}", String::from_utf8_lossy(&lock.stderr));
        world.commit("versions");
        world.wipe_and_clone();
        world.options = vec!["--keep-unused=0".to_owned()];
        let restored = world.restore();
        let verdict = world.cargo("build");
        assert!(verdict.success, "{}", verdict.stderr);
        let saved = world.save();
        assert!(!restored.contains("warning") && !saved.contains("warning"), "{restored}{saved}");
        assert_eq!(said(world, "app"), format!("left {left} right {right}\n"));
        let compiled = verdict.compiled.iter().map(|unit| unit.split(' ').next().unwrap().to_owned());
        (compiled.collect::<BTreeSet<_>>(), format!("{restored}{saved}"))
    };
    assert_eq!(at(&mut world, (1, 1)).0, set(&["app", "left", "right"]));
    assert_eq!(at(&mut world, (2, 1)).0, set(&["app", "left"]));
    assert_eq!(at(&mut world, (1, 2)).0, set(&["app", "right"]));
    // One branch built this, the other that. A machine that was never wiped has both.
    let (compiled, log) = at(&mut world, (2, 2));
    assert_eq!(compiled, set(&["app"]), "{log}");
    let (compiled, log) = at(&mut world, (2, 2));
    assert_eq!(compiled, set(&[]), "{log}");
    assert!(log.contains("nothing was compiled and nothing was dropped"), "{log}");
}
