//! `rekindle mtime` against the tool whose rules it follows, file by file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{git, restored_time, write};

/// The tool itself, as `tests/all.sh` installs it.
fn tool() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/usr/lib/git-core/git-restore-mtime");
    assert!(path.exists(), "`{}` is not there: `tests/all.sh` installs it", path.display());
    path
}

/// A history with branches, merges with and without conflicts, renames, copies, deletions and odd names.
fn history(dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    git(dir, &["init", "--quiet", "--initial-branch=main"], None);
    git(dir, &["config", "user.name", "test"], None);
    git(dir, &["config", "user.email", "test@localhost"], None);
    let mut date = 1_500_000_000_i64;
    let mut commit = |message: &str| {
        git(dir, &["add", "--all"], None);
        // Author and commit dates differ, and do not grow together.
        let output = Command::new("git")
            .args(["commit", "--quiet", "--allow-empty", "-m", message])
            .current_dir(dir)
            .env("GIT_AUTHOR_DATE", format!("{} +0000", date - (date * 7) % 90_000))
            .env("GIT_COMMITTER_DATE", format!("{date} +0000"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        date += 3_600;
    };
    for number in 0..20 {
        write(&dir.join(format!("src/file{number}.rs")), &format!("{number}\n"));
        write(&dir.join(format!("docs/page{}/text.md", number % 4)), &format!("{number}\n"));
        if number % 3 == 0 {
            commit("files");
        }
    }
    write(&dir.join("na\u{ef}ve name\twith tab.txt"), "odd\n");
    write(&dir.join("link"), "-> src/file1.rs");
    commit("odd names");
    for round in 0..6 {
        let branch = format!("branch{round}");
        git(dir, &["checkout", "--quiet", "-b", &branch], None);
        write(&dir.join(format!("src/file{round}.rs")), &format!("branch {round}\n"));
        write(&dir.join("shared.txt"), &format!("branch {round}\n"));
        commit("on the branch");
        git(dir, &["checkout", "--quiet", "main"], None);
        write(&dir.join(format!("src/file{}.rs", round + 10)), &format!("main {round}\n"));
        if round % 2 == 0 {
            write(&dir.join("shared.txt"), &format!("main {round}\n"));
        }
        commit("on main");
        let merged = Command::new("git")
            .args(["merge", "--quiet", "--no-ff", "--no-commit", &branch])
            .current_dir(dir)
            .output()
            .unwrap();
        if !merged.status.success() || round == 3 {
            // An evil merge: a file that only the merge touches.
            write(&dir.join("shared.txt"), &format!("resolved {round}\n"));
            write(&dir.join(format!("only-in-merge-{round}.txt")), "x\n");
        }
        commit("merge");
        git(dir, &["mv", &format!("src/file{}.rs", 15 + round % 5), &format!("src/renamed{round}.rs")], None);
        commit("rename");
        git(dir, &["mv", &format!("src/renamed{round}.rs"), &format!("src/file{}.rs", 15 + round % 5)], None);
        commit("rename back");
    }
    fs::remove_file(dir.join("src/file2.rs")).unwrap();
    commit("delete");
}

fn times(dir: &Path) -> BTreeMap<String, i64> {
    let listed = git(dir, &["ls-files", "-z"], None);
    let paths = listed.split('\0').filter(|path| !path.is_empty());
    paths.map(|path| (path.to_owned(), restored_time(&dir.join(path)).unix_seconds())).collect()
}

fn folders(dir: &Path) -> BTreeMap<String, i64> {
    ["src", "docs", "docs/page0"]
        .iter()
        .map(|path| ((*path).to_owned(), restored_time(&dir.join(path)).unix_seconds()))
        .collect()
}

fn compare(ours: &[&str], theirs: &[&str]) {
    let temp = tempfile::tempdir().unwrap();
    let origin = temp.path().join("origin");
    history(&origin);
    let (a, b) = (temp.path().join("a"), temp.path().join("b"));
    for clone in [&a, &b] {
        git(temp.path(), &["clone", "--quiet", origin.to_str().unwrap(), clone.to_str().unwrap()], None);
    }
    let tool_run = Command::new("python3").arg(tool()).args(theirs).current_dir(&a).output().unwrap();
    assert!(tool_run.status.success(), "{}", String::from_utf8_lossy(&tool_run.stderr));
    let own = Command::new(env!("CARGO_BIN_EXE_rekindle")).arg("mtime").args(ours).current_dir(&b).output().unwrap();
    assert!(own.status.success(), "{}", String::from_utf8_lossy(&own.stderr));
    let expected = times(&a);
    assert!(expected.len() >= 25, "{}", expected.len());
    assert_eq!(times(&b), expected);
    // Folders differ on purpose: a rename takes a child from one folder and gives one to another. Where nothing was renamed
    // the two agree.
    assert_eq!(folders(&b)["docs/page0"], folders(&a)["docs/page0"]);
    git(&b, &["diff-index", "--quiet", "HEAD"], None);
}

#[test]
fn author_dates_equal_the_tools_default() {
    compare(&[], &[]);
}

#[test]
fn commit_dates_equal_the_tools_commit_times() {
    compare(&["--commit"], &["--commit-time"]);
}

#[test]
fn modified_files_are_left_alone() {
    let temp = tempfile::tempdir().unwrap();
    history(temp.path());
    write(&temp.path().join("src/file1.rs"), "changed\n");
    let before = restored_time(&temp.path().join("src/file1.rs"));
    let own = Command::new(env!("CARGO_BIN_EXE_rekindle")).arg("mtime").current_dir(temp.path()).output().unwrap();
    assert!(own.status.success());
    assert_eq!(restored_time(&temp.path().join("src/file1.rs")), before);
}
