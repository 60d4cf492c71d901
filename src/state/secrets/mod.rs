//! What is a secret, and whether bytes hold one: the one place through which values of variables go before they are written.
//!
//! A secret is the value of a variable whose name says so, in this program's own environment or in what a build wrote down of
//! its environment (a step of a workflow can have variables of its own), and whatever stands in another value as a password.
//! Words and values of fewer than eight bytes are not searched for, because they stand in every binary; where the name stands
//! beside it, such a value is still not written down.

mod forms;
mod names;

use std::collections::BTreeMap;

use aho_corasick::{AhoCorasick, MatchKind};

pub use names::is_secret_name;

use crate::digest::Digest;
use crate::state::manifest::EnvRecord;

const SHORTEST: usize = 8;
/// Digits of the digest that stands for a text with a secret in it: enough to tell two texts apart, and too few to find a
/// guessed secret by.
const TELLING: usize = 4;
const STARS: &str = "***";

/// Values to search for.
#[derive(Default)]
pub struct Secrets {
    finder: Option<AhoCorasick>,
    longest: usize,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets(***, {} forms)", self.finder.as_ref().map_or(0, AhoCorasick::patterns_len))
    }
}

impl Secrets {
    pub fn new(variables: impl Iterator<Item = (String, String)>) -> Self {
        let mut values = Vec::new();
        for (name, value) in variables {
            let inside = names::inside(&value);
            values.extend(inside.iter().flat_map(|secret| names::parts(secret)).map(str::to_owned));
            values.extend(inside);
            if is_secret_name(&name) {
                values.extend(names::parts(&value).map(str::to_owned));
                values.push(value);
            }
        }
        let values = values.iter().map(|value| value.trim()).filter(|value| names::is_strong(value));
        let mut forms: Vec<Vec<u8>> = values.flat_map(forms::of).collect();
        forms.sort();
        forms.dedup();
        let longest = forms.iter().map(Vec::len).max().unwrap_or(0);
        // One that cannot be made is for more forms than a machine has memory for.
        let finder = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&forms).ok();
        Self { finder: finder.filter(|_| !forms.is_empty()), longest }
    }

    /// Those of this program's own environment.
    pub fn of_environment() -> Self {
        Self::new(crate::machine::environment::variables().into_iter())
    }

    pub fn is_empty(&self) -> bool {
        self.finder.is_none()
    }

    pub fn are_in(&self, bytes: &[u8]) -> bool {
        self.finder.as_ref().is_some_and(|finder| finder.is_match(bytes))
    }

    /// What may be written down of a variable.
    pub fn record(&self, name: &str, value: Option<String>) -> EnvRecord {
        match value {
            None => EnvRecord::Unset,
            Some(value) if self.hides(name, &value) => EnvRecord::Set,
            Some(value) => EnvRecord::Value(value),
        }
    }

    /// What may be written down of all variables of this program's own environment.
    pub fn records(&self) -> BTreeMap<String, EnvRecord> {
        let variables = crate::machine::environment::variables().into_iter();
        variables.map(|(name, value)| (name.clone(), self.record(&name, Some(value)))).collect()
    }

    /// Something that tells the value of each variable of this program's own environment from another one, where that may be
    /// written down at all. It is no way back to the value.
    pub fn marks(&self) -> BTreeMap<String, String> {
        let variables = crate::machine::environment::variables().into_iter();
        let shown = variables.filter(|(name, value)| !self.hides(name, value));
        shown.map(|(name, value)| (name, Self::mark(&value))).collect()
    }

    pub fn mark(value: &str) -> String {
        Digest::of(value.as_bytes()).short()[..TELLING].to_owned()
    }

    /// Whether a variable's value may not be written down.
    pub fn hides(&self, name: &str, value: &str) -> bool {
        is_secret_name(name) || !names::inside(value).is_empty() || self.are_in(value.as_bytes())
    }

    /// A text with stars for every secret in it, and something that tells it from others of the kind: for flags, which are
    /// compared. The digest is of the whole text and so short that many guesses fit; where two texts have the same, Cargo still
    /// tells their units apart.
    pub fn flag(&self, text: &str) -> String {
        let shown = self.redact(text);
        if shown == text {
            return shown;
        }
        let digest = Digest::of(text.as_bytes());
        format!("{shown} (#{})", &digest.short()[..TELLING])
    }

    /// A text for people with stars for everything that is known to be a secret.
    pub fn mask(&self, text: &str) -> String {
        match &self.finder {
            Some(finder) if finder.is_match(text) => finder.replace_all(text, &vec![STARS; finder.patterns_len()]),
            _ => text.to_owned(),
        }
    }

    /// The same, and for everything that looks like one.
    pub fn redact(&self, text: &str) -> String {
        let mut shown = text.to_owned();
        let mut inside = names::inside(text);
        // The longest first: a password is a part of what stands with its user.
        inside.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        for secret in inside {
            if secret.len() >= SHORTEST || secret.ends_with('@') {
                shown = shown.replace(&secret, STARS);
            } else {
                // One letter is a secret only where it stands as a value.
                for before in ["=", "=\"", "='"] {
                    shown = shown.replace(&format!("{before}{secret}"), &format!("{before}{STARS}"));
                }
            }
        }
        self.mask(&shown)
    }

    /// The longest form, less one: how much two parts of a file have to overlap when it is searched part by part.
    pub fn overlap(&self) -> usize {
        self.longest.saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        let variables =
            [("MY_API_TOKEN", "s3cr3t-value"), ("HOME", "/home/user"), ("X_SECRET", "short"), ("Y_SECRET", "postgres")];
        Secrets::new(variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())))
    }

    #[test]
    fn values_are_found_and_never_shown() {
        let secrets = secrets();
        assert!(secrets.are_in(b"..s3cr3t-value.."));
        assert!(!secrets.are_in(b"/home/user short postgres"));
        assert!(!format!("{secrets:?}").contains("s3cr3t"));
        let record = |name: &str, value: &str| secrets.record(name, Some(value.to_owned()));
        assert_eq!(record("URL", "https://s3cr3t-value@host"), EnvRecord::Set);
        assert_eq!(record("URL", "https://user:pw@host"), EnvRecord::Set);
        assert_eq!(record("A_TOKEN", "x"), EnvRecord::Set);
        assert_eq!(record("URL", "https://host"), EnvRecord::Value("https://host".to_owned()));
    }

    #[test]
    fn nothing_is_a_secret_where_there_is_none() {
        let none = Secrets::new(std::iter::empty());
        assert!(none.is_empty() && !none.are_in(b"anything") && none.overlap() == 0);
        assert_eq!(none.flag("-C debuginfo=1"), "-C debuginfo=1");
    }

    #[test]
    fn flags_with_other_secrets_differ_and_show_none() {
        let secrets = secrets();
        let one = secrets.flag("--cfg key=\"s3cr3t-value\" -C opt-level=1");
        assert!(one.starts_with("--cfg key=\"***\" -C opt-level=1 (#") && one.len() < 50, "{one}");
        let two = secrets.flag("--cfg api_token=\"a\" -Lhttps://user:b@host/");
        assert!(two.starts_with("--cfg api_token=\"***\" -Lhttps://***host/ (#"), "{two}");
        assert_ne!(secrets.flag("--cfg api_token=\"1234\""), secrets.flag("--cfg api_token=\"1235\""));
    }
}
