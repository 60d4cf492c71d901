//! A real `PyO3` project, built by the real frontends with build isolation: what is compiled, and what comes out.
//!
//! Nothing is fetched: `tests/all.sh` has put the crates and the build requirements into `target/tools`.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::{scrub, write};

struct Job {
    dir: PathBuf,
    _temp: tempfile::TempDir,
}

fn tools() -> PathBuf {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools");
    for part in ["python/bin/uv", "python/bin/pyproject-build", "wheels", "cargo-home/registry"] {
        assert!(tools.join(part).exists(), "{part} is missing: run tests/all.sh");
    }
    tools
}

impl Job {
    fn new() -> Self {
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

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A build requirement of one module, always of the same version.
    fn wrap_gift(&self, value: u32) {
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

    fn command(&self, program: &Path) -> Command {
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

    fn rekindle(&self, arguments: &[&str]) -> String {
        let output = self.command(Path::new(env!("CARGO_BIN_EXE_rekindle"))).args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// For a job that has this interpreter.
    fn restore(&self, python: &Path) -> String {
        let store = format!("dir:{}", self.path("store").display());
        self.rekindle(&["restore", "--isolation", "alias", "--python", python.to_str().unwrap(), "--store", &store])
    }

    /// An environment to install into.
    fn venv(&self, name: &str, python: &Path) -> PathBuf {
        let root = self.path(name);
        let output =
            self.command(&tools().join("python/bin/uv")).arg("venv").arg("--python").arg(python).arg(&root).output();
        assert!(output.as_ref().unwrap().status.success(), "{output:?}");
        root
    }

    /// Installs with uv, and says which crates were compiled and what the module holds.
    fn install(&self, venv: &Path) -> (BTreeSet<String>, String) {
        let mut uv = self.command(&tools().join("python/bin/uv"));
        uv.args(["pip", "install", "--no-index", "--reinstall-package", "present", "--refresh-package", "gift"]);
        uv.arg("--find-links").arg(tools().join("wheels")).arg("--find-links").arg(self.path("wheels")).arg(".");
        let compiled = self.watch(uv.env("VIRTUAL_ENV", venv));
        let python =
            self.command(&venv.join("bin/python")).args(["-c", "import present; print(present.GIFT)"]).output();
        (compiled, String::from_utf8(python.unwrap().stdout).unwrap().trim().to_owned())
    }

    /// What a command has Cargo compile.
    fn watch(&self, command: &mut Command) -> BTreeSet<String> {
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

fn names(crates: &[&str]) -> BTreeSet<String> {
    crates.iter().map(|name| (*name).to_owned()).collect()
}

fn version(python: &Path) -> String {
    let numbers = rekindle::python::interpreter::probe(python).unwrap().numbers();
    format!("{}.{}", numbers[0], numbers[1])
}

#[test]
fn an_isolated_build_of_a_warm_project_compiles_nothing() {
    let job = Job::new();
    let interpreters = crate::python::interpreters();
    assert!(interpreters.len() > 1, "a second version of Python is missing: run tests/all.sh");
    let [old, new] = [&interpreters[interpreters.len() - 2].base, &interpreters[interpreters.len() - 1].base];
    let (first, second) = (job.venv("first", old), job.venv("second", new));
    let holds = |value: u32, python: &Path| format!("{value} {}", version(python));

    job.restore(old);
    let (compiled, gift) = job.install(&first);
    assert!(compiled.contains("pyo3") && gift == holds(1, old), "{compiled:?}, {gift}");
    assert_eq!(job.install(&first), (names(&[]), holds(1, old)));
    job.rekindle(&["save"]);

    // A wiped machine.
    for gone in ["project/target", "runner"] {
        fs::remove_dir_all(job.path(gone)).unwrap();
    }
    // That the job has another interpreter is no matter of builds that name theirs.
    let log = job.restore(new);
    assert!(log.contains("restored ") && log.contains("interpreter"), "{log}");
    assert_eq!(job.install(&first), (names(&[]), holds(1, old)));

    // Two interpreters in turn: always the right one, and the price is what depends on it.
    let of_the_interpreter = ["build_script_build", "pyo3", "pyo3_build_config", "pyo3_ffi", "pyo3_macros"];
    for (venv, python) in [(&second, new), (&first, old)] {
        let (compiled, gift) = job.install(venv);
        assert_eq!(gift, holds(1, python));
        assert!(compiled.is_superset(&names(&of_the_interpreter)), "{compiled:?}");
        assert_eq!(job.install(venv), (names(&[]), gift));
    }

    // The same version of a build requirement with other content.
    job.wrap_gift(2);
    let (compiled, gift) = job.install(&first);
    assert_eq!(gift, holds(2, old));
    assert!(compiled.contains("present"), "{compiled:?}");
    assert_eq!(job.install(&first), (names(&[]), holds(2, old)));

    // Past the shim, an isolated build starts over each time.
    fs::remove_dir_all(job.path("runner/rekindle/shim/bin")).unwrap();
    assert!(job.install(&first).0.contains("pyo3"));
}

#[test]
fn frontends_and_backends_agree_on_the_path() {
    let job = Job::new();
    let python = &crate::python::interpreters().pop().unwrap().base;
    let venv = job.venv("venv", python);
    job.restore(python);
    assert!(job.install(&venv).0.contains("pyo3"));
    // `build`, in an environment of its own making, by another installer.
    let build = |isolation: &[&str]| {
        let mut build = job.command(&tools().join("python/bin/pyproject-build"));
        build.args(["--wheel", "--installer", "pip"]).args(isolation);
        build
    };
    let own = version(&tools().join("python/bin/python"));
    let again = job.watch(&mut build(&[]));
    assert!(own != version(python) || again.is_empty(), "{again:?}");
    assert_eq!(job.watch(&mut build(&[])), names(&[]));

    // setuptools-rust, whose setuptools brings a `.pth` file.
    let project = "[build-system]\nrequires = [\"setuptools\", \"setuptools-rust\", \"gift\"]\n\
                   build-backend = \"setuptools.build_meta\"\n[project]\nname = \"present\"\nversion = \"0.1.0\"\n\
                   [[tool.setuptools-rust.ext-modules]]\ntarget = \"present\"\ndebug = true\n\
                   [tool.setuptools]\npackages = []\n";
    write(&job.path("project/pyproject.toml"), project);
    let (compiled, gift) = job.install(&venv);
    assert!(compiled.contains("present") && gift == format!("1 {}", version(python)), "{compiled:?}, {gift}");
    assert_eq!(job.install(&venv), (names(&[]), gift));
}
