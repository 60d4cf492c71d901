//! Finds the real cargo: the first one on PATH that is not a shim.
//!
//! A `cargo` that leads back here without end (a wrapper that looks for the next one on PATH) is stopped by a count that every
//! call hands on. It is far above what builds that call cargo in turn ever reach.

use std::env;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::machine::process;
use crate::shim::folder::{is_shims, program_name};

/// How many shims called one another.
pub(super) const DEPTH: &str = "REKINDLE_CARGO_DEPTH";
const DEEPEST: u32 = 50;

/// In the words of a shell, for those who read its output.
#[derive(Debug, Error)]
pub enum NoCargo {
    #[error("cargo: command not found (PATH holds no other cargo than Rekindle's)")]
    Missing,
    #[error("cargo: `{0}` leads back to Rekindle's cargo without end")]
    Circle(PathBuf),
}

/// The program, and the count for its environment.
pub(super) fn find(own: Option<&Path>) -> Result<(PathBuf, u32), NoCargo> {
    let path = env::var_os("PATH").unwrap_or_default();
    let candidates = env::split_paths(&path).map(|dir| dir.join(program_name()));
    let found = candidates.filter(|path| process::is_executable(path)).find(|path| !is_ours(path, own));
    let found = found.ok_or(NoCargo::Missing)?;
    let depth = env::var(DEPTH).ok().and_then(|text| text.parse().ok()).unwrap_or(0_u32);
    if depth >= DEEPEST {
        return Err(NoCargo::Circle(found));
    }
    Ok((found, depth + 1))
}

/// Whether a program is a shim: this one under any name, or another that lies in a marked folder.
pub(super) fn is_ours(path: &Path, own: Option<&Path>) -> bool {
    path.parent().is_some_and(is_shims)
        || own.and_then(process::identity).is_some_and(|own| process::identity(path) == Some(own))
        || fs_err::canonicalize(path).is_ok_and(|real| real.parent().is_some_and(is_shims))
}
