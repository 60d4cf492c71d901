//! Real workflow files, run by `act` on this machine: the composite, its installer, the hook's main and post steps, and act's
//! own cache server, which speaks v1.
//!
//! What runs is the shipped action: act is told that the name and branch by which it names its own hook lie in a folder here.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{git, write};

pub(crate) struct Act {
    dir: tempfile::TempDir,
    pub(crate) env: BTreeMap<String, String>,
    /// Words before the command, if it is to run on another machine.
    pub(crate) machine: Vec<String>,
}

/// What one run of a workflow did.
pub(crate) struct Run {
    pub(crate) log: String,
    pub(crate) succeeded: bool,
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn run(program: &str, arguments: &[&str], dir: &Path) -> String {
    let output = Command::new(program).args(arguments).current_dir(dir).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

impl Act {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("rekindle-act-").tempdir().unwrap();
        let act = Self { dir, env: BTreeMap::new(), machine: Vec::new() };
        fs::create_dir_all(act.path("home")).unwrap();
        // The action as its repository has it.
        let action = act.path("action");
        let listed = run("git", &["ls-files"], root());
        for file in listed.lines() {
            let text = fs::read(root().join(file)).unwrap();
            fs::create_dir_all(action.join(file).parent().unwrap()).unwrap();
            fs::write(action.join(file), text).unwrap();
        }
        act.commit("action");
        // The workspace to build.
        let tour = root().join("tests/fixtures/tour");
        run("cp", &["-R", tour.to_str().unwrap(), act.path("origin").to_str().unwrap()], root());
        let _ = fs::remove_dir_all(act.path("origin/target"));
        act.commit("origin");
        act
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        fs::canonicalize(self.dir.path()).unwrap().join(name)
    }

    pub(crate) fn commit(&self, repository: &str) {
        git(&self.path(repository), &["init", "--quiet", "--initial-branch=main"], None);
        git(&self.path(repository), &["add", "--all", "--force"], None);
        git(&self.path(repository), &["commit", "--quiet", "-m", "a commit"], None);
    }

    /// The program of this test run, where the installer looks first.
    pub(crate) fn with_installed_program(self) -> Self {
        let files = "find Cargo.toml Cargo.lock src -type f | LC_ALL=C sort | while read -r file; do \
                     printf '%s %s\\n' \"$file\" \"$(sha256sum \"$file\" | cut -d ' ' -f 1)\"; done | sha256sum | cut -c 1-16";
        let id = run("bash", &["-c", files], &self.path("action"));
        let version = format!("{}-source.{}", env!("CARGO_PKG_VERSION"), id.trim());
        let machine = if std::env::consts::ARCH == "aarch64" { "arm64" } else { "x64" };
        let place = self.path("home/.cache/act/tool_cache/rekindle").join(version).join(machine);
        fs::create_dir_all(&place).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_rekindle"), place.join("rekindle")).unwrap();
        fs::write(place.with_extension("complete"), "").unwrap();
        self
    }

    pub(crate) fn run(&self, workflow: &str, event: &str, more: &[&str]) -> Run {
        self.run_file(&root().join("tests/e2e/workflows").join(workflow), event, more)
    }

    pub(crate) fn run_file(&self, workflow: &Path, event: &str, more: &[&str]) -> Run {
        let program = root().join("target/tools/python/bin/act");
        assert!(program.exists(), "act is not installed: run tests/all.sh once");
        let words: Vec<&Path> = self.machine.iter().map(Path::new).chain([program.as_path()]).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg(event).arg("-W").arg(workflow).args(["-P", "ubuntu-latest=-self-hosted"]);
        for reference in ["v1", "main"] {
            let checkout = self.path("action").display().to_string();
            command.arg("--local-repository").arg(format!("rekindle-rs/rekindle@{reference}={checkout}"));
        }
        command.arg("--artifact-server-path").arg(self.path("artifacts")).args(["--artifact-server-port", "0"]);
        let work = self.path("work").display().to_string();
        let mut env = BTreeMap::from([
            ("WORK".to_owned(), work),
            ("ORIGIN".to_owned(), self.path("origin").display().to_string()),
            ("CARGO_HOME".to_owned(), self.path("cargo-home").display().to_string()),
            ("CARGO_INCREMENTAL".to_owned(), "0".to_owned()),
        ]);
        let home = std::env::home_dir().unwrap();
        let rustup = std::env::var("RUSTUP_HOME").unwrap_or_else(|_| home.join(".rustup").display().to_string());
        env.insert("RUSTUP_HOME".to_owned(), rustup);
        env.extend(self.env.clone());
        for (name, value) in &env {
            command.arg("--env").arg(format!("{name}={value}"));
        }
        for (name, _) in std::env::vars_os() {
            let name_text = name.to_string_lossy();
            if ["CARGO", "GITHUB", "ACTIONS", "NEXTEST", "REKINDLE"].iter().any(|start| name_text.starts_with(start)) {
                command.env_remove(&name);
            }
        }
        command.args(more).env("HOME", self.path("home")).current_dir(self.path("origin")).stdin(Stdio::null());
        let output = command.output().unwrap();
        let log = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        Run { log, succeeded: output.status.success() }
    }
}

impl Run {
    /// What steps printed, for every line that holds `mark`.
    pub(crate) fn said(&self, mark: &str) -> Vec<String> {
        let said = |line: &str| {
            ["  | ", "::error ", "::warning "].iter().find_map(|start| Some(line.split_once(start)?.1.to_owned()))
        };
        self.log.lines().filter_map(said).filter(|line| line.contains(mark)).collect()
    }
}

#[test]
fn the_second_run_of_a_workflow_compiles_nothing() {
    let act = Act::new().with_installed_program();
    let first = act.run("push.yml", "push", &[]);
    assert!(first.succeeded, "{}", first.log);
    // Jobs of a matrix have names of their own. One that begins when the other has ended has all that it needs.
    let cold = first.said("compiled 5, state miss, hit false").len();
    let warm = first.said("compiled 0, state exact, hit true").len();
    assert!(cold > 0 && cold + warm == 2, "{}", first.log);
    assert_eq!(first.said("target: saved").len(), cold, "{}", first.log);
    assert!(first.log.contains("### Rekindle: cold start of test, 0 units fresh, 6 compiled"), "{}", first.log);

    let second = act.run("push.yml", "push", &[]);
    assert_eq!(second.said("compiled 0"), ["compiled 0, state exact, hit true"; 2], "{}", second.log);
    assert_eq!(second.said("target: not saved, nothing was compiled").len(), 2, "{}", second.log);
    assert!(second.log.contains("### Rekindle: warm start of test, 6 units fresh, 0 compiled"), "{}", second.log);
    assert!(second.log.contains("| Units | 6 in use: 6 fresh, 0 compiled; 0 dropped |"), "{}", second.log);
    assert_eq!(second.said("title=Rekindle").len(), 0, "{}", second.log);
    assert_eq!(second.said("did not succeed").len(), 0, "the post step knows how the job went");
}

#[test]
fn a_job_that_places_the_save_itself_is_warm_the_next_time() {
    let act = Act::new().with_installed_program();
    let first = act.run("halves.yml", "push", &[]);
    assert_eq!(first.said("compiled 5, state miss, hit false").len(), 1, "{}", first.log);
    let (saved, deployed) = (first.log.find("target: saved"), first.log.find("Run Main Deploy"));
    assert!(saved.is_some() && saved < deployed && !first.succeeded, "{}", first.log);
    // Once, and at its place.
    assert_eq!(first.said("target: saved").len(), 1, "{}", first.log);

    let second = act.run("halves.yml", "push", &[]);
    assert_eq!(second.said("compiled 0, state exact, hit true").len(), 1, "{}", second.log);
    assert_eq!(second.said("title=Rekindle").len(), 0, "{}", second.log);
    // The steps before the save went well.
    assert_eq!(second.said("did not succeed").len(), 0, "{}", second.log);
}

#[test]
fn a_key_is_rolled_by_the_input_and_by_a_label_of_the_pull_request() {
    let mut act = Act::new().with_installed_program();
    act.run("push.yml", "push", &["--matrix", "flavour:plain"]);
    act.env.insert("ROLL".to_owned(), "again".to_owned());
    let rolled = act.run("push.yml", "push", &["--matrix", "flavour:plain"]);
    assert_eq!(rolled.said("rolled: key-roll: (none) → again").len(), 1, "{}", rolled.log);
    assert_eq!(rolled.said("compiled 5, state miss").len(), 1, "{}", rolled.log);

    act.env.clear();
    let event = act.path("event.json");
    write(
        &event,
        r#"{"pull_request":{"number":3,"labels":[{"name":"rekindle-roll:fresh"}],"head":{"ref":"fix"},"base":{"ref":"main"}}}"#,
    );
    let labelled = act.run("push.yml", "pull_request", &["--matrix", "flavour:plain", "-e", event.to_str().unwrap()]);
    assert_eq!(labelled.said("rolled: key-roll: (none) → fresh").len(), 1, "{}", labelled.log);
}

#[test]
fn a_job_that_failed_is_saved_too() {
    let act = Act::new().with_installed_program();
    let failed = act.run("failing.yml", "push", &[]);
    assert!(!failed.succeeded, "{}", failed.log);
    assert_eq!(failed.said("target: saved").len(), 1, "{}", failed.log);
    let again = act.run("failing.yml", "push", &[]);
    assert_eq!(again.said("units: 6 in use: 6 fresh, 0 compiled").len(), 1, "{}", again.log);
}

#[test]
fn the_hook_alone_installs_the_program_and_a_wrong_input_fails_the_step() {
    let mut act = Act::new().with_installed_program();
    act.env.insert("KEEP_UNUSED".to_owned(), "5".to_owned());
    let first = act.run("hook.yml", "push", &[]);
    assert!(first.succeeded && first.said("state miss").len() == 1, "{}", first.log);
    act.env.insert("RESULT".to_owned(), "1".to_owned());
    let second = act.run("hook.yml", "push", &[]);
    assert_eq!(second.said("state exact").len(), 1, "{}", second.log);
    // Only here: act tells the parts of a composite how the composite went, and not how the job did.
    assert_eq!(second.said("the job did not succeed").len(), 1, "{}", second.log);

    act.env.insert("KEEP_UNUSED".to_owned(), "always".to_owned());
    let wrong = act.run("hook.yml", "push", &[]);
    assert!(!wrong.succeeded, "{}", wrong.log);
    assert_eq!(wrong.said("`keep-unused: always` is not a number of runs").len(), 1, "{}", wrong.log);
}

#[test]
fn a_job_goes_on_where_the_program_cannot_be_installed() {
    let act = Act::new();
    // Neither a release nor a source that compiles.
    write(&act.path("action/src/main.rs"), "fn main() { this is no Rust }\n");
    act.commit("action");
    let run = act.run("push.yml", "push", &["--matrix", "flavour:plain", "--env", "REKINDLE_BUILD_LIMIT=1"]);
    assert!(run.succeeded, "{}", run.log);
    let warning = "the program could not be installed: the build took longer than 1 s; the job goes on without a cache";
    assert_eq!(run.said(warning).len(), 1, "{}", run.log);
    assert_eq!(run.said("compiled 5, state ,").len(), 1, "{}", run.log);
}
