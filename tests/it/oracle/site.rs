//! Where the histories of one test take place: always in the same folder, and with a compiler that compiles nothing twice.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::compile_once::COMPILER;
use crate::support::memory;

pub(super) struct Site {
    dir: tempfile::TempDir,
}

impl Site {
    pub(super) fn new() -> Self {
        let site = Self { dir: memory() };
        fs::create_dir(site.bin()).unwrap();
        std::os::unix::fs::symlink(compiler(), site.bin().join(COMPILER)).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/oracle/compile_once.rs");
        let mut command = Command::new(compiler());
        command.arg(source).arg("-o").arg(site.bin().join("rustc"));
        command.args(["--edition=2024", "--crate-name=rustc", "-Copt-level=1", "-Cstrip=symbols", "-Awarnings"]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        site
    }

    /// The folder of the next world. There can be only one at a time, because paths are a part of what is compiled.
    pub(super) fn world(&self) -> tempfile::TempDir {
        tempfile::Builder::new().prefix("world").rand_bytes(0).tempdir_in(self.dir.path()).unwrap()
    }

    fn bin(&self) -> PathBuf {
        self.dir.path().join("bin")
    }

    /// Programs for all that runs in the world.
    pub(super) fn path(&self) -> String {
        format!("{}:{}", self.bin().display(), direct_path())
    }
}

/// The compiler itself.
fn compiler() -> PathBuf {
    std::env::split_paths(&direct_path()).map(|dir| dir.join("rustc")).find(|path| path.is_file()).unwrap()
}

/// Cargo through rustup costs more than most of these builds: where rustup is, the toolchain's own programs stand in its place.
pub(super) fn direct_path() -> String {
    static PATH: OnceLock<String> = OnceLock::new();
    let find = || {
        let path = std::env::var("PATH").unwrap();
        let has = |dir: &PathBuf, program: &str| dir.join(program).is_file();
        let first = std::env::split_paths(&path).find(|dir| has(dir, "cargo")).unwrap();
        if !has(&first, "rustup") {
            return path;
        }
        let output = Command::new("rustc").args(["--print", "sysroot"]).output().unwrap();
        let sysroot = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end());
        let others = std::env::split_paths(&path).filter(|dir| !has(dir, "rustup"));
        let dirs = std::iter::once(sysroot.join("bin")).chain(others);
        std::env::join_paths(dirs).unwrap().into_string().unwrap()
    };
    PATH.get_or_init(find).clone()
}
