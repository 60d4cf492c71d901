//! What the local cache service refuses, and how it misbehaves when it is told to.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::cache_service::{CacheService, Fault, Route, Seen};
use crate::support::raw_http::{Answer, get_of_stalled, send};

const MAIN: &str = "refs/heads/main";
const VERSION: &str = "27f8be18ef5e1caed930dca7d1eee52027a00251f123574ae008fb5bc130f5ca";
const OTHER_VERSION: &str = "693bb7016429d80366022f036f84856888c9f13e00145f5f6f4dce303a38d6f2";
const BLOB: [(&str, &str); 2] = [("x-ms-blob-type", "BlockBlob"), ("x-ms-version", "2022-11-02")];

struct Caller {
    service: CacheService,
    token: String,
}

impl Caller {
    fn new() -> Self {
        let service = CacheService::start();
        let token = service.token(&[(MAIN, 3)]);
        Self { service, token }
    }

    fn try_rpc(&self, method: &str, request: &Value) -> std::io::Result<Answer> {
        let url = format!("{}twirp/github.actions.results.api.v1.CacheService/{method}", self.service.url());
        let bearer = format!("Bearer {}", self.token);
        let headers = [("Authorization", &*bearer), ("Content-Type", "application/json")];
        send("POST", &url, &headers, request.to_string().as_bytes())
    }

    fn rpc(&self, method: &str, request: &Value) -> Answer {
        self.try_rpc(method, request).unwrap()
    }

    fn upload_url(&self, key: &str) -> String {
        let answer = self.rpc("CreateCacheEntry", &json!({ "key": key, "version": VERSION }));
        answer.json()["signed_upload_url"].as_str().unwrap().to_owned()
    }

    fn finalize(&self, key: &str, size: impl Into<Value>) -> Answer {
        let request = json!({ "key": key, "version": VERSION, "size_bytes": size.into() });
        self.rpc("FinalizeCacheEntryUpload", &request)
    }

    fn save(&self, key: &str, bytes: &[u8]) {
        assert_eq!(send("PUT", &self.upload_url(key), &BLOB, bytes).unwrap().status, 201);
        assert_eq!(self.finalize(key, bytes.len()).json()["ok"], json!(true));
    }

    fn lookup(&self, key: &str) -> Value {
        self.rpc("GetCacheEntryDownloadURL", &json!({ "key": key, "version": VERSION })).json()
    }

    fn download_url(&self, key: &str) -> String {
        self.lookup(key)["signed_download_url"].as_str().unwrap().to_owned()
    }

    fn statuses(&self) -> Vec<(Route, Option<u16>)> {
        self.service.requests().iter().map(|seen| (seen.route, seen.status)).collect()
    }
}

fn get(url: &str, range: Option<&str>) -> Answer {
    let headers: Vec<_> = range.map(|range| ("Range", range)).into_iter().collect();
    send("GET", url, &headers, b"").unwrap()
}

#[test]
fn ranges_are_exact_and_past_the_end_is_an_error() {
    let caller = Caller::new();
    caller.save("ranged", b"0123456789");
    let url = caller.download_url("ranged");
    let part = get(&url, Some("bytes=2-4"));
    assert_eq!((part.status, &*part.body), (206, &b"234"[..]));
    assert_eq!(part.header("content-range"), Some("bytes 2-4/10"));
    for header in ["etag", "last-modified", "x-ms-request-id", "x-ms-version", "date"] {
        assert!(part.header(header).is_some(), "{part:?} has no {header}");
    }
    assert_eq!(get(&url, Some("bytes=8-99")).body, b"89");
    let beyond = get(&url, Some("bytes=10-11"));
    assert_eq!((beyond.status, beyond.header("content-range")), (416, Some("bytes */10")));
    let etag = part.header("etag").unwrap();
    let conditional = |etag: &str| send("GET", &url, &[("If-Match", etag), ("Range", "bytes=0-0")], b"").unwrap();
    assert_eq!(conditional(etag).status, 206);
    assert_eq!(conditional("\"other\"").status, 412);
    caller.service.replace_blob("ranged", b"changed".to_vec());
    assert_eq!(conditional(etag).status, 412);
    let head = send("HEAD", &url, &[], b"").unwrap();
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, Some("7"), 0));
    caller.service.ignore_ranges(true);
    let whole = get(&url, Some("bytes=2-4"));
    assert_eq!((whole.status, &*whole.body), (200, &b"changed"[..]));
    let seen: Vec<Seen> = caller.service.requests().into_iter().filter(|seen| seen.if_match.is_some()).collect();
    assert!(seen.len() == 3 && seen.iter().all(|seen| seen.range.as_deref() == Some("bytes=0-0")));
}

#[test]
fn a_url_works_for_its_method_its_time_and_its_signature_only() {
    let caller = Caller::new();
    let upload = caller.upload_url("signed");
    assert!(upload.contains("%2B") && upload.contains("%2F") && upload.contains("%3D"), "{upload}");
    assert!(upload.contains("&se=20") && upload.contains("Z&sr=b&sp=cw&sig="), "{upload}");
    assert_eq!(get(&upload, None).status, 403);
    assert_eq!(send("PUT", &upload, &BLOB[1..], b"bytes").unwrap().status, 400, "no blob type");
    assert_eq!(send("PUT", &upload, &BLOB[..1], b"bytes").unwrap().status, 400, "no service version");
    let both = [BLOB[0], BLOB[1], ("Authorization", "Bearer x")];
    assert_eq!(send("PUT", &upload, &both, b"bytes").unwrap().status, 400);
    assert_eq!(send("PUT", &upload.replace("%2B", "+"), &BLOB, b"bytes").unwrap().status, 403, "decoded and sent back");
    assert_eq!(send("PUT", &upload, &BLOB, b"bytes").unwrap().status, 201);
    caller.finalize("signed", "5");
    assert_eq!(get(&upload.replace("sp=cw", "sp=r"), None).status, 403);
    let url = caller.download_url("signed");
    assert_eq!(send("PUT", &url, &BLOB, b"bytes").unwrap().status, 403);
    assert_eq!(get(&format!("{url}&timeout=30"), None).status, 200, "own parameters may follow");
    assert_eq!(get(&format!("{url}&sp=cw"), None).status, 403, "but none of those that are signed");
    caller.service.expire_after_ranges(2);
    assert_eq!(get(&url, Some("bytes=0-1")).status, 206);
    let refused = get(&url, Some("bytes=2-3"));
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("<Code>AuthenticationFailed</Code>"), "{}", refused.text());
    caller.service.set_url_lifetime(Duration::ZERO);
    assert_eq!(get(&caller.download_url("signed"), None).status, 403);
    caller.service.set_url_lifetime(Duration::from_secs(3600));
    assert_eq!(get(&caller.download_url("signed"), None).status, 200);
}

#[test]
fn blocks_have_names_of_one_length_and_the_list_gives_their_order() {
    let caller = Caller::new();
    let url = caller.upload_url("blocks");
    let version = &BLOB[1..];
    let block =
        |id: &str, bytes: &[u8]| send("PUT", &format!("{url}&comp=block&blockid={id}"), version, bytes).unwrap().status;
    assert_eq!([block("YWE%3D", b"first "), block("YmI%3D", b"second ")], [201, 201]);
    assert_eq!(block("YWFh", b"longer name"), 400);
    assert_eq!(block("no-base64", b"x"), 400);
    assert_eq!([block("a+E%3D", b"x"), block("a%2BE%3D", b"x")], [400, 201], "a bare plus sign is a space");
    assert_eq!(block(&"QUFB".repeat(22), b"66 bytes of name"), 400);
    let list = |ids: &[&str]| {
        let tags: String = ids.iter().flat_map(|id| ["<Latest>", id, "</Latest>\n"]).collect();
        let xml = format!("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<BlockList>{tags}</BlockList>");
        send("PUT", &format!("{url}&comp=blocklist"), version, xml.as_bytes()).unwrap().status
    };
    assert_eq!(list(&["YWE=", "Y2M="]), 400, "a block that was never sent");
    assert_eq!(caller.finalize("blocks", 13).json()["ok"], json!(false), "there is no blob before the list");
    assert_eq!(list(&["YmI=", "YWE="]), 201);
    assert_eq!(caller.finalize("blocks", 12).json()["ok"], json!(false), "another size");
    assert_eq!(caller.finalize("blocks", "13").json()["ok"], json!(true));
    assert_eq!(caller.finalize("blocks", 13).json()["ok"], json!(true), "the first answer may have been lost");
    assert_eq!(caller.service.blob("blocks"), b"second first ");
}

#[test]
fn requests_that_break_the_rules_get_the_codes_of_the_service() {
    let mut caller = Caller::new();
    let code = |answer: &Answer| (answer.status, answer.json()["code"].as_str().unwrap().to_owned());
    let create = |caller: &Caller, key: &str, version: &str| {
        code(&caller.rpc("CreateCacheEntry", &json!({ "key": key, "version": version })))
    };
    assert_eq!(create(&caller, "a,b", VERSION), (400, "invalid_argument".into()));
    assert_eq!(create(&caller, &"k".repeat(513), VERSION), (400, "invalid_argument".into()));
    assert_eq!(create(&caller, "key", "not a digest"), (400, "invalid_argument".into()));
    assert_eq!(code(&caller.finalize("never-reserved", 5)), (404, "not_found".into()));
    caller.save("Key", b"bytes");
    assert_eq!(create(&caller, "kEY", VERSION), (409, "already_exists".into()));
    assert_eq!(caller.lookup("key")["matched_key"], json!("Key"));
    let other = caller.rpc("GetCacheEntryDownloadURL", &json!({ "key": "key", "version": OTHER_VERSION }));
    assert_eq!(other.json()["ok"], json!(false), "versions never mix");
    caller.token = caller.service.token(&[(MAIN, 2)]);
    let unreadable = caller.rpc("GetCacheEntryDownloadURL", &json!({ "key": "key", "version": VERSION }));
    assert!(unreadable.status == 403 && unreadable.text().contains("cache read denied:"), "{}", unreadable.text());
    caller.token = caller.service.expired_token(&[(MAIN, 3)]);
    assert_eq!(create(&caller, "key", VERSION), (401, "unauthenticated".into()));
    caller.token = "made.up.token".into();
    assert_eq!(create(&caller, "key", VERSION), (401, "unauthenticated".into()));
    assert_eq!(caller.rpc("DeleteCacheEntry", &json!({})).status, 404);
    assert_eq!(caller.statuses().last(), Some(&(Route::Unknown, Some(404))));
}

#[test]
fn evicted_entries_are_misses_and_lost_blobs_are_not_found() {
    let caller = Caller::new();
    for key in ["keep-1", "drop-1", "drop-2"] {
        caller.save(key, b"bytes");
    }
    let url = caller.download_url("drop-1");
    caller.service.evict("drop-");
    assert_eq!(caller.lookup("drop-1")["ok"], json!(false));
    assert_eq!(get(&url, None).status, 404);
    caller.save("drop-1", b"again");
    caller.service.lose_blob("keep-1");
    let lost = get(&caller.download_url("keep-1"), None);
    assert!(lost.status == 404 && lost.text().contains("BlobNotFound"), "{}", lost.text());
}

#[test]
fn answers_are_refused_delayed_or_lost() {
    let caller = Caller::new();
    let service = &caller.service;
    let request = |key: &str| json!({ "key": key, "version": VERSION });
    service.fault(Route::Create, Fault::Reset, 1);
    service.fault(Route::Create, Fault::ResetAfter, 1);
    for _ in 0..2 {
        let error = caller.try_rpc("CreateCacheEntry", &request("lost")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    assert_eq!(caller.rpc("CreateCacheEntry", &request("lost")).status, 409, "the second one has done its work");
    let expected = [(Route::Create, None), (Route::Create, None), (Route::Create, Some(409))];
    assert_eq!(caller.statuses(), expected);
    service.fault(Route::Lookup, Fault::RateLimited { retry_after: Some(7) }, 1);
    service.fault(Route::Lookup, Fault::RateLimited { retry_after: None }, 1);
    service.fault(Route::Lookup, Fault::NotJson(502), 1);
    service.fault(
        Route::Lookup,
        Fault::Status(500, "{\"code\":\"internal\",\"msg\":\"insufficient usage\"}".into()),
        2,
    );
    service.fault(Route::Lookup, Fault::OkFalse { message: Some("later".into()) }, 1);
    service.fault(Route::Lookup, Fault::OkFalse { message: None }, 1);
    service.fault(Route::Lookup, Fault::Stall(Duration::from_millis(200)), 1);
    let lookup = || caller.rpc("GetCacheEntryDownloadURL", &request("none"));
    let limited = lookup();
    assert_eq!((limited.status, limited.header("retry-after")), (429, Some("7")));
    assert_eq!(lookup().header("retry-after"), None);
    let page = lookup();
    assert!(page.status == 502 && page.text().starts_with("<html>"));
    assert_eq!([lookup().status, lookup().status], [500, 500]);
    assert_eq!(
        [lookup().json(), lookup().json()],
        [json!({ "ok": false, "message": "later" }), json!({ "ok": false })]
    );
    // Never less than that, however busy the machine is.
    let start = Instant::now();
    assert_eq!(lookup().status, 200);
    assert!(start.elapsed() >= Duration::from_millis(200));
}

#[test]
fn bodies_are_cut_stalled_and_changed() {
    let caller = Caller::new();
    let bytes: Vec<u8> = (0..200_000_u32).map(|number| u8::try_from(number % 251).unwrap()).collect();
    caller.save("body", &bytes);
    let url = caller.download_url("body");
    caller.service.fault(Route::GetBlob, Fault::ShortBody, 1);
    caller.service.fault(Route::GetBlob, Fault::StallBody, 1);
    caller.service.fault(Route::GetBlob, Fault::WrongBytes, usize::MAX);
    let cut = get(&url, None);
    let stalled = get_of_stalled(&url, 100_000);
    for half in [cut, stalled] {
        assert!(half.status == 200 && !half.is_whole && half.header("content-length") == Some("200000"));
        assert!(half.body == bytes[..100_000]);
    }
    for _ in 0..2 {
        let wrong = get(&url, None);
        assert!(wrong.is_whole && wrong.body.iter().zip(&bytes).filter(|(one, other)| one != other).count() == 1);
    }
}

#[test]
fn v1_reads_in_ranges_and_takes_no_chunks_with_holes() {
    let caller = Caller::new();
    let base = format!("{}_apis/artifactcache/", caller.service.url());
    let bearer = format!("Bearer {}", caller.token);
    let common = [("Authorization", &*bearer), ("Accept", "application/json;api-version=6.0-preview.1")];
    let request = json!({ "key": "old", "version": VERSION }).to_string();
    let reserved = send("POST", &format!("{base}caches"), &common, request.as_bytes()).unwrap();
    let item = format!("{base}caches/{}", reserved.json()["cacheId"]);
    let chunk = |range: &str, bytes: &[u8]| {
        let headers = [common[0], common[1], ("Content-Type", "application/octet-stream"), ("Content-Range", range)];
        send("PATCH", &item, &headers, bytes).unwrap().status
    };
    let commit = || send("POST", &item, &common, b"{\"size\":10}").unwrap().status;
    assert_eq!(chunk("bytes 5-9/*", b"56789"), 204);
    assert_eq!(chunk("bytes 0-4/*", b"0123"), 400, "fewer bytes than the range says");
    assert_eq!(commit(), 400);
    assert_eq!(chunk("bytes 0-4/*", b"01234"), 204);
    assert_eq!(commit(), 204);
    let found = send("GET", &format!("{base}cache?keys=other%2COL&version={VERSION}"), &common, b"").unwrap();
    assert_eq!(found.json()["cacheKey"], json!("old"));
    let part = get(found.json()["archiveLocation"].as_str().unwrap(), Some("bytes=3-6"));
    assert_eq!((part.status, &*part.body), (206, &b"3456"[..]));
}
