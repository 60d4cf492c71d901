//! How often and how patiently each kind of call is tried.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::fault::Fault;
use crate::machine::net::Net;

#[derive(Clone, Copy, Debug)]
pub(super) struct Retry {
    tries: u32,
    first: Duration,
    cap: Duration,
    /// A whole try, answer included; larger bodies add to it.
    limit: Duration,
    not_found_too: bool,
}

const fn retry(tries: u32, first_ms: u64, cap_s: u64, limit_s: u64) -> Retry {
    let (first, cap) = (Duration::from_millis(first_ms), Duration::from_secs(cap_s));
    Retry { tries, first, cap, limit: Duration::from_secs(limit_s), not_found_too: false }
}

pub(super) const LOOKUP: Retry = retry(4, 500, 4, 30);
/// A second try that finds the name taken means that the first one was heard.
pub(super) const CREATE: Retry = retry(2, 1000, 1, 30);
/// The service may not have seen the upload yet.
pub(super) const FINALIZE: Retry = Retry { not_found_too: true, ..retry(6, 2000, 2, 30) };
pub(super) const SEND: Retry = retry(5, 500, 15, 30);
pub(super) const FETCH: Retry = retry(5, 500, 10, 30);

/// A line slower than this is no use.
const SLOWEST: u64 = 100_000;
/// The longest wait that a rate limit may ask for.
const LONGEST: Duration = Duration::from_secs(30);
/// Rate limits after which nothing more is asked.
const ENOUGH: u32 = 2;

/// Rate limits met so far in this run.
#[derive(Debug, Default)]
pub(super) struct Limits(AtomicU32);

/// One call, however often it is tried.
#[derive(Debug)]
pub(super) struct Attempts<'a> {
    retry: Retry,
    net: &'a Net,
    limits: &'a Limits,
    bytes: u64,
    made: u32,
    wait: Duration,
}

impl Retry {
    /// Begins a call of which each try may move this many bytes.
    pub(super) fn begin<'a>(self, net: &'a Net, limits: &'a Limits, bytes: u64) -> Attempts<'a> {
        Attempts { retry: self, net, limits, bytes, made: 0, wait: self.first }
    }

    /// Runs `call` until it succeeds, fails for good, or time is up.
    pub(super) async fn run<T>(
        self,
        net: &Net,
        limits: &Limits,
        mut call: impl AsyncFnMut() -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut attempts = self.begin(net, limits, 0);
        loop {
            match attempts.within(call()).await {
                Ok(value) => return Ok(value),
                Err(fault) => attempts.pause(fault).await?,
            }
        }
    }
}

impl Attempts<'_> {
    /// One try, which ends in time.
    pub(super) async fn within<T>(&mut self, call: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        self.made += 1;
        let limit = self.net.patience.of(self.retry.limit + Duration::from_secs(self.bytes / SLOWEST));
        match tokio::time::timeout(limit.min(self.net.left()), call).await {
            Ok(result) => result,
            Err(_) if self.net.left().is_zero() => Err(Fault::OutOfTime),
            Err(_) => Err(Fault::Transient("no answer in time".to_owned())),
        }
    }

    /// Waits for the next try, or gives the fault back because there is none.
    pub(super) async fn pause(&mut self, fault: Fault) -> Result<(), Fault> {
        tracing::debug!(tries = self.made, ?fault, "a call to the cache service failed");
        let more = self.made < self.retry.tries;
        let pause = match &fault {
            Fault::RateLimited { after } => {
                let met = self.limits.0.fetch_add(1, Ordering::Relaxed) + 1;
                after.filter(|after| met < ENOUGH && *after <= LONGEST)
            }
            Fault::Transient(_) if more => Some(self.wait),
            Fault::NotFound if self.retry.not_found_too && more => Some(self.wait),
            _ => None,
        };
        let pause = pause.map(|pause| self.net.patience.of(pause)).filter(|pause| *pause < self.net.left());
        let Some(pause) = pause else {
            return Err(fault);
        };
        // Jobs that failed together must not come back together.
        let jitter = if let Fault::RateLimited { .. } = fault { 1.0 } else { 0.5 + fastrand::f64() / 2.0 };
        tokio::time::sleep(pause.mul_f64(jitter)).await;
        self.wait = (self.wait * 2).min(self.retry.cap);
        Ok(())
    }
}
