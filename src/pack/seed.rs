//! Seeds as they lie in a store: entries without files, that name jobs of equal set-up.
//!
//! Asked by a restore that has nothing of its own, and by a save. A seed that cannot be used is one that names nobody.

use std::path::Path;

use anyhow::{Context, Result};
use rayon::prelude::*;

use super::{Pack, write};
use crate::state::key::{Fit, Key, KeyFields, KeyParts};
use crate::state::manifest::Manifest;
use crate::state::seed::{self, Sibling};
use crate::store::{About, Sending, Store};

/// Those that the newest seed names.
pub fn siblings(store: &dyn Store, parts: &KeyParts) -> Result<Vec<Sibling>> {
    newest_of(store, &seed::fields(parts))?.map_or_else(|| Ok(Vec::new()), |key| read(store, &key))
}

fn read(store: &dyn Store, key: &str) -> Result<Vec<Sibling>> {
    let pack = Pack::open(store, key).with_context(|| format!("the seed `{key}` cannot be used"))?;
    Ok(if pack.index.manifest.key == key { pack.index.manifest.siblings } else { Vec::new() })
}

/// Names this job in a new seed, if the newest one does not. `room` is a folder of its own.
pub fn tell(store: &dyn Store, room: &Path, parts: &KeyParts) -> Result<()> {
    let newest = newest_of(store, &seed::fields(parts))?;
    let (siblings, unusable) = match newest.as_deref().map(|key| read(store, key)) {
        Some(Ok(siblings)) => (siblings, None),
        Some(Err(_)) => (Vec::new(), newest.as_deref()),
        None => (Vec::new(), None),
    };
    match seed::grown(&siblings, &parts.fields()) {
        Some(siblings) => plant(store, room, parts, siblings, unusable),
        None => Ok(()),
    }
}

/// The newest entry of each; not of the job itself.
pub fn newest(store: &dyn Store, own: &KeyFields, siblings: &[Sibling]) -> Vec<String> {
    let others = siblings.par_iter().filter(|sibling| sibling.name != own.name);
    // A sibling that cannot be asked for is none; why not has been said where the job's own entries were looked for.
    others.filter_map(|sibling| newest_of(store, &sibling.fields(own)).ok().flatten()).collect()
}

fn newest_of(store: &dyn Store, fields: &KeyFields) -> Result<Option<String>> {
    let entries = store.find(&fields.prefix(Fit::Hard))?;
    let fits = |key: &String| Key::parse(key).is_some_and(|key| fields.admits(&key, Fit::Hard));
    Ok(entries.into_iter().map(|entry| entry.key).find(fits))
}

/// Stores one. One that is unusable keeps its name.
fn plant(
    store: &dyn Store,
    room: &Path,
    parts: &KeyParts,
    siblings: Vec<Sibling>,
    unusable: Option<&str>,
) -> Result<()> {
    let key = seed::key(seed::fields(parts), &siblings, unusable).to_string();
    let mut manifest = Manifest::blank(seed::parts(parts), Vec::new());
    (manifest.key, manifest.siblings) = (key.clone(), siblings);
    let mut draft = store.begin(&key, room, Sending::AsTheyCome)?;
    let written = write(&mut draft, manifest, Vec::new())?;
    draft.tell(About { sha256: written.sha256, parents: Vec::new() });
    draft.finish(&written.tail)?;
    Ok(())
}
