//! The three ways in which something can be wrong: an input that only its author can fix, a fault of the job, and one of a cache.
//! Pure.
//!
//! A wrong input ends the command at once. A fault of the job ends it, too, but not the job. One of a cache is written down as a
//! `Warning` and the command goes on with less.

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

/// Something that the job itself has to put right: a tool that is not there, a manifest that does not parse. There is no cache
/// then, and the job goes on, so that its own steps can say the same.
#[derive(Debug, Error)]
#[error("{what}")]
pub struct JobFault {
    pub what: String,
    pub hint: String,
}

impl JobFault {
    pub fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: hint.into() }
    }
}

/// A cache that is not asked again in this run, and why. One cause ends in one warning, however many calls meet it.
#[derive(Clone, Debug, Error)]
#[error("{reason}")]
pub struct GivenUp {
    pub reason: String,
}

/// Something that went wrong with a cache and cost only time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    text: String,
    /// What it follows from, where other faults can follow from the same.
    cause: Option<String>,
}

impl Warning {
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), cause: None }
    }

    /// `what failed: why`, with the whole chain of causes on one line.
    pub fn of(what: &str, error: &anyhow::Error) -> Self {
        let cause = GivenUp::in_chain(error).map(|cause| cause.reason.clone());
        Self { text: format!("{what}: {error:#}").replace('\n', " "), cause }
    }

    #[must_use]
    pub fn because(self, cause: &str) -> Self {
        Self { cause: Some(cause.to_owned()), ..self }
    }
}

impl GivenUp {
    pub fn in_chain(error: &anyhow::Error) -> Option<&Self> {
        error.chain().find_map(|cause| cause.downcast_ref())
    }
}

/// Warnings in the order of their causes, each said once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Warnings(Vec<Warning>);

impl Warnings {
    pub fn push(&mut self, warning: Warning) {
        if !self.0.contains(&warning) {
            self.0.push(warning);
        }
    }

    /// Notes what failed and why, unless it is the consequence of something that was noted.
    pub fn fault(&mut self, what: &str, error: &anyhow::Error) {
        if !GivenUp::in_chain(error).is_some_and(|cause| self.tell_of(&cause.reason)) {
            self.push(Warning::of(what, error));
        }
    }

    /// Whether one of them follows from this cause.
    pub fn tell_of(&self, cause: &str) -> bool {
        self.0.iter().any(|warning| warning.cause.as_deref() == Some(cause))
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Warning> {
        self.0.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Warning> for Warnings {
    fn from(warning: Warning) -> Self {
        Self(vec![warning])
    }
}

impl<'a> IntoIterator for &'a Warnings {
    type Item = &'a Warning;
    type IntoIter = std::slice::Iter<'a, Warning>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Extend<Warning> for Warnings {
    fn extend<I: IntoIterator<Item = Warning>>(&mut self, warnings: I) {
        warnings.into_iter().for_each(|warning| self.push(warning));
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cause_is_one_warning() {
        let mut warnings = Warnings::default();
        let given_up = || anyhow::Error::new(GivenUp { reason: "no connection".to_owned() });
        warnings.fault("looking for a state", &given_up());
        warnings.fault("fetching", &given_up().context("a frame"));
        warnings.fault("fetching", &anyhow::anyhow!("it was damaged"));
        let texts: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["looking for a state: no connection", "fetching: it was damaged"]);
    }
}
