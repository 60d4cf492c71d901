//! What a checkout, a runner or an installer wrote: lock files, settings, workflows, events, environments.

use std::fs;
use std::path::Path;

use rekindle::cargo::{config, lockfile::Locked, tables};
use rekindle::github::{Event, PullRequest};
use rekindle::python::interpreter::InterpreterFacts;
use rekindle::python::venv::Venv;
use rekindle::shim::requirements;
use rekindle::{doctor, report};

use super::Reader;
use crate::support::memory;
use crate::support::runner::files_below;

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// The files of the doctor's fixtures that end so.
fn fixtures(end: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/doctor");
    let mut files = files_below(&dir);
    files.retain(|path| path.to_string_lossy().ends_with(end));
    files.sort();
    files.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

#[test]
fn lock_files() {
    let dir = memory();
    let own = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).unwrap();
    let small = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"0.1.0\"\ndependencies = [\"b\", \"c 1.0.0\"]\n\n\
                 [[package]]\nname = \"b\"\nversion = \"1.0.0\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n\
                 checksum = \"e2abad23fbc42b3700f2f279844dc832adb2b2eb069b2df918f455c4e18cc646\"\n\n[[package]]\nname = \"c\"\n\
                 version = \"1.0.0\"\nsource = \"git+https://example.com/c.git?branch=main#0123456789012345678901234567890123456789\"\n";
    let mut seeds = texts(&[small]);
    seeds.push(own);
    let words =
        ["name = ", "source = ", "git+file:///", "sparse+https://x/", "[[package]]", "version = 1", "#", "?rev=%ff"];
    Reader { name: "lock", seeds, words: &words, executions: 400 }.feed(&|input| {
        write(&dir.path().join("Cargo.lock"), input);
        if let Ok(locked) = Locked::load(dir.path()) {
            let _ = (locked.external(), locked.archives(), locked.git_names());
        }
        Ok(())
    });
}

#[test]
fn settings_of_cargo() {
    let dir = memory();
    let seeds = texts(&[
        "[build]\ntarget-dir = \"out\"\nrustflags = [\"-C\", \"link-arg=x\"]\n[target.'cfg(unix)']\nlinker = \"cc\"\n[env]\nA = { value = \"b\", relative = true }\n",
        "include = [\"other.toml\", { path = \"third.toml\", optional = true }]\npaths = [\"/a\"]\n[patch.crates-io]\nb = { path = \"../b\" }\n[source.crates-io]\nreplace-with = \"vendored\"\n[source.vendored]\ndirectory = \"vendor\"\n",
    ]);
    let words = ["include = ", "\"config.toml\"", "[build]", "path = \"../\"", "true", "''", "{}", "[patch.\"\"]"];
    let path = [".cargo/config.toml", "Cargo.toml"].map(|path| dir.path().join(path));
    Reader { name: "config", seeds, words: &words, executions: 800 }.feed(&|input| {
        write(&path[0], input);
        let files = config::load(dir.path(), &dir.path().join("home"));
        let _ = (config::patched_paths(&files), config::find(&files, &["build", "target-dir"]));
        write(&path[1], input);
        if let Some(table) = tables::read(&path[1]) {
            let _ = (tables::package(&table), config::patches(table.get("patch")));
        }
        Ok(())
    });
}

#[test]
fn workflows_and_the_doctors_own_settings() {
    let dir = memory();
    write(&dir.path().join("Cargo.toml"), b"[package]\nname = \"a\"\nversion = \"0.1.0\"\n");
    write(&dir.path().join("src/lib.rs"), b"");
    let words = [
        "uses: actions/cache@v4",
        "run: |",
        "${{ matrix.x }}",
        "${{ fromJSON('{') }}",
        "if: always()",
        "matrix:",
        "&a",
        "*a",
        "<<: *a",
        "!!binary x",
        "? [a]",
        "- ",
        "~",
        "include:",
        "\u{feff}",
        "---",
        "%YAML 1.1",
        "'",
        "key: cargo-${{ hashFiles('**') }}",
    ];
    let examine = |path: &'static str| {
        let path = dir.path().join(path);
        let root = dir.path().to_path_buf();
        move |input: &[u8]| {
            write(&path, input);
            if let Ok(examination) = doctor::examine(&root) {
                let _ = (report::findings::text(&examination), report::findings::github(&examination));
                report::findings::json(&examination).map_err(|error| error.to_string())?;
            }
            fs::remove_file(&path).map_err(|error| error.to_string())
        }
    };
    let seeds = fixtures(".yml");
    Reader { name: "workflow", seeds, words: &words, executions: 300 }.feed(&examine(".github/workflows/ci.yml"));
    let seeds = texts(&["ignore:\n  - rule: no-cache\n    reason: none\n    path: ci.yml\n", "ignore: []\n"]);
    Reader { name: "settings", seeds, words: &words, executions: 200 }.feed(&examine(".github/rekindle.yml"));
    let seeds = texts(&["name: a\nruns:\n  using: composite\n  steps:\n    - run: cargo test\n      shell: bash\n"]);
    Reader { name: "action", seeds, words: &words, executions: 150 }.feed(&examine(".github/actions/a/action.yml"));
}

#[test]
fn events() {
    let dir = memory();
    let path = dir.path().join("event.json");
    let seeds = texts(&[
        r#"{"action":"labeled","number":7,"pull_request":{"number":7,"labels":[{"name":"rekindle-roll:1"},{"name":"x"}]}}"#,
        r#"{"ref":"refs/heads/main","commits":[{"id":"a"}]}"#,
    ]);
    Reader { name: "event", seeds, words: &["labels", "pull_request", "rekindle-roll:"], executions: 1500 }.feed(
        &|input| {
            write(&path, input);
            let event = Event::load(&path);
            let labels: usize = event.pull_request.iter().flat_map(PullRequest::labels).map(str::len).sum();
            if labels <= input.len() { Ok(()) } else { Err("labels came from nowhere".to_owned()) }
        },
    );
}

#[test]
fn environments_of_python() {
    let dir = memory();
    let site = dir.path().join("lib/python3.12/site-packages");
    let info = site.join("dep-1.0.dist-info");
    let config =
        "home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.12.1\nexecutable = /usr/bin/python3.12\n";
    write(&site.join("dep/__init__.py"), b"one");
    write(&dir.path().join("bin/tool"), b"a program");
    let digest = || requirements::digest(dir.path(), &InterpreterFacts::default()).is_ok();
    let words = [
        "home =",
        "version_info = 3.12.1.final.0",
        "include-system-site-packages = true",
        "..",
        "/",
        "\"",
        ",",
        "sha256=",
    ];
    let seeds = texts(&[config, "home = /opt/python\nimplementation = CPython\nuv = 0.5\nversion_info = 3.13.0\n"]);
    Reader { name: "pyvenv", seeds, words: &words, executions: 1000 }.feed(&|input| {
        write(&dir.path().join("pyvenv.cfg"), input);
        if let Some(venv) = Venv::at(dir.path()) {
            let _ = (venv.admits([3, 12, 1]), venv.base_of(&Venv::python(dir.path())));
        }
        digest();
        Ok(())
    });
    write(&dir.path().join("pyvenv.cfg"), config.as_bytes());
    let seeds = texts(&["dep/__init__.py,sha256=x,3\n../../../bin/tool,sha256=y,9\ndep-1.0.dist-info/RECORD,,\n"]);
    Reader { name: "record", seeds, words: &words, executions: 1000 }.feed(&|input| {
        write(&info.join("RECORD"), input);
        digest();
        Ok(())
    });
}
