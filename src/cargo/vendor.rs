//! Vendored packages: every folder with a `.cargo-checksum.json` below the sources, and those in the folders that a `[source]`
//! replacement points at.
//!
//! How Cargo is told to use them does not matter: a configuration on a command line or in a sub-folder cannot be known before.
//! How it can be wrong: a vendor folder that git ignores is looked for to a small depth, and one that lies outside the sources
//! and is named by a command line alone is never seen.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use fs_err as fs;
use toml::Value;

use super::config::ConfigFile;
use super::tables;
use crate::git::Repository;
use crate::machine::paths;

const CHECKSUM: &str = ".cargo-checksum.json";
/// Folders that hold many files and never a vendored package.
const NEVER: [&str; 12] = [
    ".git",
    "target",
    "node_modules",
    ".venv",
    "venv",
    "env",
    "__pycache__",
    ".tox",
    ".nox",
    "site-packages",
    "dist-packages",
    "incremental",
];
/// How far below an ignored folder is looked, and at how many entries in all.
const DEPTH: usize = 5;
const BUDGET: usize = 20_000;

/// A package in a vendor folder.
#[derive(Clone, Debug)]
pub struct Vendored {
    pub name: String,
    pub version: Option<String>,
    /// As it is found; `real` is the same without symlinks.
    pub dir: PathBuf,
    pub real: PathBuf,
    /// Root sources of its library and build script, as Cargo spells them.
    pub sources: Vec<PathBuf>,
    /// A listing of the repository names its files.
    pub is_listed: bool,
}

/// What lies below the source roots that matters to Cargo although nothing in the manifests says so.
#[derive(Debug, Default)]
pub struct Lying {
    /// Files in `.cargo` folders.
    pub configs: Vec<PathBuf>,
    listed: Vec<PathBuf>,
    unlisted: Vec<PathBuf>,
}

impl Lying {
    /// Looks below `roots`, but not below `outputs`.
    pub fn find(roots: &[PathBuf], outputs: &[PathBuf]) -> Self {
        let mut lying = Self::default();
        let patterns = ["**/.cargo-checksum.json", "**/.cargo/*.toml", "**/.cargo/config"];
        let mut budget = BUDGET;
        for root in roots {
            let (files, apart) = rayon::join(|| Repository::matching(root, &patterns), || Repository::set_apart(root));
            let (Some(files), Some(apart)) = (files, apart) else {
                lying.walk(root, DEPTH, outputs, &mut budget);
                continue;
            };
            for path in files {
                if path.ends_with(CHECKSUM) {
                    lying.listed.extend(path.parent().map(Path::to_path_buf));
                } else {
                    lying.configs.push(path);
                }
            }
            for dir in apart.iter().filter(|dir| !is_skipped(dir, outputs)) {
                lying.walk(dir, DEPTH, outputs, &mut budget);
            }
        }
        lying.configs.sort();
        lying.configs.dedup();
        lying
    }

    fn walk(&mut self, dir: &Path, depth: usize, outputs: &[PathBuf], budget: &mut usize) {
        if dir.join(CHECKSUM).is_file() {
            self.unlisted.push(dir.to_path_buf());
            return;
        }
        let Ok(entries) = fs::read_dir(dir) else { return };
        let mut below = Vec::new();
        for entry in entries.filter_map(Result::ok) {
            if *budget == 0 {
                return;
            }
            *budget -= 1;
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                below.push(entry.path());
            } else if dir.ends_with(".cargo") {
                self.configs.push(entry.path());
            }
        }
        below.sort();
        for dir in below.iter().filter(|dir| depth > 0 && !is_skipped(dir, outputs)) {
            self.walk(dir, depth - 1, outputs, budget);
        }
    }
}

fn is_skipped(dir: &Path, outputs: &[PathBuf]) -> bool {
    dir.file_name().is_some_and(|name| NEVER.iter().any(|never| name == *never))
        || outputs.iter().any(|output| dir.starts_with(output))
        || dir.join("CACHEDIR.TAG").is_file()
        || dir.join("pyvenv.cfg").is_file()
}

/// Every vendored package that there is.
pub fn packages(lying: &Lying, configs: &[ConfigFile]) -> Vec<Vendored> {
    let configured: Vec<PathBuf> = folders(configs).iter().flat_map(|folder| packages_in(folder)).collect();
    let listed = lying.listed.iter().map(|dir| (dir, true));
    let others = lying.unlisted.iter().chain(&configured).map(|dir| (dir, false));
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for (dir, is_listed) in listed.chain(others) {
        let real = fs::canonicalize(dir).unwrap_or_else(|_| dir.clone());
        if seen.insert(real.clone()) {
            found.extend(package(dir, real, is_listed));
        }
    }
    found.sort_by(|a, b| a.dir.cmp(&b.dir));
    found
}

fn package(dir: &Path, real: PathBuf, is_listed: bool) -> Option<Vendored> {
    let manifest = tables::read(&dir.join("Cargo.toml"))?;
    let package = tables::package(&manifest)?;
    let name = package.get("name")?.as_str()?.to_owned();
    let version = package.get("version").and_then(Value::as_str).map(str::to_owned);
    let library = manifest.get("lib").and_then(|library| library.get("path")).and_then(Value::as_str);
    let script = package.get("build").and_then(Value::as_str);
    let sources = [library.unwrap_or("src/lib.rs"), script.unwrap_or("build.rs")];
    let sources = sources.map(|path| paths::lexical(&dir.join(path))).to_vec();
    Some(Vendored { name, version, dir: dir.to_path_buf(), real, sources, is_listed })
}

/// The vendor folders that somebody is told to use, by a file or by the environment.
fn folders(configs: &[ConfigFile]) -> Vec<PathBuf> {
    let folder =
        |file: &ConfigFile, source: &Value| Some(paths::lexical(&file.base.join(source.get("directory")?.as_str()?)));
    let sources = configs.iter().filter_map(|file| Some((file, file.table.as_ref()?.get("source")?.as_table()?)));
    let mut folders: Vec<PathBuf> =
        sources.flat_map(|(file, sources)| sources.values().filter_map(move |source| folder(file, source))).collect();
    let variables = std::env::vars_os().filter(|(name, _)| {
        name.to_str().is_some_and(|name| name.starts_with("CARGO_SOURCE_") && name.ends_with("_DIRECTORY"))
    });
    folders.extend(variables.map(|(_, value)| PathBuf::from(value)).filter(|path| path.is_absolute()));
    folders.sort();
    folders.dedup();
    folders
}

fn packages_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries.map(|entry| entry.path()).filter(|dir| dir.join(CHECKSUM).is_file()).collect()
}
