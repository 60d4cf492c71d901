//! What a workspace says about itself: its folders, its packages, and the path dependencies that lie outside it.
//!
//! Asked of `cargo metadata --no-deps`, which resolves nothing: it works on a wiped machine without a network, and costs
//! milliseconds. Path dependencies and patches outside are followed from manifest to manifest. A folder keeps the spelling that
//! Cargo gives it, because Cargo compares spellings; whether two are the same is asked of the file system.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Result;
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, TargetKind};
use fs_err as fs;
use toml::Value;

use super::config;
use super::tables;
use crate::digest::Digest;
use crate::github::runner;
use crate::machine::ask;
use crate::machine::children;
use crate::machine::disk;
use crate::machine::paths;
use crate::problem::{JobFault, WrongInput};

#[derive(Clone, Debug)]
pub struct Workspace {
    pub root: PathBuf,
    pub target: PathBuf,
    /// Where intermediate artifacts are; the target folder unless `build.build-dir` says otherwise.
    pub build: PathBuf,
    pub packages: Vec<Package>,
}

/// A package whose sources can change: a member, or a path dependency wherever it lies.
#[derive(Clone, Debug)]
pub struct Package {
    pub name: String,
    pub version: String,
    pub dir: PathBuf,
    /// The same folder without symlinks.
    pub real: PathBuf,
    /// Root sources of its targets, build script excepted.
    pub sources: Vec<PathBuf>,
    /// Names of its targets, build script included.
    pub targets: Vec<String>,
    /// Names of the packages that it depends on, from wherever they come.
    pub dependencies: Vec<String>,
    /// Names of those that it depends on by path.
    pub path_dependencies: Vec<String>,
    pub build_script: Option<PathBuf>,
    /// Names of the packages by path that its build script is built from.
    pub build_dependencies: Vec<String>,
}

impl Workspace {
    /// Reads the workspace at `root`. `target` overrides what Cargo says, for jobs that pass `--target-dir` themselves.
    pub fn load(root: &Path, target: Option<&Path>) -> Result<Self> {
        let manifest = root.join("Cargo.toml");
        if !manifest.is_file() {
            return Err(no_manifest(root).into());
        }
        let metadata = metadata(&manifest).map_err(|error| match error {
            cargo_metadata::Error::Io(error) => {
                JobFault::new(format!("`cargo` cannot be run: {error}"), "install a Rust toolchain before this step")
            }
            error => {
                let hint = "see what `cargo metadata --no-deps` says there";
                JobFault::new(format!("the workspace `{}` cannot be read: {}", root.display(), one_line(&error)), hint)
            }
        })?;
        let workspace_root = metadata.workspace_root.as_std_path().to_path_buf();
        let own_target = metadata.target_directory.as_std_path().to_path_buf();
        let own_build =
            metadata.build_directory.as_ref().map_or_else(|| own_target.clone(), |dir| dir.as_std_path().into());
        let (target, build) = match target {
            None => (own_target, own_build),
            Some(target) => {
                let given = allowed_target(&workspace_root, target, &own_target)?;
                let build = if own_build == own_target { given.clone() } else { own_build };
                (given, build)
            }
        };
        let mut packages = Packages::default();
        packages.collect(&metadata);
        packages.open.extend(patched_paths(&workspace_root));
        let packages = packages.finish();
        Ok(Self { root: workspace_root, target, build, packages })
    }

    /// Takes in the packages in these folders, and what they depend on by path.
    pub fn adopt(&mut self, dirs: impl IntoIterator<Item = PathBuf>) {
        let known = std::mem::take(&mut self.packages);
        let mut packages = Packages { open: dirs.into_iter().collect(), ..Packages::default() };
        packages.seen = known.iter().map(|package| package.real.clone()).collect();
        packages.found = known;
        self.packages = packages.finish();
    }

    /// Folders whose files are inputs: the workspace, and each path dependency outside it, without symlinks.
    pub fn source_roots(&self) -> Vec<PathBuf> {
        let mut roots = vec![real(&self.root)];
        for package in &self.packages {
            if !roots.iter().any(|root| package.real.starts_with(root)) {
                roots.push(package.real.clone());
            }
        }
        roots
    }

    /// What the manifests say that reaches beyond one unit: profiles, features and patches.
    pub fn manifest_digests(&self) -> BTreeMap<String, Digest> {
        let mut manifests: BTreeSet<PathBuf> =
            self.packages.iter().map(|package| package.dir.join("Cargo.toml")).collect();
        manifests.insert(self.root.join("Cargo.toml"));
        let digest = |path: &PathBuf| {
            let mut table = tables::read(path)?;
            table.retain(|name, _| ["profile", "features", "patch", "replace", "cargo-features"].contains(&name));
            if table.is_empty() { None } else { Some(Digest::of_value(&table)) }
        };
        let name = |path: &PathBuf| path.strip_prefix(&self.root).unwrap_or(path).display().to_string();
        manifests.iter().filter_map(|path| Some((name(path), digest(path)?))).collect()
    }
}

/// A folder without symlinks, as far as it is there.
pub fn real(dir: &Path) -> PathBuf {
    let there = dir.ancestors().find_map(|above| Some((above, fs::canonicalize(above).ok()?)));
    match there.map(|(above, real)| (dir.strip_prefix(above), real)) {
        Some((Ok(rest), real)) if rest.as_os_str().is_empty() => real,
        Some((Ok(rest), real)) => real.join(rest),
        _ => dir.to_path_buf(),
    }
}

impl Package {
    /// Whether Cargo reaches it through a symlink that is not above the whole workspace.
    pub fn is_linked(&self, workspace: &Path) -> bool {
        match self.dir.strip_prefix(workspace) {
            Ok(rest) => real(workspace).join(rest) != self.real && !rest.as_os_str().is_empty(),
            Err(_) => self.dir != self.real,
        }
    }

    /// Its root sources and build script below the folder without symlinks.
    pub fn real_sources(&self) -> impl Iterator<Item = PathBuf> + '_ {
        let rebased =
            |path: &PathBuf| path.strip_prefix(&self.dir).map_or_else(|_| path.clone(), |rest| self.real.join(rest));
        self.sources.iter().map(rebased)
    }
}

fn metadata(manifest: &Path) -> Result<Metadata, cargo_metadata::Error> {
    let mut command = MetadataCommand::new();
    command.manifest_path(manifest).no_deps().other_options(["--offline".to_owned()]);
    if let Some(dir) = manifest.parent() {
        command.current_dir(dir);
    }
    for name in ask::withheld() {
        command.env_remove(name);
    }
    let output = children::output(&mut command.cargo_command())?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(cargo_metadata::Error::CargoMetadata { stderr });
    }
    // A wrapper may have spoken before it.
    let text = String::from_utf8_lossy(&output.stdout);
    MetadataCommand::parse(text.lines().find(|line| line.starts_with('{')).ok_or(cargo_metadata::Error::NoJson)?)
}

fn one_line(error: &cargo_metadata::Error) -> String {
    error.to_string().lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// How many folders above a manifest are looked into, and how many manifests are named.
const DEPTH: usize = 3;
const NAMED: usize = 5;

fn no_manifest(root: &Path) -> WrongInput {
    let enter = |dir: &Path| {
        let depth = dir.strip_prefix(root).map_or(0, |rest| rest.components().count());
        let is_apart = dir.file_name().is_some_and(|name| name == "target" || name == "node_modules" || name == ".git");
        depth <= DEPTH && !is_apart
    };
    let found = disk::walk(root, &enter).unwrap_or_default().into_iter().map(|found| found.path);
    let manifests = found.filter(|path| path.ends_with("Cargo.toml"));
    let folders = manifests.filter_map(|path| Some(path.parent()?.strip_prefix(root).ok()?.display().to_string()));
    let mut folders: Vec<String> = folders.collect();
    folders.sort_by_key(|folder| (folder.matches('/').count(), folder.clone()));
    folders.truncate(NAMED);
    let option = runner::option("workspaces");
    let hint = match folders.as_slice() {
        [] => format!("name the folder that holds the workspace's `Cargo.toml` with {option}"),
        [first, ..] => {
            format!("there is one in `{}`: name the folder with {option}, as in `{first}`", folders.join("`, `"))
        }
    };
    WrongInput::new(format!("there is no `Cargo.toml` in `{}`", root.display()), hint)
}

/// A given target folder has to lie in the workspace, or be the one that Cargo is configured with.
fn allowed_target(root: &Path, given: &Path, configured: &Path) -> Result<PathBuf> {
    let mut full = root.to_path_buf();
    for part in given.components() {
        match part {
            std::path::Component::ParentDir => {
                full.pop();
            }
            std::path::Component::CurDir => {}
            other => full.push(other),
        }
    }
    if (full.starts_with(root) && full != root) || full == configured {
        return Ok(full);
    }
    Err(WrongInput::new(
        format!("the target folder `{}` lies outside the workspace `{}`", given.display(), root.display()),
        "name a folder below the workspace, or set `CARGO_TARGET_DIR` or `build.target-dir` so that Cargo uses it too",
    )
    .into())
}

/// Packages as they are found, from manifest to manifest.
#[derive(Default)]
struct Packages {
    found: Vec<Package>,
    /// Their folders without symlinks: the same one in another spelling is nothing new.
    seen: BTreeSet<PathBuf>,
    open: Vec<PathBuf>,
}

impl Packages {
    fn finish(mut self) -> Vec<Package> {
        let mut asked = BTreeSet::new();
        while let Some(dir) = self.open.pop() {
            let dir = paths::lexical(&dir);
            let real = real(&dir);
            if self.seen.contains(&real) || !asked.insert(real) {
                continue;
            }
            // If it cannot be read, Cargo will say what is wrong with it when it builds.
            if let Ok(metadata) = metadata(&dir.join("Cargo.toml")) {
                self.collect(&metadata);
            }
        }
        self.found.sort_by(|a, b| a.dir.cmp(&b.dir));
        self.found
    }

    fn collect(&mut self, metadata: &Metadata) {
        for package in &metadata.packages {
            let Some(dir) = package.manifest_path.as_std_path().parent().map(Path::to_path_buf) else {
                continue;
            };
            let real = real(&dir);
            if !self.seen.insert(real.clone()) {
                continue;
            }
            let paths = package.dependencies.iter().filter_map(|dep| dep.path.as_ref());
            self.open.extend(paths.map(|path| path.as_std_path().to_path_buf()));
            let is_script = |target: &&cargo_metadata::Target| target.kind.contains(&TargetKind::CustomBuild);
            let targets = package.targets.iter().filter(|target| !is_script(target));
            let by_path = |dep: &&cargo_metadata::Dependency| dep.path.is_some();
            self.found.push(Package {
                name: package.name.to_string(),
                version: package.version.to_string(),
                targets: package.targets.iter().map(|target| target.name.clone()).collect(),
                sources: targets.map(|target| target.src_path.as_std_path().to_path_buf()).collect(),
                dependencies: package.dependencies.iter().map(|dep| dep.name.clone()).collect(),
                path_dependencies: package.dependencies.iter().filter(by_path).map(|dep| dep.name.clone()).collect(),
                build_script: package.targets.iter().find(is_script).map(|target| target.src_path.as_std_path().into()),
                build_dependencies: package
                    .dependencies
                    .iter()
                    .filter(|dep| by_path(dep) && dep.kind == DependencyKind::Build)
                    .map(|dep| dep.name.clone())
                    .collect(),
                dir,
                real,
            });
        }
    }
}

/// Folders that `[patch]` and `[replace]` of the root manifest point at.
fn patched_paths(root: &Path) -> Vec<PathBuf> {
    let Some(table) = tables::read(&root.join("Cargo.toml")) else { return Vec::new() };
    let replaced = table.get("replace").and_then(Value::as_table).into_iter().flat_map(|packages| packages.values());
    let replaced = replaced.filter_map(|package| package.get("path")?.as_str().map(str::to_owned));
    config::patches(table.get("patch")).into_iter().chain(replaced).map(|path| root.join(path)).collect()
}
