//! Names that differ by their case alone, on a file system that does not tell them apart: one would be taken for the other.
//!
//! How it can be wrong: file systems fold a few more characters than Unicode's lower case does, and some take two spellings of an
//! accent for one. There the second file fails when it is made, and what lies in its frame is built anew.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use crate::machine::disk;
use crate::state::manifest::{Content, Manifest};

/// Entries that would be one file with another.
pub(super) fn mixed_up(manifest: &Manifest, dirs: &[PathBuf], places: &[Option<PathBuf>]) -> BTreeSet<usize> {
    let mut alike: HashMap<(usize, String), Vec<usize>> = HashMap::new();
    for (at, entry) in manifest.files.iter().enumerate().filter(|(at, _)| places[*at].is_some()) {
        alike.entry((entry.root, entry.path.to_lowercase())).or_default().push(at);
    }
    let is_folder = |at: &usize| matches!(manifest.files[*at].content, Content::Folder { .. });
    alike.retain(|_, entries| entries.len() > 1 && !entries.iter().all(is_folder));
    let roots: BTreeSet<usize> = alike.keys().map(|(root, _)| *root).collect();
    let folding: BTreeSet<usize> = roots.into_iter().filter(|root| folds(&dirs[*root])).collect();
    alike.into_iter().filter(|((root, _), _)| folding.contains(root)).flat_map(|(_, entries)| entries).collect()
}

/// Whether a file is found there under another case of its name; where that cannot be tried out, it is.
fn folds(dir: &Path) -> bool {
    let probe = tempfile::Builder::new().prefix(".rekindle-case").suffix("-b").tempfile_in(dir);
    let Ok(probe) = probe else { return true };
    let name = probe.path().file_name().map(|name| name.to_string_lossy().to_uppercase());
    name.is_none_or(|name| disk::Meta::of(&dir.join(name)).is_ok())
}
