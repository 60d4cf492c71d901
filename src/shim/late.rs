//! Inputs that a job makes only after the restore: a virtual environment's `pyvenv.cfg`, files that a step generates.
//!
//! The restore writes down which files outside of git the restored units name, and what they were; the shim compares before
//! each build and gives those that came back as they were the time that they had. The list is small on purpose: it is read in
//! every call. A file leaves the list for good as soon as it was seen to be anything else, because from then on something may
//! have been built from that.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::digest::{ContentId, Digest};
use crate::machine::disk;
use crate::moment::Moment;
use crate::stamp::sight::Stamped;
use crate::state::key::FORMAT;
use crate::state::manifest::{InputKind, Manifest, Origin};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LateList {
    pub format: u32,
    /// The target and build folders that hold what was built from them.
    pub roots: Vec<PathBuf>,
    /// The workspaces that build into these.
    pub workspaces: Vec<PathBuf>,
    /// Newer than everything restored.
    pub new_time: Moment,
    pub inputs: Vec<LateInput>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LateInput {
    pub path: PathBuf,
    pub id: ContentId,
    /// The time that it has to have on this disk.
    pub mtime: Moment,
    /// It was there, as recorded, when somebody last looked.
    pub seen: bool,
}

impl LateList {
    /// Files that units name, that git does not bring, and that are missing or exactly as they were.
    pub fn of(manifest: &Manifest, stamped: &Stamped, shift: Duration, new_time: Moment) -> Self {
        let named: BTreeSet<usize> = manifest.units.iter().flat_map(|unit| unit.inputs.iter().copied()).collect();
        let inputs = named
            .into_iter()
            .map(|at| &manifest.inputs[at])
            .filter(|input| input.kind == InputKind::File && matches!(input.origin, Origin::Outside | Origin::Ignored));
        let late = inputs.filter_map(|input| {
            let (id, mtime) = (input.id.clone(), input.mtime.minus(shift));
            let now = stamped.get(&input.path);
            let is_settled = now.is_some_and(|now| now.id != id || now.mtime != mtime);
            (!is_settled).then(|| LateInput { path: PathBuf::from(&input.path), id, mtime, seen: now.is_some() })
        });
        let inputs = late.collect();
        Self { format: FORMAT, roots: Vec::new(), workspaces: Vec::new(), new_time, inputs }
    }

    /// Where the list of the job with this state file lies.
    pub fn path(folder: &Path, state: &Path) -> PathBuf {
        folder.join(format!("{}.json", Digest::of(state.to_string_lossy().as_bytes()).short()))
    }

    pub fn load(path: &Path) -> Option<Self> {
        let list: Self = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        (list.format == FORMAT).then_some(list)
    }

    /// A list without files is none.
    pub fn store(&self, path: &Path) -> Result<()> {
        if self.inputs.is_empty() {
            Self::forget(path);
            return Ok(());
        }
        Ok(disk::write_atomically(path, &serde_json::to_vec(self)?)?)
    }

    pub fn forget(path: &Path) {
        // It is not there, or nothing in this folder can be written.
        let _ = fs::remove_file(path);
    }
}
