//! How often and how patiently each kind of call is tried.
//!
//! A service that takes a connection and says nothing is the worst of all, because each call waits for its limit. So the calls
//! that open something share one allowance of waiting in vain, and no other call is tried more than twice against silence.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

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
    /// Nothing can be done before it is answered, and its body is small.
    opens: bool,
}

const fn retry(tries: u32, first_ms: u64, cap_s: u64, limit_s: u64) -> Retry {
    let (first, cap) = (Duration::from_millis(first_ms), Duration::from_secs(cap_s));
    Retry { tries, first, cap, limit: Duration::from_secs(limit_s), not_found_too: false, opens: false }
}

pub(super) const LOOKUP: Retry = Retry { opens: true, ..retry(4, 500, 4, 10) };
/// A second try that finds the name taken means that the first one was heard.
pub(super) const CREATE: Retry = Retry { opens: true, ..retry(2, 1000, 1, 20) };
/// The start of an entry.
pub(super) const OPEN: Retry = Retry { opens: true, ..retry(5, 500, 10, 10) };
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

/// All that a run waits for calls that open something and are not answered.
const IN_VAIN: Duration = Duration::from_secs(20);
/// Tries of any other call that may end in silence.
const SILENCES: u32 = 2;

/// What was met so far in this run.
#[derive(Debug, Default)]
pub(super) struct Limits {
    rates: AtomicU32,
    /// Milliseconds that were waited for nothing.
    in_vain: AtomicU64,
}

impl Limits {
    /// What is left of the allowance.
    fn left(&self, net: &Net) -> Duration {
        net.patience.of(IN_VAIN).saturating_sub(Duration::from_millis(self.in_vain.load(Ordering::Relaxed)))
    }

    fn waited(&self, since: Instant) {
        let millis = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.in_vain.fetch_add(millis, Ordering::Relaxed);
    }
}

/// One call, however often it is tried.
#[derive(Debug)]
pub(super) struct Attempts<'a> {
    retry: Retry,
    net: &'a Net,
    limits: &'a Limits,
    bytes: u64,
    made: u32,
    silent: u32,
    wait: Duration,
}

impl Retry {
    /// Begins a call of which each try may move this many bytes.
    pub(super) fn begin<'a>(self, net: &'a Net, limits: &'a Limits, bytes: u64) -> Attempts<'a> {
        Attempts { retry: self, net, limits, bytes, made: 0, silent: 0, wait: self.first }
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
        let began = Instant::now();
        let result = match tokio::time::timeout(limit.min(self.left()), call).await {
            Ok(result) => result,
            Err(_) if self.net.left().is_zero() => Err(Fault::OutOfTime),
            Err(_) => Err(Fault::Silent),
        };
        if self.retry.opens && result.is_err() {
            self.limits.waited(began);
        }
        self.silent += u32::from(matches!(result, Err(Fault::Silent)));
        result
    }

    /// How long this call can wait for anything.
    fn left(&self) -> Duration {
        let left = self.net.left();
        if self.retry.opens { left.min(self.limits.left(self.net)) } else { left }
    }

    /// Waits for the next try, or gives the fault back because there is none.
    pub(super) async fn pause(&mut self, fault: Fault) -> Result<(), Fault> {
        tracing::debug!(tries = self.made, ?fault, "a call to the cache service failed");
        let more = self.made < self.retry.tries;
        let pause = match &fault {
            Fault::RateLimited { after } => {
                let met = self.limits.rates.fetch_add(1, Ordering::Relaxed) + 1;
                after.filter(|after| met < ENOUGH && *after <= LONGEST)
            }
            Fault::Transient(_) if more => Some(self.wait),
            Fault::Silent if more && (self.retry.opens || self.silent < SILENCES) => Some(self.wait),
            Fault::NotFound if self.retry.not_found_too && more => Some(self.wait),
            _ => None,
        };
        // A wait that the service asks for is not one in vain.
        let asked = matches!(fault, Fault::RateLimited { .. });
        let left = if asked { self.net.left() } else { self.left() };
        let pause = pause.map(|pause| self.net.patience.of(pause)).filter(|pause| *pause < left);
        let Some(pause) = pause else {
            return Err(fault);
        };
        // Jobs that failed together must not come back together.
        let jitter = if asked { 1.0 } else { 0.5 + fastrand::f64() / 2.0 };
        let began = Instant::now();
        tokio::time::sleep(pause.mul_f64(jitter)).await;
        if self.retry.opens && !asked {
            self.limits.waited(began);
        }
        self.wait = (self.wait * 2).min(self.retry.cap);
        Ok(())
    }
}
