//! Which files a save stores anew, which packs it builds on for the rest, and when it is time for a new base.
//!
//! Pure. Whoever asks has found out which recorded files are still the ones on disk.

use super::key::Key;
use crate::digest::Digest;
use crate::state::manifest::{Content, FileEntry, Manifest, Parent, Patch, Version};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Deltas on one base before it is written anew.
pub const MAX_DELTAS: usize = 8;

/// The same on the base of another ref: what a restore may still open.
const MAX_LENT_DELTAS: usize = 40;

/// The restored state, as far as its bytes can be built on.
#[derive(Debug)]
pub struct Previous<'a> {
    pub manifest: &'a Manifest,
    /// The pack that carried the manifest.
    pub pack: Parent,
    pub lineage: &'a str,
    /// Recorded files that are still on disk, as they were.
    pub same: &'a BTreeSet<usize>,
    /// Every pack it refers to is still there and whole.
    pub complete: bool,
    pub room: Room,
    pub whose: Whose,
    /// Files of the new state, by index, that need not be stored whole.
    pub patched: &'a BTreeMap<usize, Patched>,
}

/// What may be added to the restored state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Room {
    #[default]
    Enough,
    /// It and more are together larger than they may be, and what is dead in it may make room enough.
    NotForMore,
    /// What is there stays, and there is no room for all of it anew.
    NotForAnother,
}

/// Who stored what a job began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The job itself.
    Own,
    /// Another ref, which is to write the base anew: what this one stores only it itself reads.
    OtherRef,
    /// Another job that is set up alike.
    Sibling,
}

/// What makes a file of an older one that the last state holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patched {
    /// The older one, by its place in the last manifest.
    pub onto: usize,
    pub stored: u64,
    /// Of the file as it is now.
    pub sha256: Digest,
}

impl Patched {
    /// Says it of a file. The versions that it goes through, as the last manifest names them.
    fn apply(&self, content: &mut Content, older: &FileEntry) -> Vec<Version> {
        let (Content::File { sha256, patch, .. }, Some(onto)) = (content, Self::versions(older)) else {
            return Vec::new();
        };
        *sha256 = self.sha256;
        *patch = Some(Box::new(Patch { stored: self.stored, onto: onto.clone() }));
        onto
    }

    fn versions(older: &FileEntry) -> Option<Vec<Version>> {
        let Content::File { size, at, patch, .. } = &older.content else { return None };
        let last = Version { at: *at, stored: older.stored(), size: *size };
        Some(patch.iter().flat_map(|patch| patch.onto.iter().cloned()).chain([last]).collect())
    }
}

/// What to store, and on what.
#[derive(Debug)]
pub struct DeltaPlan {
    pub kind: DeltaKind,
    pub parents: Vec<Parent>,
    pub files: Vec<FileEntry>,
    /// Files, by index, whose bytes go into the new pack.
    pub stored: Vec<usize>,
    pub stored_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeltaKind {
    Base(NewBase),
    Delta,
}

/// Why everything is stored anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewBase {
    NothingRestored,
    ParentLost,
    TooManyDeltas,
    DeltasTooLarge,
    TooMuchDead,
    OverBudget,
    /// What it began with is another job's.
    FromSibling,
}

impl NewBase {
    /// It could as well have been what is new alone.
    pub fn is_a_choice(self) -> bool {
        matches!(self, Self::TooManyDeltas | Self::DeltasTooLarge | Self::TooMuchDead | Self::FromSibling)
    }

    pub fn reason(self) -> &'static str {
        match self {
            Self::NothingRestored => "nothing was restored",
            Self::ParentLost => "a pack that the last state is made of is missing, damaged or was never stored",
            Self::TooManyDeltas => "the base has eight deltas",
            Self::DeltasTooLarge => "the deltas have grown to half of the base",
            Self::OverBudget => "there is no room for more deltas",
            Self::FromSibling => "the state that it began with is another job's",
            Self::TooMuchDead => "a third of what the packs hold is no longer needed",
        }
    }
}

/// Plans the save of `files`, whose locations are not yet filled in.
pub fn plan(files: Vec<FileEntry>, previous: Option<&Previous<'_>>) -> DeltaPlan {
    let Some(previous) = previous else {
        return base(files, NewBase::NothingRestored);
    };
    if !previous.complete {
        return base(files, NewBase::ParentLost);
    }
    if previous.room == Room::NotForMore {
        return base(files, NewBase::OverBudget);
    }
    let delta = delta(files.clone(), previous);
    if previous.room == Room::NotForAnother {
        return delta;
    }
    match too_much(&delta, previous.lineage)
        .filter(|_| previous.whose != Whose::OtherRef || delta.parents.len() > MAX_LENT_DELTAS)
    {
        Some(_) if previous.whose == Whose::Sibling => base(files, NewBase::FromSibling),
        Some(reason) => base(files, reason),
        None => delta,
    }
}

fn base(files: Vec<FileEntry>, reason: NewBase) -> DeltaPlan {
    let stored: Vec<usize> = (0..files.len()).collect();
    let stored_bytes = files.iter().map(FileEntry::size).sum();
    DeltaPlan { kind: DeltaKind::Base(reason), parents: Vec::new(), files, stored, stored_bytes }
}

fn delta(mut files: Vec<FileEntry>, previous: &Previous<'_>) -> DeltaPlan {
    let manifest = previous.manifest;
    let old: HashMap<(&str, &str), usize> = manifest
        .files
        .iter()
        .enumerate()
        .filter(|(at, _)| previous.same.contains(at))
        .map(|(at, file)| ((manifest.roots[file.root].label.as_str(), file.path.as_str()), at))
        .collect();
    // Roots are declared in the same order by every save of a lineage: their paths are hard parts of the key.
    let labels: Vec<&str> = manifest.roots.iter().map(|root| root.label.as_str()).collect();

    let all: Vec<Parent> = std::iter::once(previous.pack.clone()).chain(manifest.parents.iter().cloned()).collect();
    let mut reused: BTreeSet<usize> = BTreeSet::new();
    let (mut stored, mut stored_bytes) = (Vec::new(), 0);
    for (at, file) in files.iter_mut().enumerate() {
        let label = labels.get(file.root).copied().unwrap_or_default();
        let before = old.get(&(label, file.path.as_str())).map(|&at| &manifest.files[at]);
        let kept = before.filter(|before| alike(before, file));
        match (kept.map(|before| &before.content), &mut file.content) {
            // The bytes are not read again, so the old digest is the only one that there is.
            (Some(old @ Content::File { .. }), Content::File { mode, .. }) => {
                let mode = *mode;
                file.content.clone_from(old);
                if let Content::File { mode: as_now, .. } = &mut file.content {
                    *as_now = mode;
                }
                reused.extend(file.pieces().into_iter().map(|(at, _)| at.pack));
            }
            // A link or a folder has no bytes in any pack: the manifest alone brings it back.
            (Some(_), _) => {}
            (None, _) => {
                if let Some(patched) = previous.patched.get(&at) {
                    let older = patched.apply(&mut file.content, &manifest.files[patched.onto]);
                    reused.extend(older.iter().map(|version| version.at.pack));
                }
                stored.push(at);
                stored_bytes += file.stored();
            }
        }
    }
    // Only packs that still give something are parents; `pack` 0 becomes the first of them, or whichever place it gets.
    let kept: Vec<usize> = reused.into_iter().collect();
    let new_place: HashMap<usize, usize> = kept.iter().enumerate().map(|(place, &pack)| (pack, place + 1)).collect();
    let stored_set: BTreeSet<usize> = stored.iter().copied().collect();
    for (at, file) in files.iter_mut().enumerate() {
        // The place of what is stored comes first, and is found when it is packed.
        for location in file.locations().skip(usize::from(stored_set.contains(&at))) {
            location.pack = new_place.get(&location.pack).copied().unwrap_or_default();
        }
    }
    let parents = kept.iter().filter_map(|&pack| all.get(pack).cloned()).collect();
    DeltaPlan { kind: DeltaKind::Delta, parents, files, stored, stored_bytes }
}

/// Whether two entries of one path are the same kind of thing.
fn alike(before: &FileEntry, now: &FileEntry) -> bool {
    match (&before.content, &now.content) {
        (Content::File { size: old, .. }, Content::File { size: new, .. }) => old == new,
        (Content::Symlink { to: old }, Content::Symlink { to: new }) => old == new,
        (Content::Folder { .. }, Content::Folder { .. }) | (Content::HardLink { .. }, Content::HardLink { .. }) => true,
        _ => false,
    }
}

/// Packs of siblings are not this lineage's to be written anew: what is dead in them lives there.
fn too_much(delta: &DeltaPlan, lineage: &str) -> Option<NewBase> {
    let is_own = |parent: &Parent| Key::parse(&parent.key).is_none_or(|key| key.lineage == lineage);
    let own: Vec<bool> = delta.parents.iter().map(is_own).collect();
    let of_own = |at: usize| at > 0 && own.get(at - 1).copied().unwrap_or_default();
    let own_bytes = || delta.parents.iter().zip(&own).filter(|(_, own)| **own).map(|(parent, _)| parent.bytes);
    // The base is the largest pack; the others are deltas. One that borrows is small, and so is its share of what is restored.
    let (largest, base) = (delta.parents.iter().map(|parent| parent.bytes).max().unwrap_or(0), own_bytes().max());
    let (all, base) = (own_bytes().sum::<u64>(), base.unwrap_or(0));
    // What a file is made of may be a file of its own, or go into another one.
    let pieces: BTreeSet<_> = delta.files.iter().flat_map(FileEntry::pieces).collect();
    let pieces = pieces.into_iter();
    let live: u64 = pieces.filter(|(at, _)| of_own(at.pack)).map(|(_, bytes)| bytes).sum();
    // A restore opens every parent, and a save that finds one gone has to store all: few and mostly alive is what makes both cheap.
    if own.iter().filter(|own| **own).count() > MAX_DELTAS {
        Some(NewBase::TooManyDeltas)
    } else if all - base + delta.stored_bytes > largest / 2 {
        Some(NewBase::DeltasTooLarge)
    } else if all.saturating_sub(live) > all / 3 {
        Some(NewBase::TooMuchDead)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moment::Moment;
    use crate::state::key::{HardParts, KeyParts, NameParts, SoftParts};
    use crate::state::manifest::{Location, Root};

    fn file(path: &str, size: u64, mtime: i64, pack: usize) -> FileEntry {
        let at = Location { pack, frame: 0, offset: 0 };
        let content = Content::File { size, mode: 0o644, sha256: Digest::of(path.as_bytes()), at, patch: None };
        FileEntry { root: 0, path: path.into(), mtime: Moment::from_nanos(mtime), unit: None, content }
    }

    fn parent(key: &str, bytes: u64) -> Parent {
        Parent { key: key.into(), sha256: Digest::of(key.as_bytes()), bytes }
    }

    fn manifest(files: Vec<FileEntry>, parents: Vec<Parent>) -> Manifest {
        let parts = KeyParts { name: NameParts::default(), hard: HardParts::default(), soft: SoftParts::default() };
        let roots = vec![Root { label: "target".into(), path: "/t".into() }];
        Manifest { key: "k".into(), parents, files, ..Manifest::blank(parts, roots) }
    }

    fn previous<'a>(
        manifest: &'a Manifest,
        pack: Parent,
        same: &'a BTreeSet<usize>,
        complete: bool,
        patched: &'a BTreeMap<usize, Patched>,
    ) -> Previous<'a> {
        Previous { manifest, pack, lineage: "l", same, complete, room: Room::Enough, whose: Whose::Own, patched }
    }

    fn planned(now: Vec<FileEntry>, old: &Manifest, own: Parent, complete: bool) -> DeltaPlan {
        let time = |path: &str| now.iter().find(|file| file.path == path).map(|file| file.mtime);
        let files = old.files.iter().enumerate();
        let same = files.filter(|(_, file)| time(&file.path) == Some(file.mtime)).map(|(at, _)| at).collect();
        plan(now, Some(&previous(old, own, &same, complete, &BTreeMap::new())))
    }

    #[test]
    fn only_what_changed_is_stored_and_the_rest_points_at_parents() {
        let old = manifest(vec![file("a", 900, 1, 1), file("b", 100, 2, 0)], vec![parent("base", 1000)]);
        let plan = planned(vec![file("a", 900, 1, 0), file("b", 100, 3, 0)], &old, parent("d1", 100), true);
        assert_eq!(plan.kind, DeltaKind::Delta);
        assert_eq!(plan.stored, [1]);
        assert_eq!(plan.parents, [parent("base", 1000)]);
        let Content::File { at, .. } = &plan.files[0].content else { panic!() };
        assert_eq!(at.pack, 1);
    }

    /// What a file goes through keeps the packs that hold it, and counts as alive there.
    #[test]
    fn a_file_that_is_stored_as_a_patch_refers_to_every_version_that_it_goes_through() {
        let next = |now: Vec<FileEntry>, old: &Manifest, own: &str, stored: u64| {
            let patched = BTreeMap::from([(0, Patched { onto: 0, stored, sha256: Digest::of(b"new") })]);
            let same = BTreeSet::from([1]);
            plan(now, Some(&previous(old, parent(own, 100), &same, true, &patched)))
        };
        let old = manifest(vec![file("a", 900, 1, 1), file("b", 100, 2, 0)], vec![parent("base", 1000)]);
        let first = next(vec![file("a", 950, 3, 0), file("b", 100, 2, 0)], &old, "d1", 30);
        assert_eq!((first.kind, &first.stored, first.stored_bytes), (DeltaKind::Delta, &vec![0], 30));
        assert_eq!(first.parents, [parent("d1", 100), parent("base", 1000)]);
        let places = |file: &FileEntry| file.pieces().iter().map(|(at, len)| (at.pack, *len)).collect::<Vec<_>>();
        assert_eq!(places(&first.files[0]), [(2, 900), (0, 30)]);

        let old = manifest(first.files, first.parents);
        let second = next(vec![file("a", 960, 4, 0), file("b", 100, 2, 0)], &old, "d2", 40);
        assert_eq!(second.parents, [parent("d2", 100), parent("d1", 100), parent("base", 1000)]);
        assert_eq!(places(&second.files[0]), [(3, 900), (1, 30), (0, 40)]);
        let old = manifest(second.files.clone(), second.parents.clone());
        let same = BTreeSet::from([0, 1]);
        let third = plan(second.files, Some(&previous(&old, parent("d3", 100), &same, true, &BTreeMap::new())));
        assert_eq!((third.stored, third.files[0].content == old.files[0].content), (vec![], false));
        assert_eq!(places(&third.files[0]), [(4, 900), (2, 30), (1, 40)]);
    }

    #[test]
    fn a_pull_request_writes_no_base_anew() {
        let files = |mtime| vec![file("a", 700, mtime, 0), file("b", 300, 1, 0)];
        let old = manifest(files(1), Vec::new());
        let none = BTreeMap::new();
        let previous = |same, lent, complete| Previous {
            manifest: &old,
            pack: parent("p", 1000),
            lineage: "l",
            same,
            complete,
            room: Room::Enough,
            whose: if lent { Whose::OtherRef } else { Whose::Own },
            patched: &none,
        };
        let same = BTreeSet::from([1]);
        assert_eq!(plan(files(2), Some(&previous(&same, false, true))).kind, DeltaKind::Base(NewBase::DeltasTooLarge));
        let delta = plan(files(2), Some(&previous(&same, true, true)));
        assert_eq!((delta.kind, delta.stored), (DeltaKind::Delta, vec![0]));
        // There is nothing to build on.
        assert_eq!(plan(files(2), Some(&previous(&same, true, false))).kind, DeltaKind::Base(NewBase::ParentLost));
    }

    #[test]
    fn a_new_base_is_written_for_each_of_its_reasons() {
        let big = |mtime| vec![file("a", 700, mtime, 0), file("b", 300, 1, 0)];
        let old = manifest(big(1), Vec::new());
        let kind = |plan: DeltaPlan| plan.kind;
        assert_eq!(kind(plan(big(1), None)), DeltaKind::Base(NewBase::NothingRestored));
        assert_eq!(kind(planned(big(1), &old, parent("p", 1000), false)), DeltaKind::Base(NewBase::ParentLost));
        assert_eq!(kind(planned(big(2), &old, parent("p", 1000), true)), DeltaKind::Base(NewBase::DeltasTooLarge));
        assert_eq!(
            kind(planned(vec![file("b", 300, 1, 0)], &old, parent("p", 1000), true)),
            DeltaKind::Base(NewBase::TooMuchDead)
        );
        let many: Vec<FileEntry> =
            (0..10).map(|at| file(&at.to_string(), if at == 0 { 9000 } else { 1 }, 1, at)).collect();
        let parents = (1..10).map(|at| parent(&at.to_string(), 1)).collect();
        let chain = manifest(many.clone(), parents);
        assert_eq!(kind(planned(many, &chain, parent("p", 9000), true)), DeltaKind::Base(NewBase::TooManyDeltas));
    }
}
