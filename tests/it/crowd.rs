//! Many at once: jobs of one host that share a store and a Cargo home, two uses of the action in one job, the same step twice,
//! and a restore beside a cargo that builds. Nothing is torn, and nothing is lost.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::runner::{Runner, project};
use crate::support::{World, git, scrub, words, write};

const JOBS: usize = 8;

fn run(mut command: Command, dir: &Path, env: &BTreeMap<String, String>) -> Output {
    command.current_dir(dir).stdin(Stdio::null());
    scrub(&mut command);
    command.envs(env).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn rekindle(arguments: &[&str], dir: &Path, env: &BTreeMap<String, String>) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rekindle"));
    command.args(arguments);
    let output = run(command, dir, env);
    let log = said(&output);
    assert_eq!(output.status.code(), Some(0), "{log}");
    assert!(!log.contains("warning: ") && !log.contains("::warning"), "{log}");
    log
}

/// Builds, and says what the program prints and how many crates were compiled.
fn build(dir: &Path, env: &BTreeMap<String, String>) -> (String, usize) {
    let mut command = Command::new("cargo");
    command.args(["build", "--offline"]);
    let output = run(command, dir, env);
    let log = said(&output);
    assert!(output.status.success(), "{log}");
    let compiled = log.lines().filter(|line| line.trim_start().starts_with("Compiling ")).count();
    let output = Command::new(dir.join("target/debug/app")).output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), compiled)
}

#[test]
fn eight_jobs_share_a_store_and_a_cargo_home() {
    let world = World::in_memory("", |_| {
        let main = "fn main() { println!(\"{} {}\", lib::text(), itoa::Buffer::new().format(7)); }\n";
        let mut project = project(&[("app/src/main.rs", main)]);
        project.get_mut("app/Cargo.toml").unwrap().push_str("itoa = \"1\"\nfnv = \"1\"\nscopeguard = \"1\"\n");
        project
    });
    let home = PathBuf::from(&world.env["CARGO_HOME"]);
    let mut fetch = Command::new("cargo");
    fetch.arg("fetch");
    assert!(run(fetch, &world.origin(), &world.env).status.success());
    // What each job fetches is a copy of this, so that they come from nowhere else.
    let full = world.dir.join("full-home");
    copy(&home, &full);
    for round in 0..3 {
        fs::remove_dir_all(&home).unwrap();
        fs::create_dir_all(&home).unwrap();
        std::thread::scope(|scope| {
            for job in 0..JOBS {
                let (world, home, full) = (&world, &home, &full);
                scope.spawn(move || {
                    let dir = world.dir.join(format!("job-{job}"));
                    let _ = fs::remove_dir_all(&dir);
                    git(
                        &world.dir,
                        &["clone", "--quiet", world.origin().to_str().unwrap(), dir.to_str().unwrap()],
                        None,
                    );
                    let text = format!("job {job}, round {round}");
                    // Half of them have the same text in each round.
                    let text = if job % 2 == 0 { "one".to_owned() } else { text };
                    write(&dir.join("lib/src/text.txt"), &text);
                    let state = world.dir.join(format!("state-{job}.json"));
                    let store = format!("dir:{}", world.store().display());
                    let state = state.to_str().unwrap();
                    let log = rekindle(&["restore", "--state", state, "--store", &store], &dir, &world.env);
                    if round == 0 {
                        copy(full, home);
                    }
                    let (output, compiled) = build(&dir, &world.env);
                    assert_eq!(output, format!("{text} 7\n"), "{log}");
                    if round > 0 {
                        assert_eq!(compiled, if job % 2 == 0 { 0 } else { 2 }, "{log}");
                    }
                    rekindle(&["save", "--state", state], &dir, &world.env);
                });
            }
        });
        let left = fs::read_dir(world.store()).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(left.into_iter().all(|name| name.to_string_lossy().ends_with(".tar.zst")), "half an entry is left");
    }
}

/// As a package manager fills a folder that others read: whole files, by rename.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            let draft = tempfile::NamedTempFile::new_in(to).unwrap();
            fs::copy(entry.path(), draft.path()).unwrap();
            draft.persist(target).unwrap();
        }
    }
}

/// A step of the action, as its JavaScript runs it.
fn hook(runner: &Runner, phase: &str, workspaces: &str, state: &str) -> String {
    let mut command = Command::new("node");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/hook").join(phase));
    let kept = runner.temp().join("kept");
    let _ = fs::remove_file(&kept);
    let mut env = runner.world.env.clone();
    for (name, value) in [
        ("GITHUB_ACTIONS", "true"),
        ("GITHUB_WORKFLOW", "CI"),
        ("GITHUB_JOB", "test"),
        ("GITHUB_RUN_ID", "1"),
        ("ACTIONS_CACHE_SERVICE_V2", "True"),
        ("INPUT_JOB-STATUS", "success"),
        ("INPUT_WORKSPACES", workspaces),
        ("INPUT_BINARY", env!("CARGO_BIN_EXE_rekindle")),
        ("STATE_binary", env!("CARGO_BIN_EXE_rekindle")),
        ("STATE_state", state),
        ("GITHUB_STATE", kept.to_str().unwrap()),
        ("RUNNER_TEMP", runner.temp().to_str().unwrap()),
        ("ACTIONS_RUNTIME_TOKEN", &runner.service.token(runner.scopes)),
        ("ACTIONS_RESULTS_URL", &runner.service.url()),
    ] {
        env.insert(name.to_owned(), value.to_owned());
    }
    let output = run(command, &runner.world.work(), &env);
    let log = said(&output);
    assert_eq!(output.status.code(), Some(0), "{log}");
    assert!(!log.contains("::warning"), "{log}");
    if phase == "post.js" {
        return log;
    }
    let said = fs::read_to_string(kept).unwrap();
    rekindle::github::runner::assignments(&said).into_iter().find(|(name, _)| name == "state").unwrap().1
}

#[test]
fn two_uses_of_the_action_in_one_job_keep_both_workspaces() {
    let sub = "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n";
    let mut runner = Runner::with(&[
        ("one/Cargo.toml", sub),
        ("one/src/main.rs", "fn main() { println!(\"one\"); }\n"),
        ("two/Cargo.toml", sub),
        ("two/src/main.rs", "fn main() { println!(\"two\"); }\n"),
        (".gitignore", "target\nCargo.lock\n"),
    ]);
    for round in 0..2 {
        runner.next_machine();
        let states = ["one", "two"].map(|workspace| hook(&runner, "main.js", workspace, ""));
        assert_ne!(states[0], states[1]);
        // A second use for the same workspace goes on where the first one was.
        assert_eq!(hook(&runner, "main.js", "two", ""), states[1]);
        for workspace in ["one", "two"] {
            let (output, compiled) = build(&runner.world.work().join(workspace), &runner.world.env);
            assert_eq!((output, compiled), (format!("{workspace}\n"), usize::from(round == 0)));
        }
        // Post steps run in reverse.
        for state in states.iter().rev() {
            let log = hook(&runner, "post.js", "", state);
            assert_eq!(log.contains("target: saved"), round == 0, "{log}");
        }
    }
}

#[test]
fn the_same_step_twice_at_once_is_as_good_as_once() {
    let mut world = World::in_memory("", |_| project(&[]));
    world.command = words("build");
    world.first_run();
    let state = world.dir.join("state.json");
    let store = format!("dir:{}", world.store().display());
    let restore = ["restore", "--state", state.to_str().unwrap(), "--store", &store];
    for round in 0..4 {
        let text = format!("round {round}");
        world.change(&[("lib/src/text.txt", &text)]);
        world.wipe_and_clone();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    // Two that move the same files in can be in each other's way, which costs warnings and no more.
                    let output = world.rekindle(&restore);
                    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
                });
            }
        });
        world.build();
        assert_eq!(world.output(), format!("{text}\n"));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| world.save());
            }
        });
        let compiled = world.warm_run().compiled;
        assert!(compiled.is_empty(), "round {round}: {compiled:?}");
        assert_eq!(world.output(), format!("{text}\n"));
    }
}

#[test]
fn a_restore_beside_a_cargo_that_builds_makes_nothing_stale() {
    let slow = "fn main() { println!(\"cargo:rerun-if-changed=build.rs\"); \
                std::thread::sleep(std::time::Duration::from_millis(1500)); }\n";
    let mut world = World::in_memory("", |_| project(&[("lib/build.rs", slow)]));
    world.command = words("build");
    world.first_run();
    for round in 0..3_u64 {
        let text = format!("round {round}");
        world.change(&[("lib/src/text.txt", &text)]);
        world.wipe_and_clone();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut command = Command::new("cargo");
                command.arg("build");
                let output = run(command, &world.work(), &world.env);
                assert!(output.status.success(), "{}", said(&output));
            });
            // At its start, while its script runs, and near its end.
            std::thread::sleep(std::time::Duration::from_millis(100 + 700 * round));
            world.restore();
        });
        world.build();
        assert_eq!(world.output(), format!("{text}\n"), "round {round}");
        world.save();
        world.warm_run();
        assert_eq!(world.output(), format!("{text}\n"), "round {round}, the next machine");
    }
}
