//! What the name of an entry says: whose it is, and what it belongs together with. Pure.

use crate::digest::Digest;
use crate::state::key::{FORMAT, Key, KeyFields};
use crate::state::stored::Stored;

/// What an entry is, by its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    State(Key),
    /// A small entry that names lineages for jobs with this hard part.
    Seed {
        hard: String,
    },
    /// Bytes of a bucket that nothing names.
    Unnamed,
    /// Of another format, or of a kind that this version does not know.
    Other,
}

/// Entries of which a job takes the newest: part of the store and ref, name, hard part.
pub(super) type Group = ((Option<char>, Option<String>), String, String);

/// A base and its deltas: name, hard part, lineage. In whatever ref they lie.
pub(super) type Lineage = (String, String, String);

const UNNAMED: &str = "unnamed.";

impl Kind {
    /// What stands in a list for bytes without a key.
    pub fn unnamed(sha256: &Digest) -> String {
        format!("{UNNAMED}{sha256}")
    }

    pub fn of(key: &str) -> Self {
        if key.starts_with(UNNAMED) {
            return Self::Unnamed;
        }
        if let Some(rest) = key.strip_prefix(&format!("rekindle.{FORMAT}.seed.")) {
            return Self::Seed { hard: rest.split('.').next().unwrap_or_default().to_owned() };
        }
        Key::parse(key).map_or(Self::Other, Self::State)
    }

    pub(super) fn group(&self, entry: &Stored) -> Group {
        let (name, hard) = match self {
            Self::State(Key { fields: KeyFields { name, hard, soft: _ }, .. }) => (name.clone(), hard.clone()),
            Self::Seed { hard } => (String::new(), hard.clone()),
            // What nobody knows belongs to nothing but itself.
            Self::Unnamed | Self::Other => (entry.key.clone(), String::new()),
        };
        ((entry.zone, entry.scope.clone()), name, hard)
    }

    pub(super) fn lineage(&self) -> Option<Lineage> {
        let Self::State(Key { fields, lineage, .. }) = self else { return None };
        Some((fields.name.clone(), fields.hard.clone(), lineage.clone()))
    }

    pub(super) fn is_base(&self) -> bool {
        matches!(self, Self::State(key) if key.lineage == key.state)
    }

    pub(super) fn hard(&self) -> &str {
        match self {
            Self::State(key) => &key.fields.hard,
            Self::Seed { hard } => hard,
            Self::Unnamed | Self::Other => "",
        }
    }
}

/// The ref of a pull request: nobody but its own jobs sees what lies there.
pub(super) fn is_private(scope: Option<&str>) -> bool {
    scope.is_some_and(|scope| scope.starts_with("refs/pull/"))
}
