//! The tables of the service: entries in their scopes, and the settings that a test has made.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::super::azurite::Container;
use super::content::Content;
use super::faults::Faults;
use super::grants::{Grants, Permission};
use super::link::Link;
use super::log::{Route, Seen};
use super::token::{Token, Tokens};

/// What a download url lives in production.
const URL_LIFETIME: Duration = Duration::from_secs(600);

/// A finished entry, as a test sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredEntry {
    pub(crate) key: String,
    pub(crate) version: String,
    pub(crate) scope: String,
    pub(crate) size: u64,
}

pub(super) struct Entry {
    /// Counts up with the time of creation; the blob has the same number.
    pub(super) id: u64,
    pub(super) key: String,
    pub(super) version: String,
    pub(super) scope: String,
    pub(super) created: Timestamp,
    pub(super) used: Timestamp,
    /// The size that was finalized; before that the key is only reserved.
    pub(super) size: Option<u64>,
    pub(super) blob: Content,
}

impl Entry {
    fn has_key(&self, key: &str) -> bool {
        self.key.eq_ignore_ascii_case(key)
    }

    fn starts_with(&self, prefix: &str) -> bool {
        self.key.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    }
}

pub(super) struct State {
    origin: String,
    pub(super) blob_origin: String,
    pub(super) tokens: Tokens,
    pub(super) entries: Vec<Entry>,
    /// Where the blobs of v2 are, if not in the entries.
    container: Option<Container>,
    pub(super) grants: Grants,
    pub(super) log: Vec<Seen>,
    pub(super) faults: Faults,
    pub(super) url_lifetime: SignedDuration,
    /// By the route that gives them out.
    pub(super) expired_urls: BTreeMap<Route, usize>,
    pub(super) gets_per_url: usize,
    pub(super) ignores_ranges: bool,
    /// What the repository is, beside what it caches here.
    pub(super) other_caches: u64,
    pub(super) open_pull_requests: Vec<u64>,
    pub(super) branches: Vec<String>,
    pub(super) link: Option<Arc<Link>>,
    last_id: u64,
    answers: u64,
}

impl State {
    pub(super) fn new(origin: &str, container: Option<Container>) -> Self {
        Self {
            origin: origin.to_owned(),
            blob_origin: origin.to_owned(),
            tokens: Tokens::default(),
            entries: Vec::new(),
            container,
            grants: Grants::default(),
            log: Vec::new(),
            faults: Faults::default(),
            url_lifetime: SignedDuration::try_from(URL_LIFETIME).expect("a short duration"),
            expired_urls: BTreeMap::new(),
            gets_per_url: usize::MAX,
            ignores_ranges: false,
            other_caches: 0,
            open_pull_requests: Vec::new(),
            branches: vec!["main".to_owned()],
            link: None,
            last_id: 0,
            answers: 0,
        }
    }

    /// For `x-ms-request-id`.
    pub(super) fn next_request_id(&mut self) -> String {
        self.answers += 1;
        format!("00000000-0000-4000-8000-{:012x}", self.answers)
    }

    /// Takes the key in the scope; nothing if it is taken already, finished or not.
    pub(super) fn reserve(&mut self, key: &str, version: &str, scope: &str) -> Option<u64> {
        if self.in_scope(key, version, scope).is_some() {
            return None;
        }
        self.last_id += 1;
        self.entries.push(Entry {
            id: self.last_id,
            key: key.to_owned(),
            version: version.to_owned(),
            scope: scope.to_owned(),
            created: Timestamp::now(),
            used: Timestamp::now(),
            size: None,
            blob: Content::default(),
        });
        Some(self.last_id)
    }

    pub(super) fn in_scope(&mut self, key: &str, version: &str, scope: &str) -> Option<&mut Entry> {
        self.entries
            .iter_mut()
            .find(|entry| entry.has_key(key) && entry.version == version && entry.scope.eq_ignore_ascii_case(scope))
    }

    pub(super) fn entry(&self, id: u64) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.id == id)
    }

    pub(super) fn entry_mut(&mut self, id: u64) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.id == id)
    }

    /// Scope by scope: the first key exactly, then each key as a prefix, the newest of those that match.
    pub(super) fn find(&self, token: &Token, keys: &[String], version: &str) -> Option<&Entry> {
        token.readable().iter().find_map(|scope| {
            let candidates = || {
                self.entries.iter().rev().filter(|entry| {
                    entry.size.is_some() && entry.version == version && entry.scope.eq_ignore_ascii_case(scope)
                })
            };
            let exact = candidates().find(|entry| keys.first().is_some_and(|key| entry.has_key(key)));
            exact.or_else(|| keys.iter().find_map(|key| candidates().find(|entry| entry.starts_with(key))))
        })
    }

    /// An address for the blob that needs no token.
    pub(super) fn sign(&mut self, id: u64, permission: Permission) -> String {
        let lifetime = self.next_lifetime(permission);
        if let Some(container) = &self.container {
            let expires = Timestamp::now().saturating_add(lifetime).expect("a duration without calendar units");
            return container.sign(&blob_name(id), permission.letters(), expires);
        }
        let query = self.grants.sign(id, permission, lifetime);
        format!("{}{}{id}?{query}", self.blob_origin, super::log::BLOBS)
    }

    fn next_lifetime(&mut self, permission: Permission) -> SignedDuration {
        let route = match permission {
            Permission::Read => Route::Lookup,
            Permission::Write => Route::Create,
        };
        match self.expired_urls.get_mut(&route) {
            Some(times @ 1..) => {
                *times -= 1;
                SignedDuration::from_hours(-1)
            }
            _ => self.url_lifetime,
        }
    }

    /// How much was uploaded for an entry, if anything was.
    pub(super) fn length(&self, id: u64) -> Option<u64> {
        match &self.container {
            Some(container) => container.length(&blob_name(id)),
            None => Some(self.entry(id)?.blob.content()?.len() as u64),
        }
    }

    pub(super) fn content(&self, id: u64) -> Option<Vec<u8>> {
        match &self.container {
            Some(container) => container.content(&blob_name(id)),
            None => Some(self.entry(id)?.blob.content()?.to_vec()),
        }
    }

    pub(super) fn replace(&mut self, id: u64, bytes: Vec<u8>) {
        if let Some(container) = &self.container {
            container.replace(&blob_name(id), &bytes);
        } else if let Some(entry) = self.entry_mut(id) {
            entry.blob.put(bytes.into());
        }
    }

    pub(super) fn lose(&mut self, id: u64) {
        if let Some(container) = &self.container {
            container.delete(&blob_name(id));
        } else if let Some(entry) = self.entry_mut(id) {
            entry.blob.lose();
        }
    }

    /// The same for v1, where the archive lies at the cache service itself.
    pub(super) fn sign_archive(&mut self, id: u64) -> String {
        let query = self.grants.sign(id, Permission::Read, self.url_lifetime);
        format!("{}{}{id}?{query}", self.origin, super::log::V1_ARCHIVES)
    }

    pub(super) fn stored(&self) -> Vec<StoredEntry> {
        let stored = |entry: &Entry| {
            let size = entry.size?;
            let (key, version, scope) = (entry.key.clone(), entry.version.clone(), entry.scope.clone());
            Some(StoredEntry { key, version, scope, size })
        };
        self.entries.iter().filter_map(stored).collect()
    }

    /// The newest finished entry with exactly this key, in whatever scope.
    pub(super) fn newest(&mut self, key: &str) -> &mut Entry {
        let found = self.entries.iter_mut().rev().find(|entry| entry.size.is_some() && entry.has_key(key));
        found.unwrap_or_else(|| panic!("no finished entry `{key}`"))
    }

    pub(super) fn remove(&mut self, id: u64) {
        self.lose(id);
        self.entries.retain(|entry| entry.id != id);
    }

    pub(super) fn evict(&mut self, key_prefix: &str) {
        let evicted: Vec<u64> =
            self.entries.iter().filter(|entry| entry.starts_with(key_prefix)).map(|entry| entry.id).collect();
        for id in evicted {
            self.lose(id);
            self.entries.retain(|entry| entry.id != id);
        }
    }
}

/// In a container of its own, in the form that production has.
fn blob_name(id: u64) -> String {
    format!("{:03x}-{id}", id % 0x1000)
}
