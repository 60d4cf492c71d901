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

/// All such files of a manifest. Their pieces are numbered like files, after the last of those; one that is a file of its own, or a
/// piece of several, is fetched once.
pub(super) struct Versions<'a> {
    files: Vec<Grown<'a>>,
    /// Where the pieces lie.
    places: Vec<PathBuf>,
    first: usize,
    dirs: BTreeSet<PathBuf>,
    /// What has a number, by where it lies in which pack, and how much it is.
    known: BTreeMap<(Location, u64), usize>,
    /// Pieces of several files.
    shared: BTreeSet<usize>,
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
        Self {
            files: Vec::new(),
            places: Vec::new(),
            first: files,
            dirs: BTreeSet::new(),
            known: BTreeMap::new(),
            shared: BTreeSet::new(),
        }
    }

    /// What has to be read for a file: numbers, where in which pack, and how much. Files that are stored whole come first.
    pub(super) fn parts(&mut self, file: usize, entry: &'a FileEntry, root: &Path) -> Vec<(usize, Location, u64)> {
        let found = entry.pieces();
        let Content::File { size, sha256, patch: Some(patch), .. } = &entry.content else {
            return found.into_iter().map(|(at, len)| (file, at, len)).collect();
        };
        let dir = root.join(BESIDE);
        let (mut pieces, mut wanted) = (Vec::new(), Vec::new());
        for (at, len) in found {
            if let Some(&number) = self.known.get(&(at, len)) {
                self.shared.insert(number);
                pieces.push(number);
                continue;
            }
            let number = self.first + self.places.len();
            self.places.push(dir.join(number.to_string()));
            pieces.push(number);
            wanted.push((number, at, len));
        }
        self.dirs.insert(dir);
        self.files.push(Grown { file, size: *size, sha256, patch, pieces });
        wanted
    }

    /// It will be fetched: nobody else has to ask for it.
    pub(super) fn expect(&mut self, (number, at, len): (usize, Location, u64)) {
        self.known.insert((at, len), number);
    }

    /// Where a piece lies that is no file of its own.
    fn beside(&self, number: usize) -> Option<&PathBuf> {
        self.places.get(number.checked_sub(self.first)?)
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
            let pieces = grown.pieces.iter().filter_map(|at| Some((*at, self.beside(*at)?)));
            // One of several files has been made by the first of them.
            let empty = |(_, path): (usize, &PathBuf)| {
                fs::OpenOptions::new().write(true).create(true).truncate(true).open(path).map(drop)
            };
            let ready = match &made {
                Ok(()) => pieces.clone().filter(|(at, _)| split.contains(at)).try_for_each(empty),
                Err(error) => Err(error.kind().into()),
            };
            match ready {
                Ok(()) if places[grown.file].is_some() => {
                    for (at, path) in pieces {
                        places[at] = Some(path.clone());
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
            None => grown.make(places, |at| self.beside(at).is_none() || self.shared.contains(&at)),
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
    /// `stays` says what somebody else wants, too.
    fn make(&self, places: &[Option<PathBuf>], stays: impl Fn(usize) -> bool) -> Result<()> {
        let place = |at: usize| places.get(at).and_then(Option::as_ref).context("it has no place");
        let piece = |at: usize, len: u64| -> Result<Vec<u8>> {
            if len == 0 {
                return Ok(Vec::new());
            }
            let bytes = fs::read(place(at)?)?;
            if !stays(at) {
                // Nobody reads it again, and it takes up room.
                fs::remove_file(place(at)?)?;
            }
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
