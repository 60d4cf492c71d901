//! What interpreters said, so that each base interpreter is asked once, however many environments stand on it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use fs_err as fs;

use super::interpreter::{InterpreterFacts, probe};
use super::venv::Venv;

/// Answers by the real path of the base interpreter that gave them.
#[derive(Debug, Default)]
pub struct Answers(BTreeMap<PathBuf, InterpreterFacts>);

impl Answers {
    /// What the interpreter at this path is. It is asked unless it stands on one whose answer is known: what a virtual
    /// environment's interpreter would say of its base is what the base says.
    pub fn of(&mut self, python: &Path) -> Result<InterpreterFacts> {
        let venv = Venv::of(python);
        let stands_on = match &venv {
            Some(venv) => venv.base_of(python),
            // A shim leads to a version manager, which has never answered under its own path.
            None => fs::canonicalize(python).ok().filter(|real| self.0.contains_key(real)),
        };
        let base = match &stands_on {
            Some(base) => Some(self.base(base)?),
            None => None,
        };
        let agrees = |facts: &InterpreterFacts| venv.as_ref().is_none_or(|venv| venv.admits(facts.numbers()));
        let facts = match base.filter(agrees) {
            Some(facts) => InterpreterFacts { executable: python.to_path_buf(), ..facts },
            None => self.remember(probe(python)?),
        };
        Ok(InterpreterFacts { path: python.to_path_buf(), venv: venv.map(|venv| venv.root), ..facts })
    }

    /// A base interpreter, by its real path.
    fn base(&mut self, real: &Path) -> Result<InterpreterFacts> {
        if let Some(facts) = self.0.get(real) {
            return Ok(facts.clone());
        }
        let facts = self.remember(probe(real)?);
        // Run under its real path it can be no shim, so the answer is its own, whatever it calls itself.
        self.0.insert(real.to_path_buf(), facts.clone());
        Ok(facts)
    }

    fn remember(&mut self, facts: InterpreterFacts) -> InterpreterFacts {
        self.0.entry(facts.base.clone()).or_insert_with(|| facts.clone());
        facts
    }
}
