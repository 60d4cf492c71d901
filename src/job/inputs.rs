//! What the user asked for, resolved: every value typed and checked, nothing done yet.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use vec1::{Vec1, vec1};

use crate::cargo::incremental::Wish;
use crate::github::Scope;
use crate::job::variables::VariableWish;
use crate::machine::environment::user_cache;
use crate::problem::WrongInput;
use crate::python::wish::PythonWish;
use crate::state::decision::SaveMode;
use crate::store::StoreInput;
use crate::store::object::Location;

/// What the action can be told, in the order of `action.yml`.
pub const OF_THE_ACTION: [&str; 18] = [
    "workspaces",
    "key",
    "shared-key",
    "key-roll",
    "env-vars",
    "python",
    "store",
    "save",
    "lookup-only",
    "fail-on-cache-miss",
    "mtime",
    "incremental",
    "isolation",
    "keep-unused",
    "max-size",
    "summary",
    "strict",
    "github-token",
];

/// As typed, before any of it is believed.
#[derive(Clone, Debug, Default)]
pub struct RawInputs {
    pub workspaces: Vec<String>,
    pub store: Option<String>,
    pub key: Option<String>,
    pub shared_key: Option<String>,
    pub key_roll: Option<String>,
    pub env_vars: Option<String>,
    pub python: Option<String>,
    pub save: Option<String>,
    pub lookup_only: Option<String>,
    pub fail_on_cache_miss: Option<String>,
    pub incremental: Option<String>,
    pub mtime: Option<String>,
    pub isolation: Option<String>,
    pub keep_unused: Option<String>,
    pub max_size: Option<String>,
    pub summary: Option<String>,
    pub strict: Option<String>,
    pub state: Option<PathBuf>,
}

/// The same for the whole job: `restore` writes them down, `save` goes by them. Holds no secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Inputs {
    pub workspaces: Vec1<WorkspaceInput>,
    pub store: StoreInput,
    pub key: String,
    /// Stands in the place of workflow, job and key where there is one.
    #[serde(default)]
    pub shared_key: String,
    pub key_roll: String,
    #[serde(default)]
    pub env_vars: VariableWish,
    pub workflow: String,
    pub job: String,
    /// Of the run, where the store is one that has scopes.
    #[serde(default)]
    pub scope: Scope,
    /// How often this run was started; 1 the first time.
    pub attempt: u32,
    #[serde(default)]
    pub python: PythonWish,
    pub save: SaveMode,
    #[serde(default)]
    pub lookup: Lookup,
    #[serde(default)]
    pub miss: Miss,
    pub incremental: Wish,
    pub mtime: Stamp,
    pub isolation: Isolation,
    pub keep_unused: u32,
    /// Bytes of a stored pack; more is not stored.
    pub max_size: Option<u64>,
    pub summary: Summary,
    pub strict: Strictness,
    pub state: PathBuf,
}

/// Whether files that did not change get the time back that they were built with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stamp {
    #[default]
    Recorded,
    /// They keep the one that the checkout gave them.
    AsCheckedOut,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Summary {
    #[default]
    Written,
    Omitted,
}

/// What is done about environments that are made for one build.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// Nothing; the report names what drifted.
    #[default]
    Report,
    /// The build backends use the base interpreter.
    Base,
    /// The shim gives them a path that stays.
    Alias,
}

/// What a lookup is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lookup {
    #[default]
    Restores,
    /// It only says what there is.
    Only,
}

/// What it means for the step that nothing was restored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Miss {
    #[default]
    Tolerated,
    Fails,
}

/// What a warning does to the exit code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strictness {
    #[default]
    Lenient,
    Strict,
}

/// A workspace, and its target folder where that is not what Cargo says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceInput {
    pub root: PathBuf,
    pub target: Option<PathBuf>,
}

impl RawInputs {
    pub fn resolve(self) -> Result<Inputs> {
        let current = std::env::current_dir()?;
        let lines: Vec<&str> =
            self.workspaces.iter().flat_map(|text| text.lines()).map(str::trim).filter(|l| !l.is_empty()).collect();
        let named = lines.iter().map(|line| workspace(line, &current)).collect::<Result<Vec<_>>>()?;
        let workspaces =
            Vec1::try_from_vec(named).unwrap_or_else(|_| vec1![WorkspaceInput { root: current.clone(), target: None }]);
        let from_env = |name: &str| std::env::var(name).unwrap_or_default();
        let state = self.state.unwrap_or_else(|| default_state(&current));
        let store = store(self.store.as_deref())?;
        Ok(Inputs {
            scope: if store == StoreInput::Actions { Scope(from_env("GITHUB_REF")) } else { Scope::default() },
            store,
            key: self.key.map(|key| without_nothing(&key)).unwrap_or_default(),
            shared_key: self.shared_key.unwrap_or_default().trim().to_owned(),
            key_roll: self.key_roll.unwrap_or_default().trim().to_owned(),
            env_vars: VariableWish::parse(self.env_vars.as_deref())?,
            workflow: from_env("GITHUB_WORKFLOW"),
            job: from_env("GITHUB_JOB"),
            python: PythonWish::parse(self.python.as_deref(), &current)?,
            save: choice("save", self.save.as_deref(), &SAVE_MODES)?,
            lookup: choice("lookup-only", self.lookup_only.as_deref(), &switch(Lookup::Only, Lookup::Restores))?,
            miss: choice(
                "fail-on-cache-miss",
                self.fail_on_cache_miss.as_deref(),
                &switch(Miss::Fails, Miss::Tolerated),
            )?,
            incremental: choice("incremental", self.incremental.as_deref(), &switch(Wish::On, Wish::Off))?,
            mtime: choice("mtime", self.mtime.as_deref(), &switch(Stamp::Recorded, Stamp::AsCheckedOut))?,
            isolation: choice("isolation", self.isolation.as_deref(), &ISOLATIONS)?,
            keep_unused: number("keep-unused", self.keep_unused.as_deref())?.unwrap_or(KEEP_UNUSED),
            max_size: size("max-size", self.max_size.as_deref())?,
            summary: choice("summary", self.summary.as_deref(), &switch(Summary::Written, Summary::Omitted))?,
            strict: choice("strict", self.strict.as_deref(), &switch(Strictness::Strict, Strictness::Lenient))?,
            attempt: from_env("GITHUB_RUN_ATTEMPT").parse().unwrap_or(1),
            state,
            workspaces,
        })
    }
}

/// Successful runs for which an unused unit is kept.
const KEEP_UNUSED: u32 = 3;

/// How the job went, as far as it is known. Only one that succeeded makes anything older.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JobResult {
    #[default]
    Succeeded,
    Failed,
    /// Whoever cancelled it waits for its end.
    Cancelled,
}

/// What a `save` is told otherwise than `restore` was.
#[derive(Clone, Copy, Debug, Default)]
pub struct SaveWishes {
    save: Option<SaveMode>,
    keep_unused: Option<u32>,
}

impl SaveWishes {
    pub fn resolve(save: Option<&str>, keep_unused: Option<&str>) -> Result<Self> {
        let save = save.map(|text| choice("save", Some(text), &SAVE_MODES)).transpose()?;
        Ok(Self { save, keep_unused: number("keep-unused", keep_unused)? })
    }

    pub fn apply(self, inputs: &mut Inputs) {
        inputs.save = self.save.unwrap_or(inputs.save);
        inputs.keep_unused = self.keep_unused.unwrap_or(inputs.keep_unused);
    }
}

/// Also what an expression comes to.
const SAVE_MODES: [(&str, SaveMode); 5] = [
    ("auto", SaveMode::Auto),
    ("always", SaveMode::Always),
    ("never", SaveMode::Never),
    ("true", SaveMode::Auto),
    ("false", SaveMode::Never),
];

const ISOLATIONS: [(&str, Isolation); 3] =
    [("report", Isolation::Report), ("base", Isolation::Base), ("alias", Isolation::Alias)];

/// Where `restore` tells `save` what it did, when nothing else is said: apart for every folder.
pub fn default_state(current: &Path) -> PathBuf {
    let temp = std::env::var_os("RUNNER_TEMP").map_or_else(std::env::temp_dir, PathBuf::from);
    let name = crate::digest::Digest::of(current.to_string_lossy().as_bytes());
    temp.join("rekindle").join(format!("state-{}.json", name.short()))
}

/// What a job without a matrix has for one is not a key.
fn without_nothing(key: &str) -> String {
    let key = key.trim();
    if ["null", "{}"].contains(&key) { String::new() } else { key.to_owned() }
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
        None if crate::github::runner::is_step() => Ok(StoreInput::Actions),
        None => Ok(StoreInput::Dir(default_store())),
        Some("actions") => Ok(StoreInput::Actions),
        Some(text) => {
            if let Some(location) = Location::parse(text) {
                return Ok(StoreInput::Object(location));
            }
            if let Some((path, location)) = tiers(text) {
                return Ok(StoreInput::Tiers(std::path::absolute(path)?, location));
            }
            match text.split_once(':') {
                Some(("dir", path)) if !path.is_empty() => Ok(StoreInput::Dir(std::path::absolute(path)?)),
                _ => Err(unknown_store(text).into()),
            }
        }
    }
}

/// `dir:/cache,s3://bucket`: a folder before a bucket.
fn tiers(text: &str) -> Option<(&str, Location)> {
    let (folder, far) = text.rsplit_once(',')?;
    let path = folder.trim().strip_prefix("dir:").filter(|path| !path.is_empty())?;
    Some((path, Location::parse(far.trim())?))
}

fn unknown_store(text: &str) -> WrongInput {
    // Credentials do not belong here, and are not shown to whoever reads the log.
    let shown = if text.contains(['@', '?']) { "(not shown)" } else { text };
    let hint = "write `actions`, `dir:` and the path of a folder, as in `dir:/var/cache/rekindle`, or `s3://bucket/prefix`, \
                `gs://bucket/prefix`, `az://container/prefix`, or a folder before one of these, as in `dir:/cache,s3://bucket/prefix`";
    WrongInput::new(format!("the store `{shown}` is of no known kind"), hint)
}

fn default_store() -> PathBuf {
    user_cache().join("rekindle")
}

fn choice<T: Copy + Default>(name: &str, text: Option<&str>, values: &[(&str, T)]) -> Result<T> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(T::default());
    };
    values.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<String> = values.iter().map(|(word, _)| format!("`{word}`")).collect();
        WrongInput::new(format!("invalid value `{text}` for `{name}`"), format!("write {}", words.join(", "))).into()
    })
}

/// A choice of two, in both of the ways that people write one.
fn switch<T: Copy>(on: T, off: T) -> [(&'static str, T); 4] {
    [("on", on), ("off", off), ("true", on), ("false", off)]
}

fn number(name: &str, text: Option<&str>) -> Result<Option<u32>> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let wrong = |_| WrongInput::new(format!("`{name}: {text}` is not a number of runs"), "write one, as in `3`");
    Ok(Some(text.parse().map_err(wrong)?))
}

/// `500 MB`, `2GB`, in powers of ten.
fn size(name: &str, text: Option<&str>) -> Result<Option<u64>> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let upper = text.to_ascii_uppercase();
    let units = [("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1_000), ("B", 1)];
    let parsed = units.iter().find_map(|(unit, factor)| {
        let number: u64 = upper.strip_suffix(unit)?.trim().parse().ok()?;
        number.checked_mul(*factor)
    });
    let wrong = || WrongInput::new(format!("`{name}: {text}` is not a size"), "write one with its unit, as in `2 GB`");
    Ok(Some(parsed.ok_or_else(wrong)?))
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
        assert_eq!(wrong.what, "invalid value `sometimes` for `save`");
        assert_eq!(wrong.hint, "write `auto`, `always`, `never`, `true`, `false`");
    }

    #[test]
    fn a_store_is_a_service_a_folder_a_bucket_or_a_folder_before_a_bucket() {
        let bucket = || Location::parse("s3://bucket/ci").unwrap();
        assert_eq!(store(Some("s3://bucket/ci")).unwrap(), StoreInput::Object(bucket()));
        assert_eq!(store(Some("dir:/a,b")).unwrap(), StoreInput::Dir(std::path::absolute("/a,b").unwrap()));
        let near = std::path::absolute("/a,b").unwrap();
        assert_eq!(store(Some("dir:/a,b, s3://bucket/ci")).unwrap(), StoreInput::Tiers(near, bucket()));
        let error = store(Some("s3://key:secret@bucket")).unwrap_err().to_string();
        assert_eq!(error, "the store `(not shown)` is of no known kind");
    }

    #[test]
    fn what_an_expression_comes_to_says_whether_to_save() {
        for (text, mode) in [("true", SaveMode::Auto), ("false", SaveMode::Never), ("", SaveMode::Auto)] {
            let raw = RawInputs { save: Some(text.into()), ..RawInputs::default() };
            assert_eq!(raw.resolve().unwrap().save, mode, "{text}");
        }
    }

    #[test]
    fn sizes_have_units_and_numbers_are_numbers() {
        assert_eq!(size("max-size", Some("2 gb")).unwrap(), Some(2_000_000_000));
        assert_eq!(size("max-size", Some("500MB")).unwrap(), Some(500_000_000));
        assert_eq!(size("max-size", Some(" ")).unwrap(), None);
        assert!(size("max-size", Some("big")).is_err() && size("max-size", Some("5")).is_err());
        assert_eq!(number("keep-unused", Some("7")).unwrap(), Some(7));
        assert!(number("keep-unused", Some("-1")).is_err());
    }

    #[test]
    fn no_matrix_is_no_key() {
        for text in ["null", " {} ", ""] {
            assert_eq!(without_nothing(text), "");
        }
        assert_eq!(without_nothing("{\"os\":\"x\"}\n"), "{\"os\":\"x\"}");
    }
}
