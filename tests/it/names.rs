//! Packs on other file systems: names that are long, reserved or alike, read-only files, other names of one file, files in use, and
//! exact times. They run wherever the temporary folder lies: `tests/e2e/other_systems.sh` puts it on several file systems, and
//! runs them under Wine.

use std::fs;

use rekindle::machine::disk::{self, Kind, Meta};
use rekindle::machine::paths;
use rekindle::moment::Moment;
use rekindle::state::manifest::{Content, FileEntry, Manifest};

use crate::packs::unpack;

/// Nanoseconds of a time that NTFS can hold, too: it counts in steps of 100.
const TIME: i64 = 1_700_000_000_123_456_700;

/// Turns the one file into two of half its content each: `ev` and `il`.
fn halve(manifest: &mut Manifest, names: [&str; 2]) {
    let whole = manifest.files[0].clone();
    let half = |(at, path): (usize, &str)| {
        let mut half = FileEntry { path: path.to_owned(), ..whole.clone() };
        if let Content::File { size, at: place, .. } = &mut half.content {
            (*size, place.offset) = (2, place.offset + 2 * at as u64);
        }
        half
    };
    manifest.files = names.into_iter().enumerate().map(half).collect();
}

#[test]
fn a_path_longer_than_260_characters_comes_back_with_its_exact_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = format!("debug/build/{}file", format!("{}/", "long".repeat(15)).repeat(6));
    let unpacked = unpack(dir.path(), |manifest| {
        manifest.files[0].path.clone_from(&path);
        manifest.files[0].mtime = Moment::from_nanos(TIME);
    });
    assert!(unpacked.failed.is_empty(), "{:?}", unpacked.failed);
    let file = dir.path().join("root").join(path);
    assert!(file.as_os_str().len() > 260);
    assert_eq!(fs::read_to_string(&file).unwrap(), "evil");
    assert_eq!(Meta::of(&file).unwrap().mtime, Moment::from_nanos(TIME));
}

/// Windows writes `aux` to a device, `file:x` into another file, and `file.` to `file`.
#[test]
fn names_that_mean_something_else_on_windows_are_made_elsewhere_alone() {
    for name in ["aux", "con.rs", "file.", "file ", "file:x", "a/nul/b"] {
        let dir = tempfile::tempdir().unwrap();
        let unpacked = unpack(dir.path(), |manifest| manifest.files[0].path = name.to_owned());
        assert_eq!(unpacked.failed.len(), usize::from(cfg!(windows)), "{name}: {:?}", unpacked.failed);
    }
}

#[test]
fn names_that_differ_by_case_alone_are_never_taken_for_each_other() {
    for names in [["debug/Out", "debug/out"], ["A/one", "a/ONE"]] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("case"), "").unwrap();
        let folds = dir.path().join("CASE").exists();
        let unpacked = unpack(dir.path(), |manifest| halve(manifest, names));
        if folds {
            assert_eq!(unpacked.failed.keys().copied().collect::<Vec<_>>(), [0, 1], "{:?}", unpacked.failed);
            assert!(names.iter().all(|name| !dir.path().join("root").join(name).exists()));
        } else {
            let read = |name| fs::read_to_string(dir.path().join("root").join(name)).unwrap();
            assert_eq!(names.map(read), ["ev", "il"]);
        }
    }
}

/// An accent can be part of its letter or a sign behind it. APFS, and ext4 with casefold, take the two for one name.
#[test]
fn two_spellings_of_an_accent_are_never_taken_for_each_other() {
    let names = ["debug/\u{e9}t\u{e9}", "debug/e\u{301}te\u{301}"];
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("\u{e9}"), "").unwrap();
    let folds = dir.path().join("e\u{301}").exists();
    let unpacked = unpack(dir.path(), |manifest| halve(manifest, names));
    for (at, (name, content)) in names.into_iter().zip(["ev", "il"]).enumerate() {
        let there = fs::read_to_string(dir.path().join("root").join(name));
        match unpacked.failed.get(&at) {
            None => assert_eq!(there.unwrap(), content),
            Some(reason) => assert!(folds && there.is_err(), "{reason}, {there:?}"),
        }
    }
    assert!(folds || unpacked.failed.is_empty());
}

#[test]
fn a_read_only_file_is_read_only_again_and_can_still_be_stamped() {
    let dir = tempfile::tempdir().unwrap();
    let unpacked = unpack(dir.path(), |manifest| {
        manifest.files[0].mtime = Moment::from_nanos(TIME);
        if let Content::File { mode, .. } = &mut manifest.files[0].content {
            *mode = 0o444;
        }
    });
    assert!(unpacked.failed.is_empty(), "{:?}", unpacked.failed);
    let file = dir.path().join("root/file");
    assert!(fs::metadata(&file).unwrap().permissions().readonly());
    assert_eq!(Meta::of(&file).unwrap().mtime, Moment::from_nanos(TIME));
    disk::set_mtime(&file, Kind::File, Moment::from_nanos(TIME + 100)).unwrap();
    assert_eq!(Meta::of(&file).unwrap().mtime, Moment::from_nanos(TIME + 100));
    // Or the folder could not be taken away again everywhere.
    disk::set_mode(&file, 0o644).unwrap();
}

#[test]
fn two_names_of_one_file_are_one_file_again() {
    let dir = tempfile::tempdir().unwrap();
    let unpacked = unpack(dir.path(), |manifest| {
        let link = FileEntry { path: "link".into(), content: Content::HardLink { to: 0 }, ..manifest.files[0].clone() };
        manifest.files.push(link);
    });
    assert!(unpacked.failed.is_empty(), "{:?}", unpacked.failed);
    let of = |name: &str| Meta::of(&dir.path().join("root").join(name)).unwrap();
    assert_eq!((of("file").links, of("link").links), (2, 2));
    assert!(of("file").identity.is_some() && of("file").identity == of("link").identity);
}

/// Nobody else can open it, which only Windows knows.
#[cfg(windows)]
#[test]
fn a_file_that_a_program_holds_costs_itself_alone() {
    use std::os::windows::fs::OpenOptionsExt;
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("root")).unwrap();
    let held = dir.path().join("root/held");
    fs::write(&held, "old").unwrap();
    let holder = fs::OpenOptions::new().read(true).share_mode(0).open(&held).unwrap();
    let unpacked = unpack(dir.path(), |manifest| halve(manifest, ["held", "free"]));
    drop(holder);
    assert_eq!(unpacked.failed.keys().copied().collect::<Vec<_>>(), [0], "{:?}", unpacked.failed);
    assert_eq!(fs::read_to_string(&held).unwrap(), "old");
    assert_eq!(fs::read_to_string(dir.path().join("root/free")).unwrap(), "il");
}

/// A path as Windows spells it survives being written down, with its drive or its `\\?\`.
#[test]
fn a_path_with_a_drive_is_written_down_and_found_again() {
    for text in [r"C:\work\target", r"\\?\C:\work\target", r"\\server\share\work"] {
        let path = paths::path(text);
        assert_eq!(paths::text(&path), text);
        assert_eq!(paths::path(&paths::text(&path)), path);
    }
    if cfg!(windows) {
        assert!(paths::is_under(r"C:\work\target", r"C:\work") && !paths::is_under(r"C:\works", r"C:\work"));
        assert_eq!(paths::lexical(paths::path("C:/work/../target").as_path()), paths::path(r"C:\target"));
    }
}
