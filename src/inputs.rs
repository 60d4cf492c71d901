//! What the user asked for, resolved: every value typed and checked, nothing done yet.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::cargo::incremental::Wish;
use crate::decision::SaveMode;
use crate::problem::WrongInput;
use crate::store::{DirStore, Store};

/// As typed, before any of it is believed.
#[derive(Clone, Debug, Default)]
pub struct RawInputs {
    pub workspaces: Vec<String>,
    pub store: Option<String>,
    pub key: Option<String>,
    pub key_roll: Option<String>,
    pub save: Option<String>,
    pub incremental: Option<String>,
    pub keep_unused: Option<u32>,
    pub state: Option<PathBuf>,
}

#[derive(Clone, Debug)]
pub struct Inputs {
    pub workspaces: Vec<WorkspaceInput>,
    pub store: StoreInput,
    pub key: String,
    pub key_roll: String,
    pub workflow: String,
    pub job: String,
    pub save: SaveMode,
    pub incremental: Wish,
    pub keep_unused: u32,
    pub state: PathBuf,
}

/// A workspace, and its target folder where that is not what Cargo says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkspaceInput {
    pub root: PathBuf,
    pub target: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreInput {
    Dir(PathBuf),
}

impl RawInputs {
    pub fn resolve(self) -> Result<Inputs> {
        let current = std::env::current_dir()?;
        let lines: Vec<&str> =
            self.workspaces.iter().flat_map(|text| text.lines()).map(str::trim).filter(|l| !l.is_empty()).collect();
        let workspaces: Vec<WorkspaceInput> = match lines.as_slice() {
            [] => vec![WorkspaceInput { root: current.clone(), target: None }],
            lines => lines.iter().map(|line| workspace(line, &current)).collect::<Result<_>>()?,
        };
        let from_env = |name: &str| std::env::var(name).unwrap_or_default();
        let state = self.state.unwrap_or_else(|| crate::state::State::default_path(&workspaces[0].root));
        Ok(Inputs {
            store: store(self.store.as_deref())?,
            key: self.key.unwrap_or_default(),
            key_roll: self.key_roll.unwrap_or_default(),
            workflow: from_env("GITHUB_WORKFLOW"),
            job: from_env("GITHUB_JOB"),
            save: choice(
                "save",
                self.save.as_deref(),
                &[("auto", SaveMode::Auto), ("always", SaveMode::Always), ("never", SaveMode::Never)],
            )?,
            incremental: choice("incremental", self.incremental.as_deref(), &[("off", Wish::Off), ("on", Wish::On)])?,
            keep_unused: self.keep_unused.unwrap_or(3),
            state,
            workspaces,
        })
    }
}

impl StoreInput {
    pub fn open(&self) -> Box<dyn Store> {
        match self {
            Self::Dir(dir) => Box::new(DirStore::new(dir.clone())),
        }
    }
}

/// `root` or `root -> target`, relative to the current folder; the target relative to the root.
fn workspace(line: &str, current: &Path) -> Result<WorkspaceInput> {
    let (root, target) = match line.split_once("->") {
        Some((root, target)) => (root.trim(), Some(target.trim())),
        None => (line, None),
    };
    if root.is_empty() || target == Some("") {
        let hint = "write `path/to/workspace`, or `path/to/workspace -> target`";
        return Err(WrongInput::new(format!("the workspace `{line}` names no folder"), hint).into());
    }
    Ok(WorkspaceInput { root: current.join(root), target: target.map(PathBuf::from) })
}

fn store(text: Option<&str>) -> Result<StoreInput> {
    match text.map(str::trim).filter(|text| !text.is_empty()) {
        None => Ok(StoreInput::Dir(default_store())),
        Some(text) => match text.split_once(':') {
            Some(("dir", path)) if !path.is_empty() => Ok(StoreInput::Dir(std::path::absolute(path)?)),
            _ => {
                let hint = "write `dir:` and the path of a folder, as in `dir:/var/cache/rekindle`";
                Err(WrongInput::new(format!("the store `{text}` is of no known kind"), hint).into())
            }
        },
    }
}

/// The user's cache folder, as each platform has it.
fn default_store() -> PathBuf {
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || std::env::home_dir().unwrap_or_else(std::env::temp_dir);
    let base = match std::env::consts::OS {
        "windows" => var("LOCALAPPDATA").unwrap_or_else(home),
        "macos" => home().join("Library/Caches"),
        _ => var("XDG_CACHE_HOME").unwrap_or_else(|| home().join(".cache")),
    };
    base.join("rekindle")
}

fn choice<T: Copy + Default>(name: &str, text: Option<&str>, values: &[(&str, T)]) -> Result<T> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(T::default());
    };
    values.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<String> = values.iter().map(|(word, _)| format!("`{word}`")).collect();
        WrongInput::new(format!("`{name}: {text}` is not one of its values"), format!("write {}", words.join(", ")))
            .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workspace_line_may_name_its_target() {
        let base = Path::new("/w");
        assert_eq!(workspace("a", base).unwrap(), WorkspaceInput { root: "/w/a".into(), target: None });
        let both = workspace("a/b -> out", base).unwrap();
        assert_eq!(both, WorkspaceInput { root: "/w/a/b".into(), target: Some("out".into()) });
        assert!(workspace("-> out", base).is_err());
    }

    #[test]
    fn a_word_that_means_nothing_is_refused_by_name() {
        let raw = RawInputs { save: Some("sometimes".into()), ..RawInputs::default() };
        let error = raw.resolve().unwrap_err();
        let wrong = error.downcast_ref::<WrongInput>().unwrap();
        assert_eq!(wrong.what, "`save: sometimes` is not one of its values");
        assert_eq!(wrong.hint, "write `auto`, `always`, `never`");
    }
}
