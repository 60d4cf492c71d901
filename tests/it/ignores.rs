//! Rules of `rekindle doctor` that a repository switches off: in `.github/rekindle.yml`, and by comments in place.

use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::write;

const WORKFLOW: &str = ".github/workflows/ci.yml";
const SETTINGS: &str = ".github/rekindle.yml";

/// A package without a lock file, and a job that compiles a tool.
struct Checkout(tempfile::TempDir);

impl Checkout {
    fn new() -> Self {
        let checkout = Self(tempfile::tempdir().unwrap());
        checkout.write("Cargo.toml", "[package]\nname = \"a\"\n[dependencies]\nb = \"1\"\n");
        checkout.write(WORKFLOW, &workflow("- run: cargo install --locked cargo-hack"));
        checkout
    }

    fn write(&self, file: &str, text: &str) {
        write(&self.0.path().join(file), text);
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rekindle"));
        command.arg("doctor").args(arguments).current_dir(&self.0).output().unwrap()
    }

    fn said(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.said(&["--format", "json"])).unwrap()
    }

    /// `rule file:line` of each finding.
    fn found(&self) -> Vec<String> {
        let place = |one: &Value| format!("{} {}:{}", text(&one["rule"]), text(&one["file"]), one["line"]);
        self.json()["findings"].as_array().unwrap().iter().map(place).collect()
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Its steps begin on line 5.
fn workflow(steps: &str) -> String {
    let steps: Vec<String> = steps.lines().map(|line| format!("      {line}\n")).collect();
    format!("on: push\njobs:\n  a:\n    steps:\n{}      - run: cargo test\n", steps.concat())
}

#[test]
fn settings_switch_a_rule_off_everywhere_or_for_paths() {
    let checkout = Checkout::new();
    let both = ["tool-from-source .github/workflows/ci.yml:5", "no-lockfile Cargo.toml:1"];
    assert_eq!(checkout.found(), both);
    assert_eq!(checkout.run(&["--deny"]).status.code(), Some(1));

    let settings = "doctor:\n  ignore:\n    - rule: no-lockfile\n      reason: a library\n    - rule: tool-from-source\n      \
                    paths: [.github/**]\n      reason: no binaries\n";
    checkout.write(SETTINGS, settings);
    assert_eq!(checkout.said(&[]), "nothing found (2 ignored) in 1 workflow and 1 package\n");
    assert_eq!(checkout.said(&["--format", "github"]), "");
    assert_eq!(checkout.run(&["--deny"]).status.code(), Some(0));
    let ignore = |line: usize, rule: &str, reason: &str, hidden: usize| json!({ "file": SETTINGS, "line": line, "rule": rule, "reason": reason, "hidden": hidden });
    let told = checkout.json();
    assert_eq!(told["hidden"], 2);
    let ignores = [ignore(3, "no-lockfile", "a library", 1), ignore(5, "tool-from-source", "no binaries", 1)];
    assert_eq!(told["ignores"], json!(ignores));
    assert_eq!(told["notes"], json!([]));

    for (paths, hides) in [("['*.toml', .github/workflows/ci.yml]", true), ("[.github/*]", false), ("[ci.yml]", false)]
    {
        checkout.write(SETTINGS, &settings.replace("[.github/**]", paths));
        let found = checkout.found();
        assert_eq!(found.is_empty(), hides, "{paths}: {found:?}");
    }
}

#[test]
fn an_ignore_that_hides_nothing_is_noted() {
    let checkout = Checkout::new();
    checkout.write(SETTINGS, "doctor:\n  ignore:\n    - {rule: no-lockfile, reason: x, paths: [other/Cargo.toml]}\n");
    checkout.write(WORKFLOW, &workflow("# rekindle: ignore[second-cache] there was one\n- uses: actions/checkout@v7"));
    let notes = [
        ".github/rekindle.yml:3 ignores `no-lockfile`, and nothing of it is found there; remove it",
        ".github/workflows/ci.yml:5 ignores `second-cache`, and nothing of it is found there; remove it",
    ];
    let said = checkout.said(&[]);
    let end = format!("note: {}\nnote: {}\n1 warning in 1 workflow and 1 package\n", notes[0], notes[1]);
    assert!(said.ends_with(&end), "{said}");
    let told = checkout.json();
    assert_eq!((&told["notes"], &told["hidden"]), (&json!(notes), &json!(0)));
    assert_eq!(told["ignores"][1]["hidden"], 0);
    // It is no finding.
    checkout.write("Cargo.lock", "version = 4\n");
    assert_eq!(checkout.run(&["--deny"]).status.code(), Some(0));
}

#[test]
fn wrong_settings_are_refused_with_line_and_column() {
    let checkout = Checkout::new();
    let entry = |rest: &str| format!("doctor:\n  ignore:\n    - rule: no-lockfile\n      {rest}\n");
    for (settings, what) in [
        (entry("reason: ''"), "doctor.ignore[0].reason: the reason is empty at line 4 column 15"),
        (entry("reason:"), "the reason is empty at line 4"),
        (entry("paths: [a]"), "doctor.ignore[0]: missing field `reason` at line 3 column 7"),
        (entry("because: x"), "unknown field `because`, expected one of `rule`, `paths`, `reason` at line 4 column 7"),
        (entry("reason: x").replace("no-lock", "no-look"), "there is no rule `no-lookfile` at line 3 column 13"),
        (
            entry("reason: x").replace("doctor", "docter"),
            "unknown field `docter`, expected `doctor` at line 1 column 1",
        ),
        (entry("reason: x\n      paths: ['a**']"), "at line 5 column 15"),
        (entry("reason: [x]"), "invalid type: sequence, expected a text at line 4 column 15"),
        (entry("reason: x\n      reason: y"), "duplicate field `reason`"),
        ("doctor: [1]\n".to_owned(), "doctor: invalid type: sequence, expected a mapping at line 1 column 9"),
        ("doctor:\n  ignore: [\n".to_owned(), "at line 3 column 1"),
    ] {
        checkout.write(SETTINGS, &settings);
        let output = checkout.run(&[]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{settings}{stderr}");
        assert!(stderr.contains("`.github/rekindle.yml`: ") && stderr.contains(what), "{what}\n{stderr}");
        assert!(stderr.contains("hint: ") && output.stdout.is_empty(), "{stderr}");
    }
    checkout.write(SETTINGS, "# nothing yet\n");
    assert_eq!(checkout.found().len(), 2);
    checkout.write(".github/rekindle.yaml", "");
    let output = checkout.run(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("hint: call it `.github/rekindle.yml`"));
}

#[test]
fn a_comment_switches_a_rule_off_in_place() {
    let checkout = Checkout::new();
    let install = "- run: cargo install --locked cargo-hack";
    let comment = "# rekindle: ignore[tool-from-source] no binaries";
    let lock = "tool-from-source .github/workflows/ci.yml";
    for (steps, line) in [
        (format!("{install} {comment}"), None),
        (format!("{comment}\n{install}"), None),
        (format!("{comment}\n# and nobody builds them\n{install}"), None),
        (format!("- run: |\n    cargo fmt\n    {comment}\n    cargo install --locked cargo-hack"), None),
        (format!("{install}\n{comment}"), Some(5)),
        (format!("{comment}\n\n{install}"), Some(7)),
        (format!("- run: cargo fmt {comment}\n{install}"), Some(6)),
        (format!("{install} {}", comment.replace("tool-from-source", "second-cache")), Some(5)),
    ] {
        checkout.write(WORKFLOW, &workflow(&steps));
        let expected = line.map(|line| format!("{lock}:{line}"));
        let found = checkout.found();
        assert_eq!(found.iter().find(|one| one.starts_with(lock)).cloned(), expected, "{steps}\n{found:?}");
    }

    let checkout = Checkout::new();
    checkout.write(WORKFLOW, &workflow("- run: cargo fmt"));
    checkout.write(".cargo/config.toml", "[build]\nincremental = true # rekindle: ignore[incremental-in-ci] wanted\n");
    checkout.write("build.rs", "// rekindle: ignore[build-script-without-rerun-if] everything\nfn main() {}\n");
    let manifest = "# rekindle: ignore[no-lockfile] a library\n[package]\nname = \"a\"\n[dependencies]\nb = \"1\"\n";
    checkout.write("Cargo.toml", manifest);
    // A file that cannot be read has one, too.
    checkout.write("pyproject.toml", "# rekindle: ignore[unreadable-file] a template\n{{ name }}\n");
    assert_eq!(checkout.said(&[]), "nothing found (4 ignored) in 1 workflow and 1 package\n");
    checkout.write("Cargo.toml", &manifest.replace(" a library", ""));
    assert_eq!(checkout.found(), ["no-lockfile Cargo.toml:1", "invalid-ignore Cargo.toml:1"]);
}

#[test]
fn a_comment_that_ignores_nothing_is_a_finding() {
    let checkout = Checkout::new();
    let install = "- run: cargo install --locked cargo-hack";
    for (comment, reason) in [
        ("# rekindle: ignore[tool-from-source]", "it gives no reason"),
        ("# rekindle: ignore[from-source] no binaries", "there is no rule `from-source`"),
        ("# rekindle: ignore[tool-from-source no binaries", "its bracket is not closed"),
        ("# rekindle: ignore", "it names no rule"),
    ] {
        checkout.write(WORKFLOW, &workflow(&format!("{install}\n- uses: actions/checkout@v7 {comment}")));
        let found = checkout.found();
        let expected = ["tool-from-source .github/workflows/ci.yml:5", "invalid-ignore .github/workflows/ci.yml:6"];
        assert_eq!(found[..2], expected, "{comment}");
        let said = checkout.said(&["--format", "github"]);
        let head = "::warning file=.github/workflows/ci.yml,line=6,title=Rekindle%3A invalid-ignore::";
        let line = said.lines().find(|line| line.starts_with(head)).expect(&said);
        assert!(line.contains(&format!("this comment ignores nothing: {reason}")), "{line}");
        assert_eq!(checkout.run(&["--deny"]).status.code(), Some(1));
    }
}
