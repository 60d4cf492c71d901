//! What build scripts wrote outside the target folder: into their own package, a sibling, the repository, tracked or not, and
//! what they named elsewhere.
//!
//! Told by time: what last changed while a script of the project's own ran is taken for its work, since Cargo says nothing of it.
//! How it can be wrong: something else that was written during that time makes the script run once more when it is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::job::Job;
use super::{printed, unpacked};
use crate::cargo::workspace;
use crate::machine::disk::{Kind, Meta};
use crate::machine::paths::{self, is_under};
use crate::moment::Moment;
use crate::stamp::sources::Sources;
use crate::state::manifest::{Input, InputKind};
use crate::unit::Unit;

/// A run of a script, by its index in the job, from its start to its end.
struct Span {
    at: usize,
    dir: String,
    from: Moment,
    to: Moment,
}

/// Runs of the project's own build scripts in this job.
fn spans(job: &Job<'_>, live: &[usize]) -> Vec<Span> {
    let runs = live.iter().copied().filter(|&at| job.unit(at).is_run() && job.unchanged(at).is_none());
    let spans = runs.filter_map(|at| {
        let unit = job.unit(at);
        let (from, to) = unit.span()?;
        Some(Span { at, dir: paths::text(job.place(at).dirs.first()?), from, to })
    });
    spans.collect()
}

/// Files that git ignores and that changed while a script ran. They count from then on.
fn ignored(job: &Job<'_>, live: &[usize]) -> BTreeSet<String> {
    let spans = spans(job, live);
    let mut tops = BTreeSet::new();
    let mut found = BTreeSet::new();
    if spans.is_empty() {
        return found;
    }
    for workspace in &job.facts.workspaces {
        let Some(repository) = crate::git::Repository::discover(&workspace.root) else { continue };
        if !tops.insert(repository.top.clone()) {
            continue;
        }
        let ignored = repository.ignored().unwrap_or_default();
        // Git names them as they lie, and the job may have come to them through a link.
        let outputs: Vec<PathBuf> =
            job.roots.iter().flat_map(|root| [root.path.clone(), workspace::real(&root.path)]).collect();
        let is_made = |path: &PathBuf| {
            !outputs.iter().any(|dir| path.starts_with(dir)) && time(path).is_some_and(|time| covers(&spans, time))
        };
        found.par_extend(ignored.par_iter().filter(|path| is_made(path)).map(|path| paths::text(path)));
    }
    found
}

fn time(path: &Path) -> Option<Moment> {
    let meta = Meta::of(path).ok().filter(|meta| meta.kind == Kind::File)?;
    Some(meta.ctime.unwrap_or(meta.mtime))
}

fn covers(spans: &[Span], time: Moment) -> bool {
    spans.iter().any(|span| span.from <= time && time <= span.to)
}

/// What build scripts wrote and no listing of git's names, before it is looked at.
pub(super) struct Made {
    /// By the time at which it changed.
    ignored: BTreeSet<String>,
    /// By the run that named it, or lies there.
    told: BTreeMap<usize, BTreeSet<String>>,
    /// By an earlier run that was not made again.
    remembered: BTreeMap<usize, BTreeSet<String>>,
}

impl Made {
    pub(super) fn find(job: &Job<'_>, live: &[usize]) -> Self {
        let mut told = printed::by_run(job, live);
        for (at, paths) in unpacked::by_run(job, live) {
            told.entry(at).or_default().extend(paths);
        }
        Self { ignored: ignored(job, live), told, remembered: remembered(job, live) }
    }

    pub(super) fn paths(&self) -> BTreeSet<String> {
        let by_run = self.told.values().chain(self.remembered.values()).flatten();
        self.ignored.iter().chain(by_run).cloned().collect()
    }

    /// What each run made, of what is there now.
    pub(super) fn by_run(self, job: &Job<'_>, live: &[usize], sources: &Sources) -> BTreeMap<usize, BTreeSet<String>> {
        let spans = spans(job, live);
        let mut made = self.remembered;
        let told: BTreeSet<String> = self.told.values().flatten().cloned().collect();
        for (at, paths) in self.told {
            made.entry(at).or_default().extend(paths);
        }
        for (path, input) in sources.inputs.iter().filter(|(path, _)| !told.contains(*path)) {
            let time = sources.changed.get(path).copied().unwrap_or(input.mtime);
            let during = spans.iter().filter(|span| span.from <= time && time <= span.to);
            let is_file = input.kind == InputKind::File;
            // Cargo writes the lock file, and git its own, whenever they like.
            let is_theirs = paths::file_name(path) == "Cargo.lock" || input.id.is_meaning();
            let candidates: Vec<&Span> = during.filter(|_| is_file && !is_theirs).collect();
            // Its own package's script is likelier than another that ran at the same time.
            let own = candidates.iter().filter(|span| is_under(path, &span.dir)).max_by_key(|span| span.dir.len());
            let makers: Vec<&Span> = own.map_or(candidates.clone(), |own| {
                candidates.iter().copied().filter(|span| span.dir == own.dir).collect()
            });
            for span in makers {
                made.entry(span.at).or_default().insert(path.clone());
            }
        }
        for_every_run(job, live, &mut made);
        made
    }
}

/// Files that a script of this job was the last to write, and that hold what they held when the job began: completions, bindings
/// and the like, which are in git and generated all the same.
pub(super) fn written_again(job: &Job<'_>, live: &[usize], sources: &Sources) -> BTreeSet<String> {
    let spans = spans(job, live);
    let is_same = |path: &String, input: &Input| {
        let then = job.state.stamped.get(path);
        then.is_some_and(|then| then.id == input.id && then.executable == input.executable)
    };
    let by_script = |path: &String| sources.changed.get(path).is_some_and(|time| covers(&spans, *time));
    let files = sources.inputs.iter().filter(|(_, input)| input.kind == InputKind::File);
    files.filter(|(path, input)| by_script(path) && is_same(path, input)).map(|(path, _)| path.clone()).collect()
}

/// What earlier runs had made that did not run again.
fn remembered(job: &Job<'_>, live: &[usize]) -> BTreeMap<usize, BTreeSet<String>> {
    let Some(restored) = job.previous() else { return BTreeMap::new() };
    let made = live.iter().filter_map(|&at| {
        let run = job.unchanged(at)?.run.as_ref()?;
        Some((at, run.made.iter().map(|&input| restored.manifest.inputs[input].path.clone()).collect()))
    });
    made.collect()
}

/// A script that runs for two profiles writes the same files twice, and only the last time shows: what one run of a package's
/// script made, every other run of it makes, too.
fn for_every_run(job: &Job<'_>, live: &[usize], made: &mut BTreeMap<usize, BTreeSet<String>>) {
    // One that was fetched lies in no folder that is known here.
    let place = |at: usize| (job.place(at).dirs.first(), &job.unit(at).place.package);
    let mut of_package: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for (at, paths) in made.iter() {
        of_package.entry(place(*at)).or_default().extend(paths.iter().cloned());
    }
    for &at in live.iter().filter(|&&at| job.unit(at).is_run()) {
        if let Some(paths) = of_package.get(&place(at)) {
            made.entry(at).or_default().extend(paths.iter().cloned());
        }
    }
}
