//! Checkouts for the tests of rules: a package without a fault, and around it what a test adds.

use fs_err as fs;

use crate::doctor::finding::Finding;

const PACKAGE: [(&str, &str); 3] = [
    ("Cargo.toml", "[package]\nname = \"sample\"\nversion = \"0.1.0\"\n[profile.dev]\ndebug = 0\n"),
    ("Cargo.lock", "version = 4\n"),
    ("rust-toolchain.toml", "[toolchain]\nchannel = \"1.90\"\n"),
];

/// What is found in a checkout with these files; an empty text takes a file away.
pub(super) fn findings(files: &[(&str, &str)]) -> Vec<Finding> {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in PACKAGE.iter().chain(files) {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        if text.is_empty() {
            fs::remove_file(&path).unwrap();
        }
    }
    super::examine(dir.path()).unwrap().findings
}

/// The ids of what is found, with lines.
pub(super) fn ids(files: &[(&str, &str)]) -> Vec<String> {
    findings(files).iter().map(|finding| format!("{}:{}", finding.rule.id(), finding.line)).collect()
}

/// A workflow with one job of these steps, which begin on line 6.
pub(super) fn workflow(steps: &[&str]) -> String {
    let head = "on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n".to_owned();
    steps.iter().fold(head, |text, step| text + "      - " + step + "\n")
}

/// What is found in a job of these steps.
pub(super) fn job(steps: &[&str]) -> Vec<String> {
    ids(&[(".github/workflows/ci.yml", &workflow(steps))])
}

/// The same in a checkout of a Python package.
pub(super) fn python_job(steps: &[&str]) -> Vec<String> {
    let manifest = "[package]\nname = \"sample\"\n[dependencies]\npyo3 = \"0.28\"\n[profile.dev]\ndebug = 0\n";
    let project = "[build-system]\nrequires = [\"maturin>=1\"]\nbuild-backend = \"maturin\"\n";
    ids(&[(".github/workflows/ci.yml", &workflow(steps)), ("Cargo.toml", manifest), ("pyproject.toml", project)])
}

pub(super) const CHECKOUT: &str = "uses: actions/checkout@v7";
pub(super) const OURS: &str = "uses: rekindle-rs/rekindle@v1";
pub(super) const TEST: &str = "run: cargo test";
