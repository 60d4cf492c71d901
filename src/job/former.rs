//! Restored files of the workspace by another name each, so that the save still has them when they are linked anew, and need store
//! only what is different.
//!
//! A second name takes up no room. Whoever writes a new file in place of one leaves the other; whoever writes into it changes
//! both, and the digest shows it.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use fs_err as fs;

use crate::machine::{paths, room};
use crate::state::manifest::{Content, FileEntry, Lies, Manifest, Root};

/// An old version takes up room again once a new one lies in its place: all of them together this part of what is left.
const OF_THE_ROOM: u64 = 8;

fn folder(root: &Path) -> PathBuf {
    root.join(".rekindle").join("former")
}

/// Where the second name of a recorded file is.
pub fn path(roots: &[PathBuf], manifest: &Manifest, file: usize) -> Option<PathBuf> {
    Some(folder(roots.get(manifest.files.get(file)?.root)?).join(file.to_string()))
}

/// Gives second names to what was restored and may well be built anew. One that cannot be given is not missed, nor is one for which
/// the job might have to do without room. What was `lost` lies wherever its path leads.
pub fn keep(roots: &[Root], manifest: &Manifest, lost: &BTreeSet<usize>) {
    for root in roots {
        forget(&root.path);
    }
    let paths: Vec<PathBuf> = roots.iter().map(|root| root.path.clone()).collect();
    let mut left: Vec<u64> =
        paths.iter().map(|path| room::left(path).map_or(u64::MAX, |left| left / OF_THE_ROOM)).collect();
    let own = own(manifest);
    let files = manifest.files.iter().enumerate().filter(|(at, _)| own.contains(at) && !lost.contains(at));
    for (at, file) in files.filter(|(_, file)| file.may_be_built_on() && stays_inside(&paths::path(&file.path))) {
        let Some(left) = left.get_mut(file.root).filter(|left| **left >= file.size()) else { continue };
        *left -= file.size();
        let Some(second) = path(&paths, manifest, at) else { continue };
        let made = second.parent().map_or(Ok(()), fs::create_dir_all);
        let made = made.and_then(|()| fs::hard_link(paths[file.root].join(paths::path(&file.path)), second));
        if let Err(error) = made {
            tracing::debug!("a file will be stored whole if it changes: {error:#}");
        }
    }
}

fn stays_inside(path: &Path) -> bool {
    path.components().all(|part| matches!(part, Component::Normal(_)))
}

/// Takes them away.
pub fn forget(root: &Path) {
    // What stays takes up room until the next restore.
    let _ = fs::remove_dir_all(folder(root));
}

/// Files of packages that the job may edit. A program that Cargo has put into place belongs to nobody, and is the one of its unit by
/// another name.
fn own(manifest: &Manifest) -> BTreeSet<usize> {
    let is_own = |file: &FileEntry| file.unit.is_some_and(|unit| matches!(manifest.units[unit].lies, Lies::In(_)));
    let files = manifest.files.iter().enumerate().filter(|(_, file)| is_own(file));
    let names = files.map(|(at, file)| if let Content::HardLink { to } = file.content { to } else { at });
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::moment::Moment;
    use crate::state::key::{HardParts, KeyParts, NameParts, SoftParts};
    use crate::state::manifest::{LEAST_PATCHED as LEAST, Location, MAX_PATCHED, MAX_VERSIONS, Patch, Version};

    /// With a unit of the workspace's own.
    fn manifest(roots: Vec<Root>) -> Manifest {
        let parts = KeyParts { name: NameParts::default(), hard: HardParts::default(), soft: SoftParts::default() };
        let mut manifest = Manifest::blank(parts, roots);
        let unit = serde_json::json!({
            "root": 0, "layout": "legacy", "profile": "debug", "package": "app", "id": "", "fingerprints": [],
            "reference": 5, "inputs": [], "deps": [], "seconds": 1.0, "idle": 0
        });
        manifest.units.push(serde_json::from_value(unit).unwrap());
        manifest.units[0].lies = Lies::In("/w".into());
        manifest
    }

    /// One that goes through more versions than a manifest may say would make the whole state unusable.
    #[test]
    fn what_has_changed_very_often_is_stored_whole() {
        let at = Location { pack: 0, frame: 0, offset: 0 };
        let version = Version { at, stored: 1, size: 1 };
        let file = |size: u64, versions: usize| {
            let patch = Some(Box::new(Patch { stored: 1, onto: vec![version.clone(); versions] }));
            let content = Content::File { size, mode: 0o755, sha256: Digest::of(b""), at, patch };
            FileEntry { root: 0, path: "app".into(), mtime: Moment::from_nanos(1), unit: Some(0), content }
        };
        let mut manifest = manifest(Vec::new());
        let worth = |size, versions| file(size, versions).may_be_built_on();
        assert!(worth(LEAST, MAX_VERSIONS - 1) && worth(MAX_PATCHED, 0));
        assert!(!worth(LEAST, MAX_VERSIONS) && !worth(LEAST - 1, 0) && !worth(MAX_PATCHED + 1, 0));

        let link = FileEntry { content: Content::HardLink { to: 1 }, ..file(LEAST, 0) };
        manifest.files = vec![file(LEAST, 0), FileEntry { unit: None, ..file(LEAST, 0) }, link];
        assert_eq!(own(&manifest), BTreeSet::from([0, 1]));
        manifest.files.pop();
        assert_eq!(own(&manifest), BTreeSet::from([0]));
        manifest.units[0].lies = Lies::Fetched;
        assert_eq!(own(&manifest), BTreeSet::new());
    }

    #[test]
    fn nothing_outside_and_nothing_that_was_lost_gets_another_name() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("target");
        fs::create_dir_all(root.join("deps")).unwrap();
        for path in ["target/deps/app", "target/deps/lost", "victim"] {
            fs::write(dir.path().join(path), vec![0; 100_000]).unwrap();
        }
        let mut manifest = manifest(vec![Root { label: "target".into(), path: root.clone() }]);
        let at = Location { pack: 0, frame: 0, offset: 0 };
        let victim = dir.path().join("victim").to_str().unwrap().to_owned();
        for path in ["deps/app", "deps/lost", "../victim", &victim] {
            let content = Content::File { size: 100_000, mode: 0o755, sha256: Digest::of(b""), at, patch: None };
            let mtime = Moment::from_nanos(1);
            manifest.files.push(FileEntry { root: 0, path: path.into(), mtime, unit: Some(0), content });
        }
        keep(&manifest.roots, &manifest, &BTreeSet::from([1]));
        let names: Vec<_> = fs::read_dir(folder(&root)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["0"]);
        forget(&root);
        assert!(!folder(&root).exists() && root.join("deps/app").exists());
    }
}
