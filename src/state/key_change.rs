//! What differs between two keys: which part, from what to what. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::state::key::{HardParts, KeyParts, NameParts, SoftParts, WorkspaceParts};

/// What a key is made of, as far as a difference in it can be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    Kind,
    Key,
    Workflow,
    Job,
    Roll,
    System,
    Architecture,
    SystemRelease,
    Libc,
    CargoHome,
    Workspaces,
    WorkspacePath,
    TargetDirectory,
    BuildDirectory,
    Toolchain,
    Flags(String),
    Variable(String),
    Incremental,
    Linker,
    CCompiler,
    Tool(String),
    Option(String),
    LockedPackage(String),
    Manifest(String),
    Config(String),
    /// The only one that there is, or one among several.
    Interpreter(Option<String>),
}

impl Part {
    /// Whether it says whose entry it is, and nothing of what that holds.
    pub fn is_name(&self) -> bool {
        matches!(self, Self::Kind | Self::Key | Self::Workflow | Self::Job)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (words, name) = match self {
            Self::Kind => ("kind", None),
            Self::Key => ("key", None),
            Self::Workflow => ("workflow", None),
            Self::Job => ("job", None),
            Self::Roll => ("key-roll", None),
            Self::System => ("operating system", None),
            Self::Architecture => ("architecture", None),
            Self::SystemRelease => ("operating system release", None),
            Self::Libc => ("libc", None),
            Self::CargoHome => ("CARGO_HOME", None),
            Self::Workspaces => ("workspaces", None),
            Self::WorkspacePath => ("workspace path", None),
            Self::TargetDirectory => ("target directory", None),
            Self::BuildDirectory => ("build directory", None),
            Self::Toolchain => ("toolchain", None),
            Self::Flags(name) => ("flags", Some(name)),
            Self::Variable(name) => ("variable", Some(name)),
            Self::Incremental => ("incremental", None),
            Self::Linker => ("linker", None),
            Self::CCompiler => ("C compiler", None),
            Self::Tool(name) => ("tool", Some(name)),
            Self::Option(name) => ("option", Some(name)),
            Self::LockedPackage(name) => ("locked package", Some(name)),
            Self::Manifest(path) => ("manifest", Some(path)),
            Self::Config(path) => ("config", Some(path)),
            Self::Interpreter(path) => ("interpreter", path.as_ref()),
        };
        f.write_str(words)?;
        name.map_or(Ok(()), |name| write!(f, " `{name}`"))
    }
}

/// One difference between two keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartChange {
    pub part: Part,
    pub old: String,
    pub new: String,
}

impl fmt::Display for PartChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |text: &str| {
            if text.is_empty() { "(none)".to_owned() } else { text.replace('\n', ", ") }
        };
        write!(f, "{}: {} → {}", self.part, show(&self.old), show(&self.new))
    }
}

impl KeyParts {
    /// Every part in which `self` differs from `old`, hard parts first.
    pub fn diff(&self, old: &Self) -> Vec<PartChange> {
        let Self { name, hard, soft } = self;
        let mut changes = Changes::default();
        hard.diff(&old.hard, &mut changes);
        soft.diff(&old.soft, &mut changes);
        name.diff(&old.name, &mut changes);
        changes.0
    }
}

impl NameParts {
    fn diff(&self, old: &Self, changes: &mut Changes) {
        let Self { kind, key, workflow, job, roll } = self;
        changes.compare(Part::Kind, &format!("{:?}", old.kind), &format!("{kind:?}"));
        changes.compare(Part::Key, &old.key, key);
        changes.compare(Part::Workflow, &old.workflow, workflow);
        changes.compare(Part::Job, &old.job, job);
        changes.compare(Part::Roll, &old.roll, roll);
    }
}

impl HardParts {
    fn diff(&self, old: &Self, changes: &mut Changes) {
        let Self {
            os,
            arch,
            os_release,
            libc,
            cargo_home,
            workspaces,
            flags,
            variables,
            incremental,
            linker,
            c_compiler,
            tools,
            options,
        } = self;
        changes.compare(Part::System, &old.os, os);
        changes.compare(Part::Architecture, &old.arch, arch);
        changes.compare(Part::SystemRelease, &old.os_release, os_release);
        changes.compare(Part::Libc, &old.libc, libc);
        changes.compare(Part::CargoHome, &old.cargo_home, cargo_home);
        changes.compare(Part::Workspaces, &old.workspaces.len().to_string(), &workspaces.len().to_string());
        for (new, old) in workspaces.iter().zip(&old.workspaces) {
            let WorkspaceParts { root, target, build, rustc } = new;
            changes.compare(Part::WorkspacePath, &old.root, root);
            changes.compare(Part::TargetDirectory, &old.target, target);
            changes.compare(Part::BuildDirectory, &old.build, build);
            changes.compare_lines(Part::Toolchain, &old.rustc, rustc);
        }
        changes.compare_maps(Part::Flags, &old.flags, flags);
        changes.compare_maps(Part::Variable, &shown(&old.variables), &shown(variables));
        changes.compare(Part::Incremental, &old.incremental.to_string(), &incremental.to_string());
        changes.compare(Part::Linker, &old.linker, linker);
        changes.compare(Part::CCompiler, &old.c_compiler, c_compiler);
        changes.compare_maps(Part::Tool, &old.tools, tools);
        changes.compare_maps(Part::Option, &old.options, options);
    }
}

/// Values in which somebody sees what they differ in.
fn shown(variables: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let is_plain = |value: &str| !value.is_empty() && value.trim() == value && !value.contains(char::is_control);
    let show = |value: &String| if is_plain(value) { value.clone() } else { format!("{value:?}") };
    variables.iter().map(|(name, value)| (name.clone(), show(value))).collect()
}

impl SoftParts {
    fn diff(&self, old: &Self, changes: &mut Changes) {
        let Self { packages, manifests, configs, interpreters } = self;
        changes.compare_maps(Part::LockedPackage, &old.packages, packages);
        changes.compare_maps(Part::Manifest, &digests(&old.manifests), &digests(manifests));
        changes.compare_maps(Part::Config, &digests(&old.configs), &digests(configs));
        changes.compare_interpreters(&old.interpreters, interpreters);
    }
}

fn digests(map: &BTreeMap<String, Digest>) -> BTreeMap<String, String> {
    map.iter().map(|(name, digest)| (name.clone(), digest.short())).collect()
}

#[derive(Default)]
struct Changes(Vec<PartChange>);

impl Changes {
    fn compare(&mut self, part: Part, old: &str, new: &str) {
        if old != new {
            self.0.push(PartChange { part, old: old.to_owned(), new: new.to_owned() });
        }
    }

    /// Names only the lines that differ, so that a toolchain reads `release: 1.94.0 → release: 1.95.0`.
    fn compare_lines(&mut self, part: Part, old: &str, new: &str) {
        let only = |of: &str, against: &str| -> String {
            let lines: Vec<&str> = of.lines().filter(|line| !against.lines().any(|other| other == *line)).collect();
            lines.join(", ")
        };
        if old != new {
            self.compare(part, &only(old, new), &only(new, old));
        }
    }

    /// Another version is all that needs saying; where that is the same, the facts that differ. One interpreter that moved is
    /// one change.
    fn compare_interpreters(&mut self, old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) {
        let name = |text: &str| text.lines().next().unwrap_or_default().to_owned();
        let gone: Vec<_> = old.iter().filter(|(path, _)| !new.contains_key(*path)).collect();
        let come: Vec<_> = new.iter().filter(|(path, _)| !old.contains_key(*path)).collect();
        if let ([(old_path, before)], [(new_path, after)]) = (gone.as_slice(), come.as_slice()) {
            let show = |path: &str, text: &str| format!("`{path}`, {}", name(text));
            self.compare(Part::Interpreter(None), &show(old_path, before), &show(new_path, after));
        } else {
            for (path, text) in gone {
                self.compare(Part::Interpreter(Some(path.clone())), &name(text), "");
            }
            for (path, text) in come {
                self.compare(Part::Interpreter(Some(path.clone())), "", &name(text));
            }
        }
        for (path, after) in new {
            let Some(before) = old.get(path) else { continue };
            let part = Part::Interpreter(Some(path.clone()));
            if name(before) == name(after) {
                self.compare_lines(part, before, after);
            } else {
                self.compare(part, &name(before), &name(after));
            }
        }
    }

    fn compare_maps(
        &mut self,
        part: fn(String) -> Part,
        old: &BTreeMap<String, String>,
        new: &BTreeMap<String, String>,
    ) {
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for name in names {
            let (before, after) = (old.get(name), new.get(name));
            if before != after {
                let show = |value: Option<&String>| value.cloned().unwrap_or_default();
                self.compare(part(name.clone()), &show(before), &show(after));
            }
        }
    }
}
