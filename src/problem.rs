//! The two ways in which something can be wrong: an input that only its author can mend, and a fault of a cache.
//!
//! A wrong input ends the command at once. A fault is written down as a `Warning` and the command goes on with less.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// An input that cannot be meant as it is written.
#[derive(Debug, Error)]
#[error("{what}")]
pub struct WrongInput {
    pub what: String,
    pub hint: String,
}

impl WrongInput {
    pub fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: hint.into() }
    }
}

/// Something that went wrong with a cache and cost only time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Warning(pub String);

impl Warning {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// `what failed: why`, with the whole chain of causes on one line.
    pub fn of(what: &str, error: &anyhow::Error) -> Self {
        Self(format!("{what}: {error:#}").replace('\n', " "))
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
