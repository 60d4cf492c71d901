//! A signed url: an opaque secret with an end.
//!
//! The query is kept byte for byte; parameters are only ever added behind it.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use reqwest::Url;

use super::fault::Fault;

#[derive(Clone, PartialEq, Eq)]
pub(super) struct SignedUrl(String);

impl fmt::Debug for SignedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignedUrl(***)")
    }
}

impl SignedUrl {
    /// Takes `https`; anything else only on this machine, or from a service that itself is reached without.
    pub(super) fn new(text: &str, plain_service: bool) -> Result<Self, Fault> {
        let bad = |why: &str| Fault::Refused(format!("it names {why} as the place of the bytes"));
        let url = Url::parse(text).map_err(|_| bad("no url"))?;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let local = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        match url.scheme() {
            "https" => Ok(Self(text.to_owned())),
            "http" if local || plain_service => Ok(Self(text.to_owned())),
            _ => Err(bad("an unprotected url")),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// With parameters, `a=b&c=d`, behind the ones it has.
    pub(super) fn with(&self, parameters: &str) -> String {
        let joint = if self.0.contains('?') { '&' } else { '?' };
        format!("{}{joint}{parameters}", self.0)
    }

    /// How long it is still good, if it says so.
    pub(super) fn good_for(&self) -> Option<Duration> {
        let end: jiff::Timestamp = self.parameter("se")?.parse().ok()?;
        Some(end.duration_since(jiff::Timestamp::now()).try_into().unwrap_or(Duration::ZERO))
    }

    /// What nobody else may see of it, as it stands and as it reads.
    pub(super) fn secrets(&self) -> Vec<String> {
        let raw = self.0.split(['?', '&']).find_map(|pair| pair.strip_prefix("sig=")).map(str::to_owned);
        let mut secrets: Vec<String> = raw.into_iter().chain(self.parameter("sig")).collect();
        secrets.retain(|secret| secret.len() >= 8);
        secrets.dedup();
        secrets
    }

    fn parameter(&self, name: &str) -> Option<String> {
        let url = Url::parse(&self.0).ok()?;
        url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://store.test/c/1?sv=2020&se=2030-01-01T00%3A00%3A00Z&sig=a%2Bb%2Fcdefgh%3D";

    #[test]
    fn the_query_stays_as_it_is_and_the_secret_is_known_in_both_forms() {
        let url = SignedUrl::new(URL, false).unwrap();
        assert_eq!(url.with("comp=block"), format!("{URL}&comp=block"));
        assert_eq!(url.secrets(), ["a%2Bb%2Fcdefgh%3D", "a+b/cdefgh="]);
        assert!(url.good_for().unwrap() > Duration::from_secs(3600));
        assert!(!format!("{url:?}").contains("sig"));
    }

    #[test]
    fn bytes_come_over_a_protected_line() {
        assert!(SignedUrl::new("http://evil.test/x", false).is_err());
        assert!(SignedUrl::new("ftp://evil.test/x", true).is_err());
        assert!(SignedUrl::new("no url", true).is_err());
        for local in ["http://127.0.0.1:1/x", "http://localhost/x", "http://[::1]:4/x"] {
            assert!(SignedUrl::new(local, false).is_ok(), "{local}");
        }
        assert!(SignedUrl::new("http://192.168.1.2/x", true).is_ok());
    }
}
