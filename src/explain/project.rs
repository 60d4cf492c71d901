//! Where the project's own packages lie and which workspaces build where, so that packages of one name are told apart. Pure.
//!
//! How it can be wrong: in two workspaces that share a target folder, a setting of either counts for the units of both.

use std::collections::{BTreeMap, BTreeSet};

use crate::state::manifest::Lies;

#[derive(Clone, Debug, Default)]
pub struct Project {
    /// Packages by path, by their folders without symlinks.
    pub packages: BTreeMap<String, OwnPackage>,
    /// For each root the folders of the workspaces that are built in it, as they are shown.
    pub workspaces: Vec<Vec<String>>,
    /// Paths below it are shown relative to it.
    pub base: String,
}

/// A package that the project has as sources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnPackage {
    pub name: String,
    /// Its folder, as it is shown: `.` for the top.
    pub dir: String,
    pub version: String,
    /// Names of its targets, build script included, as crates are called.
    pub targets: BTreeSet<String>,
}

/// What settings can reach a unit by.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    pub package: &'a str,
    /// `debug`, `x86_64-unknown-linux-musl/release`.
    pub folder: &'a str,
    /// The folder of its package, if that is one of the project's own.
    pub dir: Option<&'a str>,
    /// Folders of the workspaces that can have built it.
    pub workspaces: &'a [String],
}

impl Project {
    /// The own package of a unit: the one that lies where the unit's does, or the only one of its name.
    pub fn package(&self, lies: &Lies, name: &str) -> Option<&OwnPackage> {
        match lies {
            Lies::In(dir) => self.packages.get(dir),
            Lies::Fetched => None,
            Lies::Unknown => {
                let mut named = self.packages.values().filter(|package| package.name == name);
                named.next().filter(|_| named.next().is_none())
            }
        }
    }

    pub fn site<'a>(&'a self, root: usize, folder: &'a str, lies: &Lies, name: &'a str) -> Site<'a> {
        let dir = self.package(lies, name).map(|package| package.dir.as_str());
        Site {
            package: name,
            folder,
            dir,
            workspaces: self.workspaces.get(root).map(Vec::as_slice).unwrap_or_default(),
        }
    }

    pub fn shown(&self, path: &str) -> String {
        let below = path.strip_prefix(&self.base).and_then(|rest| rest.strip_prefix(['/', '\\']));
        below.filter(|_| !self.base.is_empty()).unwrap_or(path).to_owned()
    }
}

/// The manifest in a folder, as both are shown.
pub fn manifest_in(dir: &str) -> String {
    if dir == "." { "Cargo.toml".to_owned() } else { format!("{dir}/Cargo.toml") }
}
