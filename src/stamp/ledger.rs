//! What this machine is known to have held at each source path, and since when.
//!
//! A machine that is not wiped can hold target folders that nobody told Rekindle of. What was built there from other content must
//! not look newer than this content, so no source gets a time that is older than the last moment at which something else was known
//! to lie at its path. How it can be wrong: content that came and went between two looks is not in here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::digest::{ContentId, Digest};
use crate::machine::disk;
use crate::machine::environment::user_cache;
use crate::moment::Moment;
use crate::state::key::FORMAT;
use crate::state::manifest::Input;

/// Paths of files that are gone are remembered up to here.
const REMEMBERED: usize = 200_000;

#[derive(Debug, Serialize, Deserialize)]
pub struct Ledger {
    format: u32,
    entries: BTreeMap<String, Entry>,
    #[serde(skip)]
    path: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    id: ContentId,
    /// Something else lay there until then, at the latest; zero if nothing else is known to have been there.
    since: Moment,
}

impl Ledger {
    /// The ledger of a workspace; none on a machine that is wiped after the job, as a hosted runner says of itself.
    pub fn of(workspace: &Path) -> Option<Self> {
        if std::env::var("RUNNER_ENVIRONMENT").is_ok_and(|kind| kind == "github-hosted") {
            return None;
        }
        let name = Digest::of(workspace.as_os_str().as_encoded_bytes());
        let path = user_cache().join("rekindle").join("ledger").join(format!("{}.json", name.short()));
        let read = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        let entries = read.filter(|read| read.format == FORMAT).map(|read| read.entries).unwrap_or_default();
        Some(Self { format: FORMAT, entries, path })
    }

    /// Looks at what is there: what is not what it was has been so since it last changed, or since `now` at the latest.
    pub fn look(&mut self, inputs: &BTreeMap<String, Input>, changed: &BTreeMap<String, Moment>, now: Moment) {
        for (path, input) in inputs {
            match self.entries.get_mut(path) {
                Some(entry) if entry.id == input.id => {}
                Some(entry) => {
                    let since = changed.get(path).map_or(now, |changed| now.min(*changed));
                    *entry = Entry { id: input.id.clone(), since };
                }
                None => {
                    self.entries.insert(path.clone(), Entry { id: input.id.clone(), since: Moment::EPOCH });
                }
            }
        }
        if self.entries.len() > REMEMBERED {
            self.entries.retain(|path, _| inputs.contains_key(path));
        }
    }

    /// The earliest time that what lies at a path may have.
    pub fn floor(&self, path: &str) -> Moment {
        self.entries.get(path).map_or(Moment::EPOCH, |entry| entry.since)
    }

    pub fn store(&self) -> Result<()> {
        disk::write_atomically(&self.path, &serde_json::to_vec(self)?).context("cannot note what this machine held")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::manifest::{InputKind, Origin};

    #[test]
    fn content_that_returns_is_no_older_than_its_return() {
        let inputs = |text: &str| {
            let id = ContentId::of_link(text);
            let (kind, origin) = (InputKind::File, Origin::Tracked);
            let input = Input {
                path: "/f".into(),
                kind,
                id,
                executable: false,
                mtime: Moment::from_nanos(1),
                origin,
                resolved: None,
            };
            BTreeMap::from([("/f".to_owned(), input)])
        };
        let mut ledger = Ledger { format: FORMAT, entries: BTreeMap::new(), path: PathBuf::new() };
        let unknown = BTreeMap::new();
        ledger.look(&inputs("a"), &unknown, Moment::from_nanos(10));
        assert_eq!(ledger.floor("/f"), Moment::EPOCH);
        ledger.look(&inputs("b"), &unknown, Moment::from_nanos(20));
        ledger.look(&inputs("a"), &unknown, Moment::from_nanos(30));
        ledger.look(&inputs("a"), &unknown, Moment::from_nanos(40));
        assert_eq!(ledger.floor("/f"), Moment::from_nanos(30));
        ledger.look(&inputs("b"), &BTreeMap::from([("/f".to_owned(), Moment::from_nanos(45))]), Moment::from_nanos(50));
        assert_eq!(ledger.floor("/f"), Moment::from_nanos(45), "it was written then, and looked at later");
    }
}
