//! A local GitHub Actions cache service: the RPC calls of v2, the blob host behind its signed urls, and v1.
//!
//! It refuses what the real one is known to refuse, so that a client that works here has kept the protocol's rules; it
//! keeps a log of what it was asked, and it misbehaves on request.
#![allow(clippy::result_large_err, reason = "a refusal is an answer like any other, and nothing here is in a hurry")]

mod blob;
mod content;
mod exchange;
mod faults;
mod grants;
mod link;
mod log;
pub(crate) mod rest;
mod server;
mod state;
mod token;
mod twirp;
mod v1;
mod wire;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::SignedDuration;
use tokio::runtime::Runtime;

pub(crate) use exchange::percent_encode;
pub(crate) use faults::Fault;
#[allow(unused_imports, reason = "benches use it")]
pub(crate) use link::Link;
pub(crate) use log::{Route, Seen};
use state::State;
pub(crate) use state::StoredEntry;

use super::azurite::Container;

/// Longer than any test, shorter than a job.
const TOKEN_LIFETIME: SignedDuration = SignedDuration::from_hours(6);

/// Runs on a port of its own until it is dropped.
pub(crate) struct CacheService {
    state: Shared,
    url: String,
    runtime: Option<Runtime>,
}

impl CacheService {
    pub(crate) fn start() -> Self {
        Self::start_with(None)
    }

    /// Signed urls lead into this container, and nothing of v2's blobs is held here. What happens there is neither in the log
    /// nor can it have faults; and v1 stays as it is.
    pub(crate) fn start_with_blobs_in(container: Container) -> Self {
        Self::start_with(Some(container))
    }

    fn start_with(container: Option<Container>) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let listener = runtime.block_on(wire::Listener::bind()).expect("a free port");
        let url = format!("http://127.0.0.1:{}", listener.port());
        let state = Shared(Arc::new(Mutex::new(State::new(&url, container))));
        runtime.spawn(server::run(listener, state.clone()));
        Self { state, url: format!("{url}/"), runtime: Some(runtime) }
    }

    /// With a slash at the end, as the runner gives it.
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// A bearer token for these scopes, in this order. Permission bits: 1 reads, 2 writes.
    pub(crate) fn token(&self, scopes: &[(&str, u8)]) -> String {
        self.state.lock().tokens.issue(scopes, TOKEN_LIFETIME)
    }

    pub(crate) fn expired_token(&self, scopes: &[(&str, u8)]) -> String {
        self.state.lock().tokens.issue(scopes, SignedDuration::from_mins(-1))
    }

    /// Finished entries, oldest first.
    pub(crate) fn entries(&self) -> Vec<StoredEntry> {
        self.state.lock().stored()
    }

    /// The bytes behind the newest finished entry with this key.
    pub(crate) fn blob(&self, key: &str) -> Vec<u8> {
        let mut state = self.state.lock();
        let id = state.newest(key).id;
        state.content(id).unwrap_or_else(|| panic!("the blob of `{key}` is lost"))
    }

    /// Changes the bytes behind the back of the service: what lookups say stays as it was.
    pub(crate) fn replace_blob(&self, key: &str, bytes: Vec<u8>) {
        let mut state = self.state.lock();
        let id = state.newest(key).id;
        state.replace(id, bytes);
    }

    /// Lookups miss from now on, urls that are already out lead nowhere, and the keys are free again.
    pub(crate) fn evict(&self, key_prefix: &str) {
        self.state.lock().evict(key_prefix);
    }

    /// Lookups still hit, reading answers 404: an eviction between the two.
    pub(crate) fn lose_blob(&self, key: &str) {
        let mut state = self.state.lock();
        let id = state.newest(key).id;
        state.lose(id);
    }

    /// Entries and what was read of them are older from now on.
    pub(crate) fn age(&self, hours: i64) {
        for entry in &mut self.state.lock().entries {
            entry.created -= SignedDuration::from_hours(hours);
            entry.used -= SignedDuration::from_hours(hours);
        }
    }

    /// Finished entries of this ref that hold nothing.
    pub(crate) fn fill(&self, scope: &str, keys: &[String]) {
        let mut state = self.state.lock();
        for key in keys {
            let id = state.reserve(key, "another version", scope).expect("a key of its own");
            state.entry_mut(id).expect("it was just made").size = Some(1);
        }
    }

    /// What other actions keep, in bytes.
    pub(crate) fn set_other_caches(&self, bytes: u64) {
        self.state.lock().other_caches = bytes;
    }

    /// Everything goes over this line from now on.
    #[allow(dead_code, reason = "benches use it")]
    pub(crate) fn set_link(&self, link: Link) {
        self.state.lock().link = Some(Arc::new(link));
    }

    pub(crate) fn set_open(&self, pull_requests: &[u64], branches: &[&str]) {
        let mut state = self.state.lock();
        state.open_pull_requests = pull_requests.to_vec();
        state.branches = branches.iter().map(|name| (*name).to_owned()).collect();
    }

    /// What was asked so far, in the order of the answers.
    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.state.lock().log.clone()
    }

    pub(crate) fn clear_requests(&self) {
        self.state.lock().log.clear();
    }

    /// The next `times` requests on this route get it; several faults queue up. `usize::MAX` means always.
    pub(crate) fn fault(&self, route: Route, fault: Fault, times: usize) {
        self.state.lock().faults.add(route, fault, times);
    }

    pub(crate) fn clear_faults(&self) {
        self.state.lock().faults = faults::Faults::default();
    }

    /// For urls that are signed from now on. `se` shows whole seconds, the refusal is exact.
    pub(crate) fn set_url_lifetime(&self, lifetime: Duration) {
        self.state.lock().url_lifetime = SignedDuration::try_from(lifetime).expect("a lifetime that has an end");
    }

    /// The next `times` urls that this route gives out ran out an hour ago.
    pub(crate) fn give_out_expired_urls(&self, route: Route, times: usize) {
        self.state.lock().expired_urls.insert(route, times);
    }

    /// Every url is refused once it has served this many GETs.
    pub(crate) fn expire_after_ranges(&self, count: usize) {
        self.state.lock().gets_per_url = count;
    }

    /// GET answers 200 with the whole blob whatever range is asked for.
    pub(crate) fn ignore_ranges(&self, ignore: bool) {
        self.state.lock().ignores_ranges = ignore;
    }

    /// Signed urls name this host instead of the loopback address; the client has to resolve it by itself.
    pub(crate) fn name_blob_host(&self, host: &str) {
        let port = self.url.trim_end_matches('/').rsplit(':').next().expect("a port");
        self.state.lock().blob_origin = format!("http://{host}:{port}");
    }
}

impl Drop for CacheService {
    fn drop(&mut self) {
        // Not `drop`: that waits for stalled answers, and is forbidden inside another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What the requests and the test both look at.
#[derive(Clone)]
struct Shared(Arc<Mutex<State>>);

impl Shared {
    /// A panic in one request, or in the test, leaves the tables readable for the rest.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
