//! Linker scripts, which include others: `-Tlink.x` whose `link.x` says `INCLUDE memory.x`.
//!
//! A linker looks for these in the folder that it runs in and where it looks for libraries. Too much is harmless, as with
//! libraries. How it can be wrong: what a script names by `INPUT` or `GROUP` is not followed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use fs_err as fs;

/// What is larger than this is no script.
const LARGEST: u64 = 1 << 20;
/// How linker scripts are called that a build script brings along.
const ENDINGS: [&str; 3] = ["x", "ld", "lds"];

/// Linker scripts right in a folder, by their names.
pub(super) fn in_folder(dir: &Path) -> Vec<PathBuf> {
    let is_script = |path: &PathBuf| {
        path.extension().and_then(|end| end.to_str()).is_some_and(|end| ENDINGS.contains(&end)) && path.is_file()
    };
    let entries = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    entries.map(|entry| entry.path()).filter(is_script).collect()
}

/// The files that these include, and what they include in turn. Places at which another one would come first are among them,
/// although nothing is there.
pub(super) fn included(scripts: Vec<PathBuf>, folders: &[&PathBuf]) -> BTreeSet<PathBuf> {
    let mut open = scripts;
    let mut files = BTreeSet::new();
    let mut seen = BTreeSet::new();
    while let Some(script) = open.pop() {
        if !seen.insert(script.clone()) {
            continue;
        }
        for name in names(&script) {
            let own = script.parent().into_iter();
            let places: Vec<PathBuf> =
                own.chain(folders.iter().map(|dir| dir.as_path())).map(|dir| dir.join(&name)).collect();
            let Some(first) = places.iter().position(|place| place.is_file()) else { continue };
            files.extend(places[..first].iter().cloned());
            let there: Vec<PathBuf> = places.into_iter().skip(first).filter(|place| place.is_file()).collect();
            files.extend(there.iter().cloned());
            open.extend(there);
        }
    }
    files
}

/// What a script includes.
fn names(script: &Path) -> Vec<String> {
    let is_small = fs::metadata(script).is_ok_and(|meta| meta.len() <= LARGEST);
    let text = if is_small { fs::read_to_string(script).unwrap_or_default() } else { String::new() };
    let words: Vec<&str> = text.split(|char: char| char.is_whitespace() || char == ';').collect();
    let pairs = words.windows(2).filter(|pair| pair[0] == "INCLUDE");
    pairs.map(|pair| pair[1].trim_matches('"').to_owned()).filter(|name| !name.is_empty()).collect()
}
