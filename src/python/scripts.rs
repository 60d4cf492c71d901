//! Looks for build scripts that run the interpreter: these need the build's own environment, and the base interpreter in its
//! place would lack what they import.
//!
//! A search for words in the sources of each build script, the modules it names, and the path packages it is built from. A
//! script that hides what it runs is not found; its build then fails loudly, because the module that it imports is missing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::cargo::workspace::Package;
use crate::machine::disk;

/// What shows that a build script runs an interpreter, or asks for its path.
const SIGNS: [&str; 4] = ["PYO3_PYTHON", "PYTHON_SYS_EXECUTABLE", "run_python_script", "Command::new(\"python"];

/// The place where a build script runs the interpreter.
#[derive(Debug, PartialEq, Eq)]
pub struct Sighting {
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
    pub sign: &'static str,
}

/// The first place in any build script of these packages.
pub fn running_the_interpreter(packages: &[Package]) -> Option<Sighting> {
    let with_script = packages.iter().filter(|package| package.build_script.is_some());
    let mut files = BTreeSet::new();
    for package in with_script {
        if let Some(script) = &package.build_script {
            add_with_modules(script, &mut files);
        }
        let built_from = |other: &&Package| package.build_dependencies.contains(&other.name);
        for helper in packages.iter().filter(built_from) {
            let sources = disk::walk(&helper.dir.join("src"), &|_| true).unwrap_or_default();
            files.extend(sources.into_iter().map(|found| found.path).filter(|path| is_rust(path)));
        }
    }
    files.iter().find_map(|file| sighting(file, &fs::read_to_string(file).ok()?))
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "rs")
}

/// A source, and those that it names with `mod` or `include!`, as far as they lie where Rust looks first.
fn add_with_modules(file: &Path, files: &mut BTreeSet<PathBuf>) {
    let Ok(text) = fs::read_to_string(file) else { return };
    if !files.insert(file.to_path_buf()) {
        return;
    }
    let dir = file.parent().unwrap_or(file);
    let own = dir.join(file.file_stem().unwrap_or_default());
    for line in text.lines() {
        let name = line.trim().trim_start_matches("pub ").strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';'));
        for dir in name.iter().flat_map(|_| [dir, &own]) {
            let name = name.unwrap_or_default();
            add_with_modules(&dir.join(format!("{name}.rs")), files);
            add_with_modules(&dir.join(name).join("mod.rs"), files);
        }
        let included = line.split("include!(\"").nth(1).and_then(|rest| rest.split('"').next());
        if let Some(included) = included {
            add_with_modules(&dir.join(included), files);
        }
    }
}

fn sighting(file: &Path, text: &str) -> Option<Sighting> {
    text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")).find_map(|(at, line)| {
        // Spaces differ, and `println!("cargo:rerun-if-env-changed=PYO3_PYTHON")` alone runs nothing.
        let dense: String = line.chars().filter(|c| !c.is_whitespace()).collect();
        let sign = SIGNS.into_iter().find(|sign| dense.contains(sign))?;
        let only_watches =
            dense.matches(sign).count() == dense.matches(&format!("rerun-if-env-changed={sign}")).count();
        (!only_watches).then(|| Sighting { file: file.to_path_buf(), line: at + 1, sign })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_that_runs_the_interpreter_is_found_and_one_that_only_watches_is_not() {
        let seen = |text: &str| sighting(Path::new("build.rs"), text).map(|sighting| (sighting.line, sighting.sign));
        assert_eq!(seen("fn main() {\n  let p = env::var(\"PYO3_PYTHON\");\n"), Some((2, "PYO3_PYTHON")));
        assert_eq!(seen("Command::new( \"python3\" )"), Some((1, "Command::new(\"python")));
        assert_eq!(seen("pyo3_build_config::get().run_python_script(s)"), Some((1, "run_python_script")));
        assert_eq!(seen("// env::var(\"PYO3_PYTHON\")"), None);
        assert_eq!(seen("println!(\"cargo:rerun-if-env-changed=PYO3_PYTHON\");"), None);
        assert_eq!(seen("pyo3_build_config::use_pyo3_cfgs();"), None);
    }

    #[test]
    fn modules_and_helpers_of_a_script_are_searched_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let package = |name: &str, script: bool, helpers: &[&str]| Package {
            name: name.to_owned(),
            version: String::new(),
            dir: path(name),
            real: path(name),
            targets: Vec::new(),
            sources: Vec::new(),
            dependencies: Vec::new(),
            path_dependencies: Vec::new(),
            build_script: script.then(|| path(name).join("build.rs")),
            build_dependencies: helpers.iter().map(|name| (*name).to_owned()).collect(),
        };
        fs::create_dir_all(path("a/build")).unwrap();
        fs::create_dir_all(path("help/src")).unwrap();
        fs::write(path("a/build.rs"), "mod python;\nfn main() {}\n").unwrap();
        fs::write(path("help/src/lib.rs"), "fn run() { Command::new(\"python\") }\n").unwrap();
        let packages = |helpers: &[&str]| [package("a", true, helpers), package("help", false, &[])];
        assert_eq!(running_the_interpreter(&packages(&[])), None);
        assert_eq!(running_the_interpreter(&packages(&["help"])).unwrap().file, path("help/src/lib.rs"));
        fs::write(path("a/build/python.rs"), "const NAME: &str = \"PYO3_PYTHON\";\n").unwrap();
        assert_eq!(running_the_interpreter(&packages(&[])).unwrap().file, path("a/build/python.rs"));
    }
}
