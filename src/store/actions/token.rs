//! The runtime token: sent, read for what it permits, and never shown.
//!
//! Its claims are read without verification: it is our own bearer token. What cannot be read counts as unknown.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

const READ: u64 = 1;
const WRITE: u64 = 2;

#[derive(Clone)]
pub(super) struct RuntimeToken(String);

impl fmt::Debug for RuntimeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RuntimeToken(***)")
    }
}

/// What a token says of itself, as far as it says anything.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Claims {
    pub expires: Option<i64>,
    pub scopes: Option<Vec<Scope>>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Scope {
    #[serde(default)]
    pub scope: String,
    #[serde(default)]
    pub permission: u64,
}

impl Scope {
    /// Whoever may write may read; not every server sets both.
    pub(super) fn reads(&self) -> bool {
        self.permission & (READ | WRITE) != 0
    }

    pub(super) fn writes(&self) -> bool {
        self.permission & WRITE != 0
    }
}

#[derive(Deserialize)]
struct Payload {
    exp: Option<f64>,
    ac: Option<String>,
}

impl RuntimeToken {
    pub(super) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The value of the `Authorization` header.
    pub(super) fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }

    pub(super) fn claims(&self) -> Claims {
        let payload = self.0.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok());
        let Some(payload) = payload.and_then(|bytes| serde_json::from_slice::<Payload>(&bytes).ok()) else {
            return Claims::default();
        };
        #[allow(clippy::cast_possible_truncation, reason = "a date")]
        let expires = payload.exp.map(|seconds| seconds as i64);
        Claims { expires, scopes: payload.ac.and_then(|text| serde_json::from_str(&text).ok()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(payload: &str) -> RuntimeToken {
        RuntimeToken::new(&format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(payload)))
    }

    #[test]
    fn scopes_are_a_list_inside_a_string() {
        let token = token(r#"{"exp":1800000000,"ac":"[{\"Scope\":\"refs/heads/main\",\"Permission\":1}]"}"#);
        let claims = token.claims();
        assert_eq!(claims.expires, Some(1_800_000_000));
        let scopes = claims.scopes.unwrap();
        assert!(scopes[0].reads() && !scopes[0].writes());
    }

    #[test]
    fn what_cannot_be_read_is_unknown_and_nothing_is_shown() {
        for text in ["", "a.b", "x.####.y", "opaque-token"] {
            assert_eq!(RuntimeToken::new(text).claims(), Claims::default());
        }
        assert_eq!(token(r#"{"ac":"nonsense"}"#).claims(), Claims::default());
        assert!(!format!("{:?}", RuntimeToken::new("abc")).contains("abc"));
    }
}
