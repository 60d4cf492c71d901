//! The `python` input: which interpreters the user wants in the key, as far as that can be said without looking anywhere.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::interpreter::InterpreterFacts;
use crate::problem::WrongInput;

/// What the input asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PythonWish {
    /// The one that a build would find, where the project is one of Python and Rust.
    #[default]
    Auto,
    Off,
    These(Vec<Wanted>),
}

/// One interpreter, as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wanted {
    /// An interpreter, or the folder of a virtual environment.
    Path(PathBuf),
    /// A program on PATH.
    Command(String),
    Version(Version),
}

/// `3.12`, `3.12.1`, `3.14t`, `pypy3.10`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    pub implementation: String,
    /// As many as were given.
    pub numbers: Vec<u32>,
    pub free_threaded: bool,
}

impl PythonWish {
    /// Reads the input; paths are relative to `current`.
    pub fn parse(text: Option<&str>, current: &Path) -> Result<Self, WrongInput> {
        let words: Vec<&str> =
            text.unwrap_or_default().split(['\n', ',']).map(str::trim).filter(|word| !word.is_empty()).collect();
        match words.as_slice() {
            [] | ["auto"] => Ok(Self::Auto),
            // YAML reads a bare `off` as `false`.
            ["off" | "false"] => Ok(Self::Off),
            words => {
                if let Some(word) = words.iter().find(|word| ["auto", "off", "false"].contains(word)) {
                    let what = format!("`python` holds `{word}` and something else");
                    return Err(WrongInput::new(what, "write `auto`, `off`, or a list of versions and paths"));
                }
                Ok(Self::These(words.iter().map(|word| Wanted::parse(word, current)).collect()))
            }
        }
    }
}

impl Wanted {
    fn parse(word: &str, current: &Path) -> Self {
        if let Some(version) = Version::parse(word) {
            return Self::Version(version);
        }
        if word.contains(['/', '\\']) || word.starts_with('.') {
            return Self::Path(current.join(word));
        }
        Self::Command(word.to_owned())
    }
}

impl Version {
    fn parse(word: &str) -> Option<Self> {
        let (implementation, rest) = match word.strip_prefix("pypy") {
            Some(rest) => ("pypy", rest.trim_start_matches('-')),
            None => ("cpython", word.strip_prefix("cpython-").unwrap_or(word)),
        };
        let rest = rest.strip_suffix("-dev").unwrap_or(rest);
        let (rest, free_threaded) = match rest.strip_suffix('t') {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let rest = rest.strip_suffix(".x").unwrap_or(rest);
        let numbers: Vec<u32> = rest.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
        (numbers.len() <= 3).then(|| Self { implementation: implementation.to_owned(), numbers, free_threaded })
    }

    /// Whether an interpreter is of this version.
    pub fn is(&self, facts: &InterpreterFacts) -> bool {
        let Self { implementation, numbers, free_threaded } = self;
        *implementation == facts.implementation
            && facts.numbers().starts_with(numbers)
            && *free_threaded == facts.free_threaded
    }

    /// Whether numbers that somebody wrote down begin like this one's.
    pub fn begins(&self, numbers: [u32; 3]) -> bool {
        numbers.starts_with(&self.numbers)
    }

    /// What such an interpreter is called on PATH, the most exact name first.
    pub fn commands(&self) -> Vec<String> {
        let base = if self.implementation == "cpython" { "python" } else { self.implementation.as_str() };
        let suffix = if self.free_threaded { "t" } else { "" };
        let mut names = Vec::new();
        if let [major, minor, ..] = self.numbers.as_slice() {
            names.push(format!("{base}{major}.{minor}{suffix}"));
            names.push(format!("{base}{major}.{minor}"));
        }
        names.extend(self.numbers.first().map(|major| format!("{base}{major}")));
        names.push(base.to_owned());
        names.dedup();
        names
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let implementation = if self.implementation == "cpython" { "" } else { self.implementation.as_str() };
        let numbers = self.numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(".");
        write!(f, "{implementation}{numbers}{}", if self.free_threaded { "t" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> PythonWish {
        PythonWish::parse(Some(text), Path::new("/w")).unwrap()
    }

    #[test]
    fn words_versions_paths_and_commands_are_told_apart() {
        assert_eq!(PythonWish::parse(None, Path::new("/w")).unwrap(), PythonWish::Auto);
        assert_eq!(
            (parse(" auto\n"), parse("off"), parse("false")),
            (PythonWish::Auto, PythonWish::Off, PythonWish::Off)
        );
        let version = |implementation: &str, numbers: &[u32], free_threaded| {
            Wanted::Version(Version { implementation: implementation.into(), numbers: numbers.into(), free_threaded })
        };
        let wanted = vec![
            version("cpython", &[3, 12], false),
            version("cpython", &[3, 14], true),
            version("pypy", &[3, 10], false),
            version("cpython", &[3, 13, 1], false),
            version("cpython", &[3], false),
            version("cpython", &[3, 15], false),
            Wanted::Path("/w/.venv".into()),
            Wanted::Path("/opt/py/bin/python".into()),
            Wanted::Command("python3.12".into()),
        ];
        let text = "3.12, 3.14t\npypy3.10\n3.13.1\n3.x\n3.15-dev\n.venv\n/opt/py/bin/python\npython3.12";
        assert_eq!(parse(text), PythonWish::These(wanted));
    }

    #[test]
    fn a_word_beside_a_list_is_refused() {
        let wrong = PythonWish::parse(Some("3.12\nauto"), Path::new("/w")).unwrap_err();
        assert_eq!(wrong.what, "`python` holds `auto` and something else");
    }

    #[test]
    fn a_version_knows_its_interpreters_and_their_names() {
        let Some(version) = Version::parse("3.14t") else { panic!("a version") };
        assert_eq!(version.commands(), ["python3.14t", "python3.14", "python3", "python"]);
        let facts = InterpreterFacts {
            implementation: "cpython".into(),
            version: "3.14.0".into(),
            free_threaded: true,
            ..InterpreterFacts::default()
        };
        assert!(version.is(&facts));
        assert!(!version.is(&InterpreterFacts { free_threaded: false, ..facts.clone() }));
        assert!(!version.is(&InterpreterFacts { implementation: "pypy".into(), ..facts }));
        let Some(version) = Version::parse("3.1") else { panic!("a version") };
        assert!(version.begins([3, 1, 5]) && !version.begins([3, 10, 0]));
    }
}
