//! `.github/rekindle.yml`: the rules that a repository switches off, and why.
//!
//! What it says is read as values, and whatever is not meant as it is written is an error; where an entry stands is asked of the
//! parser that keeps positions.

use std::fmt;
use std::marker::PhantomData;
use std::path::Path;
use std::str::FromStr;

use anyhow::Result;
use fs_err as fs;
use glob::Pattern;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

use super::yaml;
use crate::doctor::rule::Rule;
use crate::problem::WrongInput;

pub(super) const FILE: &str = ".github/rekindle.yml";
const HINT: &str = "each entry of `doctor: ignore:` has a `rule`, a `reason` and, where it is about some files only, `paths`; \
                    docs/doctor.md lists the rules";

/// One entry of the list.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) line: usize,
    pub(super) rule: Rule,
    /// Nothing for all files.
    pub(super) paths: Option<Vec<Pattern>>,
    pub(super) reason: String,
}

/// The entries of a repository; none without the file.
pub(super) fn read(root: &Path) -> Result<Vec<Entry>> {
    let misspelt = ".github/rekindle.yaml";
    if root.join(misspelt).exists() {
        let hint = format!("call it `{FILE}`");
        return Err(WrongInput::new(format!("nobody reads `{misspelt}`"), hint).into());
    }
    let path = root.join(FILE);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text =
        String::from_utf8(fs::read(path)?).map_err(|_| WrongInput::new(format!("`{FILE}` is not UTF-8"), HINT))?;
    Ok(parse(&text).map_err(|error| WrongInput::new(format!("`{FILE}`: {}", placed(&error)), HINT))?)
}

/// An error with its place; about the first letter of a file the library says none.
fn placed(error: &serde_yaml::Error) -> String {
    let text = error.to_string();
    match error.location() {
        Some(place) if !text.contains(" at line ") => {
            format!("{text} at line {} column {}", place.line(), place.column())
        }
        _ => text,
    }
}

fn parse(text: &str) -> Result<Vec<Entry>, serde_yaml::Error> {
    let document: Option<Document> = serde_yaml::from_str(text)?;
    let listed = document.and_then(|document| document.doctor).and_then(|doctor| doctor.ignore).unwrap_or_default();
    let places = yaml::parse(text).unwrap_or_default();
    let places = places.path(&["doctor", "ignore"]).items();
    let entry = |(index, raw): (usize, Raw)| {
        let Raw { rule, paths, reason } = raw;
        let paths = paths.map(|paths| paths.into_iter().map(|path| path.0).collect());
        Entry { line: places.get(index).map_or(1, |place| place.line), rule: rule.0, paths, reason: reason.0.0 }
    };
    Ok(listed.into_iter().enumerate().map(entry).collect())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
struct Document {
    doctor: Option<Doctor>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
struct Doctor {
    ignore: Option<Vec<Raw>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
struct Raw {
    rule: Scalar<Rule>,
    paths: Option<Vec<Scalar<Pattern>>>,
    reason: Scalar<Reason>,
}

struct Reason(String);

impl FromStr for Reason {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text.contains(char::is_alphanumeric) { Ok(Self(text.to_owned())) } else { Err("the reason is empty") }
    }
}

/// A text that means something. It is understood while it is read, so that an error names the place of this very text.
struct Scalar<T>(T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Scalar<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text<T>(PhantomData<T>);

        impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Text<T> {
            type Value = Scalar<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                text.parse().map(Scalar).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        placed(&parse(text).unwrap_err())
    }

    #[test]
    fn entries_have_a_line() {
        let text = "doctor:\n  ignore:\n    - rule: no-lockfile\n      reason: x\n\n    - reason: y\n      rule: second-cache\n      \
                    paths: ['a/**', b]\n";
        let entries = parse(text).unwrap();
        assert_eq!(
            entries.iter().map(|entry| (entry.line, entry.rule)).collect::<Vec<_>>(),
            [(3, Rule::NoLockfile), (6, Rule::SecondCache)]
        );
        assert_eq!((entries[0].paths.is_none(), entries[1].paths.as_ref().unwrap().len()), (true, 2));
        for empty in ["", "# nothing\n", "doctor:\n", "doctor:\n  ignore:\n", "doctor: {ignore: []}\n"] {
            assert!(parse(empty).unwrap().is_empty(), "{empty}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_line_and_column() {
        let entry = |rest: &str| said(&format!("doctor:\n  ignore:\n    - {rest}\n"));
        assert_eq!(
            entry("{rule: no-lock, reason: x}"),
            "doctor.ignore[0].rule: there is no rule `no-lock` at line 3 column 14"
        );
        assert_eq!(entry("{rule: no-lockfile}"), "doctor.ignore[0]: missing field `reason` at line 3 column 7");
        assert_eq!(
            entry("{rule: no-lockfile, reason: ' '}"),
            "doctor.ignore[0].reason: the reason is empty at line 3 column 35"
        );
        assert!(entry("{rule: no-lockfile, path: a, reason: x}").contains("unknown field `path`"));
        assert!(entry("{rule: no-lockfile, path: a, reason: x}").ends_with("at line 3 column 27"));
        assert!(entry("{rule: no-lockfile, paths: ['a**'], reason: x}").contains("at line 3 column 35"));
        assert_eq!(said("doctr: {}\n"), "unknown field `doctr`, expected `doctor` at line 1 column 1");
        assert!(said("doctor:\n  ignore: [\n").contains("at line 3 column 1"));
    }
}
