//! Files that changed a little, as what makes them of the version that was restored. How it can be wrong: nothing comes of it but
//! bytes, since a patch is made of what was read, and whoever applies it knows what has to come out.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, ensure};
use fs_err as fs;
use tempfile::TempDir;

use crate::digest::Digest;
use crate::job::former;
use crate::machine::disk::Meta;
use crate::machine::paths;
use crate::pack;
use crate::state::delta::Patched;
use crate::state::manifest::{Content, FileEntry, Manifest};
use crate::unit::is_id;

/// A file is stored as a patch if all that it takes to get there is this part of it at most.
const WORTH: u64 = 5;

/// What was made, and the folder that it lies in.
#[derive(Default)]
pub(super) struct Patches {
    pub(super) made: BTreeMap<usize, Patched>,
    dir: Option<TempDir>,
}

/// A file as it is, and as it was.
struct Pair {
    file: usize,
    onto: usize,
    old: PathBuf,
    /// What older patches take up.
    before: u64,
}

impl Patches {
    /// Looks at every file that was restored, and is not what it was. What is written goes into a folder in this one.
    pub(super) fn make(
        room: &Path,
        (before, same): (&Manifest, &BTreeSet<usize>),
        files: &[FileEntry],
        paths: &[PathBuf],
    ) -> Self {
        let pairs = pairs(before, same, files);
        if pairs.is_empty() {
            return Self::default();
        }
        let dir = match tempfile::tempdir_in(room) {
            Ok(dir) => dir,
            Err(error) => {
                tracing::debug!("everything is stored whole: {error:#}");
                return Self::default();
            }
        };
        let made = Mutex::new(BTreeMap::new());
        let weigh = |pair: &Pair| files[pair.file].size() + before.files[pair.onto].size();
        let work = |pair: &Pair| {
            one(pair, before, (&files[pair.file], &paths[pair.file]), &dir.path().join(pair.file.to_string()))
        };
        pack::side_by_side(&pairs, weigh, work, |pair, patched| match patched {
            Ok(Some(patched)) => {
                made.lock().unwrap_or_else(PoisonError::into_inner).insert(pair.file, patched);
            }
            Ok(None) => {}
            Err(error) => tracing::debug!("a file is stored whole: {error:#}"),
        });
        Self { made: made.into_inner().unwrap_or_else(PoisonError::into_inner), dir: Some(dir) }
    }

    /// Where the bytes lie that are stored for a file.
    pub(super) fn path(&self, file: usize) -> Option<PathBuf> {
        let dir = self.dir.as_ref().filter(|_| self.made.contains_key(&file))?;
        Some(dir.path().join(file.to_string()))
    }
}

/// Files that have an older version: one that lay in the same place, of which a second name was kept, or one that lies beside it
/// still and is called alike but for the ids of units.
fn pairs(before: &Manifest, same: &BTreeSet<usize>, files: &[FileEntry]) -> Vec<Pair> {
    let roots: Vec<PathBuf> = before.roots.iter().map(|root| root.path.clone()).collect();
    let known: HashMap<(usize, &str), usize> =
        before.files.iter().enumerate().map(|(at, file)| ((file.root, file.path.as_str()), at)).collect();
    let mut alike: HashMap<(usize, String), Vec<usize>> = HashMap::new();
    for (at, file) in before.files.iter().enumerate().filter(|(at, file)| same.contains(at) && file.may_be_built_on()) {
        if let Some(name) = without_ids(&file.path) {
            alike.entry((file.root, name)).or_default().push(at);
        }
    }
    let nearest = |entry: &FileEntry| {
        let candidates = alike.get(&(entry.root, without_ids(&entry.path)?))?;
        let distance = |at: &&usize| before.files[**at].size().abs_diff(entry.size());
        candidates.iter().min_by_key(distance).copied().filter(|at| distance(&at) <= entry.size() / 2)
    };
    let mut pairs = Vec::new();
    for (file, entry) in files.iter().enumerate().filter(|(_, entry)| entry.may_be_patched()) {
        let (onto, old) = match known.get(&(entry.root, entry.path.as_str())) {
            Some(at) if same.contains(at) => continue,
            Some(&at) => (Some(at), former::path(&roots, before, at)),
            None => {
                let at = nearest(entry);
                (at, at.map(|at| roots[entry.root].join(paths::path(&before.files[at].path))))
            }
        };
        let (Some(onto), Some(old)) = (onto, old.filter(|old| old.exists())) else { continue };
        let Content::File { patch, .. } = &before.files[onto].content else { continue };
        let patches = patch
            .iter()
            .flat_map(|patch| patch.onto.iter().skip(1).map(|version| version.stored).chain([patch.stored]));
        pairs.push(Pair { file, onto, old, before: patches.sum() });
    }
    pairs
}

/// What a path is apart from the ids of units in it; none where there are none.
fn without_ids(path: &str) -> Option<String> {
    let end = |part: &str| part.trim_end_matches(['/', '-', '.']).len();
    let parts = path.split_inclusive(['/', '-', '.']);
    let bare: String = parts.map(|part| if is_id(&part[..end(part)]) { &part[end(part)..] } else { part }).collect();
    (bare.len() < path.len()).then_some(bare)
}

/// Writes the patch, if it is worth it.
fn one(pair: &Pair, before: &Manifest, (entry, path): (&FileEntry, &Path), to: &Path) -> Result<Option<Patched>> {
    let Content::File { sha256: recorded, .. } = &before.files[pair.onto].content else { return Ok(None) };
    let old = fs::read(&pair.old)?;
    ensure!(Digest::of(&old) == *recorded, "`{}` was written into", pair.old.display());
    let seen = Meta::of(path)?;
    let new = fs::read(path)?;
    let is_as_walked = seen.mtime == entry.mtime && seen.is_untouched(&Meta::of(path)?);
    ensure!(is_as_walked, "`{}` changed while it was read", path.display());
    let bytes = pack::patch::make(&old, &new)?;
    let stored = bytes.len() as u64;
    if stored == 0 || (pair.before + stored) * WORTH > new.len() as u64 {
        return Ok(None);
    }
    fs::write(to, &bytes)?;
    Ok(Some(Patched { onto: pair.onto, stored, sha256: Digest::of(&new) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moment::Moment;
    use crate::state::key::{HardParts, KeyParts, NameParts, SoftParts};
    use crate::state::manifest::Location;

    #[test]
    fn what_is_called_alike_but_for_ids_is_told() {
        let id = "0123456789abcdef";
        let bare = |path: &str| without_ids(&path.replace("ID", id));
        assert_eq!(bare("debug/deps/libapp-ID.rlib").as_deref(), Some("debug/deps/libapp-.rlib"));
        assert_eq!(bare("debug/deps/app-ID"), without_ids("debug/deps/app-fedcba9876543210"));
        assert_ne!(bare("debug/deps/app-ID"), bare("debug/deps/app-ID.dwp"));
        assert_eq!(bare("debug/build/app/ID/out/app.rlib").as_deref(), Some("debug/build/app//out/app.rlib"));
        assert_eq!(bare("debug/deps/libapp.so"), None);
        assert_eq!(without_ids("debug/deps/app-0123456789abcde"), None);
        assert_eq!(without_ids("debug/deps/app-0123456789abcdeg"), None);
    }

    #[test]
    fn a_file_that_is_not_what_the_walk_saw_is_no_patch() {
        let dir = tempfile::tempdir().unwrap();
        let [old, new, to] = ["old", "new", "to"].map(|name| dir.path().join(name));
        let mut bytes: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        fs::write(&old, &bytes).unwrap();
        let sha256 = Digest::of(&bytes);
        bytes[5000] ^= 1;
        fs::write(&new, &bytes).unwrap();
        let at = Location { pack: 0, frame: 0, offset: 0 };
        let content = Content::File { size: bytes.len() as u64, mode: 0o644, sha256, at, patch: None };
        let mtime = Meta::of(&new).unwrap().mtime;
        let entry = FileEntry { root: 0, path: "a".into(), mtime, unit: None, content };
        let parts = KeyParts { name: NameParts::default(), hard: HardParts::default(), soft: SoftParts::default() };
        let before = Manifest { files: vec![entry.clone()], ..Manifest::blank(parts, Vec::new()) };
        let pair = Pair { file: 0, onto: 0, old, before: 0 };
        let earlier = FileEntry { mtime: Moment::from_nanos(mtime.nanos() - 1), ..entry.clone() };
        let error = one(&pair, &before, (&earlier, &new), &to).unwrap_err();
        assert!(error.to_string().ends_with("changed while it was read"), "{error}");
        let patched = one(&pair, &before, (&entry, &new), &to).unwrap().unwrap();
        assert_eq!(patched.sha256, Digest::of(&bytes));
    }
}
