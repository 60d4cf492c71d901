//! Files from outside of a package that its documentation takes in: Cargo keeps no list of what documentation was made from.
//!
//! Goes by literal paths in the package's sources, and in those that they take in from elsewhere. What documentation that the job
//! left alone takes in is as it was recorded. How it can be wrong: see `cargo::included`; and a file that lies in the package and
//! that `exclude` in the manifest, or git, hides from Cargo.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::job::Job;
use crate::cargo::fingerprint::Local;
use crate::cargo::included::{self, Included};
use crate::cargo::macros;
use crate::machine::paths;
use crate::unit::Unit;

/// What one unit takes in; nothing if it is no documentation.
pub(super) fn included(job: &Job<'_>, at: usize) -> BTreeSet<String> {
    let unit = job.unit(at);
    if !unit.is_doc() {
        return BTreeSet::new();
    }
    if let (Some(before), Some(restored)) = (job.unchanged(at), job.previous()) {
        return before.inputs.iter().map(|&input| restored.manifest.inputs[input].path.clone()).collect();
    }
    if !unit.locals().any(|local| local == Local::Precalculated) {
        return BTreeSet::new();
    }
    job.place(at).dirs.iter().flat_map(|dir| from_outside(dir)).collect()
}

fn from_outside(dir: &Path) -> BTreeSet<String> {
    let dir = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_path_buf());
    let mut open: Vec<PathBuf> = macros::sources_in(&dir).unwrap_or_default();
    let mut found = BTreeSet::new();
    while let Some(source) = open.pop() {
        let Ok(text) = fs::read_to_string(&source) else { continue };
        for literal in included::literals(&text) {
            let path = match literal {
                Included::Beside(text) => source.parent().unwrap_or(&dir).join(text),
                Included::AfterPackage(text) => PathBuf::from(format!("{}{text}", dir.display())),
            };
            let path = fs::canonicalize(&path).unwrap_or_else(|_| paths::lexical(&path));
            let is_new = !is_in_package(&path, &dir) && found.insert(paths::text(&path));
            if is_new && path.extension().is_some_and(|end| end == "rs") {
                open.push(path);
            }
        }
    }
    found
}

/// Whether Cargo looks at it when it judges the package.
fn is_in_package(path: &Path, dir: &Path) -> bool {
    let mut between = path.ancestors().skip(1).take_while(|above| *above != dir);
    path.starts_with(dir) && !between.any(|above| above.join("Cargo.toml").is_file())
}
