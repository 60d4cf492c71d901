//! Names for bytes: a sha256 with field separators, and the content id of one input. Pure.
//!
//! A digest over several fields frames each of them, so that `("ab", "c")` and `("a", "bc")` never meet. Content ids of files
//! are git blob ids whichever way they were obtained (git's index or the bytes), so that one path compared across two runs
//! never differs because of *how* it was looked at.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A sha256, written as 64 lower-case hex digits.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(String);

impl Digest {
    pub fn of(bytes: &[u8]) -> Self {
        Self(hex::encode(Sha256::digest(bytes)))
    }

    /// The digest of a value's canonical JSON; struct fields keep their order and maps in this crate are sorted.
    pub fn of_value<T: Serialize>(value: &T) -> Self {
        // Serialising plain structs of strings, numbers and sorted maps into memory has no failing case.
        Self::of(&serde_json::to_vec(value).unwrap_or_default())
    }

    /// From a hash that was computed piece by piece.
    pub fn from_sha256(hash: &[u8]) -> Self {
        Self(hex::encode(hash))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The 32 bytes that the digits stand for.
    pub fn bytes(&self) -> Vec<u8> {
        // Only a digest that was read from elsewhere can hold anything but digits; it stands for nothing.
        hex::decode(&self.0).unwrap_or_default()
    }

    /// The first 16 digits: what a key field shows.
    pub fn short(&self) -> &str {
        self.0.get(..16).unwrap_or(&self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.short())
    }
}

/// A sha256 over a sequence of framed fields.
#[derive(Debug, Default)]
pub struct FieldHasher(Sha256);

impl FieldHasher {
    pub fn field(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let bytes = bytes.as_ref();
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    pub fn finish(self) -> Digest {
        Digest(hex::encode(self.0.finalize()))
    }
}

/// What an input *is*, apart from its times: `sha1:<blob id>`, `dir:<digest>`, `link:<text>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContentId(String);

impl ContentId {
    /// The id of a file whose git blob id is known.
    pub fn of_blob(algorithm: BlobAlgorithm, oid: &str) -> Self {
        match algorithm {
            BlobAlgorithm::Sha1 => Self(format!("sha1:{oid}")),
            BlobAlgorithm::Sha256 => Self(format!("sha256:{oid}")),
        }
    }

    /// How the bytes of a file with this id are named; nothing if it is not a file's.
    pub fn algorithm(&self) -> Option<BlobAlgorithm> {
        match self.0.split_once(':')?.0 {
            "sha1" => Some(BlobAlgorithm::Sha1),
            "sha256" => Some(BlobAlgorithm::Sha256),
            _ => None,
        }
    }

    /// The id of a symlink: where it points, as written.
    pub fn of_link(text: &str) -> Self {
        Self(format!("link:{text}"))
    }

    /// The id of something that is more than its bytes: a file inside `.git`, by what it says.
    pub fn of_meaning(text: &str) -> Self {
        Self(format!("means:{}", Digest::of(text.as_bytes()).short()))
    }

    /// The id of a folder: the names of its children.
    pub fn of_children<'a>(sorted_names: impl Iterator<Item = &'a str>) -> Self {
        let mut hasher = FieldHasher::default();
        for name in sorted_names {
            hasher.field(name);
        }
        Self(format!("dir:{}", hasher.finish().short()))
    }

    pub fn is_meaning(&self) -> bool {
        self.0.starts_with("means:")
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The object format of a repository, and so of its blob ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BlobAlgorithm {
    #[default]
    Sha1,
    Sha256,
}

/// Computes the blob id of bytes as git would store them unfiltered; the length has to be known before the bytes.
#[derive(Debug)]
pub struct BlobHasher(Inner);

#[derive(Debug)]
enum Inner {
    Sha1(sha1::Sha1),
    Sha256(Sha256),
}

impl BlobHasher {
    pub fn new(algorithm: BlobAlgorithm, len: u64) -> Self {
        let header = format!("blob {len}\0");
        Self(match algorithm {
            BlobAlgorithm::Sha1 => Inner::Sha1(sha1::Sha1::new_with_prefix(header)),
            BlobAlgorithm::Sha256 => Inner::Sha256(Sha256::new_with_prefix(header)),
        })
    }

    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Inner::Sha1(hasher) => hasher.update(bytes),
            Inner::Sha256(hasher) => hasher.update(bytes),
        }
    }

    pub fn finish(self) -> ContentId {
        match self.0 {
            Inner::Sha1(hasher) => ContentId::of_blob(BlobAlgorithm::Sha1, &hex::encode(hasher.finalize())),
            Inner::Sha256(hasher) => ContentId::of_blob(BlobAlgorithm::Sha256, &hex::encode(hasher.finalize())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_framed() {
        let digest = |fields: &[&str]| {
            let mut hasher = FieldHasher::default();
            for field in fields {
                hasher.field(field);
            }
            hasher.finish()
        };
        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
        assert_ne!(digest(&["ab"]), digest(&["ab", ""]));
    }

    #[test]
    fn a_blob_id_is_what_git_says() {
        // `printf 'hello\n' | git hash-object --stdin`
        let mut hasher = BlobHasher::new(BlobAlgorithm::Sha1, 6);
        hasher.update(b"hello\n");
        assert_eq!(hasher.finish().as_str(), "sha1:ce013625030ba8dba906f756967f9e9ca394464a");
    }
}
