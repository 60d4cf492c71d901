//! The hook's JavaScript by itself: what it hands to the program, and what it makes of the program's end.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rekindle::github::runner::assignments;

use crate::support::runner::Runner;
use crate::support::{scrub, write};

struct Hook {
    dir: tempfile::TempDir,
}

impl Hook {
    /// With this shell script in the program's place.
    fn with(script: &str) -> Self {
        let hook = Self { dir: tempfile::tempdir().unwrap() };
        write(&hook.path("program"), &format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(hook.path("program"), fs::Permissions::from_mode(0o755)).unwrap();
        hook
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, phase: &str) -> Command {
        let mut command = Command::new("node");
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/hook").join(phase)).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if ["REKINDLE_", "INPUT_", "GITHUB_"].iter().any(|start| name.to_string_lossy().starts_with(start)) {
                command.env_remove(name);
            }
        }
        command.env("GITHUB_STATE", self.path("state")).env("STATE_binary", self.path("program"));
        command.env("STATE_state", "state.json").env("INPUT_BINARY", self.path("program"));
        command
    }

    fn run(&self, phase: &str, env: &[(&str, &str)]) -> (Option<i32>, String) {
        let Output { status, stdout, .. } = self.command(phase).envs(env.iter().copied()).output().unwrap();
        (status.code(), String::from_utf8(stdout).unwrap())
    }

    /// Cancels the step once its program says that it is ready. What was printed after that.
    fn cancelled(&self, phase: &str) -> (Option<i32>, String) {
        let mut child = self.command(phase).current_dir(self.dir.path()).stdout(Stdio::piped()).spawn().unwrap();
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        reader.read_line(&mut said).unwrap();
        assert_eq!(said, "ready\n");
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        said.clear();
        reader.read_to_string(&mut said).unwrap();
        (child.wait().unwrap().code(), said)
    }
}

/// The one of this machine, and the one that runners are going to have.
fn nodes() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap();
    let own = std::env::split_paths(&path).map(|dir| dir.join("node")).find(|node| node.exists()).unwrap();
    let newer = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/npm/node_modules/node/bin/node");
    assert!(newer.exists(), "the newer node is missing: run tests/all.sh");
    let nodes = vec![own, newer];
    let version = |node: &PathBuf| Command::new(node).arg("--version").output().unwrap().stdout;
    assert_ne!(version(&nodes[0]), version(&nodes[1]), "the same node twice shows nothing");
    nodes
}

/// A container without bash or any other shell, as Alpine's can be.
#[test]
fn a_whole_job_needs_no_shell_with_any_node() {
    let bin = tempfile::tempdir().unwrap();
    for (name, ask) in [("cargo", ["rustup", "which", "cargo"]), ("rustc", ["rustup", "which", "rustc"])] {
        let output = Command::new(ask[0]).args(&ask[1..]).output().unwrap();
        let program = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
        std::os::unix::fs::symlink(program, bin.path().join(name)).unwrap();
    }
    std::os::unix::fs::symlink(which::which("git").unwrap(), bin.path().join("git")).unwrap();

    for node in nodes() {
        let mut runner = Runner::new();
        let phase = |runner: &Runner, script: &str| {
            let state = fs::read_to_string(runner.temp().join("state")).unwrap_or_default();
            let mut command = Command::new(&node);
            command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/hook").join(script));
            command.current_dir(runner.world.workspace()).stdin(Stdio::null());
            scrub(&mut command);
            command.envs(&runner.world.env).envs(runner.environment()).env("PATH", bin.path());
            command.envs(assignments(&state).into_iter().map(|(name, value)| (format!("STATE_{name}"), value)));
            // What the hook itself keeps is one line.
            command.envs(state.lines().find_map(|line| Some(("STATE_binary", line.strip_prefix("binary=")?))));
            command.env("INPUT_BINARY", env!("CARGO_BIN_EXE_rekindle")).env("INPUT_JOB-STATUS", "success");
            let output = command.output().unwrap();
            let said = String::from_utf8(output.stdout).unwrap();
            assert!(output.status.success() && !said.contains("::warning"), "{said}");
            said
        };
        // Each way to save once.
        for (save, warm) in [("post.js", false), ("save.js", true)] {
            runner.next_machine();
            let restored = phase(&runner, "main.js");
            assert_eq!(restored.contains("restored 4 units"), warm, "{restored}");
            assert_eq!(runner.world.build().compiled.is_empty(), warm);
            let saved = phase(&runner, save);
            assert_eq!(saved.contains("target: saved"), !warm, "{saved}");
        }
    }
}

#[test]
fn inputs_reach_the_program_as_variables_and_empty_ones_do_not() {
    let hook = Hook::with("echo \"$1\"; env | grep ^REKINDLE_ | sort");
    let inputs = [("INPUT_KEY-ROLL", "2"), ("INPUT_STORE", " "), ("INPUT_JOB-STATUS", "success"), ("INPUT_KEY", "a")];
    let (code, said) = hook.run("main.js", &inputs);
    assert_eq!((code, said.as_str()), (Some(0), "restore\nREKINDLE_KEY=a\nREKINDLE_KEY_ROLL=2\n"));
    assert_eq!(fs::read_to_string(hook.path("state")).unwrap(), format!("binary={}\n", hook.path("program").display()));
    // What the runner's own environment says counts where no input says anything, and nowhere else.
    let fleet = [("REKINDLE_STORE", "dir:/fleet"), ("REKINDLE_KEY", "b"), ("REKINDLE_SAVE", "never")];
    let inputs = [("INPUT_STORE", ""), ("INPUT_KEY", "null"), ("INPUT_SAVE", "auto")];
    let said = hook.run("main.js", &[fleet, inputs].concat()).1;
    assert_eq!(said, "restore\nREKINDLE_KEY=b\nREKINDLE_SAVE=auto\nREKINDLE_STORE=dir:/fleet\n");
}

#[test]
fn only_a_wrong_input_and_strict_mode_fail_the_step() {
    for (code, main, post) in [(0, 0, 0), (1, 1, 1), (2, 2, 0), (101, 0, 0)] {
        let hook = Hook::with(&format!("exit {code}"));
        assert_eq!(hook.run("main.js", &[]).0, Some(main), "main, {code}");
        assert_eq!(hook.run("post.js", &[]).0, Some(post), "post, {code}");
    }
    let hook = Hook::with("kill -9 $$");
    let (code, said) = hook.run("main.js", &[]);
    assert_eq!((code, said.as_str()), (Some(0), "::warning title=Rekindle::the program was stopped\n"));
    fs::remove_file(hook.path("program")).unwrap();
    let (code, said) = hook.run("main.js", &[]);
    assert_eq!((code, said.lines().count()), (Some(0), 1), "{said}");
}

#[test]
fn a_step_that_has_to_find_something_also_fails_where_the_program_does_not_run() {
    let asked = [("INPUT_FAIL-ON-CACHE-MISS", "true")];
    for (code, expected, unasked) in [(0, 0, 0), (1, 1, 1), (2, 2, 2), (101, 1, 0)] {
        let hook = Hook::with(&format!("exit {code}"));
        assert_eq!(hook.run("main.js", &asked).0, Some(expected), "{code}");
        assert_eq!(hook.run("main.js", &[("INPUT_FAIL-ON-CACHE-MISS", "off")]).0, Some(unasked), "{code}");
        assert_eq!(hook.run("main.js", &[("REKINDLE_FAIL_ON_CACHE_MISS", "on")]).0, Some(expected), "{code}");
    }
    // There is no such program, nor anything to install one from.
    let hook = Hook::with("exit 0");
    fs::remove_file(hook.path("program")).unwrap();
    assert_eq!(hook.run("main.js", &asked).0, Some(1));
}

#[test]
fn the_post_step_says_how_the_job_went_and_needs_a_main_step() {
    let hook = Hook::with("echo \"$@\"");
    for (status, result) in [("success", "success"), ("cancelled", "cancelled"), ("", "failure"), ("odd", "failure")] {
        let (_, said) = hook.run("post.js", &[("INPUT_JOB-STATUS", status)]);
        let saved = format!("save --state state.json --job-result {result}\n");
        let cancelled = "rekindle: the job was cancelled; what it built is saved, in four minutes at most\n";
        assert_eq!(said, if result == "cancelled" { format!("{cancelled}{saved}") } else { saved });
    }
    assert_eq!(hook.run("post.js", &[("STATE_state", "")]), (Some(0), String::new()));
    // A save that the workflow places itself knows of no main step.
    let own = [("INPUT_JOB-STATUS", "success"), ("STATE_state", ""), ("STATE_binary", "")];
    assert_eq!(hook.run("save.js", &own), (Some(0), "save --job-result success\n".to_owned()));
}

#[test]
fn a_cancelled_main_step_waits_for_the_program() {
    let hook = Hook::with("trap 'sleep 0.5; touch tidied; exit 0' INT; echo ready; while :; do sleep 0.05; done");
    assert_eq!(hook.cancelled("main.js"), (Some(0), "rekindle: the job was cancelled\n".to_owned()));
    // The step ends after its program, not only its output.
    assert!(hook.path("tidied").exists());
    // One that does not listen is stopped, which is no fault.
    let hook = Hook::with("echo ready; exec sleep 60");
    assert_eq!(hook.cancelled("main.js"), (Some(0), "rekindle: the job was cancelled\n".to_owned()));
}

#[test]
fn what_the_runner_cannot_take_costs_the_save_and_not_the_job() {
    let hook = Hook::with("echo restored");
    for state in ["/dev/full", "/nowhere/state"] {
        let (code, said) = hook.run("main.js", &[("GITHUB_STATE", state)]);
        assert_eq!(code, Some(0), "{said}");
        assert!(
            said.contains("::warning") && said.contains("nothing will be saved") && said.contains("restored"),
            "{said}"
        );
    }
    // What cannot be started at all is thrown at once, and not told later.
    let inside_a_file = hook.path("program").join("below").to_string_lossy().into_owned();
    for (phase, name) in [("main.js", "INPUT_BINARY"), ("post.js", "STATE_binary")] {
        let (code, said) = hook.run(phase, &[(name, &inside_a_file)]);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("::warning") && said.contains("cannot be started (ENOTDIR)"), "{said}");
    }
}

#[test]
fn a_save_and_a_prune_get_the_token_and_a_prune_its_inputs() {
    let hook = Hook::with("echo \"$* | ${REKINDLE_GITHUB_TOKEN:-none} | ${REKINDLE_STORE:-none}\"");
    let token = ("INPUT_GITHUB-TOKEN", "the-token");
    let saved = hook.run("post.js", &[token, ("INPUT_JOB-STATUS", "success")]);
    assert_eq!(saved, (Some(0), "save --state state.json --job-result success | the-token | none\n".into()));
    let pruned = hook.run("prune.js", &[token, ("INPUT_STORE", "dir:/cache"), ("INPUT_MAX-SIZE", " 2 GB ")]);
    assert_eq!(pruned, (Some(0), "prune --max-size 2 GB | the-token | dir:/cache\n".into()));
    assert_eq!(hook.run("prune.js", &[("INPUT_MAX-SIZE", "")]).1, "prune | none | none\n");
}

/// Answers as GitHub's token service and Google's exchange do, and says what it was asked.
fn identity_service() -> (String, std::sync::mpsc::Receiver<String>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, asked) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
            let is_whole = |request: &[u8]| {
                let text = String::from_utf8_lossy(request).to_ascii_lowercase();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
                let length =
                    head.split_once("content-length: ").map_or("0", |(_, rest)| rest.split("\r\n").next().unwrap());
                body.len() >= length.parse().unwrap()
            };
            while !is_whole(&request) {
                let read = stream.read(&mut buffer).unwrap();
                request.extend(&buffer[..read]);
            }
            let text = String::from_utf8(request).unwrap();
            let body = if text.starts_with("POST") {
                r#"{"access_token":"access-0123456789"}"#
            } else {
                r#"{"value":"header.0123456789.signature"}"#
            };
            sender.send(text).unwrap();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            std::io::Write::write_all(&mut stream, format!("{head}{body}").as_bytes()).unwrap();
        }
    });
    (url, asked)
}

#[test]
fn a_bucket_that_asks_for_it_is_told_who_the_job_is_and_nothing_of_it_stays() {
    let hook = Hook::with(
        "for file in \"$AWS_WEB_IDENTITY_TOKEN_FILE\" \"$AZURE_FEDERATED_TOKEN_FILE\"; do [ -z \"$file\" ] || \
         { stat -c 'mode %a' \"$file\"; echo \"file $(cat \"$file\")\"; }; done; echo \"access $GOOGLE_OAUTH_ACCESS_TOKEN\"; \
         echo \"key $REKINDLE_KEY\"; exit 3",
    );
    let (url, asked) = identity_service();
    let temp = hook.path("temp");
    fs::create_dir(&temp).unwrap();
    let service = format!("{url}/token?api-version=2.0");
    let usual = [
        ("ACTIONS_ID_TOKEN_REQUEST_URL", service.as_str()),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "bearer-of-the-job"),
        ("RUNNER_TEMP", temp.to_str().unwrap()),
        ("REKINDLE_GOOGLE_EXCHANGE", url.as_str()),
        ("INPUT_KEY", "a"),
    ];
    let with = |more: &[(&'static str, &'static str)]| -> Vec<(&str, &str)> { [&usual[..], more].concat() };
    let s3 = [("INPUT_STORE", "s3://bucket/ci"), ("AWS_ROLE_ARN", "arn:aws:iam::1:role/a")];
    let tiers = [("INPUT_STORE", "dir:/cache,s3://bucket/ci"), ("AWS_ROLE_ARN", "arn:aws:iam::1:role/a")];
    let az = [("INPUT_STORE", "az://container"), ("AZURE_CLIENT_ID", "c"), ("AZURE_TENANT_ID", "t")];
    for phase in ["main.js", "post.js", "save.js"] {
        for (bucket, audience) in [
            (&s3[..], "sts.amazonaws.com"),
            (&tiers[..], "sts.amazonaws.com"),
            (&az[..], "api%3A%2F%2FAzureADTokenExchange"),
        ] {
            let (_, said) = hook.run(phase, &with(bucket));
            assert!(said.starts_with("::add-mask::header.0123456789.signature\n"), "{said}");
            assert!(said.contains("\nmode 600\nfile header.0123456789.signature\n"), "{said}");
            let request = asked.recv().unwrap();
            assert!(request.contains(&format!("&audience={audience} HTTP")), "{request}");
            assert!(request.contains("authorization: Bearer bearer-of-the-job"), "{request}");
            assert_eq!(fs::read_dir(&temp).unwrap().count(), 0, "the token stayed");
            assert_eq!(said.contains("key a"), phase == "main.js", "{said}");
        }
    }
    let provider = "projects/1/locations/global/workloadIdentityPools/github/providers/github";
    let gs = with(&[("INPUT_STORE", "gs://bucket"), ("GOOGLE_WORKLOAD_IDENTITY_PROVIDER", provider)]);
    let (_, said) = hook.run("main.js", &gs);
    assert!(said.contains("\naccess access-0123456789\n"), "{said}");
    assert!(asked.recv().unwrap().contains("&audience=%2F%2Fiam.googleapis.com%2Fprojects%2F1%2F"));
    assert!(asked.recv().unwrap().contains("subject_token=header.0123456789.signature"));

    // Nobody is asked where no bucket wants it, other credentials are there, or the job may not.
    let other = [("INPUT_STORE", "actions"), ("AWS_ROLE_ARN", "arn:aws:iam::1:role/a")];
    let keys = [&s3[..], &[("AWS_ACCESS_KEY_ID", "key")]].concat();
    for env in [with(&other), with(&keys), s3.to_vec()] {
        let (_, said) = hook.run("main.js", &env);
        assert!(!said.contains("add-mask") && !said.contains("file "), "{said}");
    }
    assert!(asked.try_recv().is_err());
    // One that does not answer costs a warning without its address.
    let mut gone = with(&s3);
    gone.push(("ACTIONS_ID_TOKEN_REQUEST_URL", "http://127.0.0.1:9/token?secret=0"));
    let (_, said) = hook.run("main.js", &gone);
    assert!(
        said.contains("::warning title=Rekindle::no identity token for the bucket") && !said.contains("secret=0"),
        "{said}"
    );
    assert!(said.contains("\nkey a\n"), "{said}");
}
