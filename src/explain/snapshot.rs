//! What a target folder says about its units at one moment, as far as it takes to explain later why one was rebuilt. Pure.
//!
//! Values of secret-looking variables are never in it. What a Cargo of another version wrote and this program does not know is
//! counted, and nothing is concluded from it.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::cargo::fingerprint::Fields;
use crate::moment::Moment;
use crate::state::manifest::{EnvRecord, Lies, UnitRecord};
use crate::unit::{Mode, TargetName, Unit};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Snapshot {
    pub units: Vec<UnitSnapshot>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnitSnapshot {
    /// Where its fingerprint lies: `0:debug/.fingerprint/serde-0123456789abcdef`.
    pub place: String,
    /// `debug`, `x86_64-unknown-linux-musl/release`.
    pub profile: String,
    pub package: String,
    /// Where the package lies, and its version, as far as that is known.
    #[serde(default)]
    pub lies: Lies,
    #[serde(default)]
    pub version: Option<String>,
    #[serde(default)]
    pub mode: Mode,
    /// When it was last built.
    pub reference: Moment,
    pub started: Option<Moment>,
    pub seconds: f64,
    /// Of everything that belongs to it.
    pub bytes: u64,
    /// By the job, or by the last one.
    pub used: bool,
    /// It has a fingerprint but nothing that it built.
    pub lacks_output: bool,
    pub prints: Vec<PrintSnapshot>,
    /// Paths that it read, absolute.
    pub files: Vec<String>,
    /// Variables that it depends on.
    pub env: Vec<(String, EnvRecord)>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrintSnapshot {
    /// `lib-serde`, `test-bin-rg`, `run-build-script-build-script-build`.
    pub target: String,
    pub hash: String,
    /// Whether Cargo's record of what it compared is there.
    pub fields: Option<Fields>,
}

impl Snapshot {
    /// Adds what the last job knew of these units, which only a save can know: which of them it used, and of which version they are.
    pub fn recall(&mut self, units: &[UnitRecord]) {
        let records: HashMap<String, &UnitRecord> =
            units.iter().map(|record| (record.place.name_in(record.root), record)).collect();
        for unit in &mut self.units {
            if let Some(record) = records.get(&unit.place) {
                unit.used = record.idle == 0;
                unit.version.clone_from(&record.version);
            }
        }
    }
}

impl UnitSnapshot {
    /// The root that it lies in, as its place says.
    pub fn root(&self) -> usize {
        self.place.split_once(':').and_then(|(root, _)| root.parse().ok()).unwrap_or_default()
    }

    pub fn fields(&self) -> Option<&Fields> {
        self.prints.iter().find_map(|print| print.fields.as_ref())
    }

    /// Cargo empties what it is about to build, and whatever waits for that.
    pub fn is_unfinished(&self) -> bool {
        self.prints.is_empty() || self.prints.iter().any(|print| print.hash.is_empty())
    }
}

impl Unit for UnitSnapshot {
    fn package(&self) -> &str {
        &self.package
    }

    fn targets(&self) -> impl Iterator<Item = TargetName<'_>> {
        self.prints.iter().map(|print| TargetName::of(&print.target))
    }
}
