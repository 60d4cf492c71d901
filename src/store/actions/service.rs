//! Which cache service a job can reach, and what it may do there: a pure function of the environment.
//!
//! Only steps written in JavaScript (and containers) are told where the service is. A job that is not told gets no cache, and
//! the reason.

use std::collections::BTreeMap;

use super::token::{Claims, RuntimeToken};
use crate::store::{Access, Permit};

/// What speaks to us, and how.
#[derive(Clone, Debug)]
pub struct Service {
    pub(super) api: Api,
    pub(super) base: String,
    pub(super) token: RuntimeToken,
    pub access: Access,
    /// Refs whose entries are seen, the own one first.
    pub scopes: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Api {
    V2,
    V1,
}

/// Why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absence {
    /// Somebody wants it so.
    Wished(String),
    Fault(String),
}

impl Service {
    pub fn choose(env: &BTreeMap<String, String>, now: i64) -> Result<Self, Absence> {
        let get = |name: &str| env.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
        let wish = get("REKINDLE_CACHE_API").map(str::to_ascii_lowercase);
        if wish.as_deref() == Some("off") {
            return Err(Absence::Wished("`REKINDLE_CACHE_API` is `off`".to_owned()));
        }
        let Some(token) = get("ACTIONS_RUNTIME_TOKEN").map(RuntimeToken::new) else {
            let text = "this step is not told where the cache is; only `uses:` steps are";
            return Err(Absence::Fault(text.to_owned()));
        };
        let mode = get("ACTIONS_CACHE_MODE");
        if mode == Some("none") {
            return Err(Absence::Wished("the workflow says `cache-mode: none`".to_owned()));
        }
        let (results, legacy) = (get("ACTIONS_RESULTS_URL"), get("ACTIONS_CACHE_URL"));
        let flagged = get("ACTIONS_CACHE_SERVICE_V2").is_some();
        let server = host(get("GITHUB_SERVER_URL").unwrap_or("https://github.com"));
        let of_github = |host: &str| host.ends_with(".githubusercontent.com") || host.ends_with(".ghe.com");
        let cloud = server == "github.com" || server.ends_with(".ghe.com") || server.ends_with(".localhost");
        let v1 = || legacy.or(results).map(|base| (Api::V1, base));
        let v2 = || results.map(|base| (Api::V2, base));
        let found = match wish.as_deref() {
            Some("v1") => v1(),
            Some("v2") => v2(),
            _ if !cloud => legacy.map(|base| (Api::V1, base)),
            _ if flagged && results.is_some() => v2(),
            _ if results.is_some_and(|url| of_github(&host(url))) => v2(),
            _ => legacy.map(|base| (Api::V1, base)),
        };
        let Some((api, base)) = found else {
            return Err(Absence::Fault("this runner offers no cache service".to_owned()));
        };
        let claims = token.claims();
        if claims.expires.is_some_and(|expires| expires <= now) {
            return Err(Absence::Fault("the token for the cache service has expired".to_owned()));
        }
        let access = access(mode, &claims);
        let scopes = claims.scopes.into_iter().flatten().map(|scope| scope.scope).collect();
        Ok(Self { api, base: base.to_owned(), token, access, scopes })
    }
}

/// Mode and token both have to agree; whoever says nothing agrees.
fn access(mode: Option<&str>, claims: &Claims) -> Access {
    let permit = |modes: [&str; 2], may: fn(&super::token::Scope) -> bool, word: &str| {
        let known = ["none", "read", "write", "write-only"];
        if let Some(mode) = mode.filter(|mode| known.contains(mode) && !modes.contains(mode)) {
            return Permit::Refused(format!("the workflow says `cache-mode: {mode}`"));
        }
        match &claims.scopes {
            Some(scopes) if !scopes.is_empty() && !scopes.iter().any(may) => {
                Permit::Refused(format!("this event's token may not {word} the cache"))
            }
            _ => Permit::Granted,
        }
    };
    Access {
        read: permit(["read", "write"], super::token::Scope::reads, "read"),
        write: permit(["write", "write-only"], super::token::Scope::writes, "write to"),
    }
}

fn host(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    authority.split(':').next().unwrap_or_default().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(pairs: &[(&str, &str)]) -> Result<(Api, String), String> {
        let mut env: BTreeMap<String, String> =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        env.entry("ACTIONS_RUNTIME_TOKEN".to_owned()).or_insert_with(|| "opaque".to_owned());
        match Service::choose(&env, 0) {
            Ok(service) => Ok((service.api, service.base)),
            Err(Absence::Wished(text) | Absence::Fault(text)) => Err(text),
        }
    }

    #[test]
    fn each_kind_of_runner_gets_the_service_it_has() {
        let results = ("ACTIONS_RESULTS_URL", "https://results-receiver.actions.githubusercontent.com/");
        let legacy = ("ACTIONS_CACHE_URL", "http://192.168.0.2:4000/");
        let flag = ("ACTIONS_CACHE_SERVICE_V2", "True");
        let server = ("GITHUB_SERVER_URL", "https://git.example.com");
        let v2 = Ok((Api::V2, results.1.to_owned()));
        let v1 = Ok((Api::V1, legacy.1.to_owned()));
        assert_eq!(choose(&[results, flag, legacy]), v2);
        assert_eq!(choose(&[results]), v2, "a container is not told the flag");
        assert_eq!(choose(&[("ACTIONS_RESULTS_URL", "http://127.0.0.1:3000/"), legacy]), v1, "act");
        assert_eq!(choose(&[results, flag, legacy, server]), v1, "an enterprise server");
        assert_eq!(choose(&[results, flag, legacy, ("REKINDLE_CACHE_API", "v1")]), v1);
        assert!(choose(&[results, flag, server]).is_err());
        assert!(choose(&[results, flag, ("ACTIONS_CACHE_MODE", "none")]).unwrap_err().contains("cache-mode: none"));
        assert!(choose(&[results, flag, ("REKINDLE_CACHE_API", "off")]).is_err());
        assert!(choose(&[results, flag, ("ACTIONS_RUNTIME_TOKEN", " ")]).unwrap_err().contains("not told"));
    }

    #[test]
    fn mode_and_token_decide_together_what_is_allowed() {
        let claims = |ac: &str| Claims { expires: None, scopes: serde_json::from_str(ac).ok() };
        let own = r#"[{"Scope":"refs/pull/1/merge","Permission":3},{"Scope":"refs/heads/main","Permission":1}]"#;
        let allowed = |mode: Option<&str>, ac: &str| {
            let Access { read, write } = access(mode, &claims(ac));
            (read == Permit::Granted, write == Permit::Granted)
        };
        assert_eq!(allowed(None, own), (true, true));
        assert_eq!(allowed(None, r#"[{"Scope":"refs/heads/main","Permission":1}]"#), (true, false));
        assert_eq!(allowed(None, "?"), (true, true));
        assert_eq!(allowed(Some("read"), own), (true, false));
        assert_eq!(allowed(Some("write-only"), own), (false, true));
        assert_eq!(allowed(Some("tomorrow"), own), (true, true));
    }
}
