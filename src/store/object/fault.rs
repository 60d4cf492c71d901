//! What can go wrong with an object store, by what its client says. A fault holds neither an address nor somebody else's words.

use std::error::Error;

use object_store::Error as Answer;
use object_store::client::{HttpError, HttpErrorKind};
use thiserror::Error;

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum Fault {
    #[error("there is no such object or bucket")]
    Gone,
    /// Somebody else was faster.
    #[error("it was changed at the same time")]
    Conflict,
    #[error("the object store does not allow this ({0})")]
    Denied(&'static str),
    #[error("the object store knows no conditions")]
    Unconditional,
    #[error("the object store refused: {0}")]
    Refused(String),
    /// May be better the next time.
    #[error("{0}")]
    Transient(String),
    #[error("no answer in time")]
    Silent,
    #[error("the time for the cache was over")]
    OutOfTime,
    #[error("{0}")]
    Local(String),
}

/// How the client's error says which status there was; nothing else of it is believed or shown.
const STATUS: &str = "non-2xx status code: ";

impl Fault {
    /// After this, nothing more is asked in this run.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::Denied(_) | Self::Transient(_) | Self::Silent | Self::OutOfTime => true,
            Self::Gone | Self::Conflict | Self::Unconditional | Self::Refused(_) | Self::Local(_) => false,
        }
    }
}

impl From<Answer> for Fault {
    fn from(answer: Answer) -> Self {
        match &answer {
            Answer::NotFound { .. } => Self::Gone,
            Answer::AlreadyExists { .. } | Answer::Precondition { .. } | Answer::NotModified { .. } => Self::Conflict,
            Answer::PermissionDenied { .. } => Self::Denied("status 403"),
            Answer::Unauthenticated { .. } => Self::Denied("status 401"),
            Answer::NotImplemented { .. } | Answer::NotSupported { .. } => Self::Unconditional,
            other => Self::of_chain(other),
        }
    }
}

impl Fault {
    fn of_chain(answer: &Answer) -> Self {
        let mut source: Option<&(dyn Error + 'static)> = Some(answer);
        while let Some(error) = source {
            if let Some(error) = error.downcast_ref::<HttpError>() {
                return Self::of_http(error);
            }
            source = error.source();
        }
        match status(&answer.to_string()) {
            Some(501) => Self::Unconditional,
            Some(401 | 403) => Self::Denied("its credentials were not accepted"),
            Some(300..=399) => Self::Refused("it sends the request elsewhere; is the region right?".to_owned()),
            Some(status @ (408 | 429 | 500..=599)) => Self::Transient(format!("the object store answered {status}")),
            Some(status) => Self::Refused(format!("status {status}")),
            None => Self::Refused("its answer is not understood, or there are no credentials for it".to_owned()),
        }
    }

    fn of_http(error: &HttpError) -> Self {
        match error.kind() {
            HttpErrorKind::Timeout => Self::Silent,
            HttpErrorKind::Connect => Self::Transient(format!("no connection ({})", root(error))),
            HttpErrorKind::Decode | HttpErrorKind::Interrupted => Self::Transient("the answer broke off".to_owned()),
            _ => Self::Transient(format!("no answer ({})", root(error))),
        }
    }
}

/// The first cause, which is the operating system's or the line's and names no address.
fn root(error: &HttpError) -> String {
    let mut root: &dyn Error = error;
    while let Some(source) = root.source() {
        root = source;
    }
    let text = root.to_string();
    if text.contains("://") { "of a request".to_owned() } else { text.chars().take(120).collect() }
}

fn status(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once(STATUS)?;
    rest.get(..3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Fault {
        Fault::from(Answer::Generic { store: "S3", source: text.to_owned().into() })
    }

    #[test]
    fn a_status_has_a_meaning_and_the_words_around_it_have_none() {
        let said = |status: &str| {
            of(&format!("Error performing GET http://h/b?sig=abc - Server returned {STATUS}{status}: <Key>"))
        };
        assert_eq!(said("503 Slow Down"), Fault::Transient("the object store answered 503".to_owned()));
        assert_eq!(said("501 Not Implemented"), Fault::Unconditional);
        assert!(matches!(said("301 Moved"), Fault::Refused(_)));
        assert!(matches!(of("sig=abc"), Fault::Refused(text) if !text.contains("sig=abc")));
    }
}
