//! The official client against the local cache service: so that the service is known to speak the protocol.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::cache_service::{CacheService, Fault, Route, Seen};

const MAIN: &str = "refs/heads/main";
const PULL_REQUEST: &str = "refs/pull/7/merge";
const MIB: usize = 1 << 20;

/// A machine with one folder to cache and a token for the service.
struct Job<'a> {
    service: &'a CacheService,
    token: String,
    speaks_v1: bool,
    temp: tempfile::TempDir,
}

struct Answer {
    value: Value,
    log: String,
}

impl<'a> Job<'a> {
    fn new(service: &'a CacheService, scopes: &[(&str, u8)]) -> Self {
        let temp = tempfile::Builder::new().prefix("rekindle-it-").tempdir().unwrap();
        for folder in ["temp", "workspace", "home"] {
            fs::create_dir(temp.path().join(folder)).unwrap();
        }
        Self { service, token: service.token(scopes), speaks_v1: false, temp }
    }

    fn folder(&self) -> PathBuf {
        self.temp.path().join("workspace/data")
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::create_dir_all(self.folder()).unwrap();
        fs::write(self.folder().join(name), bytes).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.folder().join(name)).unwrap()
    }

    /// One call of the official client.
    fn client(&self, command: &str, key: &str, restore_keys: &[&str]) -> Answer {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let modules = root.join("target/tools/npm/node_modules");
        assert!(modules.join("@actions/cache").is_dir(), "the official client is missing: run tests/all.sh");
        let workspace = self.temp.path().join("workspace");
        let mut node = Command::new("node");
        node.arg(root.join("tests/e2e/official_client.mjs")).arg(modules).args([command, key, "data"]);
        node.args(restore_keys).current_dir(&workspace).stdin(Stdio::null());
        node.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", self.temp.path().join("home"));
        node.env("RUNNER_TEMP", self.temp.path().join("temp")).env("GITHUB_WORKSPACE", &workspace);
        node.env("GITHUB_SERVER_URL", "https://github.com").env("ACTIONS_RUNTIME_TOKEN", &self.token);
        if self.speaks_v1 {
            node.env("ACTIONS_CACHE_URL", self.service.url());
        } else {
            node.env("ACTIONS_RESULTS_URL", self.service.url()).env("ACTIONS_CACHE_SERVICE_V2", "True");
        }
        let output = node.output().expect("node starts");
        let log = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{log}{}", String::from_utf8_lossy(&output.stderr));
        let value = serde_json::from_str(log.lines().last().unwrap()).unwrap_or_else(|error| panic!("{error}: {log}"));
        Answer { value, log }
    }

    fn save(&self, key: &str) -> Answer {
        self.client("save", key, &[])
    }

    fn restore(&self, key: &str, restore_keys: &[&str]) -> Answer {
        self.client("restore", key, restore_keys)
    }
}

fn is_saved(answer: &Answer) -> bool {
    answer.value["id"].as_i64().unwrap() > 0
}

/// Routes with their answers, in order.
fn routes(seen: &[Seen]) -> Vec<(Route, u16)> {
    seen.iter().map(|seen| (seen.route, seen.status.unwrap())).collect()
}

/// Bytes that no compressor makes smaller.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&next());
    }
    bytes.truncate(length);
    bytes
}

#[test]
fn what_is_saved_comes_back_under_its_exact_key() {
    let service = CacheService::start();
    let job = Job::new(&service, &[(MAIN, 3)]);
    let bytes = noise(3 * MIB);
    job.write("one", &bytes);
    job.write("two", b"small");
    let saved = job.save("exact-1");
    assert!(is_saved(&saved), "{}", saved.log);
    let stored = service.entries();
    assert_eq!((stored.len(), &*stored[0].key, &*stored[0].scope), (1, "exact-1", MAIN));
    assert_eq!(stored[0].size, service.blob("exact-1").len() as u64);
    let wiped = Job::new(&service, &[(MAIN, 3)]);
    let restored = wiped.restore("exact-1", &[]);
    assert_eq!(restored.value, json!({ "key": "exact-1" }), "{}", restored.log);
    assert!(wiped.read("one") == bytes && wiped.read("two") == b"small");
    let seen = service.requests();
    let expected = [(Route::Create, 200), (Route::PutBlob, 201), (Route::Finalize, 200)];
    assert_eq!(routes(&seen), [&expected[..], &[(Route::Lookup, 200), (Route::GetBlob, 200)]].concat());
    assert!(seen.iter().all(|seen| seen.key.as_deref() == Some("exact-1")));
    let is_rpc = |route| matches!(route, Route::Create | Route::Finalize | Route::Lookup);
    assert!(seen.iter().all(|seen| seen.authorization == is_rpc(seen.route)));
}

#[test]
fn a_restore_key_is_a_prefix_and_the_newest_wins() {
    let service = CacheService::start();
    for (key, text) in [("linux-aaa", "older"), ("linux-bbb", "newer"), ("windows-ccc", "other")] {
        let job = Job::new(&service, &[(MAIN, 3)]);
        job.write("one", text.as_bytes());
        assert!(is_saved(&job.save(key)));
    }
    let job = Job::new(&service, &[(MAIN, 3)]);
    service.clear_requests();
    assert_eq!(job.restore("linux-zzz", &["mac-", "linux-"]).value, json!({ "key": "linux-bbb" }));
    assert_eq!(job.read("one"), b"newer");
    assert_eq!(routes(&service.requests()), [(Route::Lookup, 200), (Route::GetBlob, 200)]);
    assert_eq!(
        job.client("lookup", "linux", &[]).value,
        json!({ "key": "linux-bbb" }),
        "the key itself is a prefix too"
    );
    assert_eq!(job.client("lookup", "nothing", &[]).value, json!({ "key": null }));
    assert_eq!(routes(&service.requests())[2..], [(Route::Lookup, 200), (Route::Lookup, 200)]);
}

#[test]
fn a_second_save_of_the_same_key_is_a_conflict() {
    let service = CacheService::start();
    let job = Job::new(&service, &[(MAIN, 3)]);
    job.write("one", b"first");
    assert!(is_saved(&job.save("once")));
    service.clear_requests();
    job.write("one", b"second");
    let again = job.save("ONCE");
    assert_eq!(again.value, json!({ "id": -1 }));
    assert!(again.log.contains("Unable to reserve cache with key ONCE, another job may be creating"), "{}", again.log);
    assert_eq!(routes(&service.requests()), [(Route::Create, 409)]);
    assert_eq!(service.entries().len(), 1);
}

#[test]
fn a_large_archive_goes_up_in_blocks_and_comes_down_in_ranges() {
    let service = CacheService::start();
    service.name_blob_host("productionresultssa0.blob.core.windows.net");
    let job = Job::new(&service, &[(MAIN, 3)]);
    let bytes = noise(200 * MIB);
    job.write("one", &bytes);
    let saved = job.save("large");
    assert!(is_saved(&saved), "{}", saved.log);
    let seen = service.requests();
    let count = |seen: &[Seen], route| seen.iter().filter(|seen| seen.route == route).count();
    assert_eq!((count(&seen, Route::PutBlob), count(&seen, Route::PutBlock)), (0, 4));
    assert_eq!(routes(&seen[5..]), [(Route::PutBlockList, 201), (Route::Finalize, 200)]);
    let sent: usize = seen.iter().filter(|seen| seen.route == Route::PutBlock).map(|seen| seen.sent).sum();
    assert_eq!(sent as u64, service.entries()[0].size);
    service.clear_requests();
    let wiped = Job::new(&service, &[(MAIN, 3)]);
    let restored = wiped.restore("large", &[]);
    assert_eq!(restored.value, json!({ "key": "large" }), "{}", restored.log);
    assert!(wiped.read("one") == bytes);
    let seen = service.requests();
    assert_eq!(routes(&seen[..2]), [(Route::Lookup, 200), (Route::HeadBlob, 200)]);
    let parts = &seen[2..];
    assert!(parts.len() > 50 && parts.iter().all(|seen| seen.route == Route::GetBlob && seen.status == Some(206)));
    assert!(parts.iter().any(|seen| seen.range.as_deref() == Some("bytes=0-4194303")), "{:?}", parts[0]);
}

#[test]
fn a_pull_request_reads_the_base_and_keeps_its_own_to_itself() {
    let service = CacheService::start();
    let base = Job::new(&service, &[(MAIN, 3)]);
    base.write("one", b"base");
    assert!(is_saved(&base.save("scoped-base")));
    let pull = Job::new(&service, &[(PULL_REQUEST, 3), (MAIN, 1)]);
    assert_eq!(pull.restore("scoped-base", &[]).value, json!({ "key": "scoped-base" }));
    assert_eq!(pull.read("one"), b"base");
    pull.write("one", b"pull");
    assert!(is_saved(&pull.save("scoped-pull")));
    assert!(is_saved(&pull.save("scoped-base")), "the same key in another scope is free");
    let scopes: Vec<String> = service.entries().into_iter().map(|entry| entry.scope).collect();
    assert_eq!(scopes, [MAIN, PULL_REQUEST, PULL_REQUEST]);
    service.clear_requests();
    assert_eq!(base.client("lookup", "scoped-pull", &["scoped-"]).value, json!({ "key": "scoped-base" }));
    let other = Job::new(&service, &[("refs/pull/8/merge", 3), (MAIN, 1)]);
    assert_eq!(other.client("lookup", "scoped-pull", &[]).value, json!({ "key": null }));
    assert_eq!(pull.restore("scoped-base", &[]).value, json!({ "key": "scoped-base" }));
    assert_eq!(pull.read("one"), b"pull", "the own scope comes first");
    let lookup = (Route::Lookup, 200);
    assert_eq!(routes(&service.requests()), [lookup, lookup, lookup, (Route::GetBlob, 200)]);
}

#[test]
fn a_read_only_token_is_told_so() {
    let service = CacheService::start();
    let job = Job::new(&service, &[(MAIN, 1)]);
    job.write("one", b"never stored");
    let denied = job.save("denied");
    assert_eq!(denied.value, json!({ "id": -1 }));
    assert!(denied.log.contains("cache write denied: token has no writable scopes"), "{}", denied.log);
    assert_eq!(routes(&service.requests()), [(Route::Create, 200)]);
    assert_eq!(service.entries(), []);
}

#[test]
fn the_older_protocol_saves_and_restores() {
    let service = CacheService::start();
    let mut job = Job::new(&service, &[(MAIN, 3)]);
    job.speaks_v1 = true;
    let bytes = noise(40 * MIB);
    job.write("one", &bytes);
    let saved = job.save("old-1");
    assert!(is_saved(&saved), "{}", saved.log);
    let again = job.save("old-1");
    assert!(again.value == json!({ "id": -1 }) && again.log.contains("already exists"), "{}", again.log);
    let mut wiped = Job::new(&service, &[(MAIN, 3)]);
    wiped.speaks_v1 = true;
    let restored = wiped.restore("old-2", &["old-"]);
    assert_eq!(restored.value, json!({ "key": "old-1" }), "{}", restored.log);
    assert!(wiped.read("one") == bytes);
    assert_eq!(wiped.client("lookup", "new", &[]).value, json!({ "key": null }));
    let seen = service.requests();
    let chunk = (Route::V1Chunk, 204);
    let saving = [(Route::V1Reserve, 201), chunk, chunk, (Route::V1Commit, 204), (Route::V1Reserve, 409)];
    let restoring = [(Route::V1Lookup, 200), (Route::V1Download, 200), (Route::V1Lookup, 204)];
    assert_eq!(routes(&seen), [&saving[..], &restoring[..]].concat());
    assert!(seen.iter().all(|seen| seen.authorization == (seen.route != Route::V1Download)));
}

#[test]
fn faults_are_what_the_client_takes_them_for() {
    let service = CacheService::start();
    let job = Job::new(&service, &[(MAIN, 3)]);
    job.write("one", &noise(MIB));
    service.fault(Route::Create, Fault::RateLimited { retry_after: Some(9) }, 1);
    let limited = job.save("troubled");
    assert!(limited.log.contains("your rate limit will reset in 9 seconds"), "{}", limited.log);
    service.fault(Route::Create, Fault::ResetAfter, 1);
    let lost = job.save("troubled");
    assert_eq!(lost.value, json!({ "id": -1 }), "{}", lost.log);
    assert_eq!(job.save("troubled").value, json!({ "id": -1 }), "the lost answer had reserved the key");
    service.fault(Route::Finalize, Fault::NotJson(502), 1);
    let retried = job.save("retried");
    assert!(is_saved(&retried) && retried.log.contains("Attempt 1 of 5 failed"), "{}", retried.log);
    service.fault(Route::GetBlob, Fault::ShortBody, 1);
    let cut = job.restore("retried", &[]);
    assert!(cut.value == json!({ "key": null }) && cut.log.contains("Failed to restore: "), "{}", cut.log);
    service.lose_blob("retried");
    let gone = job.restore("retried", &[]);
    assert_eq!(gone.value, json!({ "key": null }), "{}", gone.log);
    let statuses: Vec<_> = service.requests().iter().map(|seen| (seen.route, seen.status)).collect();
    let (create, finalize) = (|status| (Route::Create, status), |status| (Route::Finalize, Some(status)));
    assert_eq!(statuses[..4], [create(Some(429)), create(None), create(Some(409)), create(Some(200))]);
    assert_eq!(statuses[4..7], [(Route::PutBlob, Some(201)), finalize(502), finalize(200)]);
    let (lookup, get) = ((Route::Lookup, Some(200)), |status| (Route::GetBlob, Some(status)));
    assert_eq!(statuses[7..], [lookup, get(200), lookup, get(404)]);
}
