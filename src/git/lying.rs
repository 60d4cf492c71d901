//! Files by name wherever they lie below a folder, and the folders that git ignores as a whole.

use std::path::{Path, PathBuf};

use super::{Repository, command, finish};

impl Repository {
    /// Files below `folder` that match one of these patterns (`**/name`): tracked, those of submodules too, and untracked.
    pub fn matching(folder: &Path, patterns: &[&str]) -> Option<Vec<PathBuf>> {
        let patterns: Vec<String> = patterns.iter().map(|pattern| format!(":(glob){pattern}")).collect();
        let list = |arguments: &[&str]| {
            let mut command = command(folder);
            command.args(["ls-files", "-z"]).args(arguments).arg("--").args(&patterns);
            finish(command).ok()
        };
        let (tracked, others) = rayon::join(
            // One that was never checked out makes git refuse to look into any.
            || list(&["--cached", "--recurse-submodules"]).or_else(|| list(&["--cached"])),
            || list(&["--others", "--exclude-standard"]),
        );
        let mut paths = paths(folder, &tracked?);
        paths.extend(self::paths(folder, &others?));
        Some(paths)
    }

    /// Ignored folders below `folder`, each named once for all that is in it, and repositories of their own in it.
    pub fn set_apart(folder: &Path) -> Option<Vec<PathBuf>> {
        let list = |arguments: &[&str]| {
            let mut command = command(folder);
            command.args(["ls-files", "-z", "--others", "--exclude-standard", "--directory"]).args(arguments);
            finish(command).ok()
        };
        let (ignored, others) = rayon::join(|| list(&["--ignored"]), || list(&[]));
        let mut folders = paths(folder, &ignored?);
        folders.extend(paths(folder, &others?).into_iter().filter(|dir| dir.join(".git").exists()));
        folders.retain(|path| path.is_dir());
        Some(folders)
    }
}

/// Names that are not text are nobody's configuration.
fn paths(folder: &Path, listed: &[u8]) -> Vec<PathBuf> {
    let names = listed.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let texts = names.filter_map(|name| std::str::from_utf8(name).ok());
    texts.map(|name| folder.join(name.trim_end_matches('/'))).collect()
}
