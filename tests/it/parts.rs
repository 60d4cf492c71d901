//! Frames that come in parts and are unpacked while they come: the bytes are the right ones, wherever they come from, or nothing of
//! the frame stays.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rekindle::digest::Digest;
use rekindle::moment::Moment;
use rekindle::pack::{self, Pack, Source, Staged};
use rekindle::state::key::{HardParts, KeyParts, NameParts, SoftParts};
use rekindle::state::manifest::{Content, FileEntry, Location, Manifest, Root};
use rekindle::store::{Access, DirStore, Draft, Entry, Sending, Store, Stored};

use crate::support::write;

/// A folder in front of another one, which is asked when the first one gave something wrong.
#[derive(Debug)]
struct Twins {
    near: DirStore,
    far: DirStore,
    distrusted: AtomicBool,
}

impl Twins {
    fn asked(&self) -> &DirStore {
        if self.distrusted.load(Ordering::SeqCst) { &self.far } else { &self.near }
    }
}

impl Store for Twins {
    fn access(&self) -> Access {
        Access::FULL
    }

    fn find(&self, prefix: &str) -> anyhow::Result<Vec<Entry>> {
        self.asked().find(prefix)
    }

    fn size(&self, key: &str) -> anyhow::Result<u64> {
        self.asked().size(key)
    }

    fn read(&self, key: &str, offset: u64, len: u64) -> anyhow::Result<Vec<u8>> {
        self.asked().read(key, offset, len)
    }

    fn begin<'a>(&'a self, key: &str, room: &Path, sending: Sending) -> anyhow::Result<Box<dyn Draft + 'a>> {
        self.near.begin(key, room, sending)
    }

    fn list(&self) -> anyhow::Result<Vec<Stored>> {
        self.asked().list()
    }

    fn remove(&self, entry: &Stored) -> anyhow::Result<()> {
        self.asked().remove(entry)
    }

    fn distrust(&self, _: &str) -> bool {
        self.distrusted.store(true, Ordering::SeqCst);
        true
    }

    fn describe(&self) -> String {
        "twins".to_owned()
    }
}

/// What no compression makes smaller, so that a frame has several parts, after a small file of the same frame and before another one.
fn contents() -> [(&'static str, Vec<u8>); 3] {
    let mut random = fastrand::Rng::with_seed(7);
    let mut noise = vec![0; 11_000_000];
    random.fill(&mut noise);
    [("a", b"first".to_vec()), ("b", noise), ("c", b"last".to_vec())]
}

struct Packed {
    dir: tempfile::TempDir,
    store: Twins,
    /// Where the frame of the first two ends.
    frame: Cell<usize>,
}

impl Packed {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let place = |name: &str| dir.path().join("sources").join(name);
        fs::create_dir(dir.path().join("sources")).unwrap();
        let mut files = Vec::new();
        for (name, bytes) in contents() {
            fs::write(place(name), &bytes).unwrap();
            let at = Location { pack: 0, frame: 0, offset: 0 };
            let size = bytes.len() as u64;
            let content = Content::File { size, mode: 0o644, sha256: Digest::of(&bytes), at, patch: None };
            files.push(FileEntry { root: 0, path: name.into(), mtime: Moment::from_nanos(1), unit: None, content });
        }
        let parts = KeyParts { name: NameParts::default(), hard: HardParts::default(), soft: SoftParts::default() };
        let roots = vec![Root { label: "target".into(), path: "/nowhere".into() }];
        let manifest = Manifest { key: "k".into(), files, ..Manifest::blank(parts, roots) };
        let sources =
            ["a", "b", "c"].iter().enumerate().map(|(file, name)| Source { file, path: place(name), written: None });
        let mut bytes = Vec::new();
        let written = pack::write(&mut bytes, manifest, sources.collect()).unwrap();
        bytes.extend(written.tail);
        let store = |name: &str| {
            let store = DirStore::new(dir.path().join(name));
            store.begin("k", dir.path(), Sending::WhenComplete).unwrap().finish(&bytes).unwrap();
            store
        };
        let store = Twins { near: store("near"), far: store("far"), distrusted: AtomicBool::new(false) };
        let frame = &written.index.frames[0];
        assert!(frame.len > 10_000_000 && written.index.frames.len() == 2, "{:?}", written.index.frames);
        let frame = Cell::new(usize::try_from(frame.len).unwrap());
        Self { dir, store, frame }
    }

    /// Another byte, so far before the end of the frame.
    fn damage(&self, store: &str, before: usize) {
        let path = self.dir.path().join(store).join("k.tar.zst");
        let mut bytes = fs::read(&path).unwrap();
        bytes[self.frame.get() - before] ^= 1;
        fs::write(&path, bytes).unwrap();
    }

    fn unpacked(&self) -> (pack::Unpacked, PathBuf) {
        let root = self.dir.path().join("root");
        let pack = Pack::open(&self.store, "k").unwrap();
        let manifest = pack.index.manifest.clone();
        let staged = Staged::beside(std::slice::from_ref(&root)).unwrap();
        let mut unpacked = staged.unpack(&manifest, &[Some(pack)], Duration::ZERO, &|_| false);
        unpacked.failed.extend(staged.move_in(&manifest, &[], |_| {}));
        (unpacked, root)
    }

    fn comes_whole(&self) {
        let (unpacked, root) = self.unpacked();
        assert!(unpacked.failed.is_empty(), "{:?}", unpacked.failed);
        for (name, bytes) in contents() {
            assert!(fs::read(root.join(name)).unwrap() == bytes, "{name}");
        }
    }
}

#[test]
fn parts_are_put_together_in_their_order() {
    let packed = Packed::new();
    packed.comes_whole();
    assert!(!packed.store.distrusted.load(Ordering::SeqCst));
}

#[test]
fn what_came_wrong_is_fetched_from_the_other_place_and_written_anew() {
    for before in [3, 5_000_000, 10_500_000] {
        let packed = Packed::new();
        packed.damage("near", before);
        write(&packed.dir.path().join("root/other"), "stays");
        packed.comes_whole();
        assert!(packed.store.distrusted.load(Ordering::SeqCst));
        assert_eq!(fs::read_to_string(packed.dir.path().join("root/other")).unwrap(), "stays");
    }
}

#[test]
fn nothing_stays_of_a_frame_that_is_wrong_everywhere() {
    for before in [3, 5_000_000] {
        let packed = Packed::new();
        packed.damage("near", before);
        packed.damage("far", before);
        let (unpacked, root) = packed.unpacked();
        assert_eq!(unpacked.failed.keys().collect::<Vec<_>>(), [&0, &1]);
        assert!(unpacked.failed.values().all(|reason| reason.contains("is damaged")), "{:?}", unpacked.failed);
        assert!(!root.join("a").exists() && !root.join("b").exists() && root.join("c").exists());
    }
}
