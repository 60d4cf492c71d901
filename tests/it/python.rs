//! Interpreters in the key: which one is found, what is the same one, what rolls the key, and what must not.
//!
//! The interpreters are real. Tests that need a second version, or another maker's virtual environment, say so and do nothing
//! where there is none.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rekindle::python::answers::Answers;
use rekindle::python::find::{Interpreters, Surroundings};
use rekindle::python::interpreter::{InterpreterFacts, probe};
use rekindle::python::venv::Venv;
use rekindle::python::wish::PythonWish;

use crate::support::{Project, World, write};

/// Real interpreters of different versions, oldest first: the system's, and those of pyenv.
pub(crate) fn interpreters() -> Vec<InterpreterFacts> {
    let home = std::env::home_dir().unwrap();
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/pythons");
    let pyenv = std::env::var_os("PYENV_ROOT").map_or_else(|| home.join(".pyenv"), PathBuf::from);
    let installed = [(pyenv.join("versions"), "bin/python"), (own, "bin/python3")];
    let on_runners = ("/opt/hostedtoolcache/Python".into(), "x64/bin/python");
    let versions = installed.into_iter().chain([on_runners]).flat_map(|(dir, python)| {
        let entries = fs::read_dir(dir).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path().join(python)).collect::<Vec<_>>()
    });
    let names = ["python3.9", "python3.10", "python3.11", "python3.12", "python3.13", "python3.14", "python3"];
    let system = names.iter().map(|name| Path::new("/usr/bin").join(name));
    let paths = system.chain(versions).filter(|path| path.exists());
    let mut found: Vec<InterpreterFacts> = paths.filter_map(|path| probe(&path).ok()).collect();
    found.retain(|facts| facts.numbers() >= [3, 9, 0]);
    found.sort_by_key(InterpreterFacts::numbers);
    found.dedup_by_key(|facts| facts.numbers());
    assert!(!found.is_empty(), "there is no Python: run tests/all.sh once");
    found
}

/// Two versions, if there are two.
fn two() -> Option<(PathBuf, PathBuf)> {
    let found = interpreters();
    let (old, new) = (found.first()?, found.last()?);
    (found.len() > 1).then(|| (old.base.clone(), new.base.clone()))
}

fn find(wish: &str, environment: &[(&str, &str)], dir: &Path) -> anyhow::Result<Interpreters> {
    let environment: BTreeMap<String, String> =
        environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let wish = PythonWish::parse(Some(wish), dir).unwrap();
    Interpreters::find(&wish, Surroundings { environment: &environment, current: dir }, || Some("a reason".into()))
}

fn found(wish: &str, environment: &[(&str, &str)], dir: &Path) -> PathBuf {
    let interpreters = find(wish, environment, dir).unwrap();
    assert_eq!(interpreters.found.len(), 1, "{interpreters:?}");
    interpreters.found[0].path.clone()
}

/// A program that leaves a line in a file each time it is started, and then is an interpreter.
fn counting(dir: &Path, name: &str, python: &Path) -> (PathBuf, PathBuf) {
    let (path, count) = (dir.join(name), dir.join(format!("{name}.count")));
    let text = format!("#!/bin/sh\necho >> '{}'\nexec '{}' \"$@\"\n", count.display(), python.display());
    write(&path, &text);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    (path, count)
}

fn times(count: &Path) -> usize {
    fs::read_to_string(count).map_or(0, |text| text.lines().count())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn two_environments_over_one_base_have_its_facts_and_cost_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let dir = fs::canonicalize(dir.path()).unwrap();
    let base = &interpreters()[0];
    // Told apart by the calls of a base that counts them; the environments link to it as they would to the real one.
    let (python, count) = counting(&dir, "python3", &base.base);
    for name in ["one", "two"] {
        let root = dir.join(name);
        write(&root.join("pyvenv.cfg"), &format!("home = {}\nversion = {}\n", dir.display(), base.version));
        fs::create_dir_all(root.join("bin")).unwrap();
        symlink(&python, root.join("bin/python")).unwrap();
    }
    let mut answers = Answers::default();
    let (one, two) = (dir.join("one/bin/python"), dir.join("two/bin/python"));
    let (one, two) = (answers.of(&one).unwrap(), answers.of(&two).unwrap());
    assert_eq!(one.key_text(), two.key_text());
    assert_eq!(one.key_text(), base.key_text());
    assert_eq!((one.venv, two.venv), (Some(dir.join("one")), Some(dir.join("two"))));
    assert_eq!(times(&count), 1);
}

#[test]
fn every_makers_environment_has_the_facts_that_a_process_in_it_gives() {
    let dir = tempfile::tempdir().unwrap();
    let dir = fs::canonicalize(dir.path()).unwrap();
    let base = interpreters().pop().unwrap();
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/python/bin");
    let python = text(&base.base).to_owned();
    let makers: [(&str, PathBuf, Vec<&str>); 4] = [
        ("venv", base.base.clone(), vec!["-m", "venv", "--without-pip"]),
        ("copies", base.base.clone(), vec!["-m", "venv", "--without-pip", "--copies"]),
        ("uv", tools.join("uv"), vec!["venv", "--quiet", "--offline", "--python", &python]),
        ("virtualenv", tools.join("virtualenv"), vec!["--quiet", "--no-seed", "--python", &python]),
    ];
    let mut made = 0;
    for (name, program, arguments) in makers {
        let root = dir.join(name);
        let ran = Command::new(&program).args(&arguments).arg(&root).env("UV_CACHE_DIR", dir.join("cache")).output();
        // Debian keeps `venv` in a package of its own, and the other makers are installed by tests/all.sh.
        if !ran.is_ok_and(|output| output.status.success()) {
            continue;
        }
        made += 1;
        let python = Venv::python(&root);
        let asked = probe(&python).unwrap();
        let known = Answers::default().of(&python).unwrap();
        assert_eq!(known.key_text(), asked.key_text(), "{name}");
        assert_eq!(known.key_text(), base.key_text(), "{name}");
        assert_eq!(known.venv, Some(root), "{name}");
    }
    assert!(made > 0, "no virtual environment could be made");
}

#[test]
fn a_forged_environment_file_is_not_believed() {
    let Some((old, new)) = two() else { return };
    let dir = tempfile::tempdir().unwrap();
    let dir = fs::canonicalize(dir.path()).unwrap();
    let python = dir.join("v/bin/python");
    fs::create_dir_all(python.parent().unwrap()).unwrap();
    symlink(&old, &python).unwrap();
    let version = probe(&new).unwrap().version;
    let lies = [
        format!("home = {}\nversion = {version}\nexecutable = {}\n", new.parent().unwrap().display(), new.display()),
        "home = \u{0}\nversion = 1\n".to_owned(),
        "home = /\nversion_info = 99999999999.1.1\n".to_owned(),
        "=\n==\nhome\n".repeat(10_000),
        String::new(),
    ];
    for lie in lies {
        write(&dir.join("v/pyvenv.cfg"), &lie);
        // What is wrong may be said to be wrong; it must never be said to be the other interpreter.
        if let Ok(facts) = Answers::default().of(&python) {
            assert_eq!(facts.numbers(), probe(&old).unwrap().numbers(), "{lie:.60}");
        }
    }
    fs::remove_file(dir.join("v/pyvenv.cfg")).unwrap();
    fs::create_dir(dir.join("v/pyvenv.cfg")).unwrap();
    assert!(Venv::of(&python).is_none());
}

#[test]
fn auto_looks_where_pyo3_looks_and_takes_what_is_set() {
    let Some((old, new)) = two() else { return };
    let dir = tempfile::tempdir().unwrap();
    let dir = fs::canonicalize(dir.path()).unwrap();
    for folder in ["bin", "v/bin", "three"] {
        fs::create_dir_all(dir.join(folder)).unwrap();
    }
    symlink(&old, dir.join("bin/python")).unwrap();
    symlink(&new, dir.join("bin/python3")).unwrap();
    symlink(&new, dir.join("v/bin/python")).unwrap();
    symlink(&new, dir.join("three/python3")).unwrap();
    let (bin, three, venv) = (dir.join("bin"), dir.join("three"), dir.join("v"));
    let path = format!("{}:{}", dir.join("nowhere").display(), bin.display());
    assert_eq!(found("auto", &[("PATH", &path)], &dir), dir.join("bin/python"));
    assert_eq!(found("auto", &[("PATH", text(&three))], &dir), dir.join("three/python3"));
    let both = [("PATH", path.as_str()), ("VIRTUAL_ENV", text(&venv))];
    assert_eq!(found("auto", &both, &dir), dir.join("v/bin/python"));
    let all = [both[0], both[1], ("PYO3_PYTHON", text(&new))];
    assert_eq!(found("auto", &all, &dir), new);
    assert_eq!(found("auto", &[("PATH", &path), ("PYO3_PYTHON", "python3")], &dir), dir.join("bin/python3"));
    // What is set and not there hides the rest, as it does for the build.
    let hidden = find("auto", &[("PATH", &path), ("PYO3_PYTHON", "/nowhere/python")], &dir).unwrap();
    assert!(hidden.found.is_empty());
    assert!(hidden.note.unwrap().contains("`PYO3_PYTHON` names `/nowhere/python`"));
    let nothing = find("auto", &[("PATH", "/nowhere")], &dir).unwrap();
    assert!(nothing.note.unwrap().contains("it is set up after this step, or is missing"));
    assert!(find("off", &all, &dir).unwrap().found.is_empty());
}

#[test]
fn a_shim_on_path_stands_for_what_it_leads_to() {
    let dir = tempfile::tempdir().unwrap();
    let base = &interpreters()[0];
    let (_, count) = counting(dir.path(), "python", &base.base);
    assert_eq!(found("auto", &[("PATH", text(dir.path()))], dir.path()), base.base);
    assert_eq!(times(&count), 1);
}

#[test]
fn a_version_is_looked_for_on_path_then_where_it_was_set_up_then_in_the_tool_cache() {
    let Some((old, new)) = two() else { return };
    let dir = tempfile::tempdir().unwrap();
    let dir = fs::canonicalize(dir.path()).unwrap();
    let facts = probe(&new).unwrap();
    let [major, minor, _] = facts.numbers();
    let wish = format!("{major}.{minor}");
    let (bin, set_up, cache) = (dir.join("bin"), dir.join("set-up"), dir.join("cache"));
    let machine = if cfg!(target_arch = "x86_64") { "x64" } else { "arm64" };
    let cached = cache.join("Python").join(&facts.version).join(machine).join("bin/python");
    for path in [&cached, &set_up.join("bin/python"), &bin.join(format!("python{wish}"))] {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(&new, path).unwrap();
    }
    symlink(&old, bin.join("python3")).unwrap();
    fs::create_dir_all(cache.join("Python/nonsense/x64")).unwrap();
    let path = ("PATH", text(&bin));
    let (set_up_variable, cache_variable) = (("pythonLocation", text(&set_up)), ("RUNNER_TOOL_CACHE", text(&cache)));
    assert_eq!(found(&wish, &[path, set_up_variable, cache_variable], &dir), bin.join(format!("python{wish}")));
    assert_eq!(found(&wish, &[set_up_variable, cache_variable], &dir), set_up.join("bin/python"));
    assert_eq!(found(&facts.version, &[cache_variable], &dir), cached);
    let both = find(&format!("{wish}\n{}", old.display()), &[path], &dir).unwrap();
    assert_eq!(both.parts().len(), 2);
    for wrong in [format!("{wish}t"), format!("pypy{wish}"), "3.999".into()] {
        assert!(find(&wrong, &[path, cache_variable], &dir).is_err(), "{wrong}");
    }
}

/// A crate that depends on `pyo3-ffi`, whose build script does what pyo3's does: asks the interpreter, and watches the
/// variables that name it.
fn project() -> Project {
    let build = r#"
fn main() {
    println!("cargo:rerun-if-env-changed=PYO3_PYTHON");
    let python = std::env::var("PYO3_PYTHON").unwrap_or_else(|_| "python3".into());
    let script = "import sys; print('%d.%d.%d' % sys.version_info[:3])";
    let output = std::process::Command::new(python).args(["-c", script]).output().unwrap();
    println!("cargo:rustc-env=PYTHON_VERSION={}", String::from_utf8(output.stdout).unwrap().trim());
}
"#;
    let manifest = |name: &str, rest: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n{rest}")
    };
    let files = [
        ("work/Cargo.toml", "[workspace]\nresolver = \"2\"\nmembers = [\"app\", \"pyo3-ffi\", \"other\"]\n".to_owned()),
        ("work/.gitignore", "/target\n".to_owned()),
        ("work/pyo3-ffi/Cargo.toml", manifest("pyo3-ffi", "")),
        ("work/pyo3-ffi/build.rs", build.to_owned()),
        ("work/pyo3-ffi/src/lib.rs", "pub fn version() -> &'static str { env!(\"PYTHON_VERSION\") }\n".to_owned()),
        ("work/other/Cargo.toml", manifest("other", "")),
        ("work/other/src/lib.rs", "pub fn other() {}\n".to_owned()),
        ("work/app/Cargo.toml", manifest("app", "[dependencies]\npyo3-ffi = { path = \"../pyo3-ffi\" }\n")),
        ("work/app/src/main.rs", "fn main() { print!(\"{}\", pyo3_ffi::version()); }\n".to_owned()),
    ];
    files.into_iter().map(|(path, text)| (path.to_owned(), text)).collect()
}

/// A world whose `PYO3_PYTHON` is a link that can be led elsewhere.
fn world(python: &Path) -> (World, PathBuf) {
    let mut world = World::new("work", |_| project());
    let link = world.dir.join("python/bin/python");
    lead(&link, python);
    world.env.insert("PYO3_PYTHON".into(), text(&link).into());
    world.env.insert("VIRTUAL_ENV".into(), String::new());
    (world, link)
}

fn lead(link: &Path, to: &Path) {
    fs::create_dir_all(link.parent().unwrap()).unwrap();
    let _ = fs::remove_file(link);
    symlink(to, link).unwrap();
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn another_version_at_the_same_path_rolls_the_key_is_named_and_is_never_stale() {
    let Some((old, new)) = two() else { return };
    let (world, link) = world(&old);
    let (before, after) = (probe(&old).unwrap(), probe(&new).unwrap());
    let named = format!("`{}`: {} → {}", link.display(), before.name(), after.name());
    world.first_run();
    assert_eq!(world.output(), before.version);
    let earlier = world.dir.join("old.json");
    fs::write(&earlier, stdout(&world.rekindle(&["key", "--json"]))).unwrap();
    assert!(world.warm_run().compiled.is_empty(), "the same interpreter");

    lead(&link, &new);
    world.wipe_and_clone();
    let log = world.restore();
    assert!(log.contains(&format!("rolled: interpreter {named}")), "{log}");
    let because = format!("the Python interpreter that it asked changed: {} → {}", before.name(), after.name());
    assert!(log.contains(&because), "{log}");
    let built = world.build().compiled;
    assert_eq!(world.output(), after.version);
    assert!(built.iter().any(|unit| unit.starts_with("pyo3-ffi")), "{built:?}");
    assert!(!built.iter().any(|unit| unit.starts_with("other")), "{built:?}");
    world.save();
    assert!(world.warm_run().compiled.is_empty(), "the new state was saved under the new key");

    let later = world.dir.join("new.json");
    fs::write(&later, stdout(&world.rekindle(&["key", "--json"]))).unwrap();
    let diff = stdout(&world.rekindle(&["key", "--diff", text(&earlier), text(&later)]));
    assert_eq!(diff, format!("interpreter {named}\n"));
}

#[test]
fn a_disk_that_was_kept_is_not_believed_about_an_interpreter_that_was_replaced() {
    let Some((old, new)) = two() else { return };
    let (world, link) = world(&old);
    world.first_run();
    lead(&link, &new);
    let log = world.restore();
    assert!(log.contains("the Python interpreter that it asked changed"), "{log}");
    world.build();
    assert_eq!(world.output(), probe(&new).unwrap().version);
}

#[test]
fn path_and_the_environment_that_stands_on_an_interpreter_do_not_enter_the_key() {
    let base = interpreters().pop().unwrap();
    let (mut world, _) = world(&base.base);
    world.wipe_and_clone();
    let plain = stdout(&world.rekindle(&["key"]));
    assert!(plain.contains(&base.name()), "{plain}");
    let path = format!("{}:{}", std::env::var("PATH").unwrap(), world.dir.join("more").display());
    world.env.insert("PATH".into(), path);
    world.env.insert("VIRTUAL_ENV".into(), text(&world.dir.join("elsewhere")).into());
    assert_eq!(stdout(&world.rekindle(&["key"])), plain);
    // Made anew at the same place over the same base: the same key, though every file in it is new.
    world.env.remove("PYO3_PYTHON");
    let root = world.dir.join("venv");
    world.env.insert("VIRTUAL_ENV".into(), text(&root).into());
    let key = |extra: &str| {
        let _ = fs::remove_dir_all(&root);
        let cfg = format!("home = {}\nversion = {}\n{extra}", base.base.parent().unwrap().display(), base.version);
        write(&root.join("pyvenv.cfg"), &cfg);
        fs::create_dir_all(root.join("bin")).unwrap();
        symlink(&base.base, root.join("bin/python")).unwrap();
        stdout(&world.rekindle(&["key"]))
    };
    assert_eq!(key(""), key("prompt = another\nuv = 0.9.18\n"));
}

#[test]
fn the_interpreter_is_an_output_and_a_missing_one_a_note_or_a_wrong_input() {
    let base = &interpreters()[0];
    let (mut world, link) = world(&base.base);
    world.wipe_and_clone();
    let output = world.dir.join("output");
    let env = world.dir.join("env");
    world.env.insert("GITHUB_OUTPUT".into(), text(&output).into());
    world.env.insert("GITHUB_ENV".into(), text(&env).into());
    let log = world.restore();
    assert!(log.contains(&format!("interpreter: {}, `{}`", base.name(), link.display())), "{log}");
    let outputs = rekindle::github::runner::assignments(&fs::read_to_string(&output).unwrap());
    assert!(outputs.contains(&("python".into(), format!("{} {}", base.tag(), link.display()))), "{outputs:?}");

    assert!(!env.exists(), "nothing is exported");

    fs::remove_file(&link).unwrap();
    let log = world.restore();
    assert!(log.contains("note: the workspace depends on pyo3-ffi, but no Python interpreter is there"), "{log}");
    for (wish, named) in [("3.999", "`python: 3.999` is not there"), ("/etc/hostname", "`python: /etc/hostname` is no")]
    {
        let refused = world.rekindle(&["restore", "--python", wish]);
        assert_eq!(refused.status.code(), Some(2));
        assert!(
            String::from_utf8_lossy(&refused.stderr).contains(named),
            "{}",
            String::from_utf8_lossy(&refused.stderr)
        );
    }
}

#[test]
fn a_job_starts_one_process_and_its_save_none() {
    let dir = tempfile::tempdir().unwrap();
    let (python, count) = counting(dir.path(), "python", &interpreters()[0].base);
    let (world, _) = world(&python);
    world.wipe_and_clone();
    world.restore();
    assert_eq!(times(&count), 1);
    world.build();
    let built = times(&count);
    world.save();
    assert_eq!(times(&count), built);
}

#[test]
fn what_chatters_without_end_or_cannot_be_run_is_no_interpreter() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("python");
    write(&path, "#!/bin/sh\nyes nonsense\n");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(probe(&path).is_err());
    assert!(probe(dir.path()).is_err());
    assert!(probe(&dir.path().join("nowhere")).is_err());
}

#[test]
fn a_project_without_python_has_no_interpreter_in_its_key() {
    let mut world = World::scenario();
    world.env.insert("PYO3_PYTHON".into(), text(&interpreters()[0].base).into());
    world.wipe_and_clone();
    assert!(!stdout(&world.rekindle(&["key", "--json"])).contains("interpreters"));
    assert!(!world.restore().contains("interpreter"));
    assert!(stdout(&world.rekindle(&["python"])).contains("no interpreter is in the key"));
    let asked = stdout(&world.rekindle(&["key", "--python", text(&interpreters()[0].base)]));
    assert!(asked.contains(&interpreters()[0].name()), "{asked}");
    // A backend that builds Rust makes one of it.
    write(&world.workspace().join("pyproject.toml"), "[build-system]\nrequires = [\"maturin>=1.9\"]\n");
    assert!(stdout(&world.rekindle(&["key"])).contains(&interpreters()[0].name()));
}

#[test]
fn what_is_printed_to_share_an_interpreter_works_and_exports_nothing() {
    let base = &interpreters()[0];
    let (mut world, link) = world(&base.base);
    world.wipe_and_clone();
    let env = world.dir.join("env");
    world.env.insert("GITHUB_ENV".into(), text(&env).into());
    let all = stdout(&world.rekindle(&["python", "--export"]));
    assert!(!all.contains("PYO3_BUILD_EXTENSION_MODULE") && !all.contains("PYO3_CONFIG_FILE"));
    assert!(!env.exists());
    let shell = stdout(&world.rekindle(&["python", "--export", "shell"]));
    let script = format!("{shell}\nprintf '%s %s' \"$PYO3_PYTHON\" \"$PYO3_ENVIRONMENT_SIGNATURE\"");
    let [major, minor, _] = base.numbers();
    let expected = format!("{} cpython-{major}.{minor}{}-64bit", link.display(), base.abiflags);
    assert_eq!(stdout(&Command::new("sh").args(["-c", &script]).output().unwrap()), expected);
    let json: serde_json::Value = serde_json::from_str(&stdout(&world.rekindle(&["python", "--json"]))).unwrap();
    assert_eq!(json["interpreters"][0]["version"], base.version.as_str());
    assert_eq!(json["interpreters"][0]["path"], text(&link));
    let plain = stdout(&world.rekindle(&["python"]));
    assert!(plain.contains(&base.soabi) && plain.contains(text(&base.base)), "{plain}");
}
