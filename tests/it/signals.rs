//! A restore or save that is told to end does so at once and with one line, wherever it is; what it leaves is cold or whole, and
//! the next one works.
//!
//! Each signal is sent while the step is known to be at its point: a connection is open, a folder is being filled, a file grows.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::bad_service::{self, Manner};
use crate::support::runner::{Runner, ballast, files_below, project};
use crate::support::{World, scrub, words, write};

/// Two seconds are promised; the rest is for a machine that has other things to do.
const AT_ONCE: Duration = Duration::from_secs(2 + 4);
const SIGNALS: [(&str, i32); 2] = [("INT", 130), ("TERM", 143)];

fn spawn(world: &World, arguments: &[&str], more: &[(&str, &str)]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rekindle"));
    command.args(arguments).current_dir(world.workspace());
    scrub(&mut command);
    command.envs(&world.env).envs(more.iter().copied()).env("GITHUB_ACTIONS", "true");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until the step is where it should be; false if it ended before.
fn reaches(child: &mut Child, is_there: impl Fn() -> bool) -> bool {
    while child.try_wait().unwrap().is_none() {
        if is_there() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    false
}

/// Sends the signal; none if the step had ended by itself. Everything that it printed.
fn end(mut child: Child, (signal, code): (&str, i32)) -> Option<String> {
    let began = Instant::now();
    Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).output().unwrap();
    let status = child.wait().unwrap();
    let took = began.elapsed();
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    if status.code() == Some(0) {
        return None;
    }
    assert_eq!(status.code(), Some(code), "{said}");
    assert!(took < AT_ONCE, "{signal}: {took:?}");
    Some(said)
}

fn stopped(signal: &str, what: &str) -> String {
    format!("stopped by SIG{signal}: nothing more is {what}\n")
}

#[test]
fn a_step_that_waits_for_the_service_ends_at_a_signal() {
    for signal in SIGNALS {
        let mut runner = Runner::new();
        runner.next_machine();
        let silent = bad_service::listen(Manner::Silent);
        let token = runner.service.token(runner.scopes);
        let temp = runner.temp();
        let env = [
            ("ACTIONS_RUNTIME_TOKEN", token.as_str()),
            ("ACTIONS_RESULTS_URL", silent.url.as_str()),
            ("ACTIONS_CACHE_SERVICE_V2", "True"),
            ("GITHUB_WORKFLOW", "CI"),
            ("GITHUB_JOB", "test"),
            ("RUNNER_TEMP", temp.to_str().unwrap()),
        ];
        let mut child = spawn(&runner.world, &["restore"], &env);
        assert!(reaches(&mut child, || silent.taken() > 0), "nobody was asked");
        assert_eq!(end(child, signal).unwrap(), stopped(signal.0, "restored"));

        // The next step of the job, and its save, find what the service has.
        assert_eq!(runner.restore().outputs["state"], "miss");
        runner.world.build();
        let asked = silent.taken();
        let mut child = spawn(&runner.world, &["save"], &env);
        assert!(reaches(&mut child, || silent.taken() > asked), "nobody was asked");
        assert_eq!(end(child, signal).unwrap(), stopped(signal.0, "saved"));
        assert!(files_below(&temp).iter().all(|path| !path.to_string_lossy().contains("pack-")), "a pack is left");
        let save = runner.save();
        assert!(save.log.contains("target: saved") && save.warnings().is_empty(), "{}", save.log);
        assert!(runner.job().compiled.is_empty());
    }
}

/// A world whose state takes a while to pack and to unpack.
fn large() -> World {
    let manifest = "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n";
    let files = [
        ("Cargo.toml", manifest.to_owned()),
        (".gitignore", "/target\n".to_owned()),
        ("build.rs", ballast(96)),
        ("src/main.rs", "fn main() { println!(\"{}\", include_str!(\"text.txt\").trim()); }\n".to_owned()),
        ("src/text.txt", "one\n".to_owned()),
    ];
    let mut world = World::in_memory("", |_| files.into_iter().map(|(path, text)| (path.to_owned(), text)).collect());
    world.command = words("build");
    world
}

fn phase(world: &World, phase: &str) -> [String; 3] {
    [phase.to_owned(), "--state".to_owned(), world.dir.join("state.json").to_str().unwrap().to_owned()]
}

fn start(world: &World, what: &str) -> Child {
    let words = phase(world, what);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    spawn(world, &words, &[("REKINDLE_STORE", &format!("dir:{}", world.store().display()))])
}

fn has(dir: &Path, prefix: &str) -> bool {
    fs::read_dir(dir).is_ok_and(|mut entries| {
        entries.any(|entry| entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with(prefix)))
    })
}

#[test]
fn a_restore_that_unpacks_leaves_the_tree_cold_or_whole() {
    let world = large();
    world.first_run();
    let mut met = 0;
    for signal in SIGNALS {
        world.wipe_and_clone();
        let mut child = start(&world, "restore");
        reaches(&mut child, || has(&world.target().join(".rekindle"), "arriving-"));
        if let Some(said) = end(child, signal) {
            assert_eq!(said, stopped(signal.0, "restored"));
            met += 1;
        }
        let compiled = world.build().compiled;
        assert!(compiled.is_empty() || compiled.len() == 3, "neither cold nor whole: {compiled:?}");
        assert_eq!(world.output(), "one\n");
        world.save();
        assert!(world.warm_run().compiled.is_empty());
    }
    assert!(met > 0, "every restore was over before its signal");
}

#[test]
fn a_save_that_packs_leaves_no_half_pack_and_can_be_made_again() {
    let world = large();
    world.wipe_and_clone();
    world.restore();
    world.build();
    let mut met = 0;
    for signal in SIGNALS {
        let mut child = start(&world, "save");
        reaches(&mut child, || has(&world.store(), ".incoming-"));
        if let Some(said) = end(child, signal) {
            assert_eq!(said, stopped(signal.0, "saved"));
            met += 1;
        }
        assert!(!has(&world.dir, "pack-") && !has(&world.store(), ".incoming-"), "a half pack is left");
    }
    assert!(met > 0, "every save was over before its signal");
    world.save();
    assert!(world.warm_run().compiled.is_empty());
    assert_eq!(world.output(), "one\n");
}

#[test]
fn an_end_that_nobody_reads_comes_as_soon() {
    let mut runner = Runner::new();
    runner.next_machine();
    let silent = bad_service::listen(Manner::Silent);
    let token = runner.service.token(runner.scopes);
    let env = [
        ("ACTIONS_RUNTIME_TOKEN", token.as_str()),
        ("ACTIONS_RESULTS_URL", &silent.url),
        ("ACTIONS_CACHE_SERVICE_V2", "True"),
    ];
    let mut child = spawn(&runner.world, &["restore"], &env);
    assert!(reaches(&mut child, || silent.taken() > 0), "nobody was asked");
    drop(child.stdout.take());
    let began = Instant::now();
    Command::new("kill").args(["-TERM", &child.id().to_string()]).output().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(began.elapsed() < AT_ONCE);
}

#[test]
fn the_hook_passes_a_signal_on_and_a_cancelled_job_is_told_of_once() {
    let mut runner = Runner::new();
    runner.next_machine();
    let silent = bad_service::listen(Manner::Silent);
    let token = runner.service.token(runner.scopes);
    let temp = runner.temp();
    write(&temp.join("state"), "");
    let mut command = Command::new("node");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/hook/main.js")).current_dir(runner.world.workspace());
    scrub(&mut command);
    command.envs(&runner.world.env).env("INPUT_BINARY", env!("CARGO_BIN_EXE_rekindle"));
    command.env("GITHUB_ACTIONS", "true").env("GITHUB_STATE", temp.join("state")).env("RUNNER_TEMP", &temp);
    command.env("ACTIONS_RUNTIME_TOKEN", token).env("ACTIONS_RESULTS_URL", &silent.url);
    command.env("ACTIONS_CACHE_SERVICE_V2", "True");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    assert!(reaches(&mut child, || silent.taken() > 0), "nobody was asked");
    let began = Instant::now();
    Command::new("kill").args(["-INT", &child.id().to_string()]).output().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(began.elapsed() < AT_ONCE);
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, stopped("INT", "restored"));
}

/// Whether a process does anything still; one that nobody has waited for does not.
fn lives(id: &str) -> bool {
    let state = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    state.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

#[test]
fn what_was_started_along_the_way_ends_with_the_step() {
    let world = World::in_memory("", |_| project(&[]));
    world.wipe_and_clone();
    let real = std::env::var("PATH").unwrap();
    for (program, manner) in [("git", ""), ("cargo", ""), ("rustc", "trap '' TERM INT\n")] {
        for signal in SIGNALS {
            let dir = world.dir.join(format!("{program}-{}", signal.0));
            let ids = dir.join("ids");
            let script = format!(
                "#!/bin/sh\n{manner}sleep 3600 &\necho \"$$\n$!\" > '{0}.new'\nmv '{0}.new' '{0}'\nwait\nsleep 3600\n",
                ids.display()
            );
            write(&dir.join("bin").join(program), &script);
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(dir.join("bin").join(program), mode).unwrap();
            let path = format!("{}:{real}", dir.join("bin").display());
            let store = format!("dir:{}", world.store().display());
            let words = phase(&world, "restore");
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let mut child = spawn(&world, &words, &[("REKINDLE_STORE", &store), ("PATH", &path)]);
            assert!(reaches(&mut child, || ids.exists()), "`{program}` was not started");
            assert_eq!(end(child, signal).unwrap(), stopped(signal.0, "restored"), "{program}");
            let ids = fs::read_to_string(ids).unwrap();
            assert_eq!(ids.lines().count(), 2);
            // What was killed on a busy machine may take a moment to go.
            for id in ids.lines() {
                let until = Instant::now() + AT_ONCE;
                while lives(id) && Instant::now() < until {
                    std::thread::sleep(Duration::from_millis(5));
                }
                assert!(!lives(id), "`{program}` goes on after SIG{}", signal.0);
            }
        }
    }
}
