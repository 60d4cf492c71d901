//! A runner that is wiped before every job: the files and variables of a step, and the cache service beside it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use rekindle::github::runner;

use super::cache_service::{CacheService, StoredEntry};
use super::{Project, World};

pub(crate) const MAIN: &[(&str, u8)] = &[("refs/heads/main", 3)];
pub(crate) const PULL_REQUEST: &[(&str, u8)] = &[("refs/pull/7/merge", 3), ("refs/heads/main", 1)];

pub(crate) struct Runner {
    pub(crate) world: World,
    pub(crate) service: CacheService,
    pub(crate) scopes: &'static [(&'static str, u8)],
    /// What steps see beside the usual.
    pub(crate) env: BTreeMap<String, String>,
    jobs: usize,
    /// Every token that a step was given.
    pub(crate) tokens: RefCell<Vec<String>>,
}

/// What one step did.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) log: String,
    pub(crate) code: Option<i32>,
    pub(crate) outputs: BTreeMap<String, String>,
}

/// What one job did.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) restore: Step,
    pub(crate) compiled: BTreeSet<String>,
    pub(crate) save: Step,
}

impl Step {
    pub(crate) fn warnings(&self) -> Vec<&str> {
        self.log.lines().filter(|line| line.starts_with("::warning ")).collect()
    }
}

impl Runner {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// More files for the workspace.
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        Self::beside(CacheService::start(), files)
    }

    /// The same with a cache service that is there already.
    pub(crate) fn beside(service: CacheService, files: &[(&str, &str)]) -> Self {
        let mut world = World::in_memory("", |_| project(files));
        world.command = vec!["build".into()];
        Self { world, service, scopes: MAIN, env: BTreeMap::new(), jobs: 0, tokens: RefCell::default() }
    }

    /// A wiped machine with a fresh clone.
    pub(crate) fn next_machine(&mut self) {
        self.world.wipe_and_clone();
        self.jobs += 1;
        fs::create_dir_all(self.temp()).unwrap();
    }

    /// Restores, builds and saves on a wiped machine.
    pub(crate) fn job(&mut self) -> Job {
        self.next_machine();
        let restore = self.restore();
        let compiled = self.world.build().compiled;
        Job { restore, compiled, save: self.save() }
    }

    pub(crate) fn restore(&self) -> Step {
        self.step(&["restore"])
    }

    pub(crate) fn save(&self) -> Step {
        self.step(&["save"])
    }

    /// What a step sees, with a token of its own.
    pub(crate) fn environment(&self) -> BTreeMap<String, String> {
        let file = |name: &str| self.temp().join(name).to_str().unwrap().to_owned();
        let token = self.service.token(self.scopes);
        self.tokens.borrow_mut().push(token.clone());
        let mut env = BTreeMap::from([
            ("GITHUB_ACTIONS".to_owned(), "true".to_owned()),
            ("GITHUB_WORKFLOW".to_owned(), "CI".to_owned()),
            ("GITHUB_JOB".to_owned(), "test".to_owned()),
            ("GITHUB_OUTPUT".to_owned(), file("output")),
            ("GITHUB_STATE".to_owned(), file("state")),
            ("GITHUB_STEP_SUMMARY".to_owned(), file("summary")),
            ("RUNNER_TEMP".to_owned(), self.temp().to_str().unwrap().to_owned()),
            ("ACTIONS_RUNTIME_TOKEN".to_owned(), token),
            ("ACTIONS_RESULTS_URL".to_owned(), self.service.url()),
            ("ACTIONS_CACHE_URL".to_owned(), self.service.url()),
            ("ACTIONS_CACHE_SERVICE_V2".to_owned(), "True".to_owned()),
        ]);
        env.extend(self.env.clone());
        env
    }

    pub(crate) fn step(&self, arguments: &[&str]) -> Step {
        let _ = fs::remove_file(self.temp().join("output"));
        let output = self.world.rekindle_step(arguments, &self.environment());
        let log = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let outputs = fs::read_to_string(self.temp().join("output")).unwrap_or_default();
        Step { log, code: output.status.code(), outputs: runner::assignments(&outputs).into_iter().collect() }
    }

    /// What the page of the run shows of this job.
    pub(crate) fn summary(&self) -> String {
        fs::read_to_string(self.temp().join("summary")).unwrap_or_default()
    }

    /// The runner's temporary folder, one for every job.
    pub(crate) fn temp(&self) -> PathBuf {
        self.world.dir.join(format!("temp-{}", self.jobs))
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.env.insert(name.to_owned(), value.to_owned());
    }

    /// Keys of target packs in the order in which they were stored.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.entries().into_iter().map(|entry| entry.key).collect()
    }

    /// What is stored, seeds apart.
    pub(crate) fn entries(&self) -> Vec<StoredEntry> {
        self.service.entries().into_iter().filter(|entry| !entry.key.starts_with("rekindle.3.seed.")).collect()
    }
}

/// A build script that makes megabytes which do not compress.
pub(crate) fn ballast(size: usize) -> String {
    let script = "fn main() {\n println!(\"cargo:rerun-if-changed=build.rs\");\n let mut x = 0x9E37_79B9_7F4A_7C15_u64;\n \
                  let mut bytes = Vec::new();\n while bytes.len() < SIZE << 20 { x ^= x << 13; x ^= x >> 7; \
                  x ^= x << 17; bytes.extend(x.to_le_bytes()); }\n \
                  std::fs::write(std::path::Path::new(&std::env::var(\"OUT_DIR\").unwrap()).join(\"ballast\"), bytes).unwrap();\n}\n";
    script.replace("SIZE", &size.to_string())
}

/// Every file below a folder.
pub(crate) fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    files
}

/// Two crates and a build script, without dependencies: a cold build takes a second.
pub(crate) fn project(files: &[(&str, &str)]) -> Project {
    let manifest = |name: &str, rest: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n{rest}")
    };
    let mut project = Project::new();
    let mut add = |path: &str, text: &str| {
        project.insert(path.to_owned(), text.to_owned());
    };
    add("Cargo.toml", "[workspace]\nresolver = \"2\"\nmembers = [\"app\", \"lib\"]\n[profile.dev]\ndebug = 0\n");
    add(".gitignore", "/target\n");
    add("lib/Cargo.toml", &manifest("lib", ""));
    add("lib/build.rs", "fn main() { println!(\"cargo:rerun-if-changed=build.rs\"); }\n");
    add("lib/src/lib.rs", "pub fn text() -> &'static str { include_str!(\"text.txt\") }\n");
    add("lib/src/text.txt", "one");
    add("app/Cargo.toml", &manifest("app", "[dependencies]\nlib = { path = \"../lib\" }\n"));
    add("app/src/main.rs", "fn main() { println!(\"{}\", lib::text()); }\n");
    for (path, text) in files {
        add(path, text);
    }
    project
}
