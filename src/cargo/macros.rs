//! Proc macros on disk: which units are some, and what their sources show.
//!
//! A macro is what exports a macro's entry point; its sources are what the compiler says that it read (the `.d` file beside the
//! output), wherever they lie and however they were named. How it can be wrong: what a build script linked is not looked at
//! beyond the code that declares it, and a source that is gone cannot be looked at: that counts as a trace.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;
use memchr::memmem;

use super::config::{self, ConfigFile};
use crate::cargo::means;
use crate::machine::disk;
use crate::state::manifest::Scan;

/// What every proc macro's library exports, whatever the compiler.
const ENTRY: &[u8] = b"rustc_proc_macro_decls";

/// Whether a library that can be loaded is a proc macro. One that cannot be read is taken for one.
pub fn is_macro(library: &Path) -> bool {
    fs::read(library).map_or(true, |bytes| memmem::find(&bytes, ENTRY).is_some())
}

/// Whether a file is a library that can be loaded, by its name.
pub fn can_be_macro(path: &str) -> bool {
    let end = Path::new(path).extension().and_then(|end| end.to_str());
    end.is_some_and(|end| ["so", "dylib", "dll"].contains(&end))
}

/// Whether something stands between Cargo and the compiler: it may give back what was compiled before, and read nothing.
pub fn are_wrapped(configs: &[ConfigFile]) -> bool {
    let kinds = [("RUSTC_WRAPPER", "rustc-wrapper"), ("RUSTC_WORKSPACE_WRAPPER", "rustc-workspace-wrapper")];
    kinds.iter().any(|(variable, setting)| {
        let variables = [(*variable).to_owned(), format!("CARGO_BUILD_{variable}")];
        let value = variables.iter().find_map(std::env::var_os);
        value.map_or_else(|| config::find(configs, &["build", setting]).is_some(), |value| !value.is_empty())
    })
}

/// Looks at every source that a `.d` file names. Relative ones lie below one of `roots`.
pub fn scan(dep_file: &Path, roots: &[PathBuf]) -> Scan {
    let Ok(text) = fs::read_to_string(dep_file) else { return unreadable(dep_file) };
    let sources = sources(&text);
    if sources.is_empty() {
        return unreadable(dep_file);
    }
    scan_files(sources.into_iter().map(|source| {
        let found = roots.iter().map(|root| root.join(&source)).find(|path| path.is_file());
        found.unwrap_or(source)
    }))
}

/// Looks at these files.
pub fn scan_files(files: impl Iterator<Item = PathBuf>) -> Scan {
    for path in files {
        let Ok(bytes) = fs::read(&path) else { return unreadable(&path) };
        if let Some(trace) = means::first(&bytes) {
            return Scan::Shows(trace);
        }
    }
    Scan::Clean
}

/// Looks at all sources of packages, but for their tests; at least one has to be there.
pub fn scan_packages(dirs: &[PathBuf]) -> Scan {
    let mut sources = Vec::new();
    for dir in dirs {
        let Ok(found) = sources_in(dir) else { return unreadable(dir) };
        if found.is_empty() {
            return unreadable(dir);
        }
        sources.extend(found);
    }
    if sources.is_empty() { unreadable(Path::new("its sources")) } else { scan_files(sources.into_iter()) }
}

/// All sources of a package, but for its tests and its build script.
pub fn sources_in(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let enter = |folder: &Path| {
        let apart = ["tests", "benches", "examples", "target", ".git"].iter().any(|name| folder == dir.join(name));
        !apart && (folder == dir || !folder.join("Cargo.toml").exists())
    };
    let is_source = |path: &Path| path.extension().is_some_and(|end| end == "rs") && *path != dir.join("build.rs");
    Ok(disk::walk(dir, &enter)?.into_iter().map(|found| found.path).filter(|path| is_source(path)).collect())
}

/// Where registries' packages of this name and version were unpacked.
pub fn unpacked(cargo_home: &Path, name: &str, version: &str) -> Vec<PathBuf> {
    let registries = fs::read_dir(cargo_home.join("registry/src")).into_iter().flatten().filter_map(Result::ok);
    let dirs = registries.map(|registry| registry.path().join(format!("{name}-{version}")));
    dirs.filter(|dir| dir.is_dir()).collect()
}

fn unreadable(path: &Path) -> Scan {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Scan::Shows(format!("`{name}`, which could not be read"))
}

/// The files that a `.d` file says were read: each has a line of its own, so that one which is gone is not an error.
fn sources(text: &str) -> Vec<PathBuf> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.strip_suffix(':')).map(|path| PathBuf::from(path.replace("\\ ", " "))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sources_are_read_off_a_dep_file() {
        let text = "/t/liba.so: /r/src/lib.rs /r/my\\ file.rs\n\n/r/src/lib.rs:\n/r/my\\ file.rs:\n# env-dep:X=a:\n";
        assert_eq!(sources(text), [PathBuf::from("/r/src/lib.rs"), PathBuf::from("/r/my file.rs")]);
    }

    #[test]
    fn what_cannot_be_read_shows_traces() {
        assert!(matches!(scan(Path::new("/nowhere/x.d"), &[]), Scan::Shows(_)));
    }
}
