//! Build scripts that wrote down what git says of the commit by its tags.
//!
//! How it can be wrong: a text that was put together in another way (a count of commits alone) is not recognised, and a tag that
//! happens to stand in a script's output for another reason costs a run of that script when the next tag comes.

use std::path::{Path, PathBuf};

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

/// Notes what git says now for the runs of local packages that hold such a text.
pub(super) fn add(job: &Job<'_>, live: &[usize], repositories: &[Repository], manifest: &mut Manifest) {
    let mut asked: Vec<(&Repository, Vec<String>, Option<String>)> = Vec::new();
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
        if !asked.iter().any(|(known, ..)| known.top == repository.top) {
            asked.push((repository, repository.tags(), repository.described()));
        }
        let Some((_, tags, Some(text))) = asked.iter().find(|(known, ..)| known.top == repository.top) else {
            continue;
        };
        let packages = job.facts.workspaces.iter().flat_map(|workspace| &workspace.packages);
        let package = packages.into_iter().find(|package| dirs.contains(&package.real));
        let asks = package.is_none_or(asks_git);
        let version = package.map(|package| package.version.as_str()).unwrap_or_default();
        // A number that is the package's own says nothing of git.
        let counts =
            |tag: &&String| tag.len() > 1 && (asks || tag.trim_start_matches('v') != version && has_digit(tag));
        let tags: Vec<&String> = tags.iter().filter(counts).collect();
        let embeds_head = record.run.as_ref().is_some_and(|run| run.commit.is_some());
        let root = &job.surveys[record.root].root;
        let held = tags_in(&root.join(unit.place.run_output()), &root.join(unit.place.out_dir()), &tags);
        if !held.is_empty() || embeds_head {
            // A tag that came after the script ran, or went: what git said then is not known.
            let seen = embeds_head || held.iter().any(|tag| text.starts_with(tag.as_str()));
            let text = if seen { text.clone() } else { String::new() };
            let facts = manifest.units[place].run.get_or_insert_with(Default::default);
            facts.described = Some(Described { top: paths::text(&repository.top), text });
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

/// The tags that a script's output or one of the files that it made holds.
fn tags_in<'a>(output: &Path, out_dir: &Path, tags: &[&'a String]) -> Vec<&'a String> {
    if tags.is_empty() {
        return Vec::new();
    }
    let made = disk::walk(out_dir, &|_| true).unwrap_or_default();
    let made = made.into_iter().filter(|found| found.meta.kind == Kind::File).map(|found| found.path);
    let mut held: Vec<&String> = Vec::new();
    for path in std::iter::once(PathBuf::from(output)).chain(made) {
        let bytes = fs::read(&path).unwrap_or_default();
        for &tag in tags {
            if !held.contains(&tag) && memmem::find(&bytes, tag.as_bytes()).is_some() {
                held.push(tag);
            }
        }
    }
    held
}
