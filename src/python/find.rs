//! Which interpreters go into the key: those that the input names, or the one that a build would find.
//!
//! `auto` looks where pyo3 does: `PYO3_PYTHON`, `VIRTUAL_ENV`, PATH. What is set decides, also when nothing is there: taking the
//! next would put an interpreter into the key that the build does not use. What an input names has to be there.

use std::collections::BTreeMap;
use std::env::consts::ARCH;
use std::path::{Path, PathBuf};

use anyhow::Result;
use fs_err as fs;

use super::answers::Answers;
use super::interpreter::{InterpreterFacts, numbers};
use super::project;
use super::venv::Venv;
use super::wish::{PythonWish, Version, Wanted};
use crate::cargo::lockfile::Locked;
use crate::cargo::workspace::Workspace;
use crate::problem::WrongInput;
use crate::python::Interpreter;

/// The interpreters of a job.
#[derive(Clone, Debug, Default)]
pub struct Interpreters {
    /// In the order in which they were asked for.
    pub found: Vec<InterpreterFacts>,
    /// Why there is none although the project needs one.
    pub note: Option<String>,
    /// Why none was looked for.
    pub unneeded: bool,
}

/// A job's variables and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    pub environment: &'a BTreeMap<String, String>,
    pub current: &'a Path,
}

impl Interpreters {
    /// Finds what is wished for. `project` says why the job needs an interpreter, if it does.
    pub fn find(wish: &PythonWish, around: Surroundings<'_>, project: impl FnOnce() -> Option<String>) -> Result<Self> {
        let mut answers = Answers::default();
        match wish {
            PythonWish::Off => Ok(Self { unneeded: true, ..Self::default() }),
            PythonWish::Auto => Ok(match project() {
                None => Self { unneeded: true, ..Self::default() },
                Some(reason) => around.auto(&mut answers, &reason),
            }),
            PythonWish::These(wanted) => {
                let mut found: Vec<InterpreterFacts> = Vec::new();
                for wanted in wanted {
                    let facts = around.wanted(wanted, &mut answers)?;
                    if !found.iter().any(|known| known.path == facts.path) {
                        found.push(facts);
                    }
                }
                Ok(Self { found, ..Self::default() })
            }
        }
    }

    /// Those of a job with these workspaces.
    pub fn of_job(wish: &PythonWish, workspaces: &[Workspace], locked: &[Locked]) -> Result<Self> {
        let environment = crate::machine::environment::variables();
        let current = std::env::current_dir()?;
        let around = Surroundings { environment: &environment, current: &current };
        Self::find(wish, around, || project::reason(workspaces, locked))
    }

    /// For the report.
    pub fn named(&self) -> Vec<Interpreter> {
        let named = self.found.iter().map(|facts| Interpreter {
            path: facts.path.display().to_string(),
            name: facts.name(),
            tag: facts.tag(),
        });
        named.collect()
    }

    /// For the key: every path as it is spelled, with what is there.
    pub fn parts(&self) -> BTreeMap<String, String> {
        self.found.iter().map(|facts| (facts.path.display().to_string(), facts.key_text())).collect()
    }
}

impl Surroundings<'_> {
    fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn auto(&self, answers: &mut Answers, reason: &str) -> Interpreters {
        let set = |name: &'static str| Some((name, self.variable(name)?));
        let (found, trouble) = if let Some((name, value)) = set("PYO3_PYTHON") {
            (self.named(value, answers), format!("`{name}` names `{value}`"))
        } else if let Some((name, value)) = set("VIRTUAL_ENV") {
            (answers.of(&Venv::python(&self.current.join(value))).ok(), format!("`{name}` names `{value}`"))
        } else {
            (self.on_path(answers), "none answers on PATH".to_owned())
        };
        let note = found.is_none().then(|| {
            format!(
                "{reason}, but no Python interpreter is there ({trouble}), so the key knows none: it is set up after this \
                 step, or is missing; set it up before this step"
            )
        });
        Interpreters { found: found.into_iter().collect(), note, unneeded: false }
    }

    /// What a path or a command leads to.
    fn named(&self, text: &str, answers: &mut Answers) -> Option<InterpreterFacts> {
        if text.contains(['/', '\\']) {
            return answers.of(&self.current.join(text)).ok();
        }
        self.commands(text).iter().find_map(|path| behind_shim(path, answers))
    }

    /// The first Python 3 of those that pyo3 would run.
    fn on_path(&self, answers: &mut Answers) -> Option<InterpreterFacts> {
        ["python", "python3"].iter().find_map(|name| {
            let path = self.commands(name).into_iter().next()?;
            let is_python_2 = fs::canonicalize(&path)
                .is_ok_and(|real| real.file_name().is_some_and(|name| name.to_string_lossy().starts_with("python2")));
            if is_python_2 { None } else { behind_shim(&path, answers) }
        })
    }

    /// Every program of this name on PATH, first things first.
    fn commands(&self, name: &str) -> Vec<PathBuf> {
        let found = which::which_in_all(name, self.variable("PATH"), self.current);
        found.map(|found| found.filter(|path| path.is_absolute()).collect()).unwrap_or_default()
    }

    fn wanted(&self, wanted: &Wanted, answers: &mut Answers) -> Result<InterpreterFacts> {
        match wanted {
            Wanted::Path(path) => {
                let in_folder = || inside(path).pop().unwrap_or_else(|| Venv::python(path));
                let python = if path.is_dir() { in_folder() } else { path.clone() };
                if !python.exists() {
                    return Err(missing(&path.display().to_string(), "name an interpreter that is there by now").into());
                }
                answers.of(&python).map_err(|error| {
                    let what = format!("`python: {}` is not an interpreter: {}", path.display(), error.root_cause());
                    WrongInput::new(what, "name a Python 3 interpreter, or the folder of a virtual environment").into()
                })
            }
            Wanted::Command(name) => self.named(name, answers).ok_or_else(|| {
                missing(name, "write a path, a version as in `3.12`, `auto` or `off`; a command has to be on PATH")
                    .into()
            }),
            Wanted::Version(version) => self.of_version(version, answers).ok_or_else(|| {
                let hint = "set this version up before this step; in YAML write it with quotes, since `3.10` is 3.1";
                missing(&version.to_string(), hint).into()
            }),
        }
    }

    fn of_version(&self, version: &Version, answers: &mut Answers) -> Option<InterpreterFacts> {
        let mut fits = |path: &Path| behind_shim(path, answers).filter(|facts| version.is(facts));
        let on_path = version.commands().into_iter().flat_map(|name| self.commands(&name));
        let set_up = self.variable("pythonLocation").map(PathBuf::from).into_iter().flat_map(|dir| inside(&dir));
        on_path.chain(set_up).chain(self.tool_cache(version)).find_map(|path| fits(&path))
    }

    /// Interpreters of the runner's tool cache whose folder says that they may be of this version, the newest first.
    fn tool_cache(&self, version: &Version) -> Vec<PathBuf> {
        let Some(cache) = self.variable("RUNNER_TOOL_CACHE") else {
            return Vec::new();
        };
        let tool = if version.implementation == "pypy" { "PyPy" } else { "Python" };
        let mut versions: Vec<([u32; 3], PathBuf)> = folders(&Path::new(cache).join(tool))
            .into_iter()
            .filter_map(|dir| Some((numbers(&dir.file_name()?.to_string_lossy())?, dir)))
            .filter(|(numbers, _)| version.begins(*numbers))
            .collect();
        versions.sort_by(|a, b| b.cmp(a));
        let machine = match ARCH {
            "x86_64" => "x64",
            "aarch64" => "arm64",
            other => other,
        };
        // `x64`, and `x64-freethreaded` beside it.
        let fits = |dir: &PathBuf| dir.file_name().is_some_and(|name| name.to_string_lossy().starts_with(machine));
        versions.iter().flat_map(|(_, dir)| folders(dir)).filter(fits).flat_map(|dir| inside(&dir)).collect()
    }
}

/// What the interpreter at this path is; a version manager's shim stands for the one that it leads to.
fn behind_shim(path: &Path, answers: &mut Answers) -> Option<InterpreterFacts> {
    let facts = answers.of(path).ok()?;
    let real = |path: &Path| fs::canonicalize(path).ok();
    match real(&facts.executable) {
        Some(executable) if real(path).as_ref() != Some(&executable) => {
            let executable = facts.executable.clone();
            answers.of(&executable).ok()
        }
        _ => Some(facts),
    }
}

fn missing(text: &str, hint: &str) -> WrongInput {
    WrongInput::new(format!("`python: {text}` is not there"), hint)
}

fn folders(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    found.sort();
    found
}

/// Where a prefix has its interpreter.
fn inside(prefix: &Path) -> Vec<PathBuf> {
    let places = ["bin/python", "bin/python3", "bin/pypy3", "Scripts/python.exe", "python.exe", "pypy3.exe"];
    places.iter().map(|place| prefix.join(place)).find(|path| path.is_file()).into_iter().collect()
}
