//! Which units hand files to the assembler, by the sources that the compiler lists. One that the job left alone is as it was
//! recorded.

use std::collections::{BTreeMap, BTreeSet};

use fs_err as fs;

use super::job::Job;
use crate::cargo::assembler::Shown;
use crate::machine::paths;
use crate::state::manifest::{Manifest, PackageKind, PackageRecord};
use crate::unit::Unit;

/// Adds it to what is known of the units' macros. `named` is what each unit names.
pub(super) fn add(job: &Job<'_>, live: &[usize], named: &[BTreeSet<String>], manifest: &mut Manifest) {
    let Manifest { packages, units, .. } = manifest;
    let own: Vec<&PackageRecord> = packages.iter().filter(|package| package.kind == PackageKind::Path).collect();
    let mut sources = Sources::default();
    for ((unit, at), named) in units.iter_mut().zip(live).zip(named) {
        if unit.is_run() || !own.iter().any(|package| unit.is_of(package)) {
            continue;
        }
        let before = job.unchanged(*at).and_then(|before| before.macros.as_ref());
        let assembles = before.map_or_else(|| sources.assemble(named), |before| before.assembles);
        if let Some(facts) = &mut unit.macros {
            facts.assembles = assembles;
        }
    }
}

/// Whether it is a source by its name.
fn is_rust(path: &str) -> bool {
    paths::path(path).extension().is_some_and(|end| end == "rs")
}

/// What was read already: several units share a source.
#[derive(Default)]
struct Sources<'a> {
    seen: BTreeMap<&'a str, Shown>,
}

impl<'a> Sources<'a> {
    fn assemble(&mut self, named: &'a BTreeSet<String>) -> bool {
        let (rust, others): (Vec<&String>, Vec<&String>) = named.iter().partition(|path| is_rust(path));
        let rust = rust.into_iter().map(|path| self.shown(path, Shown::of_rust)).fold(Shown::default(), Shown::and);
        // Nobody reads a large blob for nothing.
        let reads = || others.into_iter().any(|path| self.shown(path, Shown::of_other).reads);
        rust.assembles && (rust.reads || reads())
    }

    fn shown(&mut self, path: &'a str, of: fn(&[u8]) -> Shown) -> Shown {
        // One that cannot be read shows nothing: the compiler could not read it either, or Cargo misses it.
        let look = || fs::read(paths::path(path)).map_or_else(|_| Shown::default(), |bytes| of(&bytes));
        *self.seen.entry(path).or_insert_with(look)
    }
}
