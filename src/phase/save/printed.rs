//! Files outside of everything that is looked at, which a build script wrote and named in what it printed: a download in
//! `~/.cache`, data in `/opt`; and what the script of a fetched package left in an ignored place of the project. On a wiped machine
//! they are not there, and Cargo does not know that the script made them.
//!
//! How it can be wrong: a script that names neither the file nor a folder above it, one that found the file there and left it, and
//! a folder that was made and left empty. A file that something else wrote just then makes the script run once more when it is
//! missing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::job::Job;
use crate::cargo::workspace;
use crate::git::Repository;
use crate::machine::disk::{self, Kind, Meta};
use crate::machine::paths;
use crate::moment::Moment;
use crate::state::manifest::Lies;
use crate::unit::Unit;

/// Paths in one output that are looked at.
const PATHS: usize = 5_000;
/// What is looked at below one folder.
const LOOKED_AT: usize = 20_000;
/// Files in one folder that are remembered: who misses one of them misses the rest.
const REMEMBERED: usize = 50;

type Span = (Moment, Moment);

/// Such files, by run of this job.
pub(super) fn by_run(job: &Job<'_>, live: &[usize]) -> BTreeMap<usize, BTreeSet<String>> {
    let known = Known::of(job);
    let runs = live.iter().copied().filter(|&at| job.unit(at).is_run() && job.unchanged(at).is_none());
    let mut files = BTreeMap::new();
    let mut fetched = Vec::new();
    for at in runs {
        let Some((span, named)) = told(job, at) else { continue };
        let written: BTreeSet<String> =
            named.iter().flat_map(|path| known.written(path, span)).map(|path| paths::text(&path)).collect();
        if !written.is_empty() {
            files.insert(at, written);
        }
        if job.place(at).lies == Lies::Fetched {
            fetched.push((at, span, named));
        }
    }
    for (at, path) in ignored(job, &fetched) {
        files.entry(at).or_default().insert(path);
    }
    files
}

/// From when to when a run lasted, and the paths that it printed.
fn told(job: &Job<'_>, at: usize) -> Option<(Span, BTreeSet<PathBuf>)> {
    let unit = job.unit(at);
    let output = job.surveys[job.units[at].0].root.join(unit.place.run_output());
    Some((unit.span()?, named(&String::from_utf8_lossy(&fs::read(output).ok()?))))
}

/// Files in the project's repositories that git ignores, that the script of a fetched package named, and that changed while it ran. What
/// scripts of the project's own write there need not be named.
fn ignored(job: &Job<'_>, runs: &[(usize, Span, BTreeSet<PathBuf>)]) -> Vec<(usize, String)> {
    let outputs: Vec<PathBuf> =
        job.roots.iter().flat_map(|root| [root.path.clone(), workspace::real(&root.path)]).collect();
    let is_output = |path: &Path| outputs.iter().any(|dir| path.starts_with(dir));
    let mut tops = BTreeSet::new();
    let mut found = Vec::new();
    for workspace in &job.facts.workspaces {
        let Some(repository) = Repository::discover(&workspace.root) else { continue };
        let top = workspace::real(&repository.top);
        // The top itself is named for many reasons.
        let inside: Vec<(usize, Span, Vec<PathBuf>)> = runs
            .iter()
            .map(|(at, span, named)| {
                let real = named.iter().filter_map(|path| fs::canonicalize(path).ok());
                (*at, *span, real.filter(|path| path.starts_with(&top) && *path != top && !is_output(path)).collect())
            })
            .filter(|(.., named): &(usize, Span, Vec<PathBuf>)| !named.is_empty())
            .collect();
        if inside.is_empty() || !tops.insert(top) {
            continue;
        }
        for path in repository.ignored().unwrap_or_default() {
            let (real, Ok(meta)) = (workspace::real(&path), Meta::of(&path)) else { continue };
            let names = |named: &[PathBuf]| named.iter().any(|named| real.starts_with(named));
            let makers = inside.iter().filter(|(_, span, named)| names(named) && is_made(&meta, *span));
            found.extend(makers.filter(|_| !is_output(&real)).map(|(at, ..)| (*at, paths::text(&path))));
        }
    }
    found
}

/// Absolute paths in an output: values as a whole, which may hold spaces, and all that stands between usual separators. `~` is home.
fn named(output: &str) -> BTreeSet<PathBuf> {
    let home = std::env::home_dir().unwrap_or_default();
    let expanded = |path: PathBuf| path.strip_prefix("~").map(|rest| home.join(rest)).unwrap_or(path);
    let mut found = BTreeSet::new();
    for line in output.lines().map(str::trim) {
        let values = line.match_indices('=').map(|(at, _)| PathBuf::from(&line[at + 1..]));
        let words = line.split(['=', ' ', '\t', ',', ';', '"', '\'']);
        // `-L/opt/x` is a folder with a flag before it.
        let words = words.map(|word| if word.starts_with('-') { &word[word.find('/').unwrap_or(0)..] } else { word });
        let paths = values.chain(words.flat_map(std::env::split_paths)).map(expanded);
        found.extend(paths.filter(|path| path.is_absolute()).map(|path| paths::lexical(&path)));
        if found.len() > PATHS {
            break;
        }
    }
    found
}

/// Folders that somebody else answers for.
struct Known {
    folders: Vec<PathBuf>,
    /// Folders for everybody.
    common: Vec<PathBuf>,
}

impl Known {
    fn of(job: &Job<'_>) -> Self {
        let scope = job.facts.scope(BTreeSet::new());
        // What lies there else may be a script's: a tool in `bin`, say.
        let cargos = ["registry", "git"].map(|name| job.facts.cargo_home.join(name));
        let named = [scope.roots, scope.plain, scope.outputs, cargos.to_vec()].concat();
        // What is asked about is a real path.
        let folders = named.iter().flat_map(|dir| [dir.clone(), workspace::real(dir)]).collect();
        let common = std::iter::once(std::env::temp_dir()).chain(std::env::home_dir());
        Self { folders, common: common.map(|dir| workspace::real(&dir)).collect() }
    }

    /// The file, or the files in the folder, that this path leads to and that changed in that time.
    fn written(&self, path: &Path, span: (Moment, Moment)) -> Vec<PathBuf> {
        let Ok(path) = fs::canonicalize(path) else { return Vec::new() };
        let Ok(meta) = Meta::of(&path) else { return Vec::new() };
        if self.folders.iter().any(|dir| path.starts_with(dir)) {
            return Vec::new();
        }
        if meta.kind == Kind::File {
            return is_made(&meta, span).then_some(path).into_iter().collect();
        }
        // A folder for everybody, or one above all of them, is not what a script filled.
        let is_common = self.folders.iter().chain(&self.common).any(|dir| dir.starts_with(&path));
        if is_common { Vec::new() } else { written_below(&path, |meta| is_made(meta, span)) }
    }
}

/// Whether this is a file that last changed in that time.
pub(super) fn is_made(meta: &Meta, (from, to): (Moment, Moment)) -> bool {
    let time = meta.ctime.unwrap_or(meta.mtime);
    meta.kind == Kind::File && from <= time && time <= to
}

/// The nearest files first.
pub(super) fn written_below(dir: &Path, is_made: impl Fn(&Meta) -> bool) -> Vec<PathBuf> {
    let mut open = VecDeque::from([dir.to_path_buf()]);
    let (mut looked_at, mut files) = (0, Vec::new());
    while let Some(dir) = open.pop_front() {
        // One that may not be read is not one that was written into.
        for child in disk::walk(&dir, &|_| false).unwrap_or_default() {
            looked_at += 1;
            if looked_at > LOOKED_AT || files.len() >= REMEMBERED {
                return files;
            }
            match child.meta.kind {
                Kind::Folder => open.push_back(child.path),
                Kind::File if is_made(&child.meta) => files.push(child.path),
                Kind::File | Kind::Symlink | Kind::Other => {}
            }
        }
    }
    files
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_in_whatever_is_printed() {
        let output = "cargo:rustc-env=P=/home/me/.cache/x y/z\ncargo::rustc-link-search=native=/opt/a/../b/lib\n\
                      cargo:rustc-flags=-L/opt/c -l static=d\ncargo:include=/opt/e:/opt/f\nwrote \"/var/g\", 'h/i'\n";
        let found = named(output);
        for path in ["/home/me/.cache/x y/z", "/opt/b/lib", "/opt/c", "/opt/e", "/opt/f", "/var/g"] {
            assert!(found.contains(Path::new(path)), "{path}: {found:?}");
        }
        assert!(!found.iter().any(|path| path.ends_with("i")), "{found:?}");
        assert!(named("wrote ~/.cache/x").contains(&std::env::home_dir().unwrap().join(".cache/x")));
    }
}
