//! A system that has next to nothing, as a container of Alpine's: busybox and the program. No bash, git, cargo or certificates,
//! and no `/proc`.
//!
//! Which program stands there `REKINDLE_ROOT_PROGRAM` says: the rehearsal of a release gives the one for musl. Else it is the one
//! of the tests, with the libraries that it needs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::write;

/// Puts a program there, and what it is linked with at the same place.
fn bring(root: &Path, program: &Path) {
    let to = root.join("bin").join(program.file_name().unwrap());
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(program, to).unwrap();
    let linked = Command::new("ldd").arg(program).output().unwrap();
    for library in String::from_utf8(linked.stdout).unwrap().split_whitespace().filter(|word| word.starts_with('/')) {
        let to = root.join(library.trim_start_matches('/'));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(library, to).unwrap();
    }
}

struct Root(tempfile::TempDir);

impl Root {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        bring(root, &which::which("busybox").expect("busybox is missing: run tests/all.sh"));
        let given = std::env::var_os("REKINDLE_ROOT_PROGRAM").map(PathBuf::from);
        bring(root, &given.unwrap_or_else(|| env!("CARGO_BIN_EXE_rekindle").into()));
        for program in ["sh", "env"] {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(program)).unwrap();
        }
        for folder in ["tmp", "root"] {
            fs::create_dir(root.join(folder)).unwrap();
        }
        write(&root.join("dev/null"), "");
        write(&root.join("work/Cargo.toml"), "[package]\nname = \"sample\"\nversion = \"0.1.0\"\nedition = \"2024\"\n");
        write(&root.join("work/src/lib.rs"), "pub fn one() {}\n");
        let steps =
            "      - uses: Swatinem/rust-cache@v2\n      - uses: rekindle-rs/rekindle@v1\n      - run: cargo test\n";
        let workflow = format!("on: push\njobs:\n  test:\n    runs-on: ubuntu-latest\n    steps:\n{steps}");
        write(&root.join("work/.github/workflows/ci.yml"), &workflow);
        Self(dir)
    }

    /// Exit code, and everything that was said.
    fn run(&self, command: &str) -> (Option<i32>, String) {
        // A mount of its own: it is gone when the program ends.
        let script = "mount --bind /dev/null \"$0/dev/null\" && exec chroot \"$0\" /bin/env -i PATH=/bin HOME=/root \
                      GITHUB_ACTIONS=true RUNNER_TEMP=/tmp GITHUB_STATE=/tmp/kept /bin/sh -c \"cd /work && $1\"";
        let words = ["unshare", "--mount", "sh", "-c", script, self.0.path().to_str().unwrap(), command];
        let mut sudo = Command::new("sudo");
        sudo.arg("--non-interactive").args(words);
        let mut own = Command::new(words[0]);
        own.args(&words[1..]);
        let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
        let output = if is_root { own } else { sudo }.stdin(Stdio::null()).output().unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        (output.status.code(), said)
    }
}

#[test]
fn a_system_of_busybox_alone_costs_one_warning_a_step() {
    let root = Root::new();
    assert_eq!(root.run("busybox bash -c true; git; cargo").0, Some(127), "it has more than it should");
    let version = format!("rekindle {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(root.run("rekindle --version"), (Some(0), version));
    let (code, said) = root.run("rekindle doctor");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("[second-cache]"), "{said}");
    for (command, warning) in [
        ("rekindle restore --store dir:/store", "nothing was restored: `cargo` cannot be run"),
        ("rekindle save", "nothing was saved"),
    ] {
        let (code, said) = root.run(command);
        assert_eq!((code, said.matches("::warning").count()), (Some(0), 1), "{said}");
        assert!(said.contains(warning), "{said}");
    }
}
