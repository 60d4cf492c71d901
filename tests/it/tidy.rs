//! The repository itself: imports go one way, rooms stay small, texts that say the same thing do.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const VALUES: [&str; 12] = [
    "decision", "delta", "digest", "key", "manifest", "moment", "outcome", "paths", "problem", "rebuild", "record",
    "stamp",
];
/// A file with more lines has a second subject.
const ROOM: usize = 420;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<(String, String)> {
    fn walk(dir: &Path, into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path, into) } else { into.push(path) }
        }
    }
    let mut paths = Vec::new();
    walk(&root().join("src"), &mut paths);
    paths.sort();
    let name = |path: &PathBuf| path.strip_prefix(root().join("src")).unwrap().to_str().unwrap().replace('\\', "/");
    paths.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

/// The part of a file that is not tests.
fn code(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap()
}

/// Top-level modules of this crate that a file names.
fn imports(text: &str) -> BTreeSet<String> {
    let code = code(text);
    let after = code.split("crate::").skip(1);
    after.map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()).collect()
}

fn room(file: &str) -> &str {
    file.split('/').next().unwrap().trim_end_matches(".rs")
}

#[test]
fn values_do_no_input_or_output_and_import_only_values() {
    for (file, text) in sources().iter().filter(|(file, _)| VALUES.contains(&room(file))) {
        for forbidden in ["std::fs", "fs_err", "std::process", "std::env", "std::net", "std::io"] {
            assert!(!code(text).contains(forbidden), "{file} uses {forbidden}");
        }
        let outside: Vec<String> = imports(text).into_iter().filter(|name| !VALUES.contains(&name.as_str())).collect();
        assert!(outside.is_empty(), "{file} imports {outside:?}");
    }
}

#[test]
fn edges_do_not_import_phases_and_phases_not_each_other() {
    for (file, text) in sources() {
        let imported = imports(&text);
        if room(&file) != "phase" && !["cli", "main", "lib"].contains(&room(&file)) {
            assert!(!imported.contains("phase") && !imported.contains("cli"), "{file} looks up");
            assert!(room(&file) == "report" || !imported.contains("report"), "{file} speaks");
        }
        if let Some(rest) = file.strip_prefix("phase/") {
            let own = room(rest);
            let others = code(&text).split("crate::phase::").skip(1).map(|rest| rest.split(':').next().unwrap());
            for other in others {
                assert_eq!(other, own, "{file} imports another phase");
            }
        }
    }
}

#[test]
fn every_file_says_what_it_is_for_and_is_small() {
    for (file, text) in sources() {
        assert!(text.starts_with("//! "), "{file} does not open with a doc line");
        let lines = code(&text).lines().count();
        assert!(lines <= ROOM, "{file} has {lines} lines: what is its second subject?");
    }
}

#[test]
fn nothing_unfinished_is_left() {
    for (file, text) in sources() {
        for mark in ["FIXME", "XXX", "TODO", "unimplemented!(", "todo!("] {
            assert!(!text.contains(mark), "{file} holds {mark}");
        }
    }
}

#[test]
fn the_readme_names_every_command_and_option() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let help = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_rekindle")).args(arguments).arg("--help").output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let listed = help(&[]);
    let commands =
        listed.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1).take_while(|line| !line.is_empty());
    let names: Vec<&str> =
        commands.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect();
    assert_eq!(names, ["restore", "save", "try", "key", "mtime"]);
    for name in names {
        assert!(readme.contains(&format!("`rekindle {name}")), "the README does not name `rekindle {name}`");
        let text = help(&[name]);
        let lines = text.lines().map(str::trim).filter(|line| {
            line.starts_with("--") && line.contains(" <") || line.starts_with("--json") || line.starts_with("--commit")
        });
        let options = lines.filter_map(|line| line.split([' ', '=', '"']).next());
        for option in options.filter(|option| *option != "--help") {
            assert!(readme.contains(&format!("`{option}")), "the README does not name `{option}` of `{name}`");
        }
    }
}

#[test]
fn the_changelog_has_the_version() {
    let changelog = fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    assert!(changelog.contains(&format!("## [{}]", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn the_ci_entry_runs_the_readmes_test_command() {
    let entry = fs::read_to_string(root().join(".ci/run")).unwrap();
    assert!(entry.contains("tests/all.sh"));
    assert!(fs::read_to_string(root().join("README.md")).unwrap().contains("tests/all.sh"));
}
