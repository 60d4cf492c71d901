//! The one place that speaks HTTP: a client, the runtime it needs, and how long anything may take.
//!
//! Everything outside is synchronous. Errors never hold a url: a signed one is a secret.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use reqwest::redirect::Policy;
use tokio::runtime::{Handle, Runtime};

const CONNECT: Duration = Duration::from_secs(10);
const AT_ONCE: Duration = Duration::from_secs(1);
/// A connection on which nothing arrives for this long is dead.
const SILENCE: Duration = Duration::from_secs(30);

/// A client, and the time by which its work has to be over.
#[derive(Debug)]
pub struct Net {
    pub client: reqwest::Client,
    pub patience: Patience,
    deadline: Instant,
}

/// Where requests run. Whoever waits for one is not on one of its threads.
#[derive(Debug)]
pub struct Engine {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl Engine {
    pub fn start() -> Result<Self> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).enable_all().build();
        let runtime = runtime.context("no network runtime can be started")?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// For work that nobody waits for at once.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    pub fn wait<F: Future>(&self, future: F) -> F::Output {
        self.handle.block_on(future)
    }
}

/// The look-up of a name can be given up by nobody; whoever gave up its request does not wait for it, either.
impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Net {
    /// A client whose work has to be over in `budget`.
    pub fn new(budget: Duration) -> Result<Self> {
        let patience = Patience::from_environment();
        let client = client(patience, Plain::Allowed)?;
        Ok(Self { client, deadline: Instant::now() + patience.of(budget), patience })
    }

    /// What is left of the budget.
    pub fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

/// Whether anything may go over the line unprotected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plain {
    Allowed,
    Refused,
}

/// A client that gives up on silence and goes nowhere else.
pub fn client(patience: Patience, plain: Plain) -> Result<reqwest::Client> {
    built(patience, plain, CONNECT)
}

/// One for whom an answer comes from this very machine, and at once, or not at all.
pub fn quick_client(patience: Patience) -> Result<reqwest::Client> {
    built(patience, Plain::Allowed, AT_ONCE)
}

fn built(patience: Patience, plain: Plain, connect: Duration) -> Result<reqwest::Client> {
    choose_tls();
    reqwest::Client::builder()
        .user_agent(concat!("rekindle/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(patience.of(connect))
        .read_timeout(patience.of(SILENCE))
        // A call carries a token, and a signed url is one: neither goes where somebody else says.
        .redirect(Policy::none())
        .https_only(plain == Plain::Refused)
        .build()
        .context("no HTTP client can be made")
}

/// Which cryptography TLS uses; asked for before the first client is made.
pub fn choose_tls() {
    // A second client of the same process finds the choice of the first one.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Scales every wait and every limit. One, unless `REKINDLE_PATIENCE` says otherwise; tests of slow servers make it small.
#[derive(Clone, Copy, Debug)]
pub struct Patience(f64);

impl Patience {
    pub fn from_environment() -> Self {
        let factor = std::env::var("REKINDLE_PATIENCE").ok().and_then(|text| text.parse::<f64>().ok());
        Self(factor.filter(|factor| factor.is_finite() && *factor > 0.0).unwrap_or(1.0))
    }

    pub fn of(self, duration: Duration) -> Duration {
        duration.mul_f64(self.0)
    }
}

/// Why a request got no answer although there was time for one, without the url.
pub fn reason(error: reqwest::Error) -> String {
    let kind = if error.is_connect() {
        "no connection"
    } else if error.is_body() || error.is_decode() {
        "the answer broke off"
    } else {
        "no answer"
    };
    let error = error.without_url();
    let mut root: &dyn std::error::Error = &error;
    while let Some(source) = root.source() {
        root = source;
    }
    format!("{kind} ({root})")
}
