//! Unpacks the sources of fetched packages, as Cargo would before it looks whether anything has to be compiled: on all cores, and while
//! the target folder arrives.
//!
//! Only packages that the restored state was built from, and only archives that are the ones which the lock file names. Whatever goes
//! wrong, Cargo does it. How it can be wrong: a package that only another platform uses, which is unpacked in vain.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Result, ensure};
use fs_err as fs;
use rayon::prelude::*;

use crate::cargo::{archive, workspace};
use crate::digest::Digest;
use crate::job::facts::Facts;
use crate::machine::disk::{self, Claim, Meta};
use crate::pack::Staged;
use crate::state::manifest::{Lies, Manifest};

/// Whoever unpacks something into the Cargo home holds its lock.
const LOCK: &str = ".package-cache";

/// How many packages are there now that were not.
pub(super) fn unpack(facts: &Facts, manifest: &Manifest) -> usize {
    let fetched = manifest.units.iter().filter(|unit| unit.lies == Lies::Fetched);
    let names: BTreeSet<&str> = fetched.map(|unit| unit.place.package.as_str()).collect();
    let archives: BTreeMap<String, String> =
        facts.locked.iter().flat_map(|locked| locked.archives_of(&names)).collect();
    let result = unpack_all(&facts.cargo_home, &archives);
    result.unwrap_or_else(|error| {
        tracing::debug!("packages are left to Cargo: {error:#}");
        0
    })
}

/// `archives` are file names, with the checksum that each must have.
fn unpack_all(home: &Path, archives: &BTreeMap<String, String>) -> Result<usize> {
    let registries: Vec<String> = disk::walk(&home.join("registry/cache"), &|_| false)?
        .into_iter()
        .filter_map(|found| Some(found.path.file_name()?.to_str()?.to_owned()))
        .collect();
    let is_missing = |registry: &str, package: &str| {
        let (cache, sources) = (home.join("registry/cache"), home.join("registry/src"));
        cache.join(registry).join(format!("{package}.crate")).exists() && !sources.join(registry).join(package).exists()
    };
    let mut wanted = Vec::new();
    for (archive, checksum) in archives {
        let package = archive.trim_end_matches(".crate");
        let places = registries.iter().filter(|registry| is_missing(registry, package));
        wanted.extend(places.map(|registry| (registry.as_str(), package, checksum.as_str())));
    }
    if wanted.is_empty() {
        return Ok(0);
    }
    let device = |dir: &Path| Meta::of(&workspace::real(dir)).ok()?.identity.map(|(device, _)| device);
    let apart = registries.iter().map(|registry| home.join("registry/src").join(registry)).find(|dir| {
        let there = [dir.as_path(), dir.parent().unwrap_or(home)].into_iter().find_map(device);
        there.is_some() && there != device(home)
    });
    ensure!(apart.is_none(), "sources lie on another file system");
    let claim = disk::claim(&home.join(LOCK))?;
    let is_new = !home.join("registry/src").exists();
    // Without locks nobody knows whether another Cargo is at it, unless nobody has begun.
    ensure!(matches!(claim, Claim::Held(_)) || matches!(claim, Claim::Unknown) && is_new, "Cargo is at work");
    let staged = Staged::beside(&[home.to_path_buf()])?;
    let dir = staged.dirs().remove(0);
    let done = wanted.par_iter().filter(|(registry, package, checksum)| {
        let unpacked = one(home, &dir.join(registry), registry, package, checksum);
        unpacked.inspect_err(|error| tracing::debug!("`{package}` is left to Cargo: {error:#}")).is_ok()
    });
    Ok(done.count())
}

fn one(home: &Path, dir: &Path, registry: &str, package: &str, checksum: &str) -> Result<()> {
    let bytes = fs::read(home.join("registry/cache").join(registry).join(format!("{package}.crate")))?;
    ensure!(Digest::of(&bytes).to_string() == checksum, "it is not the archive that the lock file names");
    archive::unpack(&bytes, package, dir)?;
    let sources = home.join("registry/src").join(registry);
    fs::create_dir_all(&sources)?;
    fs::rename(dir.join(package), sources.join(package))?;
    Ok(())
}
