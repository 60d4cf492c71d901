//! Azurite, the emulator of Azure's blob storage by its own makers: one process, one container, and the signatures it checks.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use jiff::{SignedDuration, Timestamp};
use sha2::Sha256;

use super::cache_service::percent_encode;
use super::raw_http::{Answer, PATIENCE, send};

const ACCOUNT: &str = "devstoreaccount1";
/// The same in every installation: it protects nothing.
const ACCOUNT_KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
const CONTAINER: &str = "actions-cache";
const VERSION: &str = "2025-11-05";

/// Runs on a port of its own until it is dropped, and keeps everything in memory.
pub(crate) struct Azurite {
    process: Child,
    log: PathBuf,
    container: Container,
    _temp: tempfile::TempDir,
}

impl Azurite {
    pub(crate) fn start() -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/npm/node_modules/.bin/azurite-blob");
        assert!(program.exists(), "azurite is missing: run tests/all.sh");
        let temp = tempfile::Builder::new().prefix("rekindle-it-").tempdir().unwrap();
        let log = temp.path().join("log");
        let out = File::create(&log).unwrap();
        let mut command = Command::new(program);
        command.args(["--blobPort", "0", "--inMemoryPersistence", "--disableTelemetry"]);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", temp.path());
        command.current_dir(temp.path()).stdin(Stdio::null()).stderr(out.try_clone().unwrap()).stdout(out);
        let process = command.spawn().expect("azurite starts");
        let mut azurite = Self { process, log, container: Container { origin: String::new() }, _temp: temp };
        azurite.container.origin = azurite.wait_for_address();
        azurite.container.create();
        azurite
    }

    fn wait_for_address(&mut self) -> String {
        let began = Instant::now();
        loop {
            let log = fs::read_to_string(&self.log).unwrap();
            // Only a whole line has the whole port.
            let mut lines = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            if let Some((_, origin)) = lines.find_map(|line| line.trim_end().split_once("successfully listens on ")) {
                return origin.to_owned();
            }
            let ended = self.process.try_wait().unwrap();
            assert!(ended.is_none() && began.elapsed() < PATIENCE, "azurite does not listen ({ended:?}): {log}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What a job needs to know that has the account's key.
    pub(crate) fn env(&self) -> [(&'static str, String); 3] {
        [
            ("AZURE_ENDPOINT", format!("{}/{ACCOUNT}", self.container.origin)),
            ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT.to_owned()),
            ("AZURE_STORAGE_ACCOUNT_KEY", ACCOUNT_KEY.to_owned()),
        ]
    }

    pub(crate) fn container(&self) -> Container {
        self.container.clone()
    }

    /// What it answered about blobs so far, in order: `PUT blob 201`, `PUT block 201`, `PUT blocklist 201`, `GET blob 206`.
    pub(crate) fn answered(&self) -> Vec<String> {
        // A line is written after its answer has left. Once this request's own line is there, so are those before it.
        let mark = uuid::Uuid::new_v4().to_string();
        Container::exchange("HEAD", &format!("{}&mark={mark}", self.container.address()), &[]);
        let began = Instant::now();
        loop {
            let log = fs::read_to_string(&self.log).unwrap();
            if log.contains(&mark) {
                return log.lines().filter_map(answer_in).collect();
            }
            assert!(began.elapsed() < PATIENCE, "azurite has lost a line of its log: {log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `… "PUT /account/container/blob?query HTTP/1.1" 201 -`, unless it is about the container.
fn answer_in(line: &str) -> Option<String> {
    let (_, rest) = line.split_once('"')?;
    let (request, rest) = rest.split_once("\" ")?;
    let (method, address) = request.split_once(' ')?;
    let (_, query) = address.split(' ').next()?.split_once('?')?;
    if query.contains("restype=container") {
        return None;
    }
    let part = query.split('&').find_map(|pair| pair.strip_prefix("comp=")).unwrap_or("blob");
    Some(format!("{method} {part} {}", rest.split(' ').next()?))
}

/// Where the blobs are, for whoever has the account's key.
#[derive(Clone)]
pub(crate) struct Container {
    origin: String,
}

impl Container {
    /// The address of one blob, which permits this much until then: a service SAS.
    pub(crate) fn sign(&self, blob: &str, permissions: &str, expires: Timestamp) -> String {
        let expires = shown(expires);
        let resource = format!("/blob/{ACCOUNT}/{CONTAINER}/{blob}");
        // Start, identifier, address and protocol are not limited; nor is there a snapshot, a scope or a header to be replaced.
        let signature =
            signature(&[permissions, "", &expires, &resource, "", "", "", VERSION, "b", "", "", "", "", "", "", ""]);
        let (expires, signature) = (percent_encode(&expires), percent_encode(&signature));
        let query = format!("sv={VERSION}&se={expires}&sr=b&sp={permissions}&sig={signature}");
        format!("{}/{ACCOUNT}/{CONTAINER}/{blob}?{query}", self.origin)
    }

    pub(crate) fn length(&self, blob: &str) -> Option<u64> {
        let answer = Self::exchange("HEAD", &self.soon(blob, "r"), &[]);
        (answer.status == 200).then(|| answer.header("content-length").unwrap().parse().unwrap())
    }

    pub(crate) fn content(&self, blob: &str) -> Option<Vec<u8>> {
        let answer = Self::exchange("GET", &self.soon(blob, "r"), &[]);
        assert!(answer.status != 200 || answer.is_whole);
        (answer.status == 200).then_some(answer.body)
    }

    pub(crate) fn replace(&self, blob: &str, bytes: &[u8]) {
        assert_eq!(Self::exchange("PUT", &self.soon(blob, "cw"), bytes).status, 201);
    }

    /// Whether it was there or not.
    pub(crate) fn delete(&self, blob: &str) {
        let status = Self::exchange("DELETE", &self.soon(blob, "d"), &[]).status;
        assert!([202, 404].contains(&status), "{status}");
    }

    fn create(&self) {
        let answer = Self::exchange("PUT", &self.address(), &[]);
        assert_eq!(answer.status, 201, "{}", answer.text());
    }

    /// The address of the container itself: an account SAS.
    fn address(&self) -> String {
        let expires = shown(in_an_hour());
        let signature = signature(&[ACCOUNT, "rc", "b", "c", "", &expires, "", "", VERSION, "", ""]);
        let (expires, signature) = (percent_encode(&expires), percent_encode(&signature));
        let query = format!("restype=container&sv={VERSION}&ss=b&srt=c&sp=rc&se={expires}&sig={signature}");
        format!("{}/{ACCOUNT}/{CONTAINER}?{query}", self.origin)
    }

    /// An address to be used at once.
    fn soon(&self, blob: &str, permissions: &str) -> String {
        self.sign(blob, permissions, in_an_hour())
    }

    fn exchange(method: &str, url: &str, body: &[u8]) -> Answer {
        let headers = [("x-ms-version", VERSION), ("x-ms-blob-type", "BlockBlob")];
        send(method, url, &headers, body).expect("azurite answers")
    }
}

fn in_an_hour() -> Timestamp {
    Timestamp::now().saturating_add(SignedDuration::from_hours(1)).expect("a duration without calendar units")
}

fn shown(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn signature(fields: &[&str]) -> String {
    let key = STANDARD.decode(ACCOUNT_KEY).expect("base64");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key of any length");
    mac.update(fields.join("\n").as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}
