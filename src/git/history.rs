//! When each file was last committed, by one walk over the history, newest first.
//!
//! The rules are those of the `git-restore-mtime` tool: the newest commit that is not a merge and touched the path decides; a path
//! that only merges touched gets the newest of them. A folder gets the newest commit that added or removed one of its
//! children. On a shallow clone the history lies, so nothing is said.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use super::{Repository, command};
use crate::machine::children;
use crate::moment::Moment;

/// How many paths fit on one command line of the second walk.
const BATCH: usize = 100;

/// Which of a commit's two dates counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeOf {
    Author,
    Commit,
}

/// Times by path relative to the top of the work tree; `""` is the top itself.
#[derive(Debug, Default)]
pub struct CommitTimes {
    pub files: BTreeMap<String, Moment>,
    pub folders: BTreeMap<String, Moment>,
    /// Tracked, but in no commit that was walked.
    pub missing: Vec<String>,
}

impl Repository {
    /// The commit times of everything that is tracked and not modified.
    pub fn commit_times(&self, time_of: TimeOf) -> Result<CommitTimes> {
        if self.shallow {
            bail!("the clone is shallow, so the dates of its files are unknown");
        }
        let tracked = super::run(&self.top, ["ls-files", "-z"])?;
        let modified = super::run(&self.top, ["diff-index", "-z", "--name-only", "HEAD"])?;
        let dirty = names(&modified);
        let mut wanted: HashSet<String> = names(&tracked).difference(&dirty).cloned().collect();
        let mut times = CommitTimes::default();
        let mut folders: HashSet<String> = wanted.iter().map(|path| folder_of(path).to_owned()).collect();

        self.walk_log(time_of, &["--no-merges"], &[], &mut wanted, &mut folders, &mut times)?;
        let left: Vec<String> = wanted.iter().cloned().collect();
        for batch in left.chunks(BATCH) {
            self.walk_log(time_of, &["-m"], batch, &mut wanted, &mut folders, &mut times)?;
        }
        times.missing = wanted.into_iter().collect();
        times.missing.sort();
        Ok(times)
    }

    fn walk_log(
        &self,
        time_of: TimeOf,
        options: &[&str],
        paths: &[String],
        wanted: &mut HashSet<String>,
        folders: &mut HashSet<String>,
        times: &mut CommitTimes,
    ) -> Result<()> {
        let format = match time_of {
            TimeOf::Author => "--format=%x01%at",
            TimeOf::Commit => "--format=%x01%ct",
        };
        let mut command = command(&self.top);
        command.args(["log", "--raw", "-z", "--no-renames", "--no-abbrev", format]).args(options).arg("--").args(paths);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut running = children::start(&mut command).context("cannot run `git log`")?;
        let child = &mut running.child;
        let stdout = child.stdout.take().context("`git log` has no output")?;
        let mut time = Moment::EPOCH;
        let mut status = None;
        for token in BufReader::new(stdout).split(0) {
            let token = token.context("cannot read `git log`")?;
            let text = String::from_utf8_lossy(&token);
            if let Some(status) = status.take() {
                let path = text.into_owned();
                if wanted.remove(&path) {
                    times.files.insert(path.clone(), time);
                }
                let folder = folder_of(&path);
                if matches!(status, 'A' | 'D') && folders.remove(folder) {
                    times.folders.insert(folder.to_owned(), time);
                }
                if wanted.is_empty() && (folders.is_empty() || !paths.is_empty()) {
                    break;
                }
                continue;
            }
            for line in text.split('\n').map(str::trim).filter(|line| !line.is_empty()) {
                if let Some(stamp) = line.strip_prefix('\u{1}') {
                    let seconds: i64 =
                        stamp.parse().with_context(|| format!("`git log` printed the date `{stamp}`"))?;
                    time = Moment::from_nanos(seconds.saturating_mul(1_000_000_000));
                } else if line.starts_with(':') {
                    status = line.chars().next_back().or(Some('M'));
                }
            }
        }
        // Stopped early or not, what it printed is complete up to here.
        let _ = child.kill();
        child.wait().context("cannot wait for `git log`")?;
        Ok(())
    }
}

fn names(listing: &[u8]) -> HashSet<String> {
    let parts = listing.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    parts.filter_map(|name| String::from_utf8(name.to_vec()).ok()).collect()
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}
