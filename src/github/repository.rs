//! What GitHub's REST interface says of a repository: the entries of its cache, its open pull requests and its branches.
//!
//! A list is whole or an error: a part of one would make what it lacks look gone. Refusals and rate limits are answers that pass on
//! why; nothing is asked again in vain, and nobody is asked more often than once a second to remove something.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use octocrab::Octocrab;
use octocrab::models::actions::{ActionsCacheItem, ActionsCacheList, ActionsCacheStorageLimit, RepoActionsCacheUsage};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::token::GithubToken;
use crate::machine::net::{self, Engine, Net};

const PAGE: usize = 100;
/// The service asks for a pause between two requests that change something.
const BETWEEN: Duration = Duration::from_secs(1);
/// No answer takes longer.
const ANSWER: Duration = Duration::from_secs(30);
/// A wait that is asked for and longer than this is not waited for.
const WORTH_WAITING: Duration = Duration::from_secs(30);
const TRIES: u32 = 3;

/// Why there is no answer.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    #[error("GitHub answered {status} (is `{needs}` granted?)")]
    NotAllowed { status: u16, needs: &'static str },
    #[error("GitHub's rate limit is reached")]
    Limited,
    #[error("GitHub answered {0}")]
    Odd(u16),
    #[error("GitHub could not be asked")]
    Unanswered,
    #[error("the time for it is over")]
    OutOfTime,
}

/// A repository, and somebody who may ask about it.
#[derive(Debug)]
pub struct Repository {
    engine: Engine,
    net: Net,
    client: Octocrab,
    base: String,
    last_removal: Mutex<Option<std::time::Instant>>,
}

#[derive(Deserialize)]
struct PullRequest {
    number: u64,
}

#[derive(Deserialize)]
struct Numbered {
    id: u64,
}

#[derive(Deserialize)]
struct Branch {
    name: String,
}

enum Answer {
    Whole(String),
    /// There is nothing by that name.
    Missing,
}

impl Repository {
    /// The one that this job belongs to; everything that is asked has to be over in `budget`.
    pub fn open(env: &BTreeMap<String, String>, token: &GithubToken, budget: Duration) -> Result<Self> {
        let (owner, name) =
            env.get("GITHUB_REPOSITORY").and_then(|text| text.split_once('/')).context("no repository is named")?;
        let api = env.get("GITHUB_API_URL").map_or("https://api.github.com", String::as_str).to_owned();
        net::choose_tls();
        let (engine, net) = (Engine::start()?, Net::new(budget)?);
        let builder = Octocrab::builder().base_uri(api)?.personal_token(token.reveal());
        let client = engine.wait(async { builder.build() })?;
        Ok(Self { engine, net, client, base: format!("/repos/{owner}/{name}"), last_removal: Mutex::default() })
    }

    /// Entries of the cache whose keys begin like this, the oldest first: that order does not change while it is read.
    pub fn cache_entries(&self, prefix: &str) -> Result<Vec<ActionsCacheItem>, Refusal> {
        let query = format!("actions/caches?key={prefix}&sort=created_at&direction=asc&");
        self.pages(&query, "actions: read", |list: ActionsCacheList| list.actions_caches)
    }

    /// Removes one entry; one that is gone already is removed.
    pub fn remove_cache_entry(&self, id: &str) -> Result<(), Refusal> {
        self.pause();
        let route = format!("{}/actions/caches/{id}", self.base);
        self.ask(&route, "actions: write", true).map(drop)
    }

    /// Bytes of the whole cache, everybody's entries included; some minutes old.
    pub fn cache_usage(&self) -> Result<u64, Refusal> {
        let usage: Option<RepoActionsCacheUsage> = self.get("actions/cache/usage", "actions: read")?;
        let usage = usage.ok_or(Refusal::Odd(404))?;
        Ok(u64::try_from(usage.active_caches_size_in_bytes).unwrap_or_default())
    }

    /// What the cache may hold, in gigabytes.
    pub fn cache_limit(&self) -> Result<u32, Refusal> {
        let limit: Option<ActionsCacheStorageLimit> = self.get("actions/cache/storage-limit", "actions: read")?;
        limit.map(|limit| limit.max_cache_size_gb).ok_or(Refusal::Odd(404))
    }

    /// The number that GitHub gives it.
    pub fn number(&self) -> Result<u64, Refusal> {
        match self.ask(&self.base, "contents: read", false)? {
            Answer::Whole(text) => {
                serde_json::from_str(&text).map(|Numbered { id }| id).map_err(|_| Refusal::Unanswered)
            }
            Answer::Missing => Err(Refusal::Odd(404)),
        }
    }

    pub fn open_pull_requests(&self) -> Result<BTreeSet<u64>, Refusal> {
        let query = "pulls?state=open&sort=created&direction=asc&";
        let open = self.pages(query, "pull-requests: read", |list: Vec<PullRequest>| list)?;
        Ok(open.into_iter().map(|pull_request| pull_request.number).collect())
    }

    /// A repository has one at least: none is an answer to another question.
    pub fn branches(&self) -> Result<BTreeSet<String>, Refusal> {
        let branches = self.pages("branches?", "contents: read", |list: Vec<Branch>| list)?;
        if branches.is_empty() {
            Err(Refusal::Odd(404))
        } else {
            Ok(branches.into_iter().map(|branch| branch.name).collect())
        }
    }

    /// Page after page, until one is short.
    fn pages<P: DeserializeOwned, T>(
        &self,
        query: &str,
        needs: &'static str,
        items: impl Fn(P) -> Vec<T>,
    ) -> Result<Vec<T>, Refusal> {
        let mut all = Vec::new();
        for page in 1.. {
            let more: Option<P> = self.get(&format!("{query}per_page={PAGE}&page={page}"), needs)?;
            let more = items(more.ok_or(Refusal::NotAllowed { status: 404, needs })?);
            let is_last = more.len() < PAGE;
            all.extend(more);
            if is_last {
                break;
            }
        }
        Ok(all)
    }

    fn get<T: DeserializeOwned>(&self, route: &str, needs: &'static str) -> Result<Option<T>, Refusal> {
        match self.ask(&format!("{}/{route}", self.base), needs, false)? {
            Answer::Whole(text) => serde_json::from_str(&text).map(Some).map_err(|_| Refusal::Unanswered),
            Answer::Missing => Ok(None),
        }
    }

    /// One request, again where that can help.
    fn ask(&self, route: &str, needs: &'static str, removes: bool) -> Result<Answer, Refusal> {
        let mut tries = 1;
        loop {
            let left = self.net.left();
            if left.is_zero() {
                return Err(Refusal::OutOfTime);
            }
            let limit = left.min(self.net.patience.of(ANSWER));
            let (status, wait, text) = self
                .engine
                .wait(async { tokio::time::timeout(limit, self.send(route, removes)).await.unwrap_or_default() });
            let is_limit =
                status == 429 || status == 403 && (wait.is_some() || text.to_lowercase().contains("rate limit"));
            let fault = match status {
                200..300 => return Ok(Answer::Whole(text)),
                404 => return Ok(Answer::Missing),
                401 => return Err(Refusal::NotAllowed { status, needs }),
                _ if is_limit => Refusal::Limited,
                403 => return Err(Refusal::NotAllowed { status, needs }),
                0 => Refusal::Unanswered,
                500.. => Refusal::Odd(status),
                _ => return Err(Refusal::Odd(status)),
            };
            let asked_for = if is_limit { wait } else { Some(BETWEEN) };
            let wait = asked_for.filter(|wait| *wait <= WORTH_WAITING).map(|wait| self.net.patience.of(wait));
            match wait.filter(|wait| tries < TRIES && *wait < self.net.left()) {
                Some(wait) => std::thread::sleep(wait),
                None => return Err(fault),
            }
            tries += 1;
        }
    }

    /// Status, how long to wait where that is said, and the body; nothing at all where there is no answer.
    async fn send(&self, route: &str, removes: bool) -> (u16, Option<Duration>, String) {
        let sent = if removes { self.client._delete(route, None::<&()>).await } else { self.client._get(route).await };
        let Ok(answer) = sent else { return Default::default() };
        let status = answer.status().as_u16();
        let number = |name: &str| answer.headers().get(name)?.to_str().ok()?.parse::<u64>().ok();
        let now = jiff::Timestamp::now().as_second();
        // Either says how long, or until when.
        let until = number("x-ratelimit-reset").filter(|_| number("x-ratelimit-remaining") == Some(0));
        let until = until.map(|until| until.saturating_sub(u64::try_from(now).unwrap_or_default()));
        let wait = number("retry-after").or(until).map(Duration::from_secs);
        match self.client.body_to_string(answer).await {
            Ok(text) => (status, wait, text),
            Err(_) => Default::default(),
        }
    }

    fn pause(&self) {
        let mut last = self.last_removal.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = *last {
            std::thread::sleep(self.net.patience.of(BETWEEN).saturating_sub(last.elapsed()));
        }
        *last = Some(std::time::Instant::now());
    }
}
