//! Wheels that are built by way of the sdist: from a copy of the sources in a temporary folder, each of whose files has the same
//! old time whatever is in it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::pyo3_job::{Job, tools};
use crate::support::{World, git, write};

/// A frontend that makes the sdist first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frontend {
    Build,
    Uv,
}

struct Wheels {
    job: Job,
    python: PathBuf,
}

impl Wheels {
    /// After the first restore of a job. The package has no build script, and a module that says what it was compiled from.
    fn new() -> Self {
        let job = Job::new();
        let project = job.path("project");
        fs::remove_file(project.join("build.rs")).unwrap();
        let manifest = fs::read_to_string(project.join("pyproject.toml")).unwrap();
        write(&project.join("pyproject.toml"), &manifest.replace(", \"gift\"", ""));
        write(&project.join(".gitignore"), "/target\n/dist\n");
        let python = crate::python::interpreters().pop().unwrap().base;
        let wheels = Self { job, python };
        wheels.write("first");
        for arguments in [&["init", "--quiet"][..], &["add", "--all"], &["commit", "--quiet", "--message", "first"]] {
            git(&project, arguments, None);
        }
        wheels.job.restore(&wheels.python);
        wheels
    }

    fn write(&self, text: &str) {
        let code = format!(
            "use pyo3::prelude::*;\n\n#[pymodule]\nfn present(module: &Bound<'_, PyModule>) -> PyResult<()> {{\n    \
             module.add(\"GIFT\", \"{text}\")\n}}\n"
        );
        write(&self.job.path("project/src/lib.rs"), &code);
    }

    fn wipe(&self) {
        self.job.rekindle(&["save"]);
        for gone in ["project/target", "project/dist", "runner", "uv-cache"] {
            let _ = fs::remove_dir_all(self.job.path(gone));
        }
        let log = self.job.restore(&self.python);
        assert!(log.contains("restored ") && !log.contains("warning"), "{log}");
    }

    fn command(&self, frontend: Frontend) -> Command {
        match frontend {
            Frontend::Build => {
                let mut build = self.job.command(&tools().join("python/bin/pyproject-build"));
                build.args(["--installer", "pip"]);
                build
            }
            Frontend::Uv => {
                let mut uv = self.job.command(&tools().join("python/bin/uv"));
                let links = tools().join("wheels");
                uv.args(["build", "--no-index", "--python"]).arg(&self.python).arg("--find-links").arg(links);
                uv
            }
        }
    }

    /// What was compiled, and what the wheel says.
    fn build(&self, frontend: Frontend) -> (BTreeSet<String>, String) {
        let _ = fs::remove_dir_all(self.job.path("project/dist"));
        let compiled = self.job.watch(&mut self.command(frontend));
        let files = fs::read_dir(self.job.path("project/dist")).unwrap().map(|entry| entry.unwrap().path());
        let wheel = files.into_iter().find(|path| path.extension().is_some_and(|end| end == "whl")).unwrap();
        (compiled, self.says(&wheel, frontend))
    }

    fn says(&self, wheel: &Path, frontend: Frontend) -> String {
        let python = if frontend == Frontend::Build { tools().join("python/bin/python") } else { self.python.clone() };
        let unpacked = self.job.path("installed");
        let _ = fs::remove_dir_all(&unpacked);
        let script = "import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2]); \
                      sys.path.insert(0, sys.argv[2]); import present; print(present.GIFT)";
        let output = self.job.command(&python).args(["-B", "-c", script]).arg(wheel).arg(&unpacked).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

fn names(crates: &[&str]) -> BTreeSet<String> {
    crates.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn a_wheel_by_way_of_the_sdist_is_warm_and_right() {
    let wheels = Wheels::new();
    for (frontend, now, then) in [(Frontend::Build, "first", "second"), (Frontend::Uv, "second", "first")] {
        let (cold, said) = wheels.build(frontend);
        // The second one can have the interpreter of the first.
        assert!(frontend == Frontend::Uv || cold.contains("pyo3"), "{cold:?}");
        assert_eq!(said, now);
        wheels.wipe();
        assert_eq!(wheels.build(frontend), (names(&[]), now.to_owned()), "{frontend:?}, on a wiped machine");
        wheels.write(then);
        assert_eq!(wheels.build(frontend), (names(&["present"]), then.to_owned()), "{frontend:?}");
    }
}

/// What it printed or wrote can name the last copy, which is gone.
#[test]
fn a_build_script_of_the_copy_runs_for_each_copy() {
    let wheels = Wheels::new();
    let script = "fn main() {\n    println!(\"cargo:rerun-if-changed=src/words.txt\");\n    \
                  let dir = std::env::var(\"CARGO_MANIFEST_DIR\").unwrap();\n    \
                  std::fs::write(format!(\"{dir}/src/made.rs\"), \"pub const MADE: &str = \\\"made\\\";\\n\").unwrap();\n    \
                  println!(\"cargo:rustc-link-search=native={dir}/src\");\n    println!(\"cargo:rustc-env=DIR={dir}\");\n}\n";
    write(&wheels.job.path("project/build.rs"), script);
    write(&wheels.job.path("project/src/words.txt"), "words\n");
    write(&wheels.job.path("project/.gitignore"), "/target\n/dist\n/src/made.rs\n");
    let code = "use pyo3::prelude::*;\nmod made;\n\n#[pymodule]\nfn present(module: &Bound<'_, PyModule>) -> PyResult<()> {\n    \
                module.add(\"GIFT\", concat!(env!(\"DIR\"), \" \", env!(\"CARGO_MANIFEST_DIR\")))?;\n    \
                module.add(\"MADE\", made::MADE)\n}\n";
    write(&wheels.job.path("project/src/lib.rs"), code);
    let mut seen = BTreeSet::new();
    for round in 0..2 {
        let (compiled, said) = wheels.build(Frontend::Build);
        let (by_script, by_env) = said.split_once(' ').unwrap();
        assert_eq!(by_script, by_env);
        assert!(by_script.contains("/build-via-sdist-") && seen.insert(by_script.to_owned()), "{said}");
        assert!(round == 0 || compiled == names(&["present"]), "{compiled:?}");
        wheels.wipe();
    }
}

/// Nobody is in front of cargo, and the copy is gone: what is left is a wheel, and a target that nobody used.
#[test]
fn a_wheel_that_nothing_here_was_built_for_is_told() {
    let world = World::scenario();
    world.first_run();
    let advice = |files: &[&str]| {
        world.wipe_and_clone();
        world.restore();
        write(&world.workspace().join("pyproject.toml"), "[project]\nname = \"w\"\n");
        for file in files {
            write(&world.workspace().join("dist").join(file), "");
        }
        world.save();
        let report = fs::read_to_string(world.dir.join("state.report.json")).unwrap();
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        let all = report["advice"].as_array().cloned().unwrap_or_default();
        all.iter().map(|one| format!("{} {}", one["id"], one["evidence"])).collect::<Vec<_>>().join("\n")
    };
    let wheel = "w-0.1.0-cp312-cp312-linux_x86_64.whl";
    let told = advice(&["w-0.1.0.tar.gz", wheel]);
    assert!(told.contains("\"sdist-copy\"") && told.contains(&format!("dist/{wheel}")), "{told}");
    for others in [&[wheel][..], &["w-0.1.0.tar.gz", "w-0.1.0-py3-none-any.whl"], &["other-0.1.0.tar.gz", wheel]] {
        assert_eq!(advice(others), "", "{others:?}");
    }
}
