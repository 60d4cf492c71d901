//! The `isolation` input: what each of its values puts into the environment of later steps, and that none of them names an
//! interpreter there.

use std::collections::BTreeMap;
use std::fs;

use crate::support::{World, write};

/// The environment that a step of a workflow leaves to later ones, and its exit code and words.
fn step(world: &World, isolation: Option<&str>) -> (i32, String, String) {
    let runner = world.dir.join("runner");
    fs::create_dir_all(&runner).unwrap();
    let file = |name: &str| runner.join(name).to_str().unwrap().to_owned();
    let mut env = BTreeMap::from([
        ("GITHUB_ACTIONS".to_owned(), "true".to_owned()),
        ("GITHUB_ENV".to_owned(), file("env")),
        ("GITHUB_PATH".to_owned(), file("path")),
        ("RUNNER_TEMP".to_owned(), runner.to_str().unwrap().to_owned()),
        ("REKINDLE_STORE".to_owned(), format!("dir:{}", world.store().display())),
    ]);
    env.extend(isolation.map(|value| ("REKINDLE_ISOLATION".to_owned(), value.to_owned())));
    let output = world.rekindle_step(&["restore"], &env);
    let read = |name: &str| fs::read_to_string(file(name)).unwrap_or_default();
    let left = format!("{}{}", read("env"), read("path"));
    fs::remove_dir_all(&runner).unwrap();
    (output.status.code().unwrap(), left, String::from_utf8(output.stdout).unwrap())
}

fn world() -> World {
    let world = World::new("", |_| {
        let files = [
            ("Cargo.toml", "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
            ("src/main.rs", "fn main() {}\n"),
            ("build.rs", "fn main() {\n    println!(\"cargo:rerun-if-env-changed=PYO3_PYTHON\");\n}\n"),
        ];
        files.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).collect()
    });
    world.wipe_and_clone();
    world
}

#[test]
fn no_value_names_an_interpreter_to_the_job() {
    let world = world();
    for isolation in [None, Some("report"), Some("base"), Some("alias")] {
        let (code, left, said) = step(&world, isolation);
        assert_eq!(code, 0, "{said}");
        for name in ["PYO3_", "VIRTUAL_ENV", "PYTHON_SYS_EXECUTABLE", "CARGO=", "CARGO<"] {
            assert!(!left.contains(name), "{isolation:?}: {left}");
        }
        let has = |text: &str| left.contains(text);
        let is_base = isolation == Some("base");
        assert_eq!(has("MATURIN_PEP517_USE_BASE_PYTHON<<"), is_base, "{left}");
        assert_eq!(has("SETUPTOOLS_RUST_PEP517_USE_BASE_PYTHON<<"), is_base, "{left}");
        assert_eq!(has("/rekindle/shim/bin\n"), isolation == Some("alias"), "{left}");
    }
}

#[test]
fn base_is_refused_where_a_build_script_runs_the_interpreter() {
    let world = world();
    let script = world.workspace().join("build.rs");
    write(&script, "fn main() {\n    let python = std::env::var(\"PYO3_PYTHON\");\n    drop(python);\n}\n");
    let (code, left, said) = step(&world, Some("base"));
    assert_eq!((code, left.as_str()), (2, ""), "{said}");
    let place = format!("{}:2, `PYO3_PYTHON`", script.display());
    assert!(said.starts_with("::error") && said.contains("isolation: base") && said.contains(&place), "{said}");
    assert_eq!(step(&world, Some("alias")).0, 0);
}

#[test]
fn outside_of_a_workflow_the_lines_are_printed() {
    let world = world();
    let output = world.rekindle(&["restore", "--isolation", "base", "--store", "dir:/nonexistent"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.lines().any(|line| line == "export MATURIN_PEP517_USE_BASE_PYTHON=1"), "{said}");
    let output = world.rekindle(&["restore", "--isolation", "sometimes"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said.contains("invalid value `sometimes` for `isolation`") && said.contains("`report`, `base`, `alias`"),
        "{said}"
    );
}
