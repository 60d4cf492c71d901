//! The two forms of the cache service's own calls: v2 (Twirp, JSON both ways) and v1 (REST).
//!
//! Lenient in what is read: unknown fields are passed over, missing ones have their default, numbers may be strings.

use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_RANGE, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{RequestBuilder, Response, Url};
use serde::Deserialize;
use serde_json::{Value, json};

use super::blob::text;
use super::fault::Fault;
use super::service::{Api, Service};
use super::signed::SignedUrl;
use crate::digest::Digest;
use crate::machine::net::Net;
use crate::state::key::FORMAT;

const METHODS: &str = "/twirp/github.actions.results.api.v1.CacheService/";
const V1_ACCEPT: &str = "application/json;api-version=6.0-preview.1";
/// Compressed indexes and answers of the service are small; nothing honest is larger.
const LONGEST_ANSWER: usize = 1 << 20;

/// An entry that a lookup named.
#[derive(Debug)]
pub(super) struct Match {
    pub key: String,
    pub url: SignedUrl,
}

/// Where an upload goes.
#[derive(Debug)]
pub(super) enum Reservation {
    V2(SignedUrl),
    V1(i64),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CreateAnswer {
    ok: bool,
    #[serde(alias = "signedUploadUrl")]
    signed_upload_url: String,
    message: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct FinalizeAnswer {
    ok: bool,
    message: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LookupAnswer {
    ok: bool,
    #[serde(alias = "signedDownloadUrl")]
    signed_download_url: String,
    #[serde(alias = "matchedKey")]
    matched_key: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct LegacyLookup {
    cache_key: String,
    archive_location: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LegacyReservation {
    cache_id: i64,
}

/// Entries of another version are invisible: it says what the bytes are, the key what they hold.
fn version() -> String {
    Digest::of(format!("rekindle|{FORMAT}|tar.zst").as_bytes()).to_string()
}

/// The newest entry whose key starts with `key`, in the nearest scope that has one.
pub(super) async fn lookup(net: &Net, service: &Service, key: &str) -> Result<Option<Match>, Fault> {
    look_up(net, service, key).await.map_err(Fault::without_upload)
}

async fn look_up(net: &Net, service: &Service, key: &str) -> Result<Option<Match>, Fault> {
    let found = match service.api {
        Api::V2 => {
            let body = json!({ "key": key, "restore_keys": [key], "version": version() });
            let answer: LookupAnswer = twirp(net, service, "GetCacheEntryDownloadURL", &body).await?;
            answer.ok.then_some((answer.matched_key, answer.signed_download_url))
        }
        Api::V1 => {
            let mut url = v1_url(service, "cache")?;
            url.query_pairs_mut().append_pair("keys", key).append_pair("version", &version());
            let answer = send(service, net.client.get(url).header(ACCEPT, V1_ACCEPT)).await?;
            if answer.status().as_u16() == 204 {
                None
            } else {
                let answer: LegacyLookup = parse(answer).await?;
                Some((answer.cache_key, answer.archive_location))
            }
        }
    };
    let Some((key, url)) = found else { return Ok(None) };
    let url = SignedUrl::new(&url, service.base.starts_with("http://"))?;
    url.secrets().iter().for_each(|secret| crate::github::runner::mask(secret));
    Ok(Some(Match { key: key.to_ascii_lowercase(), url }))
}

/// Reserves the name.
pub(super) async fn create(net: &Net, service: &Service, key: &str, size: u64) -> Result<Reservation, Fault> {
    reserve(net, service, key, size).await.map_err(Fault::without_upload)
}

async fn reserve(net: &Net, service: &Service, key: &str, size: u64) -> Result<Reservation, Fault> {
    match service.api {
        Api::V2 => {
            let body = json!({ "key": key, "version": version() });
            let answer: CreateAnswer = twirp(net, service, "CreateCacheEntry", &body).await?;
            match (answer.ok, answer.message.as_str()) {
                (true, _) => {
                    let url = SignedUrl::new(&answer.signed_upload_url, service.base.starts_with("http://"))?;
                    url.secrets().iter().for_each(|secret| crate::github::runner::mask(secret));
                    Ok(Reservation::V2(url))
                }
                (false, "") => Err(Fault::Exists),
                (false, message) => Err(Fault::of_refusal(message)),
            }
        }
        Api::V1 => {
            let body = json!({ "key": key, "version": version(), "cacheSize": size });
            let request = net.client.post(v1_url(service, "caches")?).header(ACCEPT, V1_ACCEPT);
            let answer = send(service, request.header(CONTENT_TYPE, "application/json").body(body.to_string())).await?;
            let reservation: LegacyReservation = parse(answer).await?;
            Ok(Reservation::V1(reservation.cache_id))
        }
    }
}

/// One part of a v1 upload.
pub(super) async fn v1_chunk(net: &Net, service: &Service, id: i64, from: u64, body: Vec<u8>) -> Result<(), Fault> {
    let last = from + body.len() as u64 - 1;
    let request = net.client.patch(v1_url(service, &format!("caches/{id}"))?).header(ACCEPT, V1_ACCEPT);
    let request = request.header(CONTENT_TYPE, "application/octet-stream");
    send(service, request.header(CONTENT_RANGE, format!("bytes {from}-{last}/*")).body(body)).await.map(|_| ())
}

/// Makes what was uploaded visible; `size` is exact.
pub(super) async fn finalize(
    net: &Net,
    service: &Service,
    key: &str,
    reservation: &Reservation,
    size: u64,
) -> Result<(), Fault> {
    match reservation {
        Reservation::V2(_) => {
            let body = json!({ "key": key, "size_bytes": size.to_string(), "version": version() });
            let answer: FinalizeAnswer = twirp(net, service, "FinalizeCacheEntryUpload", &body).await?;
            if answer.ok { Ok(()) } else { Err(Fault::of_refusal(&answer.message)) }
        }
        Reservation::V1(id) => {
            let request = net.client.post(v1_url(service, &format!("caches/{id}"))?).header(ACCEPT, V1_ACCEPT);
            let body = json!({ "size": size }).to_string();
            send(service, request.header(CONTENT_TYPE, "application/json").body(body)).await.map(|_| ())
        }
    }
}

async fn twirp<A: for<'de> Deserialize<'de>>(
    net: &Net,
    service: &Service,
    method: &str,
    body: &Value,
) -> Result<A, Fault> {
    // The path of the base is dropped, as the official client does.
    let url = Url::parse(&service.base).and_then(|base| base.join(&format!("{METHODS}{method}")));
    let url = url.map_err(|_| Fault::Invalid("the cache service's address is not a url".to_owned()))?;
    let request = net.client.post(url).header(ACCEPT, "application/json").header(CONTENT_TYPE, "application/json");
    parse(send(service, request.body(body.to_string())).await?).await
}

fn v1_url(service: &Service, path: &str) -> Result<Url, Fault> {
    let base = service.base.trim_end_matches('/');
    Url::parse(&format!("{base}/_apis/artifactcache/{path}"))
        .map_err(|_| Fault::Invalid("the cache service's address is not a url".to_owned()))
}

async fn send(service: &Service, request: RequestBuilder) -> Result<Response, Fault> {
    let answer = request.header(AUTHORIZATION, service.token.bearer()).send().await.map_err(Fault::of_network)?;
    if answer.status().is_success() {
        return Ok(answer);
    }
    let after = text(&answer, RETRY_AFTER.as_str()).and_then(|text| text.parse().ok()).map(Duration::from_secs);
    let status = answer.status().as_u16();
    Err(Fault::of_answer(status, &body(answer).await?, after))
}

async fn parse<A: for<'de> Deserialize<'de>>(answer: Response) -> Result<A, Fault> {
    let bytes = body(answer).await?;
    serde_json::from_slice(&bytes).map_err(|_| Fault::Transient("the cache service did not answer in JSON".to_owned()))
}

async fn body(mut answer: Response) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(Fault::of_network)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > LONGEST_ANSWER {
            return Err(Fault::Invalid("its answer has no end".to_owned()));
        }
    }
    Ok(bytes)
}
