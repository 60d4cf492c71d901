//! A new base without what siblings have stored: looks them up, compares bytes, and refers to their packs.
//!
//! Whatever goes wrong, the base is stored whole. How it can be wrong: a pack that is referred to can be gone by the time it is
//! needed; then the next job builds what it held.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Result;
use fs_err as fs;
use rayon::prelude::*;
use sha2::{Digest as _, Sha256};

use crate::digest::Digest;
use crate::pack::{Pack, seed};
use crate::state::borrow::{self, Lender};
use crate::state::delta::DeltaPlan;
use crate::state::key::Key;
use crate::state::manifest::{FileEntry, Manifest, Parent};
use crate::store::Store;

/// Takes out of the plan of a base what need not be stored. `paths` say where its files lie.
pub(super) fn subtract(store: &dyn Store, base: &Manifest, paths: &[PathBuf], plan: &mut DeltaPlan) {
    match borrow(store, base, paths, &plan.files) {
        Ok(Some((files, taken))) => {
            let borrowed: BTreeSet<usize> = taken.files.iter().copied().collect();
            plan.files = files;
            plan.parents = taken.parents();
            plan.stored.retain(|at| !borrowed.contains(at));
            plan.stored_bytes = plan.stored.iter().map(|&at| plan.files[at].size()).sum();
            tracing::debug!(
                files = borrowed.len(),
                packs = plan.parents.len(),
                "siblings hold what need not be stored"
            );
        }
        Ok(None) => {}
        Err(error) => tracing::debug!("nothing is borrowed from siblings: {error:#}"),
    }
}

type Taken = (Vec<FileEntry>, borrow::Borrowed);

fn borrow(store: &dyn Store, base: &Manifest, paths: &[PathBuf], files: &[FileEntry]) -> Result<Option<Taken>> {
    let own = base.parts.fields();
    let siblings = seed::siblings(store, &base.parts)?;
    let keys = seed::newest(store, &own, &siblings);
    // One that cannot be opened lends nothing.
    let opened = keys.par_iter().filter_map(|key| Pack::open(store, key).ok());
    let packs: Vec<Pack<'_>> = opened.filter(|pack| pack.index.manifest.roots == base.roots).collect();
    let lenders: Vec<Lender<'_>> =
        packs.iter().map(|pack| Lender { manifest: &pack.index.manifest, pack: pack.as_parent() }).collect();
    let alike = borrow::alike(files, &lenders);
    let hash = |at: &usize| Some((*at, sha256(&paths[*at], files[*at].size()).ok()?));
    let hashes: BTreeMap<usize, Digest> = alike.par_iter().filter_map(|(at, _)| hash(at)).collect();
    let is_own = |parent: &Parent| Key::parse(&parent.key).is_none_or(|key| key.fields.name == own.name);
    let mut files = files.to_vec();
    let taken = borrow::take(&mut files, &lenders, &alike, &hashes, &is_own);
    let are_there = taken.parents().par_iter().all(|parent| is_there(store, parent));
    Ok((are_there && !taken.files.is_empty()).then_some((files, taken)))
}

fn is_there(store: &dyn Store, parent: &Parent) -> bool {
    let is_it = Pack::open(store, &parent.key).is_ok_and(|pack| pack.sha256 == parent.sha256);
    is_it && store.confirm(&parent.key).is_ok()
}

/// Of a file that is still as large as it was.
fn sha256(path: &Path, size: u64) -> io::Result<Digest> {
    let mut hasher = Sha256::new();
    let read = io::copy(&mut fs::File::open(path)?, &mut hasher)?;
    if read == size { Ok(Digest::finish(hasher)) } else { Err(io::ErrorKind::InvalidData.into()) }
}
