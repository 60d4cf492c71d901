//! Who refers to whom: manifests of a store in a folder, each read once and noted beside the packs.
//!
//! The note is trusted as far as the packs are: whoever may write it may remove them. An entry counts as noted only with the size and
//! the time that it has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::machine::disk;
use crate::moment::Moment;
use crate::state::stored::Stored;

const NAME: &str = ".parents.json";

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Noted {
    #[serde(skip)]
    path: Option<PathBuf>,
    #[serde(skip)]
    changed: bool,
    entries: BTreeMap<String, Note>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Note {
    bytes: u64,
    created: Moment,
    parents: BTreeSet<String>,
}

impl Noted {
    /// What was noted in this folder; nothing where there is none, or nothing that can be read.
    pub(super) fn load(dir: Option<&Path>) -> Self {
        let path = dir.map(|dir| dir.join(NAME));
        let bytes = path.as_ref().and_then(|path| fs::read(path).ok());
        let noted: Self = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        Self { path, ..noted }
    }

    pub(super) fn get(&self, entry: &Stored) -> Option<&BTreeSet<String>> {
        let note = self.entries.get(&entry.place)?;
        ((note.bytes, note.created) == (entry.bytes, entry.created)).then_some(&note.parents)
    }

    pub(super) fn add(&mut self, entry: &Stored, parents: BTreeSet<String>) {
        let note = Note { bytes: entry.bytes, created: entry.created, parents };
        self.entries.insert(entry.place.clone(), note);
        self.changed = true;
    }

    /// Writes down what is new, without what is no longer there.
    pub(super) fn store(&mut self, entries: &[Stored]) {
        let there: BTreeSet<&str> = entries.iter().map(|entry| entry.place.as_str()).collect();
        self.entries.retain(|place, _| there.contains(place.as_str()));
        if let (true, Some(path)) = (self.changed, &self.path) {
            // Without it they are read once more.
            let _ = serde_json::to_vec(self).map(|bytes| disk::write_for_all(path, &bytes));
        }
    }
}
