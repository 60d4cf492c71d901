//! A link to the service that carries so many bytes a second, in either direction, and fewer over one connection.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::Shared;

/// Bytes that go over the line together.
const CHUNK: usize = 64 << 10;
/// Timers are no finer than a millisecond.
const PRECISION: Duration = Duration::from_millis(4);

/// When each direction of the line is free again.
#[derive(Debug)]
pub(crate) struct Link {
    /// Bytes a second.
    all: u64,
    each: u64,
    up: Mutex<Instant>,
    down: Mutex<Instant>,
}

impl Link {
    #[allow(dead_code, reason = "benches use it")]
    pub(crate) fn new(all: u64, each: u64) -> Self {
        let now = Instant::now();
        Self { all, each, up: Mutex::new(now), down: Mutex::new(now) }
    }

    /// When `len` bytes have gone over it, for somebody whose own connection is free at `own`; nothing if that is nearly now.
    fn pass(&self, line: &Mutex<Instant>, own: &mut Instant, len: usize) -> Option<Instant> {
        let time = |rate: u64| Duration::from_nanos(len as u64 * 1_000_000_000 / rate);
        let mut free = line.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        *free = (*free).max(now) + time(self.all);
        *own = (*own).max(now) + time(self.each);
        Some((*free).max(*own)).filter(|there| *there > now + PRECISION)
    }
}

/// The body of a request, at the speed of the line.
pub(super) async fn receive(shared: &Shared, body: Body) -> Result<Bytes, axum::Error> {
    let Some(link) = shared.lock().link.clone() else { return axum::body::to_bytes(body, usize::MAX).await };
    let (mut all, mut own, mut body) = (Vec::new(), Instant::now(), body);
    while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        if let Ok(bytes) = frame?.into_data() {
            all.extend_from_slice(&bytes);
            if let Some(there) = link.pass(&link.up, &mut own, bytes.len()) {
                sleep_until(there).await;
            }
        }
    }
    Ok(all.into())
}

/// The body of an answer, at the speed of the line.
pub(super) fn send(shared: &Shared, body: Bytes) -> Body {
    match shared.lock().link.clone() {
        Some(link) => Body::new(Paced { link, rest: body, own: Instant::now(), pause: None, is_counted: false }),
        None => body.into(),
    }
}

struct Paced {
    link: std::sync::Arc<Link>,
    rest: Bytes,
    own: Instant,
    pause: Option<Pin<Box<Sleep>>>,
    /// The next chunk has its time.
    is_counted: bool,
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let len = self.rest.len().min(CHUNK);
        if len == 0 {
            return Poll::Ready(None);
        }
        let Self { link, own, pause, is_counted, .. } = &mut *self;
        if !*is_counted {
            *pause = link.pass(&link.down, own, len).map(|there| Box::pin(sleep_until(there)));
            *is_counted = true;
        }
        if let Some(pause) = pause {
            ready!(pause.as_mut().poll(cx));
        }
        (self.pause, self.is_counted) = (None, false);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(len)))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
