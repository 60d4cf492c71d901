//! `SeaweedFS`, a real object store that speaks S3: a master with its filer and gateway, and volume servers that can be killed.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use object_store::aws::{AmazonS3Builder, S3ConditionalPut};

use super::bucket::Bucket;
use super::raw_http::{PATIENCE, send};

const BUCKET: &str = "packs";
pub(crate) const SECRET: &str = "secret-of-the-tests";

/// Runs until it is dropped. Every object lies on two of the volume servers.
pub(crate) struct Weed {
    server: Child,
    ports: Ports,
    volumes: Vec<Volume>,
    temp: tempfile::TempDir,
}

struct Volume {
    dir: PathBuf,
    port: u16,
    grpc: u16,
    process: Option<Child>,
}

struct Ports {
    master: u16,
    master_grpc: u16,
    filer: u16,
    s3: u16,
}

/// Where it is looked for: beside the other Python tools, or in another folder of the PATH.
fn program() -> PathBuf {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/python/bin/weed");
    let on_path =
        || std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join("weed")).find(|path| path.exists());
    let found = Some(beside).filter(|path| path.exists()).or_else(on_path);
    found.expect("weed is missing: run tests/all.sh")
}

impl Weed {
    pub(crate) fn start() -> Self {
        Self::with_volumes(2)
    }

    pub(crate) fn with_volumes(count: usize) -> Self {
        let temp = tempfile::Builder::new().prefix("rekindle-it-").tempdir().unwrap();
        let identity = format!(
            r#"{{"identities":[{{"name":"ci","credentials":[{{"accessKey":"key","secretKey":"{SECRET}"}}],"actions":["Admin","Read","Write","List","Tagging"]}}]}}"#
        );
        fs::write(temp.path().join("s3.json"), identity).unwrap();
        let [master, master_grpc, filer, filer_grpc, s3, s3_grpc] = free_ports();
        let ports = Ports { master, master_grpc, filer, s3 };
        let place = |name: &str| temp.path().join(name);
        fs::create_dir(place("master")).unwrap();
        let arguments = [
            format!("-dir={}", place("master").display()),
            format!("-master.port={master}"),
            format!("-master.port.grpc={master_grpc}"),
            "-master.volumeSizeLimitMB=64".to_owned(),
            "-master.defaultReplication=001".to_owned(),
            "-master.telemetry=false".to_owned(),
            "-volume=false".to_owned(),
            "-filer".to_owned(),
            format!("-filer.port={filer}"),
            format!("-filer.port.grpc={filer_grpc}"),
            "-filer.defaultReplicaPlacement=001".to_owned(),
            "-s3".to_owned(),
            format!("-s3.port={s3}"),
            format!("-s3.port.grpc={s3_grpc}"),
            "-s3.port.iceberg=0".to_owned(),
            "-s3.port.lance=0".to_owned(),
            format!("-s3.config={}", place("s3.json").display()),
        ];
        let server = run(&temp, "server", &arguments);
        let volumes = (0..count).map(|at| {
            let [port, grpc] = free_ports();
            let dir = temp.path().join(format!("volume-{at}"));
            fs::create_dir(&dir).unwrap();
            Volume { dir, port, grpc, process: None }
        });
        let mut weed = Self { server, ports, volumes: volumes.collect(), temp };
        (0..count).for_each(|at| weed.start_volume(at));
        weed.wait(count);
        weed
    }

    pub(crate) fn start_volume(&mut self, at: usize) {
        let volume = &self.volumes[at];
        let Ports { master, master_grpc, .. } = self.ports;
        let arguments = [
            format!("-dir={}", volume.dir.display()),
            format!("-master=127.0.0.1:{master}.{master_grpc}"),
            format!("-port={}", volume.port),
            format!("-port.grpc={}", volume.grpc),
            "-max=30".to_owned(),
        ];
        let process = run(&self.temp, "volume", &arguments);
        self.volumes[at].process = Some(process);
    }

    /// Without any time to put things in order.
    pub(crate) fn kill_volume(&mut self, at: usize) {
        self.volumes[at].process.take().into_iter().for_each(end);
    }

    /// Until all volume servers are known and something can be stored.
    pub(crate) fn wait(&self, count: usize) {
        let began = Instant::now();
        let is_up = || {
            let topology = format!("http://127.0.0.1:{}/dir/status", self.ports.master);
            let known = send("GET", &topology, &[], b"").map(|answer| answer.text().matches("\"PublicUrl\"").count());
            let url = format!("http://127.0.0.1:{}/buckets/{BUCKET}/", self.ports.filer);
            let done = |method| send(method, &url, &[], b"").is_ok_and(|answer| (200..300).contains(&answer.status));
            let made = || done("POST") || done("GET");
            let gateway = || std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, self.ports.s3)).is_ok();
            known.is_ok_and(|known| known >= count) && made() && gateway()
        };
        while !is_up() {
            assert!(
                began.elapsed() < PATIENCE,
                "weed does not start: {:?} {:?} {}",
                send("GET", &format!("http://127.0.0.1:{}/dir/status", self.ports.master), &[], b"")
                    .map(|answer| answer.text()),
                send("GET", &format!("http://127.0.0.1:{}/buckets/{BUCKET}/", self.ports.filer), &[], b"")
                    .map(|answer| answer.status),
                self.log()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.temp.path().join("log-server")).unwrap_or_default()
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.s3)
    }

    /// What a job needs to know.
    pub(crate) fn env(&self) -> [(&'static str, String); 4] {
        [
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_ACCESS_KEY_ID", "key".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ]
    }

    pub(crate) fn bucket(&self) -> Bucket {
        Bucket::new(|| {
            let builder = AmazonS3Builder::new().with_endpoint(self.endpoint()).with_allow_http(true);
            let builder = builder.with_access_key_id("key").with_secret_access_key(SECRET).with_region("us-east-1");
            let builder = builder.with_bucket_name(BUCKET).with_conditional_put(S3ConditionalPut::ETagMatch);
            Arc::new(builder.build().unwrap())
        })
    }
}

impl Drop for Weed {
    fn drop(&mut self) {
        (0..self.volumes.len()).for_each(|at| self.kill_volume(at));
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn end(mut process: Child) {
    let _ = process.kill();
    let _ = process.wait();
}

fn run(temp: &tempfile::TempDir, what: &str, arguments: &[String]) -> Child {
    let out = File::options().create(true).append(true).open(temp.path().join(format!("log-{what}"))).unwrap();
    let mut command = Command::new(program());
    command.arg("-logtostderr=true").arg(what).args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1"]).args(arguments);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", temp.path());
    command.current_dir(temp.path()).stdin(Stdio::null()).stderr(out.try_clone().unwrap()).stdout(out);
    command.spawn().expect("weed starts")
}

/// Ports that nobody has at this moment.
fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}
