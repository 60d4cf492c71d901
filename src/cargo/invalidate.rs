//! Makes Cargo rebuild a unit, and with it whatever was built from it.
//!
//! Removing the hash file alone would not do: the unit would be rebuilt and its dependents would stay fresh. Removing the
//! dep-info, or what a build script printed, makes Cargo itself carry the verdict on to the dependents.

use std::io;
use std::path::Path;

use fs_err as fs;

use crate::unit::UnitPlace;

/// Invalidates the unit at `place` below `root`.
pub fn invalidate(root: &Path, place: &UnitPlace) -> io::Result<()> {
    let dir = root.join(place.fingerprint_dir());
    let mut marked = remove_if_there(&root.join(place.run_output()))?;
    match fs::read_dir(&dir) {
        Ok(entries) => {
            for entry in entries {
                let entry = entry?;
                if entry.file_name().to_string_lossy().starts_with("dep-") {
                    marked |= remove_if_there(&entry.path())?;
                }
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    // Documentation has neither; only other documentation is built from it.
    if !marked {
        fs::remove_dir_all(&dir)?;
    }
    Ok(())
}

fn remove_if_there(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
