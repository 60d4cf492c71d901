//! What a target folder says about its units at one moment, as far as it takes to explain later why one was rebuilt. Pure.
//!
//! Values of secret-looking variables are never in it. What a Cargo of another version wrote and this program does not know is
//! counted, and nothing is concluded from it.

use serde::{Deserialize, Serialize};

use crate::cargo::fingerprint::Fields;
use crate::moment::Moment;
use crate::state::manifest::EnvRecord;
use crate::unit::{TargetName, Unit};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Snapshot {
    pub units: Vec<UnitSnapshot>,
}

/// What a compiler was asked for, as far as what it left tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    #[default]
    Built,
    /// Only types were looked at, and nothing but metadata is there.
    Checked,
    /// By clippy, which tracks a variable of its own.
    Linted,
    Documented,
}

impl Mode {
    /// As the end of "it was never …".
    pub fn verb(self) -> &'static str {
        match self {
            Self::Built => "built",
            Self::Checked => "checked",
            Self::Linted => "looked at by clippy",
            Self::Documented => "documented",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnitSnapshot {
    /// Where its fingerprint lies: `0:debug/.fingerprint/serde-0123456789abcdef`.
    pub place: String,
    /// `debug`, `x86_64-unknown-linux-musl/release`.
    pub profile: String,
    pub package: String,
    #[serde(default)]
    pub mode: Mode,
    /// When it was last built.
    pub reference: Moment,
    pub started: Option<Moment>,
    pub seconds: f64,
    /// Of everything that belongs to it.
    pub bytes: u64,
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

impl UnitSnapshot {
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
