//! What a run costs in which nothing has to be done: the program is installed, everything is restored, nothing is compiled and
//! nothing is saved. Beside it, `actions/cache` does the same with its own client, at the same service, which answers every
//! request 10 ms late. Medians of alternating rounds; `cargo bench --bench nothing` runs it.
//!
//! It needs node and the official client, which `tests/all.sh` puts into target/tools.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, reason = "a bench is for people")]

mod clock;
#[allow(dead_code, reason = "other benches use the rest")]
mod machine;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use clock::{median, timed};
use machine::{Machine, commit, run};
use rekindle::digest::Digest;
use serde_json::json;

const ROUNDS: usize = 9;
const DELAY: Duration = Duration::from_millis(10);
/// What the whole may cost on two cores.
const LIMIT: Duration = Duration::from_millis(1500);

fn main() {
    let temp = tempfile::tempdir().unwrap();
    let machine = Machine::new(temp.path(), DELAY);
    machine.install();
    machine.begin();
    machine.hook("main.js");
    machine.build();
    assert!(machine.hook("post.js").contains("target: saved"));
    machine.client("save", "key");

    let (mut restores, mut saves, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        machine.begin();
        restores.push(timed(|| assert!(machine.hook("main.js").contains("restored "))));
        machine.build();
        saves.push(timed(|| assert!(machine.hook("post.js").contains("target: not saved, nothing was compiled"))));
        machine.begin();
        // Its post step finds out that there is nothing to do.
        theirs.push(timed(|| {
            machine.client("restore", "key");
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
        commit(&self.path("origin"));
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
}
