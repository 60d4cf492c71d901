//! The key as a value: `KeyParts` says everything that a stored state depends on, `Key` is its name in a store. Pure.
//!
//! Hard parts decide whether old bytes can be used at all, soft parts whether they are the best match, name parts only keep
//! apart what the user wants apart. A part that is missing here is a stale build waiting to happen; a part that is noise
//! makes every run a cold one. Secrets and terminal settings never get here.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// The version of everything that is stored: key fields, pack layout and manifest.
pub const FORMAT: u32 = 3;

const MAX_SLUG: usize = 60;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyParts {
    pub name: NameParts,
    pub hard: HardParts,
    pub soft: SoftParts,
}

/// What merely keeps lineages apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameParts {
    pub kind: PackKind,
    pub key: String,
    pub workflow: String,
    pub job: String,
    pub roll: String,
}

/// The two kinds of lineage there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PackKind {
    #[default]
    Target,
    CargoHome,
}

/// What the bytes in `target` are bound to, beyond what Cargo itself tells apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HardParts {
    pub os: String,
    pub arch: String,
    pub os_release: String,
    pub libc: String,
    pub cargo_home: String,
    pub workspaces: Vec<WorkspaceParts>,
    /// Flags that reach every unit, by the name of the variable or config key that sets them.
    pub flags: BTreeMap<String, String>,
    /// Further variables that somebody wants to be kept apart by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
    pub incremental: Incremental,
    pub linker: String,
    pub c_compiler: String,
    /// Further programs and libraries that settings name, by the name of the setting.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tools: BTreeMap<String, String>,
    /// Options of Rekindle itself that change what a pack holds.
    pub options: BTreeMap<String, String>,
}

/// Who decided about incremental compilation, and what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Incremental {
    /// Nobody: Cargo does as it does by default.
    #[default]
    Undecided,
    /// A profile in a manifest or a configuration file.
    Profile,
    /// `build.incremental`.
    Config(String),
    /// Rekindle, too, decides by a variable.
    Variable { name: String, value: String },
}

impl fmt::Display for Incremental {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undecided => f.write_str("cargo's default"),
            Self::Profile => f.write_str("profile"),
            Self::Config(value) => write!(f, "build.incremental={value}"),
            Self::Variable { name, value } => write!(f, "{name}={value}"),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceParts {
    pub root: String,
    pub target: String,
    pub build: String,
    /// `rustc -vV`, as printed.
    pub rustc: String,
}

/// What makes one state a better start than another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SoftParts {
    /// External packages, as `name version` → source and checksum.
    pub packages: BTreeMap<String, String>,
    /// Profiles, features and patches, by manifest path.
    pub manifests: BTreeMap<String, Digest>,
    /// `.cargo/config.toml` files, by path.
    pub configs: BTreeMap<String, Digest>,
    /// Python interpreters: the path as it is spelled → what is there, one fact a line, its name first.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub interpreters: BTreeMap<String, String>,
}

impl KeyParts {
    /// The fields that every stored key of these parts starts with.
    pub fn fields(&self) -> KeyFields {
        KeyFields {
            name: format!("{}-{}", self.name.slug(), Digest::of_value(&self.name).short()),
            hard: Digest::of_value(&self.hard).short(),
            soft: Digest::of_value(&self.soft).short(),
        }
    }
}

/// As people know a job.
impl fmt::Display for NameParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A matrix is JSON over several lines.
        let key = self.key.replace(['{', '}', '"'], " ").split_whitespace().collect::<Vec<_>>().join(" ");
        let words: Vec<&str> =
            [&self.workflow, &self.job, &key].into_iter().map(String::as_str).filter(|word| !word.is_empty()).collect();
        if words.is_empty() { f.write_str("another job") } else { write!(f, "`{}`", words.join(" / ")) }
    }
}

impl NameParts {
    fn slug(&self) -> String {
        let Self { kind, key, workflow, job, roll } = self;
        let base = match kind {
            PackKind::Target => "",
            PackKind::CargoHome => "cargo-home",
        };
        let words = [base, workflow, job, key, roll];
        let text: String = words
            .into_iter()
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join("-")
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
            .collect();
        let mut slug = String::new();
        for word in text.split('-').filter(|word| !word.is_empty()) {
            if slug.len() + word.len() + 1 > MAX_SLUG {
                break;
            }
            if !slug.is_empty() {
                slug.push('-');
            }
            slug.push_str(word);
        }
        if slug.is_empty() { "rust".to_owned() } else { slug }
    }
}

/// The leading fields of a key, as they stand in a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyFields {
    pub name: String,
    pub hard: String,
    pub soft: String,
}

/// How well a stored entry fits what is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// Hard and soft parts are equal.
    Soft,
    /// Hard parts are equal: the bytes can be used, something soft differs.
    Hard,
    /// Only the name is equal: the bytes cannot be used, but the manifest can say what rolled.
    Name,
}

impl KeyFields {
    /// The prefix to look up for a fit. It ends with the separator, so no name is a prefix of another.
    pub fn prefix(&self, fit: Fit) -> String {
        let Self { name, hard, soft } = self;
        match fit {
            Fit::Soft => format!("rekindle.{FORMAT}.{name}.{hard}.{soft}."),
            Fit::Hard => format!("rekindle.{FORMAT}.{name}.{hard}."),
            Fit::Name => format!("rekindle.{FORMAT}.{name}."),
        }
    }

    /// Whether a found key really has the fields that its prefix promised; services match more loosely than they say.
    pub fn admits(&self, key: &Key, fit: Fit) -> bool {
        let Self { name, hard, soft } = &key.fields;
        match fit {
            Fit::Soft => (name, hard, soft) == (&self.name, &self.hard, &self.soft),
            Fit::Hard => (name, hard) == (&self.name, &self.hard),
            Fit::Name => name == &self.name,
        }
    }
}

/// The full name of one stored pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub fields: KeyFields,
    /// The state of the base pack that this one builds on; a base names itself.
    pub lineage: String,
    pub state: String,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fields: KeyFields { name, hard, soft }, lineage, state } = self;
        write!(f, "rekindle.{FORMAT}.{name}.{hard}.{soft}.{lineage}.{state}")
    }
}

impl Key {
    /// Reads a stored key; `None` for a name of another format or another maker.
    pub fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split('.').collect();
        let ["rekindle", format, name, hard, soft, lineage, state] = fields.as_slice() else {
            return None;
        };
        if *format != FORMAT.to_string() || ![name, hard, soft, lineage, state].iter().all(|field| is_field(field)) {
            return None;
        }
        let own = |field: &str| field.to_owned();
        Some(Self {
            fields: KeyFields { name: own(name), hard: own(hard), soft: own(soft) },
            lineage: own(lineage),
            state: own(state),
        })
    }
}

/// Whether a text can stand between the dots of a key.
pub fn is_field(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> KeyParts {
        KeyParts {
            name: NameParts { workflow: "CI".into(), job: "test".into(), ..NameParts::default() },
            hard: HardParts { workspaces: vec![WorkspaceParts::default()], ..HardParts::default() },
            soft: SoftParts::default(),
        }
    }

    #[test]
    fn a_key_survives_being_written_and_read() {
        let key = Key { fields: parts().fields(), lineage: "0a".into(), state: "1b".into() };
        assert_eq!(Key::parse(&key.to_string()), Some(key.clone()));
        assert!(key.to_string().starts_with("rekindle.3.ci-test-"));
        assert!(key.fields.admits(&key, Fit::Soft));
    }

    #[test]
    fn names_of_other_makers_and_formats_are_not_keys() {
        for text in
            ["v0-rust-ci", "rekindle.1.a.b.c.d.e", "rekindle.3.a.b.c.d", "rekindle.3.a.b.c..e", "rekindle.3.A.b.c.d.e"]
        {
            assert_eq!(Key::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_matrix_as_json_gives_a_readable_short_slug() {
        let name = NameParts { key: r#"{"os":"ubuntu-24.04","rust":"1.95"}"#.into(), ..parts().name };
        assert_eq!(name.slug(), "ci-test-os-ubuntu-24-04-rust-1-95");
        let long = NameParts { key: "word-".repeat(200), ..parts().name };
        assert!(long.slug().len() <= MAX_SLUG);
    }

    #[test]
    fn a_difference_is_named_with_old_and_new_value() {
        let mut new = parts();
        new.hard.workspaces[0].rustc = "rustc 1.95\nhost: x".into();
        new.soft.packages.insert("syn 2.0.1".into(), "registry abc".into());
        let mut old = parts();
        old.hard.workspaces[0].rustc = "rustc 1.94\nhost: x".into();
        let words: Vec<String> = new.diff(&old).iter().map(ToString::to_string).collect();
        assert_eq!(words, ["toolchain: rustc 1.94 → rustc 1.95", "locked package `syn 2.0.1`: (none) → registry abc"]);
        assert_ne!(new.fields().hard, old.fields().hard);
    }

    #[test]
    fn an_interpreter_is_named_by_its_version_or_by_the_fact_that_differs() {
        let with = |interpreters: &[(&str, &str)]| {
            let interpreters =
                interpreters.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
            KeyParts { soft: SoftParts { interpreters, ..SoftParts::default() }, ..parts() }
        };
        let words = |old: &KeyParts, new: &KeyParts| new.diff(old).iter().map(ToString::to_string).collect::<Vec<_>>();
        let old = with(&[("/py", "CPython 3.12.1\nLIBDIR: /a\nshared: true")]);
        let patched = with(&[("/py", "CPython 3.12.2\nLIBDIR: /b\nshared: true")]);
        assert_eq!(words(&old, &patched), ["interpreter `/py`: CPython 3.12.1 → CPython 3.12.2"]);
        assert_ne!(old.fields().soft, patched.fields().soft);
        assert_eq!(old.fields().hard, patched.fields().hard);
        let moved = with(&[("/py", "CPython 3.12.1\nLIBDIR: /b\nshared: true")]);
        assert_eq!(words(&old, &moved), ["interpreter `/py`: LIBDIR: /a → LIBDIR: /b"]);
        let elsewhere = with(&[("/new", "CPython 3.12.2")]);
        assert_eq!(words(&old, &elsewhere), ["interpreter: `/py`, CPython 3.12.1 → `/new`, CPython 3.12.2"]);
        assert_eq!(words(&old, &parts()), ["interpreter `/py`: CPython 3.12.1 → (none)"]);
        assert_eq!(words(&parts(), &old), ["interpreter `/py`: (none) → CPython 3.12.1"]);
    }

    #[test]
    fn parts_without_interpreters_are_written_and_read_as_they_always_were() {
        let text = serde_json::to_string(&parts()).unwrap();
        assert!(!text.contains("interpreters"));
        assert_eq!(serde_json::from_str::<KeyParts>(&text).unwrap(), parts());
    }
}
