//! Changes between two runs, made in the repository that both machines follow, or in their environment.

use std::fs;
use std::path::Path;

use super::super::moves::Change;
use super::super::packages::{Part, folders, name, places};
use super::super::tree::{content, nth, nth_file};
use super::{Machines, members, secrets};
use crate::support::{git, write};

impl Machines {
    /// Changes the repository or the environment.
    pub(super) fn apply(&mut self, change: &Change) {
        let origin = self.world.origin();
        let file = |place: usize| origin.join(nth(&places(&self.shape), place).0);
        let folder = |folder: usize| origin.join(nth(&folders(&self.shape), folder).0);
        match change {
            Change::Edit { place, value } => write(&file(*place), &content(*value)),
            Change::OldDatedEdit { place, value } => {
                write(&file(*place), &content(*value));
                let date = std::mem::replace(&mut self.world.date, 1_000_000_000);
                self.world.commit("old");
                self.world.date = date;
            }
            Change::Add { folder: to, name: which, value } => write(&folder(*to).join(name(*which)), &content(*value)),
            Change::Delete { folder: from, which } => {
                if let Some(path) = nth_file(&folder(*from), *which) {
                    fs::remove_file(path).unwrap();
                }
            }
            Change::Rename { folder: within, which, name: to } => {
                if let Some(path) = nth_file(&folder(*within), *which) {
                    fs::rename(&path, path.with_file_name(name(*to))).unwrap();
                }
            }
            Change::Retarget { two } => {
                let text = if *two { "-> ../choices/two.txt" } else { "-> ../choices/one.txt" };
                write(&origin.join("ws/a/src/chosen.txt"), text);
            }
            Change::RetargetFolder { two } => {
                write(&origin.join("ws/a/door"), if *two { "-> rooms/two" } else { "-> rooms/one" });
            }
            Change::Revert { steps } => {
                let commit = self.commits[self.commits.len().saturating_sub(steps + 1)].clone();
                git(&origin, &["read-tree", "--reset", "-u", &commit], None);
                self.update_submodule_of(&origin);
            }
            Change::Merge { steps, place, value } => {
                self.world.commit("before the merge");
                let commit = self.commits[self.commits.len().saturating_sub(steps + 1)].clone();
                git(&origin, &["checkout", "--quiet", "-B", "side", &commit], None);
                self.update_submodule_of(&origin);
                write(&file(*place), &content(*value));
                self.world.commit("side");
                git(&origin, &["checkout", "--quiet", "main"], None);
                let merge = ["merge", "--quiet", "--no-ff", "-X", "theirs", "-m", "merge", "side"];
                git(&origin, &merge, Some(self.world.date));
                self.update_submodule_of(&origin);
            }
            Change::LockBump { package } => self.bump(&origin.join("ws"), *package),
            Change::Feature { on } => self.loud = *on,
            Change::Variable { which, value } => {
                let variable = ["A_FLAG", "C_FLAG"][*which].to_owned();
                match value {
                    Some(value) => self.world.env.insert(variable, value.to_string()),
                    None => self.world.env.remove(&variable),
                };
            }
            Change::Submodule { name: which, value } => {
                if self.shape.contains(&Part::Submodule) {
                    let data = origin.join("ws/modu/data");
                    write(&data.join(name(*which)), &content(*value));
                    git(&data, &["add", "--all"], None);
                    git(&data, &["commit", "--quiet", "--allow-empty", "-m", "change"], Some(self.world.date));
                    // Where the clones look for it.
                    git(&data, &["push", "--quiet", "--force", "origin", "HEAD:refs/heads/next"], None);
                }
            }
            Change::Rotate => self.secrets.push(secrets::secret(self.secrets.len())),
            Change::Nothing => {}
        }
        self.world.commit("step");
        self.commits.push(self.world.head());
        self.members = members(&self.world);
    }

    fn update_submodule_of(&self, repository: &Path) {
        if self.shape.contains(&Part::Submodule) {
            git(repository, &["submodule", "--quiet", "update", "--init", "--force"], None);
        }
    }

    /// Another version of a package, in its manifest and in the lock file.
    fn bump(&mut self, workspace: &Path, package: usize) {
        self.version += 1;
        let lock = fs::read_to_string(workspace.join("Cargo.lock")).unwrap();
        let names: Vec<&str> =
            lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).collect();
        let package = names[package % names.len()];
        for name in ["Cargo.lock", &format!("{package}/Cargo.toml")] {
            let path = workspace.join(name);
            let text = fs::read_to_string(&path).unwrap();
            let head = format!("name = \"{package}\"\nversion = \"");
            let at = text.find(&head).unwrap() + head.len();
            let end = at + text[at..].find('"').unwrap();
            fs::write(&path, format!("{}0.1.{}{}", &text[..at], self.version, &text[end..])).unwrap();
        }
    }
}
