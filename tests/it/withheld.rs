//! What the programs that are started along the way are not given: the tokens of the job, and what somebody types.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::{World, write};

/// Values that nobody else may see, by the names under which a runner gives them.
const TOKENS: [(&str, &str); 8] = [
    ("ACTIONS_RUNTIME_TOKEN", "stands-for-the-runtime-token"),
    ("ACTIONS_RESULTS_URL", "http://127.0.0.1:9/stands-for-the-results-url/"),
    ("ACTIONS_CACHE_URL", "http://127.0.0.1:9/stands-for-the-cache-url/"),
    ("ACTIONS_ID_TOKEN_REQUEST_URL", "http://127.0.0.1:9/stands-for-the-id-url/"),
    ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "stands-for-the-id-token"),
    ("REKINDLE_GITHUB_TOKEN", "stands-for-the-given-token"),
    ("INPUT_GITHUB-TOKEN", "stands-for-the-input-token"),
    ("GITHUB_TOKEN", "stands-for-the-jobs-token"),
];

const PROGRAMS: [&str; 16] = [
    "git",
    "cargo",
    "rustc",
    "cc",
    "c++",
    "ar",
    "ld",
    "python3",
    "ldd",
    "getconf",
    "uname",
    "dpkg-query",
    "rustup",
    "named-by-the-checkout",
    "clang",
    "lld",
];

/// Puts something in front of every program that writes its environment down and goes on as the real one.
fn stand_ins(dir: &Path) -> String {
    let real = std::env::var("PATH").unwrap();
    for program in PROGRAMS {
        let script = format!(
            "#!/bin/sh\n{{ echo '== {program}'; /usr/bin/env; /usr/bin/readlink /proc/$$/fd/0; }} >> '{0}/record'\nPATH='{real}'\nexport PATH\n\
             command -v {program} >/dev/null || {{ echo '{program} 1.0'; exit 0; }}\nexec {program} \"$@\"\n",
            dir.display()
        );
        let path = dir.join("bin").join(program);
        write(&path, &script);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    format!("{}:{real}", dir.join("bin").display())
}

#[test]
fn no_program_that_is_started_gets_a_token_of_the_job_or_waits_for_an_answer() {
    let mut world = World::scenario();
    let config = fs::read_to_string(world.origin().join("work/.cargo/config.toml")).unwrap();
    let archiver = "[target.x86_64-unknown-linux-gnu]\nar = \"named-by-the-checkout\"\n";
    world.change(&[("work/.cargo/config.toml", &format!("{config}\n{archiver}"))]);
    let dir = world.dir.join("stand-ins");
    let path = stand_ins(&dir);
    let mut more: BTreeMap<String, String> =
        TOKENS.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    more.insert("PATH".into(), path);
    world.wipe_and_clone();
    let store = format!("dir:{}", world.store().display());
    let state = world.dir.join("state.json");
    let state = state.to_str().unwrap();
    let run = |arguments: &[&str]| {
        let output = world.rekindle_step(arguments, &more);
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(output.status.success(), "{said}");
        for (_, value) in TOKENS {
            assert!(!said.contains(value), "{said}");
        }
    };
    run(&["restore", "--store", &store, "--state", state, "--python", "3"]);
    world.build();
    run(&["save", "--state", state, "--save", "always"]);
    run(&["key", "--store", &store]);
    run(&["python"]);
    run(&["mtime"]);
    run(&["doctor"]);

    let record = fs::read_to_string(dir.join("record")).unwrap();
    for (name, value) in TOKENS {
        assert!(!record.contains(value), "{name} reached a program");
        assert!(!record.lines().any(|line| line.starts_with(&format!("{name}="))), "{name} reached a program");
    }
    let typed = world.dir.join("typed");
    assert!(!record.lines().any(|line| Path::new(line) == typed), "a program reads what is typed");
    let asked: BTreeSet<&str> = record.lines().filter_map(|line| line.strip_prefix("== ")).collect();
    for program in ["git", "cargo", "rustc", "cc", "python3", "named-by-the-checkout"] {
        assert!(asked.contains(program), "the test proves nothing of {program}: {asked:?}");
    }
}
