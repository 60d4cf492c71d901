//! What the cache service and its storage answer, from the first byte of the headers on.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rekindle::pack::Pack;
use rekindle::store::actions::{ActionsStore, Service};
use rekindle::store::{Sending, Store};

use super::Reader;

/// Between the answer of the service and that of its storage.
const JOINT: &str = "\n======\n";
/// All that is waited for an answer that does not end.
const BUDGET: Duration = Duration::from_millis(200);

/// The port stands for itself until somebody listens.
fn seeds(port: u16) -> Vec<Vec<u8>> {
    let url = format!("http://127.0.0.1:{port}/blob?se=2099-01-01T00%3A00%3A00Z&sig=abcdefghijkl");
    let json = |body: &str| format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{body}");
    let found = json(&format!(r#"{{"ok":true,"signed_download_url":"{url}","matched_key":"key-1"}}"#));
    let created = json(&format!(r#"{{"ok":true,"signed_upload_url":"{url}","entry_id":"7"}}"#));
    let legacy = json(&format!(r#"{{"cacheKey":"key-1","archiveLocation":"{url}","cacheId":7}}"#));
    let missed = json(r#"{"ok":false}"#);
    let refused =
        "HTTP/1.1 429 No\r\nRetry-After: 1\r\n\r\n{\"code\":\"resource_exhausted\",\"msg\":\"no\"}".to_owned();
    let range = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-99/100\r\nETag: \"a\"\r\n\r\n".to_owned()
        + &"x".repeat(100);
    let whole = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n".to_owned() + &"x".repeat(100);
    let chunked =
        "HTTP/1.1 206 No\r\nTransfer-Encoding: chunked\r\nContent-Range: bytes 0-3/4\r\n\r\n4\r\nabcd\r\n0\r\n\r\n";
    let done = "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";
    [
        (found.as_str(), range.as_str()),
        (&found, &whole),
        (&found, chunked),
        (&created, done),
        (&legacy, &range),
        (&missed, ""),
        (&refused, done),
    ]
    .into_iter()
    .map(|(rpc, blob)| format!("{rpc}{JOINT}{blob}").into_bytes())
    .collect()
}

fn serve(mut stream: TcpStream, input: &[u8]) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let mut request = [0; 4096];
    let read = stream.read(&mut request).unwrap_or(0);
    let is_blob = request[..read].windows(5).take(8).any(|window| window == b"/blob");
    let joint = input.windows(JOINT.len()).position(|window| window == JOINT.as_bytes()).unwrap_or(input.len());
    let answer = if is_blob { input.get(joint + JOINT.len()..).unwrap_or_default() } else { &input[..joint] };
    // Whoever has heard enough hangs up.
    let _ = stream.write_all(answer);
}

#[test]
fn answers_of_the_cache_service() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let current: Arc<Mutex<Vec<u8>>> = Arc::default();
    let serving = Arc::clone(&current);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let input = serving.lock().unwrap().clone();
            std::thread::spawn(move || serve(stream, &input));
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let words = [
        "Content-Length: 99999999999999",
        "Content-Range: bytes 0-0/18446744073709551615",
        "Transfer-Encoding: chunked",
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/",
        "Content-Encoding: gzip",
        "Retry-After: 9999999999999999999",
        "\r\n",
        "ok",
        "true",
        "signed_download_url",
        "http://",
        "206",
        "bytes 5-4/3",
        "bytes */*",
    ];
    Reader { name: "answers", seeds: seeds(port), words: &words, executions: 60 }.feed(&|input| {
        *current.lock().unwrap() = input.to_vec();
        for api in ["v1", "v2"] {
            let env = BTreeMap::from(
                [
                    ("ACTIONS_RUNTIME_TOKEN", "opaque".to_owned()),
                    ("ACTIONS_RESULTS_URL", format!("http://127.0.0.1:{port}/")),
                    ("ACTIONS_CACHE_URL", format!("http://127.0.0.1:{port}/")),
                    ("REKINDLE_CACHE_API", api.to_owned()),
                ]
                .map(|(name, value)| (name.to_owned(), value)),
            );
            let service = Service::choose(&env, 0).map_err(|absence| format!("{absence:?}"))?;
            let store = ActionsStore::open(service, BUDGET).map_err(|error| error.to_string())?;
            let _ = store.find("key-");
            let _ = Pack::open(&store, "key-1");
            let _ = store.read("key-1", 0, 50);
            if let Ok(draft) = store.begin("key-2", dir.path(), Sending::WhenComplete) {
                let _ = draft.finish(&[7; 1000]);
            }
        }
        Ok(())
    });
}
