//! A real `PyO3` project, built by the real frontends with build isolation: what is compiled, and what comes out.
//!
//! Nothing is fetched: `tests/all.sh` has put the crates and the build requirements into `target/tools`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::support::pyo3_job::{Job, tools};
use crate::support::write;

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
