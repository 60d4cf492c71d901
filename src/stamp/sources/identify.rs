//! What one path is: its kind, an id for its content, its times.

use std::io::Read;
use std::path::Path;

use fs_err as fs;

use super::Candidate;
use crate::digest::{BlobAlgorithm, BlobHasher, ContentId};
use crate::git::Repository;
use crate::machine::disk::{FileSystem, Kind, Meta};
use crate::machine::paths;
use crate::machine::shell::Shell;
use crate::moment::Moment;
use crate::state::manifest::{Input, InputKind};

pub(super) struct Identified {
    pub(super) input: Input,
    /// It belongs to the user that we run as.
    pub(super) own: bool,
    pub(super) changed: Option<Moment>,
    pub(super) shell: Option<Shell>,
}

/// Nothing for what is gone, or changes while it is read.
pub(super) fn identify(
    candidate: Candidate,
    file_system: &FileSystem,
    repositories: &[Repository],
) -> Option<Identified> {
    let Candidate { path, origin, id, executable, algorithm } = candidate;
    let disk_path = &*paths::path(&path);
    let meta = Meta::of(disk_path).ok()?;
    let meaning = || {
        let repository = repositories.iter().find(|repository| repository.owns(disk_path))?;
        repository.meaning(disk_path, meta.kind == Kind::Folder)
    };
    let (kind, id, resolved) = match meta.kind {
        Kind::File => {
            let id = match id.or_else(meaning) {
                Some(id) => id,
                None => hash_file(disk_path, &meta, algorithm)?,
            };
            (InputKind::File, id, None)
        }
        Kind::Symlink => {
            let text = paths::text(&fs::read_link(disk_path).ok()?);
            let resolved = fs::canonicalize(disk_path).ok().map(|path| paths::text(&path));
            (InputKind::Symlink, ContentId::of_link(&text), resolved)
        }
        Kind::Folder => {
            let children = || {
                let entries = fs::read_dir(disk_path).ok()?.filter_map(Result::ok);
                let mut names: Vec<String> = entries.map(|entry| paths::text(Path::new(&entry.file_name()))).collect();
                names.sort();
                Some(ContentId::of_children(names.iter().map(String::as_str)))
            };
            (InputKind::Folder, meaning().or_else(children)?, None)
        }
        Kind::Other => return None,
    };
    let own = file_system.owns(&meta);
    let executable = executable && kind == InputKind::File;
    let input = Input { path, kind, id, executable, mtime: meta.mtime, origin, resolved };
    Some(Identified { input, own, changed: meta.ctime, shell: meta.shell() })
}

/// The blob id of a file's bytes; nothing if it changes while it is read.
pub fn hash_file(path: &Path, meta: &Meta, algorithm: BlobAlgorithm) -> Option<ContentId> {
    let mut hasher = BlobHasher::new(algorithm, meta.size);
    let mut file = fs::File::open(path).ok()?;
    let mut buffer = vec![0; usize::try_from(meta.size + 1).unwrap_or(usize::MAX).min(1 << 18)];
    let mut total = 0_u64;
    loop {
        let len = file.read(&mut buffer).ok()?;
        if len == 0 {
            break;
        }
        total += len as u64;
        hasher.update(&buffer[..len]);
    }
    (total == meta.size).then(|| hasher.finish())
}
