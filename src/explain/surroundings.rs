//! What is known about a job besides what its target says before and after it. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use crate::moment::Moment;
use crate::state::manifest::LockedPackage;

/// What else is known about the job.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// What compilers call themselves, by the number under which Cargo remembers them.
    pub toolchains: HashMap<u64, String>,
    /// Locked packages, before and after.
    pub locked_before: BTreeSet<LockedPackage>,
    pub locked_after: BTreeSet<LockedPackage>,
    /// Profiles, lints and definitions of targets that differ.
    pub settings: Vec<SettingChange>,
    /// Folders of the project's own packages, relative to the workspace.
    pub own: BTreeMap<String, String>,
    /// The workspace: paths below it are shown relative to it.
    pub base: String,
    /// The time of every path that a unit read, and for a folder the newest below it; `None` for one that is gone.
    pub times: HashMap<String, Option<Moment>>,
    /// Units that were made to rebuild, by place, and why.
    pub forced: BTreeMap<String, String>,
    /// Sources that were made to look new, and why.
    pub touched: BTreeMap<String, String>,
    /// Places of units that were dropped lately.
    pub pruned: BTreeSet<String>,
    /// Paths that units name, and that were not there when they were built either.
    pub never_there: BTreeSet<String>,
    pub cores: usize,
}

/// A setting of a manifest, of Cargo's configuration or of the environment that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingChange {
    /// As in `profile.dev.debug`, `core/Cargo.toml: lib.crate-type` or `CARGO_PROFILE_DEV_DEBUG`.
    pub name: String,
    pub old: String,
    pub new: String,
}

impl fmt::Display for SettingChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, old, new } = self;
        write!(f, "`{name}`: {old} → {new}")
    }
}

impl SettingChange {
    /// Behind the manifest or the configuration file that it stands in.
    fn key(&self) -> &str {
        self.name.split_once(": ").map_or(self.name.as_str(), |(_, key)| key)
    }

    fn manifest(&self) -> &str {
        self.name.split_once(": ").map_or("Cargo.toml", |(file, _)| file)
    }

    fn is_of(&self, dir: Option<&str>) -> bool {
        let manifest = match dir {
            None => return false,
            Some(".") => "Cargo.toml".to_owned(),
            Some(dir) => format!("{dir}/Cargo.toml"),
        };
        self.manifest().replace('\\', "/") == manifest
    }

    /// Whether it defines targets of the package in this folder.
    pub(super) fn defines(&self, dir: Option<&str>) -> bool {
        let first = self.key().split('.').next().unwrap_or_default();
        let is_definition = ["package", "lib", "bin", "example", "test", "bench"].contains(&first);
        self.key().starts_with("workspace.package.") || (is_definition && self.is_of(dir))
    }

    /// Whether a definition is one of the targets that this table of a manifest defines.
    pub(super) fn is_about(&self, table: Option<&str>) -> bool {
        let first = self.key().split('.').next().unwrap_or_default();
        table == Some(first) || !["lib", "bin", "example", "test", "bench"].contains(&first)
    }

    /// Whether it says what the package in this folder is built from, or with which features it can be.
    pub(super) fn composes(&self, dir: Option<&str>) -> bool {
        let first = self.key().split('.').next().unwrap_or_default();
        ["features", "dependencies", "build-dependencies"].contains(&first) && self.is_of(dir)
    }

    pub(super) fn sets_lints(&self, dir: Option<&str>) -> bool {
        self.key().starts_with("workspace.lints.") || (self.key().starts_with("lints.") && self.is_of(dir))
    }

    /// Whether it can reach a unit of this package in this profile's folder. Others may inherit from the profiles that Cargo has.
    pub(super) fn sets_profile(&self, package: &str, folder: &str) -> bool {
        let name = self.key().replace("CARGO_PROFILE_", "profile.").to_lowercase();
        let Some(rest) = name.strip_prefix("profile.") else { return false };
        // Variables have no dots: `CARGO_PROFILE_DEV_OPT_LEVEL`.
        let is_variable = self.name.starts_with("CARGO_PROFILE_");
        let profile = rest.split(if is_variable { '_' } else { '.' }).next().unwrap_or_default();
        let reaches_folder = match folder.rsplit('/').next().unwrap_or(folder) {
            "debug" => ["dev", "test"].contains(&profile),
            "release" => ["release", "bench"].contains(&profile),
            other => ["dev", "test", "release", "bench"].contains(&profile) || other == profile || is_variable,
        };
        let of_package = self.key().split_once(".package.").and_then(|(_, rest)| rest.rsplit_once('.'));
        reaches_folder
            && of_package.is_none_or(|(name, _)| name == "*" || name.split(['@', ':']).next() == Some(package))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(name: &str) -> SettingChange {
        SettingChange { name: name.to_owned(), old: "1".to_owned(), new: "2".to_owned() }
    }

    #[test]
    fn a_setting_reaches_what_it_is_for() {
        let sets = |name: &str, package: &str, folder: &str| change(name).sets_profile(package, folder);
        assert!(sets("profile.dev.debug", "a", "debug") && sets("profile.dev.debug", "a", "dist"));
        assert!(!sets("profile.release.lto", "a", "debug") && !sets("profile.dist.lto", "a", "release"));
        assert!(sets(".cargo/config.toml: profile.release.lto", "a", "x86_64-unknown-linux-musl/release"));
        assert!(sets("CARGO_PROFILE_DEV_OPT_LEVEL", "a", "debug") && !sets("CARGO_PROFILE_RELEASE_LTO", "a", "debug"));
        assert!(
            sets("profile.dev.package.a.opt-level", "a", "debug")
                && !sets("profile.dev.package.a.opt-level", "b", "debug")
        );
        assert!(sets("profile.dev.package.*.opt-level", "b", "debug"));
        assert!(!sets("lints.rust.unused", "a", "debug") && change("lints.rust.unused").sets_lints(Some(".")));
        assert!(change("workspace.lints.rust.unused").sets_lints(Some("core")));
        assert!(!change("core/Cargo.toml: lints.rust.unused").sets_lints(Some("app")));
        assert!(change("core/Cargo.toml: lib.crate-type").defines(Some("core")));
        assert!(!change("core/Cargo.toml: lib.crate-type").defines(Some("app")));
        assert!(!change("core/Cargo.toml: lints.rust.x").defines(Some("core")));
        assert!(change("workspace.package.edition").defines(Some("core")));
    }
}
