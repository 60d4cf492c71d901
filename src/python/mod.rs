//! Python as far as a build depends on it: which interpreters there are, what they are, and which of them a project means.
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
