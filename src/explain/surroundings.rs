//! What is known about a job besides what its target says before and after it. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use super::project::{Project, Site, manifest_in};
use crate::machine::paths::is_under;
use crate::moment::Moment;
use crate::state::manifest::{CONFIGURATION, LeftOut, LockedPackage};

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
    pub project: Project,
    /// The time of every path that a unit read, and for a folder the newest below it; `None` for one that is gone.
    pub times: HashMap<String, Option<Moment>>,
    /// Files that hold something else than they did when the job began, whatever their times.
    pub replaced: BTreeSet<String>,
    /// Units that were made to rebuild, by place, and why.
    pub forced: BTreeMap<String, String>,
    /// Sources that were made to look new, and why.
    pub touched: BTreeMap<String, String>,
    /// Places of units that were dropped lately.
    pub pruned: BTreeSet<String>,
    /// Units for which a budget had no room.
    pub left_out: Option<LeftOut>,
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

/// What a setting is that is not there.
pub const UNSET: &str = "(unset)";

/// Every setting that differs; not those of a manifest that came or went as a whole.
pub fn changes(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Vec<SettingChange> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let text = |settings: &BTreeMap<String, String>, name: &String| {
        settings.get(name).cloned().unwrap_or_else(|| UNSET.to_owned())
    };
    let differing = names.into_iter().filter(|name| old.get(*name) != new.get(*name));
    let change = |name: &String| SettingChange { name: name.clone(), old: text(old, name), new: text(new, name) };
    let stayed = |change: &SettingChange| {
        let name = of_manifest(change.manifest(), "package.name");
        old.contains_key(&name) == new.contains_key(&name)
    };
    differing.map(change).filter(stayed).collect()
}

/// How a setting of this manifest is called.
pub fn of_manifest(manifest: &str, key: &str) -> String {
    if manifest == "Cargo.toml" { key.to_owned() } else { format!("{manifest}: {key}") }
}

impl SettingChange {
    /// Behind the manifest or the configuration file that it stands in.
    pub fn key(&self) -> &str {
        self.name.split_once(": ").map_or(self.name.as_str(), |(_, key)| key)
    }

    pub fn manifest(&self) -> &str {
        self.name.split_once(": ").map_or("Cargo.toml", |(file, _)| file)
    }

    fn first(&self) -> &str {
        self.key().split('.').next().unwrap_or_default()
    }

    /// Whether it stands in the manifest of the unit's package.
    pub fn is_of(&self, site: Site<'_>) -> bool {
        site.dir.is_some_and(|dir| self.manifest() == manifest_in(dir))
    }

    /// Whether it stands in the manifest of the unit's workspace.
    fn is_of_workspace(&self, site: Site<'_>) -> bool {
        site.workspaces.iter().any(|dir| self.manifest() == manifest_in(dir))
    }

    /// Whether it stands in a configuration that the unit's workspace has.
    pub fn configures(&self, site: Site<'_>) -> bool {
        let (file, is_settings) = (self.manifest(), self.manifest().strip_prefix(CONFIGURATION));
        if let Some(of) = is_settings {
            let of = of.strip_prefix(" of ").unwrap_or(".");
            return site.workspaces.iter().any(|dir| dir == of);
        }
        let Some((above, _)) = file.split_once(".cargo/") else { return !file.ends_with("Cargo.toml") };
        let above = above.trim_end_matches('/');
        above.is_empty()
            || above.starts_with(['/', '\\'])
            || site.workspaces.iter().any(|dir| is_under(dir, above) || dir == above)
    }

    /// Whether it defines targets of the unit's package.
    pub fn defines(&self, site: Site<'_>) -> bool {
        let is_definition = ["package", "lib", "bin", "example", "test", "bench"].contains(&self.first());
        let is_shared = self.key().starts_with("workspace.package.") && self.is_of_workspace(site);
        is_shared && site.dir.is_some() || (is_definition && self.is_of(site))
    }

    /// Whether a definition is one of the targets that this table of a manifest defines.
    pub fn is_about(&self, table: Option<&str>) -> bool {
        table == Some(self.first()) || !["lib", "bin", "example", "test", "bench"].contains(&self.first())
    }

    pub fn sets_lints(&self, site: Site<'_>) -> bool {
        let is_shared = self.key().starts_with("workspace.lints.") && self.is_of_workspace(site);
        is_shared && site.dir.is_some() || (self.key().starts_with("lints.") && self.is_of(site))
    }

    /// Whether it can reach the unit by its profile's folder. Others may inherit from the profiles that Cargo has.
    pub fn sets_profile(&self, site: Site<'_>) -> bool {
        let name = self.key().replace("CARGO_PROFILE_", "profile.").to_lowercase();
        let Some(rest) = name.strip_prefix("profile.") else { return false };
        // Variables have no dots: `CARGO_PROFILE_DEV_OPT_LEVEL`.
        let is_variable = self.name.starts_with("CARGO_PROFILE_");
        if !is_variable && !self.is_of_workspace(site) && !self.configures(site) {
            return false;
        }
        let profile = rest.split(if is_variable { '_' } else { '.' }).next().unwrap_or_default();
        let reaches_folder = match site.folder.rsplit('/').next().unwrap_or(site.folder) {
            "debug" => ["dev", "test"].contains(&profile),
            "release" => ["release", "bench"].contains(&profile),
            other => ["dev", "test", "release", "bench"].contains(&profile) || other == profile || is_variable,
        };
        let of_package = self.key().split_once(".package.").and_then(|(_, rest)| rest.rsplit_once('.'));
        reaches_folder
            && of_package.is_none_or(|(name, _)| name == "*" || name.split(['@', ':']).next() == Some(site.package))
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
        let top = [".".to_owned()];
        let of = |dir| Site { package: "a", folder: "debug", dir, workspaces: &top };
        let sets = |name: &str, package: &str, folder: &str| {
            change(name).sets_profile(Site { package, folder, dir: None, workspaces: &top })
        };
        assert!(sets("profile.dev.debug", "a", "debug") && sets("profile.dev.debug", "a", "dist"));
        assert!(!sets("profile.release.lto", "a", "debug") && !sets("profile.dist.lto", "a", "release"));
        assert!(sets(".cargo/config.toml: profile.release.lto", "a", "x86_64-unknown-linux-musl/release"));
        assert!(sets("CARGO_PROFILE_DEV_OPT_LEVEL", "a", "debug") && !sets("CARGO_PROFILE_RELEASE_LTO", "a", "debug"));
        assert!(
            sets("profile.dev.package.a.opt-level", "a", "debug")
                && !sets("profile.dev.package.a.opt-level", "b", "debug")
        );
        assert!(sets("profile.dev.package.*.opt-level", "b", "debug"));
        assert!(!sets("lints.rust.unused", "a", "debug") && change("lints.rust.unused").sets_lints(of(Some("."))));
        assert!(change("workspace.lints.rust.unused").sets_lints(of(Some("core"))));
        assert!(!change("core/Cargo.toml: lints.rust.unused").sets_lints(of(Some("app"))));
        assert!(change("core/Cargo.toml: lib.crate-type").defines(of(Some("core"))));
        assert!(!change("core/Cargo.toml: lib.crate-type").defines(of(Some("app"))));
        assert!(!change("core/Cargo.toml: lints.rust.x").defines(of(Some("core"))));
        assert!(change("workspace.package.edition").defines(of(Some("core"))));
        // Another workspace has its own.
        assert!(!sets("x/Cargo.toml: profile.dev.debug", "a", "debug"));
        assert!(!change("x/Cargo.toml: workspace.package.edition").defines(of(Some("core"))));
        assert!(!sets("x/.cargo/config.toml: profile.dev.debug", "a", "debug"));
    }

    #[test]
    fn what_a_manifest_said_that_went_as_a_whole_is_no_setting_that_changed() {
        let of = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), "1".to_owned())).collect();
        let old = of(&["b/Cargo.toml: package.name", "b/Cargo.toml: features.x", "features.y", "profile.dev.debug"]);
        let new = of(&["c/Cargo.toml: package.name", "b/Cargo.toml.bak: features.z"]);
        let names: Vec<String> = changes(&old, &new).into_iter().map(|change| change.name).collect();
        assert_eq!(names, ["b/Cargo.toml.bak: features.z", "features.y", "profile.dev.debug"]);
    }
}
