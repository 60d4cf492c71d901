//! Bearer tokens: issued here, and only those are taken.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

const READ: u8 = 1;
const WRITE: u8 = 2;

#[derive(Clone)]
pub(super) struct Token {
    scopes: Vec<(String, u8)>,
    expires: Timestamp,
}

impl Token {
    /// In the order in which lookups go through them.
    pub(super) fn readable(&self) -> Vec<String> {
        self.with(READ)
    }

    /// The one scope that new entries get.
    pub(super) fn writable(&self) -> Option<String> {
        self.with(WRITE).into_iter().next()
    }

    fn with(&self, bit: u8) -> Vec<String> {
        self.scopes.iter().filter(|(_, permission)| permission & bit != 0).map(|(scope, _)| scope.clone()).collect()
    }
}

#[derive(Default)]
pub(super) struct Tokens(HashMap<String, Token>);

impl Tokens {
    /// A JWT that looks like the runner's; nobody checks its signature, the clients have no key for it.
    pub(super) fn issue(&mut self, scopes: &[(&str, u8)], lifetime: SignedDuration) -> String {
        let now = Timestamp::now();
        let expires = now.saturating_add(lifetime).expect("a duration without calendar units");
        let access: Vec<_> =
            scopes.iter().map(|(scope, permission)| json!({ "Scope": scope, "Permission": permission })).collect();
        let payload = json!({
            // A string that holds JSON: this is how it comes.
            "ac": json!(access).to_string(),
            "exp": expires.as_second(),
            "nbf": now.as_second() - 600,
            "scp": "Actions.Results:00000000-0000-0000-0000-000000000001:00000000-0000-0000-0000-000000000002",
        });
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let header = json!({ "alg": "RS256", "typ": "JWT" }).to_string();
        let text = format!("{}.{}.{}", part(&header), part(&payload.to_string()), part(&self.0.len().to_string()));
        let scopes = scopes.iter().map(|(scope, permission)| ((*scope).to_owned(), *permission)).collect();
        self.0.insert(text.clone(), Token { scopes, expires });
        text
    }

    /// The token of an `Authorization` header, if it is one of ours and has not run out.
    pub(super) fn admit(&self, authorization: Option<&str>) -> Option<Token> {
        let token = self.0.get(authorization?.strip_prefix("Bearer ")?)?;
        (token.expires > Timestamp::now()).then(|| token.clone())
    }
}
