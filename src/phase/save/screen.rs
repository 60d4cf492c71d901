//! Keeps secrets out of packs: a unit that holds one is left out with everything that was built from it.
//!
//! Only bytes that would be stored anew are searched; what a parent holds was searched when it was stored.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::Result;
use fs_err as fs;
use rayon::prelude::*;

use super::Job;
use crate::cargo::units::Role;
use crate::disk::Kind;
use crate::secrets::Secrets;

/// What may not be stored.
#[derive(Debug, Default)]
pub(super) struct Screened {
    /// Units, by index.
    pub(super) units: BTreeSet<usize>,
    /// Single files that nobody depends on.
    files: BTreeSet<PathBuf>,
}

impl Screened {
    /// Whether this file may not be stored although nobody's unit is left out for it.
    pub(super) fn holds(&self, path: &Path) -> bool {
        self.files.contains(path)
    }
}

pub(super) fn screen(
    job: &Job<'_>,
    ages: &[Option<u32>],
    edges: &[Vec<Option<usize>>],
    secrets: &Secrets,
) -> Result<Screened> {
    let mut screened = Screened::default();
    if secrets.is_empty() {
        return Ok(screened);
    }
    let stored = stored_files(job);
    let unit_index: HashMap<(usize, usize), usize> =
        job.units.iter().enumerate().map(|(at, place)| (*place, at)).collect();
    let mut suspects: Vec<(PathBuf, Option<usize>)> = Vec::new();
    for (root, survey) in job.surveys.iter().enumerate() {
        for file in survey.files.iter().filter(|file| file.meta.kind == Kind::File) {
            let unit = if let Role::Unit(at) = file.role { unit_index.get(&(root, at)).copied() } else { None };
            let wanted = !matches!(file.role, Role::Drop) && unit.is_none_or(|unit| ages[unit].is_some());
            let known = stored.contains(&(root, file.path.as_str()));
            if wanted && !known {
                suspects.push((survey.on_disk(file), unit));
            }
        }
    }
    let searched: io::Result<Vec<bool>> = suspects.par_iter().map(|(path, _)| holds_secret(path, secrets)).collect();
    for ((path, unit), _) in suspects.iter().zip(searched?).filter(|(_, holds)| *holds) {
        match unit {
            // Cargo does without the JSON, which holds the values of tracked variables in clear.
            Some(unit) if !is_fingerprint_json(path) => {
                screened.units.insert(*unit);
            }
            _ => {
                screened.files.insert(path.clone());
            }
        }
    }
    add_dependents(&mut screened.units, edges);
    Ok(screened)
}

fn add_dependents(units: &mut BTreeSet<usize>, edges: &[Vec<Option<usize>>]) {
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

fn is_fingerprint_json(path: &Path) -> bool {
    let in_fingerprint =
        path.components().any(|part| part.as_os_str() == ".fingerprint" || part.as_os_str() == "fingerprint");
    in_fingerprint && path.extension().is_some_and(|extension| extension == "json")
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
