//! A machine of a bench: a folder with a work tree, a cache service of its own, and `actions/cache`'s own client beside our program.

#[path = "../../tests/it/support/azurite.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod azurite;
#[path = "../../tests/it/support/cache_service/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the tests use the rest")]
pub(crate) mod cache_service;
#[path = "../../tests/it/support/raw_http.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod raw_http;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use cache_service::{CacheService, Fault, Link, Route};

pub(crate) struct Machine {
    dir: PathBuf,
    cargo_home: PathBuf,
    pub(crate) service: CacheService,
}

impl Machine {
    /// Below that folder; its service answers every request so much later.
    pub(crate) fn new(dir: &Path, delay: Duration) -> Self {
        let service = CacheService::start();
        if !delay.is_zero() {
            for route in
                [Route::Create, Route::Finalize, Route::Lookup, Route::PutBlob, Route::GetBlob, Route::HeadBlob]
            {
                service.fault(route, Fault::Stall(delay), usize::MAX);
            }
        }
        let dir = fs::canonicalize(dir).unwrap();
        Self { cargo_home: dir.join("cargo-home"), dir, service }
    }

    /// With the Cargo home that a corpus was built with.
    pub(crate) fn with_cargo_home(self, cargo_home: PathBuf) -> Self {
        Self { cargo_home, ..self }
    }

    /// Over a line that carries so many bytes a second, and so many over each connection.
    pub(crate) fn over(self, all: u64, each: u64) -> Self {
        self.service.set_link(Link::new(all, each));
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A wiped machine with a fresh clone. What was there is put away: a disk is slow for minutes after many files were removed.
    pub(crate) fn begin(&self) {
        for name in ["work", "temp"] {
            self.put_away(name);
        }
        fs::create_dir_all(self.path("temp")).unwrap();
        run(Command::new("git").args(["clone", "--quiet"]).arg(self.path("origin")).arg(self.path("work")));
    }

    pub(crate) fn put_away(&self, name: &str) {
        let attic = self.path("attic");
        fs::create_dir_all(&attic).unwrap();
        let number = fs::read_dir(&attic).unwrap().count();
        let _ = fs::rename(self.path(name), attic.join(number.to_string()));
    }

    /// `save` or `restore` of the target folder, by the official client.
    pub(crate) fn client(&self, call: &str, key: &str) {
        let mut node = Command::new("node");
        node.args(client_call(call, key));
        let said = run(self.environment(&mut node).current_dir(self.path("work")));
        let expected = if call == "save" { "\"id\":".to_owned() } else { format!("\"key\":\"{key}\"") };
        assert!(said.contains(&expected), "{said}");
    }

    /// Nothing but what a runner gives.
    pub(crate) fn environment<'a>(&self, command: &'a mut Command) -> &'a mut Command {
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
        command.env("RUNNER_TEMP", self.path("temp")).env("CARGO_HOME", &self.cargo_home);
        command.env("CARGO_INCREMENTAL", "0").env("ACTIONS_RESULTS_URL", self.service.url());
        command.env("ACTIONS_CACHE_SERVICE_V2", "True");
        command.env("ACTIONS_RUNTIME_TOKEN", self.service.token(&[("refs/heads/main", 3)])).stdin(Stdio::null())
    }
}

/// What node is told so that the official client does that.
pub(crate) fn client_call(call: &str, key: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let modules = root.join("target/tools/npm/node_modules");
    assert!(modules.join("@actions/cache").is_dir(), "the official client is missing: run tests/all.sh");
    let script = root.join("tests/e2e/official_client.mjs");
    let paths = [&script, &modules].map(|path| path.to_str().unwrap().to_owned());
    paths.into_iter().chain([call, key, "target"].map(str::to_owned)).collect()
}

/// Makes a repository of a folder, of all that is there but what it ignores.
pub(crate) fn commit(dir: &Path) {
    let author = ["-c", "user.name=x", "-c", "user.email=x@localhost"];
    for arguments in [&["init", "--quiet"][..], &["add", "--all"], &["commit", "--quiet", "-m", "x"]] {
        run(Command::new("git").args(author).args(arguments).current_dir(dir));
    }
}

pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(!said.contains("::warning"), "{said}");
    said
}
