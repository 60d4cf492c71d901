//! Misbehaviour on request: which fault comes next on a route, and what it makes of an answer.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Response, StatusCode};
use http_body::Frame;
use serde_json::{Map, Value, json};
use tokio::time::Sleep;

use super::exchange::{Reply, json_reply, reply, set, twirp_error};
use super::log::Route;
use super::wire::Cut;
use super::{Shared, link};

#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Refuses without doing anything; the body is sent as JSON or XML if it looks like one.
    Status(u16, String),
    /// 429, with seconds to wait if there are any.
    RateLimited { retry_after: Option<u64> },
    /// Resets the connection and does nothing.
    Reset,
    /// Does the work and then resets the connection: the lost answer.
    ResetAfter,
    /// Does the work and answers late.
    Stall(Duration),
    /// Headers and half of the body, then silence.
    StallBody,
    /// Headers and half of the body, then a byte each second.
    DripBody,
    /// Headers with the full length and half of the body, then an orderly end of the connection.
    ShortBody,
    /// An HTML page, as a proxy in between sends it; nothing is done.
    NotJson(u16),
    /// Flips a bit in the middle of the body.
    WrongBytes,
    /// Sends the caller to another address, with the same method; nothing is done.
    Redirect(String),
    /// 200 with `"ok": false`; nothing is done.
    OkFalse { message: Option<String> },
}

#[derive(Default)]
pub(super) struct Faults(BTreeMap<Route, VecDeque<(Fault, usize)>>);

impl Faults {
    pub(super) fn add(&mut self, route: Route, fault: Fault, times: usize) {
        self.0.entry(route).or_default().push_back((fault, times));
    }

    pub(super) fn take(&mut self, route: Route) -> Option<Fault> {
        let queue = self.0.get_mut(&route)?;
        while queue.front().is_some_and(|(_, times)| *times == 0) {
            queue.pop_front();
        }
        let (fault, times) = queue.front_mut()?;
        if *times != usize::MAX {
            *times -= 1;
        }
        Some(fault.clone())
    }
}

/// How an answer goes out.
pub(super) enum Outcome {
    Answer(Reply),
    Late(Duration, Reply),
    Half(Reply, AfterHalf),
    Nothing,
}

impl Outcome {
    /// Does the work if the fault lets it be done.
    pub(super) fn of(fault: Option<Fault>, work: impl FnOnce() -> Reply) -> Self {
        match fault {
            None => Self::Answer(work()),
            Some(Fault::Status(status, body)) => Self::Answer(reply(code(status), content_type(&body), body)),
            Some(Fault::RateLimited { retry_after }) => Self::Answer(rate_limited(retry_after)),
            Some(Fault::Reset) => Self::Nothing,
            Some(Fault::ResetAfter) => {
                work();
                Self::Nothing
            }
            Some(Fault::Stall(time)) => Self::Late(time, work()),
            Some(Fault::StallBody) => Self::Half(work(), AfterHalf::Silence),
            Some(Fault::DripBody) => Self::Half(work(), AfterHalf::Drip),
            Some(Fault::Redirect(to)) => {
                let mut answer = reply(StatusCode::TEMPORARY_REDIRECT, "text/plain", "");
                set(&mut answer, "location", &to);
                Self::Answer(answer)
            }
            Some(Fault::ShortBody) => Self::Half(work(), AfterHalf::Close),
            Some(Fault::NotJson(status)) => {
                Self::Answer(reply(code(status), "text/html", "<html><body><h1>Unicorn!</h1></body></html>"))
            }
            Some(Fault::WrongBytes) => Self::Answer(work().map(flipped)),
            Some(Fault::OkFalse { message }) => {
                let mut answer = Map::from_iter([("ok".to_owned(), json!(false))]);
                answer.extend(message.map(|message| ("message".to_owned(), json!(message))));
                Self::Answer(json_reply(StatusCode::OK, &Value::Object(answer)))
            }
        }
    }

    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Answer(reply) | Self::Late(_, reply) | Self::Half(reply, _) => Some(reply.status().as_u16()),
            Self::Nothing => None,
        }
    }

    pub(super) async fn send(self, shared: &Shared, connection: &Cut) -> Response<Body> {
        match self {
            Self::Answer(reply) => reply.map(|body| link::send(shared, body)),
            Self::Late(time, reply) => {
                tokio::time::sleep(time).await;
                reply.map(|body| link::send(shared, body))
            }
            Self::Half(mut reply, then) => {
                let length = reply.body().len();
                set(&mut reply, "content-length", &length.to_string());
                reply.map(|bytes| Body::new(HalfBody { half: Some(bytes.slice(..length / 2)), pause: None, then }))
            }
            Self::Nothing => {
                connection.reset();
                Response::new(Body::empty())
            }
        }
    }
}

fn code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).expect("a status code")
}

fn content_type(body: &str) -> &'static str {
    match body.trim_start().chars().next() {
        Some('{') => "application/json",
        Some('<') => "application/xml",
        _ => "text/plain",
    }
}

fn rate_limited(retry_after: Option<u64>) -> Reply {
    let mut reply = twirp_error(StatusCode::TOO_MANY_REQUESTS, "resource_exhausted", "rate limit exceeded");
    if let Some(seconds) = retry_after {
        set(&mut reply, "retry-after", &seconds.to_string());
    }
    reply
}

fn flipped(bytes: Bytes) -> Bytes {
    let mut bytes = Vec::from(bytes);
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 1;
    }
    bytes.into()
}

pub(super) enum AfterHalf {
    Silence,
    Drip,
    Close,
}

/// Ends, or does not, before the length that the headers promise.
struct HalfBody {
    half: Option<Bytes>,
    pause: Option<Pin<Box<Sleep>>>,
    then: AfterHalf,
}

impl HttpBody for HalfBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(half) = self.half.take() {
            return Poll::Ready(Some(Ok(Frame::data(half))));
        }
        // The server flushes while the body has nothing more to give, and forgets what is unsent when the body fails.
        let pause = match self.then {
            AfterHalf::Silence => return Poll::Pending,
            AfterHalf::Drip => Duration::from_secs(1),
            AfterHalf::Close => Duration::from_millis(20),
        };
        std::task::ready!(self.pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause))).as_mut().poll(cx));
        self.pause = None;
        let drop = matches!(self.then, AfterHalf::Drip).then(|| Ok(Frame::data(Bytes::from_static(b" "))));
        Poll::Ready(drop)
    }
}
