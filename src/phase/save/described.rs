//! Build scripts that wrote down what git says of the commit by its tags, or the name of the branch.
//!
//! How it can be wrong: a text that was put together in another way (a count of commits alone, a branch with something before it)
//! is not recognised, and a tag or branch that happens to stand in a script's output for another reason costs a run of that script
//! when the next one comes.

use std::path::Path;

use fs_err as fs;
use memchr::memmem;

use super::job::Job;
use crate::cargo::workspace::{self, Package};
use crate::git::Repository;
use crate::machine::disk::{self, Kind};
use crate::machine::paths;
use crate::state::manifest::{Described, Manifest};
use crate::unit::Unit;

/// Names that a script which asks git mentions in its source, or that its package depends on.
const ASKS_GIT: [&str; 6] = ["git", "gix", "vergen", "built", "shadow", "describe"];

/// What git says of one repository.
struct Said<'a> {
    repository: &'a Repository,
    tags: Vec<String>,
    described: Option<String>,
    branch: Option<String>,
}

/// Notes what git says now for the runs of local packages that hold such a text.
pub(super) fn add(job: &Job<'_>, live: &[usize], repositories: &[Repository], manifest: &mut Manifest) {
    let mut asked: Vec<Said<'_>> = Vec::new();
    for (place, &at) in live.iter().enumerate() {
        let (unit, record) = (job.unit(at), &manifest.units[place]);
        let dirs = &job.place(at).dirs;
        if !unit.is_run() || dirs.is_empty() || job.unchanged(at).is_some() {
            continue;
        }
        let inside =
            |repository: &&Repository| dirs.iter().any(|dir| dir.starts_with(workspace::real(&repository.top)));
        let Some(repository) =
            repositories.iter().filter(inside).max_by_key(|repository| repository.top.as_os_str().len())
        else {
            continue;
        };
        if !asked.iter().any(|said| said.repository.top == repository.top) {
            let (described, branch) = (repository.described(), repository.branch());
            asked.push(Said { repository, tags: repository.tags(), described, branch });
        }
        let Some(said) = asked.iter().find(|said| said.repository.top == repository.top) else { continue };
        let packages = job.facts.workspaces.iter().flat_map(|workspace| &workspace.packages);
        let package = packages.into_iter().find(|package| dirs.contains(&package.real));
        let asks = package.is_none_or(asks_git);
        let version = package.map(|package| package.version.as_str()).unwrap_or_default();
        // A number that is the package's own says nothing of git.
        let counts =
            |tag: &&String| tag.len() > 1 && (asks || tag.trim_start_matches('v') != version && has_digit(tag));
        let tags: Vec<&String> = said.tags.iter().filter(counts).collect();
        let embeds_head = record.run.as_ref().is_some_and(|run| run.commit.is_some());
        let root = &job.surveys[record.root].root;
        let branch = said.branch.as_ref().filter(|_| asks);
        let (output, out_dir) = (root.join(unit.place.run_output()), root.join(unit.place.out_dir()));
        let held = Held::find(&output, &out_dir, &tags, branch);
        let note = |text: String| Some(Described { top: paths::text(&repository.top), text });
        let facts = &mut manifest.units[place].run;
        if let Some(branch) = branch.filter(|_| held.branch) {
            facts.get_or_insert_with(Default::default).branch = note(branch.clone());
        }
        if let Some(text) = said.described.as_ref().filter(|_| !held.tags.is_empty() || embeds_head) {
            // A tag that came after the script ran, or went: what git said then is not known.
            let seen = embeds_head || held.tags.iter().any(|tag| text.starts_with(tag.as_str()));
            let text = if seen { text.clone() } else { String::new() };
            facts.get_or_insert_with(Default::default).described = note(text);
        }
    }
}

fn has_digit(tag: &str) -> bool {
    tag.bytes().any(|byte| byte.is_ascii_digit())
}

fn asks_git(package: &Package) -> bool {
    let source = package.build_script.as_ref().and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
    ASKS_GIT.iter().any(|word| source.contains(word) || package.dependencies.iter().any(|name| name.starts_with(word)))
}

/// What was found in one run's texts.
#[derive(Default)]
struct Held<'a> {
    tags: Vec<&'a String>,
    branch: bool,
}

impl<'a> Held<'a> {
    /// Looks into what a script printed and the files that it made, one after another.
    fn find(output: &Path, out_dir: &Path, tags: &[&'a String], branch: Option<&String>) -> Self {
        let mut held = Self::default();
        if tags.is_empty() && branch.is_none() {
            return held;
        }
        let printed = fs::read(output).unwrap_or_default();
        held.branch = branch.is_some_and(|branch| prints_value(&printed, branch));
        held.look(&printed, tags, &[]);
        // In a file it is a text of its own, or a ref.
        let quoted: Vec<String> =
            branch.iter().flat_map(|branch| [format!("\"{branch}\""), format!("\"refs/heads/{branch}\"")]).collect();
        for found in disk::walk(out_dir, &|_| true).unwrap_or_default() {
            if found.meta.kind == Kind::File {
                held.look(&fs::read(&found.path).unwrap_or_default(), tags, &quoted);
            }
        }
        held
    }

    fn look(&mut self, bytes: &[u8], tags: &[&'a String], quoted: &[String]) {
        let holds = |text: &String| memmem::find(bytes, text.as_bytes()).is_some();
        let new = tags.iter().copied().filter(|tag| !self.tags.contains(tag) && holds(tag));
        let new: Vec<&String> = new.collect();
        self.tags.extend(new);
        self.branch = self.branch || quoted.iter().any(holds);
    }
}

/// Whether a script told Cargo of a value that is this text and nothing else.
fn prints_value(printed: &[u8], text: &str) -> bool {
    let printed = String::from_utf8_lossy(printed);
    let mut values = printed.lines().filter_map(|line| line.trim().strip_prefix("cargo:")?.rsplit_once('='));
    values.any(|(_, value)| value == text)
}
