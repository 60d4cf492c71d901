//! What a target folder says about its units at one moment, as far as it takes to explain later why one was rebuilt.
//!
//! Values of secret-looking variables are never in it. What a Cargo of another version wrote and this program does not know is
//! counted, and nothing is concluded from it.

use serde::{Deserialize, Serialize};

use crate::moment::Moment;
use crate::state::manifest::EnvRecord;
use crate::words;

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
    /// When it was last built.
    pub reference: Moment,
    pub started: Option<Moment>,
    pub seconds: f64,
    /// Of everything that belongs to it.
    pub bytes: u64,
    pub used: bool,
    /// It has a fingerprint but nothing that it built.
    pub hollow: bool,
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

/// What Cargo compares, in the order in which it does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fields {
    pub rustc: u64,
    pub features: Vec<String>,
    pub declared_features: Vec<String>,
    pub target: u64,
    pub path: u64,
    pub profile: u64,
    pub rustflags: Vec<String>,
    pub config: u64,
    pub compile_kind: u64,
    /// The newest file of the whole package, where that is what counts: `1795247732.834608785s (src/lib.rs)`.
    pub newest_file: Option<String>,
    pub deps: Vec<DepField>,
    /// Fields that this program does not know.
    pub unknown: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DepField {
    pub name: String,
    pub hash: String,
}

impl UnitSnapshot {
    /// How it is called in messages.
    pub fn title(&self) -> String {
        words::unit(&self.package, self.prints.iter().map(|print| print.target.as_str()))
    }

    /// What kind of target it builds.
    pub fn kind(&self) -> &'static str {
        kind(self.prints.first().map_or("", |print| print.target.as_str()))
    }

    pub fn is_run(&self) -> bool {
        self.prints.iter().any(|print| print.target.starts_with("run-"))
    }
}

/// What kind of target a fingerprint's name stands for: `lib`, `bin`, `test`, `build-script`, `run` …
pub fn kind(target: &str) -> &'static str {
    let kinds = ["run-", "build-script-", "test-", "bench-", "example-", "bin-", "lib-", "doc-"];
    kinds.into_iter().find(|kind| target.starts_with(kind)).map_or("other", |kind| kind.trim_end_matches('-'))
}
