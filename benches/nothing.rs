//! What a run costs in which nothing has to be done: the program is installed, everything is restored, nothing is compiled and
//! nothing is saved. Beside it, `actions/cache` does the same with its own client, at the same service, which answers every
//! request 10 ms late. Medians of alternating rounds; `cargo bench --bench nothing` runs it.
//!
//! It needs node and the official client, which `tests/all.sh` puts into target/tools.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, reason = "a bench is for people")]

#[path = "../tests/it/support/azurite.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod azurite;
#[path = "../tests/it/support/cache_service/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the tests use the rest")]
mod cache_service;
#[path = "../tests/it/support/raw_http.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod raw_http;

mod clock;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use cache_service::{CacheService, Fault, Route};
use clock::{median, timed};
use rekindle::digest::Digest;
use serde_json::json;

const ROUNDS: usize = 9;
const DELAY: Duration = Duration::from_millis(10);
/// What the whole may cost on two cores.
const LIMIT: Duration = Duration::from_millis(1500);

struct Machine {
    dir: PathBuf,
    service: CacheService,
}

fn main() {
    let temp = tempfile::tempdir().unwrap();
    let machine = Machine { dir: fs::canonicalize(temp.path()).unwrap(), service: CacheService::start() };
    for route in [Route::Create, Route::Finalize, Route::Lookup, Route::PutBlob, Route::GetBlob, Route::HeadBlob] {
        machine.service.fault(route, Fault::Stall(DELAY), usize::MAX);
    }
    machine.install();
    machine.begin();
    machine.hook("main.js");
    machine.build();
    assert!(machine.hook("post.js").contains("target: saved"));
    machine.client("save");

    let (mut restores, mut saves, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        machine.begin();
        restores.push(timed(|| assert!(machine.hook("main.js").contains("restored "))));
        machine.build();
        saves.push(timed(|| assert!(machine.hook("post.js").contains("target: not saved, nothing was compiled"))));
        machine.begin();
        // Its post step finds out that there is nothing to do.
        theirs.push(timed(|| {
            machine.client("restore");
            run(Command::new("node").args(["-e", "0"]));
        }));
    }
    let [restore, save, theirs] = [&mut restores, &mut saves, &mut theirs].map(|times| median(times));
    let ours = restore + save;
    println!(
        "a run with nothing to do: {} ms (install and restore {}, save {}), {:.2} of `actions/cache` over `target` ({} ms); the \
         limit is {} ms{}",
        ours.as_millis(),
        restore.as_millis(),
        save.as_millis(),
        ours.as_secs_f64() / theirs.as_secs_f64(),
        theirs.as_millis(),
        LIMIT.as_millis(),
        if ours > LIMIT { ", and this is more" } else { "" }
    );
}

impl Machine {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The action as a release has it, and its program where an earlier job left it.
    fn install(&self) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        run(Command::new("cp").arg("-R").arg(root.join("dist")).arg(self.path("dist")));
        let program = fs::read(env!("CARGO_BIN_EXE_rekindle")).unwrap();
        let asset = json!({
            "url": "https://example.invalid/releases/download/v1.0.0/asset.gz",
            "size": 1,
            "sha256": "",
            "program_size": program.len(),
            "program_sha256": Digest::of(&program).to_string(),
        });
        let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
        let release = json!({ "version": "1.0.0", "targets": { target: asset } });
        fs::write(self.path("dist/release.json"), release.to_string()).unwrap();
        let machine = if std::env::consts::ARCH == "aarch64" { "arm64" } else { "x64" };
        let place = self.path("tools/rekindle/1.0.0").join(machine);
        fs::create_dir_all(&place).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_rekindle"), place.join("rekindle")).unwrap();
        fs::write(place.with_extension("complete"), "").unwrap();
        // The sources.
        run(Command::new("cp").arg("-R").arg(root.join("tests/fixtures/tour")).arg(self.path("origin")));
        let _ = fs::remove_dir_all(self.path("origin/target"));
        let origin = self.path("origin");
        run(Command::new("git").args(["init", "--quiet"]).current_dir(&origin));
        run(Command::new("git").args(["add", "--all", "--force"]).current_dir(&origin));
        let commit = ["-c", "user.name=x", "-c", "user.email=x@localhost", "commit", "--quiet", "-m", "x"];
        run(Command::new("git").args(commit).current_dir(&origin));
    }

    /// A wiped machine with a fresh clone.
    fn begin(&self) {
        for name in ["work", "temp"] {
            let _ = fs::remove_dir_all(self.path(name));
        }
        fs::create_dir_all(self.path("temp")).unwrap();
        run(Command::new("git").args(["clone", "--quiet"]).arg(self.path("origin")).arg(self.path("work")));
    }

    fn build(&self) {
        let mut cargo = Command::new("cargo");
        cargo.args(["test", "--quiet", "--no-run"]).current_dir(self.path("work"));
        run(self.environment(&mut cargo));
    }

    fn hook(&self, phase: &str) -> String {
        let mut node = Command::new("node");
        node.arg(self.path("dist/hook").join(phase)).current_dir(self.path("work"));
        let state = fs::read_to_string(self.path("temp/state")).unwrap_or_default();
        for (name, value) in rekindle::github::runner::assignments(&state) {
            node.env(format!("STATE_{name}"), value);
        }
        // What the hook itself keeps is one line.
        node.envs(state.lines().find_map(|line| Some(("STATE_binary", line.strip_prefix("binary=")?))));
        node.env("INPUT_JOB-STATUS", "success").env("RUNNER_TOOL_CACHE", self.path("tools"));
        run(self.environment(&mut node))
    }

    fn client(&self, call: &str) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let modules = root.join("target/tools/npm/node_modules");
        assert!(modules.join("@actions/cache").is_dir(), "the official client is missing: run tests/all.sh");
        let mut node = Command::new("node");
        node.arg(root.join("tests/e2e/official_client.mjs")).arg(modules).args([call, "key", "target"]);
        let said = run(self.environment(&mut node).current_dir(self.path("work")));
        assert!(said.contains(if call == "save" { "\"id\":" } else { "\"key\":\"key\"" }), "{said}");
    }

    fn environment<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            let ours = ["CARGO", "GITHUB_", "ACTIONS_", "REKINDLE_", "RUNNER_", "INPUT_", "STATE_"];
            if ours.iter().any(|start| text.starts_with(start)) {
                command.env_remove(&name);
            }
        }
        for file in ["output", "state", "summary", "env", "path"] {
            let variable = if file == "summary" { "STEP_SUMMARY".to_owned() } else { file.to_uppercase() };
            command.env(format!("GITHUB_{variable}"), self.path("temp").join(file));
            // A runner has made them.
            let _ = fs::OpenOptions::new().append(true).create(true).open(self.path("temp").join(file));
        }
        command.env("GITHUB_ACTIONS", "true").env("GITHUB_WORKFLOW", "CI").env("GITHUB_JOB", "test");
        command.env("GITHUB_WORKSPACE", self.path("work")).env("GITHUB_SERVER_URL", "https://github.com");
        command.env("RUNNER_TEMP", self.path("temp")).env("CARGO_HOME", self.path("cargo-home"));
        command.env("CARGO_INCREMENTAL", "0").env("ACTIONS_RESULTS_URL", self.service.url());
        command.env("ACTIONS_CACHE_SERVICE_V2", "True");
        command.env("ACTIONS_RUNTIME_TOKEN", self.service.token(&[("refs/heads/main", 3)])).stdin(Stdio::null())
    }
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(!said.contains("::warning"), "{said}");
    said
}
