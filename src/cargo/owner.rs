//! Whose a file in a target folder is: what a save keeps it with, or why it does not keep it.
//!
//! Says `Drop` only of what Cargo makes again on its own. How it can be wrong: a file of Cargo's that is not recognised is kept
//! and costs its bytes; a file of a build script's that is taken for one of Cargo's is missed by whoever reads it.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::path::Path;

use fs_err as fs;

use super::layout::{self, Belongs};
use super::units::{DiskUnit, Role};
use crate::machine::disk::{Kind, Meta};
use crate::machine::paths;
use crate::moment::Moment;
use crate::unit::Unit;
use crate::unit::{Layout, UnitPlace};

/// What it takes to say whose a file is.
pub(super) struct Owners<'a> {
    units: &'a [DiskUnit],
    places: HashMap<&'a UnitPlace, usize>,
    ids: HashMap<(&'a str, &'a str), usize>,
    /// Units by profile and target that leave outputs without an id.
    nameless: HashMap<(&'a str, String), Vec<usize>>,
    /// Identities of what the compiler made: another name of that, beside which Cargo wrote a list, is Cargo's link.
    outputs: HashSet<(u64, u64)>,
    /// The same by name and size, for file systems where Cargo has to copy.
    twins: HashSet<(String, u64)>,
    /// Paths beside which Cargo wrote a list of sources, and those lists.
    listed: HashSet<&'a str>,
}

impl<'a> Owners<'a> {
    pub(super) fn new(root: &Path, units: &'a [DiskUnit], found: &'a [(String, Meta)], belongs: &'a [Belongs]) -> Self {
        let places = units.iter().enumerate().map(|(at, unit)| (&unit.place, at)).collect();
        let id = |unit: &'a DiskUnit| (unit.place.profile.as_str(), unit.place.id.as_str());
        let mut owners = Self {
            units,
            places,
            ids: units.iter().enumerate().map(|(at, unit)| (id(unit), at)).collect(),
            nameless: HashMap::new(),
            outputs: HashSet::new(),
            twins: HashSet::new(),
            listed: HashSet::new(),
        };
        let mut named: HashSet<usize> = HashSet::new();
        let files = found.iter().zip(belongs).filter(|((_, meta), _)| meta.kind == Kind::File);
        for ((path, meta), belongs) in files {
            if let Belongs::UnitId { profile, id } = belongs {
                named.extend(owners.ids.get(&(profile.as_str(), id.as_str())));
            }
            if owners.is_output(path, belongs) {
                owners.outputs.extend(meta.identity);
                owners.twins.insert((bare_name(path), meta.size));
            }
            if let (Belongs::Uplift, Some(of)) = (belongs, path.strip_suffix(".d"))
                && is_list_of_cargo(&root.join(paths::path(path)))
            {
                owners.listed.extend([of, path.as_str()]);
            }
        }
        for (at, unit) in units.iter().enumerate().filter(|(at, _)| !named.contains(at)) {
            // Tests have an id wherever they are built, and a build script's run and documentation leave nothing there.
            let prints = unit.fingerprints.iter().map(|print| print.name.as_str());
            let prints = prints.filter(|name| !["test-", "run-", "doc-"].iter().any(|start| name.starts_with(start)));
            for name in prints {
                owners.nameless.entry((&unit.place.profile, target_name(name))).or_default().push(at);
            }
        }
        owners
    }

    pub(super) fn role(&self, path: &str, meta: &Meta, belongs: &Belongs) -> Role {
        let unit = |at: Option<usize>, otherwise: Role| at.map_or(otherwise, Role::Unit);
        match belongs {
            Belongs::Unit(place) => unit(self.places.get(place).copied(), Role::Keep),
            Belongs::UnitId { profile, id } => {
                unit(self.ids.get(&(profile.as_str(), id.as_str())).copied(), Role::Drop)
            }
            Belongs::Unhashed { profile, file } => unit(self.maker(profile, file, meta.mtime), Role::Keep),
            Belongs::Uplift if meta.kind == Kind::File && self.is_uplifted(path, meta) => Role::Drop,
            Belongs::Uplift | Belongs::Loose => Role::Keep,
            Belongs::TestFolder if meta.kind == Kind::Folder => Role::Folder,
            Belongs::TestFolder | Belongs::Disposable => Role::Drop,
            Belongs::Incremental => Role::Incremental,
            Belongs::Doc => Role::Doc,
        }
    }

    /// Whether the compiler made it, for Cargo to link it to where people look for it.
    fn is_output(&self, path: &str, belongs: &Belongs) -> bool {
        match belongs {
            Belongs::UnitId { .. } | Belongs::Unhashed { .. } => true,
            Belongs::Unit(place @ UnitPlace { layout: Layout::PerUnit, .. }) => {
                let is_run = self.places.get(place).is_some_and(|&at| self.units[at].is_run());
                !is_run && path.strip_suffix(file_name(path)).is_some_and(|dir| dir.ends_with("/out/"))
            }
            _ => false,
        }
    }

    /// Who made an output that carries no id: of the units of that target the one that was started last before the file was
    /// written. Units that leave files with an id (checks, other crate types) leave no others. If it cannot be told, nobody did,
    /// and the file stays whatever goes.
    fn maker(&self, profile: &str, file: &str, written: Moment) -> Option<usize> {
        let stem = file.split('.').next().unwrap_or(file);
        let names = [Some(stem), stem.strip_prefix("lib")];
        let by_name = |name: &str| self.nameless.get(&(profile, name.replace('-', "_")));
        let candidates = names.into_iter().flatten().find_map(by_name)?;
        if let [only] = candidates.as_slice() {
            return Some(*only);
        }
        let started = |at: usize| self.units[at].started.unwrap_or(self.units[at].reference);
        candidates.iter().copied().filter(|&at| started(at) <= written).max_by_key(|&at| started(at))
    }

    /// Whether Cargo links this file anew from what it built. Without its list nobody knows, and another name costs nothing.
    fn is_uplifted(&self, path: &str, meta: &Meta) -> bool {
        if self.listed.contains(path) && layout::has_extension(path, "d") {
            return true;
        }
        let stem = path.rsplit_once('.').map_or(path, |(stem, _)| stem);
        let library = stem.rsplit_once("/lib").map(|(dir, name)| format!("{dir}/{name}"));
        let is_listed = [path, stem].iter().any(|name| self.listed.contains(*name))
            || library.is_some_and(|name| self.listed.contains(name.as_str()));
        let is_link = meta.links > 1 && meta.identity.is_some_and(|identity| self.outputs.contains(&identity));
        is_listed && (is_link || self.twins.contains(&(bare_name(path), meta.size)))
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// `deps/libmy_app-<id>.rlib` → `libmy_app.rlib`.
fn bare_name(path: &str) -> String {
    let name = file_name(path);
    let (stem, end) = name.split_at(name.find('.').unwrap_or(name.len()));
    let stem = layout::split_id(stem).map_or(stem, |(stem, _)| stem);
    format!("{}{end}", stem.replace('-', "_"))
}

/// Longer paths are not looked at.
const HEAD: u64 = 8 << 10;

/// Whether a `.d` file is the list that Cargo writes beside what it links: it begins with the path of that.
fn is_list_of_cargo(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut head));
    let stem = path.file_stem().map(std::ffi::OsStr::as_encoded_bytes).unwrap_or_default();
    let listed = head.windows(2).position(|pair| pair[0] == b':' && pair[1].is_ascii_whitespace());
    let listed = listed.map(|end| head[..end].rsplit(|byte| b"/\\".contains(byte)).next().unwrap_or_default());
    read.is_ok() && listed.is_some_and(|name| !stem.is_empty() && name.starts_with(stem))
}

/// `test-lib-my-crate` → `my_crate`.
fn target_name(fingerprint: &str) -> String {
    let mut name = fingerprint;
    for start in ["integration-test-", "build-script-", "lib-", "bin-", "bench-", "example-"] {
        if let Some(rest) = name.strip_prefix(start) {
            name = rest;
            break;
        }
    }
    name.replace('-', "_")
}
