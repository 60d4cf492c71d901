//! What a new base need not store, because a pack of a sibling holds it: the same bytes at the same path. Times are the manifest's
//! own. Pure.
//!
//! A pack is fetched by whole frames, so little of a frame is stored again rather than fetched with all the rest. How it can be
//! wrong: what else a frame holds is known from the files that the sibling still has; one of which most is dead looks smaller
//! than it is. That costs bytes at a restore.

use std::collections::{BTreeMap, HashMap};

use super::manifest::{Content, FileEntry, Location, Manifest, Parent};
use crate::digest::Digest;

/// From how many packs at most.
pub const MOST: usize = 6;
/// A frame is used if this part of what the sibling has in it is wanted.
const WORTH: u64 = 4;

/// A state whose packs can be referred to, and the pack that it lies in.
#[derive(Debug)]
pub struct Lender<'a> {
    pub manifest: &'a Manifest,
    pub pack: Parent,
}

/// A file that lies in one of the packs of a lender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loan {
    lender: usize,
    file: usize,
}

impl Lender<'_> {
    /// The pack that a location of its manifest means.
    fn parent(&self, at: Location) -> Option<&Parent> {
        if at.pack == 0 { Some(&self.pack) } else { self.manifest.parents.get(at.pack - 1) }
    }
}

/// A pack is its name and its content.
type PackId<'a> = (&'a str, &'a [u8; 32]);

fn pack_id(parent: &Parent) -> PackId<'_> {
    (&parent.key, parent.sha256.bytes())
}

fn of_file(content: &Content) -> Option<(u64, &Digest, Location)> {
    match content {
        Content::File { size, sha256, at, patch: None, .. } => Some((*size, sha256, *at)),
        // One that lies there as a patch needs more than one place.
        Content::File { .. } | Content::HardLink { .. } | Content::Symlink { .. } | Content::Folder { .. } => None,
    }
}

/// For each file, by index, what may be the same: a file of the same path and size.
pub fn alike(files: &[FileEntry], lenders: &[Lender<'_>]) -> BTreeMap<usize, Vec<Loan>> {
    let mut known: HashMap<(usize, &str, u64), Vec<Loan>> = HashMap::new();
    for (lender, manifest) in lenders.iter().map(|lender| lender.manifest).enumerate() {
        for (file, entry) in manifest.files.iter().enumerate() {
            if let Some((size, ..)) = of_file(&entry.content).filter(|(size, ..)| *size > 0) {
                known.entry((entry.root, &entry.path, size)).or_default().push(Loan { lender, file });
            }
        }
    }
    let files = files.iter().enumerate();
    files
        .filter_map(|(at, entry)| Some((at, known.get(&(entry.root, entry.path.as_str(), entry.size()))?.clone())))
        .collect()
}

/// Points files at packs of lenders, and says which packs those are. `hashes` are of the files that are alike.
pub fn take(
    files: &mut [FileEntry],
    lenders: &[Lender<'_>],
    alike: &BTreeMap<usize, Vec<Loan>>,
    hashes: &BTreeMap<usize, Digest>,
    own_name: &dyn Fn(&Parent) -> bool,
) -> Borrowed {
    // What lies in the packs of the job itself was given up there.
    let place = |loan: &Loan| {
        let (_, sha256, at) = of_file(&lenders[loan.lender].manifest.files[loan.file].content)?;
        let parent = lenders[loan.lender].parent(at).filter(|parent| !own_name(parent))?;
        Some((parent, sha256, at))
    };
    // The same name with other bytes is another pack, where everything lies elsewhere.
    let mut whole: BTreeMap<(PackId<'_>, usize), u64> = BTreeMap::new();
    for (at, lender) in lenders.iter().enumerate() {
        for (file, entry) in lender.manifest.files.iter().enumerate() {
            if let Some((parent, _, location)) = place(&Loan { lender: at, file }) {
                let bytes = whole.entry((pack_id(parent), location.frame)).or_default();
                // Several lenders can know the same frame: the one that knows most of it counts.
                *bytes = (*bytes).max(location.offset + entry.size());
            }
        }
    }
    let fits = |at: &usize, loan: &&Loan| place(loan).is_some_and(|(_, sha256, _)| hashes.get(at) == Some(sha256));
    let loans: BTreeMap<usize, Loan> =
        alike.iter().filter_map(|(at, loans)| Some((*at, *loans.iter().find(|loan| fits(at, loan))?))).collect();
    let mut used: BTreeMap<(PackId<'_>, usize), u64> = BTreeMap::new();
    for (at, loan) in &loans {
        if let Some((parent, _, location)) = place(loan) {
            *used.entry((pack_id(parent), location.frame)).or_default() += files[*at].size();
        }
    }
    used.retain(|frame, bytes| *bytes >= whole.get(frame).copied().unwrap_or_default() / WORTH);
    let mut packs: BTreeMap<PackId<'_>, u64> = BTreeMap::new();
    for ((pack, _), bytes) in &used {
        *packs.entry(*pack).or_default() += bytes;
    }
    let mut order: Vec<(PackId<'_>, u64)> = packs.into_iter().collect();
    order.sort_by_key(|(pack, bytes)| (std::cmp::Reverse(*bytes), *pack));
    order.truncate(MOST);
    let mut borrowed = Borrowed::default();
    for (at, loan) in &loans {
        let Some((parent, sha256, location)) = place(loan) else { continue };
        let Some(place) = order.iter().position(|(pack, _)| *pack == pack_id(parent)) else { continue };
        if !used.contains_key(&(pack_id(parent), location.frame)) {
            continue;
        }
        borrowed.parents.entry(place).or_insert_with(|| parent.clone());
        if let Content::File { sha256: own, at: own_at, .. } = &mut files[*at].content {
            own.clone_from(sha256);
            *own_at = Location { pack: place + 1, ..location };
        }
        borrowed.files.push(*at);
    }
    borrowed
}

/// What was found with siblings.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Borrowed {
    /// By their place among the parents.
    parents: BTreeMap<usize, Parent>,
    pub files: Vec<usize>,
}

impl Borrowed {
    pub fn parents(&self) -> Vec<Parent> {
        self.parents.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moment::Moment;
    use crate::state::key::{HardParts, KeyParts, NameParts, SoftParts};
    use crate::state::manifest::Patch;

    fn file(path: &str, size: u64, frame: usize, offset: u64) -> FileEntry {
        let at = Location { pack: 0, frame, offset };
        let content = Content::File { size, mode: 0o644, sha256: Digest::of(path.as_bytes()), at, patch: None };
        FileEntry { root: 0, path: path.into(), mtime: Moment::from_nanos(1), unit: None, content }
    }

    fn manifest(files: Vec<FileEntry>) -> Manifest {
        let parts = KeyParts { name: NameParts::default(), hard: HardParts::default(), soft: SoftParts::default() };
        Manifest { files, ..Manifest::blank(parts, Vec::new()) }
    }

    fn parent(key: &str) -> Parent {
        Parent { key: key.into(), sha256: Digest::of(key.as_bytes()), bytes: 1 }
    }

    fn taken(files: &mut [FileEntry], lenders: &[Lender<'_>], own: &str) -> Borrowed {
        let alike = alike(files, lenders);
        let hashes = alike.keys().map(|&at| (at, Digest::of(files[at].path.as_bytes()))).collect();
        take(files, lenders, &alike, &hashes, &|parent| parent.key == own)
    }

    #[test]
    fn equal_bytes_are_referred_to_and_others_are_not() {
        let theirs = manifest(vec![file("a", 10, 0, 0), file("b", 10, 0, 10), file("c", 10, 1, 0)]);
        let lenders = [Lender { manifest: &theirs, pack: parent("p") }];
        let mut files = vec![file("a", 10, 9, 9), file("b", 11, 9, 9), file("c", 10, 9, 9)];
        let alike = alike(&files, &lenders);
        let hashes = [(0, Digest::of(b"a")), (2, Digest::of(b"other"))].into();
        let borrowed = take(&mut files, &lenders, &alike, &hashes, &|_| false);
        assert_eq!((borrowed.parents(), borrowed.files.as_slice()), (vec![parent("p")], [0].as_slice()));
        assert_eq!(of_file(&files[0].content).unwrap().2, Location { pack: 1, frame: 0, offset: 0 });
        assert_eq!(of_file(&files[2].content).unwrap().2.pack, 0);
    }

    #[test]
    fn little_of_a_frame_is_stored_again_and_so_is_what_the_job_gave_up() {
        let theirs =
            manifest(vec![file("a", 10, 0, 0), file("b", 90, 0, 10), file("c", 30, 1, 0), file("d", 70, 1, 30)]);
        let lenders = [Lender { manifest: &theirs, pack: parent("p") }];
        let mut files = vec![file("a", 10, 9, 9), file("c", 30, 9, 9)];
        assert_eq!(taken(&mut files, &lenders, "").files, [1]);
        assert_eq!(taken(&mut files, &lenders, "p"), Borrowed::default());
    }

    /// At its place lies something else.
    #[test]
    fn what_a_sibling_stores_as_a_patch_is_not_lent() {
        let mut theirs = manifest(vec![file("a", 10, 0, 0), file("b", 90, 0, 10)]);
        if let Content::File { patch, .. } = &mut theirs.files[0].content {
            *patch = Some(Box::new(Patch { stored: 10, onto: Vec::new() }));
        }
        let lenders = [Lender { manifest: &theirs, pack: parent("p") }];
        let mut files = vec![file("a", 10, 9, 9), file("b", 90, 9, 9)];
        assert_eq!(taken(&mut files, &lenders, "").files, [1]);
    }

    #[test]
    fn two_packs_of_one_name_are_two_packs() {
        let [one, other] = [manifest(vec![file("a", 10, 0, 5)]), manifest(vec![file("b", 20, 0, 7)])];
        let replaced = Parent { sha256: Digest::of(b"replaced"), ..parent("p") };
        let lenders =
            [Lender { manifest: &one, pack: parent("p") }, Lender { manifest: &other, pack: replaced.clone() }];
        let mut files = vec![file("a", 10, 9, 9), file("b", 20, 9, 9)];
        let borrowed = taken(&mut files, &lenders, "");
        let lies_in = |at: usize| borrowed.parents()[of_file(&files[at].content).unwrap().2.pack - 1].clone();
        assert_eq!((borrowed.files.as_slice(), lies_in(0), lies_in(1)), ([0, 1].as_slice(), parent("p"), replaced));
    }

    #[test]
    fn no_more_packs_are_referred_to_than_a_restore_can_open_soon() {
        let size = |at: usize| 10 + at as u64;
        let names: Vec<String> = (0..9).map(|at| at.to_string()).collect();
        let states: Vec<Manifest> = (0..9).map(|at| manifest(vec![file(&names[at], size(at), 0, 0)])).collect();
        let lenders: Vec<Lender<'_>> =
            states.iter().zip(&names).map(|(manifest, name)| Lender { manifest, pack: parent(name) }).collect();
        let mut files: Vec<FileEntry> = (0..9).map(|at| file(&names[at], size(at), 9, 9)).collect();
        let borrowed = taken(&mut files, &lenders, "");
        assert_eq!(borrowed.files, [3, 4, 5, 6, 7, 8]);
        let keys: Vec<String> = borrowed.parents().into_iter().map(|parent| parent.key).collect();
        assert_eq!(keys, ["8", "7", "6", "5", "4", "3"]);
    }
}
