//! `rekindle key`: prints the parts of the key and the key itself, or explains the difference between two of them.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use fs_err as fs;

use crate::job::facts::Facts;
use crate::job::inputs::Inputs;
use crate::pack::Pack;
use crate::problem::WrongInput;
use crate::state::key::{Key, KeyParts};
use crate::state::key_change::PartChange;
use crate::store;

/// How long a store may take to hand out one manifest.
const BUDGET: Duration = Duration::from_secs(60);

/// The parts of the key that `restore` would look for now.
pub fn current(inputs: &Inputs) -> Result<KeyParts> {
    Ok(Facts::gather(inputs)?.parts)
}

/// What differs between two keys. Each is a file that `rekindle key --json` wrote, or the name of a stored entry.
pub fn diff(inputs: &Inputs, old: &str, new: &str) -> Result<Vec<PartChange>> {
    Ok(parts(inputs, new)?.diff(&parts(inputs, old)?))
}

fn parts(inputs: &Inputs, name: &str) -> Result<KeyParts> {
    let hint = "name a file written by `rekindle key --json`, or a key as `rekindle restore` prints it";
    if Path::new(name).is_file() {
        let parts = serde_json::from_slice(&fs::read(name)?);
        return Ok(parts.map_err(|_| WrongInput::new(format!("`{name}` holds no parts of a key"), hint))?);
    }
    if Key::parse(name).is_none() {
        return Err(WrongInput::new(format!("`{name}` is neither a file nor a key"), hint).into());
    }
    let (store, _) = store::open(&inputs.store, BUDGET);
    let pack = Pack::open(store.as_ref(), name)?;
    Ok(pack.index.manifest.parts)
}
