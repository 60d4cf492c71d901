//! What a workspace says about itself: its folders, its packages, and the path dependencies that lie outside it.
//!
//! Asked of `cargo metadata --no-deps`, which resolves nothing: it works on a wiped machine without a network, and costs
//! milliseconds. Path dependencies and patches outside are followed from manifest to manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Result;
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, TargetKind};
use fs_err as fs;
use toml::{Table, Value};

use crate::digest::Digest;
use crate::problem::WrongInput;

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
    /// Root sources of its targets, build script excepted.
    pub sources: Vec<PathBuf>,
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
        let metadata = metadata(&root.join("Cargo.toml")).map_err(|reason| {
            WrongInput::new(
                format!("the workspace `{}` cannot be read: {reason}", root.display()),
                "name the folder that holds the workspace's Cargo.toml, as in `--workspace path/to/workspace`",
            )
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
        let packages = with_path_dependencies(&metadata);
        Ok(Self { root: workspace_root, target, build, packages })
    }

    /// Folders whose files are inputs: the workspace, and each path dependency outside it.
    pub fn source_roots(&self) -> Vec<PathBuf> {
        let mut roots = vec![self.root.clone()];
        for package in &self.packages {
            if !roots.iter().any(|root| package.dir.starts_with(root)) {
                roots.push(package.dir.clone());
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
            let mut table = fs::read_to_string(path).ok()?.parse::<Table>().ok()?;
            table.retain(|name, _| ["profile", "features", "patch", "replace", "cargo-features"].contains(&name));
            if table.is_empty() { None } else { Some(Digest::of_value(&table)) }
        };
        let name = |path: &PathBuf| path.strip_prefix(&self.root).unwrap_or(path).display().to_string();
        manifests.iter().filter_map(|path| Some((name(path), digest(path)?))).collect()
    }
}

fn metadata(manifest: &Path) -> Result<Metadata, String> {
    if !manifest.is_file() {
        return Err(format!("there is no `{}`", manifest.display()));
    }
    let mut command = MetadataCommand::new();
    command.manifest_path(manifest).no_deps().other_options(["--offline".to_owned()]);
    if let Some(dir) = manifest.parent() {
        command.current_dir(dir);
    }
    command.exec().map_err(|error| {
        error.to_string().lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
    })
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

fn with_path_dependencies(metadata: &Metadata) -> Vec<Package> {
    let mut packages = Vec::new();
    let mut seen = BTreeSet::new();
    let mut open = Vec::new();
    collect(metadata, &mut packages, &mut seen, &mut open);
    open.extend(patched_paths(metadata.workspace_root.as_std_path()));
    while let Some(dir) = open.pop() {
        let dir = fs::canonicalize(&dir).unwrap_or(dir);
        if seen.contains(&dir) {
            continue;
        }
        match metadata_of(&dir) {
            Some(metadata) => collect(&metadata, &mut packages, &mut seen, &mut open),
            // Cargo will say what is wrong with it when it builds.
            None => continue,
        }
        seen.insert(dir);
    }
    packages.sort_by(|a, b| a.dir.cmp(&b.dir));
    packages
}

fn metadata_of(dir: &Path) -> Option<Metadata> {
    metadata(&dir.join("Cargo.toml")).ok()
}

fn collect(metadata: &Metadata, packages: &mut Vec<Package>, seen: &mut BTreeSet<PathBuf>, open: &mut Vec<PathBuf>) {
    for package in &metadata.packages {
        let Some(dir) = package.manifest_path.as_std_path().parent().map(Path::to_path_buf) else {
            continue;
        };
        if !seen.insert(dir.clone()) {
            continue;
        }
        open.extend(
            package
                .dependencies
                .iter()
                .filter_map(|dep| dep.path.as_ref())
                .map(|path| path.as_std_path().to_path_buf()),
        );
        let is_script = |target: &&cargo_metadata::Target| target.kind.contains(&TargetKind::CustomBuild);
        let targets = package.targets.iter().filter(|target| !is_script(target));
        let by_path = |dep: &&cargo_metadata::Dependency| dep.path.is_some();
        packages.push(Package {
            name: package.name.to_string(),
            version: package.version.to_string(),
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
        });
    }
}

/// Folders that `[patch]` and `[replace]` of the root manifest point at.
fn patched_paths(root: &Path) -> Vec<PathBuf> {
    let Some(table) = fs::read_to_string(root.join("Cargo.toml")).ok().and_then(|text| text.parse::<Table>().ok())
    else {
        return Vec::new();
    };
    let patches = table.get("patch").and_then(Value::as_table).into_iter().flat_map(|sources| sources.values());
    let tables = patches.chain(table.get("replace")).filter_map(Value::as_table);
    let paths = tables.flat_map(|packages| packages.values()).filter_map(|package| package.get("path")?.as_str());
    paths.map(|path| root.join(path)).collect()
}
