//! `rekindle doctor` on the shapes of ten collections of workflows: whole outputs, byte for byte. Two more are written so that
//! nothing is found in them, and each rule is one edit away.
//!
//! `REKINDLE_BLESS=1` writes what is printed into `expected.txt`; read the difference before it is committed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rekindle::doctor::rule::{Level, Rule, Text};

use crate::support::{git, write};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/doctor")
}

fn doctor(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rekindle")).arg("doctor").args(arguments).current_dir(dir).output().unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (path, copied) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &copied);
        } else if entry.file_name() != "expected.txt" {
            fs::copy(&path, &copied).unwrap();
        }
    }
}

/// A fixture outside this repository, so that its git says nothing about it.
fn checkout(fixture: &Path) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy(fixture, dir.path());
    dir
}

fn collections() -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

fn is_careful(fixture: &Path) -> bool {
    fixture.file_name().unwrap().to_str().unwrap().starts_with("careful-")
}

const BLESS: &str = "REKINDLE_BLESS=1 writes it anew";

fn blesses() -> bool {
    std::env::var_os("REKINDLE_BLESS").is_some()
}

#[test]
fn ten_collections_of_workflows_are_told_what_is_wrong_with_them() {
    let all = collections();
    assert_eq!(all.iter().filter(|fixture| !is_careful(fixture)).count(), 10);
    for fixture in all {
        let (golden, found) = (fixture.join("expected.txt"), stdout(&doctor(checkout(&fixture).path(), &[])));
        if blesses() {
            write(&golden, &found);
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(found, expected, "{} ({BLESS})", golden.display());
    }
}

#[test]
fn each_format_says_the_same() {
    let dir = checkout(&fixtures().join("container-job"));
    let said = |format: &str| stdout(&doctor(dir.path(), &["--format", format]));
    insta::assert_snapshot!("doctor_as_text", said("text"));
    insta::assert_snapshot!("doctor_as_json", said("json"));
    insta::assert_snapshot!("doctor_as_annotations", said("github"));
}

#[test]
fn every_rule_is_shown_by_a_fixture() {
    let golden = |fixture: &PathBuf| fs::read_to_string(fixture.join("expected.txt")).unwrap();
    let all: String = collections().iter().map(golden).collect();
    let ids = Rule::ALL.map(Rule::id);
    let missing: Vec<&&str> = ids.iter().filter(|id| !all.contains(&format!("[{id}]"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// A comment of a fixture: the text below it is in order, and would not be with one edit.
struct NearMiss {
    file: PathBuf,
    line: usize,
    id: String,
    old: String,
    new: String,
}

fn near_misses(dir: &Path) -> Vec<NearMiss> {
    let mut found = Vec::new();
    for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.extend(near_misses(&path));
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for (line, comment) in text.lines().enumerate() {
            let Some((_, comment)) = comment.split_once("near miss, ") else { continue };
            let (id, edit) = comment.split_once(": ").unwrap();
            let (old, new) = edit.split_once(" => ").unwrap();
            let [id, old, new] = [id, old, new].map(str::to_owned);
            found.push(NearMiss { file: path.clone(), line: line + 1, id, old, new });
        }
    }
    found
}

#[test]
fn every_rule_is_silent_where_one_edit_would_have_it_speak() {
    let mut shown = BTreeSet::new();
    for fixture in collections().iter().filter(|fixture| is_careful(fixture)) {
        assert!(fs::read_to_string(fixture.join("expected.txt")).unwrap().starts_with("nothing found"));
        for NearMiss { file, line, id, old, new } in near_misses(fixture) {
            let dir = checkout(fixture);
            let text = fs::read_to_string(&file).unwrap();
            let (above, below): (Vec<&str>, Vec<&str>) =
                (text.lines().take(line).collect(), text.lines().skip(line).collect());
            let below = below.join("\n");
            assert!(below.contains(&old), "{id}: nothing below says {old}");
            let edited = format!("{}\n{}\n", above.join("\n"), below.replacen(&old, &new, 1));
            write(&dir.path().join(file.strip_prefix(fixture).unwrap()), &edited);
            let found = stdout(&doctor(dir.path(), &[]));
            assert!(found.contains(&format!("[{id}]")), "{id} says nothing of {new}:\n{found}");
            shown.insert(id);
        }
    }
    let ids: BTreeSet<String> = Rule::ALL.map(|rule| rule.id().to_owned()).into();
    assert_eq!(shown, ids);
}

/// What `docs/doctor.md` has to say of each rule.
fn sections() -> String {
    let section = |rule: &Rule| {
        let Text { id, level, summary, why, fix } = rule.text();
        assert!([id, summary, why, fix].iter().all(|text| !text.is_empty()));
        let level = if level == Level::Warning { "warning" } else { "hint" };
        format!("## `{id}`\n\n{summary} ({level}).\n\n- **Why:** {why}\n- **Instead:** {fix}\n")
    };
    Rule::ALL.iter().map(section).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_documentation_explains_every_rule_and_no_other() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/doctor.md");
    let text = fs::read_to_string(&path).unwrap();
    let (head, _) = text.split_once("\n## `").unwrap();
    let expected = format!("{head}\n{}", sections());
    if blesses() {
        write(&path, &expected);
    }
    assert_eq!(text, expected, "{BLESS}");
}

#[test]
fn formats_and_exit_codes_are_those_of_the_readme() {
    let dir = checkout(&fixtures().join("container-job"));
    let root = dir.path();
    assert_eq!(doctor(root, &[]).status.code(), Some(0));
    assert_eq!(doctor(root, &["--deny"]).status.code(), Some(1));

    let json: serde_json::Value = serde_json::from_str(&stdout(&doctor(root, &["--format", "json"]))).unwrap();
    assert_eq!(json["format"], 1);
    let findings = json["findings"].as_array().unwrap();
    assert!(!findings.is_empty());
    for finding in findings {
        for field in ["rule", "level", "file", "what", "why", "fix"] {
            assert!(finding[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {finding}");
        }
        assert!(finding["line"].as_u64().unwrap() >= 1);
    }
    let lines = stdout(&doctor(root, &["--format", "github"]));
    assert_eq!(lines.lines().count(), findings.len());
    let is_command = |line: &str| line.starts_with("::warning file=") || line.starts_with("::notice file=");
    assert!(lines.lines().all(is_command), "{lines}");

    let empty = tempfile::tempdir().unwrap();
    for path in [empty.path().to_str().unwrap(), "nowhere"] {
        let output = doctor(root, &[path]);
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains("hint: "));
    }
}

#[test]
fn git_says_whether_the_lock_file_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    write(&root.join("Cargo.toml"), "[package]\nname = \"a\"\n[dependencies]\nb = \"1\"\n");
    write(&root.join("Cargo.lock"), "version = 4\n");
    write(&root.join(".github/workflows/ci.yml"), "on: push\njobs: {a: {steps: [{run: cargo test}]}}\n");
    git(root, &["init", "--quiet"], None);
    let denied = |root: &Path| stdout(&doctor(root, &["--deny"]));
    assert!(denied(root).contains("[no-lockfile]"));
    git(root, &["add", "Cargo.lock"], None);
    assert_eq!(denied(root), "nothing found in 1 workflow and 1 package\n");
}

/// What is found and meant that way is in `.github/rekindle.yml`.
#[test]
fn nothing_is_found_in_this_repository() {
    let found = stdout(&doctor(Path::new(env!("CARGO_MANIFEST_DIR")), &[]));
    assert!(found.starts_with("nothing found (2 ignored) in "), "{found}");
}

/// What a job builds in a folder is said in the workflows of the whole.
#[test]
fn a_folder_of_a_repository_is_examined_with_its_workflows() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let manifest = "[package]\nname = \"a\"\n[dependencies]\nb = \"1\"\n";
    write(&root.join("python/Cargo.toml"), manifest);
    write(&root.join("other/Cargo.toml"), manifest);
    let job = "on: push\njobs: {a: {steps: [{run: cargo test, working-directory: python}, {run: cargo test, working-directory: other}]}}\n";
    write(&root.join(".github/workflows/ci.yml"), job);
    git(root, &["init", "--quiet"], None);
    let found = stdout(&doctor(&root.join("python"), &[]));
    assert!(found.starts_with("Cargo.toml\n     1  warning  `python/Cargo.lock` is not in git"), "{found}");
    assert!(!found.contains("other/") && found.ends_with("1 warning in 1 workflow and 2 packages\n"), "{found}");
}

#[test]
fn no_file_is_too_strange() {
    let strange: [&[u8]; 8] = [
        b"\xff\xfe",
        b"",
        b"- a\n- b\n",
        b"jobs: []\n",
        b"jobs: {a: null, b: [], c: {steps: {x: 1}}, 1: {steps: [1, [], {run: []}, {uses: {}}]}}\n",
        b"a: *nowhere\n",
        b"? [complex, key]\n: value\n",
        b"jobs: {a: {steps: [{run: 'cargo \\'}, {run: \"cargo test --features\"}, {uses: '@'}, {uses: './'}]}}\n",
    ];
    for (index, bytes) in strange.iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("Cargo.toml"), "[package]\nname = \"a\"\n");
        let file = dir.path().join(".github/workflows/ci.yml");
        write(&file, "");
        fs::write(&file, bytes).unwrap();
        let output = doctor(dir.path(), &[]);
        assert_eq!(output.status.code(), Some(0), "{index}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(!String::from_utf8_lossy(&output.stdout).contains("panicked"));
    }
}
