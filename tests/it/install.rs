//! How the hook puts the program in place: tool cache, release asset, source, and what it does when none of them works. With small
//! programs of the same name, so that a build takes a second.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rekindle::digest::Digest;
use serde_json::json;

use crate::support::release_server::{ReleaseServer, Reply};
use crate::support::write;

const ASSET: &str = "#!/bin/sh\necho from release\n";

struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let machine = Self { dir: tempfile::tempdir().unwrap() };
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let action = machine.path("workspace/action");
        fs::create_dir_all(action.join("dist/hook")).unwrap();
        for file in [
            "install.sh",
            "hook/main.js",
            "hook/run.js",
            "hook/identity.js",
            "hook/install.js",
            "hook/fetch.js",
            "hook/post.js",
            "hook/locate.js",
        ] {
            fs::copy(root.join("dist").join(file), action.join("dist").join(file)).unwrap();
        }
        let manifest = "[package]\nname = \"rekindle\"\nversion = \"9.9.9\"\nedition = \"2021\"\nrust-version = \"1.88\"\n[workspace]\n";
        write(&action.join("Cargo.toml"), manifest);
        write(&action.join("Cargo.lock"), "version = 4\n[[package]]\nname = \"rekindle\"\nversion = \"9.9.9\"\n");
        write(&action.join("src/main.rs"), "fn main() { println!(\"from source\"); }\n");
        write(&action.join("dist/release.json"), "{\"version\":null,\"targets\":{}}\n");
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        fs::canonicalize(self.dir.path()).unwrap().join(name)
    }

    /// Names what has these contents; where it lies is said by `serve`.
    fn release(&self, program: &str) -> Vec<u8> {
        let asset = self.packed(program);
        let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
        let named = |content: &[u8]| (content.len(), Digest::of(content).to_string());
        let ((size, sha256), (program_size, program_sha256)) = (named(&asset), named(program.as_bytes()));
        let url = format!("https://example.invalid/releases/download/v9.9.9/rekindle-{target}.gz");
        let release = json!({"version": "9.9.9", "targets": {target: {
            "url": url, "size": size, "sha256": sha256, "program_size": program_size, "program_sha256": program_sha256,
        }}});
        write(&self.path("workspace/action/dist/release.json"), &release.to_string());
        asset
    }

    fn packed(&self, program: &str) -> Vec<u8> {
        write(&self.path("program"), program);
        Command::new("gzip").args(["-9", "-n", "-c"]).arg(self.path("program")).output().unwrap().stdout
    }

    /// One step of a job: what it printed.
    fn step(&self, phase: &str, more: &[(&str, &str)]) -> String {
        fs::create_dir_all(self.path("temp")).unwrap();
        let _ = fs::remove_file(self.path("state"));
        let path = std::env::var_os("PATH").unwrap();
        let node = std::env::split_paths(&path).map(|dir| dir.join("node")).find(|node| node.exists()).unwrap();
        let mut command = Command::new(node);
        command.arg(self.path("workspace/action/dist/hook").join(phase)).current_dir(self.path("workspace"));
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy().to_ascii_uppercase();
            let ours = ["GITHUB_", "INPUT_", "STATE_", "REKINDLE_", "CARGO", "RUSTUP_TOOLCHAIN"];
            if ours.iter().any(|start| text.starts_with(start)) || text.ends_with("_PROXY") {
                command.env_remove(name);
            }
        }
        command.env("RUNNER_TEMP", self.path("temp")).env("RUNNER_TOOL_CACHE", self.path("tools"));
        command.env("GITHUB_STATE", self.path("state")).env("REKINDLE_DOWNLOAD_LIMIT", "20");
        let output = command.envs(more.iter().copied()).stdin(Stdio::null()).output().unwrap();
        // The compiler's words first: they came before.
        let said = String::from_utf8(output.stderr).unwrap() + &String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
        let left: Vec<_> = fs::read_dir(self.path("temp")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, Vec::<std::ffi::OsString>::new(), "something is left in the temporary folder");
        assert!(!said.contains("Terminated") && !said.contains("Killed"), "{said}");
        said
    }

    fn main(&self, more: &[(&str, &str)]) -> String {
        self.step("main.js", more)
    }

    fn from(&self, server: &ReleaseServer, more: &[(&str, &str)]) -> String {
        let mirror = format!("http://{}/releases/download/", server.address);
        self.main(&[&[("REKINDLE_RELEASE_URL", mirror.as_str())], more].concat())
    }

    fn installed(&self) -> PathBuf {
        self.path("tools/rekindle/9.9.9").join(arch()).join("rekindle")
    }

    fn stand_in(&self, name: &str, script: &str) {
        write(&self.path("bin").join(name), &format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(self.path("bin").join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

fn arch() -> &'static str {
    if std::env::consts::ARCH == "aarch64" { "arm64" } else { "x64" }
}

/// The one warning of a step that goes on without a cache.
fn warning(said: &str) -> &str {
    let warnings: Vec<&str> = said.lines().filter(|line| line.starts_with("::warning ")).collect();
    assert_eq!(warnings.len(), 1, "{said}");
    let reason = warnings[0].strip_prefix("::warning title=Rekindle::the program could not be installed: ");
    reason.and_then(|rest| rest.strip_suffix("; the job goes on without a cache")).expect(said)
}

#[test]
fn a_release_is_installed_once_and_as_the_tool_cache_has_it() {
    let machine = Machine::new();
    let server = ReleaseServer::new(&machine.release(ASSET), &[]);
    let said = machine.from(&server, &[]);
    assert!(said.ends_with("from release\n") && said.contains("rekindle: installed 9.9.9 in "), "{said}");
    assert!(machine.installed().exists());
    assert!(machine.path("tools/rekindle/9.9.9").join(format!("{}.complete", arch())).exists());
    let state = fs::read_to_string(machine.path("state")).unwrap();
    assert_eq!(state, format!("binary={}\n", machine.installed().display()));
    assert_eq!(machine.from(&server, &[]), "from release\n");
    assert_eq!(server.requests().len(), 1);
    // Somebody else's program in its place is not run, and one that is not said to be complete is not looked at.
    write(&machine.installed(), "#!/bin/sh\necho from nowhere\n");
    assert!(machine.from(&server, &[]).ends_with("from release\n"));
    fs::remove_file(machine.path("tools/rekindle/9.9.9").join(format!("{}.complete", arch()))).unwrap();
    assert!(machine.from(&server, &[]).ends_with("from release\n"));
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn a_release_needs_nothing_but_node() {
    let machine = Machine::new();
    let server = ReleaseServer::new(&machine.release(ASSET), &[Reply::Redirect("/elsewhere?signature=x")]);
    let said = machine.from(&server, &[("PATH", "/nonexistent")]);
    assert!(said.ends_with("from release\n") && !said.contains("signature"), "{said}");
    let lines: Vec<String> = server.requests().iter().map(|head| head.lines().next().unwrap().to_owned()).collect();
    let asset = format!("/releases/download/v9.9.9/rekindle-{}-unknown-linux-musl.gz", std::env::consts::ARCH);
    assert_eq!(lines, [format!("GET {asset} HTTP/1.1"), "GET /elsewhere?signature=x HTTP/1.1".to_owned()]);
}

#[test]
fn what_is_not_what_was_released_never_runs() {
    let machine = Machine::new();
    let released = machine.release(ASSET);
    let mut forged = released.clone();
    *forged.last_mut().unwrap() ^= 1;
    let other = machine.packed("#!/bin/sh\ntouch ran\n");
    let longer = [released.clone(), other.clone()].concat();
    let different = "what was downloaded is not what dist/release.json names";
    for (file, reason) in [
        (forged, different),
        (other, different),
        (longer, "it is larger than what was released"),
        (Vec::new(), different),
    ] {
        let said = machine.from(&ReleaseServer::new(&file, &[]), &[]);
        assert_eq!(warning(&said), reason);
        assert!(!machine.installed().exists() && !machine.path("workspace/ran").exists());
        // And the post step has nothing to say.
        assert_eq!(machine.step("post.js", &[("INPUT_JOB-STATUS", "success")]), "");
    }
}

#[test]
fn what_passes_is_tried_again_and_what_does_not_is_not() {
    let machine = Machine::new();
    let file = machine.release(ASSET);
    let server = ReleaseServer::new(&file, &[Reply::Cut, Reply::Status(503)]);
    assert!(machine.from(&server, &[]).ends_with("from release\n"));
    assert_eq!(server.requests().len(), 3);

    fs::remove_dir_all(machine.path("tools")).unwrap();
    let server = ReleaseServer::new(&file, &[Reply::Status(404)]);
    assert_eq!(warning(&machine.from(&server, &[])), "the server answered 404");
    assert_eq!(server.requests().len(), 1);
    let server = ReleaseServer::new(&file, &[Reply::Redirect("/again"); 9]);
    assert_eq!(warning(&machine.from(&server, &[])), "too many redirects");
    let server = ReleaseServer::new(&file, &[Reply::Cut; 3]);
    assert_eq!(warning(&machine.from(&server, &[])), "the download broke off");
}

#[test]
fn a_slow_server_and_a_missing_network_cost_a_limited_time() {
    let machine = Machine::new();
    let file = machine.release(ASSET);
    let server = ReleaseServer::new(&file, &[Reply::Stalled; 9]);
    let said = machine.from(&server, &[("REKINDLE_DOWNLOAD_LIMIT", "1")]);
    assert!(["it took longer than 1 s", "no answer in time"].contains(&warning(&said)), "{said}");
    let said = machine.main(&[("REKINDLE_RELEASE_URL", "http://127.0.0.1:1"), ("REKINDLE_DOWNLOAD_LIMIT", "1")]);
    assert_eq!(warning(&said), "no connection (ECONNREFUSED)");
    let said = machine.main(&[("REKINDLE_RELEASE_URL", "ftp://127.0.0.1")]);
    assert_eq!(warning(&said), "ftp: is not spoken here");
}

#[test]
fn the_proxy_of_the_environment_is_used() {
    let machine = Machine::new();
    let proxy = ReleaseServer::new(&machine.release(ASSET), &[]);
    let address = format!("http://us%40er:word@{}", proxy.address);
    let mirror = ("REKINDLE_RELEASE_URL", "http://mirror.invalid/x");
    let said = machine.main(&[mirror, ("http_proxy", &address)]);
    assert!(said.ends_with("from release\n") && !said.contains("word"), "{said}");
    let requests = proxy.requests();
    assert!(requests[0].starts_with("CONNECT mirror.invalid:80 HTTP/1.1\r\n"), "{requests:?}");
    assert!(requests[0].contains("proxy-authorization: Basic dXNAZXI6d29yZA==\r\n"), "{requests:?}");
    assert!(!requests[1].to_lowercase().contains("authorization"), "{requests:?}");

    fs::remove_dir_all(machine.path("tools")).unwrap();
    for exception in ["x, .invalid", "*", "mirror.invalid"] {
        let direct = [mirror, ("HTTP_PROXY", &address), ("NO_PROXY", exception), ("REKINDLE_DOWNLOAD_LIMIT", "1")];
        let said = machine.main(&direct);
        assert!(warning(&said).starts_with("no connection (") || warning(&said).contains("longer"), "{said}");
    }
    assert_eq!(proxy.requests().len(), 2);
}

#[test]
fn a_tool_cache_that_cannot_be_written_is_no_obstacle() {
    let machine = Machine::new();
    let server = ReleaseServer::new(&machine.release(ASSET), &[]);
    write(&machine.path("tools"), "a file");
    let elsewhere = machine.path("elsewhere");
    fs::create_dir_all(&elsewhere).unwrap();
    let said = machine.from(&server, &[("RUNNER_TEMP", elsewhere.to_str().unwrap())]);
    assert!(said.ends_with("from release\n"), "{said}");
    let said = machine.from(&server, &[("RUNNER_TEMP", machine.path("tools").to_str().unwrap())]);
    assert!(warning(&said).contains("cannot hold it (ENOTDIR)"), "{said}");
}

#[test]
fn the_jobs_own_settings_do_not_reach_a_build_from_source() {
    let machine = Machine::new();
    write(&machine.path("workspace/rust-toolchain.toml"), "[toolchain]\nchannel = \"1.0.0\"\n");
    write(&machine.path("workspace/.cargo/config.toml"), "[build]\nrustflags = [\"--nonsense\"]\n");
    let settings = [("RUSTFLAGS", "--nonsense"), ("RUSTC_WRAPPER", "/nowhere"), ("CARGO_BUILD_TARGET", "nowhere")];
    let said = machine.main(&settings);
    assert!(said.ends_with("from source\n"), "{said}");
    assert!(!machine.path("workspace/action/target").exists());
    // The next job finds it, and needs no compiler.
    assert_eq!(machine.main(&[("PATH", "/nonexistent")]), "from source\n");
    // Another source is another program.
    write(&machine.path("workspace/action/src/main.rs"), "fn main() { println!(\"from a later source\"); }\n");
    assert!(machine.main(&[]).ends_with("from a later source\n"));
}

#[test]
fn whatever_installs_the_program_is_told_no_secret() {
    let secrets = [
        "ACTIONS_RUNTIME_TOKEN",
        "ACTIONS_RUNTIME_URL",
        "ACTIONS_RESULTS_URL",
        "ACTIONS_CACHE_URL",
        "ACTIONS_ID_TOKEN_REQUEST_URL",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
        "GITHUB_TOKEN",
        "GH_TOKEN",
        "INPUT_GITHUB-TOKEN",
        "REKINDLE_GITHUB_TOKEN",
        "CARGO_REGISTRY_TOKEN",
        "CARGO_HTTP_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "DATABASE_URL",
        "NIX_CONFIG",
    ];
    let machine = Machine::new();
    let seen = |name: &str| machine.path(&format!("seen-{name}")).display().to_string();
    machine.stand_in("rustup", &format!("env > {}; echo rustc 1.99.0", seen("rustup")));
    machine.stand_in("cargo", &format!("env > {}; exit 1", seen("cargo")));
    let bin = machine.path("bin");
    let mut env: BTreeMap<&str, &str> = secrets.iter().map(|name| (*name, "classified")).collect();
    env.insert("PATH", bin.to_str().unwrap());
    env.insert("RUSTUP_HOME", "/where/rustup/is");
    let env: Vec<(&str, &str)> = env.into_iter().collect();
    // PATH holds nothing but these.
    machine.stand_in("env", "/usr/bin/env");
    let link = |name: &str| std::os::unix::fs::symlink(format!("/usr/bin/{name}"), bin.join(name)).unwrap();
    for name in ["dirname", "sed", "head", "cut", "sort"] {
        link(name);
    }
    machine.stand_in("bash", &format!("env > {}\nexec /bin/bash \"$@\"", seen("bash")));
    assert_eq!(warning(&machine.main(&env)), "the build from source failed");
    for child in ["bash", "rustup", "cargo"] {
        let told = fs::read_to_string(seen(child)).unwrap();
        assert!(told.contains("RUSTUP_HOME=/where/rustup/is\n"), "{child}: {told}");
        assert!(!told.contains("classified"), "{child}: {told}");
    }
    // A release that is tried after the download; only `restore` knows how to reach the cache.
    let program = format!("#!/bin/sh\nenv > {}$1\n", seen(""));
    let server = ReleaseServer::new(&machine.release(&program), &[]);
    machine.from(&server, &env);
    assert!(!fs::read_to_string(seen("--version")).unwrap().contains("classified"));
    let told = fs::read_to_string(seen("restore")).unwrap();
    assert!(told.contains("ACTIONS_RUNTIME_TOKEN=classified\n"), "{told}");
}

#[test]
fn when_nothing_works_there_is_one_warning() {
    let machine = Machine::new();
    let said = machine.main(&[("PATH", "/nonexistent")]);
    assert_eq!(warning(&said), "it has to be built from source, and bash cannot be started (ENOENT)");
    write(&machine.path("workspace/action/src/main.rs"), "fn main() { no }\n");
    assert_eq!(warning(&machine.main(&[])), "the build from source failed");
    // A build that takes too long is ended, with everything that it started.
    let endless = "#![allow(long_running_const_eval)]\nconst _: () = loop {};\nfn main() {}\n";
    write(&machine.path("workspace/action/src/main.rs"), endless);
    let said = machine.main(&[("REKINDLE_BUILD_LIMIT", "2")]);
    assert_eq!(warning(&said), "the build took longer than 2 s");
    let here = machine.path("workspace").display().to_string();
    let left = Command::new("pgrep").args(["-f", &here]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout), "", "a compiler is still at work");
}
