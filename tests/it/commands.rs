//! What a person sees: wrong inputs, `try`, and the files that `restore` and `save` leave.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use rekindle::github::runner;

use crate::support::{World, write};

fn run(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rekindle"))
        .args(arguments)
        .current_dir(dir)
        .env_remove("CARGO_TARGET_DIR")
        .output()
        .unwrap()
}

fn refused(output: &Output, names: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.lines().next().unwrap().starts_with("error: "), "{stderr}");
    assert!(stderr.contains(names), "{stderr}");
    assert!(output.stdout.is_empty());
    let hints = stderr.lines().filter(|line| line.starts_with("hint: ")).count();
    assert_eq!((stderr.lines().count(), hints), (2, 1), "{stderr}");
}

#[test]
fn wrong_inputs_end_at_once_with_their_name_and_a_hint() {
    let empty = tempfile::tempdir().unwrap();
    refused(&run(empty.path(), &["restore"]), "there is no `Cargo.toml` in");
    refused(&run(empty.path(), &["restore", "--workspace", "nowhere"]), "nowhere");
    refused(&run(empty.path(), &["restore", "--store", "ftp:x"]), "the store `ftp:x`");
    refused(&run(empty.path(), &["save", "--save", "maybe"]), "invalid value `maybe` for `save`");
    refused(&run(empty.path(), &["restore", "--incremental", "perhaps"]), "invalid value `perhaps` for `incremental`");
    refused(&run(empty.path(), &["try", "nowhere"]), "nowhere");
    refused(&run(empty.path(), &["mtime"]), "no git work tree");
    refused(&run(empty.path(), &["key", "--diff", "a", "b"]), "neither a file nor a key");

    let world = World::scenario();
    world.wipe_and_clone();
    refused(&world.rekindle(&["restore", "--workspace", ". -> ../../elsewhere"]), "../../elsewhere");
    refused(&world.rekindle(&["try", ".", "--command", "make all"]), "make all");
}

#[test]
fn a_folder_without_a_manifest_is_told_where_there_are_some() {
    let dir = tempfile::tempdir().unwrap();
    for folder in ["rust", "rust/a", "tools/x", "target/y"] {
        write(&dir.path().join(folder).join("Cargo.toml"), "[package]\nname = \"x\"\n");
    }
    let output = run(dir.path(), &["restore"]);
    refused(&output, "there is no `Cargo.toml` in");
    let hint = "hint: there is one in `rust`, `rust/a`, `tools/x`: name the folder with `--workspace`, as in `rust`";
    assert!(String::from_utf8_lossy(&output.stderr).contains(hint), "{}", String::from_utf8_lossy(&output.stderr));
    let step = Command::new(env!("CARGO_BIN_EXE_rekindle"))
        .arg("restore")
        .current_dir(dir.path())
        .env("GITHUB_ACTIONS", "true")
        .env_remove("GITHUB_STATE")
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&step.stdout).contains("name the folder with `workspaces`"), "{step:?}");
}

#[test]
fn what_the_job_has_to_put_right_itself_costs_a_warning_and_never_the_job() {
    let world = World::scenario();
    world.wipe_and_clone();
    let is_warned = |output: &Output, names: &str| {
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        let warnings: Vec<&str> = stderr.lines().filter(|line| line.starts_with("warning: ")).collect();
        assert!(matches!(warnings.as_slice(), [one] if one.contains(names) && one.contains("(hint: ")), "{stderr}");
    };
    let with = |name: &str, value: &str| {
        world.rekindle_step(&["restore"], &BTreeMap::from([(name.to_owned(), value.to_owned())]))
    };
    is_warned(&with("RUSTUP_TOOLCHAIN", "1.2.3-that-nobody-has"), "1.2.3-that-nobody-has");
    let tools = world.dir.join("no-tools");
    fs::create_dir_all(&tools).unwrap();
    is_warned(&with("PATH", tools.to_str().unwrap()), "`cargo` cannot be run");
    write(&world.workspace().join("Cargo.lock"), "<<<<<<< HEAD\n");
    is_warned(&world.rekindle(&["restore"]), "Cargo.lock");
    write(&world.workspace().join("a/Cargo.toml"), "this is no toml");
    is_warned(&world.rekindle(&["restore"]), "cannot be read");
    assert!(world.save().contains("warning: nothing was saved"));
}

#[test]
fn an_unknown_option_is_refused() {
    let output = run(Path::new("."), &["restore", "--frobnicate"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--frobnicate"));
}

#[test]
fn what_a_runner_does_not_take_costs_a_warning_and_never_the_step() {
    let world = World::scenario();
    world.wipe_and_clone();
    // A folder where a file is written to.
    let folder = world.dir.join("folder");
    fs::create_dir_all(&folder).unwrap();
    let (store, state) = (format!("dir:{}", world.store().display()), world.dir.join("own/state.json"));
    let state = state.to_str().unwrap();
    let files = ["GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_PATH", "GITHUB_STATE", "GITHUB_STEP_SUMMARY"];
    let mut env: BTreeMap<String, String> =
        files.iter().map(|name| ((*name).to_owned(), folder.to_str().unwrap().to_owned())).collect();
    env.insert("GITHUB_ACTIONS".into(), "true".into());
    let step = |arguments: &[&str]| {
        let output = world.rekindle_step(arguments, &env);
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, log) = step(&["restore", "--store", &store, "--state", state]);
    assert!(code == Some(0) && log.contains("::warning") && log.contains("later steps are not told"), "{code:?} {log}");
    world.build();
    // Nor can the report be written, beside the state.
    fs::create_dir_all(world.dir.join("own/state.report.json")).unwrap();
    let (code, log) = step(&["save", "--state", state]);
    assert!(code == Some(0) && log.contains("the report was not written") && log.contains("saved "), "{code:?} {log}");
    let (code, log) = step(&["restore", "--store", &store, "--state", state, "--strict", "on"]);
    assert_eq!(code, Some(1), "{log}");
}

#[test]
fn json_holds_what_is_there_whatever_a_terminal_would_make_of_it() {
    let world = World::scenario();
    world.wipe_and_clone();
    let key = "a\u{202e}b\u{7f} ##[group] ::x";
    let output = world.rekindle(&["key", "--json", "--key", key]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(!said.contains("##[") && !said.contains('\u{202e}') && !said.contains('\u{7f}'), "{said}");
    let parts: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(parts["name"]["key"], key);
}

#[test]
fn what_is_done_on_the_way_is_said_to_whoever_asks_and_holds_no_secret() {
    let world = World::scenario();
    world.wipe_and_clone();
    let said = |arguments: &[&str], more: &[(&str, &str)]| {
        let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let output = world.rekindle_step(arguments, &more);
        assert!(output.status.success(), "{output:?}");
        [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat()
    };
    let store = format!("dir:{}", world.store().display());
    let restore = ["restore", "--store", store.as_str(), "--key", "hunter2-hunter2"];
    let secret = ("MY_TOKEN", "hunter2-hunter2");
    let asked = said(&[&restore[..], &["--verbose"]].concat(), &[secret]);
    assert!(asked.contains("debug: phase::restore: facts are gathered"), "{asked}");
    assert!(asked.contains("debug: phase::restore::stamping: sources have their times"), "{asked}");
    assert!(!asked.contains("hunter2-hunter2"), "{asked}");
    assert!(!said(&restore, &[]).contains("debug"));
    let of_run = said(&restore, &[("RUNNER_DEBUG", "1"), ("GITHUB_ACTIONS", "true"), secret]);
    assert!(of_run.contains("::debug::phase::restore: ") && !of_run.contains("hunter2-hunter2"), "{of_run}");
}

#[test]
fn a_save_without_a_restore_is_a_warning() {
    let world = World::scenario();
    world.wipe_and_clone();
    let log = world.save();
    assert!(log.contains("warning: nothing was saved"), "{log}");
}

#[test]
fn try_proves_the_promise_on_a_plain_folder() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tour");
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("tour");
    assert!(Command::new("cp").arg("-r").arg(&fixture).arg(&copy).status().unwrap().success());
    let output = run(dir.path(), &["try", "tour", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let digits = |text: &str| text.chars().filter(|c| !c.is_ascii_digit() && *c != '.').collect::<String>();
    let run = r#"{"seconds":,"compiled":,"fresh":}"#;
    let edited = r#"{"seconds":,"compiled":,"fresh":,"expected":}"#;
    let shape = format!(
        r#"{{"cold":{run},"warm":{run},"edited":{edited},"pack_bytes":,"delta_bytes":,"restore_seconds":,"save_seconds":}}"#
    );
    assert_eq!(digits(text.trim()), shape);
    assert_eq!(json["warm"]["compiled"], 0);
    assert_eq!(json["edited"]["compiled"], json["edited"]["expected"]);
    assert!(
        json["cold"]["compiled"].as_u64().unwrap() > 5 && json["delta_bytes"].as_u64() < json["pack_bytes"].as_u64()
    );
}

#[test]
fn try_leaves_a_target_folder_alone_that_is_somebody_elses() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("p/Cargo.toml"), "[package]\nname = \"p\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
    write(&dir.path().join("p/src/main.rs"), "fn main() {}\n");
    let shared = dir.path().join("shared");
    let output = Command::new(env!("CARGO_BIN_EXE_rekindle"))
        .args(["try", "p"])
        .current_dir(dir.path())
        .env("CARGO_TARGET_DIR", &shared)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(!shared.exists());
}

#[test]
fn whoever_reads_only_the_beginning_is_told_no_error() {
    for arguments in [&["doctor", "."][..], &["completions", "bash"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new(env!("CARGO_BIN_EXE_rekindle")).args(arguments).stdout(writer).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {output:?}");
    }
}

#[test]
fn try_takes_uncommitted_changes_along_and_several_commands() {
    let world = World::scenario();
    world.wipe_and_clone();
    write(&world.workspace().join("a/src/sub.rs"), "pub fn sub() -> &'static str { \"uncommitted\" }\n");
    let commands = ["--command", "cargo build --workspace", "--command", "cargo test --no-run -p b"];
    let output = world.rekindle(&[&["try", "."], &commands[..]].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("the promise holds"), "{text}");
    assert_eq!(fs::read_to_string(world.workspace().join("a/src/sub.rs")).unwrap().matches("uncommitted").count(), 1);
}

#[test]
fn try_says_so_when_the_promise_does_not_hold() {
    // A build script that asks to run every time: Cargo itself never calls it fresh.
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("Cargo.toml"), "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
    write(&dir.path().join("src/main.rs"), "fn main() {}\n");
    write(&dir.path().join("build.rs"), "fn main() { println!(\"cargo:rerun-if-changed=never-there\"); }\n");
    let output = run(dir.path(), &["try", "."]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("compiled although nothing changed: app build-script run"), "{text}");
}

#[test]
fn incremental_is_switched_off_for_the_job_and_said() {
    let mut world = World::scenario();
    world.env.remove("CARGO_INCREMENTAL");
    let env = world.dir.join("env");
    world.env.insert("GITHUB_ENV".into(), env.to_str().unwrap().into());
    world.wipe_and_clone();
    let log = world.restore();
    assert!(log.contains("CARGO_INCREMENTAL=0"), "{log}");
    let exported = runner::assignments(&fs::read_to_string(&env).unwrap());
    assert_eq!(exported, [("CARGO_INCREMENTAL".to_owned(), "0".to_owned())]);
    // Where somebody has decided, nothing is exported.
    fs::remove_file(&env).unwrap();
    world.env.insert("CARGO_INCREMENTAL".into(), "1".into());
    assert!(!world.restore().contains("CARGO_INCREMENTAL=0"));
    assert!(!env.exists());
}

#[test]
fn a_readme_beside_serde_derive_compiles_nothing() {
    // The macro and what it is built from are scanned, and read no files.
    let dir = tempfile::tempdir().unwrap();
    let manifest = "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\
                    [dependencies]\nserde = { version = \"1\", features = [\"derive\"] }\n";
    write(&dir.path().join("Cargo.toml"), manifest);
    write(&dir.path().join("src/main.rs"), "#[derive(serde::Serialize)]\nstruct A;\nfn main() { let _ = A; }\n");
    write(&dir.path().join("README.md"), "about\n");
    write(&dir.path().join(".gitignore"), "/target\n");
    let lock = Command::new("cargo").arg("generate-lockfile").current_dir(dir.path()).output().unwrap();
    assert!(lock.status.success(), "{}", String::from_utf8_lossy(&lock.stderr));
    let output = run(dir.path(), &["try", ".", "--edit", "README.md", "--command", "cargo build", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["warm"]["compiled"], &json["edited"]["compiled"]), (&0.into(), &0.into()));
}
