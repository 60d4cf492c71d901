//! What a forecast goes by, and what it says. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::turned_out::Expected;
use crate::explain::bumps::{self, Bump};
use crate::explain::project::Project;
use crate::state::manifest::{EnvRecord, LockedPackage, Manifest};

/// What is known once the sources have been looked at.
#[derive(Debug)]
pub struct Known<'a> {
    pub manifest: &'a Manifest,
    /// Paths that are new, changed or gone, or whose time could not be given back.
    pub differing: &'a [String],
    /// Those of them that are not there.
    pub gone: &'a BTreeSet<String>,
    /// What build scripts watch and what was not there, if it is not there yet.
    pub absent: &'a BTreeSet<String>,
    /// Units that Cargo is made to rebuild, by place, and why.
    pub forced: &'a BTreeMap<String, String>,
    pub locked: &'a BTreeSet<LockedPackage>,
    /// Locked packages, as `name version`, that come from elsewhere by now.
    pub moved: &'a BTreeSet<String>,
    pub settings: &'a BTreeMap<String, String>,
    pub project: &'a Project,
    /// What is built for where no target is named.
    pub host: &'a str,
    /// Variables of the step that asks.
    pub environment: &'a BTreeMap<String, EnvRecord>,
    /// Sources keep the time of the checkout, so that all of them count as changed.
    pub as_checked_out: bool,
    pub cores: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// Units that the last job used.
    pub known: usize,
    /// Those that will be compiled.
    pub units: Vec<Compiled>,
    /// What they come of, the most expensive first.
    pub reasons: Vec<Reason>,
    /// By the clock, with so many cores.
    pub seconds: f64,
    pub cores: usize,
}

/// A unit that will be compiled, and what that comes of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Compiled {
    #[serde(flatten)]
    pub unit: Expected,
    pub because: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    pub text: String,
    pub units: usize,
    pub seconds: f64,
}

/// What a unit is compiled for, itself or by what it was built from.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Root {
    Bump(Bump),
    Other(String),
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bump(bump) => f.write_str(&bumps::in_words(std::iter::once(bump))),
            Self::Other(reason) => f.write_str(reason),
        }
    }
}
