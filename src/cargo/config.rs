//! Cargo's configuration files as they apply to a workspace, nearest first, and those that lie around and may be asked for.
//!
//! Only what changes what is built counts; terminal settings, aliases and credentials are cut out before anything is hashed.
//! Which file a job's own `cargo --config FILE` names, and from which folder it calls Cargo, is not known before it does: what
//! lies in a `.cargo` folder in or above the workspace counts for the key and for what may be a source, and decides nothing.
//! How it can be wrong: a file elsewhere that only a command line names is never seen.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use fs_err as fs;
use toml::{Table, Value};

use super::tables;
use crate::digest::Digest;
use crate::machine::paths;

/// One file of Cargo's configuration.
#[derive(Debug)]
pub struct ConfigFile {
    pub path: PathBuf,
    /// The folder that relative paths in it start from.
    pub base: PathBuf,
    /// Nothing when it cannot be parsed; Cargo will say so itself.
    pub table: Option<Table>,
    pub digest: Digest,
    /// Cargo reads it when it is called in the workspace; else only if somebody asks for it.
    pub applies: bool,
}

/// What makes a file with another name one of Cargo's.
const SECTIONS: [&str; 12] =
    ["build", "target", "host", "source", "patch", "paths", "profile", "env", "include", "unstable", "doc", "resolver"];
const MOST_INCLUDES: usize = 100;

/// The files that Cargo reads for a workspace, nearest first; what a file includes comes after it, what is included last before
/// what is included first.
pub fn load(workspace: &Path, cargo_home: &Path) -> Vec<ConfigFile> {
    let mut dirs: Vec<PathBuf> = workspace.ancestors().map(|base| base.join(".cargo")).collect();
    if !dirs.iter().any(|dir| dir == cargo_home) {
        dirs.push(cargo_home.to_path_buf());
    }
    let mut files = Vec::new();
    let mut seen = BTreeSet::new();
    for dir in dirs {
        let named = ["config", "config.toml"].iter().map(|name| dir.join(name)).find(|path| path.is_file());
        if let Some(path) = named {
            read_with_includes(&path, true, &mut seen, &mut files);
        }
    }
    files
}

/// Further files in `.cargo` folders: those above the workspace, and the given ones below it.
pub fn lying_around(workspace: &Path, below: &[PathBuf], cargo_home: &Path, known: &[ConfigFile]) -> Vec<ConfigFile> {
    let above = workspace.ancestors().map(|base| base.join(".cargo")).filter(|dir| dir != cargo_home);
    let above = above.flat_map(|dir| {
        let entries = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        paths
    });
    let is_one = |path: &PathBuf| {
        path.extension().is_some_and(|end| end == "toml") || path.file_name().is_some_and(|name| name == "config")
    };
    let mut seen: BTreeSet<PathBuf> = known.iter().map(|file| file.path.clone()).collect();
    let mut files = Vec::new();
    for path in above.chain(below.iter().cloned()).filter(is_one) {
        if path.is_file() {
            read_with_includes(&path, false, &mut seen, &mut files);
        }
    }
    files.retain(|file| file.table.as_ref().is_some_and(|table| SECTIONS.iter().any(|name| table.contains_key(*name))));
    files
}

fn read_with_includes(path: &Path, applies: bool, seen: &mut BTreeSet<PathBuf>, files: &mut Vec<ConfigFile>) {
    if seen.len() > MOST_INCLUDES || !seen.insert(path.to_path_buf()) {
        return;
    }
    let Ok(bytes) = fs::read(path) else { return };
    let table = std::str::from_utf8(&bytes).ok().and_then(|text| text.parse::<Table>().ok());
    let digest = match &table {
        Some(table) => Digest::of_value(&without_noise(table.clone())),
        None => Digest::of(&bytes),
    };
    let included = table.as_ref().map(includes).unwrap_or_default();
    let dir = path.parent().unwrap_or(path);
    let base = dir.parent().unwrap_or(dir).to_path_buf();
    files.push(ConfigFile { path: path.to_path_buf(), base, table, digest, applies });
    for name in included.iter().rev() {
        read_with_includes(&paths::lexical(&dir.join(name)), applies, seen, files);
    }
}

/// What a file includes, as it is spelled there: text, or tables with a `path`. One that is not there is Cargo's to complain of.
fn includes(table: &Table) -> Vec<String> {
    let one = |value: &Value| match value {
        Value::String(path) => Some(path.clone()),
        Value::Table(table) => table.get("path").and_then(Value::as_str).map(str::to_owned),
        _ => None,
    };
    match table.get("include") {
        Some(Value::Array(values)) => values.iter().filter_map(one).collect(),
        Some(value) => one(value).into_iter().collect(),
        None => Vec::new(),
    }
}

/// Folders that `[patch]` and `paths` of these files point at.
pub fn patched_paths(files: &[ConfigFile]) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for file in files {
        let Some(table) = &file.table else { continue };
        let overrides = table.get("paths").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let patches = patches(table.get("patch"));
        paths.extend(overrides.map(str::to_owned).chain(patches).map(|path| paths::lexical(&file.base.join(path))));
    }
    paths
}

/// The paths in a `[patch]` table.
pub fn patches(table: Option<&Value>) -> Vec<String> {
    let sources = table.and_then(Value::as_table).into_iter().flat_map(|sources| sources.values());
    let packages = sources.filter_map(Value::as_table).flat_map(|packages| packages.values());
    packages.filter_map(|package| package.get("path")?.as_str().map(str::to_owned)).collect()
}

fn without_noise(mut table: Table) -> Table {
    for name in ["term", "alias", "net", "http", "credential-alias", "cargo-new", "future-incompat-report", "cache"] {
        table.remove(name);
    }
    let cut_token = |value: &mut Value| {
        if let Some(table) = value.as_table_mut() {
            table.retain(|name, _| !["token", "secret-key", "credential-provider"].contains(&name));
        }
    };
    if let Some(registry) = table.get_mut("registry") {
        cut_token(registry);
    }
    if let Some(registries) = table.get_mut("registries").and_then(Value::as_table_mut) {
        registries.iter_mut().for_each(|(_, registry)| cut_token(registry));
    }
    table
}

/// The value at a dotted path in the nearest file that has it and applies.
pub fn find<'a>(files: &'a [ConfigFile], path: &[&str]) -> Option<(&'a ConfigFile, &'a Value)> {
    let mut applying = files.iter().filter(|file| file.applies);
    applying.find_map(|file| Some((file, tables::at(file.table.as_ref()?, path)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_and_a_colour_change_nothing_and_a_flag_does() {
        let digest = |text: &str| Digest::of_value(&without_noise(text.parse().unwrap()));
        let plain = digest("[build]\njobs = 1");
        assert_eq!(digest("[build]\njobs = 1\n[term]\ncolor = \"always\"\n[registries.x]"), {
            digest("[build]\njobs = 1\n[registries.x]\ntoken = \"hunter22\"")
        });
        assert_ne!(digest("[build]\njobs = 1\nrustflags = [\"-g\"]"), plain);
    }

    #[test]
    fn what_is_included_counts_after_what_includes_it() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put(
            ".cargo/config.toml",
            "include = ['one.toml', { path = '../ci/two.toml', optional = true }, { path = 'none.toml', optional = true }]",
        );
        put(".cargo/one.toml", "[build]\ntarget-dir = 'one'\njobs = 1");
        put("ci/two.toml", "include = 'deep.toml'\n[build]\ntarget-dir = 'two'\n[patch.crates-io]\nx = { path = 'x' }");
        put("ci/deep.toml", "include = 'two.toml'\n[build]\ntarget-dir = 'deep'\nrustc = 'r'");
        put(".cargo/audit.toml", "[advisories]");
        put(".cargo/fast.toml", "[profile.dev]\ndebug = 0\n[build]\nrustdoc = 'x'");
        let home = dir.path().join("home");
        let files = load(dir.path(), &home);
        let value = |name: &str| find(&files, &["build", name]).and_then(|(_, value)| value.as_str());
        assert_eq!((value("target-dir"), value("rustc")), (Some("two"), Some("r")));
        assert!(patched_paths(&files).contains(&dir.path().join("x")), "from the folder above the file's own");
        let others = lying_around(dir.path(), &[], &home, &files);
        let others: Vec<_> = others.iter().map(|file| file.path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(others, ["fast.toml"]);
    }
}
