//! What an examination comes to: what was found, and what hides some of it. Pure.

use crate::doctor::rule::{Level, Rule};

/// One thing that was found, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Relative to the folder that was examined, with `/`.
    pub file: String,
    /// From 1.
    pub line: usize,
    pub rule: Rule,
    /// The rule's, unless what was found matters less.
    pub level: Level,
    /// What is there, with its own names and values.
    pub what: String,
    /// What to write instead, line by line as it is to stand in the file, where that can be said.
    pub instead: Vec<String>,
}

impl Finding {
    pub fn new(rule: Rule, file: &str, line: usize, what: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: line.max(1),
            rule,
            level: rule.text().level,
            what: what.into(),
            instead: Vec::new(),
        }
    }

    /// Of something that no job is known to build.
    #[must_use]
    pub fn as_hint(self) -> Self {
        Self { level: Level::Hint, ..self }
    }

    #[must_use]
    pub fn with_instead(self, instead: Vec<String>) -> Self {
        Self { instead, ..self }
    }
}

/// One rule that an entry of the settings or a comment switches off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignore {
    /// Where that is written.
    pub file: String,
    pub line: usize,
    pub rule: Rule,
    pub reason: String,
    /// How many findings it hides. With none it has outlived its reason.
    pub hidden: usize,
}

/// Everything that an examination came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examination {
    /// By place; each once.
    pub findings: Vec<Finding>,
    pub ignores: Vec<Ignore>,
    /// How many findings these hide together; one can be hidden twice.
    pub hidden: usize,
    pub workflows: usize,
    pub packages: usize,
}
