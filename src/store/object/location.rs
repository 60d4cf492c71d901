//! Which bucket somebody means, as in `s3://bucket/prefix`. Pure.
//!
//! A location holds no secret: credentials come from the environment, and a text that could hold some is refused unseen.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A part of a bucket of an object store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Location {
    pub kind: Kind,
    pub bucket: String,
    /// Without slashes around it; may be empty.
    pub prefix: String,
}

/// Whose protocol it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    S3,
    Gcs,
    Azure,
}

impl Kind {
    pub fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gcs => "gs",
            Self::Azure => "az",
        }
    }
}

impl Location {
    /// `None` for what is no such location, or more than one.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let kind = [Kind::S3, Kind::Gcs, Kind::Azure].into_iter().find(|kind| kind.scheme() == scheme)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        let prefix = prefix.trim_matches('/');
        let segments_fit = prefix.is_empty()
            || prefix.split('/').all(|part| !part.is_empty() && part != "." && part != ".." && is_plain(part));
        let fits = bucket.len() >= 3 && is_plain(bucket) && segments_fit;
        fits.then(|| Self { kind, bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, bucket, prefix } = self;
        write!(f, "{}://{bucket}", kind.scheme())?;
        if prefix.is_empty() { Ok(()) } else { write!(f, "/{prefix}") }
    }
}

impl From<Location> for String {
    fn from(location: Location) -> Self {
        location.to_string()
    }
}

impl TryFrom<String> for Location {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| "it is no location of an object store".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_has_a_scheme_a_bucket_and_perhaps_a_prefix() {
        for text in ["s3://bucket", "gs://my.bucket/ci", "az://container/a/b_c"] {
            assert_eq!(Location::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Location::parse("s3://bucket//ci/").unwrap().to_string(), "s3://bucket/ci");
        let wrong = ["s3:/bucket", "s3://", "s3://b", "ftp://bucket", "s3://key:secret@bucket", "s3://bucket/a//b"];
        for text in [&wrong[..], &["s3://bucket/../a", "s3://bucket?x=y", "s3://bucket/a b"]].concat() {
            assert_eq!(Location::parse(text), None, "{text}");
        }
    }
}
