//! What file systems say and do that differs between platforms: one half for Unix, one for Windows.
//!
//! How it can be wrong: Windows has no time that nobody can set. Its `ChangeTime` is near to that, but the standard library keeps
//! it for nightly compilers, and it can be set like any other; so nothing is believed because of it there, and contents decide.
//! Of permissions it knows here whether a file may be written, and no owners.

use crate::moment::Moment;

/// What the standard library does not say on every platform.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) mode: u32,
    pub(super) identity: Option<(u64, u64)>,
    pub(super) links: u64,
    pub(super) owners: Option<(u32, u32)>,
    pub(super) changed: Option<Moment>,
}

pub use platform::{create_new, leave_to_umask, lock, set_file_mode, set_mode, symlink};
pub(super) use platform::{holds, look, make_private, set_mtime};

#[cfg(unix)]
mod platform {
    use std::fs::{Metadata, Permissions};
    use std::io;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::path::Path;

    use filetime::FileTime;

    use super::Facts;
    use crate::moment::Moment;

    /// Of the path itself, not of what a symlink leads to.
    pub(in crate::machine) fn look(path: &Path) -> io::Result<(Metadata, Facts)> {
        let meta = fs_err::symlink_metadata(path)?;
        let changed = meta.ctime().saturating_mul(1_000_000_000).saturating_add(meta.ctime_nsec());
        let facts = Facts {
            mode: meta.mode() & 0o777,
            identity: Some((meta.dev(), meta.ino())),
            links: meta.nlink(),
            owners: Some((meta.uid(), meta.gid())),
            changed: Some(Moment::from_nanos(changed)),
        };
        Ok((meta, facts))
    }

    /// Sets the modification time of a path, a symlink's own if it is one; the access time stays.
    pub(in crate::machine) fn set_mtime(path: &Path, is_symlink: bool, mtime: FileTime) -> io::Result<()> {
        if is_symlink {
            let atime = FileTime::from_last_access_time(&fs_err::symlink_metadata(path)?);
            filetime::set_symlink_file_times(path, atime, mtime)
        } else {
            filetime::set_file_mtime(path, mtime)
        }
    }

    /// Sets the permission bits, and only those.
    pub fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
        fs_err::set_permissions(path, Permissions::from_mode(mode & 0o777))
    }

    pub fn set_file_mode(file: &std::fs::File, mode: u32) -> io::Result<()> {
        file.set_permissions(Permissions::from_mode(mode & 0o777))
    }

    pub(in crate::machine) fn make_private(dir: &Path) -> io::Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new().mode(0o700).create(dir)
    }

    /// Makes a temporary file readable and writable to whom the umask lets at it, as any new file is.
    pub fn leave_to_umask(file: &mut tempfile::Builder) {
        file.permissions(Permissions::from_mode(0o666));
    }

    /// Makes a file with these rights, as far as the umask lets them.
    pub fn create_new(path: &Path, mode: u32) -> io::Result<std::fs::File> {
        use std::os::unix::fs::OpenOptionsExt;
        std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
    }

    /// Makes a symlink whose text is this.
    pub fn symlink(text: impl AsRef<Path>, path: &Path) -> io::Result<()> {
        fs_err::os::unix::fs::symlink(text.as_ref(), path)
    }

    /// Takes a file's lock for as long as it is open. Where there are no locks, nothing is taken.
    pub fn lock(file: &std::fs::File) {
        let _ = rustix::fs::flock(file, rustix::fs::FlockOperation::NonBlockingLockExclusive);
    }

    /// Whether somebody holds the lock; nobody knows where there are no locks.
    pub(in crate::machine) fn holds(file: &std::fs::File) -> Option<bool> {
        match rustix::fs::flock(file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Some(false),
            Err(rustix::io::Errno::WOULDBLOCK) => Some(true),
            Err(_) => None,
        }
    }
}

#[cfg(windows)]
mod platform {
    use std::fs::{File, Metadata, OpenOptions, Permissions};
    use std::io;
    use std::os::windows::fs::OpenOptionsExt;
    use std::path::Path;

    use filetime::FileTime;

    use super::Facts;

    /// `FILE_FLAG_BACKUP_SEMANTICS`, without which folders cannot be opened.
    const ALSO_FOLDERS: u32 = 0x0200_0000;
    /// `FILE_FLAG_OPEN_REPARSE_POINT`: a link is opened itself.
    const ITSELF: u32 = 0x0020_0000;
    /// `FILE_WRITE_ATTRIBUTES`: enough to set times, and allowed for what is read-only or in use.
    const ATTRIBUTES: u32 = 0x0100;

    fn open(path: &Path, access: u32) -> io::Result<File> {
        OpenOptions::new().access_mode(access).custom_flags(ALSO_FOLDERS | ITSELF).open(path)
    }

    /// Of the path itself, not of what a symlink or a junction leads to.
    pub(in crate::machine) fn look(path: &Path) -> io::Result<(Metadata, Facts)> {
        // What nobody may open can still be looked at.
        let (meta, information) = match open(path, 0) {
            Ok(file) => (file.metadata()?, winapi_util::file::information(&file).ok()),
            Err(_) => (fs_err::symlink_metadata(path)?, None),
        };
        let facts = Facts {
            mode: if meta.permissions().readonly() { 0o444 } else { 0o644 },
            identity: information.as_ref().map(|of| (of.volume_serial_number(), of.file_index())),
            links: information.map_or(1, |of| of.number_of_links()),
            owners: None,
            changed: None,
        };
        Ok((meta, facts))
    }

    /// Sets the modification time of a path, a link's own if it is one; the access time stays.
    pub(in crate::machine) fn set_mtime(path: &Path, _is_symlink: bool, mtime: FileTime) -> io::Result<()> {
        filetime::set_file_handle_times(&open(path, ATTRIBUTES)?, None, Some(mtime))
    }

    /// A file may be written or not; that is all there is to set, and a folder has nothing.
    fn permissions(mut now: Permissions, mode: u32) -> Permissions {
        now.set_readonly(mode & 0o222 == 0);
        now
    }

    /// Sets whether a file may be written.
    pub fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
        let meta = fs_err::metadata(path)?;
        if meta.is_dir() {
            return Ok(());
        }
        fs_err::set_permissions(path, permissions(meta.permissions(), mode))
    }

    pub fn set_file_mode(file: &File, mode: u32) -> io::Result<()> {
        file.set_permissions(permissions(file.metadata()?.permissions(), mode))
    }

    pub(in crate::machine) fn make_private(dir: &Path) -> io::Result<()> {
        fs_err::create_dir(dir)
    }

    /// There are no locks that a killed process gives back here.
    pub fn lock(_file: &File) {}

    pub fn leave_to_umask(_file: &mut tempfile::Builder) {}

    /// Makes a file; rights come from the folder.
    pub fn create_new(path: &Path, _mode: u32) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(path)
    }

    pub(in crate::machine) fn holds(_file: &File) -> Option<bool> {
        None
    }

    /// Makes a symlink whose text is this.
    pub fn symlink(text: impl AsRef<Path>, path: &Path) -> io::Result<()> {
        let text = text.as_ref();
        let target = path.parent().map_or_else(|| text.into(), |parent| parent.join(text));
        if target.is_dir() {
            std::os::windows::fs::symlink_dir(text, path)
        } else {
            std::os::windows::fs::symlink_file(text, path)
        }
    }
}
