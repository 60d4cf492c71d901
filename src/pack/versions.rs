//! Files that are stored as what makes them of older versions: those are unpacked beside, and what comes out of them is written
//! where the file belongs, if it has the digest that the manifest says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, anyhow, ensure};
use fs_err as fs;

use super::patch;
use crate::digest::Digest;
use crate::state::manifest::{Content, FileEntry, Location, Patch};

/// Where the pieces lie until the file is made of them.
const BESIDE: &str = ".versions";

/// All such files of a manifest. Their pieces are numbered like files, after the last of those.
pub(super) struct Versions<'a> {
    files: Vec<Grown<'a>>,
    /// Where the pieces lie.
    places: Vec<PathBuf>,
    first: usize,
    dirs: BTreeSet<PathBuf>,
}

struct Grown<'a> {
    file: usize,
    size: u64,
    sha256: &'a Digest,
    patch: &'a Patch,
    /// Oldest first.
    pieces: Vec<usize>,
}

impl<'a> Versions<'a> {
    pub(super) fn new(files: usize) -> Self {
        Self { files: Vec::new(), places: Vec::new(), first: files, dirs: BTreeSet::new() }
    }

    /// What has to be read for a file: numbers, where in which pack, and how much.
    pub(super) fn parts(&mut self, file: usize, entry: &'a FileEntry, root: &Path) -> Vec<(usize, Location, u64)> {
        let found = entry.pieces();
        let mut numbers = vec![file];
        if let Content::File { size, sha256, patch: Some(patch), .. } = &entry.content {
            numbers = (0..found.len()).map(|at| self.first + self.places.len() + at).collect();
            let dir = root.join(BESIDE);
            self.places.extend(numbers.iter().map(|number| dir.join(number.to_string())));
            self.dirs.insert(dir);
            self.files.push(Grown { file, size: *size, sha256, patch, pieces: numbers.clone() });
        }
        numbers.into_iter().zip(found).map(|(number, (at, len))| (number, at, len)).collect()
    }

    /// Adds the places of pieces to those of files, where the file has one; `split` are those that come in parts.
    pub(super) fn prepare(
        &self,
        places: &mut Vec<Option<PathBuf>>,
        split: &BTreeSet<usize>,
        failed: &mut dyn FnMut(usize, &anyhow::Error),
    ) {
        places.resize(self.first + self.places.len(), None);
        let made: std::io::Result<()> = self.dirs.iter().try_for_each(fs::create_dir);
        for grown in &self.files {
            let empty = |at: &usize| fs::File::create_new(&self.places[at - self.first]).map(drop);
            let ready = match &made {
                Ok(()) => grown.pieces.iter().filter(|at| split.contains(at)).try_for_each(empty),
                Err(error) => Err(error.kind().into()),
            };
            match ready {
                Ok(()) if places[grown.file].is_some() => {
                    for at in &grown.pieces {
                        places[*at] = Some(self.places[at - self.first].clone());
                    }
                }
                Ok(()) => {}
                Err(error) => {
                    places[grown.file] = None;
                    failed(grown.file, &error.into());
                }
            }
        }
    }

    /// Writes what comes out of the pieces into files that are there and empty. What failed, and why.
    pub(super) fn assemble(
        &self,
        places: &[Option<PathBuf>],
        lost: &BTreeMap<usize, String>,
    ) -> BTreeMap<usize, String> {
        let told = Mutex::new(BTreeMap::new());
        let older = |grown: &Grown<'_>| grown.patch.onto.iter().map(|version| version.size).max().unwrap_or(0);
        let make = |grown: &Grown<'_>| match grown.pieces.iter().find_map(|at| lost.get(at)) {
            Some(reason) => Err(anyhow!(reason.clone())),
            None => grown.make(places),
        };
        super::side_by_side(
            &self.files,
            |grown| older(grown) + grown.size,
            make,
            |grown, made| {
                if let Err(error) = made {
                    told.lock().unwrap_or_else(PoisonError::into_inner).insert(grown.file, format!("{error:#}"));
                }
            },
        );
        told.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Versions<'_> {
    fn drop(&mut self) {
        for dir in &self.dirs {
            // What stays is in a folder that is given up with all that nobody knows.
            let _ = fs::remove_dir_all(dir);
        }
    }
}

impl Grown<'_> {
    fn make(&self, places: &[Option<PathBuf>]) -> Result<()> {
        let place = |at: usize| places.get(at).and_then(Option::as_ref).context("it has no place");
        let piece = |at: usize, len: u64| -> Result<Vec<u8>> {
            if len == 0 {
                return Ok(Vec::new());
            }
            let bytes = fs::read(place(at)?)?;
            // Nobody reads it again, and it takes up room.
            fs::remove_file(place(at)?)?;
            Ok(bytes)
        };
        let Patch { stored, onto } = self.patch;
        let (oldest, newer) = onto.split_first().context("it is made of nothing")?;
        let (first, rest) = self.pieces.split_first().context("it is made of nothing")?;
        let steps = newer.iter().map(|version| (version.stored, version.size));
        let mut bytes = piece(*first, oldest.stored)?;
        for (at, (stored, size)) in rest.iter().zip(steps.chain([(*stored, self.size)])) {
            bytes = patch::apply(&bytes, &piece(*at, stored)?, size)?;
        }
        // Whatever was wrong on the way, these are not its bytes.
        ensure!(Digest::of(&bytes) == *self.sha256, "what its patch makes is another file");
        let mut file = fs::OpenOptions::new().write(true).open(place(self.file)?)?;
        Ok(std::io::Write::write_all(&mut file, &bytes)?)
    }
}
