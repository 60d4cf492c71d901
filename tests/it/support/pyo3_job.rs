//! A job that builds a Python package from Rust: a project, frontends, and a record of every crate that is compiled.
//!
//! Nothing is fetched: `tests/all.sh` has put the crates and the build requirements into `target/tools`.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::{scrub, write};

pub(crate) struct Job {
    pub(crate) dir: PathBuf,
    _temp: tempfile::TempDir,
}

pub(crate) fn tools() -> PathBuf {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools");
    for part in ["python/bin/uv", "python/bin/pyproject-build", "wheels", "cargo-home/registry"] {
        assert!(tools.join(part).exists(), "{part} is missing: run tests/all.sh");
    }
    tools
}

impl Job {
    pub(crate) fn new() -> Self {
        let temp = tempfile::Builder::new().prefix("rekindle-it-").tempdir().unwrap();
        let job = Self { dir: fs::canonicalize(temp.path()).unwrap(), _temp: temp };
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pyo3");
        for file in ["Cargo.toml", "Cargo.lock", "build.rs", "pyproject.toml", "src/lib.rs"] {
            write(&job.path("project").join(file), &fs::read_to_string(fixture.join(file)).unwrap());
        }
        // Every crate that is compiled leaves its name.
        let log = format!(
            "#!/bin/sh\nfor word; do test \"$last\" = --crate-name && echo \"$word\" >> '{}'; last=$word; done\nexec \"$@\"\n",
            job.path("compiled").display()
        );
        write(&job.path("rustc-log"), &log);
        fs::set_permissions(job.path("rustc-log"), fs::Permissions::from_mode(0o755)).unwrap();
        job.wrap_gift(1);
        job
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A build requirement of one module, always of the same version.
    pub(crate) fn wrap_gift(&self, value: u32) {
        let wheel = self.path("wheels/gift-1.0-py3-none-any.whl");
        fs::create_dir_all(wheel.parent().unwrap()).unwrap();
        let quoted = format!("{:?}", wheel.to_str().unwrap());
        let script = format!(
            "import zipfile\nwith zipfile.ZipFile({quoted}, 'w') as z:\n    \
             z.writestr('gift.py', 'VALUE = {value}\\n')\n    info = 'gift-1.0.dist-info/'\n    \
             z.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: gift\\nVersion: 1.0\\n')\n    \
             z.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n    \
             z.writestr(info + 'RECORD', 'gift.py,,\\n' + info + 'METADATA,,\\n' + info + 'WHEEL,,\\n' + info + 'RECORD,,\\n')\n"
        );
        let made = Command::new("python3").args(["-c", &script]).output().unwrap();
        assert!(made.status.success(), "{made:?}");
    }

    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        scrub(&mut command);
        let bin = self.path("runner/rekindle/shim/bin");
        let links = format!("{} {}", tools().join("wheels").display(), self.path("wheels").display());
        command.current_dir(self.path("project")).stdin(Stdio::null());
        for name in ["PYO3_PYTHON", "PYTHONPATH", "VIRTUAL_ENV", "CONDA_PREFIX", "PIP_FIND_LINKS", "UV_FIND_LINKS"] {
            command.env_remove(name);
        }
        command.env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));
        command.env("RUNNER_TEMP", self.path("runner")).env("UV_CACHE_DIR", self.path("uv-cache"));
        command.env("CARGO_HOME", tools().join("cargo-home")).env("CARGO_NET_OFFLINE", "true");
        command.env("CARGO_INCREMENTAL", "0").env("RUSTC_WRAPPER", self.path("rustc-log"));
        command.env("PIP_NO_INDEX", "1").env("PIP_FIND_LINKS", links);
        command
    }

    pub(crate) fn rekindle(&self, arguments: &[&str]) -> String {
        let output = self.command(Path::new(env!("CARGO_BIN_EXE_rekindle"))).args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        // Outside a workflow the log is on standard error.
        [output.stderr, output.stdout].map(|bytes| String::from_utf8(bytes).unwrap()).concat()
    }

    /// For a job that has this interpreter.
    pub(crate) fn restore(&self, python: &Path) -> String {
        let store = format!("dir:{}", self.path("store").display());
        self.rekindle(&["restore", "--isolation", "alias", "--python", python.to_str().unwrap(), "--store", &store])
    }

    /// An environment to install into.
    pub(crate) fn venv(&self, name: &str, python: &Path) -> PathBuf {
        let root = self.path(name);
        let output =
            self.command(&tools().join("python/bin/uv")).arg("venv").arg("--python").arg(python).arg(&root).output();
        assert!(output.as_ref().unwrap().status.success(), "{output:?}");
        root
    }

    /// Installs with uv, and says which crates were compiled and what the module holds.
    pub(crate) fn install(&self, venv: &Path) -> (BTreeSet<String>, String) {
        let mut uv = self.command(&tools().join("python/bin/uv"));
        uv.args(["pip", "install", "--no-index", "--reinstall-package", "present", "--refresh-package", "gift"]);
        uv.arg("--find-links").arg(tools().join("wheels")).arg("--find-links").arg(self.path("wheels")).arg(".");
        let compiled = self.watch(uv.env("VIRTUAL_ENV", venv));
        let python =
            self.command(&venv.join("bin/python")).args(["-c", "import present; print(present.GIFT)"]).output();
        (compiled, String::from_utf8(python.unwrap().stdout).unwrap().trim().to_owned())
    }

    /// What a command has Cargo compile.
    pub(crate) fn watch(&self, command: &mut Command) -> BTreeSet<String> {
        let log = self.path("compiled");
        let _ = fs::remove_file(&log);
        let Output { status, stdout, stderr } = command.output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert!(status.success(), "{said}");
        assert!(!said.contains("rekindle:"), "{said}");
        let names = fs::read_to_string(&log).unwrap_or_default();
        // Cargo asks the compiler about itself under this name.
        names.lines().filter(|name| *name != "___").map(str::to_owned).collect()
    }
}
