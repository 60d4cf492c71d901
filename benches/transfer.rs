//! Saves and restores of a whole target folder beside `actions/cache` with its own client, at the same service: time, stored bytes
//! and peak memory, as ratios. `cargo bench --bench transfer` runs it; `-- none` with a corpus without debug information, `-- large`
//! with one that is built for three profiles, and `-- 255 150 60` over links of so many megabytes a second; `REKINDLE_BENCH` names
//! a folder in memory, and `REKINDLE_ROUNDS` how many rounds.
//!
//! The corpus is built once, from the registry, below target/bench: a server with tokio, axum, sqlx and reqwest, for development
//! and with its tests. It needs node and the official client, which `tests/all.sh` puts into target/tools, and GNU time. The
//! client believes that the service is Azure's, from which alone it reads in ranges.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, reason = "a bench is for people")]

mod clock;
#[allow(dead_code, reason = "other benches use the rest")]
mod machine;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clock::{median, timed};
use machine::{Machine, client_call, commit, run};

const MB: u64 = 1_000_000;
/// As on GitHub's own runners.
const AZURE: &str = "productionresultssa0.blob.core.windows.net";

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let has = |name: &str| wanted.iter().any(|word| word == name);
    let corpus = match (has("none"), has("large")) {
        (true, _) => corpus("server-0", 0, &[]),
        (_, true) => corpus("server-large", 2, &["release", "checked"]),
        _ => corpus("server-2", 2, &[]),
    };
    let place = std::env::var_os("REKINDLE_BENCH").map_or_else(|| corpus.parent().unwrap().to_owned(), PathBuf::from);
    let mut links: Vec<Option<u64>> = wanted.iter().filter_map(|word| word.parse().ok()).map(Some).collect();
    if links.is_empty() {
        links.push(None);
    }
    for link in links {
        let temp = tempfile::tempdir_in(&place).unwrap();
        let (name, delay) = match link {
            Some(rate) => (format!("{rate} MB/s, 60 a connection, 10 ms a request"), Duration::from_millis(10)),
            None => ("loopback".to_owned(), Duration::ZERO),
        };
        let machine = Machine::new(temp.path(), delay).with_cargo_home(corpus.join("cargo-home"));
        let machine = if let Some(rate) = link { machine.over(rate * MB, 60 * MB) } else { machine };
        compare(&name, &machine, &corpus);
    }
}

/// One link: alternating, each time under a new name.
fn compare(link: &str, machine: &Machine, corpus: &Path) {
    run(Command::new("git").args(["clone", "--quiet"]).arg(corpus).arg(machine.path("origin")));
    let mut times: [Vec<Duration>; 5] = Default::default();
    let (mut bytes, mut memory) = ([0, 0], [0, 0, 0, 0]);
    let rounds = std::env::var("REKINDLE_ROUNDS").map_or(5, |rounds| rounds.parse().unwrap());
    for round in 0..rounds {
        let key = format!("round-{round}");
        machine.service.name_blob_host("127.0.0.1");
        begin(machine);
        ours(machine, "restore", &key);
        fill(machine, corpus);
        times[0].push(timed(|| memory[0] = memory[0].max(ours(machine, "save", &key))));
        begin(machine);
        times[1].push(timed(|| memory[1] = memory[1].max(ours(machine, "restore", &key))));
        assert!(machine.path("work/target/debug/deps").is_dir());
        machine.service.name_blob_host(AZURE);
        begin(machine);
        fill(machine, corpus);
        times[2].push(timed(|| memory[2] = memory[2].max(theirs(machine, "save", &key))));
        begin(machine);
        times[3].push(timed(|| memory[3] = memory[3].max(theirs(machine, "restore", &key))));
        assert!(machine.path("work/target/debug/deps").is_dir());
        begin(machine);
        let copy = machine.path("copy");
        times[4].push(timed(|| drop(run(Command::new("cp").arg("-a").arg(corpus.join("target")).arg(&copy)))));
        machine.put_away("copy");
        // Whoever measures next writes to a disk that has nothing left to do.
        run(&mut Command::new("sync"));
        for entry in machine.service.entries() {
            let is_theirs = entry.key.starts_with("round-");
            if !entry.key.contains(".cargo-home-") {
                bytes[usize::from(is_theirs)] += entry.size;
            }
        }
        machine.service.evict("");
    }
    let [save, restore, their_save, their_restore, copy] = times.map(|mut times| median(&mut times).as_secs_f64());
    #[allow(clippy::cast_precision_loss, reason = "two digits are shown")]
    let size = bytes[0] as f64 / bytes[1] as f64;
    println!(
        "{link}: save {save:.2} s, {:.2} of `actions/cache`; restore {restore:.2} s, {:.2} of it and {:.2} of `cp -a`; bytes {size:.2}; \
         peak memory in MB, save {} and restore {} (theirs {} and {})",
        save / their_save,
        restore / their_restore,
        restore / copy,
        memory[0] / 1024,
        memory[1] / 1024,
        memory[2] / 1024,
        memory[3] / 1024
    );
}

/// A wiped machine. Memory, where nothing is slow after it was removed, holds little more than one.
fn begin(machine: &Machine) {
    machine.begin();
    if std::env::var_os("REKINDLE_BENCH").is_some() {
        fs::remove_dir_all(machine.path("attic")).unwrap();
    }
}

fn fill(machine: &Machine, corpus: &Path) {
    run(Command::new("cp")
        .args(["--archive", "--no-target-directory"])
        .arg(corpus.join("target"))
        .arg(machine.path("work/target")));
}

fn ours(machine: &Machine, phase: &str, key: &str) -> u64 {
    let mut command = Command::new("/usr/bin/time");
    command.args(["--format", "peak %M", env!("CARGO_BIN_EXE_rekindle"), phase, "--state"]);
    command.arg(machine.path("temp/state.json"));
    if phase == "restore" {
        command.args(["--store", "actions", "--key", key]);
    }
    peak(machine, command)
}

fn theirs(machine: &Machine, call: &str, key: &str) -> u64 {
    let mut command = Command::new("/usr/bin/time");
    command.args(["--format", "peak %M", "node"]).args(client_call(call, key));
    peak(machine, command)
}

/// Runs it, and gives the most memory that one of its processes had, in KiB.
fn peak(machine: &Machine, mut command: Command) -> u64 {
    let output = machine.environment(&mut command).current_dir(machine.path("work")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let all = format!("{}{said}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success() && !all.contains("::warning"), "{command:?}: {all}");
    said.lines().find_map(|line| line.strip_prefix("peak ")).unwrap().parse().unwrap()
}

/// A repository with a target folder that was built for development, with its tests, and for `profiles`.
fn corpus(name: &str, debug: u8, profiles: &[&str]) -> PathBuf {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench").join(name);
    if dir.join("target/built").exists() {
        return dir;
    }
    let _ = fs::remove_dir_all(&dir);
    let files = [
        (
            "Cargo.toml",
            format!(
                "[package]\nname = \"server\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n[dependencies]\naxum = \"0.8\"\n\
                 serde = {{ version = \"1\", features = [\"derive\"] }}\nserde_json = \"1\"\n\
                 tokio = {{ version = \"1\", features = [\"full\"] }}\n\
                 reqwest = {{ version = \"0.12\", default-features = false, features = [\"rustls-tls\", \"json\"] }}\n\
                 sqlx = {{ version = \"0.8\", default-features = false, features = [\"runtime-tokio\", \"sqlite\", \"macros\"] }}\n\
                 [profile.dev]\ndebug = {debug}\n[profile.release]\ndebug = {debug}\n\
                 [profile.checked]\ninherits = \"dev\"\nopt-level = 1\n"
            ),
        ),
        (".gitignore", "/cargo-home\n/target\n".to_owned()),
        (
            "src/lib.rs",
            "pub async fn get(url: &str) -> reqwest::Result<serde_json::Value> {\n reqwest::get(url).await?.json().await\n}\n"
                .to_owned(),
        ),
        (
            "src/main.rs",
            "use axum::{Router, routing::get};\n#[tokio::main]\nasync fn main() {\n let pool = \
             sqlx::SqlitePool::connect(\"sqlite::memory:\").await.unwrap();\n sqlx::query(\"select 1\").execute(&pool).await.unwrap();\n \
             let app: Router = Router::new().route(\"/\", get(|| async { server::get(\"http://x\").await.map(|v| v.to_string()).unwrap_or_default() }));\n \
             axum::serve(tokio::net::TcpListener::bind(\"127.0.0.1:0\").await.unwrap(), app).await.unwrap();\n}\n"
                .to_owned(),
        ),
    ];
    let tests = ["one", "two", "three"].map(|name| {
        let text = "#[tokio::test]\nasync fn nobody_answers() {\n assert!(server::get(\"http://127.0.0.1:9\").await.is_err());\n}\n";
        (format!("tests/{name}.rs"), text.to_owned())
    });
    for (path, text) in files.into_iter().map(|(path, text)| (path.to_owned(), text)).chain(tests) {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let development = [vec!["build"], vec!["test", "--no-run"]];
    let others = profiles.iter().map(|profile| vec!["test", "--no-run", "--profile", profile]);
    for arguments in development.into_iter().chain(others) {
        run(Command::new("cargo")
            .args(arguments)
            .arg("--quiet")
            .current_dir(&dir)
            .env("CARGO_HOME", dir.join("cargo-home"))
            .env("CARGO_INCREMENTAL", "0")
            .env_remove("CARGO_TARGET_DIR"));
    }
    commit(&dir);
    fs::write(dir.join("target/built"), "").unwrap();
    dir
}
