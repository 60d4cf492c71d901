//! Keeps secrets out of packs: a unit that holds one is left out with everything that was built from it.
//!
//! Only bytes that would be stored anew are searched; what a parent holds was searched when it was stored. A file that belongs
//! to no unit is left out alone, together with the runs of build scripts that can have written it: where one is fresh, what it
//! made is there. How it can be wrong: by the clock it can have been another run, which costs a run of a script too many.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use fs_err as fs;
use rayon::prelude::*;

use super::job::Job;
use crate::cargo::units::{DiskFile, DiskUnit, Role, Survey};
use crate::machine::disk::Kind;
use crate::machine::paths;
use crate::moment::Moment;
use crate::state::manifest::{EnvRecord, MAX_DEPTH};
use crate::state::secrets::{Secrets, is_secret_name};
use crate::unit::Unit;

/// What may not be stored.
#[derive(Debug, Default)]
pub(super) struct Screened {
    /// Units, by index.
    pub(super) units: BTreeSet<usize>,
    /// Those of them that hold a secret, or were built from one that does.
    pub(super) secret: BTreeSet<usize>,
    /// Files that nobody can have missed: their paths.
    left_alone: BTreeSet<String>,
    /// Files that cannot be read, and so not stored.
    pub(super) unreadable: BTreeSet<String>,
    /// Files that were there a moment ago: a cargo is still at work.
    gone: BTreeSet<String>,
    files: BTreeSet<(usize, String)>,
}

impl Screened {
    /// Whether this file may not be stored, whatever becomes of its unit.
    pub(super) fn holds(&self, root: usize, file: &DiskFile) -> bool {
        !self.files.is_empty() && self.files.contains(&(root, file.path.clone()))
    }

    /// Files that were left out and that no unit is missed for, for people.
    pub(super) fn files_by_name(&self, secrets: &Secrets) -> Vec<String> {
        let own = self.left_alone.iter().filter(|path| !self.unreadable.contains(*path) && !self.gone.contains(*path));
        own.map(|path| paths::shown(&secrets.redact(path))).collect()
    }
}

/// The secrets of a job: those of this step, and those that a build wrote down as the values of variables with such names.
pub(super) fn secrets(surveys: &[Survey]) -> Secrets {
    let units = surveys.iter().flat_map(|survey| survey.units.iter().map(move |unit| (survey, unit)));
    let on_disk = units.flat_map(|(survey, unit)| {
        let tracked = unit.tracked_env().filter_map(|(name, value)| Some((name, value?)));
        tracked.chain(given_on(survey, unit)).collect::<Vec<_>>()
    });
    Secrets::new(crate::machine::environment::variables().into_iter().chain(on_disk))
}

/// Variables that a build script set for the compiler.
fn given_on(survey: &Survey, unit: &DiskUnit) -> Vec<(String, String)> {
    if !unit.is_run() {
        return Vec::new();
    }
    let output = fs::read(survey.root.join(paths::path(&unit.place.run_output()))).unwrap_or_default();
    let output = String::from_utf8_lossy(&output);
    let pair = |line: &str| {
        let rest = line.strip_prefix("cargo::").or_else(|| line.strip_prefix("cargo:"))?.strip_prefix("rustc-env=")?;
        rest.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    output.lines().filter_map(pair).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Clean,
    Holds,
    Unreadable,
    Gone,
}

pub(super) fn screen(job: &Job<'_>, ages: &[Option<u32>], edges: &[Vec<Option<usize>>], secrets: &Secrets) -> Screened {
    let mut screened = Screened::default();
    let stored = stored_files(job);
    let unit_index: HashMap<(usize, usize), usize> =
        job.units.iter().enumerate().map(|(at, place)| (*place, at)).collect();
    let mut suspects: Vec<(usize, &DiskFile, Option<usize>)> = Vec::new();
    for (root, survey) in job.surveys.iter().enumerate() {
        for file in survey.files.iter().filter(|file| file.meta.kind != Kind::Other) {
            let unit = if let Role::Unit(at) = file.role { unit_index.get(&(root, at)).copied() } else { None };
            let wanted = !matches!(file.role, Role::Drop) && unit.is_none_or(|unit| ages[unit].is_some());
            if wanted && !stored.contains(&(root, file.path.as_str())) {
                suspects.push((root, file, unit));
            }
        }
    }
    let verdicts: Vec<Verdict> =
        suspects.par_iter().map(|(root, file, _)| verdict(&job.surveys[*root], file, secrets)).collect();
    let with = |verdict: Verdict| suspects.iter().zip(&verdicts).filter(move |(_, own)| **own == verdict);
    for (&(root, file, unit), _) in with(Verdict::Holds) {
        leave_out(job, root, file, unit, &mut screened);
    }
    for (&(root, unit), &at) in &unit_index {
        if ages[at].is_some() {
            by_name(&job.surveys[root], root, unit, at, secrets, &mut screened);
        }
    }
    add_dependents(&mut screened.units, edges);
    screened.units.retain(|at| ages[*at].is_some());
    screened.secret.clone_from(&screened.units);
    for (&(root, file, unit), _) in with(Verdict::Unreadable) {
        screened.unreadable.insert(file.path.clone());
        leave_out(job, root, file, unit, &mut screened);
    }
    for (&(root, file, unit), _) in with(Verdict::Gone) {
        screened.gone.insert(file.path.clone());
        leave_out(job, root, file, unit, &mut screened);
    }
    add_dependents(&mut screened.units, edges);
    screened
}

/// Without one of its files a unit is not what Cargo takes it for; the JSON that holds the values of tracked variables in clear
/// is for people.
fn leave_out(job: &Job<'_>, root: usize, file: &DiskFile, unit: Option<usize>, screened: &mut Screened) {
    match (unit, &file.role) {
        (Some(unit), _) if !is_fingerprint_json(job.unit(unit), &file.path) => {
            screened.units.insert(unit);
        }
        (Some(_), _) => {
            screened.files.insert((root, file.path.clone()));
        }
        (None, Role::Doc) => {
            screened.units.extend((0..job.units.len()).filter(|&at| job.unit(at).is_doc()));
            screened.files.insert((root, file.path.clone()));
        }
        // Half of what the compiler remembers of a crate is worse than nothing.
        (None, Role::Incremental) => {
            let crate_dir = incremental_dir(&file.path);
            let files = job.surveys[root].files.iter().map(|file| &file.path);
            let same = files.filter(|path| incremental_dir(path) == crate_dir).map(|path| (root, path.clone()));
            screened.files.extend(same);
        }
        (None, _) => {
            screened.files.insert((root, file.path.clone()));
            let makers: Vec<usize> = (0..job.units.len()).filter(|&at| can_have_made(job, at, file)).collect();
            if makers.is_empty() {
                screened.left_alone.insert(file.path.clone());
            }
            screened.units.extend(makers);
        }
    }
}

/// `debug/incremental/app-2x3y/s-1/x.o` → `debug/incremental/app-2x3y`.
fn incremental_dir(path: &str) -> Option<&str> {
    let (start, mark) = path.match_indices("incremental/").next()?;
    let rest = &path[start + mark.len()..];
    Some(&path[..start + mark.len() + rest.find('/').unwrap_or(rest.len())])
}

/// Whether a build script ran when this file was written, or when it was last changed in any way.
fn can_have_made(job: &Job<'_>, at: usize, file: &DiskFile) -> bool {
    let unit = job.unit(at);
    let Some(started) = unit.started.filter(|_| unit.is_run()) else { return false };
    let ended = started.plus(Duration::from_secs_f64(unit.seconds));
    let ran = |at: Moment| started <= at && at <= ended;
    ran(file.meta.mtime) || file.meta.ctime.is_some_and(ran)
}

/// What stands beside the name of a secret is one, however short.
fn by_name(survey: &Survey, root: usize, unit: usize, at: usize, secrets: &Secrets, screened: &mut Screened) {
    let unit = &survey.units[unit];
    let hidden = |name: &str, value: &Option<String>| secrets.record(name, value.clone()) == EnvRecord::Set;
    let compiler = unit.fingerprints.iter().filter_map(|print| print.dep_info.as_ref()).flat_map(|info| &info.env);
    let given = given_on(survey, unit);
    if compiler.into_iter().any(|(name, value)| hidden(name, value))
        || given.iter().any(|(name, value)| is_secret_name(name) && !value.is_empty())
    {
        screened.units.insert(at);
    }
    if unit.tracked_env().any(|(name, value)| hidden(&name, &value)) {
        let dir = unit.place.fingerprint_dir();
        screened.files.extend(unit.fingerprints.iter().map(|print| (root, format!("{dir}/{}.json", print.name))));
    }
}

/// What was built from one of these, too.
pub(super) fn add_dependents(units: &mut BTreeSet<usize>, edges: &[Vec<Option<usize>>]) {
    if units.is_empty() {
        return;
    }
    loop {
        let more: Vec<usize> = (0..edges.len())
            .filter(|at| !units.contains(at) && edges[*at].iter().flatten().any(|dep| units.contains(dep)))
            .collect();
        if more.is_empty() {
            return;
        }
        units.extend(more);
    }
}

/// Files that were searched when they were stored.
fn stored_files<'a>(job: &'a Job<'_>) -> HashSet<(usize, &'a str)> {
    let Some(restored) = job.previous() else { return HashSet::new() };
    let files = job.same().iter().map(|&at| &restored.manifest.files[at]);
    files.map(|file| (file.root, file.path.as_str())).collect()
}

fn is_fingerprint_json(unit: &DiskUnit, path: &str) -> bool {
    let name = path.strip_prefix(&unit.place.fingerprint_dir()).and_then(|rest| rest.strip_prefix('/'));
    let print = name.and_then(|name| name.strip_suffix(".json"));
    print.is_some_and(|print| unit.fingerprints.iter().any(|known| known.name == print))
}

fn verdict(survey: &Survey, file: &DiskFile, secrets: &Secrets) -> Verdict {
    let path = survey.on_disk(file);
    if secrets.are_in(file.path.as_bytes()) {
        return Verdict::Holds;
    }
    // No restore takes what lies deeper.
    if file.path.split('/').count() > MAX_DEPTH {
        return Verdict::Unreadable;
    }
    let holds = match file.meta.kind {
        Kind::File if secrets.is_empty() => fs::File::open(&path).map(|_| false),
        Kind::File => holds_secret(&path, secrets),
        Kind::Symlink => fs::read_link(&path).map(|to| secrets.are_in(paths::text(&to).as_bytes())),
        Kind::Folder => fs::read_dir(&path).map(|_| false),
        Kind::Other => Ok(false),
    };
    match holds {
        Ok(false) => Verdict::Clean,
        Ok(true) => Verdict::Holds,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Verdict::Gone,
        Err(_) => Verdict::Unreadable,
    }
}

fn holds_secret(path: &Path, secrets: &Secrets) -> io::Result<bool> {
    let mut file = fs::File::open(path)?;
    let overlap = secrets.overlap();
    let mut buffer = vec![0; (1 << 20) + overlap];
    let mut kept = 0;
    loop {
        let len = file.read(&mut buffer[kept..])?;
        if len == 0 {
            return Ok(false);
        }
        let end = kept + len;
        if secrets.are_in(&buffer[..end]) {
            return Ok(true);
        }
        kept = overlap.min(end);
        buffer.copy_within(end - kept..end, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_cargo_takes_away_meanwhile_is_gone_and_not_unreadable() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["stays", "goes", "below/goes"] {
            fs::create_dir_all(dir.path().join("below")).unwrap();
            fs::write(dir.path().join(name), name).unwrap();
        }
        crate::machine::disk::symlink("nowhere", &dir.path().join("link")).unwrap();
        let survey = crate::cargo::survey::survey_all(&[dir.path().to_path_buf()]).unwrap().remove(0);
        fs::remove_file(dir.path().join("goes")).unwrap();
        fs::remove_dir_all(dir.path().join("below")).unwrap();
        let token = [("MY_TOKEN".to_owned(), "long-enough-secret".to_owned())];
        for secrets in [Secrets::new(std::iter::empty()), Secrets::new(token.into_iter())] {
            let of =
                |path: &str| verdict(&survey, survey.files.iter().find(|file| file.path == path).unwrap(), &secrets);
            assert_eq!(["stays", "link"].map(of), [Verdict::Clean; 2]);
            assert_eq!(["goes", "below", "below/goes"].map(of), [Verdict::Gone; 3]);
        }
    }
}
