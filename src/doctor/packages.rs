//! The Cargo packages that jobs build: those of the workspace at the root, and of every workspace that a workflow or a
//! `pyproject.toml` names.
//!
//! Members are found as Cargo finds them, by `members` (with the same crate for their patterns) and by paths, from the manifests
//! alone.

use std::collections::BTreeSet;
use std::path::Path;

use glob::{MatchOptions, Pattern};

use super::checkout::{Checkout, Package};
use super::job::{Step, join};
use super::shell::ShellCommand;
use super::tree::Node;
use crate::cargo::lockfile::Locked;

/// The tables in which a manifest names what its package depends on.
const DEPENDENCIES: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

/// A `*` stays inside one folder.
pub(super) const IN_PATHS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };

/// Reads the manifests, beginning at the folders that are named.
pub(super) fn read(checkout: &mut Checkout, root: &Path) {
    let mut starts: BTreeSet<String> = BTreeSet::from([".".to_owned()]);
    starts.extend(named_by_jobs(checkout));
    starts.extend(named_by_python(checkout));
    for start in starts {
        add(checkout, root, &start);
        add_above(checkout, root, &start);
        if let Some(found) = checkout.workspace(&start) {
            add(checkout, root, &found);
            checkout.roots.insert(found);
        }
    }
    for dir in checkout.roots.clone() {
        // A lock file that nobody can read is Cargo's to complain about.
        if checkout.has(&file_in(&dir, "Cargo.lock"))
            && let Ok(locked) = Locked::load(&root.join(&dir))
        {
            checkout.locked.insert(dir, locked.packages.len());
        }
    }
    let script = |(dir, package): (&String, &Package)| {
        file_in(dir, package.node.path(&["package", "build"]).text().unwrap_or("build.rs"))
    };
    for script in checkout.packages.iter().map(script).collect::<Vec<_>>() {
        if let Some(text) = checkout.text(root, &script) {
            checkout.texts.insert(script, text);
        }
    }
}

fn named_by_jobs(checkout: &Checkout) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (_, job) in checkout.jobs() {
        for (step, command, call) in job.cargo().filter(|(_, _, call)| call.compiles()) {
            let manifest = call.manifest.as_deref().unwrap_or("Cargo.toml");
            let folder = manifest.strip_suffix("Cargo.toml").unwrap_or(manifest);
            found.extend(step.folder(command).and_then(|dir| join(&dir, folder)));
        }
        for index in job.rekindle() {
            found.extend(listed(job.steps[index].with("workspaces").unwrap_or_default()));
        }
    }
    found
}

/// The folders of a `workspaces` input, without those that cannot be known.
pub(super) fn listed(input: &str) -> Vec<String> {
    let lines = input.lines().map(|line| line.split("->").next().unwrap_or_default().trim());
    lines.filter(|line| !line.is_empty()).filter_map(|line| join(".", line)).collect()
}

fn named_by_python(checkout: &Checkout) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (file, node) in &checkout.pyprojects {
        let dir = file.strip_suffix("pyproject.toml").unwrap_or_default();
        let manifest = node.path(&["tool", "maturin", "manifest-path"]).text();
        let extensions = node.path(&["tool", "setuptools-rust", "ext-modules"]).items();
        let manifests = manifest.into_iter().chain(extensions.iter().filter_map(|one| one.at("path").text()));
        for manifest in manifests.chain(["Cargo.toml"]) {
            found.extend(manifest.strip_suffix("Cargo.toml").and_then(|folder| join(dir, folder)));
        }
    }
    found
}

/// A file of a folder, spelled as in the list of files.
pub(super) fn file_in(dir: &str, name: &str) -> String {
    if dir == "." { name.to_owned() } else { format!("{dir}/{name}") }
}

/// Reads the manifests of a folder and of those above it, where a workspace would be.
fn add_above(checkout: &mut Checkout, root: &Path, dir: &str) {
    let mut current = dir;
    add_one(checkout, root, current);
    while let Some((up, _)) = current.rsplit_once('/') {
        current = up;
        add_one(checkout, root, current);
    }
    add_one(checkout, root, ".");
}

impl Checkout {
    /// Whether a job says anything of a folder, or of one that it lies in or that lies in it. Where a `pyproject.toml` in a folder
    /// of examples is all that there is, nobody may ever build it.
    pub(super) fn is_named_by_a_job(&self, dir: &str) -> bool {
        let below =
            |inner: &str, outer: &str| outer == "." || inner == outer || inner.starts_with(&format!("{outer}/"));
        let names = |step: &Step, command: &ShellCommand| {
            let folder = step.folder(command);
            let is_inside =
                folder.as_ref().is_some_and(|folder| folder != "." && (below(dir, folder) || below(folder, dir)));
            is_inside || command.words.iter().any(|word| word.contains(dir))
        };
        let is_listed = |step: &Step| {
            ["workspaces", "working-directory", "args", "path"]
                .iter()
                .any(|input| step.with(input).is_some_and(|text| text.contains(dir)))
        };
        dir == "."
            || self.workspace(dir).as_deref() == Some(".")
            || self.jobs().any(|(_, job)| {
                job.steps.iter().any(is_listed) || job.commands().any(|(step, command)| names(step, command))
            })
    }

    /// The workspace that a folder belongs to, as Cargo looks for it: upwards, until a manifest with `[workspace]` that does not
    /// exclude it.
    pub(super) fn workspace(&self, dir: &str) -> Option<String> {
        let mut nearest = None;
        let mut current = dir;
        loop {
            if let Some(package) = self.packages.get(current) {
                nearest = nearest.or(Some(current));
                let table = package.node.at("workspace");
                let excluded =
                    table.at("exclude").texts().iter().any(|one| {
                        join(current, one).is_some_and(|one| dir == one || dir.starts_with(&format!("{one}/")))
                    });
                if table.exists() && !excluded {
                    return Some(current.to_owned());
                }
            }
            if current == "." {
                return nearest.map(str::to_owned);
            }
            current = current.rsplit_once('/').map_or(".", |(up, _)| up);
        }
    }
}

fn add_one(checkout: &mut Checkout, root: &Path, dir: &str) -> bool {
    let file = file_in(dir, "Cargo.toml");
    if checkout.packages.contains_key(dir) || !checkout.has(&file) {
        return false;
    }
    let Some(node) = checkout.toml(root, &file) else { return false };
    checkout.packages.insert(dir.to_owned(), Package { file, node });
    true
}

/// Adds a package, its members, and what it depends on by path.
fn add(checkout: &mut Checkout, root: &Path, start: &str) {
    let mut todo = vec![start.to_owned()];
    while let Some(dir) = todo.pop() {
        if !add_one(checkout, root, &dir) && dir != start {
            continue;
        }
        let Some(package) = checkout.packages.get(&dir) else { continue };
        let mut next = Vec::new();
        for member in package.node.path(&["workspace", "members"]).texts() {
            next.extend(expand(checkout, &dir, member));
        }
        for (_, dependency) in dependencies(&package.node).flat_map(Node::entries) {
            next.extend(dependency.at("path").text().and_then(|path| join(&dir, path)));
        }
        todo.extend(next.into_iter().filter(|dir| !checkout.packages.contains_key(dir)));
    }
}

/// Every table of dependencies in a manifest, those of single targets and of the workspace included.
pub(super) fn dependencies(manifest: &Node) -> impl Iterator<Item = &Node> {
    let targets = manifest.at("target").entries().iter().map(|(_, node)| node);
    let places = targets.chain([manifest, manifest.at("workspace")]);
    places.flat_map(|node| DEPENDENCIES.map(|name| node.at(name)))
}

fn expand(checkout: &Checkout, dir: &str, member: &str) -> Vec<String> {
    let Some(pattern) = join(dir, member) else { return Vec::new() };
    if !pattern.contains(['*', '?', '[']) {
        return vec![pattern];
    }
    let Ok(pattern) = Pattern::new(&pattern) else { return Vec::new() };
    let folders = checkout.files.iter().filter_map(|file| file.strip_suffix("/Cargo.toml"));
    folders.filter(|folder| pattern.matches_with(folder, IN_PATHS)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workspaces_are_listed() {
        assert_eq!(listed(". -> target\n  ./rust \n${{ matrix.dir }}\n"), [".", "rust"]);
    }

    #[test]
    fn members_are_found_by_the_patterns_of_cargo() {
        let files = ["a-core", "a-util", "b", "sub/a-core", "sub/deep/c"].map(|dir| format!("{dir}/Cargo.toml"));
        let checkout = Checkout { files: files.into(), ..Checkout::default() };
        let found = |member: &str| expand(&checkout, ".", member);
        assert_eq!(found("a-*"), ["a-core", "a-util"]);
        assert_eq!(found("*"), ["a-core", "a-util", "b"]);
        assert_eq!((found("[bc]"), found("?")), (vec!["b".to_owned()], vec!["b".to_owned()]));
        assert_eq!(found("sub/**"), ["sub/a-core", "sub/deep/c"]);
        assert_eq!(expand(&checkout, "sub", "a-*"), ["sub/a-core"]);
        assert_eq!((found("b"), found("[")), (vec!["b".to_owned()], vec![]));
    }
}
