//! Whether a project is one of Python and Rust: a crate of the workspace depends on pyo3, or a `pyproject.toml` has a backend
//! that builds Rust. Wrong in one direction only: a project that reaches Python by another road has to name its interpreter.

use std::path::{Path, PathBuf};

use toml::Value;

use crate::cargo::lockfile::Locked;
use crate::cargo::tables;
use crate::cargo::workspace::Workspace;

const CRATES: [&str; 3] = ["pyo3", "pyo3-ffi", "pyo3-build-config"];
const BACKENDS: [&str; 2] = ["maturin", "setuptools-rust"];

/// What makes these workspaces depend on a Python interpreter, in words; `None` if nothing does.
pub fn reason(workspaces: &[Workspace], locked: &[Locked]) -> Option<String> {
    let named = workspaces.iter().flat_map(|workspace| &workspace.packages).flat_map(|package| &package.dependencies);
    let locked = locked.iter().flat_map(|locked| &locked.packages).map(|package| package.name.as_str());
    let crates = named.map(String::as_str).chain(locked).find(|name| CRATES.contains(name));
    crates.map(|name| format!("the workspace depends on {name}")).or_else(|| {
        let file = manifests(workspaces).into_iter().find(|path| has_rust_backend(path))?;
        Some(format!("`{}` has a backend that builds Rust", file.display()))
    })
}

/// Every `pyproject.toml` beside a crate, or above one up to the top of its repository.
fn manifests(workspaces: &[Workspace]) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for workspace in workspaces {
        let dirs = workspace.packages.iter().map(|package| package.dir.as_path()).chain([workspace.root.as_path()]);
        for dir in dirs {
            let top = dir.ancestors().find(|dir| dir.join(".git").exists()).unwrap_or(dir);
            let above = dir.ancestors().take_while(|dir| dir.starts_with(top)).map(|dir| dir.join("pyproject.toml"));
            found.extend(above.filter(|path| path.is_file()));
        }
    }
    found.sort();
    found.dedup();
    found
}

fn has_rust_backend(path: &Path) -> bool {
    let Some(table) = tables::read(path) else {
        return false;
    };
    let Some(system) = table.get("build-system") else {
        return false;
    };
    let backend = system.get("build-backend").and_then(Value::as_str).unwrap_or_default();
    let requires = system.get("requires").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    BACKENDS.contains(&package(backend).as_str()) || requires.map(package).any(|name| BACKENDS.contains(&name.as_str()))
}

/// The name that a requirement begins with, in its normal form.
fn package(requirement: &str) -> String {
    let name = requirement.trim().split(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c))).next();
    name.unwrap_or_default().to_lowercase().replace(['_', '.'], "-")
}

#[cfg(test)]
mod tests {
    use fs_err as fs;

    use super::*;

    #[test]
    fn backends_that_build_rust_are_known_however_they_are_spelled() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pyproject.toml");
        let has = |text: &str| {
            fs::write(&path, text).unwrap();
            has_rust_backend(&path)
        };
        assert!(has("[build-system]\nrequires = [\"maturin>=1.9,<2\"]\nbuild-backend = \"maturin\"\n"));
        assert!(has(
            "[build-system]\nrequires = [\"setuptools>=64\", \"Setuptools_Rust ~= 1.10; python_version > '3'\"]\n"
        ));
        assert!(!has("[build-system]\nrequires = [\"setuptools\"]\nbuild-backend = \"setuptools.build_meta\"\n"));
        assert!(!has("[project]\nname = \"maturin\"\n") && !has("[build-system\n") && !has("build-system = 1\n"));
    }
}
