//! How loudly and in which words a rule speaks; what both of them are for a rule stands with the rules. Pure.

use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It costs time or soundness wherever it is found.
    Warning,
    /// It often does; the project may have its reasons.
    Hint,
}

/// What is the same for all findings of a rule.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    pub id: &'static str,
    pub level: Level,
    pub summary: &'static str,
    pub why: &'static str,
    pub fix: &'static str,
}
