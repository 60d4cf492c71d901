//! Files that somebody writes to while they are packed: what is stored was there at one moment, or nothing is.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use filetime::FileTime;
use rekindle::digest::Digest;
use rekindle::machine::disk::{self, Meta};
use rekindle::moment::Moment;
use rekindle::pack::{self, Source};
use rekindle::state::key::{HardParts, KeyParts, NameParts, SoftParts};
use rekindle::state::manifest::{Content, FileEntry, Location, Manifest, Root};

use crate::cache_service::noise;

/// More than is read before somebody takes what was packed.
const SIZE: usize = 40 << 20;

/// Does something to a file when the first of it is handed on, while the rest has still to be read.
struct Meddler<F> {
    meddle: Option<F>,
    taken: usize,
}

impl<F: FnOnce()> Write for Meddler<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(meddle) = self.meddle.take() {
            meddle();
        }
        self.taken += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What packing says of a file to which that is done meanwhile.
fn packed(meddle: impl FnOnce(&Path), written: impl FnOnce(Moment) -> Moment) -> Result<Digest, String> {
    let dir = tempfile::tempdir().unwrap();
    let path: PathBuf = dir.path().join("program");
    fs::write(&path, noise(SIZE)).unwrap();
    let mtime = Meta::of(&path).unwrap().mtime;
    let content = Content::File {
        size: SIZE as u64,
        mode: 0o644,
        sha256: Digest::of(b""),
        at: Location { pack: 0, frame: 0, offset: 0 },
        patch: None,
    };
    let file = FileEntry { root: 0, path: "program".into(), mtime, unit: None, content };
    let parts = KeyParts { name: NameParts::default(), hard: HardParts::default(), soft: SoftParts::default() };
    let roots = vec![Root { label: "target".into(), path: "/nowhere".into() }];
    let manifest = Manifest { key: "k".into(), files: vec![file], ..Manifest::blank(parts, roots) };
    let mut out = Meddler { meddle: Some(|| meddle(&path)), taken: 0 };
    let source = Source { file: 0, path: path.clone(), written: Some(written(mtime)) };
    let written = pack::write(&mut out, manifest, vec![source]).map_err(|error| format!("{error:#}"))?;
    assert!(out.meddle.is_none() && out.taken > SIZE / 2);
    match &written.index.manifest.files[0].content {
        Content::File { sha256, .. } => Ok(*sha256),
        _ => unreachable!("it is a file"),
    }
}

fn as_it_was(written: Moment) -> Moment {
    written
}

/// The last bytes, whose turn has not come.
fn overwrite(path: &Path) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(b"other", (SIZE - 5) as u64).unwrap();
}

#[test]
fn what_is_overwritten_while_it_is_packed_is_not_stored_whatever_its_time_says() {
    let changed = |result: Result<Digest, String>| {
        let error = result.expect_err("a mixture was packed");
        assert!(error.ends_with("program` changed while it was packed"), "{error}");
    };
    changed(packed(overwrite, as_it_was));
    changed(packed(
        |path| {
            let before = FileTime::from_last_modification_time(&fs::metadata(path).unwrap());
            overwrite(path);
            filetime::set_file_mtime(path, before).unwrap();
        },
        as_it_was,
    ));
    changed(packed(
        |path| {
            let other = path.with_extension("other");
            fs::write(&other, noise(SIZE)).unwrap();
            let before = FileTime::from_last_modification_time(&fs::metadata(path).unwrap());
            filetime::set_file_mtime(&other, before).unwrap();
            fs::rename(&other, path).unwrap();
        },
        as_it_was,
    ));
    // Between the moment when its time was looked at and the one when it is read.
    changed(packed(|_| {}, |written| Moment::from_nanos(written.nanos() - 1)));
}

#[test]
fn another_name_or_mode_is_no_other_content() {
    let original = Digest::of(&noise(SIZE));
    assert_eq!(packed(|_| {}, as_it_was), Ok(original));
    assert_eq!(packed(|path| fs::hard_link(path, path.with_extension("link")).unwrap(), as_it_was), Ok(original));
    assert_eq!(packed(|path| disk::set_mode(path, 0o755).unwrap(), as_it_was), Ok(original));
}
