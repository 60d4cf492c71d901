//! The git on PATH: which files a checkout holds, which of them are exactly their blob, and when each was last committed.
//!
//! An id is taken from the index only where git vouches that the bytes on disk are the blob's bytes: clean by stat, not flagged
//! as "assume unchanged" or "skip worktree", and no filter, line-ending or encoding attribute in between. For everything else
//! the caller hashes the bytes. Nothing here changes a repository except the index refresh, and `index`, which
//! writes down status-change times.

mod described;
mod history;
mod index;
mod lying;
mod meaning;

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::digest::{BlobAlgorithm, ContentId};
use crate::machine::ask;
use crate::machine::children::{self, Running};
use crate::machine::paths;

pub use history::{CommitTimes, TimeOf};
pub use index::GitIndex;

/// A work tree and what is true of it as a whole.
#[derive(Clone, Debug)]
pub struct Repository {
    pub top: PathBuf,
    pub git_dir: PathBuf,
    /// The same unless this is a linked work tree.
    pub common_dir: PathBuf,
    pub algorithm: BlobAlgorithm,
    pub shallow: bool,
    pub head: Option<String>,
}

/// What git says lies below some folders.
#[derive(Debug, Default)]
pub struct Listing {
    pub tracked: Vec<Tracked>,
    /// Neither tracked nor ignored.
    pub untracked: Vec<PathBuf>,
    /// Submodules and repositories that were checked out inside this one.
    pub nested: Vec<PathBuf>,
}

#[derive(Debug)]
pub struct Tracked {
    pub path: PathBuf,
    /// The blob in the index. The bytes on disk are its bytes only if git vouches for them: see `vouched`.
    pub blob: ContentId,
    /// Whether git makes it executable in a checkout.
    pub executable: bool,
    /// A regular file that git was not told to overlook.
    pub may_be_vouched: bool,
}

impl Repository {
    /// The repository that holds `dir`, if one does and git is there to say so.
    pub fn discover(dir: &Path) -> Option<Self> {
        let output = children::output(command(dir).args([
            "rev-parse",
            "--show-toplevel",
            "--absolute-git-dir",
            "--is-shallow-repository",
            "--show-object-format",
            "--git-common-dir",
        ]))
        .ok()
        .filter(|output| output.status.success())?;
        let text = String::from_utf8(output.stdout).ok()?;
        let [top, git_dir, shallow, format, common_dir] = text.lines().collect::<Vec<_>>().try_into().ok()?;
        let head = run(dir, ["rev-parse", "--verify", "--quiet", "HEAD"]).ok();
        Some(Self {
            common_dir: dir.join(common_dir),
            top: PathBuf::from(top),
            git_dir: PathBuf::from(git_dir),
            algorithm: if format == "sha256" { BlobAlgorithm::Sha256 } else { BlobAlgorithm::Sha1 },
            shallow: shallow == "true",
            head: head.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned()),
        })
    }

    /// Why there is none, as git says it.
    pub fn refusal(dir: &Path) -> String {
        if !dir.is_dir() {
            return "it is no folder".to_owned();
        }
        match children::output(command(dir).args(["rev-parse", "--show-toplevel"])) {
            Err(error) => format!("git cannot be run ({error})"),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                let first = said.lines().next().unwrap_or("git gives no reason");
                first.trim_start_matches("fatal: ").to_owned()
            }
        }
    }

    /// Lists what lies below `folders`, which are inside this repository.
    pub fn list(&self, folders: &[PathBuf]) -> Result<Listing> {
        let (staged, others) = rayon::join(
            || self.run_below(&["ls-files", "-z", "--stage", "-v"], folders),
            || self.run_below(&["ls-files", "-z", "--others", "--exclude-standard"], folders),
        );
        let mut listing = self.staged(&staged?)?;
        for name in others?.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            match name.strip_suffix(b"/") {
                Some(folder) => listing.nested.push(self.top.join(paths::from_bytes(folder))),
                None => listing.untracked.push(self.top.join(paths::from_bytes(name))),
            }
        }
        Ok(listing)
    }

    /// Every file that the index holds.
    pub fn tracked(&self) -> Result<Vec<Tracked>> {
        let staged = run(&self.top, ["ls-files", "-z", "--stage", "-v"])?;
        Ok(self.staged(&staged)?.tracked)
    }

    /// What `git ls-files --stage -v` printed.
    fn staged(&self, staged: &[u8]) -> Result<Listing> {
        let mut listing = Listing::default();
        for entry in staged.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()) {
            let (head, name) =
                split_once(entry, b'\t').context("`git ls-files --stage` printed an entry without a path")?;
            let head = String::from_utf8_lossy(head);
            let [tag, mode, oid, _stage] = head.split(' ').collect::<Vec<_>>()[..] else {
                bail!("`git ls-files --stage -v` printed `{head}`");
            };
            let path = self.top.join(paths::from_bytes(name));
            if mode == "160000" {
                listing.nested.push(path);
            } else {
                let may_be_vouched = tag == "H" && mode != "120000" && path.to_str().is_some();
                let blob = ContentId::of_blob(self.algorithm, oid)
                    .with_context(|| format!("`git ls-files --stage -v` printed `{head}`"))?;
                let executable = mode == "100755";
                listing.tracked.push(Tracked { path, blob, executable, may_be_vouched });
            }
        }
        Ok(listing)
    }

    /// Every file that git ignores.
    pub fn ignored(&self) -> Result<Vec<PathBuf>> {
        let listed = run(&self.top, ["ls-files", "-z", "--others", "--ignored", "--exclude-standard"])?;
        let names = listed.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        Ok(names.map(|name| self.top.join(paths::from_bytes(name))).collect())
    }

    /// Which of these tracked files hold exactly the bytes of their blob, as far as git can vouch for it.
    pub fn vouched<'a>(&self, paths: &[&'a Path], folders: &[PathBuf]) -> Result<HashSet<&'a Path>> {
        if paths.is_empty() {
            return Ok(HashSet::new());
        }
        let differing = self.run_below(&["diff-files", "-z", "--name-only"], folders)?;
        let dirty: HashSet<PathBuf> = differing
            .split(|byte| *byte == 0)
            .map(|name| self.top.join(String::from_utf8_lossy(name).as_ref()))
            .collect();
        let names: Vec<String> = paths
            .iter()
            .filter_map(|path| Some(path.strip_prefix(&self.top).ok()?.to_str()?.replace('\\', "/")))
            .collect();
        ensure!(names.len() == paths.len(), "a tracked file lies outside of its repository");
        let filtered = self.filtered(&names)?;
        let clean = paths.iter().zip(&names).filter(|(path, name)| !dirty.contains(**path) && !filtered.covers(name));
        Ok(clean.map(|(path, _)| *path).collect())
    }

    /// Tracked files that differ from the last commit, and untracked ones, relative to the top.
    pub fn uncommitted(&self) -> Result<Vec<String>> {
        let differing = run(&self.top, ["diff-index", "-z", "--name-only", "HEAD"])?;
        let untracked = run(&self.top, ["ls-files", "-z", "--others", "--exclude-standard"])?;
        let names = differing.split(|byte| *byte == 0).chain(untracked.split(|byte| *byte == 0));
        let texts = names.filter(|name| !name.is_empty()).filter_map(|name| String::from_utf8(name.to_vec()).ok());
        Ok(texts.filter(|name| !name.ends_with('/')).collect())
    }

    /// Tells git about times that were set, so that `git diff-index` sees a clean tree (build scripts ask it). It works while
    /// the caller does, and is done when the handle says so.
    pub fn refresh_index(&self) -> Result<Refresh> {
        let mut command = command(&self.top);
        command
            .args(["update-index", "-q", "--refresh"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Ok(Refresh(children::start(&mut command).context("cannot run `git update-index`")?))
    }

    /// Whether git ignores a path as a whole.
    pub fn ignores(&self, path: &Path) -> bool {
        let mut command = command(&self.top);
        command.args(["check-ignore", "--quiet", "--no-index", "--"]).arg(path).stdin(Stdio::null());
        children::status(&mut command).is_ok_and(|status| status.success())
    }

    fn run_below(&self, arguments: &[&str], folders: &[PathBuf]) -> Result<Vec<u8>> {
        let mut command = command(&self.top);
        command.args(arguments).arg("--");
        if !folders.contains(&self.top) {
            command.args(folders);
        }
        finish(command)
    }

    /// Which of these tracked files may differ from their blob although git calls them clean.
    fn filtered(&self, names: &[String]) -> Result<Filtered> {
        let config =
            run(&self.top, ["config", "--get-regexp", r"^core\.(autocrlf|attributesfile)$"]).unwrap_or_default();
        let config = String::from_utf8_lossy(&config).to_ascii_lowercase();
        if config.lines().any(|line| line.starts_with("core.autocrlf") && !line.ends_with(" false")) {
            return Ok(Filtered::All);
        }
        let above = names.iter().flat_map(|name| Path::new(name).ancestors().skip(1)).collect::<HashSet<_>>();
        let in_tree = above.iter().any(|dir| self.top.join(dir).join(".gitattributes").exists());
        let attributes = in_tree
            || config.contains("core.attributesfile")
            || self.git_dir.join("info/attributes").exists()
            || global_attributes().iter().any(|path| path.exists());
        if !attributes {
            return Ok(Filtered::None);
        }
        let mut command = command(&self.top);
        command.args([
            "check-attr",
            "-z",
            "--stdin",
            "text",
            "crlf",
            "eol",
            "filter",
            "ident",
            "working-tree-encoding",
        ]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut running = children::start(&mut command).context("cannot run `git check-attr`")?;
        let mut stdin = running.child.stdin.take().context("`git check-attr` has no input")?;
        let input = names.join("\0");
        let writer =
            std::thread::spawn(move || stdin.write_all(input.as_bytes()).and_then(|()| stdin.write_all(b"\0")));
        let output = running.output().context("cannot read `git check-attr`")?;
        if !output.status.success() || !matches!(writer.join(), Ok(Ok(()))) {
            return Ok(Filtered::All);
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let fields: Vec<&str> = text.split('\0').collect();
        let some = fields.chunks_exact(3).filter(|triple| !matches!(triple[2], "unspecified" | "unset"));
        Ok(Filtered::Some(some.map(|triple| triple[0].to_owned()).collect()))
    }
}

/// A running refresh of the index.
#[derive(Debug)]
pub struct Refresh(Running);

impl Refresh {
    pub fn finish(mut self) -> Result<()> {
        // Exit code 1 only says that some files really differ.
        let status = self.0.child.wait().context("cannot wait for `git update-index`")?;
        if status.code().is_some_and(|code| code <= 1) {
            Ok(())
        } else {
            bail!("`git update-index` ended with {status}")
        }
    }
}

enum Filtered {
    None,
    Some(HashSet<String>),
    All,
}

impl Filtered {
    fn covers(&self, name: &str) -> bool {
        match self {
            Self::None => false,
            Self::Some(names) => names.contains(name),
            Self::All => true,
        }
    }
}

fn global_attributes() -> Vec<PathBuf> {
    let var = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let config = var("XDG_CONFIG_HOME").or_else(|| var("HOME").map(|home| home.join(".config")));
    let mut paths = vec![PathBuf::from("/etc/gitattributes"), PathBuf::from("/usr/local/etc/gitattributes")];
    paths.extend(config.map(|dir| dir.join("git/attributes")));
    paths
}

/// A git that believes no monitor and no loosened stat comparison, and speaks no other language.
fn command(dir: &Path) -> Command {
    let mut command = ask::command("git");
    command.current_dir(dir);
    command.args(["-c", "core.fsmonitor=false", "-c", "core.checkStat=default", "-c", "core.trustctime=true"]);
    command.args(["-c", "core.quotePath=false", "-c", "log.showSignature=false"]);
    command.env("LC_ALL", "C").env("GIT_OPTIONAL_LOCKS", "0");
    command
}

fn run<const N: usize>(dir: &Path, arguments: [&str; N]) -> Result<Vec<u8>> {
    let mut command = command(dir);
    command.args(arguments);
    finish(command)
}

fn finish(mut command: Command) -> Result<Vec<u8>> {
    let output = children::output(&mut command).context("cannot run `git`")?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let shown: Vec<&str> =
        command.get_args().filter_map(OsStr::to_str).skip_while(|word| *word == "-c" || word.contains('=')).collect();
    bail!("`git {}` failed: {}", shown.join(" "), String::from_utf8_lossy(&output.stderr).trim())
}

fn split_once(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let position = bytes.iter().position(|byte| *byte == at)?;
    Some((&bytes[..position], &bytes[position + 1..]))
}
