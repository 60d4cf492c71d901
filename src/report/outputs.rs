//! What later steps of the job can ask for, as names and values. `action.yml` declares the same names.

use crate::job::outcome::{RestoreOutcome, Start};
use crate::python::Interpreter;

/// The outputs of `restore`, in the order of `action.yml`.
pub fn restore(outcome: &RestoreOutcome) -> [(&'static str, String); 6] {
    let restored = match &outcome.start {
        Start::Restored { key, .. } | Start::Kept { key, .. } => key.clone(),
        Start::Cold | Start::Unknown { .. } => String::new(),
    };
    [
        ("cache-hit", outcome.is_hit().to_string()),
        ("state", state(outcome).to_owned()),
        ("key", outcome.key.clone()),
        ("restored-key", restored),
        ("rolled", outcome.rolled.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
        ("python", outcome.interpreters.iter().map(interpreter).collect::<Vec<_>>().join("\n")),
    ]
}

/// The tag, which holds no space, and the path.
fn interpreter(found: &Interpreter) -> String {
    format!("{} {}", found.tag, found.path)
}

/// `exact`: everything fits; `partial`: something was restored; `miss`: nothing was.
pub fn state(outcome: &RestoreOutcome) -> &'static str {
    match outcome.start {
        Start::Cold | Start::Unknown { .. } | Start::Restored { units: 0, .. } => "miss",
        Start::Restored { .. } | Start::Kept { .. } if outcome.is_whole() => "exact",
        Start::Restored { .. } | Start::Kept { .. } => "partial",
    }
}
