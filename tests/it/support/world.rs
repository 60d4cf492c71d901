//! One machine that is wiped again and again, and the git server it clones from.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use filetime::FileTime;
use rekindle::cargo::verdict::{self, Verdict};

use super::Project;

/// Commits are dated from here on, one day apart, unless a test says otherwise.
const FIRST_DATE: i64 = 1_700_000_000;

pub(crate) struct World {
    pub(crate) dir: PathBuf,
    _temp: tempfile::TempDir,
    /// Where the workspace lies below the top of the repository.
    pub(crate) below: PathBuf,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) command: Vec<String>,
    /// Arguments for every `restore` and `save`.
    pub(crate) options: Vec<String>,
    pub(crate) date: i64,
    /// Where the origin is cloned to.
    pub(crate) work_dir: PathBuf,
    /// What `output` runs.
    pub(crate) binary: String,
    /// Second names of files are lost before each build, so that whatever changes is stored whole.
    pub(crate) stores_whole: bool,
}

/// What the tree that was never wiped did with a change.
pub(crate) struct Kept {
    pub(crate) compiled: BTreeSet<String>,
}

impl World {
    /// A world whose origin holds this project; `below` is its workspace.
    pub(crate) fn new(below: &str, project: impl FnOnce(&Path) -> Project) -> Self {
        Self::new_at(folder_in(&std::env::temp_dir()), below, project)
    }

    /// The same in memory where there is room for that: for tests that are not about the file system.
    pub(crate) fn in_memory(below: &str, project: impl FnOnce(&Path) -> Project) -> Self {
        Self::new_at(memory(), below, project)
    }

    /// The same in this folder.
    pub(crate) fn new_at(temp: tempfile::TempDir, below: &str, project: impl FnOnce(&Path) -> Project) -> Self {
        let dir = real(temp.path());
        let mut world = Self {
            _temp: temp,
            below: below.into(),
            env: BTreeMap::new(),
            command: words("build --workspace --all-targets"),
            options: Vec::new(),
            date: FIRST_DATE,
            binary: "app".into(),
            stores_whole: false,
            work_dir: dir.join("work"),
            dir,
        };
        world.env.insert("CARGO_HOME".into(), world.dir.join("cargo-home").to_str().unwrap().into());
        world.env.insert("CARGO_INCREMENTAL".into(), "0".into());
        world.env.insert("CARGO_TERM_COLOR".into(), "never".into());
        // The debug information of the standard library would be most of every executable. Elsewhere it is a file of its own,
        // which has to be stored too.
        if cfg!(target_os = "linux") {
            world.env.insert("CARGO_PROFILE_DEV_DEBUG".into(), "0".into());
        }
        world.env.extend(settings());
        let project = project(&world.dir);
        fs::create_dir_all(world.origin()).unwrap();
        git(&world.origin(), &["init", "--quiet", "--initial-branch=main"], None);
        for (path, text) in &project {
            write(&world.origin().join(path), text);
        }
        let lock = world.cargo_raw(&world.origin().join(&world.below), &["generate-lockfile"]);
        assert!(lock.status.success(), "{}", String::from_utf8_lossy(&lock.stderr));
        world.commit("first");
        world
    }

    /// The world of the scenarios.
    pub(crate) fn scenario() -> Self {
        Self::of_scenario(false)
    }

    /// The same with a build script that writes into its package's sources.
    pub(crate) fn scenario_with_generated() -> Self {
        let mut world = Self::of_scenario(true);
        world.binary = "gen".into();
        world
    }

    fn of_scenario(generated: bool) -> Self {
        Self::in_memory("work", |dir| {
            let gitdep = dir.join("gitdep");
            write(
                &gitdep.join("Cargo.toml"),
                "[package]\nname = \"gitdep\"\nversion = \"0.1.0\"\nedition = \"2021\"\n",
            );
            write(&gitdep.join("src/lib.rs"), "pub fn text() -> String { \"gitdep=1\".to_string() }\n");
            git(&gitdep, &["init", "--quiet", "--initial-branch=main"], None);
            git(&gitdep, &["add", "--all"], None);
            git(&gitdep, &["commit", "--quiet", "-m", "first"], Some(FIRST_DATE));
            super::scenario_project(&file_url(&gitdep), generated)
        })
    }

    pub(crate) fn origin(&self) -> PathBuf {
        self.dir.join("origin")
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.work_dir.clone()
    }

    pub(crate) fn workspace(&self) -> PathBuf {
        self.work().join(&self.below)
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.dir.join("store")
    }

    pub(crate) fn target(&self) -> PathBuf {
        self.workspace().join("target")
    }

    /// Stored packs of target folders, oldest first; no seeds.
    pub(crate) fn packs(&self) -> Vec<PathBuf> {
        self.entries().into_iter().filter(|path| !path.to_string_lossy().contains("rekindle.3.seed.")).collect()
    }

    /// Stored entries, but for those of Cargo homes, oldest first.
    pub(crate) fn entries(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.store()) else {
            return Vec::new();
        };
        let mut packs: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        packs.retain(|path| path.extension().is_some_and(|end| end == "zst"));
        packs.retain(|path| !path.to_string_lossy().contains(".cargo-home-"));
        packs.sort_by_key(|path| FileTime::from_last_modification_time(&fs::metadata(path).unwrap()));
        packs
    }

    /// Commits everything in the origin.
    pub(crate) fn commit(&mut self, message: &str) -> String {
        git(&self.origin(), &["add", "--all"], None);
        git(&self.origin(), &["commit", "--quiet", "--allow-empty", "-m", message], Some(self.date));
        self.date += 86_400;
        self.head()
    }

    pub(crate) fn head(&self) -> String {
        git(&self.origin(), &["rev-parse", "HEAD"], None).trim().to_owned()
    }

    /// Writes files in the origin and commits them.
    pub(crate) fn change(&mut self, files: &[(&str, &str)]) -> String {
        for (path, text) in files {
            write(&self.origin().join(path), text);
        }
        self.commit("change")
    }

    pub(crate) fn remove(&mut self, paths: &[&str]) -> String {
        for path in paths {
            let path = self.origin().join(path);
            if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
        }
        self.commit("remove")
    }

    /// A wiped machine with a fresh clone.
    pub(crate) fn wipe_and_clone(&self) {
        if self.work().exists() {
            remove_tree(&self.work());
        }
        let (origin, work) = (self.origin(), self.work());
        git(&self.dir, &["clone", "--quiet", origin.to_str().unwrap(), work.to_str().unwrap()], None);
    }

    /// The machine that was never wiped follows the origin.
    pub(crate) fn update_in_place(&self) {
        git(&self.work(), &["fetch", "--quiet", "origin"], None);
        let branch = git(&self.origin(), &["rev-parse", "HEAD"], None);
        git(&self.work(), &["checkout", "--quiet", "--detach", branch.trim()], None);
    }

    pub(crate) fn rekindle(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rekindle"));
        command.args(arguments).current_dir(self.workspace()).stdin(Stdio::null());
        scrub(&mut command);
        command.envs(&self.env).output().unwrap()
    }

    /// The same with more variables, as a step of a workflow has them, and with the file `typed` to read from.
    pub(crate) fn rekindle_step(&self, arguments: &[&str], more: &BTreeMap<String, String>) -> Output {
        let typed = self.dir.join("typed");
        write(&typed, "yes\n");
        let mut command = Command::new(env!("CARGO_BIN_EXE_rekindle"));
        command.args(arguments).current_dir(self.workspace()).stdin(fs::File::open(typed).unwrap());
        scrub(&mut command);
        command.envs(&self.env).envs(more).output().unwrap()
    }

    fn phase(&self, phase: &str, more: &[&str]) -> String {
        let store = format!("dir:{}", self.store().display());
        let state = self.dir.join("state.json");
        let mut arguments = vec![phase, "--state", state.to_str().unwrap()];
        if phase == "restore" {
            arguments.extend(["--store", &store]);
            arguments.extend(self.options.iter().map(String::as_str));
        }
        arguments.extend(more);
        let output = self.rekindle(&arguments);
        // Outside a workflow the log is on standard error.
        let text = format!("{}{}", String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
        assert!(output.status.success(), "{phase}: {text}");
        tell(phase, &text);
        text
    }

    pub(crate) fn restore(&self) -> String {
        self.phase("restore", &[])
    }

    pub(crate) fn save(&self) -> String {
        self.phase("save", &[])
    }

    pub(crate) fn save_with(&self, more: &[&str]) -> String {
        self.phase("save", more)
    }

    /// Starts a phase and kills it after a while, if it is still there.
    pub(crate) fn kill_during(&self, phase: &str, after: Duration) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rekindle"));
        command.args([phase, "--state", self.dir.join("state.json").to_str().unwrap()]);
        command.current_dir(self.workspace()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        scrub(&mut command);
        command.env("REKINDLE_STORE", format!("dir:{}", self.store().display()));
        let mut child = command.envs(&self.env).spawn().unwrap();
        std::thread::sleep(after);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Calls Cargo in this folder.
    pub(crate) fn cargo_raw(&self, dir: &Path, arguments: &[&str]) -> Output {
        let mut command = Command::new("cargo");
        command.args(arguments).current_dir(dir).stdin(Stdio::null());
        scrub(&mut command);
        command.envs(&self.env).output().unwrap()
    }

    /// Runs a cargo command in the work tree and listens to what it compiles.
    pub(crate) fn cargo(&self, arguments: &str) -> Verdict {
        verdict::run(&self.workspace(), &words(arguments), &self.env).unwrap()
    }

    /// Builds with the world's command; the build has to succeed.
    pub(crate) fn build(&self) -> Verdict {
        if self.stores_whole {
            let _ = fs::remove_dir_all(self.target().join(".rekindle/former"));
        }
        // Cargo's own account of why, unit by unit.
        let log = ("CARGO_LOG".to_owned(), "cargo::core::compiler::fingerprint=info".to_owned());
        let env = self.env.clone().into_iter().chain([log]).collect();
        let verdict = verdict::run(&self.workspace(), &self.command, &env).unwrap();
        assert!(verdict.success, "{}", verdict.stderr);
        let why = verdict.stderr.lines().filter(|line| ["irty", "stale"].iter().any(|word| line.contains(word)));
        tell("build", &why.collect::<Vec<_>>().join("\n"));
        verdict
    }

    /// What the program that was just built prints.
    pub(crate) fn output(&self) -> String {
        let output = Command::new(self.target().join("debug").join(&self.binary)).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Builds the program and nothing else, and says what it prints.
    pub(crate) fn run(&self) -> String {
        let mut arguments = vec!["run", "--quiet", "--bin", &self.binary];
        let features = self.command.iter().position(|word| word == "--features").map(|at| self.command[at + 1].clone());
        if let Some(features) = &features {
            arguments.extend(["--features", features]);
        }
        let output = self.cargo_raw(&self.workspace(), &arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The first run: clone, restore nothing, build, save.
    pub(crate) fn first_run(&self) -> Verdict {
        self.wipe_and_clone();
        self.restore();
        let verdict = self.build();
        self.save();
        verdict
    }

    /// A run on a wiped machine, without its save.
    pub(crate) fn warm_run(&self) -> Verdict {
        self.wipe_and_clone();
        self.restore();
        self.build()
    }

    /// What the never-wiped machine compiles for the origin as it is now.
    pub(crate) fn kept_run(&self) -> Kept {
        self.update_in_place();
        Kept { compiled: self.build().compiled }
    }

    /// What a build from scratch prints, in the same place.
    pub(crate) fn cold_output(&self) -> String {
        self.wipe_and_clone();
        self.run()
    }

    /// The whole proof for a change that is committed in the origin: the same units as on a machine that was never wiped, plus
    /// those in `extra`, and the output of a build from scratch. Gives back the restore's log.
    pub(crate) fn prove(&self, extra: &[&str]) -> String {
        let kept = self.kept_run();
        self.prove_against(kept, extra)
    }

    pub(crate) fn prove_against(&self, kept: Kept, extra: &[&str]) -> String {
        self.wipe_and_clone();
        let log = self.restore();
        let warm = self.build();
        crate::explain::agrees_with_cargo(self, &warm);
        let mut expected: BTreeSet<String> = kept.compiled;
        expected.extend(extra.iter().map(|unit| (*unit).to_owned()));
        assert_eq!(
            warm.compiled, expected,
            "left: after the restore, right: never wiped, plus what a rule adds\n{log}"
        );
        let output = self.output();
        assert_eq!(output, self.cold_output(), "left: after the restore, right: from scratch\n{log}");
        log
    }
}

/// Whoever reads a failure wants to know what had been said before.
#[expect(clippy::print_stdout, reason = "the harness shows it where a test fails")]
fn tell(step: &str, text: &str) {
    println!("== {step}\n{text}");
}

/// Removes a folder. Git's objects are read-only, and not every Windows removes such a file.
fn remove_tree(dir: &Path) {
    #[cfg(windows)]
    make_writable(dir);
    fs::remove_dir_all(dir).unwrap();
}

#[cfg(windows)]
fn make_writable(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            make_writable(&entry.path());
        } else {
            let mut permissions = entry.metadata().unwrap().permissions();
            #[expect(clippy::permissions_set_readonly_false, reason = "Windows has no other permissions")]
            permissions.set_readonly(false);
            fs::set_permissions(entry.path(), permissions).unwrap();
        }
    }
}

/// A folder by its own name: without links, and without what Windows puts before it, which Cargo and git do not print.
fn real(dir: &Path) -> PathBuf {
    let real = fs::canonicalize(dir).unwrap();
    real.to_str().and_then(|text| text.strip_prefix(r"\\?\")).map_or_else(|| real.clone(), PathBuf::from)
}

/// A folder as a URL that git and Cargo fetch from.
pub(crate) fn file_url(dir: &Path) -> String {
    let path = dir.to_str().unwrap().replace('\\', "/");
    format!("file://{}{path}", if path.starts_with('/') { "" } else { "/" })
}

fn folder_in(dir: &Path) -> tempfile::TempDir {
    tempfile::Builder::new().prefix("rekindle-it-").tempdir_in(dir).unwrap()
}

/// A folder in memory where there is room for that. A container often has 64 MB there.
pub(crate) fn memory() -> tempfile::TempDir {
    folder_in(&roomy().unwrap_or_else(std::env::temp_dir))
}

#[cfg(target_os = "linux")]
fn roomy() -> Option<PathBuf> {
    const ENOUGH: u64 = 3 << 30;
    let folder = Path::new("/dev/shm");
    let room = rustix::fs::statvfs(folder).ok()?;
    let is_roomy = room.f_bavail * room.f_frsize >= ENOUGH && tempfile::tempfile_in(folder).is_ok();
    is_roomy.then(|| folder.to_owned())
}

#[cfg(not(target_os = "linux"))]
fn roomy() -> Option<PathBuf> {
    None
}

/// Variables for every call of Cargo, `NAME=VALUE` a line: the tests can be run under other settings than the usual ones.
fn settings() -> Vec<(String, String)> {
    let text = std::env::var("REKINDLE_TEST_ENV").unwrap_or_default();
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The name of the nightly toolchain that the tests run with.
pub(crate) fn nightly() -> String {
    std::env::var("REKINDLE_TEST_NIGHTLY").unwrap_or_else(|_| "nightly".to_owned())
}

/// Whether the long forms of the tests are asked for.
pub(crate) fn full() -> bool {
    std::env::var("REKINDLE_FULL").is_ok_and(|value| value == "1")
}

/// The time that a path has on disk.
pub(crate) fn restored_time(path: &Path) -> FileTime {
    FileTime::from_last_modification_time(&fs::symlink_metadata(path).unwrap())
}

pub(crate) fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Writes a file with its folders; `-> text` makes a symlink.
pub(crate) fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    if let Some(link) = text.strip_prefix("-> ") {
        let _ = fs::remove_file(path);
        symlink(link, path);
    } else {
        if path.is_symlink() {
            fs::remove_file(path).unwrap();
        }
        fs::write(path, text).unwrap();
    }
}

/// Runs what only root may do.
#[cfg(target_os = "linux")]
pub(crate) fn as_root(words: &[&str]) {
    let is_done = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    let done = is_done(Command::new(words[0]).args(&words[1..]))
        || is_done(Command::new("sudo").arg("--non-interactive").args(words));
    assert!(done, "`{}` needs root, or sudo without a password", words.join(" "));
}

#[cfg(unix)]
fn symlink(link: &str, path: &Path) {
    std::os::unix::fs::symlink(link, path).unwrap();
}

/// Git for Windows writes a link as a file with its text, unless it is told otherwise. What stands for one to a source is a file
/// that includes it.
#[cfg(windows)]
fn symlink(link: &str, path: &Path) {
    let text = if link.ends_with(".rs") { format!("include!({link:?});\n") } else { link.to_owned() };
    fs::write(path, text).unwrap();
}

/// Takes away what the test runner's own environment would add.
pub(crate) fn scrub(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let ours =
            ["CARGO", "REKINDLE", "ACTIONS", "GITHUB", "RUNNER", "NEXTEST", "RUSTFLAGS", "RUST_", "RUSTUP_TOOLCHAIN"]
                .iter()
                .any(|start| text.starts_with(start));
        if ours || text == "CI" {
            command.env_remove(&name);
        }
    }
}

pub(crate) fn git(dir: &Path, arguments: &[&str], date: Option<i64>) -> String {
    let mut command = Command::new("git");
    command.args(["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "protocol.file.allow=always"]);
    command
        .args(["-c", "core.autocrlf=false", "-c", "maintenance.auto=false"])
        .args(arguments)
        .current_dir(dir)
        .stdin(Stdio::null());
    if let Some(date) = date {
        let date = format!("{date} +0000");
        command.env("GIT_AUTHOR_DATE", &date).env("GIT_COMMITTER_DATE", &date);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
