//! Which environment variables hold secrets, and whether bytes hold one of them.
//!
//! A secret is recognised by its variable's name. Values shorter than eight bytes are not searched for: they stand in every
//! binary.

use memchr::memmem::Finder;

use crate::manifest::EnvRecord;

const SHORTEST: usize = 8;
const MARKS: [&str; 8] =
    ["TOKEN", "PASSWORD", "PASSWD", "SECRET", "CREDENTIAL", "PRIVATE_KEY", "API_KEY", "ACCESS_KEY"];

/// Whether a variable of this name is taken to hold a secret.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    MARKS.iter().any(|mark| name.contains(mark))
}

/// Values to search for.
#[derive(Default)]
pub struct Secrets(Vec<Finder<'static>>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets(***, {} of them)", self.0.len())
    }
}

impl Secrets {
    pub fn new(variables: impl Iterator<Item = (String, String)>) -> Self {
        let values = variables.filter(|(name, value)| is_secret_name(name) && value.len() >= SHORTEST);
        Self(values.map(|(_, value)| Finder::new(value.as_bytes()).into_owned()).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn are_in(&self, bytes: &[u8]) -> bool {
        self.0.iter().any(|finder| finder.find(bytes).is_some())
    }

    /// What may be written down of a variable.
    pub fn record(&self, name: &str, value: Option<String>) -> EnvRecord {
        match value {
            None => EnvRecord::Unset,
            Some(value) if is_secret_name(name) || self.are_in(value.as_bytes()) => EnvRecord::Set,
            Some(value) => EnvRecord::Value(value),
        }
    }

    /// The longest value, less one: how much two parts of a file have to overlap when it is searched part by part.
    pub fn overlap(&self) -> usize {
        self.0.iter().map(|finder| finder.needle().len() - 1).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_and_never_shown() {
        let variables = [("MY_API_TOKEN", "s3cr3t-value"), ("HOME", "/home/user"), ("X_SECRET", "short")];
        let secrets = Secrets::new(variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())));
        assert!(secrets.are_in(b"..s3cr3t-value.."));
        assert!(!secrets.are_in(b"/home/user short"));
        assert!(!format!("{secrets:?}").contains("s3cr3t"));
        assert_eq!(secrets.overlap(), 11);
        let record = |name: &str, value: &str| secrets.record(name, Some(value.to_owned()));
        assert_eq!(record("URL", "https://s3cr3t-value@host"), EnvRecord::Set);
        assert_eq!(record("A_TOKEN", "x"), EnvRecord::Set);
        assert_eq!(record("URL", "https://host"), EnvRecord::Value("https://host".to_owned()));
    }
}
