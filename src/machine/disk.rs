//! The file system's edge: metadata, times, walking, and what the file system at hand can do.
//!
//! What differs between platforms is in `system`. A path that is not UTF-8 is never recorded: the walk hands it back
//! apart, so that callers can refuse to believe anything about it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use filetime::FileTime;
use fs_err as fs;
use sha2::{Digest as _, Sha256};

use crate::digest::Digest;
use crate::machine::shell::Shell;
use crate::machine::system::{self, Facts};
use crate::moment::Moment;

#[derive(Clone, Debug)]
pub struct Meta {
    pub kind: Kind,
    pub size: u64,
    pub mtime: Moment,
    pub atime: Moment,
    /// When content, name or times last changed; nobody can set it. None where the platform does not say.
    pub ctime: Option<Moment>,
    pub mode: u32,
    /// Equal for two names of one file; none where the platform does not say.
    pub identity: Option<(u64, u64)>,
    pub links: u64,
    /// Owner and group; none where the platform does not say.
    pub owners: Option<(u32, u32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    File,
    Folder,
    Symlink,
    Other,
}

impl Meta {
    /// What it is besides content and times; nothing where the platform does not say.
    pub fn shell(&self) -> Option<Shell> {
        let ((_, inode), (owner, group)) = self.identity.zip(self.owners)?;
        Some(Shell { inode, mode: self.mode, owner, group, links: self.links })
    }

    /// Whether nobody wrote into it between the two looks. Another name of it, or another mode, is no other content.
    pub fn is_untouched(&self, later: &Self) -> bool {
        let is_written = self.ctime != later.ctime && self.shell() == later.shell();
        self.size == later.size && self.mtime == later.mtime && self.identity == later.identity && !is_written
    }

    /// Of the path itself, not of what a symlink leads to.
    pub fn of(path: &Path) -> io::Result<Self> {
        system::look(path).map(|(meta, facts)| Self::new(&meta, facts))
    }

    fn new(meta: &std::fs::Metadata, facts: Facts) -> Self {
        let file_type = meta.file_type();
        let kind = if file_type.is_symlink() {
            Kind::Symlink
        } else if file_type.is_dir() {
            Kind::Folder
        } else if file_type.is_file() {
            Kind::File
        } else {
            Kind::Other
        };
        let Facts { mode, identity, links, owners, changed } = facts;
        Self {
            kind,
            size: meta.len(),
            mtime: FileTime::from_last_modification_time(meta).into(),
            atime: FileTime::from_last_access_time(meta).into(),
            ctime: changed,
            mode,
            identity,
            links,
            owners,
        }
    }
}

pub use crate::machine::system::{create_new, leave_to_umask, lock, set_file_mode, set_mode, symlink};

/// Whether a process that is alive holds the lock of this file. Where nobody can tell, one that is younger than `abandoned` is
/// taken to be held.
pub fn is_locked(path: &Path, abandoned: Duration) -> bool {
    let Ok(file) = fs::File::open(path) else { return false };
    system::holds(file.file()).unwrap_or_else(|| {
        let now = Moment::from(FileTime::now());
        Meta::of(path).is_ok_and(|meta| now.since(meta.mtime) < abandoned)
    })
}

/// What became of somebody's lock.
#[derive(Debug)]
pub enum Claim {
    /// It is ours as long as this lives.
    Held(std::fs::File),
    /// Another process has it.
    Taken,
    /// There are no locks here.
    Unknown,
}

/// Takes the lock of this file, which is made if need be, unless somebody has it.
pub fn claim(path: &Path) -> io::Result<Claim> {
    let file = std::fs::File::options().read(true).write(true).create(true).truncate(false).open(path)?;
    Ok(match system::holds(&file) {
        Some(false) => Claim::Held(file),
        Some(true) => Claim::Taken,
        None => Claim::Unknown,
    })
}

/// Moves a file or folder to a place on the same file system in one step. On another one it is copied beside the place, and
/// each file then gets there in one step.
pub fn move_in(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => copy_in(from, to),
        // Somebody took it away meanwhile, and meant it.
        Err(error) if error.kind() == io::ErrorKind::NotFound && Meta::of(from).is_err() => Ok(()),
        result => result,
    }
}

fn copy_in(from: &Path, to: &Path) -> io::Result<()> {
    let meta = Meta::of(from)?;
    match meta.kind {
        Kind::Folder => {
            fs::create_dir_all(to)?;
            let mut children = walk(from, &|_| false)?;
            // What makes the rest count comes last.
            children.sort_by_key(|child| {
                child.path.file_name().is_some_and(|name| name == "fingerprint" || name == ".fingerprint")
            });
            for child in children {
                copy_in(&child.path, &to.join(child.path.file_name().unwrap_or_default()))?;
            }
        }
        Kind::Symlink => {
            let _ = fs::remove_file(to);
            symlink(&fs::read_link(from)?, to)?;
        }
        Kind::File | Kind::Other => {
            let dir = to.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
            let file = tempfile::Builder::new().prefix(".rekindle-").tempfile_in(dir)?;
            fs::copy(from, file.path())?;
            filetime::set_file_times(file.path(), meta.atime.to_file_time(), meta.mtime.to_file_time())?;
            file.persist(to).map_err(|failure| failure.error)?;
            return Ok(());
        }
    }
    set_mtime(to, meta.kind, meta.mtime)
}

/// Sets the modification time of the path itself, a symlink's own included; the access time stays.
pub fn set_mtime(path: &Path, kind: Kind, mtime: Moment) -> io::Result<()> {
    system::set_mtime(path, kind == Kind::Symlink, mtime.to_file_time())
}

/// One thing found by a walk.
#[derive(Debug)]
pub struct Found {
    pub path: PathBuf,
    pub meta: Meta,
}

/// Everything below `root` in path order, folders before their content; symlinks are not followed.
///
/// `enter` decides for each folder whether its content counts. A root that is not there gives nothing; any other error is one.
pub fn walk(root: &Path, enter: &dyn Fn(&Path) -> bool) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(dir) = open.pop() {
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let path = entry?.path();
            let meta = match Meta::of(&path) {
                Ok(meta) => meta,
                // Gone between being listed and being looked at.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if meta.kind == Kind::Folder && enter(&path) {
                open.push(path.clone());
            }
            found.push(Found { path, meta });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// What a short experiment told about the file system that holds a folder.
#[derive(Clone, Copy, Debug)]
pub struct FileSystem {
    /// The file system's own clock, which may lag behind the system's.
    pub now: Moment,
    /// The smallest difference between two times that survives being stored.
    pub tick: Duration,
    /// Whether reading a file moves its access time off zero.
    pub reads_leave_traces: bool,
    owner: Option<u32>,
}

impl FileSystem {
    /// Tries things out on a temporary file in `dir`, which is made if need be.
    pub fn probe(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let file = tempfile::Builder::new().prefix(".rekindle-probe").tempfile_in(dir)?;
        let path = file.path();
        fs::write(path, b"probe")?;
        let fresh = Meta::of(path)?;

        let odd =
            Moment::from_nanos(fresh.mtime.nanos() - fresh.mtime.nanos().rem_euclid(10_000_000_000) + 1_234_567_891);
        filetime::set_file_times(path, Moment::EPOCH.to_file_time(), odd.to_file_time())?;
        let kept = Meta::of(path)?.mtime;
        let tick = [1_u64, 100, 1_000, 1_000_000, 1_000_000_000]
            .into_iter()
            .find(|tick| {
                kept.nanos().rem_euclid(i64::try_from(*tick).unwrap_or(1)) == 0
                    && odd.since(kept).as_nanos() < u128::from(*tick)
            })
            .unwrap_or(2_000_000_000);

        let zeroed = Meta::of(path)?.atime == Moment::EPOCH;
        fs::read(path)?;
        let reads_leave_traces = zeroed && Meta::of(path)?.atime > Moment::EPOCH;
        Ok(Self {
            now: fresh.mtime,
            tick: Duration::from_nanos(tick),
            reads_leave_traces,
            owner: fresh.owners.map(|(owner, _)| owner),
        })
    }

    /// Newer than everything that was there before, and than now.
    pub fn new_time(&self, newest: Moment) -> Moment {
        self.now.max(newest.plus(self.tick))
    }

    /// Whether a file belongs to the user that we run as; no where the platform does not say.
    pub fn owns(&self, meta: &Meta) -> bool {
        self.owner.is_some() && self.owner == meta.owners.map(|(owner, _)| owner)
    }
}

/// The sha256 of a file's bytes.
pub fn digest(path: &Path) -> io::Result<Digest> {
    let mut hasher = Sha256::new();
    io::copy(&mut fs::File::open(path)?, &mut hasher)?;
    Ok(Digest::finish(hasher))
}

/// Makes a folder that only its owner can look into, below folders made as usual; one that is there stays as it is.
///
/// What this program writes holds the names and ways of a build, and what a build puts into its target folder is anybody's
/// guess: files have the mode that temporary files have (0600), folders made for them 0700. Who reads a stored pack besides is
/// decided elsewhere: by whoever may read the cache of a repository (every workflow run that the service lets at it, those of
/// pull requests from forks included), by a bucket's policy, by the mode of a store folder that was there before together with
/// the umask (which alone decides the mode of a pack in it), and by everybody who can run as this user. On Windows the folder
/// above decides.
pub fn make_private(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(above) = dir.parent() {
        fs::create_dir_all(above)?;
    }
    match system::make_private(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Writes a file so that readers see the old content or the new one, never a part.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_by(tempfile::Builder::new().prefix(".rekindle-"), path, bytes)
}

fn write_by(draft: &mut tempfile::Builder, path: &Path, bytes: &[u8]) -> io::Result<()> {
    // The parent of a bare name is there, and empty.
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    make_private(dir)?;
    let file = draft.tempfile_in(dir)?;
    fs::write(file.path(), bytes)?;
    file.persist(path).map_err(|failure| failure.error)?;
    Ok(())
}

/// The same for a file in a folder that users share: the umask alone decides who may read it.
pub fn write_for_all(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut draft = tempfile::Builder::new();
    leave_to_umask(draft.prefix(".rekindle-"));
    write_by(&mut draft, path, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symlink_gets_its_own_time_and_its_destination_keeps_its() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        fs::write(&file, "x").unwrap();
        symlink(Path::new("file"), &link).unwrap();
        let before = Meta::of(&file).unwrap().mtime;
        set_mtime(&link, Kind::Symlink, Moment::from_nanos(1_000_000_007)).unwrap();
        assert_eq!(Meta::of(&link).unwrap().mtime, Moment::from_nanos(1_000_000_007));
        assert_eq!(Meta::of(&file).unwrap().mtime, before);
    }

    #[test]
    fn the_probe_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let seen = FileSystem::probe(dir.path()).unwrap();
        assert!(seen.tick <= Duration::from_secs(2));
        assert!(walk(dir.path(), &|_| true).unwrap().is_empty());
    }
}
