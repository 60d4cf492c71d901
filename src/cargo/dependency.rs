//! One entry of a manifest's tables of dependencies, in one spelling: `dep = "1"` and `dep = { version = "1" }` are the same. Pure.
//!
//! How it can be wrong: what a Cargo of another version writes there and this program does not know is compared as text.

use std::collections::BTreeSet;
use std::path::Path;

use toml::{Table, Value};

use crate::machine::paths;

/// What a manifest asks for under one name.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec(Table);

impl Spec {
    /// As it stands in a manifest that lies in `dir`; paths become relative to `base`. What is left to the workspace stands in
    /// `inherited`, with the folder of that manifest.
    pub fn of(value: &Value, dir: &Path, inherited: Option<(&Value, &Path)>, base: &Path) -> Self {
        let own = match value {
            Value::Table(table) => table.clone(),
            other => Table::from_iter([("version".to_owned(), other.clone())]),
        };
        if let (Some(Value::Boolean(true)), Some((value, root))) = (own.get("workspace"), inherited) {
            let Self(mut all) = Self::of(value, root, None, base);
            // What a member adds to it.
            if own.get("optional") == Some(&Value::Boolean(true)) {
                all.insert("optional".to_owned(), Value::Boolean(true));
            }
            let features = Self(all.clone()).features().into_iter().chain(Self(own).features());
            set_features(&mut all, features.collect());
            return Self(all);
        }
        let mut table = own;
        if let Some(old) = table.remove("default_features") {
            table.entry("default-features").or_insert(old);
        }
        for (name, usual) in [("default-features", true), ("optional", false), ("workspace", false)] {
            if table.get(name) == Some(&Value::Boolean(usual)) {
                table.remove(name);
            }
        }
        if let Some(Value::String(path)) = table.get("path") {
            let path = paths::lexical(&dir.join(path));
            let shown = paths::text(path.strip_prefix(base).unwrap_or(&path));
            table.insert("path".to_owned(), Value::String(shown.replace('\\', "/")));
        }
        let features = Self(table.clone()).features();
        set_features(&mut table, features);
        Self(table)
    }

    /// As it was written down.
    pub fn parse(text: &str) -> Option<Self> {
        if !text.starts_with('{') {
            return Some(Self(Table::from_iter([("version".to_owned(), Value::String(text.to_owned()))])));
        }
        match format!("it = {text}").parse::<Table>().ok()?.remove("it")? {
            Value::Table(table) => Some(Self(table)),
            _ => None,
        }
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// The package that is meant by this name.
    pub fn package<'a>(&'a self, name: &'a str) -> &'a str {
        self.text("package").unwrap_or(name)
    }

    pub fn version(&self) -> Option<&str> {
        self.text("version")
    }

    pub fn is_optional(&self) -> bool {
        self.0.get("optional") == Some(&Value::Boolean(true))
    }

    pub fn has_default(&self) -> bool {
        self.0.get("default-features") != Some(&Value::Boolean(false))
    }

    pub fn features(&self) -> BTreeSet<String> {
        let features = self.0.get("features").and_then(Value::as_array).into_iter().flatten();
        features.filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// Whether both mean a package from one place, whatever they ask of it.
    pub fn is_from_where(&self, other: &Self) -> bool {
        let place = |spec: &Self| {
            let mut table = spec.0.clone();
            for name in ["version", "features", "default-features", "optional", "package", "public"] {
                table.remove(name);
            }
            table
        };
        place(self) == place(other)
    }
}

impl std::fmt::Display for Spec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.version(), self.0.len()) {
            (Some(version), 1) if !version.starts_with('{') => f.write_str(version),
            _ => write!(f, "{}", Value::Table(self.0.clone())),
        }
    }
}

fn set_features(table: &mut Table, features: BTreeSet<String>) {
    if features.is_empty() {
        table.remove("features");
    } else {
        table.insert("features".to_owned(), Value::Array(features.into_iter().map(Value::String).collect()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> Spec {
        let table: Table = format!("it = {text}").parse().unwrap();
        let inherited: Table = "it = { path = 'b', features = ['z'] }".parse().unwrap();
        Spec::of(&table["it"], Path::new("/w/a"), Some((&inherited["it"], Path::new("/w"))), Path::new("/w"))
    }

    #[test]
    fn one_meaning_has_one_spelling() {
        for (one, other) in [
            ("'1'", "{ version = '1', default-features = true, optional = false, features = [] }"),
            ("{ path = '../b', features = ['f', 'g'] }", "{ features = ['g', 'f'], path = '../a/../b' }"),
            ("{ workspace = true, features = ['f'] }", "{ path = '../b', features = ['f', 'z'] }"),
            ("{ version = '1', default_features = false }", "{ version = '1', default-features = false }"),
        ] {
            assert_eq!(spec(one), spec(other));
            assert_eq!(spec(one).to_string(), spec(other).to_string());
            assert_eq!(Spec::parse(&spec(one).to_string()), Some(spec(one)));
        }
        assert_eq!(spec("'1'").to_string(), "1");
        assert_eq!(spec("{ path = '../b' }").to_string(), "{ path = \"b\" }");
    }
}
