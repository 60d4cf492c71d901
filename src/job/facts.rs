//! Gathers what the key is made of: everything that can be known before any manifest is read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use vec1::{Vec1, vec1};

use crate::cargo::config::{self, ConfigFile};
use crate::cargo::incremental::{self, Effective};
use crate::cargo::lockfile::Locked;
use crate::cargo::vendor::{self, Lying, Vendored};
use crate::cargo::whereabouts::Whereabouts;
use crate::cargo::workspace::{self, Workspace};
use crate::cargo::{home, settings, toolchain, tools};
use crate::explain::project::{OwnPackage, Project};
use crate::job::inputs::{Inputs, WorkspaceInput};
use crate::machine::{host, paths};
use crate::python::find::Interpreters;
use crate::stamp::sources::Scope;
use crate::state::key::{HardParts, KeyParts, NameParts, PackKind, SoftParts, WorkspaceParts};
use crate::state::manifest::{LockedPackage, Manifest, PackageKind, PackageRecord, Root};
use crate::state::secrets::Secrets;

/// The workspaces of a job and what surrounds them.
#[derive(Debug)]
pub struct Facts {
    pub workspaces: Vec1<Workspace>,
    pub locked: Vec<Locked>,
    pub configs: Vec<ConfigFile>,
    pub vendored: Vec<Vendored>,
    pub cargo_home: PathBuf,
    pub incremental: Effective,
    pub interpreters: Interpreters,
    pub parts: KeyParts,
}

impl Facts {
    /// Everything, for whoever makes a key.
    pub fn gather(inputs: &Inputs) -> Result<Self> {
        let mut facts = Self::without_interpreters(inputs)?;
        facts.interpreters = Interpreters::of_job(&inputs.python, &facts.workspaces, &facts.locked)?;
        facts.parts.soft.interpreters = facts.interpreters.parts();
        Ok(facts)
    }

    /// For whoever goes by a key that was made before: no interpreter is asked.
    pub fn without_interpreters(inputs: &Inputs) -> Result<Self> {
        let cargo_home = home::path().context("neither CARGO_HOME nor a home folder is set")?;
        // Both ask a program, and neither needs what the other says.
        let roots: Vec<&Path> = inputs.workspaces.iter().map(|input| input.root.as_path()).collect();
        let (workspaces, mut versions) = rayon::join(|| load(inputs), || toolchain::Versions::ask(&roots));
        let mut workspaces = workspaces?;
        let locked = workspaces.iter().map(|workspace| Locked::load(&workspace.root)).collect::<Result<Vec<_>>>()?;
        let mut configs: Vec<ConfigFile> = Vec::new();
        for file in workspaces.iter().flat_map(|workspace| config::load(&workspace.root, &cargo_home)) {
            if !configs.iter().any(|known| known.path == file.path) {
                configs.push(file);
            }
        }
        let tops: Vec<PathBuf> = workspaces.iter().map(|workspace| workspace.root.clone()).collect();
        let outputs: Vec<PathBuf> = workspaces.iter().flat_map(|w| [w.target.clone(), w.build.clone()]).collect();
        let lying = Lying::find(&tops, &[outputs, vec![cargo_home.clone()]].concat());
        for top in &tops {
            configs.extend(config::lying_around(top, &lying.configs, &cargo_home, &configs));
        }
        workspaces.first_mut().adopt(config::patched_paths(&configs));
        let incremental = incremental::effective(inputs.incremental, workspaces.first(), &configs);
        let parts = KeyParts {
            name: name_parts(inputs),
            hard: hard_parts(inputs, &workspaces, &mut versions, &configs, &cargo_home, &incremental)?,
            soft: soft_parts(&workspaces, &locked, &configs),
        };
        let vendored = vendor::packages(&lying, &configs);
        Ok(Self {
            workspaces,
            locked,
            configs,
            vendored,
            cargo_home,
            incremental,
            interpreters: Interpreters::default(),
            parts,
        })
    }

    /// Folders that packs are made of and unpacked into: each workspace's build folder, and its target folder where that is
    /// another.
    pub fn roots(&self) -> Vec1<Root> {
        let of_workspace = |(at, workspace): (usize, &Workspace)| {
            let root = |label: &str, path: &Path| {
                let suffix = if at == 0 { String::new() } else { format!(".{at}") };
                Root { label: format!("{label}{suffix}"), path: path.to_path_buf() }
            };
            let target = root("target", &workspace.target);
            if workspace.build == workspace.target {
                vec1![target]
            } else {
                vec1![root("build", &workspace.build), target]
            }
        };
        let mut roots = of_workspace((0, self.workspaces.first()));
        for root in self.workspaces.iter().enumerate().flat_map(of_workspace) {
            if !roots.iter().any(|known| known.path == root.path) {
                roots.push(root);
            }
        }
        roots
    }

    /// Of the versions that a state was built with and that are still locked, as `name version`, those that come from elsewhere by now:
    /// from another registry or folder, another commit, or with other bytes.
    pub fn moved_packages(&self, manifest: &Manifest) -> BTreeSet<String> {
        let now = &self.parts.soft.packages;
        let locked: BTreeSet<String> =
            self.locked_packages().iter().map(|package| format!("{} {}", package.name, package.version)).collect();
        let before = manifest.parts.soft.packages.iter();
        let moved = before.filter(|(package, source)| now.get(*package) != Some(*source) && locked.contains(*package));
        moved.map(|(package, _)| package.clone()).collect()
    }

    /// Locked packages, members included.
    pub fn locked_packages(&self) -> BTreeSet<LockedPackage> {
        let roots = self.roots();
        let of_workspace = |(workspace, locked): (&Workspace, &Locked)| {
            let root = roots.iter().position(|root| root.path == workspace.build).unwrap_or_default();
            let named = |package: &cargo_lock::Package| LockedPackage {
                name: package.name.to_string(),
                version: package.version.to_string(),
                root,
            };
            locked.packages.iter().map(named).collect::<Vec<_>>()
        };
        self.workspaces.iter().zip(&self.locked).flat_map(of_workspace).collect()
    }

    /// Profiles, lints, and what manifests say of targets, by name and value.
    pub fn settings(&self) -> BTreeMap<String, String> {
        let environment = crate::machine::environment::variables();
        settings::gather(&self.workspaces, &self.configs, &environment, &self.base(), &self.cargo_home)
    }

    /// Paths below it are shown relative to it.
    pub fn base(&self) -> PathBuf {
        settings::base(&self.workspaces)
    }

    /// Where own packages lie, and which workspaces build where.
    pub fn project(&self) -> Project {
        let base = self.base();
        let shown = |dir: &Path| {
            let text = dir.strip_prefix(&base).unwrap_or(dir).display().to_string().replace('\\', "/");
            if text.is_empty() { ".".to_owned() } else { text }
        };
        let of_root = |root: &Root| {
            let built_here = |workspace: &&Workspace| workspace.build == root.path || workspace.target == root.path;
            self.workspaces.iter().filter(built_here).map(|workspace| shown(&workspace.root)).collect()
        };
        let packages = self.workspaces.iter().flat_map(|workspace| &workspace.packages).map(|package| {
            let own = OwnPackage {
                name: package.name.clone(),
                dir: shown(&package.dir),
                version: package.version.clone(),
                targets: package.targets.iter().map(|name| name.replace('-', "_")).collect(),
            };
            (paths::text(&package.real), own)
        });
        Project {
            packages: packages.collect(),
            workspaces: self.roots().iter().map(of_root).collect(),
            base: paths::text(&base),
        }
    }

    /// What is built for where no target is named.
    pub fn host(&self) -> &str {
        self.parts.hard.workspaces.first().map(|first| toolchain::host(&first.rustc)).unwrap_or_default()
    }

    /// What it takes to say where a unit's package lies.
    pub fn whereabouts(&self) -> Whereabouts {
        Whereabouts::new(&self.workspaces, &self.vendored, &self.cargo_home)
    }

    /// The packages whose files can change between two runs: members, path dependencies, and what is vendored.
    pub fn packages(&self) -> Vec<PackageRecord> {
        let own = self.workspaces.iter().flat_map(|workspace| {
            workspace.packages.iter().map(|package| PackageRecord {
                name: package.name.clone(),
                dir: paths::text(&package.real),
                kind: PackageKind::Path,
                sources: package.real_sources().map(|path| paths::text(&path)).collect(),
                linked: package.is_linked(&workspace.root),
            })
        });
        let vendored = self.vendored.iter().map(|package| PackageRecord {
            name: package.name.clone(),
            dir: paths::text(&package.real),
            kind: PackageKind::Vendored,
            sources: Vec::new(),
            linked: false,
        });
        let mut records: Vec<PackageRecord> = own.chain(vendored).collect();
        records.sort_by(|a, b| a.dir.cmp(&b.dir));
        records.dedup();
        records
    }

    /// Takes in packages by path that only an earlier build knew of, or that only a unit on disk tells of.
    pub fn adopt(&mut self, dirs: impl IntoIterator<Item = PathBuf>) {
        // What another workspace holds is known.
        let known: BTreeSet<PathBuf> = self.workspaces[1..]
            .iter()
            .flat_map(|workspace| workspace.packages.iter().map(|package| package.real.clone()))
            .collect();
        let is_package = |dir: &PathBuf| {
            dir.is_absolute() && dir.join("Cargo.toml").is_file() && !known.contains(&workspace::real(dir))
        };
        self.workspaces.first_mut().adopt(dirs.into_iter().filter(is_package));
    }

    /// The same for the packages that a manifest names.
    pub fn adopt_recorded(&mut self, manifest: &Manifest) {
        let by_path = manifest.packages.iter().filter(|package| package.kind == PackageKind::Path);
        self.adopt(by_path.map(|package| crate::machine::paths::path(&package.dir)));
    }

    /// Where the inputs of a manifest lie: what units name, and what build scripts made, has to be looked at although git does
    /// not list it.
    pub fn scope_of(&self, manifest: &Manifest) -> Scope {
        let path = |at: &usize| manifest.inputs[*at].path.clone();
        let named: BTreeSet<usize> = manifest.units.iter().flat_map(|unit| unit.inputs.iter().copied()).collect();
        let made = manifest.units.iter().flat_map(|unit| &unit.run).flat_map(|run| &run.made);
        let made: BTreeSet<String> = made.map(path).collect();
        Scope { made: made.clone(), ..self.scope(named.iter().map(path).chain(made).collect()) }
    }

    /// Where inputs lie, and where only outputs do.
    pub fn scope(&self, named: BTreeSet<String>) -> Scope {
        let mut roots: Vec<PathBuf> = self.workspaces.iter().flat_map(Workspace::source_roots).collect();
        roots.sort();
        roots.dedup();
        let unlisted = self.vendored.iter().filter(|package| !package.is_listed);
        let plain = unlisted.map(|package| package.real.clone()).collect();
        let mut outputs: Vec<PathBuf> = self.roots().iter().map(|root| root.path.clone()).collect();
        // Cargo never compares the times of what it fetched itself.
        outputs.extend(["registry", "git"].iter().map(|name| self.cargo_home.join(name)));
        let real: Vec<PathBuf> = outputs.iter().map(|dir| workspace::real(dir)).collect();
        outputs.extend(real);
        outputs.sort();
        outputs.dedup();
        Scope { roots, plain, outputs, named, made: BTreeSet::new() }
    }
}

/// Each of them once: one that is given twice, in whatever spelling, is one.
fn load(inputs: &Inputs) -> Result<Vec1<Workspace>> {
    let load = |input: &WorkspaceInput| Workspace::load(&input.root, input.target.as_deref());
    let mut workspaces = Vec1::new(load(inputs.workspaces.first())?);
    for input in &inputs.workspaces[1..] {
        let workspace = load(input)?;
        if !workspaces.iter().any(|known| is_same(known, &workspace)) {
            workspaces.push(workspace);
        }
    }
    Ok(workspaces)
}

fn is_same(known: &Workspace, other: &Workspace) -> bool {
    let real =
        |workspace: &Workspace| [&workspace.root, &workspace.target, &workspace.build].map(|dir| workspace::real(dir));
    real(known) == real(other)
}

/// The parts of a Cargo home's key: no system, no path, nothing but what is fetched.
pub fn home_parts(locked: &[Locked]) -> KeyParts {
    let packages = locked.iter().flat_map(Locked::external).collect();
    KeyParts {
        name: NameParts { kind: PackKind::CargoHome, ..NameParts::default() },
        hard: HardParts::default(),
        soft: SoftParts { packages, ..SoftParts::default() },
    }
}

fn name_parts(inputs: &Inputs) -> NameParts {
    let Inputs { key, shared_key, workflow, job, key_roll, .. } = inputs;
    let roll = key_roll.clone();
    if shared_key.is_empty() {
        let [key, workflow, job] = [key, workflow, job].map(String::clone);
        NameParts { kind: PackKind::Target, key, workflow, job, roll }
    } else {
        NameParts { kind: PackKind::Target, key: shared_key.clone(), roll, ..NameParts::default() }
    }
}

fn hard_parts(
    inputs: &Inputs,
    workspaces: &Vec1<Workspace>,
    versions: &mut toolchain::Versions,
    configs: &[ConfigFile],
    cargo_home: &Path,
    incremental: &Effective,
) -> Result<HardParts> {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let parts = workspaces.iter().map(|workspace| {
        Ok(WorkspaceParts {
            root: text(&workspace.root),
            target: text(&workspace.target),
            build: text(&workspace.build),
            rustc: versions.of(&workspace.root)?,
        })
    });
    let parts = parts.collect::<Result<Vec<_>>>()?;
    let triple = parts.first().map(|first| toolchain::host(&first.rustc)).unwrap_or_default().to_owned();
    let variables = crate::machine::environment::variables();
    let ((linker, c_compiler), (tools, host)) = rayon::join(
        || toolchain::linker_and_c_compiler(&triple, configs),
        || rayon::join(|| tools::identities(configs, &variables), host::describe),
    );
    Ok(HardParts {
        os: host.os,
        arch: host.arch,
        os_release: host.release,
        libc: host.libc,
        cargo_home: text(cargo_home),
        flags: flags(),
        variables: wished_variables(inputs),
        incremental: incremental.decided.clone(),
        linker,
        c_compiler,
        tools,
        options: BTreeMap::from([("incremental".to_owned(), format!("{:?}", inputs.incremental).to_lowercase())]),
        workspaces: parts,
    })
}

fn soft_parts(workspaces: &Vec1<Workspace>, locked: &[Locked], configs: &[ConfigFile]) -> SoftParts {
    let base = &workspaces.first().root;
    let relative = |path: &Path| path.strip_prefix(base).unwrap_or(path).display().to_string();
    let manifests = workspaces.iter().enumerate().flat_map(|(at, workspace)| {
        let prefix = if at == 0 { String::new() } else { format!("{}/", relative(&workspace.root)) };
        workspace.manifest_digests().into_iter().map(move |(name, digest)| (format!("{prefix}{name}"), digest))
    });
    SoftParts {
        packages: locked.iter().flat_map(Locked::external).collect(),
        manifests: manifests.collect(),
        configs: configs.iter().map(|file| (relative(&file.path), file.digest)).collect(),
        interpreters: BTreeMap::new(),
    }
}

fn wished_variables(inputs: &Inputs) -> BTreeMap<String, String> {
    let chosen = inputs.env_vars.choose(crate::machine::environment::told());
    let secrets = Secrets::of_environment();
    chosen.into_iter().map(|(name, value)| (name, secrets.flag(&value))).collect()
}

/// Variables that reach every unit and of which Cargo gives no account in any file.
fn flags() -> BTreeMap<String, String> {
    let counts = |name: &str| {
        matches!(
            name,
            "RUSTFLAGS"
                | "CARGO_ENCODED_RUSTFLAGS"
                | "CARGO_BUILD_RUSTFLAGS"
                | "RUSTDOCFLAGS"
                | "CARGO_BUILD_TARGET"
                | "RUSTC_WORKSPACE_WRAPPER"
        ) || name.starts_with("CARGO_TARGET_") && (name.ends_with("_RUSTFLAGS") || name.ends_with("_LINKER"))
    };
    // Flags reach the key, the report and everything that is stored.
    let secrets = Secrets::of_environment();
    let flags = crate::machine::environment::variables().into_iter().filter(|(name, _)| counts(name));
    flags.map(|(name, value)| (name, secrets.flag(&value))).collect()
}
