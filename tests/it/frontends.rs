//! A workspace with a Python package, built by every frontend in turn, alone and two after one another, on a machine that is
//! wiped in between: the checkout, the environment, uv's cache and the shim's folder go.
//!
//! What is expected is what the same steps compile on a machine that was not wiped, with the environment made anew as every job
//! does; where it can be nothing, nothing. `REKINDLE_FULL=1` runs all of it, a sample always.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::pyo3_job::{Job, tools};
use crate::support::{full, git, write};

/// One way to build, as a step of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Pip,
    PipNoIsolation,
    UvPip,
    UvSync,
    Build,
    MaturinDevelop,
    MaturinBuildTwo,
    SetuptoolsRust,
    CargoCheck,
    Pytest,
}

use Step::{
    Build, CargoCheck, MaturinBuildTwo, MaturinDevelop, Pip, PipNoIsolation, Pytest, SetuptoolsRust, UvPip, UvSync,
};

/// The steps of a job; whether everything stays fresh in the second one is known for all that use one interpreter one way.
const JOBS: [(&[Step], bool); 15] = [
    (&[UvPip], true),
    (&[Pip], true),
    (&[PipNoIsolation], true),
    (&[UvSync], true),
    (&[Build], true),
    (&[MaturinDevelop], true),
    (&[MaturinBuildTwo], false),
    (&[SetuptoolsRust], true),
    (&[CargoCheck], true),
    (&[UvPip, Pytest], true),
    (&[UvPip, Build], false),
    (&[MaturinDevelop, CargoCheck], false),
    (&[Pip, UvPip], false),
    (&[UvPip, CargoCheck], false),
    (&[UvSync, MaturinDevelop], false),
];

struct Frontends {
    job: Job,
    python: PathBuf,
    other: PathBuf,
}

impl Frontends {
    /// A workspace: a library, a crate whose build script runs the interpreter, and the package.
    fn new(stable_abi: bool, setuptools: bool, python: &Path, other: &Path) -> Self {
        let job = Job::new();
        let root = job.path("origin");
        let member = |name: &str| {
            format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[lib]\ndoctest = false\n")
        };
        let features = if stable_abi { "\"macros\", \"abi3-py39\"" } else { "\"macros\"" };
        let manifest = fs::read_to_string(job.path("project/Cargo.toml")).unwrap();
        let manifest = manifest.replace("[workspace]", "[workspace]\nmembers = [\"core\", \"probe\"]");
        let manifest = manifest.replace("\"macros\"", features)
            + "core = { path = \"core\", package = \"core-text\" }\nprobe = { path = \"probe\" }\n";
        write(&root.join("Cargo.toml"), &manifest);
        write(&root.join("Cargo.lock"), &fs::read_to_string(job.path("project/Cargo.lock")).unwrap());
        write(
            &root.join(".gitignore"),
            "/target\n/uv.lock\n/dist\n/build\n__pycache__\n*.egg-info\n*.so\n.pytest_cache\n",
        );
        write(&root.join("core/Cargo.toml"), &member("core-text"));
        write(
            &root.join("core/src/lib.rs"),
            "pub fn text() -> &'static str { \"core\" }\n#[test]\nfn it_has_text() { assert_eq!(text(), \"core\"); }\n",
        );
        write(&root.join("probe/Cargo.toml"), &member("probe"));
        write(&root.join("probe/src/lib.rs"), "pub const SEEN: &str = env!(\"SEEN\");\n");
        // As scripts that use cffi do; what only cargo builds has no build requirement.
        let script = r#"
fn main() {
    println!("cargo:rerun-if-env-changed=PYO3_PYTHON");
    println!("cargo:rerun-if-changed=../checks");
    let python = std::env::var("PYO3_PYTHON").unwrap_or_else(|_| "python3".into());
    let code = "import sys\ntry:\n    import gift\n    value = gift.VALUE\nexcept ImportError:\n    value = 0\nprint(value, '%d.%d' % sys.version_info[:2])";
    let output = std::process::Command::new(python).args(["-B", "-c", code]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    println!("cargo:rustc-env=SEEN={}", String::from_utf8(output.stdout).unwrap().trim());
}
"#;
        write(&root.join("probe/build.rs"), script);
        write(&root.join("src/lib.rs"), "use pyo3::prelude::*;\n\n#[pymodule]\nfn present(module: &Bound<'_, PyModule>) -> PyResult<()> {\n    module.add(\"SEEN\", format!(\"{} {}\", core::text(), probe::SEEN))\n}\n".replace("core::text", "::core_text::text").as_str());
        let manifest = fs::read_to_string(root.join("Cargo.toml"))
            .unwrap()
            .replace("core = { path = \"core\", package = \"core-text\" }", "core-text = { path = \"core\" }");
        write(&root.join("Cargo.toml"), &manifest);
        write(
            &root.join("checks/test_present.py"),
            "import present\n\n\ndef test_it_was_built():\n    assert present.SEEN.startswith('core')\n",
        );
        let python_project = if setuptools {
            "[build-system]\nrequires = [\"setuptools\", \"setuptools-rust\", \"gift\"]\nbuild-backend = \"setuptools.build_meta\"\n\
             [project]\nname = \"present\"\nversion = \"0.1.0\"\nrequires-python = \">=3.9\"\n\
             [[tool.setuptools-rust.ext-modules]]\ntarget = \"present\"\ndebug = true\n[tool.setuptools]\npackages = []\n"
        } else {
            "[build-system]\nrequires = [\"maturin\", \"gift\"]\nbuild-backend = \"maturin\"\n\
             [project]\nname = \"present\"\nversion = \"0.1.0\"\nrequires-python = \">=3.9\"\n[tool.maturin]\nprofile = \"dev\"\n"
        };
        write(&root.join("pyproject.toml"), python_project);
        fs::remove_dir_all(job.path("project")).unwrap();
        let frontends = Self { job, python: python.into(), other: other.into() };
        let lock = frontends.cargo().args(["update", "--workspace"]).current_dir(&root).output().unwrap();
        assert!(lock.status.success(), "{}", String::from_utf8_lossy(&lock.stderr));
        git(&root, &["init", "--quiet"], None);
        git(&root, &["add", "--all"], None);
        git(&root, &["commit", "--quiet", "--message", "first"], None);
        frontends.wipe();
        frontends
    }

    fn cargo(&self) -> Command {
        self.job.command(Path::new("cargo"))
    }

    fn wipe(&self) {
        for gone in ["project", "runner", "uv-cache", "venv"] {
            let _ = fs::remove_dir_all(self.job.path(gone));
        }
        let (from, to) = (self.job.path("origin"), self.job.path("project"));
        git(&self.job.dir, &["clone", "--quiet", from.to_str().unwrap(), to.to_str().unwrap()], None);
    }

    fn restore(&self) {
        let log = self.job.restore(&self.python);
        assert!(!log.contains("warning"), "{log}");
    }

    /// What every job does first, and then each step of this one: what it compiled.
    fn run(&self, steps: &[Step]) -> Vec<BTreeSet<String>> {
        let _ = fs::remove_dir_all(self.job.path("venv"));
        let venv = self.job.venv("venv", &self.python);
        steps.iter().map(|step| self.step(*step, &venv)).collect()
    }

    /// Installs build tools or test tools into the environment, from the folder of wheels.
    fn provide(&self, venv: &Path, packages: &[&str]) {
        let mut uv = self.uv(venv);
        let output = uv.args(["pip", "install", "--no-index"]).args(packages).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn uv(&self, venv: &Path) -> Command {
        let mut uv = self.job.command(&tools().join("python/bin/uv"));
        let links = format!("{} {}", tools().join("wheels").display(), self.job.path("wheels").display());
        uv.env("VIRTUAL_ENV", venv).env("UV_PROJECT_ENVIRONMENT", venv).env("UV_FIND_LINKS", links.replace(' ', ","));
        uv
    }

    /// The shim's folder, this one, and all others.
    fn path_with(&self, dir: &Path) -> String {
        let shim = self.job.path("runner/rekindle/shim/bin");
        format!("{}:{}:{}", shim.display(), dir.display(), std::env::var("PATH").unwrap())
    }

    fn step(&self, step: Step, venv: &Path) -> BTreeSet<String> {
        let python = venv.join("bin/python");
        let pip = |isolation: &[&str]| {
            self.provide(venv, &["pip"]);
            let mut pip = self.job.command(&python);
            pip.args(["-m", "pip", "install", "--no-deps", "--force-reinstall", "."]).args(isolation);
            pip
        };
        let mut command = match step {
            Pip => pip(&[]),
            PipNoIsolation => {
                self.provide(venv, &["maturin", "gift"]);
                let mut pip = pip(&["--no-build-isolation"]);
                // As in an environment that is active.
                pip.env("PATH", self.path_with(&venv.join("bin")));
                pip
            }
            UvPip | SetuptoolsRust => {
                let mut uv = self.uv(venv);
                uv.args(["pip", "install", "--no-index", "--reinstall-package", "present", "."]);
                uv
            }
            UvSync => {
                let mut uv = self.uv(venv);
                uv.args(["sync", "--no-index", "--reinstall-package", "present", "--no-editable"]);
                uv
            }
            Build => {
                let mut build = self.job.command(&tools().join("python/bin/pyproject-build"));
                build.args(["--wheel", "--installer", "pip"]);
                build
            }
            MaturinDevelop => {
                self.provide(venv, &["maturin", "gift"]);
                let mut maturin = self.job.command(&venv.join("bin/maturin"));
                maturin.args(["develop", "--uv"]).env("VIRTUAL_ENV", venv);
                maturin.env("PATH", self.path_with(&tools().join("python/bin")));
                maturin
            }
            MaturinBuildTwo => {
                self.provide(venv, &["maturin"]);
                let mut maturin = self.job.command(&venv.join("bin/maturin"));
                maturin.args(["build", "--profile", "dev", "-i"]).arg(&self.python).arg("-i").arg(&self.other);
                maturin
            }
            CargoCheck => {
                let mut cargo = self.cargo();
                cargo.args(["check", "--workspace", "--tests"]).env("VIRTUAL_ENV", venv);
                cargo
            }
            Pytest => {
                self.provide(venv, &["pytest"]);
                let mut pytest = self.job.command(&python);
                pytest.args(["-m", "pytest", "--quiet", "checks"]);
                pytest
            }
        };
        let compiled = self.job.watch(&mut command);
        if matches!(step, Pip | PipNoIsolation | UvPip | UvSync | MaturinDevelop | SetuptoolsRust) {
            self.is_right(&python);
        }
        compiled
    }

    /// The module that was installed is the one of this interpreter.
    fn is_right(&self, python: &Path) {
        let code = "import present, sys; print(present.SEEN.split()[-1] == '%d.%d' % sys.version_info[:2])";
        let output = self.job.command(python).args(["-B", "-c", code]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "True", "{output:?}");
    }
}

/// Runs a job cold, again, and on a wiped machine. What is wrong with it, if anything is.
fn prove(steps: &[Step], is_warm: bool, stable_abi: bool, python: &Path, other: &Path) -> Option<String> {
    let frontends = Frontends::new(stable_abi, steps.contains(&SetuptoolsRust), python, other);
    frontends.restore();
    let cold = frontends.run(steps);
    assert!(!cold[0].is_empty(), "{steps:?} compiled nothing");
    frontends.job.rekindle(&["save"]);
    let kept = frontends.run(steps);
    frontends.wipe();
    frontends.restore();
    let warm = frontends.run(steps);
    let mut wrong = String::new();
    if warm != kept {
        let _ = write!(wrong, "wiped: {warm:?}, kept: {kept:?} ");
    }
    if is_warm && warm.iter().any(|compiled| !compiled.is_empty()) {
        let _ = write!(wrong, "not warm: {warm:?}");
    }
    let at = format!("{steps:?}, stable ABI: {stable_abi}, {}", python.display());
    (!wrong.is_empty()).then(|| format!("{at}: {wrong}"))
}

/// Every case, and how many there are.
fn cases() -> Vec<(&'static [Step], bool, bool, PathBuf, PathBuf)> {
    let [old, new] = &two();
    let mut cases = Vec::new();
    for (python, other) in [(old, new), (new, old)] {
        for stable_abi in [false, true] {
            for (steps, is_warm) in JOBS {
                cases.push((steps, is_warm, stable_abi, python.clone(), other.clone()));
            }
        }
    }
    cases
}

/// Four of the sixty cases, other ones in each half; all of them in the long form.
fn prove_share(half: usize) {
    let cases = cases();
    let chosen = cases.iter().enumerate().filter(|(at, _)| at % 2 == half && (full() || at % 30 < 2));
    let wrong: Vec<String> = chosen
        .filter_map(|(_, (steps, is_warm, stable_abi, python, other))| {
            prove(steps, *is_warm, *stable_abi, python, other)
        })
        .collect();
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn first_half() {
    prove_share(0);
}

#[test]
fn second_half() {
    prove_share(1);
}

/// The version that pyo3 was built for last.
fn built_for(job: &Job) -> String {
    let builds = fs::read_dir(job.path("project/target/debug/build")).unwrap().map(|entry| entry.unwrap().path());
    let configs = builds.map(|dir| dir.join("out/pyo3-build-config.txt")).filter(|path| path.is_file());
    let newest = configs.max_by_key(|path| fs::metadata(path).unwrap().modified().unwrap()).unwrap();
    let text = fs::read_to_string(newest).unwrap();
    text.lines().find_map(|line| line.strip_prefix("version=")).unwrap().to_owned()
}

/// The two newest versions of Python.
fn two() -> [PathBuf; 2] {
    let interpreters = crate::python::interpreters();
    assert!(interpreters.len() > 1, "a second version of Python is missing: run tests/all.sh");
    [2, 1].map(|back| interpreters[interpreters.len() - back].base.clone())
}

fn version(python: &Path) -> String {
    let numbers = rekindle::python::interpreter::probe(python).unwrap().numbers();
    format!("{}.{}", numbers[0], numbers[1])
}

/// The key is told of one interpreter, and the environment has another: nothing is pinned behind anybody's back.
#[test]
#[ignore = "long: REKINDLE_FULL=1 tests/all.sh runs it"]
fn the_environment_decides_whatever_the_key_is_told() {
    let [old, new] = &two();
    for setuptools in [false, true] {
        let told = Frontends::new(false, setuptools, old, new);
        told.restore();
        let venv = told.job.venv("venv", new);
        assert!(!told.step(UvPip, &venv).is_empty());
        assert_eq!(built_for(&told.job), version(new));
    }
}

/// An environment at the same path, made from another Python, in a job that was warm for the first.
#[test]
fn an_environment_made_from_another_python_is_noticed() {
    let [old, new] = &two();
    let mut moved = Frontends::new(false, false, old, new);
    let venv = moved.job.path("venv");
    let rounds = if full() { 3 } else { 2 };
    for python in [old, new, old].into_iter().take(rounds) {
        moved.python = venv.join("bin/python");
        moved.wipe();
        moved.job.venv("venv", python);
        moved.restore();
        moved.step(PipNoIsolation, &venv);
        assert_eq!(built_for(&moved.job), version(python));
        moved.job.rekindle(&["save"]);
    }
}

/// Wheels for two interpreters from one target folder: each is what it says.
#[test]
#[ignore = "long: REKINDLE_FULL=1 tests/all.sh runs it"]
fn wheels_for_two_interpreters_are_what_they_say() {
    let [old, new] = &two();
    let both = Frontends::new(false, false, old, new);
    for round in 0..2 {
        both.wipe();
        both.restore();
        let venv = both.job.venv("venv", old);
        both.step(MaturinBuildTwo, &venv);
        assert_eq!(built_for(&both.job), version(new));
        for python in [old, new] {
            let tag = format!("cp{}", version(python).replace('.', ""));
            let wheels =
                fs::read_dir(both.job.path("project/target/wheels")).unwrap().map(|entry| entry.unwrap().path());
            let wheel = wheels.into_iter().find(|path| path.to_str().unwrap().contains(&tag)).unwrap();
            let venv = both.job.venv(&format!("venv-{tag}-{round}"), python);
            both.provide(&venv, &[wheel.to_str().unwrap()]);
            both.is_right(&venv.join("bin/python"));
        }
        both.job.rekindle(&["save"]);
    }
}
