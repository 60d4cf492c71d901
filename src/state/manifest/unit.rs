//! What a manifest says about one unit: where it lies, what it read and was built from, and what nobody told Cargo. Pure.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::PackageRecord;
use crate::machine::libraries::fact::LibraryFact;
use crate::moment::Moment;
use crate::unit::{Mode, TargetName, Unit, UnitPlace};

/// One unit as Cargo fingerprints it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnitRecord {
    pub root: usize,
    #[serde(flatten)]
    pub place: UnitPlace,
    #[serde(default, skip_serializing_if = "Lies::is_unknown")]
    pub lies: Lies,
    /// Of the package, when it was built from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// None where nobody has looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// None where Cargo's record could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<Vec<String>>,
    /// What its build script watches and what was not there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<String>,
    /// The last job built it and ended with what it had begun with: the variables that it can be because of; none where it was
    /// because of a dependency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turns: Option<Vec<String>>,
    pub fingerprints: Vec<FingerprintRecord>,
    /// The time that Cargo compares this unit's inputs with.
    pub reference: Moment,
    /// Inputs that its dep-info or `rerun-if-changed` names, as indices.
    pub inputs: Vec<usize>,
    /// Inputs that are recorded as something that it cannot be shown to have been built from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unseen: Vec<String>,
    /// Units that it was built from, as indices.
    pub deps: Vec<usize>,
    pub seconds: f64,
    /// Variables that it depends on, but for those that Cargo sets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Successful runs since it was last used.
    pub idle: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunFacts>,
    /// Clippy looked at it, whose settings lie in a file that it looks for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub linted: bool,
    /// None where nobody has looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub macros: Option<MacroFacts>,
}

/// What a unit has to do with proc macros, which read files without telling Cargo.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MacroFacts {
    /// It is a proc macro.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_macro: bool,
    /// What its own sources show; made where a proc macro is built from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scan: Option<Scan>,
    /// Proc macros that may read files, among those that its sources can use.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub readers: Vec<String>,
    /// Its own sources hand files to the assembler, which tells nobody either.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub assembles: bool,
    /// Which set of `Manifest::unread` was seen when it was compiled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread: Option<usize>,
}

impl MacroFacts {
    /// Whether the unit may have read files of which the compiler does not know.
    pub fn may_read(&self) -> bool {
        self.assembles || !self.readers.is_empty()
    }
}

/// Whether sources show that the code can read files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scan {
    Clean,
    /// The first trace.
    Shows(String),
}

/// Inputs that were there when a job began and that nobody read in it, as pairs of a first index and a number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Unread(Vec<(usize, usize)>);

impl Unread {
    pub fn of(indices: &BTreeSet<usize>) -> Self {
        let mut spans: Vec<(usize, usize)> = Vec::new();
        for &at in indices {
            match spans.last_mut() {
                Some((first, len)) if *first + *len == at => *len += 1,
                _ => spans.push((at, 1)),
            }
        }
        Self(spans)
    }

    pub fn holds(&self, at: usize) -> bool {
        self.0.iter().any(|(first, len)| at.checked_sub(*first).is_some_and(|step| step < *len))
    }
}

/// Where the package that a unit was built from lies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lies {
    /// In one of the folders that hold a package of its name, or nobody knows where.
    #[default]
    Unknown,
    /// Where Cargo keeps what it fetched: its files never change.
    Fetched,
    In(String),
}

impl Lies {
    /// Whether a unit of a package of that `name`, which lies there, may be one of this package.
    pub fn may_be_in(&self, package: &PackageRecord, name: &str) -> bool {
        match self {
            Self::Unknown => name == package.name,
            Self::Fetched => false,
            Self::In(dir) => *dir == package.dir,
        }
    }

    fn is_unknown(&self) -> bool {
        *self == Self::Unknown
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FingerprintRecord {
    /// `lib-a`, `test-bin-rg`, `run-build-script-build-script-build`.
    pub name: String,
    pub hash: String,
    /// Its freshness is the newest file of its whole package, to the nanosecond.
    pub precalculated: bool,
    /// Cargo compares what its sources hold, not their times.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_content: bool,
}

/// What a unit, a build script's run above all, depended on although nobody told Cargo.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFacts {
    /// The commit that its output holds, abbreviated or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Files that it wrote outside the target, as indices of inputs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub made: Vec<usize>,
    pub libraries: Vec<LibraryFact>,
    /// The `PYO3_PYTHON` that it watches, empty if that was unset; none for one that has nothing to do with Python.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interpreter: Option<String>,
    /// What git said of the commit and its tags, for one whose output holds such a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub described: Option<Described>,
    /// The branch, for one whose output holds its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<Described>,
}

/// `v1.2.3-4-g0123abc` or `main`, and the top of the repository that said so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Described {
    pub top: String,
    /// Empty if it is not known what it was when it was used.
    pub text: String,
}

impl Unit for UnitRecord {
    fn package(&self) -> &str {
        &self.place.package
    }

    fn targets(&self) -> impl Iterator<Item = TargetName<'_>> {
        self.fingerprints.iter().map(|fingerprint| TargetName::of(&fingerprint.name))
    }
}

impl UnitRecord {
    /// Whether this may be a unit of that package: certainly, where it is known in which folder it lies, else by name.
    pub fn is_of(&self, package: &PackageRecord) -> bool {
        self.lies.may_be_in(package, &self.place.package)
    }

    /// Whether it can use a proc macro that may read files, or hands some to the assembler.
    pub fn uses_reading_macros(&self) -> bool {
        self.macros.as_ref().is_some_and(MacroFacts::may_read)
    }

    pub fn is_by_content(&self) -> bool {
        self.fingerprints.iter().any(|fingerprint| fingerprint.by_content)
    }

    pub fn is_precalculated(&self) -> bool {
        self.fingerprints.iter().any(|fingerprint| fingerprint.precalculated)
    }
}
