//! The lock file by meaning: external packages with version, source and checksum. Members and their versions do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;
use cargo_lock::{Lockfile, Package};

use crate::problem::JobFault;

/// What a workspace's lock file names; empty when there is none yet.
#[derive(Clone, Debug, Default)]
pub struct Locked {
    pub packages: Vec<Package>,
}

impl Locked {
    pub fn load(workspace_root: &Path) -> Result<Self> {
        let path = workspace_root.join("Cargo.lock");
        if !path.exists() {
            return Ok(Self::default());
        }
        let lockfile = Lockfile::load(&path).map_err(|error| {
            let reason = error.to_string().replace('\n', " ");
            JobFault::new(
                format!("the lock file `{}` does not parse: {}", path.display(), reason.trim()),
                "let Cargo write it anew with `cargo generate-lockfile`, or resolve the merge conflict in it",
            )
        })?;
        Ok(Self { packages: lockfile.packages })
    }

    /// External packages for the key: `name version` → `source checksum`.
    pub fn external(&self) -> BTreeMap<String, String> {
        let external = self.packages.iter().filter_map(|package| {
            let source = package.source.as_ref()?;
            let checksum = package.checksum.as_ref().map(ToString::to_string).unwrap_or_default();
            Some((format!("{} {}", package.name, package.version), format!("{source} {checksum}").trim().to_owned()))
        });
        external.collect()
    }

    /// The archives that it needs, by file name, with the checksum that each must have; none where two registries have a package of one
    /// name and version, and the file names do not tell them apart.
    pub fn archives(&self) -> BTreeMap<String, Option<String>> {
        let registry = self.packages.iter().filter(|package| {
            package.source.as_ref().is_some_and(|source| source.is_registry() || source.is_remote_registry())
        });
        let name = |package: &Package| format!("{}-{}.crate", package.name, package.version);
        let mut archives: BTreeMap<String, Option<String>> = BTreeMap::new();
        for package in registry {
            let checksum = package.checksum.as_ref().map(ToString::to_string);
            archives
                .entry(name(package))
                .and_modify(|known| *known = known.take().filter(|known| checksum.as_ref() == Some(known)))
                .or_insert(checksum);
        }
        archives
    }

    /// The same for packages of these names, as far as the checksum is known.
    pub fn archives_of(&self, names: &BTreeSet<&str>) -> BTreeMap<String, String> {
        let packages = self.packages.iter().filter(|package| names.contains(package.name.as_str()));
        Self { packages: packages.cloned().collect() }
            .archives()
            .into_iter()
            .filter_map(|(archive, checksum)| Some((archive, checksum?)))
            .collect()
    }

    /// The last part of every git repository's URL: what Cargo names its folders after.
    pub fn git_names(&self) -> BTreeSet<String> {
        let git = self.packages.iter().filter_map(|package| package.source.as_ref()).filter(|source| source.is_git());
        let last = |url: String| {
            let path = url.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/').to_owned();
            let name = path.rsplit('/').next().unwrap_or_default();
            name.strip_suffix(".git").unwrap_or(name).to_lowercase()
        };
        git.map(|source| last(source.url().to_string())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_that_two_registries_have_is_not_told_apart() {
        let package = |name: &str, registry: &str, sum: char| {
            let sum: String = std::iter::repeat_n(sum, 64).collect();
            format!(
                "[[package]]\nname = \"{name}\"\nversion = \"1.0.0\"\nsource = \"registry+https://{registry}/index\"\nchecksum = \"{sum}\"\n"
            )
        };
        let text = [
            package("same", "one.example", 'a'),
            package("same", "two.example", 'b'),
            package("alone", "one.example", 'c'),
        ];
        let lock: Lockfile = format!("version = 4\n{}", text.concat()).parse().unwrap();
        let archives = Locked { packages: lock.packages }.archives();
        let known: Vec<(&str, bool)> = archives.iter().map(|(name, sum)| (name.as_str(), sum.is_some())).collect();
        assert_eq!(known, [("alone-1.0.0.crate", true), ("same-1.0.0.crate", false)]);
    }
}
