//! One request and one answer as plain values, and the answers that both halves of the service share.

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, header};
use serde_json::{Value, json};

/// The whole body is in memory, so that a fault can cut it anywhere.
pub(super) type Reply = axum::http::Response<Bytes>;

pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    /// As it came, undecoded: signatures are compared byte for byte.
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Call {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(super) fn has_authorization(&self) -> bool {
        self.headers.contains_key(header::AUTHORIZATION)
    }

    pub(super) fn query_pieces(&self) -> impl Iterator<Item = &str> {
        self.query.split('&').filter(|piece| !piece.is_empty())
    }

    /// A decoded query parameter.
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        let mut pairs = self.query_pieces().filter_map(|piece| piece.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| percent_decode(value))
    }

    pub(super) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok().filter(Value::is_object)
    }

    /// The number at the end of the path.
    pub(super) fn id(&self) -> Option<u64> {
        self.path.rsplit('/').next()?.parse().ok()
    }
}

/// A plus sign is a space, as servers have it: base64 that a client forgot to encode arrives broken.
fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        if let (b'%', Some(byte)) = (first, hex) {
            bytes.push(byte);
            rest = &tail[2..];
        } else {
            bytes.push(if first == b'+' { b' ' } else { first });
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

pub(crate) fn percent_encode(text: &str) -> String {
    let kept = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if kept(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

pub(super) fn reply(status: StatusCode, content_type: &str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Reply::new(body.into());
    *reply.status_mut() = status;
    set(&mut reply, "content-type", content_type);
    reply
}

pub(super) fn empty(status: StatusCode) -> Reply {
    let mut reply = Reply::new(Bytes::new());
    *reply.status_mut() = status;
    reply
}

pub(super) fn set(reply: &mut Reply, name: &'static str, value: &str) {
    reply.headers_mut().insert(name, value.parse().expect("a header value"));
}

pub(super) fn json_reply(status: StatusCode, value: &Value) -> Reply {
    reply(status, "application/json", value.to_string())
}

/// Errors of the RPC half.
pub(super) fn twirp_error(status: StatusCode, code: &str, msg: &str) -> Reply {
    json_reply(status, &json!({ "code": code, "msg": msg }))
}

/// Errors of the blob half.
pub(super) fn azure_error(status: StatusCode, code: &str, message: &str) -> Reply {
    let body = format!(
        "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    let mut reply = reply(status, "application/xml", body);
    set(&mut reply, "x-ms-error-code", code);
    reply
}
