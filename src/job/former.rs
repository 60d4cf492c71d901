//! Restored files of the workspace by another name each, so that the save still has them when they are linked anew, and need store
//! only what is different.
//!
//! A second name takes up no room. Whoever writes a new file in place of one leaves the other; whoever writes into it changes
//! both, and the digest shows it.

use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::machine::paths;
use crate::state::manifest::{Content, FileEntry, Lies, MAX_PATCHED, MAX_VERSIONS, Manifest, Root};

/// Smaller files are not worth it.
const LEAST: u64 = 64 << 10;

fn folder(root: &Path) -> PathBuf {
    root.join(".rekindle").join("former")
}

/// Where the second name of a recorded file is.
pub fn path(roots: &[PathBuf], manifest: &Manifest, file: usize) -> Option<PathBuf> {
    Some(folder(roots.get(manifest.files.get(file)?.root)?).join(file.to_string()))
}

/// Gives second names to what was restored and may well be built anew. One that cannot be given is not missed.
pub fn keep(roots: &[Root], manifest: &Manifest) {
    for root in roots {
        forget(&root.path);
    }
    let paths: Vec<PathBuf> = roots.iter().map(|root| root.path.clone()).collect();
    for (at, file) in manifest.files.iter().enumerate().filter(|(_, file)| is_worth_it(manifest, file)) {
        let Some(second) = path(&paths, manifest, at) else { continue };
        let made = second.parent().map_or(Ok(()), fs::create_dir_all);
        let made = made.and_then(|()| fs::hard_link(paths[file.root].join(paths::path(&file.path)), second));
        if let Err(error) = made {
            tracing::debug!("a file will be stored whole if it changes: {error:#}");
        }
    }
}

/// Takes them away.
pub fn forget(root: &Path) {
    // What stays takes up room until the next restore.
    let _ = fs::remove_dir_all(folder(root));
}

/// Whether it is of a package that the job may edit, and has not changed too often already.
fn is_worth_it(manifest: &Manifest, file: &FileEntry) -> bool {
    let Content::File { size, patch, .. } = &file.content else { return false };
    let is_own = file.unit.is_some_and(|unit| matches!(manifest.units[unit].lies, Lies::In(_)));
    let versions = patch.as_ref().map_or(0, |patch| patch.onto.len());
    is_own && (LEAST..=MAX_PATCHED).contains(size) && versions < MAX_VERSIONS
}
