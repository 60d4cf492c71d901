//! Bytes behind signed urls: ranged reads, whole and block-wise writes, as Azure Blob Storage has them.
//!
//! No bearer token ever goes here. Servers that know no ranges are read from start to end into a file.

use std::io::Write;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MATCH, RANGE};
use reqwest::{Response, StatusCode};
use tokio::time::{Instant, timeout_at};

use super::fault::Fault;
use super::signed::SignedUrl;
use crate::machine::net::Net;

const API_VERSION: &str = "2022-11-02";

/// A body of which less than this comes in this time will never be there.
const LEAST: usize = 64 << 10;
const STALL: Duration = Duration::from_secs(20);

/// What an answer says about the whole entry.
#[derive(Debug)]
pub(super) struct Described {
    pub size: u64,
    pub etag: Option<String>,
}

/// A range, or the whole of it because the server knows no ranges.
#[derive(Debug)]
pub(super) enum Fetched {
    Range(Described),
    Whole,
}

/// Appends `len` bytes from `from` to `into`, less at the end of the entry. What is in `into` already is not asked for again.
pub(super) async fn fetch(
    net: &Net,
    url: &SignedUrl,
    from: u64,
    len: u64,
    etag: Option<&str>,
    into: &mut Vec<u8>,
) -> Result<Fetched, Fault> {
    let (start, end) = (from + into.len() as u64, from + len);
    let mut request = net.client.get(url.as_str()).header(RANGE, format!("bytes={start}-{}", end - 1));
    if let Some(etag) = etag {
        request = request.header(IF_MATCH, etag);
    }
    let mut answer = request.send().await.map_err(Fault::of_network)?;
    match answer.status() {
        StatusCode::OK => return Ok(Fetched::Whole),
        StatusCode::PARTIAL_CONTENT => {}
        status => return Err(Fault::of_blob(status.as_u16())),
    }
    let (first, size) = content_range(&answer).ok_or(Fault::Changed)?;
    if first != start {
        return Err(Fault::Changed);
    }
    let wanted = usize::try_from(end.min(size) - from).unwrap_or(usize::MAX);
    receive(net, &mut answer, |chunk| {
        let room = wanted.saturating_sub(into.len());
        into.extend_from_slice(&chunk[..chunk.len().min(room)]);
        Ok(())
    })
    .await?;
    if into.len() < wanted {
        return Err(Fault::Transient("the answer was cut short".to_owned()));
    }
    Ok(Fetched::Range(Described { size, etag: text(&answer, ETAG.as_str()) }))
}

/// Reads everything into a file.
pub(super) async fn fetch_whole(net: &Net, url: &SignedUrl, file: &mut std::fs::File) -> Result<u64, Fault> {
    use std::io::Seek;
    let local = |error: std::io::Error| Fault::Local(error.to_string());
    file.rewind().and_then(|()| file.set_len(0)).map_err(local)?;
    let mut answer = net.client.get(url.as_str()).send().await.map_err(Fault::of_network)?;
    if answer.status() != StatusCode::OK {
        return Err(Fault::of_blob(answer.status().as_u16()));
    }
    let promised = text(&answer, CONTENT_LENGTH.as_str()).and_then(|text| text.parse::<u64>().ok());
    let mut size = 0;
    receive(net, &mut answer, |chunk| {
        size += chunk.len() as u64;
        file.write_all(chunk).map_err(local)
    })
    .await?;
    if promised.is_some_and(|promised| promised != size) {
        return Err(Fault::Transient("the answer was cut short".to_owned()));
    }
    Ok(size)
}

/// Takes a body as it comes. One that only drips is as good as silent.
async fn receive(
    net: &Net,
    answer: &mut Response,
    mut take: impl FnMut(&[u8]) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let patience = net.patience.of(STALL);
    let (mut until, mut come) = (Instant::now() + patience, 0);
    loop {
        let chunk = timeout_at(until, answer.chunk()).await.map_err(|_| Fault::Silent)?;
        let Some(chunk) = chunk.map_err(Fault::of_network)? else { return Ok(()) };
        take(&chunk)?;
        come += chunk.len();
        if come >= LEAST {
            (until, come) = (Instant::now() + patience, 0);
        }
    }
}

/// The whole entry in one request.
pub(super) async fn put_whole(net: &Net, url: &SignedUrl, body: Vec<u8>) -> Result<(), Fault> {
    let request = net.client.put(url.as_str()).header("x-ms-blob-type", "BlockBlob");
    send(request, "application/octet-stream", body).await
}

/// One block, which is not part of the entry yet.
pub(super) async fn put_block(net: &Net, url: &SignedUrl, id: &str, body: Vec<u8>) -> Result<(), Fault> {
    let id = utf8_percent_encode(id, NON_ALPHANUMERIC);
    let request = net.client.put(url.with(&format!("comp=block&blockid={id}")));
    send(request, "application/octet-stream", body).await
}

/// Makes the entry of these blocks, in this order.
pub(super) async fn put_block_list(net: &Net, url: &SignedUrl, ids: &[String]) -> Result<(), Fault> {
    let list = ids.join("</Latest><Latest>");
    let body = format!(r#"<?xml version="1.0" encoding="utf-8"?><BlockList><Latest>{list}</Latest></BlockList>"#);
    send(net.client.put(url.with("comp=blocklist")), "application/xml", body.into_bytes()).await
}

async fn send(request: reqwest::RequestBuilder, kind: &str, body: Vec<u8>) -> Result<(), Fault> {
    let request = request.header("x-ms-version", API_VERSION).header(CONTENT_TYPE, kind).body(body);
    let status = request.send().await.map_err(Fault::of_network)?.status();
    if status.is_success() { Ok(()) } else { Err(Fault::of_blob(status.as_u16())) }
}

/// `bytes 5-9/100` → first byte and size.
fn content_range(answer: &Response) -> Option<(u64, u64)> {
    let text = text(answer, CONTENT_RANGE.as_str())?;
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let first = range.split_once('-')?.0;
    Some((first.trim().parse().ok()?, size.trim().parse().ok()?))
}

pub(super) fn text(answer: &Response, header: &str) -> Option<String> {
    Some(answer.headers().get(header)?.to_str().ok()?.to_owned())
}
