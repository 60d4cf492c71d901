//! Signed entries: who may name a state.
//!
//! What is signed is the digest of the pack's index, which names every byte of the state and the packs that it refers to, and
//! where the entry stands: repository, scope, name, key and number. So an entry holds nowhere else, and an old one never counts as
//! newer than one that came after it. How it can be wrong: a machine that remembers nothing cannot know that what it finds is the
//! newest there was; a whole head put back to what it once said is an old state, and Cargo compiles what differs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use std::fmt;

use super::head::HeadEntry;
use crate::digest::FieldHasher;

/// What a job signs with. Its `Debug` shows nothing.
pub(super) struct Signer(Ed25519KeyPair);

/// Keys of which one has to have signed an entry; several while they change.
#[derive(Clone, Debug)]
pub(super) struct Keys(Vec<Vec<u8>>);

/// A new pair, as texts: what signs, and what is told to everybody.
#[derive(Debug)]
pub struct NewKeys {
    pub secret: String,
    pub public: String,
}

const WRONG_SECRET: &str = "`REKINDLE_SIGNING_SECRET` is no key that `rekindle store keys` prints";
const WRONG_PUBLIC: &str = "`REKINDLE_SIGNING_KEYS` holds something that is no public key of `rekindle store keys`";

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(***)")
    }
}

impl NewKeys {
    /// `None` where the system gives no random numbers.
    pub fn make() -> Option<Self> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).ok()?;
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).ok()?;
        Some(Self { secret: STANDARD.encode(document.as_ref()), public: STANDARD.encode(pair.public_key().as_ref()) })
    }
}

impl Signer {
    pub(super) fn read(text: &str) -> Result<Self, &'static str> {
        let document = STANDARD.decode(text.trim()).map_err(|_| WRONG_SECRET)?;
        Ed25519KeyPair::from_pkcs8(&document).map(Self).map_err(|_| WRONG_SECRET)
    }

    pub(super) fn sign(&self, place: Standing<'_>, entry: &HeadEntry) -> String {
        STANDARD.encode(self.0.sign(&place.message(entry)))
    }
}

/// Where an entry stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing<'a> {
    pub(super) repository: &'a str,
    pub(super) scope: &'a str,
    pub(super) name: &'a str,
}

impl Standing<'_> {
    fn message(&self, entry: &HeadEntry) -> [u8; 32] {
        let Self { repository, scope, name } = self;
        let mut hasher = FieldHasher::default();
        hasher.field("rekindle entry 1").field(repository).field(scope).field(name);
        hasher.field(&entry.key).field(entry.sha256.bytes()).field(entry.sequence.to_le_bytes());
        *hasher.finish().bytes()
    }
}

impl Keys {
    /// Public keys with spaces, commas or lines between them; `None` if there are none.
    pub(super) fn read(text: &str) -> Result<Option<Self>, &'static str> {
        let words = text.split([',', ' ', '\n', '\r', '\t']).filter(|word| !word.is_empty());
        let keys = words.map(|word| STANDARD.decode(word).ok().filter(|key| key.len() == 32).ok_or(WRONG_PUBLIC));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        Ok((!keys.is_empty()).then_some(Self(keys)))
    }

    pub(super) fn accept(&self, place: Standing<'_>, entry: &HeadEntry) -> bool {
        let signature = entry.signature.as_ref().and_then(|text| STANDARD.decode(text).ok());
        let message = place.message(entry);
        signature.is_some_and(|signature| {
            self.0.iter().any(|key| UnparsedPublicKey::new(&ED25519, key).verify(&message, &signature).is_ok())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    const PLACE: Standing<'static> = Standing { repository: "7", scope: "refs/heads/main", name: "ci" };

    fn signed(signer: &Signer) -> HeadEntry {
        let key = "rekindle.3.ci.h.s.l.x".to_owned();
        let (sha256, needs) = (Digest::of(b"x"), Vec::new());
        let entry = HeadEntry { key, sha256, bytes: 1, stored: 0, used: None, sequence: 3, needs, signature: None };
        HeadEntry { signature: Some(signer.sign(PLACE, &entry)), ..entry }
    }

    #[test]
    fn a_signature_holds_for_one_entry_in_one_place() {
        let pair = NewKeys::make().unwrap();
        let (signer, keys) = (Signer::read(&pair.secret).unwrap(), Keys::read(&pair.public).unwrap().unwrap());
        let entry = signed(&signer);
        assert!(keys.accept(PLACE, &entry));
        for place in [
            Standing { repository: "8", ..PLACE },
            Standing { scope: "refs/heads/next", ..PLACE },
            Standing { name: "home", ..PLACE },
        ] {
            assert!(!keys.accept(place, &entry), "{place:?}");
        }
        let other = |change: &dyn Fn(&mut HeadEntry)| {
            let mut entry = entry.clone();
            change(&mut entry);
            assert!(!keys.accept(PLACE, &entry), "{entry:?}");
        };
        other(&|entry| entry.sequence = 4);
        other(&|entry| entry.sha256 = Digest::of(b"y"));
        other(&|entry| entry.key.push('y'));
        other(&|entry| entry.signature = None);
        other(&|entry| entry.signature = Some("AAAA".to_owned()));
    }

    #[test]
    fn keys_take_turns() {
        let (old, new) = (NewKeys::make().unwrap(), NewKeys::make().unwrap());
        let entry = signed(&Signer::read(&old.secret).unwrap());
        let both = format!("{},\n {}", new.public, old.public);
        assert!(Keys::read(&both).unwrap().unwrap().accept(PLACE, &entry));
        assert!(!Keys::read(&new.public).unwrap().unwrap().accept(PLACE, &entry));
        assert!(Keys::read(" ").unwrap().is_none() && Keys::read("AAAA").is_err());
        assert!(
            Signer::read(&old.public).is_err() && !format!("{:?}", Signer::read(&old.secret)).contains(&old.secret)
        );
    }
}
