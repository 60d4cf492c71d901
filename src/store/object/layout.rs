//! What objects are called.
//!
//! `<prefix>/v1/<repository>/<zone>/h/<scope>/<name>` is a head, small and mutable. `<zone>/p/<sha256>` is a pack, named by the
//! digest of its index, which names every byte of it; nobody changes one. A pack carries its manifest, so a manifest has no object
//! of its own.

use std::fmt::Write as _;

use super::scope::Zone;
use crate::digest::Digest;

/// Everything before the zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    base: String,
}

/// The longest part of a scope that is spelled out.
const SPELLED: usize = 100;

impl Layout {
    pub(super) fn new(prefix: &str, repository: &str) -> Self {
        let slash = if prefix.is_empty() { "" } else { "/" };
        Self { base: format!("{prefix}{slash}v1/{}", spelled(repository)) }
    }

    pub(super) fn head(&self, zone: Zone, scope: &str, name: &str) -> String {
        format!("{}/h/{}/{}", self.zone(zone), spelled(scope), spelled(name))
    }

    pub(super) fn pack(&self, zone: Zone, sha256: &Digest) -> String {
        format!("{}/p/{sha256}", self.zone(zone))
    }

    /// Where heads and packs of a zone lie.
    pub(super) fn heads(&self, zone: Zone) -> String {
        format!("{}/h", self.zone(zone))
    }

    pub(super) fn packs(&self, zone: Zone) -> String {
        format!("{}/p", self.zone(zone))
    }

    /// Everything of a zone lies below this.
    pub(super) fn zone(&self, zone: Zone) -> String {
        format!("{}/{}", self.base, zone.letter())
    }
}

/// The field of a key, or of a prefix of keys, that tells the head: `None` where it is not all there.
pub(super) fn name_in(key: &str) -> Option<&str> {
    let mut fields = key.splitn(4, '.');
    let (maker, _format, name) = (fields.next()?, fields.next()?, fields.next()?);
    // Without what comes behind it, it may be the beginning of one.
    (maker == "rekindle" && !name.is_empty() && fields.next().is_some()).then_some(name)
}

/// The field that says what the bytes are bound to.
pub(super) fn hard_in(key: &str) -> &str {
    key.split('.').nth(3).unwrap_or_default()
}

/// The ref that a part of a name stands for; one that was too long stays as it is, since nobody can tell.
pub(super) fn scope_of(spelled: &str) -> String {
    if spelled.contains("===") {
        return spelled.to_owned();
    }
    let mut bytes = Vec::new();
    let mut rest = spelled.as_bytes();
    while let [first, others @ ..] = rest {
        rest = others;
        match (first, others) {
            (b'=', [high, low, behind @ ..]) => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                let (Some(high), Some(low)) = (digit(high), digit(low)) else { return spelled.to_owned() };
                bytes.push(high << 4 | low);
                rest = behind;
            }
            _ => bytes.push(*first),
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| spelled.to_owned())
}

/// A text as one part of a name. Different texts stay different, and those without unusual characters stay as they are.
fn spelled(text: &str) -> String {
    let mut spelled = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => spelled.push(char::from(byte)),
            // Two of them alone would be a way up.
            b'.' if !spelled.is_empty() => spelled.push('.'),
            // Writing into a text has no failing case.
            other => drop(write!(spelled, "={other:02X}")),
        }
    }
    if spelled.len() <= SPELLED {
        return spelled;
    }
    format!("{}==={}", &spelled[..SPELLED], Digest::of(text.as_bytes()).short())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_readable_and_stay_inside_the_prefix() {
        let layout = Layout::new("ci", "1234");
        let head = layout.head(Zone::Protected, "refs/heads/main", "ci-test-0123456789abcdef");
        assert_eq!(head, "ci/v1/1234/t/h/refs=2Fheads=2Fmain/ci-test-0123456789abcdef");
        assert_eq!(Layout::new("", "..").head(Zone::Open, "..", "a"), "v1/=2E./u/h/=2E./a");
        let pack = layout.pack(Zone::Open, &Digest::of(b""));
        assert!(pack.starts_with("ci/v1/1234/u/p/e3b0c44298fc1c14"), "{pack}");
    }

    #[test]
    fn the_name_is_read_from_keys_and_whole_prefixes() {
        assert_eq!(name_in("rekindle.3.ci-test-01."), Some("ci-test-01"));
        assert_eq!(name_in("rekindle.3.ci-test-01.h.s.l.x"), Some("ci-test-01"));
        assert_eq!(hard_in("rekindle.3.ci-test-01.h.s.l.x"), "h");
        for text in ["rekindle.", "rekindle.3.ci-te", "other.2.a.b", "rekindle.3..b"] {
            assert_eq!(name_in(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_two_scopes_share_a_name(a in "(refs/)?[a-z/.=A-F0-9]{0,120}", b in "(refs/)?[a-z/.=A-F0-9]{0,120}") {
            prop_assert_eq!(a == b, spelled(&a) == spelled(&b));
            prop_assert!(!spelled(&a).contains('/') && !spelled(&a).starts_with('.'));
            let told = scope_of(&spelled(&a));
            prop_assert!(told == a || told == spelled(&a) && told.len() > SPELLED, "{}", told);
        }
    }
}
