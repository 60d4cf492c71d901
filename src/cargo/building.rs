//! Whether some Cargo is building into a folder at this moment, as far as its own lock files say.

use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::machine::process;

/// Profile folders lie one or two folders below a target folder.
const DEPTH: usize = 2;

/// A lock that cannot be looked at counts as held.
pub fn is_going_on(roots: &[PathBuf]) -> bool {
    roots.iter().any(|root| is_locked_below(root, DEPTH))
}

fn is_locked_below(dir: &Path, depth: usize) -> bool {
    let entries: Vec<PathBuf> =
        fs::read_dir(dir).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
    let is_lock = |path: &&PathBuf| {
        path.file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.starts_with(".cargo") && name.ends_with("lock"))
    };
    entries.iter().filter(is_lock).any(|path| process::is_locked(path))
        || depth > 0 && entries.iter().filter(|path| path.is_dir()).any(|path| is_locked_below(path, depth - 1))
}
