//! Python as far as a build depends on it: which interpreters there are, what they are, and which of them a project means. Pure.
//!
//! Nothing here changes the environment of a job. What an interpreter says is believed; what a `pyvenv.cfg` says is only
//! believed about where the base interpreter lies, and only if the disk agrees.

pub mod answers;
pub mod find;
pub mod interpreter;
pub mod project;
pub mod scripts;
pub mod venv;
pub mod wish;

use serde::{Deserialize, Serialize};

/// A Python interpreter, as far as a report names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interpreter {
    /// As it is spelled.
    pub path: String,
    /// For people: `CPython 3.12.1`.
    pub name: String,
    /// For programs: `cpython-3.12.1`.
    pub tag: String,
}
