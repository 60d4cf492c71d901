//! The `cargo` shim: that nobody notices it where there is nothing to do, and that the path it gives to an environment that is
//! made for one build stands for everything in it.
//!
//! The real cargo is a shell script here, so that a test sees what it is given. The environments are real ones.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::{nightly, write};

/// A folder with a shim, and a script in place of cargo.
struct Place {
    dir: PathBuf,
    _temp: tempfile::TempDir,
}

impl Place {
    fn new(script: &str) -> Self {
        let temp = tempfile::Builder::new().prefix("rekindle-it-").tempdir().unwrap();
        let place = Self { dir: fs::canonicalize(temp.path()).unwrap(), _temp: temp };
        place.program("real/cargo", script);
        write(&place.path("project/Cargo.toml"), "[package]\nname = \"p\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
        write(&place.path("project/src/lib.rs"), "");
        let mut restore = Command::new(env!("CARGO_BIN_EXE_rekindle"));
        let store = format!("dir:{}", place.path("store").display());
        restore.args(["restore", "--isolation", "alias", "--store", &store]).current_dir(place.path("project"));
        crate::support::scrub(&mut restore);
        let output = restore.env("RUNNER_TEMP", place.path("runner")).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.ends_with(&format!("export PATH={}:\"$PATH\"\n", place.bin().display())), "{said}");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn program(&self, name: &str, script: &str) -> PathBuf {
        let path = self.path(name);
        write(&path, &format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn shim(&self) -> PathBuf {
        self.path("runner/rekindle/shim")
    }

    fn bin(&self) -> PathBuf {
        self.shim().join("bin")
    }

    fn aliases(&self) -> PathBuf {
        self.shim().join("alias")
    }

    /// A call of `program` with nothing of the tests' own environment in it.
    fn call(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        let path = format!("{}:{}:/usr/bin:/bin", self.bin().display(), self.path("real").display());
        command.args(arguments).current_dir(self.path("project")).stdin(Stdio::null());
        command.env_clear().env("PATH", path).env("HOME", &self.dir);
        command
    }

    fn shimmed(&self, arguments: &[&str]) -> Command {
        self.call(&self.bin().join("cargo"), arguments)
    }

    fn direct(&self, arguments: &[&str]) -> Command {
        self.call(&self.path("real/cargo"), arguments)
    }

    /// An environment as `build` makes one, with these packages, each of one module.
    fn environment(&self, name: &str, python: &Path, packages: &[(&str, &str)]) -> PathBuf {
        let root = self.path("temp").join(format!("build-env-{name}"));
        fs::create_dir_all(root.parent().unwrap()).unwrap();
        let made = Command::new(python).args(["-m", "venv", "--without-pip"]).arg(&root).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        for (package, code) in packages {
            install(&root, package, code);
        }
        root
    }

    fn equal_environment(&self, name: &str) -> PathBuf {
        self.environment(name, &python(), &[("gift", "VALUE = 1\n")])
    }

    /// A build in an environment, as a backend starts it.
    fn build_in(&self, root: &Path) -> Command {
        let mut command = self.shimmed(&["build"]);
        let python = root.join("bin/python");
        command.env("PYO3_PYTHON", &python).env("PYTHON_SYS_EXECUTABLE", &python).env("VIRTUAL_ENV", root);
        let path = command.get_envs().find(|(name, _)| *name == "PATH").unwrap().1.unwrap().to_owned();
        command.env("PATH", format!("{}:{}", root.join("bin").display(), path.to_str().unwrap()));
        command
    }
}

fn python() -> PathBuf {
    crate::python::interpreters().pop().unwrap().base
}

fn site(root: &Path) -> PathBuf {
    let mut libs = fs::read_dir(root.join("lib")).unwrap().map(|entry| entry.unwrap().path());
    libs.next().unwrap().join("site-packages")
}

fn install(root: &Path, package: &str, code: &str) {
    let info = format!("{package}-1.0.dist-info");
    write(&site(root).join(format!("{package}/__init__.py")), code);
    write(&site(root).join(&info).join("METADATA"), &format!("Name: {package}\nVersion: 1.0\n"));
    let rows = format!("{package}/__init__.py,sha256=x,1\n{info}/METADATA,,\n{info}/RECORD,,\n");
    write(&site(root).join(&info).join("RECORD"), &rows);
}

/// The variables that `env` printed.
fn variables(output: &Output) -> BTreeMap<String, String> {
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().filter_map(|line| line.split_once('=')).map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn wait_for(path: &Path) {
    let began = Instant::now();
    while !path.exists() {
        assert!(began.elapsed() < Duration::from_secs(120), "{} does not come", path.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn arguments_streams_and_the_exit_code_are_the_real_ones() {
    let place = Place::new("printf '<%s>' \"$@\"; cat; echo oh >&2; exit 7");
    let arguments = ["build", "a b", "", "--", "'\"$HOME*", "-x=\n1"];
    let run = |mut command: Command| {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"in\xffput").unwrap();
        child.wait_with_output().unwrap()
    };
    let (ours, theirs) = (run(place.shimmed(&arguments)), run(place.direct(&arguments)));
    assert_eq!((ours.status.code(), &ours.stdout, &ours.stderr), (Some(7), &theirs.stdout, &theirs.stderr));
    assert!(ours.stdout.ends_with(b"in\xffput") && ours.stdout.starts_with(b"<build><a b><><--><'\"$HOME*><-x=\n1>"));
    // The same as a command of the program.
    let mut named = place.call(Path::new(env!("CARGO_BIN_EXE_rekindle")), &["cargo", "--"]);
    named.args(arguments).env("RUNNER_TEMP", place.path("runner"));
    assert_eq!(run(named).stdout, theirs.stdout);
}

#[test]
fn the_process_is_the_real_one_and_gets_the_signals() {
    let place = Place::new("trap 'exit 42' TERM; echo $$ > new; mv new pid; while :; do sleep 0.05; done");
    for (signal, code, by) in [("TERM", Some(42), None), ("KILL", None, Some(9)), ("INT", None, Some(2))] {
        let pid = place.path("project/pid");
        let _ = fs::remove_file(&pid);
        let mut child = place.shimmed(&["build"]).spawn().unwrap();
        wait_for(&pid);
        assert_eq!(fs::read_to_string(&pid).unwrap().trim(), child.id().to_string());
        let kill = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
        assert!(kill.success());
        let status = child.wait().unwrap();
        assert_eq!((status.code(), status.signal()), (code, by), "{signal}");
    }
}

#[test]
fn the_environment_is_handed_on_as_it_came() {
    let place = Place::new("env");
    let pass = |command: &mut Command| {
        command.env("PYO3_PYTHON", "/w/.venv/bin/python").env("VIRTUAL_ENV", "/w/.venv").env("CARGO", "/other/cargo");
    };
    let (mut ours, mut theirs) = (place.shimmed(&["build"]), place.direct(&["build"]));
    pass(&mut ours);
    pass(&mut theirs);
    let mut seen = variables(&ours.output().unwrap());
    assert_eq!(seen.remove("REKINDLE_CARGO_DEPTH").as_deref(), Some("1"));
    assert_eq!(seen, variables(&theirs.output().unwrap()));
    // Cargo would tell its build scripts that it is the shim.
    let output = place.shimmed(&["build"]).env("CARGO", place.bin().join("cargo")).output().unwrap();
    assert!(!variables(&output).contains_key("CARGO"));
}

#[test]
fn a_toolchain_and_a_cargo_that_calls_cargo_work() {
    let place = Place::new("");
    let rustup = std::env::var("PATH").unwrap();
    let shimmed = |arguments: &[&str]| {
        let mut command = place.shimmed(arguments);
        let home = std::env::home_dir().unwrap();
        command.env("PATH", format!("{}:{rustup}", place.bin().display())).env("HOME", home);
        for name in ["CARGO_HOME", "RUSTUP_HOME"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        command.output().unwrap()
    };
    let version = |output: Output| {
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(version(shimmed(&[&format!("+{}", nightly()), "--version"])).contains("nightly"));
    // `cargo run` becomes the program, and that calls cargo in turn.
    write(
        &place.path("project/src/main.rs"),
        "fn main() { std::process::Command::new(\"cargo\").arg(\"--version\").status().unwrap(); }\n",
    );
    assert!(version(shimmed(&["run", "--quiet"])).starts_with("cargo "));
}

#[test]
fn without_a_real_cargo_it_says_so_as_a_shell_would() {
    let place = Place::new("");
    let output = place.shimmed(&["build"]).env("PATH", place.bin()).output().unwrap();
    assert_eq!(output.status.code(), Some(127));
    assert_eq!(said(&output), "rekindle: cargo: command not found (PATH holds no other cargo than Rekindle's)\n");
    // What cannot be run is none, and neither is another shim.
    write(&place.path("flat/cargo"), "");
    let other = Place::new("");
    let path = format!("{}:{}:{}", place.bin().display(), place.path("flat").display(), other.bin().display());
    assert_eq!(place.shimmed(&["build"]).env("PATH", path).output().unwrap().status.code(), Some(127));
}

#[test]
fn a_wrapper_that_leads_back_is_stopped() {
    let place = Place::new("exec cargo \"$@\"");
    let output = place.shimmed(&["build"]).output().unwrap();
    assert_eq!(output.status.code(), Some(127));
    assert!(said(&output).contains("leads back to Rekindle's cargo without end"), "{}", said(&output));
}

#[test]
fn equal_environments_have_one_path_and_it_leads_to_the_one_that_builds() {
    let place = Place::new(
        "env; readlink \"$VIRTUAL_ENV\" >&2; $PYO3_PYTHON -c 'import gift; print(\"GIFT=\" + str(gift.VALUE))'",
    );
    let build = |root: &Path| {
        let output = place.build_in(root).output().unwrap();
        assert_eq!(said(&output), format!("{}\n", root.display()));
        variables(&output)
    };
    let (a, b) = (place.equal_environment("a"), place.equal_environment("b"));
    let (seen, again) = (build(&a), build(&b));
    for name in ["PYO3_PYTHON", "PYTHON_SYS_EXECUTABLE", "VIRTUAL_ENV", "GIFT"] {
        assert_eq!(seen[name], again[name]);
    }
    assert!(seen["PYO3_PYTHON"].starts_with(place.aliases().to_str().unwrap()) && seen["GIFT"] == "1");
    assert!(seen["PATH"].starts_with(&format!("{}/bin:", seen["VIRTUAL_ENV"])), "{}", seen["PATH"]);
    assert_eq!(seen["PYO3_PYTHON"], format!("{}/bin/python", seen["VIRTUAL_ENV"]));

    // The same version with other content, and another interpreter, are others.
    let changed = place.environment("c", &python(), &[("gift", "VALUE = 2\n")]);
    let changed = build(&changed);
    assert_eq!(changed["GIFT"], "2");
    let more = build(&place.environment("d", &python(), &[("gift", "VALUE = 1\n"), ("other", "")]));
    let interpreters = crate::python::interpreters();
    assert!(interpreters.len() > 1, "a second version of Python is missing: run tests/all.sh");
    let other = build(&place.environment("e", &interpreters[0].base, &[("gift", "VALUE = 1\n")]));
    let paths = [&seen, &changed, &more, &other].map(|seen| seen["PYO3_PYTHON"].clone());
    assert_eq!(paths.iter().collect::<std::collections::BTreeSet<_>>().len(), 4, "{paths:?}");
    // And what was first is the first again.
    assert_eq!(build(&a)["PYO3_PYTHON"], seen["PYO3_PYTHON"]);
}

#[test]
fn an_environment_that_cannot_be_known_keeps_its_path_and_the_reason_is_said() {
    let place = Place::new("env");
    let refused = |name: &str, change: &dyn Fn(&Path), more: &[(&str, &str)]| {
        let root = place.equal_environment(name);
        change(&root);
        let output = place.build_in(&root).envs(more.iter().copied()).output().unwrap();
        assert_eq!(variables(&output)["VIRTUAL_ENV"], root.to_str().unwrap());
        let said = said(&output);
        let line = said.strip_prefix("rekindle: the build's environment keeps its random path: ").unwrap().to_owned();
        assert_eq!(line.lines().count(), 1);
        line
    };
    let put = |path: &'static str, text: &'static str| move |root: &Path| write(&site(root).join(path), text);
    assert!(refused("a", &put("x.pth", "/src"), &[]).starts_with("`x.pth`"));
    assert!(
        refused("b", &put("gift-1.0.dist-info/direct_url.json", "{\"vcs_info\":{}}"), &[]).contains("a repository")
    );
    assert!(refused("c", &put("gift-1.0.dist-info/direct_url.json", "{\"dir_info\":{}}"), &[]).contains("a folder"));
    assert!(refused("d", &put("loose.py", ""), &[]).contains("belongs to no build requirement"));
    let no_record = |root: &Path| fs::remove_file(site(root).join("gift-1.0.dist-info/RECORD")).unwrap();
    assert!(refused("e", &no_record, &[]).contains("has no RECORD"));
    assert!(refused("f", &|_| (), &[("PYTHONPATH", "/src")]).contains("`PYTHONPATH` is set"));
    let broken = |root: &Path| {
        fs::remove_file(root.join("bin/python")).unwrap();
        write(&root.join("bin/python"), "");
    };
    assert!(refused("g", &broken, &[]).contains("does not say what it is"));
    let other = place.equal_environment("h2");
    assert!(
        refused("h", &|_| (), &[("PYO3_PYTHON", other.join("bin/python").to_str().unwrap())]).contains("more than one")
    );
    write(&place.path("project/pyproject.toml"), "[build-system]\nrequires = []\nbackend-path = [\".\"]\n");
    assert!(refused("i", &|_| (), &[]).contains("backend-path"));
}

#[test]
fn builds_with_equal_environments_wait_for_one_another() {
    let place =
        Place::new("touch started-$NAME; while [ -e hold-$NAME ]; do sleep 0.02; done; readlink $VIRTUAL_ENV; env");
    let (a, b) = (place.equal_environment("a"), place.equal_environment("b"));
    let file = |name: &str| place.path("project").join(name);
    let start = |root: &Path, name: &str| {
        let mut command = place.build_in(root);
        command.env("NAME", name).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    fs::write(file("hold-a"), "").unwrap();
    let holder = start(&a, "a");
    wait_for(&file("started-a"));
    // The same environment may be shared; another one may not, and does without if it has no time.
    assert!(start(&a, "c").wait_with_output().unwrap().status.success());
    let mut hasty = place.build_in(&b);
    let hasty = hasty.env("NAME", "d").env("REKINDLE_ALIAS_TIMEOUT", "0").output().unwrap();
    assert_eq!(variables(&hasty)["VIRTUAL_ENV"], b.to_str().unwrap());
    assert!(said(&hasty).contains("another build has used its alias for 0 s"), "{}", said(&hasty));
    let waiting = start(&b, "b");
    std::thread::sleep(Duration::from_millis(300));
    assert!(!file("started-b").exists(), "it did not wait");
    fs::remove_file(file("hold-a")).unwrap();
    for (child, root) in [(holder, &a), (waiting, &b)] {
        let output = child.wait_with_output().unwrap();
        assert!(String::from_utf8(output.stdout).unwrap().starts_with(root.to_str().unwrap()));
    }
}

#[test]
fn a_build_inside_a_build_does_not_wait_for_what_waits_for_it() {
    let place = Place::new(
        "test -z \"$INNER\" || { VIRTUAL_ENV=$INNER PYO3_PYTHON=$INNER/bin/python INNER= cargo build; exit; }; env",
    );
    let (a, b) = (place.equal_environment("a"), place.equal_environment("b"));
    let output = place.build_in(&a).env("INNER", &b).env_remove("PYTHON_SYS_EXECUTABLE").output().unwrap();
    assert_eq!(variables(&output)["VIRTUAL_ENV"], b.to_str().unwrap());
    assert!(said(&output).contains("for 0 s"), "{}", said(&output));
}

#[test]
fn a_build_that_is_killed_and_a_daemon_that_it_leaves_hold_nothing() {
    let place = Place::new(
        "sleep 900 >/dev/null 2>&1 & echo $! > new-$NAME; mv new-$NAME daemon-$NAME; test $NAME = a || exec sleep 900",
    );
    let (a, b, c) = (place.equal_environment("a"), place.equal_environment("b"), place.equal_environment("c"));
    let began = Instant::now();
    assert!(place.build_in(&a).env("NAME", "a").status().unwrap().success());
    let mut killed = place.build_in(&b).env("NAME", "b").spawn().unwrap();
    wait_for(&place.path("project/daemon-b"));
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(place.build_in(&c).env("NAME", "a").status().unwrap().success());
    assert!(began.elapsed() < Duration::from_secs(300));
    let links: Vec<PathBuf> = fs::read_dir(place.aliases()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let link = links.iter().find(|path| path.is_symlink()).unwrap();
    assert_eq!(fs::read_link(link).unwrap(), c);
    for name in ["a", "b"] {
        let daemon = fs::read_to_string(place.path("project").join(format!("daemon-{name}"))).unwrap();
        let _ = Command::new("kill").arg(daemon.trim()).status();
    }
}

#[test]
fn the_link_leads_where_it_should_at_every_moment_of_every_build() {
    let script = "for i in 1 2 3 4 5; do test \"$(readlink $VIRTUAL_ENV)\" = \"$WANTED\" || exit 9; \
                  test -e $VIRTUAL_ENV/pyvenv.cfg || exit 8; done";
    let place = Place::new(script);
    let roots: Vec<PathBuf> = ["a", "b", "c", "d"].iter().map(|name| place.equal_environment(name)).collect();
    std::thread::scope(|scope| {
        for root in roots.iter().chain(&roots) {
            let place = &place;
            scope.spawn(move || {
                for _ in 0..5 {
                    let output = place.build_in(root).env("WANTED", root).output().unwrap();
                    assert!(output.status.success(), "{output:?}");
                    assert_eq!(said(&output), "");
                }
            });
        }
    });
}

#[test]
fn the_folder_is_private_and_somebody_elses_is_not_used() {
    let place = Place::new("");
    let mode = fs::metadata(place.shim()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    // A link in its place would lead the job's links elsewhere.
    fs::rename(place.shim(), place.path("moved")).unwrap();
    std::os::unix::fs::symlink(place.path("moved"), place.shim()).unwrap();
    let mut restore = Command::new(env!("CARGO_BIN_EXE_rekindle"));
    restore.args(["restore", "--isolation", "alias", "--store", "dir:/nonexistent"]).current_dir(place.path("project"));
    crate::support::scrub(&mut restore);
    let output = restore.env("RUNNER_TEMP", place.path("runner")).output().unwrap();
    let text = [output.stderr, output.stdout].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    assert!(output.status.success() && text.contains("is not a folder of this user"), "{text}");
    assert!(!text.contains("export PATH"), "{text}");
}

/// Two copies of one sdist would take each other's results for their own, as long as cargo runs in either.
#[test]
fn only_one_copy_of_unpacked_sources_is_built_at_a_time() {
    let place = Place::new("echo \"$CARGO_TARGET_DIR\" > told\ncat < ../wait > rest\n");
    let copy = |name: &str| {
        let dir = place.path(&format!("build-via-sdist-{name}/p-0.1.0"));
        write(&dir.join("PKG-INFO"), "Name: p\n");
        write(&dir.join("Cargo.toml"), "[package]\nname = \"p\"\nversion = \"0.1.0\"\n");
        assert!(Command::new("mkfifo").arg(dir.join("../wait")).status().unwrap().success());
        dir
    };
    let build = |dir: &Path, patience: &str| {
        let mut command = place.shimmed(&["build"]);
        command.current_dir(dir).env("REKINDLE_ALIAS_TIMEOUT", patience).stderr(Stdio::piped()).spawn().unwrap()
    };
    let end = |dir: &Path, build: std::process::Child| {
        fs::write(dir.join("../wait"), "").unwrap();
        let output = build.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        (fs::read_to_string(dir.join("told")).unwrap().trim().to_owned(), said(&output))
    };
    let dirs = ["one", "two", "three"].map(copy);
    let first = build(&dirs[0], "0");
    wait_for(&dirs[0].join("told"));
    let (own, refused) = end(&dirs[1], build(&dirs[1], "0"));
    let (target, text) = end(&dirs[0], first);
    assert!(own.is_empty() && refused.contains("another build has used its target for 0 s"), "{own} {refused}");
    assert!(target.ends_with("/project/target/unpacked/p") && text.is_empty(), "{target} {text}");
    // It is free once cargo has ended.
    assert_eq!(end(&dirs[2], build(&dirs[2], "0")), (target, String::new()));
}
