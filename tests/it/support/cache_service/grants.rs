//! Signed urls: what each one permits, until when, and how often it was read through.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

use super::exchange::{Call, percent_encode};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Permission {
    Read,
    /// Create and write.
    Write,
}

impl Permission {
    pub(super) fn letters(self) -> &'static str {
        match self {
            Self::Read => "r",
            Self::Write => "cw",
        }
    }
}

struct Grant {
    id: u64,
    permission: Permission,
    expires: Timestamp,
    query: String,
    gets: usize,
}

/// Why a url is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Unsigned,
    WrongPermission,
    Expired,
}

#[derive(Default)]
pub(super) struct Grants(Vec<Grant>);

impl Grants {
    /// A query string that nobody else could have made.
    pub(super) fn sign(&mut self, id: u64, permission: Permission, lifetime: SignedDuration) -> String {
        let expires = Timestamp::now().saturating_add(lifetime).expect("a duration without calendar units");
        let shown = expires.strftime("%Y-%m-%dT%H:%M:%SZ");
        let query = format!(
            "sv=2025-11-05&se={}&sr=b&sp={}&sig={}",
            percent_encode(&shown.to_string()),
            permission.letters(),
            percent_encode(&signature(self.0.len())),
        );
        self.0.push(Grant { id, permission, expires, query: query.clone(), gets: 0 });
        query
    }

    /// Whether the request's own query has every signed part, byte for byte and once.
    pub(super) fn check(&self, call: &Call, wanted: Permission, gets_per_url: usize) -> Result<(), Refusal> {
        let grant = self.0.iter().find(|grant| grant.covers(call)).ok_or(Refusal::Unsigned)?;
        if grant.permission != wanted {
            return Err(Refusal::WrongPermission);
        }
        if grant.expires <= Timestamp::now() || grant.gets >= gets_per_url {
            return Err(Refusal::Expired);
        }
        Ok(())
    }

    pub(super) fn count_get(&mut self, call: &Call) {
        if let Some(grant) = self.0.iter_mut().find(|grant| grant.covers(call)) {
            grant.gets += 1;
        }
    }
}

impl Grant {
    fn covers(&self, call: &Call) -> bool {
        let name = |piece: &str| piece.split('=').next().unwrap_or_default().to_owned();
        let once = |piece: &str| call.query_pieces().filter(|theirs| name(theirs) == name(piece)).count() == 1;
        call.id() == Some(self.id)
            && self.query.split('&').all(|piece| call.query_pieces().any(|theirs| theirs == piece) && once(piece))
    }
}

/// Base64 that always has the three characters that have to be encoded in a query.
fn signature(number: usize) -> String {
    let mut texts = (0_u32..).map(|attempt| STANDARD.encode(Sha256::digest(format!("{number} {attempt}"))));
    texts.find(|text| text.contains('+') && text.contains('/')).expect("one of many")
}
