//! The workflows of `docs/python.md`, word for word, run by `act`: twice, with everything but what is stored gone in between.
//!
//! The actions that only fetch things are stood in for: tools that are there already, and a maturin-action that calls maturin.
//! act has a checkout of its own, to another path in every run, so a clone takes its place. The workspace and the temporary
//! folder lie at the same path every time, as on a real runner.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::act::{Act, root};
use crate::support::pyo3_job::{Job, tools};
use crate::support::{full, write};

fn documentation() -> String {
    fs::read_to_string(root().join("docs/python.md")).unwrap()
}

/// A complete workflow of the documentation, by a word in it.
fn workflow(word: &str) -> String {
    let text = documentation();
    let blocks = text.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let found: Vec<&str> = blocks.filter(|block| block.starts_with("name:") && block.contains(word)).collect();
    assert_eq!(found.len(), 1, "{word}: {found:?}");
    found[0].to_owned()
}

/// A step as a composite action.
fn stand_in(act: &Act, name: &str, script: &str) -> String {
    let lines: Vec<String> = script.lines().map(|line| format!("        {line}\n")).collect();
    let action = format!(
        "name: x\ndescription: x\ninputs:\n  args:\n    description: x\n    default: ''\n  command:\n    description: x\n    \
         default: ''\nruns:\n  using: composite\n  steps:\n    - shell: bash\n      env:\n        ARGS: ${{{{ inputs.args }}}}\n        \
         COMMAND: ${{{{ inputs.command }}}}\n      run: |\n{}",
        lines.concat()
    );
    let dir = name.replace(['/', '@'], "-");
    write(&act.path(&dir).join("action.yml"), &action);
    act.commit(&dir);
    format!("{name}={}", act.path(&dir).display())
}

struct Project {
    act: Act,
    job: Job,
    stand_ins: Vec<String>,
}

impl Project {
    fn new() -> Self {
        let mut act = Act::new().with_installed_program();
        let job = Job::new();
        let origin = act.path("origin");
        fs::remove_dir_all(&origin).unwrap();
        for file in ["Cargo.toml", "Cargo.lock", "build.rs", "src/lib.rs"] {
            write(&origin.join(file), &fs::read_to_string(job.path("project").join(file)).unwrap());
        }
        let pyproject = fs::read_to_string(job.path("project/pyproject.toml")).unwrap();
        let pyproject = pyproject.replace(
            "version = \"0.1.0\"\n",
            "version = \"0.1.0\"\nrequires-python = \">=3.9\"\n[dependency-groups]\ndev = [\"pytest\"]\n",
        );
        write(&origin.join("pyproject.toml"), &pyproject);
        write(&origin.join(".gitignore"), "/target\n/uv.lock\n/.venv\n/.nox\n/dist\n__pycache__\n.pytest_cache\n");
        write(
            &origin.join("test_present.py"),
            "import present\n\n\ndef test_it_was_built():\n    assert present.GIFT\n",
        );
        write(
            &origin.join("noxfile.py"),
            "import nox\n\n\n@nox.session(venv_backend='uv')\ndef tests(session):\n    session.install('.', 'pytest')\n    \
             session.run('pytest')\n",
        );
        act.commit("origin");

        let python = crate::python::interpreters().pop().unwrap().base;
        let uv = tools().join("python/bin/uv");
        let wheels = [tools().join("wheels"), job.path("wheels")].map(|path| path.display().to_string());
        let mut set = |name: &str, value: String| act.env.insert(name.to_owned(), value);
        set("UV_FIND_LINKS", wheels.join(","));
        set("UV_NO_INDEX", "1".into());
        set("UV_CACHE_DIR", job.path("uv-cache").display().to_string());
        set("PIP_FIND_LINKS", wheels.join(" "));
        set("PIP_NO_INDEX", "1".into());
        set("CARGO_HOME", tools().join("cargo-home").display().to_string());
        set("CARGO_NET_OFFLINE", "true".into());
        set("RUSTC_WRAPPER", job.path("rustc-log").display().to_string());
        let setup = format!(
            "{uv} venv --quiet --seed --clear --python {} \"$WORK-python\"\necho \"$WORK-python/bin\" >> \"$GITHUB_PATH\"",
            python.display(),
            uv = uv.display()
        );
        fs::create_dir_all(job.path("runner")).unwrap();
        // Nothing but uv: the folder that it lies in has tools of the tests.
        let bin = job.path("bin");
        fs::create_dir_all(&bin).unwrap();
        fs::copy(&uv, bin.join("uv")).unwrap();
        let stand_ins = vec![
            stand_in(&act, "actions/setup-python@v6", &setup),
            stand_in(&act, "astral-sh/setup-uv@v7", &format!("echo '{}' >> \"$GITHUB_PATH\"", bin.display())),
            stand_in(
                &act,
                "PyO3/maturin-action@v1",
                "cd \"$WORK\" && pip install --quiet maturin gift && maturin $COMMAND $ARGS",
            ),
        ];
        Self { act, job, stand_ins }
    }

    /// What a run of this workflow compiles.
    fn run(&self, workflow: &str) -> (BTreeSet<String>, String) {
        let work = self.act.path("work").display().to_string();
        assert!(workflow.contains("on: [push, pull_request]\n"));
        let clone =
            format!("- run: rm -rf {work} && git clone --quiet \"$ORIGIN\" {work}\n        working-directory: /\n");
        let placed = workflow
            .replace("- uses: actions/checkout@v7\n", &clone)
            .replace("jobs:\n", &format!("defaults:\n  run:\n    working-directory: {work}\njobs:\n"));
        // The temporary folder is the same in every job, as on a real runner; act has another one each time.
        let temp = format!("        env:\n          RUNNER_TEMP: {}\n", self.job.path("runner").display());
        let options = format!("rekindle@v1\n{temp}        with:\n          workspaces: {work}\n");
        let placed = placed
            .replace("rekindle@v1\n        with:\n", &options)
            .replace("rekindle@v1\n      - ", &format!("{options}      - "));
        assert!(placed.contains("workspaces: ") && placed.contains("git clone"));
        let file = self.act.path("workflow.yml");
        write(&file, &placed);
        let mut more = Vec::new();
        for stand_in in &self.stand_ins {
            more.extend(["--local-repository", stand_in]);
        }
        let log = self.job.path("compiled");
        let _ = fs::remove_file(&log);
        let run = self.act.run_file(&file, "push", &more);
        assert!(run.succeeded, "{}", run.log);
        let names = fs::read_to_string(&log).unwrap_or_default();
        (names.lines().filter(|name| *name != "___").map(str::to_owned).collect(), run.log)
    }

    fn is_warm_the_second_time(&self, word: &str) {
        let workflow = workflow(word);
        let (cold, _) = self.run(&workflow);
        assert!(cold.contains("pyo3") && cold.contains("present"), "{cold:?}");
        for gone in
            [self.job.path("runner"), self.act.path("work"), self.act.path("work-python"), self.job.path("uv-cache")]
        {
            let _ = fs::remove_dir_all(gone);
        }
        fs::create_dir_all(self.job.path("runner")).unwrap();
        let (warm, log) = self.run(&workflow);
        assert_eq!(warm, BTreeSet::new(), "{word}: {log}");
    }
}

/// The sample that always runs.
#[test]
fn uv() {
    Project::new().is_warm_the_second_time("uv sync");
}

#[test]
fn nox() {
    if full() {
        Project::new().is_warm_the_second_time("nox --session tests");
    }
}

#[test]
fn maturin_action() {
    if full() {
        Project::new().is_warm_the_second_time("maturin-action");
    }
}

/// Workflows that the tests above would otherwise not see.
#[test]
fn every_workflow_of_the_documentation_is_run() {
    assert_eq!(documentation().matches("```yaml\nname:").count(), 3);
    assert!(Path::new(&tools()).exists());
}
