//! What can go wrong with the cache service, and what each answer means.
//!
//! Statuses and codes decide first, texts last. A fault never holds a url or a token.

use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum Fault {
    #[error("{0}")]
    Denied(String),
    #[error("too many requests in this repository")]
    RateLimited { after: Option<Duration> },
    #[error("the repository's cache storage is used up")]
    UsedUp,
    #[error("the token for the cache service was not accepted")]
    Unauthenticated,
    #[error("the cache service does not understand this request: {0}")]
    Invalid(String),
    #[error("the cache service knows of no such upload")]
    NotFound,
    #[error("an entry of this name exists")]
    Exists,
    #[error("the cache service refused: {0}")]
    Refused(String),
    /// May be better the next time.
    #[error("{0}")]
    Transient(String),
    #[error("no answer in time")]
    Silent,
    #[error("a signed url was not accepted")]
    Expired,
    #[error("the entry is gone")]
    Gone,
    #[error("the entry is not the one that was found")]
    Changed,
    #[error("the time for the cache was over")]
    OutOfTime,
    #[error("cannot read the pack to send: {0}")]
    Local(String),
}

/// An error as the RPC service writes it; other servers call the text `message`.
#[derive(Default, Deserialize)]
struct Problem {
    #[serde(default)]
    code: String,
    #[serde(default, alias = "message")]
    msg: String,
}

impl Fault {
    /// After this, nothing more is asked in this run.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::Denied(_)
            | Self::RateLimited { .. }
            | Self::UsedUp
            | Self::Unauthenticated
            | Self::Transient(_)
            | Self::Silent
            | Self::OutOfTime => true,
            Self::Invalid(_)
            | Self::NotFound
            | Self::Exists
            | Self::Refused(_)
            | Self::Expired
            | Self::Gone
            | Self::Changed
            | Self::Local(_) => false,
        }
    }

    pub(super) fn of_network(error: reqwest::Error) -> Self {
        if error.is_timeout() { Self::Silent } else { Self::Transient(crate::machine::net::reason(error)) }
    }

    /// An answer of the service that is not a success.
    pub(super) fn of_answer(status: u16, body: &[u8], after: Option<Duration>) -> Self {
        let parsed = serde_json::from_slice::<Problem>(body);
        let text = parsed.as_ref().map_or_else(|_| String::new(), |problem| problem.msg.clone());
        let code = parsed.as_ref().map_or("", |problem| problem.code.as_str());
        let said = if text.is_empty() { String::from_utf8_lossy(body).into_owned() } else { text.clone() };
        let lower = said.to_ascii_lowercase();
        match (status, code) {
            (429, _) | (_, "resource_exhausted") if !lower.contains("insufficient usage") => {
                Self::RateLimited { after }
            }
            _ if lower.contains("insufficient usage") => Self::UsedUp,
            (409, _) | (_, "already_exists") => Self::Exists,
            (401, _) | (_, "unauthenticated") => Self::Unauthenticated,
            (403, _) | (_, "permission_denied") => Self::Denied(denial(&text, status)),
            (404, _) | (_, "not_found") => Self::NotFound,
            (300..=399, _) => Self::Denied(format!("the cache service sends the call elsewhere ({status})")),
            (500..=599, _) => Self::Transient(format!("the cache service answered {status}")),
            _ if parsed.is_err() => Self::Transient(format!("the cache service answered {status}, and not in JSON")),
            _ => Self::Invalid(brief(&text, status)),
        }
    }

    /// Of a call that names no upload.
    pub(super) fn without_upload(self) -> Self {
        if self == Self::NotFound { Self::Invalid("it answered 404".to_owned()) } else { self }
    }

    /// An answer of the place where the bytes are.
    pub(super) fn of_blob(status: u16) -> Self {
        match status {
            401 | 403 => Self::Expired,
            404 => Self::Gone,
            412 | 416 => Self::Changed,
            300..=399 => Self::Refused(format!("the cache storage sends the request elsewhere ({status})")),
            408 | 429 | 500..=599 => Self::Transient(format!("the cache storage answered {status}")),
            _ => Self::Refused(format!("the cache storage answered {status}")),
        }
    }

    /// `ok: false`, with or without a reason.
    pub(super) fn of_refusal(message: &str) -> Self {
        let lower = message.to_ascii_lowercase();
        if lower.contains("denied") {
            Self::Denied(denial(message, 200))
        } else if lower.contains("insufficient usage") {
            Self::UsedUp
        } else {
            Self::Refused(brief(message, 200))
        }
    }
}

fn denial(text: &str, status: u16) -> String {
    if text.is_empty() { format!("the cache service answered {status}: not allowed") } else { brief(text, status) }
}

/// Somebody else's words, short and on one line, and without anything that could be a url.
fn brief(text: &str, status: u16) -> String {
    let words = text.split_whitespace().map(|word| if word.contains("://") { "(url)" } else { word });
    let line = words.collect::<Vec<_>>().join(" ");
    if line.is_empty() { format!("status {status}") } else { line.chars().take(200).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_of_the_table_has_its_meaning() {
        let of = |status, body: &str| Fault::of_answer(status, body.as_bytes(), None);
        let exists =
            r#"{"code":"already_exists","msg":"cache entry with the same key, version, and scope already exists"}"#;
        assert_eq!(of(409, exists), Fault::Exists);
        assert!(matches!(of(403, r#"{"msg":"cache read denied: no"}"#), Fault::Denied(text) if text.contains("read")));
        assert_eq!(of(429, "slow down"), Fault::RateLimited { after: None });
        assert_eq!(of(403, r#"{"message":"Insufficient usage left"}"#), Fault::UsedUp);
        assert_eq!(of(401, ""), Fault::Unauthenticated);
        assert!(matches!(of(400, r#"{"code":"invalid_argument","msg":"bad key"}"#), Fault::Invalid(_)));
        assert_eq!(of(404, r#"{"code":"not_found"}"#), Fault::NotFound);
        assert!(matches!(of(308, ""), Fault::Denied(text) if text.contains("elsewhere (308)")));
        assert!(matches!(of(502, "<html>"), Fault::Transient(_)));
        assert!(matches!(of(418, "<html>"), Fault::Transient(_)));
        assert!(matches!(Fault::of_refusal("cache write denied: token has no writable scopes"), Fault::Denied(_)));
        assert_eq!(Fault::of_blob(403), Fault::Expired);
        assert_eq!(Fault::of_blob(404), Fault::Gone);
    }

    #[test]
    fn words_of_others_are_cut_and_hold_no_url() {
        let fault = Fault::of_refusal(&format!("see https://x.test/?sig=abc {}", "y".repeat(900)));
        let text = fault.to_string();
        assert!(!text.contains("sig=abc") && text.len() < 300);
    }
}
