//! `rekindle try`: proves the promise on any checkout, with a folder as the store and no service.
//!
//! One fresh location is cloned into again and again: cold build and save; the same edit in the tree that was never wiped, for
//! the expectation; then wipe, clone, restore, build, unchanged and edited. Every restore and save is this program run anew.

mod progress;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use fs_err as fs;

use crate::cargo::verdict::{self, Verdict};
use crate::cargo::workspace::Workspace;
use crate::github::runner;
use crate::job::outcome::{TryOutcome, TryRun};
use crate::machine::ask;
use crate::machine::children;
use crate::machine::disk::{self, Kind};
use crate::phase::try_it::progress::Progress;
use crate::problem::WrongInput;
use crate::store::{DirStore, Store};

/// What to try, and with which commands.
#[derive(Debug)]
pub struct TryInputs {
    pub path: PathBuf,
    pub commands: Vec<String>,
    /// The file to edit, relative to the workspace.
    pub edit: Option<PathBuf>,
}

pub fn run(inputs: &TryInputs) -> Result<TryOutcome> {
    if let Some(file) = inputs.edit.as_ref().filter(|file| !inputs.path.join(file).is_file()) {
        let hint = "name a file of the project, relative to the workspace";
        return Err(WrongInput::new(format!("`--edit`: there is no file `{}`", file.display()), hint).into());
    }
    let commands = inputs.commands.iter().map(|command| words(command)).collect::<Result<Vec<_>>>()?;
    let temp = tempfile::Builder::new().prefix("rekindle-try-").tempdir()?;
    let base = fs::canonicalize(temp.path())?;
    let (origin, below) = origin(&inputs.path, &base)?;
    let progress = Progress::start();
    let edit = inputs.edit.clone();
    let mut trial = Trial { base, origin, below, commands, edit, env: BTreeMap::new(), progress };
    let outcome = trial.run();
    trial.progress.finish();
    outcome
}

struct Trial {
    base: PathBuf,
    origin: PathBuf,
    /// The workspace, relative to the top of its repository.
    below: PathBuf,
    commands: Vec<Vec<String>>,
    edit: Option<PathBuf>,
    /// What `restore` put into the job's environment.
    env: BTreeMap<String, String>,
    progress: Progress,
}

impl Trial {
    fn run(&mut self) -> Result<TryOutcome> {
        let before = head(&self.origin)?;
        self.progress.say("cold: clone, restore nothing, build");
        self.fresh_clone(&before)?;
        self.stay_inside()?;
        self.rekindle("restore")?;
        let (cold, _) = self.build()?;
        self.progress.say("saving");
        let save_seconds = self.rekindle("save")?;
        let pack_bytes = self.stored_bytes(&BTreeSet::new())?;
        let known = self.keys()?;

        self.progress.say("editing in the tree that was never wiped");
        self.edit()?;
        let (_, expected) = self.build()?;

        self.progress.say("warm: wipe, clone, restore, build");
        self.fresh_clone(&before)?;
        let restore_seconds = self.rekindle("restore")?;
        let (warm, warm_verdict) = self.build()?;

        self.progress.say("edited: wipe, clone, restore, build");
        self.fresh_clone(&before)?;
        self.edit()?;
        self.rekindle("restore")?;
        let (edited, edited_verdict) = self.build()?;
        self.rekindle("save")?;
        let delta_bytes = self.stored_bytes(&known)?;
        Ok(TryOutcome {
            cold,
            warm,
            edited,
            warm_compiled: warm_verdict.compiled.into_iter().collect(),
            surplus: edited_verdict.compiled.difference(&expected.compiled).cloned().collect(),
            lacking: expected.compiled.difference(&edited_verdict.compiled).cloned().collect(),
            expected: expected.compiled.len(),
            pack_bytes,
            delta_bytes,
            restore_seconds,
            save_seconds,
        })
    }

    /// A target folder that a variable or a configuration names elsewhere is somebody's, and is not wiped with the clone.
    fn stay_inside(&mut self) -> Result<()> {
        let workspace = Workspace::load(&self.workspace(), None)?;
        let own = self.workspace().join("target").to_string_lossy().into_owned();
        if !workspace.target.starts_with(&self.base) {
            self.env.insert("CARGO_TARGET_DIR".to_owned(), own.clone());
        }
        if workspace.build != workspace.target && !workspace.build.starts_with(&self.base) {
            self.env.insert("CARGO_BUILD_BUILD_DIR".to_owned(), own);
        }
        Ok(())
    }

    fn work(&self) -> PathBuf {
        self.base.join("work")
    }

    fn workspace(&self) -> PathBuf {
        self.work().join(&self.below)
    }

    fn store(&self) -> PathBuf {
        self.base.join("store")
    }

    fn keys(&self) -> Result<BTreeSet<String>> {
        Ok(DirStore::new(self.store()).find("")?.into_iter().map(|entry| entry.key).collect())
    }

    /// Bytes of the packs of target folders that are not known yet.
    fn stored_bytes(&self, known: &BTreeSet<String>) -> Result<u64> {
        let store = DirStore::new(self.store());
        let entries = store.find("")?;
        let new = entries.iter().filter(|entry| !known.contains(&entry.key) && !entry.key.contains(".cargo-home-"));
        new.map(|entry| store.size(&entry.key)).sum()
    }

    fn fresh_clone(&self, commit: &str) -> Result<()> {
        if self.work().exists() {
            fs::remove_dir_all(self.work())?;
        }
        let (origin, work) = (self.origin.to_string_lossy().into_owned(), self.work().to_string_lossy().into_owned());
        git(&self.base, &["clone", "--quiet", "--no-checkout", &origin, &work])?;
        git(&self.work(), &["checkout", "--quiet", "--detach", commit])
    }

    /// Runs this program again, as a job's step would.
    fn rekindle(&mut self, command: &str) -> Result<f64> {
        let began = Instant::now();
        let exported = self.base.join("env");
        fs::write(&exported, "")?;
        let mut program = ask::command(std::env::current_exe()?);
        // Whatever surrounds us, this is not a step of a workflow.
        for (name, _) in std::env::vars_os() {
            if ["GITHUB_", "ACTIONS_", "REKINDLE_"].iter().any(|start| name.to_string_lossy().starts_with(start)) {
                program.env_remove(name);
            }
        }
        program.arg(command).arg("--state").arg(self.base.join("state.json"));
        program.env("GITHUB_ENV", &exported).env("REKINDLE_STORE", format!("dir:{}", self.store().display()));
        let output = children::output(program.current_dir(self.workspace()).envs(&self.env))?;
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.code() == Some(2) {
            let mut lines = said.lines().map(|line| line.trim_start_matches("error: ").trim_start_matches("hint: "));
            return Err(WrongInput::new(lines.next().unwrap_or_default(), lines.next().unwrap_or_default()).into());
        }
        ensure!(output.status.success(), "`rekindle {command}` failed: {}", said.trim());
        self.env.extend(runner::assignments(&fs::read_to_string(&exported)?));
        Ok(began.elapsed().as_secs_f64())
    }

    fn build(&self) -> Result<(TryRun, Verdict)> {
        let began = Instant::now();
        let mut all = Verdict { success: true, ..Verdict::default() };
        for arguments in &self.commands {
            let verdict = verdict::run(&self.workspace(), arguments, &self.env)?;
            if !verdict.success {
                let tail: Vec<&str> = verdict.stderr.lines().rev().take(20).collect();
                let tail: Vec<&str> = tail.into_iter().rev().collect();
                bail!("`cargo {}` failed:\n{}", arguments.join(" "), tail.join("\n"));
            }
            all.merge(verdict);
        }
        let seconds = began.elapsed().as_secs_f64();
        Ok((TryRun { seconds, compiled: all.compiled.len(), fresh: all.fresh.len() }, all))
    }

    /// Edits one source file, without a commit: what a build script wrote down of the commit stays true.
    fn edit(&self) -> Result<()> {
        let path = if let Some(file) = &self.edit {
            self.workspace().join(file)
        } else {
            let workspace = Workspace::load(&self.workspace(), None)?;
            leaf_source(&workspace).context("the workspace has no source file to edit")?
        };
        let mut text = fs::read(&path).map_err(|_| {
            let hint = "name a file of the project, relative to the workspace";
            WrongInput::new(format!("there is no `{}` to edit", path.display()), hint)
        })?;
        text.extend_from_slice(b"\n// edited\n");
        fs::write(&path, text)?;
        Ok(())
    }
}

/// The first source of a member that no other member depends on.
fn leaf_source(workspace: &Workspace) -> Option<PathBuf> {
    let depended: BTreeSet<&str> =
        workspace.packages.iter().flat_map(|package| &package.path_dependencies).map(String::as_str).collect();
    let members = workspace.packages.iter().filter(|package| package.dir.starts_with(&workspace.root));
    let leaf = members.clone().find(|package| !depended.contains(package.name.as_str()) && !package.sources.is_empty());
    leaf.or_else(|| members.clone().next())?.sources.first().cloned()
}

/// A repository to clone from: a clone of the project's own, or a copy with everything committed.
fn origin(path: &Path, base: &Path) -> Result<(PathBuf, PathBuf)> {
    let path = fs::canonicalize(path).map_err(|_| {
        WrongInput::new(
            format!("there is no `{}`", path.display()),
            "name the folder of a Cargo workspace: `rekindle try path/to/it`",
        )
    })?;
    if !path.join("Cargo.toml").is_file() {
        let hint = "name the folder that holds the workspace's Cargo.toml";
        return Err(WrongInput::new(format!("there is no Cargo.toml in `{}`", path.display()), hint).into());
    }
    let origin = base.join("origin");
    let repository = crate::git::Repository::discover(&path).filter(|repository| repository.head.is_some());
    let Some(repository) = repository else {
        copy(&path, &origin)?;
        git(&origin, &["init", "--quiet"])?;
        commit_all(&origin, "copy")?;
        return Ok((origin, PathBuf::new()));
    };
    let below = path.strip_prefix(fs::canonicalize(&repository.top)?)?.to_path_buf();
    let (from, to) = (repository.top.to_string_lossy().into_owned(), origin.to_string_lossy().into_owned());
    git(base, &["clone", "--quiet", &from, &to])?;
    let changes = repository.uncommitted()?;
    for change in &changes {
        let (from, to) = (repository.top.join(change), origin.join(change));
        match fs::symlink_metadata(&from) {
            Ok(meta) if meta.is_file() => {
                to.parent().map(fs::create_dir_all).transpose()?;
                fs::copy(&from, &to)?;
            }
            Ok(_) => {}
            Err(_) => {
                let _ = fs::remove_file(&to);
            }
        }
    }
    if !changes.is_empty() {
        commit_all(&origin, "uncommitted changes")?;
    }
    Ok((origin, below))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let target = from.join("target");
    fs::create_dir_all(to)?;
    for found in disk::walk(from, &|dir| dir != target && !dir.ends_with(".git"))? {
        let relative = found.path.strip_prefix(from)?;
        let place = to.join(relative);
        match found.meta.kind {
            Kind::Folder if found.path == target || found.path.ends_with(".git") => {}
            Kind::Folder => fs::create_dir_all(place)?,
            Kind::File => {
                fs::copy(&found.path, place)?;
            }
            Kind::Symlink => disk::symlink(fs::read_link(&found.path)?, &place)?,
            Kind::Other => {}
        }
    }
    Ok(())
}

fn commit_all(dir: &Path, message: &str) -> Result<()> {
    git(dir, &["add", "--all"])?;
    let author = ["-c", "user.name=rekindle try", "-c", "user.email=try@localhost", "-c", "commit.gpgsign=false"];
    let arguments: Vec<&str> =
        author.into_iter().chain(["commit", "--quiet", "--no-verify", "--allow-empty", "-m", message]).collect();
    git(dir, &arguments)
}

fn head(dir: &Path) -> Result<String> {
    crate::git::Repository::discover(dir).and_then(|repository| repository.head).context("the copy has no commit")
}

fn git(dir: &Path, arguments: &[&str]) -> Result<()> {
    let output = children::output(ask::command("git").args(arguments).current_dir(dir)).context("cannot run `git`")?;
    ensure!(
        output.status.success(),
        "`git {}` failed: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

fn words(command: &str) -> Result<Vec<String>> {
    let words = shlex::split(command).unwrap_or_default();
    match words.split_first() {
        Some((program, rest)) if program == "cargo" && !rest.is_empty() => Ok(rest.to_vec()),
        _ => {
            let hint = "write it as on a command line: `--command 'cargo build --workspace'`";
            Err(WrongInput::new(format!("the command `{command}` is not a cargo command"), hint).into())
        }
    }
}
