//! Names for bytes: a sha256 with field separators, and the content id of one input. Pure.
//!
//! A digest over several fields frames each of them, so that `("ab", "c")` and `("a", "bc")` never meet. Content ids of files
//! are git blob ids whichever way they were obtained (git's index or the bytes), so that one path compared across two runs
//! never differs because of *how* it was looked at.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// A sha256, written as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

/// A text that is not what it has to be.
#[derive(Debug, Error)]
#[error("`{}` is not {what}", text.escape_debug())]
pub struct Misspelled {
    what: &'static str,
    text: String,
}

impl Digest {
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest of a value's canonical JSON; struct fields keep their order and maps in this crate are sorted.
    pub fn of_value<T: Serialize>(value: &T) -> Self {
        // Serialising plain structs of strings, numbers and sorted maps into memory has no failing case.
        Self::of(&serde_json::to_vec(value).unwrap_or_default())
    }

    /// From a hash that was computed piece by piece.
    pub fn finish(hasher: Sha256) -> Self {
        Self(hasher.finalize().into())
    }

    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 16 digits: what a key field shows.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..8])
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.short())
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for Digest {
    type Error = Misspelled;

    fn try_from(text: String) -> Result<Self, Misspelled> {
        digits(&text).map(Self).ok_or(Misspelled { what: "a sha256", text })
    }
}

/// Exactly as many bytes, as lower-case hex digits.
fn digits<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    (is_lower && hex::decode_to_slice(text, &mut bytes).is_ok()).then_some(bytes)
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
        Digest::finish(self.0)
    }
}

/// What an input *is*, apart from its times. Written `sha1:<blob id>`, `dir:<digits>`, `link:<text>`, `means:<digits>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContentId(Id);

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Id {
    Sha1([u8; 20]),
    Sha256([u8; 32]),
    /// Where a symlink points, as written.
    Link(String),
    /// The names of a folder's children.
    Folder([u8; 8]),
    /// What a file inside `.git` says.
    Meaning([u8; 8]),
}

impl ContentId {
    /// The id of a file whose git blob id is known.
    pub fn of_blob(algorithm: BlobAlgorithm, oid: &str) -> Option<Self> {
        let id = match algorithm {
            BlobAlgorithm::Sha1 => Id::Sha1(digits(oid)?),
            BlobAlgorithm::Sha256 => Id::Sha256(digits(oid)?),
        };
        Some(Self(id))
    }

    /// How the bytes of a file with this id are named; nothing if it is not a file's.
    pub fn algorithm(&self) -> Option<BlobAlgorithm> {
        match self.0 {
            Id::Sha1(_) => Some(BlobAlgorithm::Sha1),
            Id::Sha256(_) => Some(BlobAlgorithm::Sha256),
            Id::Link(_) | Id::Folder(_) | Id::Meaning(_) => None,
        }
    }

    pub fn of_link(text: &str) -> Self {
        Self(Id::Link(text.to_owned()))
    }

    /// The id of something that is more than its bytes: a file inside `.git`, by what it says.
    pub fn of_meaning(text: &str) -> Self {
        Self(Id::Meaning(half(&Digest::of(text.as_bytes()))))
    }

    /// The id of a folder: the names of its children.
    pub fn of_children<'a>(sorted_names: impl Iterator<Item = &'a str>) -> Self {
        let mut hasher = FieldHasher::default();
        for name in sorted_names {
            hasher.field(name);
        }
        Self(Id::Folder(half(&hasher.finish())))
    }

    pub fn is_meaning(&self) -> bool {
        matches!(self.0, Id::Meaning(_))
    }
}

fn half(digest: &Digest) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&digest.0[..8]);
    bytes
}

impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Id::Sha1(bytes) => write!(f, "sha1:{}", hex::encode(bytes)),
            Id::Sha256(bytes) => write!(f, "sha256:{}", hex::encode(bytes)),
            Id::Link(text) => write!(f, "link:{text}"),
            Id::Folder(bytes) => write!(f, "dir:{}", hex::encode(bytes)),
            Id::Meaning(bytes) => write!(f, "means:{}", hex::encode(bytes)),
        }
    }
}

impl From<ContentId> for String {
    fn from(id: ContentId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for ContentId {
    type Error = Misspelled;

    fn try_from(text: String) -> Result<Self, Misspelled> {
        let id = text.split_once(':').and_then(|(kind, rest)| {
            Some(match kind {
                "sha1" => Id::Sha1(digits(rest)?),
                "sha256" => Id::Sha256(digits(rest)?),
                "link" => Id::Link(rest.to_owned()),
                "dir" => Id::Folder(digits(rest)?),
                "means" => Id::Meaning(digits(rest)?),
                _ => return None,
            })
        });
        id.map(Self).ok_or(Misspelled { what: "a content id", text })
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
        ContentId(match self.0 {
            Inner::Sha1(hasher) => Id::Sha1(hasher.finalize().into()),
            Inner::Sha256(hasher) => Id::Sha256(hasher.finalize().into()),
        })
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
        assert_eq!(hasher.finish().to_string(), "sha1:ce013625030ba8dba906f756967f9e9ca394464a");
    }

    #[test]
    fn what_a_pack_says_of_a_digest_is_one_or_refused() {
        let digest = Digest::of(b"a");
        let text = serde_json::to_string(&digest).unwrap();
        assert_eq!(serde_json::from_str::<Digest>(&text).unwrap(), digest);
        for wrong in [text.to_uppercase(), text.replace('a', "x"), text.replacen('a', "", 1), "\"\"".to_owned()] {
            assert!(serde_json::from_str::<Digest>(&wrong).is_err(), "{wrong}");
        }
        let ids = [
            ContentId::of_link("a:b/../c"),
            ContentId::of_meaning("tree"),
            ContentId::of_children(["a", "b"].into_iter()),
            BlobHasher::new(BlobAlgorithm::Sha256, 0).finish(),
        ];
        for id in ids {
            let text = serde_json::to_string(&id).unwrap();
            assert_eq!(serde_json::from_str::<ContentId>(&text).unwrap(), id);
        }
        for wrong in ["sha1:12", "dir:../../x", "means:", "none:1", "link"] {
            assert!(serde_json::from_str::<ContentId>(&format!("\"{wrong}\"")).is_err(), "{wrong}");
        }
    }
}
