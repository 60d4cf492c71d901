//! What a YAML or TOML file says, as one kind of tree in which every node knows its line.
//!
//! Scalars are kept as they are written: `1.80` is a toolchain and not a number. A key that is given twice counts the first time.
//! Pure.

/// One value and where it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Node {
    /// The line of the key, or of the value if it has none.
    pub(super) line: usize,
    /// The line on which the text of a scalar begins; for a block scalar that is not the line of its key.
    pub(super) text_line: usize,
    /// How far in a collection of a YAML file begins.
    pub(super) column: usize,
    pub(super) value: Value,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Value {
    #[default]
    Null,
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// Why a file could not be read, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    pub(super) line: usize,
    pub(super) reason: String,
}

static NOTHING: Node = Node { line: 0, text_line: 0, column: 0, value: Value::Null };

impl Node {
    /// The value below a key; an empty node if there is none, so that paths can be followed without asking at each step.
    pub(super) fn at(&self, key: &str) -> &Self {
        self.entries().iter().find(|(name, _)| name == key).map_or(&NOTHING, |(_, node)| node)
    }

    /// The value below a path of keys.
    pub(super) fn path(&self, keys: &[&str]) -> &Self {
        keys.iter().fold(self, |node, key| node.at(key))
    }

    pub(super) fn entries(&self) -> &[(String, Self)] {
        if let Value::Map(entries) = &self.value { entries } else { &[] }
    }

    pub(super) fn items(&self) -> &[Self] {
        if let Value::List(items) = &self.value { items } else { &[] }
    }

    pub(super) fn text(&self) -> Option<&str> {
        if let Value::Text(text) = &self.value { Some(text) } else { None }
    }

    /// Whether something is written here; an empty value is.
    pub(super) fn exists(&self) -> bool {
        self.line != 0
    }

    pub(super) fn is(&self, text: &str) -> bool {
        self.text() == Some(text)
    }

    /// The texts of a list, or the one text that stands in its place.
    pub(super) fn texts(&self) -> Vec<&str> {
        match &self.value {
            Value::Text(text) => vec![text],
            _ => self.items().iter().filter_map(Self::text).collect(),
        }
    }
}
