//! A client that says exactly what a test tells it to, and reports what came back byte for byte.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    /// As far as it came.
    pub(crate) body: Vec<u8>,
    /// Whether as much came as the headers promised.
    pub(crate) is_whole: bool,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut pairs = self.head.lines().filter_map(|line| line.split_once(": "));
        pairs.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// Much longer than anything takes, even beside a hundred other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Sends one request on a connection of its own, and waits for the server to end it.
pub(crate) fn send(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Answer> {
    let mut bytes = Vec::new();
    ask(method, url, headers, body)?.read_to_end(&mut bytes)?;
    parse(&bytes, method).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// The answer of a server that sends this much of a body and then nothing more, without an end.
pub(crate) fn get_of_stalled(url: &str, length: usize) -> Answer {
    let mut stream = ask("GET", url, &[], b"").unwrap();
    let mut bytes = Vec::new();
    let mut buffer = [0; 1 << 14];
    while parse(&bytes, "GET").is_none_or(|answer| answer.body.len() < length) {
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "the server ended after {} bytes", bytes.len());
        bytes.extend(&buffer[..read]);
    }
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let silence = stream.read(&mut buffer);
    let is_silent = |error: &io::Error| matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
    assert!(silence.as_ref().is_err_and(is_silent), "{silence:?}");
    parse(&bytes, "GET").unwrap()
}

fn ask(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<TcpStream> {
    let (host, target) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut request = format!("{method} /{target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    for (name, value) in headers {
        request.extend([*name, ": ", *value, "\r\n"]);
    }
    if !body.is_empty() || method != "GET" {
        request.extend(["Content-Length: ", &body.len().to_string(), "\r\n"]);
    }
    stream.write_all(format!("{request}\r\n").as_bytes())?;
    stream.write_all(body)?;
    Ok(stream)
}

fn parse(bytes: &[u8], method: &str) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let body = bytes[end + 4..].to_vec();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let mut answer = Answer { status, head, body, is_whole: true };
    let promised = answer.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    answer.is_whole = method == "HEAD" || answer.body.len() == promised;
    Some(answer)
}
