//! Inputs that a job makes after the restore: with the shim they are as good as those that were there before, unless something
//! may have been built from anything else in their place.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use filetime::FileTime;

use crate::support::{Project, World, restored_time, write};

/// What the file says in the run that is saved.
const RECORDED: &str = "version = 3.12.1\n";
const OTHER: &str = "version = 3.13.0\n";

/// A program that prints what its build script read from a file, at an absolute path or in the workspace.
struct Job {
    world: World,
    file: PathBuf,
}

impl Job {
    /// The second run of a job whose first one saved its state, after the restore; the file is not there.
    fn restored(file: &str) -> Self {
        let mut world = World::new("", |dir| project(&dir.join(file)));
        world.options = vec!["--isolation".into(), "alias".into()];
        let runner = world.dir.join("runner");
        let path = format!("{}:{}", runner.join("rekindle/shim/bin").display(), std::env::var("PATH").unwrap());
        world.env.extend([("RUNNER_TEMP".into(), runner.to_str().unwrap().into()), ("PATH".into(), path)]);
        world.command = vec!["build".into()];
        let job = Self { file: world.dir.join(file), world };
        job.world.wipe_and_clone();
        job.world.restore();
        job.write(RECORDED);
        job.world.build();
        assert_eq!(job.world.output(), RECORDED);
        job.world.save();
        job.wipe();
        job
    }

    fn wipe(&self) {
        let _ = fs::remove_file(&self.file);
        self.world.wipe_and_clone();
        let log = self.world.restore();
        assert!(log.contains("restored "), "{log}");
    }

    fn write(&self, text: &str) {
        write(&self.file, text);
    }

    /// What a build compiles; with the shim in front of cargo, as later steps have it, or past it.
    fn compiled(&self, arguments: &str, shim: bool) -> Vec<String> {
        let mut env = self.world.env.clone();
        if !shim {
            env.insert("PATH".into(), std::env::var("PATH").unwrap());
        }
        let words = crate::support::words(arguments);
        let verdict = rekindle::cargo::verdict::run(&self.world.workspace(), &words, &env).unwrap();
        assert!(verdict.success, "{}", verdict.stderr);
        verdict.compiled.into_iter().collect()
    }

    fn prints(&self, folder: &str) -> String {
        let output = Command::new(self.world.workspace().join(folder).join("app")).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    fn list(&self) -> PathBuf {
        let lists = fs::read_dir(self.world.dir.join("runner/rekindle/shim/late")).unwrap();
        let mut paths = lists.map(|entry| entry.unwrap().path());
        paths.find(|path| path.extension().is_some_and(|end| end == "json")).unwrap_or_default()
    }
}

fn project(file: &Path) -> Project {
    let quoted = format!("{:?}", file.to_str().unwrap());
    let script = format!(
        "fn main() {{\n    let file = {quoted};\n    println!(\"cargo:rerun-if-changed={{file}}\");\n    \
         let text = std::fs::read_to_string(file).unwrap_or(\"none\\n\".into());\n    \
         println!(\"cargo:rustc-env=TEXT={{}}\", text.trim());\n}}\n"
    );
    BTreeMap::from([
        ("Cargo.toml", "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
        (".gitignore", "/target\n/other\n/.venv\n"),
        ("src/main.rs", "fn main() { println!(env!(\"TEXT\")); }\n"),
        ("build.rs", &script),
    ])
    .into_iter()
    .map(|(path, text)| (path.to_owned(), text.to_owned()))
    .collect()
}

#[test]
fn a_file_that_comes_late_as_it_was_compiles_nothing() {
    // Outside, and in the workspace where git ignores it.
    for file in ["venv/pyvenv.cfg", "work/.venv/pyvenv.cfg"] {
        let job = Job::restored(file);
        let list = fs::read_to_string(job.list()).unwrap();
        assert!(list.contains("pyvenv.cfg") && list.contains("\"seen\":false"), "{list}");
        job.write(RECORDED);
        assert_eq!(job.compiled("build", true), [""; 0], "{file}");
        let time = restored_time(&job.file);
        // A step makes it once more.
        job.write(RECORDED);
        assert_ne!(restored_time(&job.file), time);
        assert_eq!(job.compiled("build", true), [""; 0]);
        assert_eq!((restored_time(&job.file), job.world.output().as_str()), (time, RECORDED));

        job.wipe();
        job.write(RECORDED);
        assert!(!job.compiled("build", false).is_empty(), "the test proves nothing: cargo itself compiled nothing");
    }
}

#[test]
fn a_file_that_comes_late_with_other_content_is_compiled_however_old_it_looks() {
    let job = Job::restored("venv/pyvenv.cfg");
    job.write(OTHER);
    filetime::set_file_mtime(&job.file, FileTime::from_unix_time(1_600_000_000, 0)).unwrap();
    assert!(!job.compiled("build", true).is_empty());
    assert_eq!(job.world.output(), OTHER);
    // It left the list for good, and with it the list is empty.
    assert_eq!(job.list(), PathBuf::new());
    job.write(RECORDED);
    assert!(!job.compiled("build", true).is_empty());
    assert_eq!(job.world.output(), RECORDED);
}

#[test]
fn a_file_that_something_was_built_without_is_not_made_old() {
    // Built past the shim from other content: in the same profile, and in one that the state does not hold.
    for (arguments, folder) in [("build", "target/debug"), ("build --release", "target/release")] {
        let job = Job::restored("venv/pyvenv.cfg");
        job.write(OTHER);
        job.compiled(arguments, false);
        assert_eq!(job.prints(folder), OTHER);
        job.write(RECORDED);
        job.compiled(arguments, true);
        assert_eq!(job.prints(folder), RECORDED, "{arguments}");
    }
    // Built without the file, in a profile of its own.
    let job = Job::restored("venv/pyvenv.cfg");
    job.compiled("build --release", true);
    assert_eq!(job.prints("target/release"), "none\n");
    job.write(RECORDED);
    job.compiled("build --release", true);
    assert_eq!(job.prints("target/release"), RECORDED);
}

#[test]
fn a_build_elsewhere_counts_although_nobody_knows_what_it_made() {
    for first in [Some(OTHER), None] {
        let job = Job::restored("venv/pyvenv.cfg");
        if let Some(text) = first {
            job.write(text);
        }
        job.compiled("build --target-dir other", true);
        assert_eq!(job.prints("other/debug"), first.unwrap_or("none\n"));
        job.write(RECORDED);
        job.compiled("build --target-dir other", true);
        assert_eq!(job.prints("other/debug"), RECORDED);
    }
}

#[test]
fn nothing_is_decided_while_something_is_being_built() {
    let job = Job::restored("venv/pyvenv.cfg");
    let lock = job.world.target().join("debug/.cargo-lock");
    write(&lock, "");
    // Holds the lock until somebody else waits for it: Cargo, which the shim has let go by then.
    let script = "exec 9<\"$1\"; flock 9; echo held; inode=$(stat -c %i \"$1\"); \
                  for i in $(seq 2000); do grep -q -e \"-> .*:$inode \" /proc/locks && exit; sleep 0.05; done; exit 1";
    let mut holder = Command::new("sh").args(["-c", script, "sh"]).arg(&lock).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = [0; 5];
    std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut said).unwrap();
    job.write(RECORDED);
    let time = restored_time(&job.file);
    assert!(!job.compiled("build", true).is_empty());
    assert_eq!(restored_time(&job.file), time);
    assert!(holder.wait().unwrap().success(), "nobody waited for the lock");
}
