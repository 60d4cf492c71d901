//! How much room disks have. Where the platform does not say, there is enough.

use std::path::Path;

/// Bytes that may still be written below that folder.
#[cfg(unix)]
pub fn left(dir: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(dir).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(not(unix))]
pub fn left(_: &Path) -> Option<u64> {
    None
}
