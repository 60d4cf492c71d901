//! What of a checkout says how it is built: workflows, actions, manifests, settings; read as files, without running anything
//! but `git ls-files`.
//!
//! What cannot be read is a finding and takes part in nothing else. Without git every file counts as tracked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Result;
use fs_err as fs;

use super::comments::{self, Comment};
use super::job::{Actions, WorkflowJob};
use super::tree::{Malformed, Node};
use super::{tables, yaml};
use crate::doctor::finding::Finding;
use crate::doctor::rule::Rule;
use crate::git::Repository;

/// Nobody writes a longer one, and each byte of it would be parsed.
const LARGEST: u64 = 2 << 20;

/// A workflow with its jobs.
#[derive(Debug)]
pub(super) struct Workflow {
    pub(super) file: String,
    pub(super) node: Node,
    pub(super) jobs: Vec<WorkflowJob>,
}

/// Everything that rules look at. Paths are relative to the root and use `/`.
#[derive(Debug, Default)]
pub(super) struct Checkout {
    pub(super) files: BTreeSet<String>,
    /// Nothing when no git says what is tracked.
    pub(super) tracked: Option<BTreeSet<String>>,
    pub(super) workflows: Vec<Workflow>,
    /// By the folder that holds it.
    pub(super) packages: BTreeMap<String, Package>,
    /// Folders of workspaces that jobs build.
    pub(super) roots: BTreeSet<String>,
    /// How many packages the lock files of these hold.
    pub(super) locked: BTreeMap<String, usize>,
    pub(super) cargo_config: Option<(String, Node)>,
    /// The channel of the toolchain file at the root, and its place.
    pub(super) toolchain: Option<(String, String, usize)>,
    /// Every `pyproject.toml` of a Python package that Rust is built for.
    pub(super) pyprojects: Vec<(String, Node)>,
    /// Other files of which only the text counts: noxfiles, tox files, build scripts.
    pub(super) texts: BTreeMap<String, String>,
    /// The lines of the `.gitignore` at the root.
    pub(super) ignores: Vec<String>,
    /// What switches rules off in the files that were read.
    pub(super) comments: BTreeMap<String, Vec<Comment>>,
    pub(super) faults: Vec<Finding>,
}

#[derive(Debug)]
pub(super) struct Package {
    pub(super) file: String,
    pub(super) node: Node,
}

impl Workflow {
    /// Whether an event starts it.
    pub(super) fn starts_on(&self, event: &str) -> bool {
        let on = self.node.at("on");
        on.texts().contains(&event) || on.entries().iter().any(|(name, _)| name == event)
    }
}

/// Reads what lies below a folder, but for its packages.
pub(super) fn read(root: &Path) -> Result<Checkout> {
    let (files, tracked) = listing(root)?;
    let mut checkout = Checkout { files, tracked, ..Checkout::default() };
    checkout.read_workflows(root);
    checkout.read_python(root);
    checkout.read_settings(root);
    Ok(checkout)
}

/// All files, and those that git tracks.
fn listing(root: &Path) -> Result<(BTreeSet<String>, Option<BTreeSet<String>>)> {
    if let Some(repository) = Repository::discover(root) {
        // Git spells paths in its own way; without symlinks and prefixes both are the same.
        let inside = fs::canonicalize(root)?.strip_prefix(fs::canonicalize(&repository.top)?).map(Path::to_path_buf);
        let dir = repository.top.join(inside.unwrap_or_default());
        let listing = repository.list(std::slice::from_ref(&dir))?;
        let below = |path: &PathBuf| Some(path.strip_prefix(&dir).ok()?.to_string_lossy().replace('\\', "/"));
        let tracked: BTreeSet<String> = listing.tracked.iter().filter_map(|one| below(&one.path)).collect();
        let others = listing.untracked.iter().filter_map(below);
        let files = tracked.iter().cloned().chain(others).collect();
        return Ok((files, Some(tracked)));
    }
    let mut files = BTreeSet::new();
    walk(root, "", &mut files)?;
    Ok((files, None))
}

fn walk(dir: &Path, prefix: &str, into: &mut BTreeSet<String>) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let kind = entry.file_type()?;
        if kind.is_dir() && !["target", ".git", "node_modules", ".venv", ".nox", ".tox"].contains(&name.as_str()) {
            walk(&entry.path(), &format!("{prefix}{name}/"), into)?;
        } else if kind.is_file() {
            into.insert(format!("{prefix}{name}"));
        }
    }
    Ok(())
}

impl Checkout {
    pub(super) fn has(&self, path: &str) -> bool {
        self.files.contains(path)
    }

    pub(super) fn is_tracked(&self, path: &str) -> bool {
        self.tracked.as_ref().map_or_else(|| self.has(path), |tracked| tracked.contains(path))
    }

    pub(super) fn jobs(&self) -> impl Iterator<Item = (&Workflow, &WorkflowJob)> {
        self.workflows.iter().flat_map(|workflow| workflow.jobs.iter().map(move |job| (workflow, job)))
    }

    /// The jobs that use this action, with the steps that do.
    pub(super) fn warm_jobs(&self) -> impl Iterator<Item = (&Workflow, &WorkflowJob, Vec<usize>)> {
        let jobs = self.jobs().map(|(workflow, job)| (workflow, job, job.rekindle()));
        jobs.filter(|(_, _, steps)| !steps.is_empty())
    }

    /// Whether any job has Cargo compile.
    pub(super) fn compiles(&self) -> bool {
        self.jobs().any(|(_, job)| job.compiles() || !job.rekindle().is_empty())
    }

    /// Reads one file, if it is there.
    pub(super) fn text(&mut self, root: &Path, file: &str) -> Option<String> {
        if !self.has(file) {
            return None;
        }
        // Deleted, but not in git's index yet, or not ours to read, or no file at all.
        let meta = fs::metadata(root.join(file)).ok().filter(std::fs::Metadata::is_file)?;
        let reason = if meta.len() > LARGEST {
            "it is larger than 2 MiB"
        } else {
            match String::from_utf8(fs::read(root.join(file)).ok()?) {
                Ok(text) => {
                    let text = text.trim_start_matches('\u{feff}');
                    self.read_comments(file, text);
                    return Some(text.to_owned());
                }
                Err(_) => "it is not UTF-8",
            }
        };
        self.fault(file, &Malformed { line: 1, reason: reason.to_owned() });
        None
    }

    fn read_comments(&mut self, file: &str, text: &str) {
        let (comments, faults) = comments::read(file, text);
        self.comments.insert(file.to_owned(), comments);
        self.faults.extend(faults.into_iter().map(|Malformed { line, reason }| {
            Finding::new(Rule::InvalidIgnore, file, line, format!("this comment ignores nothing: {reason}"))
        }));
    }

    pub(super) fn toml(&mut self, root: &Path, file: &str) -> Option<Node> {
        let text = self.text(root, file)?;
        self.parsed(file, tables::parse(&text))
    }

    fn yaml(&mut self, root: &Path, file: &str) -> Option<Node> {
        let text = self.text(root, file)?;
        self.parsed(file, yaml::parse(&text))
    }

    fn parsed(&mut self, file: &str, node: Result<Node, Malformed>) -> Option<Node> {
        node.map_err(|fault| self.fault(file, &fault)).ok()
    }

    fn fault(&mut self, file: &str, fault: &Malformed) {
        let reason = fault.reason.trim().replace('\n', " ");
        let what = format!("this file cannot be read: {reason}");
        self.faults.push(Finding::new(Rule::UnreadableFile, file, fault.line, what));
    }

    fn read_workflows(&mut self, root: &Path) {
        let is_yaml = |file: &str| has_extension(file, "yml") || has_extension(file, "yaml");
        let files: Vec<String> = self.files.iter().filter(|file| is_yaml(file)).cloned().collect();
        let mut actions = Actions::new();
        for file in &files {
            let (folder, name) = file.rsplit_once('/').unwrap_or(("", file));
            let near = folder.is_empty() || folder.starts_with(".github/") || folder.matches('/').count() < 2;
            if matches!(name, "action.yml" | "action.yaml")
                && near
                && let Some(node) = self.yaml(root, file)
            {
                actions.insert(folder.to_owned(), (file.clone(), node));
            }
        }
        for file in files {
            let name = file.strip_prefix(".github/workflows/").unwrap_or("/");
            if !name.contains('/')
                && let Some(node) = self.yaml(root, &file)
            {
                let jobs = node.at("jobs").entries().iter();
                let jobs = jobs.map(|(id, job)| WorkflowJob::read(&file, &node, id, job, &actions)).collect();
                self.workflows.push(Workflow { file, node, jobs });
            }
        }
    }

    fn read_settings(&mut self, root: &Path) {
        let ignores = self.text(root, ".gitignore").unwrap_or_default();
        self.ignores = ignores.lines().map(str::to_owned).collect();
        for file in [".cargo/config.toml", ".cargo/config"] {
            if self.cargo_config.is_none() {
                self.cargo_config = self.toml(root, file).map(|node| (file.to_owned(), node));
            }
        }
        for file in ["rust-toolchain.toml", "rust-toolchain"] {
            let Some(text) = self.text(root, file) else { continue };
            let channel = match tables::parse(&text) {
                Ok(node) => {
                    let channel = node.path(&["toolchain", "channel"]);
                    channel.text().map(|text| (file.to_owned(), text.to_owned(), channel.line))
                }
                // The old form is a name and nothing else.
                Err(_) if file == "rust-toolchain" => Some((file.to_owned(), text.trim().to_owned(), 1)),
                Err(fault) => {
                    self.fault(file, &fault);
                    None
                }
            };
            self.toolchain = self.toolchain.take().or(channel);
        }
    }

    fn read_python(&mut self, root: &Path) {
        let named = |file: &String, name: &str| file.rsplit('/').next() == Some(name) && !is_sample(file);
        let files: Vec<String> = self.files.iter().cloned().collect();
        for file in &files {
            if named(file, "pyproject.toml")
                && let Some(node) = self.toml(root, file)
            {
                let requires = node.path(&["build-system", "requires"]);
                let rust =
                    requires.texts().iter().any(|one| one.starts_with("maturin") || one.starts_with("setuptools-rust"));
                if rust {
                    self.pyprojects.push((file.clone(), node));
                }
            }
            if ["noxfile.py", "tox.ini", "tox.toml"].iter().any(|name| named(file, name))
                && let Some(text) = self.text(root, file)
            {
                self.texts.insert(file.clone(), text);
            }
        }
    }
}

/// Whether a file has this extension, spelled as the tools that look for it demand.
pub(super) fn has_extension(file: &str, extension: &str) -> bool {
    file.rsplit_once('.').is_some_and(|(_, own)| own == extension)
}

const SAMPLES: [&str; 9] =
    ["fixtures", "resources", "templates", "test", "test_data", "testdata", "tests", "third_party", "vendor"];

/// Whether a file lies in a folder of samples that no job builds as its own.
pub(super) fn is_sample(file: &str) -> bool {
    file.split('/').any(|part| SAMPLES.contains(&part))
}
