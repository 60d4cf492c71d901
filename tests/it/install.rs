//! The installer: tool cache, release asset, source, and what it does when none of them works. On a small program of the same
//! name, so that a build takes a second.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rekindle::digest::Digest;

use crate::support::write;

struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let machine = Self { dir: tempfile::tempdir().unwrap() };
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let action = machine.path("workspace/action");
        fs::create_dir_all(action.join("dist")).unwrap();
        fs::copy(root.join("dist/install.sh"), action.join("dist/install.sh")).unwrap();
        let manifest = "[package]\nname = \"rekindle\"\nversion = \"9.9.9\"\nedition = \"2021\"\nrust-version = \"1.88\"\n[workspace]\n";
        write(&action.join("Cargo.toml"), manifest);
        write(&action.join("Cargo.lock"), "version = 4\n[[package]]\nname = \"rekindle\"\nversion = \"9.9.9\"\n");
        write(&action.join("src/main.rs"), "fn main() { println!(\"from source\"); }\n");
        machine.release(None);
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        fs::canonicalize(self.dir.path()).unwrap().join(name)
    }

    /// A release whose asset says where it comes from, in the form that the release script writes.
    fn release(&self, hash_of: Option<&str>) {
        let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
        let text = match hash_of {
            None => "{\"version\":null,\"targets\":{}}\n".to_owned(),
            Some(content) => format!(
                "{{\n  \"version\": \"9.9.9\",\n  \"targets\": {{\n    \"aarch64-apple-darwin\": {{\n      \"url\": \"file:///nowhere\",\n      \
                 \"sha256\": \"00\"\n    }},\n    \"{target}\": {{\n      \"url\": \"file://{}\",\n      \"sha256\": \"{}\"\n    }}\n  }}\n}}\n",
                self.path("asset").display(),
                Digest::of(content.as_bytes())
            ),
        };
        write(&self.path("workspace/action/dist/release.json"), &text);
        write(&self.path("asset"), ASSET);
    }

    fn install(&self, more: &[(&str, &str)]) -> Output {
        fs::create_dir_all(self.path("temp")).unwrap();
        let mut command = Command::new("bash");
        command.arg(self.path("workspace/action/dist/install.sh")).current_dir(self.path("workspace"));
        for name in ["GITHUB_ACTIONS", "CARGO_TARGET_DIR", "GITHUB_OUTPUT", "RUSTUP_TOOLCHAIN"] {
            command.env_remove(name);
        }
        command.env("RUNNER_TEMP", self.path("temp")).env("RUNNER_TOOL_CACHE", self.path("tools"));
        let output = command.envs(more.iter().copied()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(fs::read_dir(self.path("temp")).unwrap().count(), 0, "something is left in the temporary folder");
        output
    }

    /// What the installed program says, or nothing if there is none.
    fn program(&self, more: &[(&str, &str)]) -> String {
        let output = String::from_utf8(self.install(more).stdout).unwrap();
        match output.lines().last() {
            None | Some("") => String::new(),
            Some(path) => String::from_utf8(Command::new(path).output().unwrap().stdout).unwrap().trim().to_owned(),
        }
    }

    fn installed(&self) -> PathBuf {
        let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
        self.path(&format!("tools/rekindle/9.9.9/{target}/rekindle"))
    }
}

const ASSET: &str = "#!/bin/sh\necho from release\n";

#[test]
fn a_release_whose_hash_is_the_written_one_is_installed_once() {
    let machine = Machine::new();
    machine.release(Some(ASSET));
    assert_eq!(machine.program(&[]), "from release");
    // It is in the tool cache now, and nothing is fetched.
    fs::remove_file(machine.path("asset")).unwrap();
    assert_eq!(machine.program(&[]), "from release");
    // Somebody else's program in its place is not run.
    write(&machine.path("asset"), ASSET);
    write(&machine.installed(), "#!/bin/sh\necho from nowhere\n");
    fs::set_permissions(machine.installed(), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(machine.program(&[]), "from release");
}

#[test]
fn a_release_with_other_bytes_is_refused_and_the_source_is_built() {
    let machine = Machine::new();
    machine.release(Some("what was released"));
    let output = machine.install(&[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("what was downloaded is not what dist/release.json names"), "{said}");
    assert!(!machine.installed().exists());
    assert_eq!(machine.program(&[]), "from source");
}

#[test]
fn the_jobs_own_settings_do_not_reach_a_build_from_source() {
    let machine = Machine::new();
    write(&machine.path("workspace/rust-toolchain.toml"), "[toolchain]\nchannel = \"1.0.0\"\n");
    write(&machine.path("workspace/.cargo/config.toml"), "[build]\nrustflags = [\"--nonsense\"]\n");
    let settings = [("RUSTFLAGS", "--nonsense"), ("RUSTC_WRAPPER", "/nowhere"), ("CARGO_BUILD_TARGET", "nowhere")];
    assert_eq!(machine.program(&settings), "from source");
    assert!(!machine.path("workspace/action/target").exists());
    // The next job finds it.
    assert_eq!(machine.program(&[("PATH", "/usr/bin:/bin")]), "from source");
}

#[test]
fn when_nothing_works_the_answer_is_empty_and_a_warning() {
    let machine = Machine::new();
    write(&machine.path("workspace/action/src/main.rs"), "fn main() { no }\n");
    let outputs = machine.path("outputs");
    let output = machine.install(&[("GITHUB_ACTIONS", "true"), ("GITHUB_OUTPUT", outputs.to_str().unwrap())]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said.lines().filter(|line| line.starts_with("::warning ")).count(), 1, "{said}");
    assert_eq!(said.lines().last(), Some(""));
    assert_eq!(fs::read_to_string(outputs).unwrap(), "binary=\n");
    // A build that takes too long is ended.
    write(&machine.path("workspace/action/src/main.rs"), "const _: () = loop {};\nfn main() {}\n");
    let allow = "#![allow(long_running_const_eval)]\n";
    let text = fs::read_to_string(machine.path("workspace/action/src/main.rs")).unwrap();
    write(&machine.path("workspace/action/src/main.rs"), &format!("{allow}{text}"));
    let output = machine.install(&[("REKINDLE_BUILD_LIMIT", "2")]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("the build took longer than 2 s"), "{said}");
    let here = machine.path("workspace").display().to_string();
    let left = Command::new("pgrep").args(["-f", &here]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout), "", "a compiler is still at work");
}
