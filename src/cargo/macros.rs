//! Proc macros that may read files. Cargo does not see what a proc macro reads, so its users need a stricter rule.
//!
//! A macro is taken to read files unless a scan of its library sources, and of the libraries that it is built from, finds none
//! of the names one needs for it. How it can be wrong: a macro that reaches the file system by another road (C code, a
//! compiled blob, an `env!`-built path handed to a helper that spells it differently) passes the scan.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cargo_lock::Package as LockedPackage;
use fs_err as fs;
use memchr::memmem;
use toml::{Table, Value};

use super::lockfile::Locked;
use super::vendor::Vendored;
use super::workspace::Workspace;
use crate::disk::{self, Kind};

/// Names without which a library cannot read a file. A preceding letter, digit or `_` makes it another name.
const TRACES: [&str; 7] = ["fs::", "std::fs", "File::", "read_to_string", "read_dir", "Command", "CARGO_MANIFEST_DIR"];

/// For every path package, by name: the file-reading proc macros among what it depends on.
pub fn readers(
    workspace: &Workspace,
    locked: &Locked,
    vendored: &[Vendored],
    cargo_home: &Path,
) -> BTreeMap<String, BTreeSet<String>> {
    let graph = Graph::new(workspace, locked, vendored, cargo_home);
    let reading: BTreeSet<usize> =
        (0..graph.nodes.len()).filter(|&at| graph.nodes[at].is_proc_macro && graph.may_read_files(at)).collect();
    let names_of = |at: usize| {
        let reached = Graph::closure(at, |node| graph.nodes[node].all.clone());
        reached
            .intersection(&reading)
            .filter(|&&reader| reader != at)
            .map(|&at| graph.nodes[at].name.clone())
            .collect::<BTreeSet<_>>()
    };
    (0..graph.nodes.len())
        .filter(|&at| graph.nodes[at].is_local)
        .map(|at| (graph.nodes[at].name.clone(), names_of(at)))
        .filter(|(_, readers)| !readers.is_empty())
        .collect()
}

struct Graph {
    nodes: Vec<Node>,
}

struct Node {
    name: String,
    dir: Option<PathBuf>,
    is_local: bool,
    is_proc_macro: bool,
    /// Everything the lock file says it depends on.
    all: Vec<usize>,
    /// What its library is linked with.
    normal: Vec<usize>,
}

impl Graph {
    fn new(workspace: &Workspace, locked: &Locked, vendored: &[Vendored], cargo_home: &Path) -> Self {
        let places = Places::new(workspace, vendored, cargo_home);
        let index: BTreeMap<(String, String), usize> = locked
            .packages
            .iter()
            .enumerate()
            .map(|(at, package)| ((package.name.to_string(), package.version.to_string()), at))
            .collect();
        let node = |package: &LockedPackage| {
            let dir = places.of(package);
            let manifest: Option<Table> =
                dir.as_ref().and_then(|dir| fs::read_to_string(dir.join("Cargo.toml")).ok()?.parse().ok());
            let normal_names = manifest.as_ref().map(normal_dependencies).unwrap_or_default();
            let deps: Vec<(String, usize)> = package
                .dependencies
                .iter()
                .filter_map(|dep| {
                    let name = dep.name.to_string();
                    let at = index.get(&(name.clone(), dep.version.to_string()))?;
                    Some((name, *at))
                })
                .collect();
            let library = manifest.as_ref().and_then(|manifest| manifest.get("lib"));
            let flag = |name: &str| library.and_then(|lib| lib.get(name)).and_then(Value::as_bool).unwrap_or(false);
            Node {
                name: package.name.to_string(),
                dir,
                is_local: package.source.is_none(),
                is_proc_macro: flag("proc-macro") || flag("proc_macro"),
                all: deps.iter().map(|(_, at)| *at).collect(),
                normal: deps.iter().filter(|(name, _)| normal_names.contains(name)).map(|(_, at)| *at).collect(),
            }
        };
        Self { nodes: locked.packages.iter().map(node).collect() }
    }

    fn may_read_files(&self, at: usize) -> bool {
        Self::closure(at, |node| self.nodes[node].normal.clone())
            .iter()
            .any(|&node| self.nodes[node].dir.as_ref().is_none_or(|dir| sources_show_traces(dir)))
    }

    fn closure(start: usize, next: impl Fn(usize) -> Vec<usize>) -> BTreeSet<usize> {
        let mut reached = BTreeSet::from([start]);
        let mut open = vec![start];
        while let Some(at) = open.pop() {
            open.extend(next(at).into_iter().filter(|&dep| reached.insert(dep)));
        }
        reached
    }
}

/// Where the sources of locked packages lie on this machine.
struct Places<'a> {
    workspace: &'a Workspace,
    vendored: BTreeMap<&'a str, &'a Path>,
    registries: Vec<PathBuf>,
    checkouts: Vec<PathBuf>,
}

impl<'a> Places<'a> {
    fn new(workspace: &'a Workspace, vendored: &'a [Vendored], cargo_home: &Path) -> Self {
        let folders = |dir: &Path| -> Vec<PathBuf> {
            fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path()).collect()
        };
        let checkouts = folders(&cargo_home.join("git/checkouts")).iter().flat_map(|dir| folders(dir)).collect();
        Self {
            workspace,
            vendored: vendored.iter().map(|package| (package.name.as_str(), package.dir.as_path())).collect(),
            registries: folders(&cargo_home.join("registry/src")),
            checkouts,
        }
    }

    fn of(&self, package: &LockedPackage) -> Option<PathBuf> {
        let name = package.name.as_str();
        let Some(source) = &package.source else {
            let local = self.workspace.packages.iter().find(|local| local.name == name);
            return local.map(|local| local.dir.clone());
        };
        if source.is_git() {
            let revision = source.precise().and_then(|precise| precise.get(..7))?;
            let checkout = self
                .checkouts
                .iter()
                .find(|dir| dir.file_name().is_some_and(|name| name.to_string_lossy().starts_with(revision)))?;
            return package_in_checkout(checkout, name);
        }
        let versioned = format!("{name}-{}", package.version);
        let extracted = self.registries.iter().map(|dir| dir.join(&versioned)).find(|dir| dir.is_dir());
        extracted.or_else(|| self.vendored.get(name).map(|dir| dir.to_path_buf()))
    }
}

fn package_in_checkout(checkout: &Path, name: &str) -> Option<PathBuf> {
    let found =
        disk::walk(checkout, &|dir| dir.file_name().is_some_and(|name| name != ".git" && name != "target")).ok()?;
    let manifests = found.iter().filter(|found| found.path.ends_with("Cargo.toml"));
    let named = |path: &Path| {
        let table: Table = fs::read_to_string(path).ok()?.parse().ok()?;
        (table.get("package")?.get("name")?.as_str()? == name).then(|| path.parent().map(Path::to_path_buf))?
    };
    manifests.map(|found| &found.path).find_map(|path| named(path))
}

/// Names of the packages that a library is linked with, renamed ones by their real name.
fn normal_dependencies(manifest: &Table) -> BTreeSet<String> {
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flat_map(|targets| targets.values());
    let tables = targets.filter_map(|target| target.get("dependencies")).chain(manifest.get("dependencies"));
    let named = |(name, value): (&String, &Value)| {
        value.get("package").and_then(Value::as_str).map_or_else(|| name.clone(), str::to_owned)
    };
    tables.filter_map(Value::as_table).flat_map(|table| table.iter().map(named)).collect()
}

fn sources_show_traces(dir: &Path) -> bool {
    let Ok(found) = disk::walk(&dir.join("src"), &|_| true) else {
        return true;
    };
    let sources =
        found.iter().filter(|found| found.meta.kind == Kind::File && found.path.extension().is_some_and(|e| e == "rs"));
    let mut seen = false;
    for source in sources {
        seen = true;
        if fs::read(&source.path).map_or(true, |bytes| shows_traces(&bytes)) {
            return true;
        }
    }
    // A library whose sources are elsewhere (`lib.path`) was not scanned.
    !seen
}

fn shows_traces(source: &[u8]) -> bool {
    let code = without_comments(source);
    TRACES.iter().any(|trace| {
        memmem::find_iter(&code, trace).any(|at| {
            let before = at.checked_sub(1).map(|at| code[at]);
            !before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        })
    })
}

/// Blanks comments. Strings are skipped over so that `"//"` in one starts none; a quote in a raw string can end the skipping
/// early, which only leaves more to be scanned.
fn without_comments(source: &[u8]) -> Vec<u8> {
    let mut code = Vec::with_capacity(source.len());
    let mut rest = source;
    while let Some(&byte) = rest.first() {
        if rest.starts_with(b"//") {
            rest = &rest[memchr::memchr(b'\n', rest).unwrap_or(rest.len())..];
        } else if rest.starts_with(b"/*") {
            rest = memmem::find(rest, b"*/").map_or(&[][..], |end| &rest[end + 2..]);
        } else if byte == b'"' {
            let mut end = 1;
            while end < rest.len() && rest[end] != b'"' {
                end += if rest[end] == b'\\' { 2 } else { 1 };
            }
            let end = (end + 1).min(rest.len());
            code.extend(&rest[..end]);
            rest = &rest[end..];
        } else {
            code.push(byte);
            rest = &rest[1..];
        }
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_leaves_traces() {
        assert!(shows_traces(b"let x = std::fs::read(p);"));
        assert!(shows_traces(b"use std::{fs, io}; fs::read(p)"));
        assert!(shows_traces(b"let url = \"https://x\"; File::open(p)"));
        assert!(shows_traces(b"std::env::var(\"CARGO_MANIFEST_DIR\")"));
        assert!(!shows_traces(b"/// use std::fs;\nfn f() {} // File::open\n/* read_dir */"));
        assert!(!shows_traces(b"impl SourceFile::X { my_fs::y }"));
    }
}
