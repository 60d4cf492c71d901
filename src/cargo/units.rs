//! The units that lie in a target folder: their files, what they read, and what they were built from.
//!
//! `survey` finds them. How it can be wrong: a dependency whose hash nobody on disk answers to leaves no edge.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::depinfo::DepInfo;
use super::fingerprint::{Fingerprint, Local};
use crate::machine::disk::{Kind, Meta};
use crate::machine::paths;
use crate::moment::Moment;
use crate::unit::{Mode, TargetName, Unit, UnitPlace};

/// Everything below one target or build folder.
#[derive(Debug, Default)]
pub struct Survey {
    pub root: PathBuf,
    pub files: Vec<DiskFile>,
    pub units: Vec<DiskUnit>,
}

#[derive(Debug)]
pub struct DiskFile {
    /// Relative to the root, `/` between the parts, as `paths::text` writes it.
    pub path: String,
    pub meta: Meta,
    pub role: Role,
}

impl Survey {
    /// Where a file lies.
    pub fn on_disk(&self, file: &DiskFile) -> PathBuf {
        self.root.join(paths::path(&file.path))
    }

    /// The outputs of each unit beside its fingerprint.
    pub fn outputs(&self) -> Vec<Vec<&DiskFile>> {
        let dirs: Vec<String> = self.units.iter().map(|unit| format!("{}/", unit.place.fingerprint_dir())).collect();
        let mut outputs = vec![Vec::new(); self.units.len()];
        for file in &self.files {
            let Role::Unit(at) = file.role else { continue };
            let is_output = file.meta.kind == Kind::File && !file.path.starts_with(&dirs[at]);
            if is_output && Path::new(&file.path).extension().is_none_or(|end| end != "d") {
                outputs[at].push(file);
            }
        }
        outputs
    }
}

/// What a save does with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Kept while the unit with this index is.
    Unit(usize),
    Incremental,
    /// Kept while a documentation unit is.
    Doc,
    /// Kept, whatever becomes of what is in it.
    Folder,
    Keep,
    Drop,
}

#[derive(Debug)]
pub struct DiskUnit {
    pub place: UnitPlace,
    pub fingerprints: Vec<DiskFingerprint>,
    pub reference: Moment,
    /// The newest access to a hash file, as the walk saw it.
    pub accessed: Moment,
    /// When Cargo started it, if it wrote that down.
    pub started: Option<Moment>,
    pub seconds: f64,
}

#[derive(Debug)]
pub struct DiskFingerprint {
    pub name: String,
    pub hash: String,
    pub fingerprint: Option<Fingerprint>,
    pub dep_info: Option<DepInfo>,
}

impl Unit for DiskUnit {
    fn package(&self) -> &str {
        &self.place.package
    }

    fn targets(&self) -> impl Iterator<Item = TargetName<'_>> {
        self.fingerprints.iter().map(|fingerprint| TargetName::of(&fingerprint.name))
    }
}

impl DiskUnit {
    /// From its start to its end, where Cargo wrote that down.
    pub fn span(&self) -> Option<(Moment, Moment)> {
        let from = self.started?;
        Some((from, from.plus(std::time::Duration::from_secs_f64(self.seconds.max(0.0)))))
    }

    pub fn locals(&self) -> impl Iterator<Item = Local> + '_ {
        self.fingerprints
            .iter()
            .filter_map(|fingerprint| fingerprint.fingerprint.as_ref())
            .flat_map(Fingerprint::locals)
    }

    /// What the compiler was asked for, as far as these outputs tell.
    pub fn mode(&self, outputs: &[&DiskFile]) -> Mode {
        let is_metadata = |file: &&DiskFile| Path::new(&file.path).extension().is_some_and(|end| end == "rmeta");
        if self.is_doc() {
            Mode::Documented
        } else if self.is_linted() {
            Mode::Linted
        } else if !outputs.is_empty() && outputs.iter().all(is_metadata) {
            Mode::Checked
        } else {
            Mode::Built
        }
    }

    /// Whether clippy looked at it, which tracks a variable of its own.
    pub fn is_linted(&self) -> bool {
        self.tracked_env().any(|(name, _)| name == "CLIPPY_ARGS")
    }

    /// Variables that the unit depends on, by a build script's wish or because the compiler read them.
    pub fn tracked_env(&self) -> impl Iterator<Item = (String, Option<String>)> + '_ {
        let scripts = self.locals().filter_map(|local| match local {
            Local::RerunIfEnvChanged { name, value } => Some((name, value)),
            _ => None,
        });
        let compiler = self.fingerprints.iter().filter_map(|fingerprint| fingerprint.dep_info.as_ref());
        scripts.chain(compiler.flat_map(|info| info.env.iter().cloned()))
    }
}

/// For every unit of a root, the units that it was built from: the indices of those whose hash it names. `None` stands for a name
/// that nobody on disk answers to, which means that the unit is out of date.
///
/// Cargo hashes what it finds in a workspace alike wherever the workspace lies, so that several may answer: those of the own root
/// if there are any, and of these all.
pub fn edges(units: &[(usize, &DiskUnit)]) -> Vec<Vec<Option<usize>>> {
    let mut by_hash: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, (_, unit)) in units.iter().enumerate() {
        for fingerprint in unit.fingerprints.iter().filter(|fingerprint| !fingerprint.hash.is_empty()) {
            by_hash.entry(&fingerprint.hash).or_default().push(at);
        }
    }
    let answers = |root: usize, hash: &str| -> Vec<Option<usize>> {
        let all = by_hash.get(hash).map(Vec::as_slice).unwrap_or_default();
        let own: Vec<Option<usize>> = all.iter().filter(|at| units[**at].0 == root).map(|at| Some(*at)).collect();
        match (own.is_empty(), all.is_empty()) {
            (false, _) => own,
            (true, false) => all.iter().map(|at| Some(*at)).collect(),
            (true, true) => vec![None],
        }
    };
    let of_unit = |(root, unit): &(usize, &DiskUnit)| {
        let parsed = unit.fingerprints.iter().filter_map(|fingerprint| fingerprint.fingerprint.as_ref());
        parsed.flat_map(Fingerprint::dependency_hashes).flat_map(|hash| answers(*root, &hash)).collect()
    };
    units.iter().map(of_unit).collect()
}
