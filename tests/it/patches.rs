//! What is linked anew after a small change is stored as what is different, and comes back byte for byte: over several saves, where
//! somebody writes into the old one, and where a patch or what it builds on is not what it was.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rekindle::digest::Digest;
use rekindle::moment::Moment;
use rekindle::pack::{self, Pack, Source, Staged, patch};
use rekindle::state::key::{HardParts, KeyParts, NameParts, SoftParts};
use rekindle::state::manifest::{Content, FileEntry, Location, MAX_VERSIONS, Manifest, Patch, Root, Version};
use rekindle::store::{DirStore, Sending, Store};

use crate::support::{World, words};

fn world() -> World {
    let files = [
        (".gitignore", "target\n"),
        ("Cargo.toml", "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
        ("src/main.rs", "fn main() { println!(\"{}\", app::text()); }\n"),
        ("tests/calls.rs", "#[test]\nfn calls() { env!(\"CARGO_BIN_EXE_app\"); app::text(); }\n"),
        ("src/lib.rs", "pub fn text() -> String { format!(\"round {}\", 0) }\n#[test]\nfn right() { text(); }\n"),
    ];
    let mut world = World::in_memory("", |_| files.map(|(path, text)| (path.to_owned(), text.to_owned())).into());
    world.command = words("build --all-targets");
    world.binary = "app".into();
    world
}

fn round(world: &mut World, number: u32) {
    let more: Vec<String> =
        (0..number).map(|at| format!("pub fn more_{at}(x: u32) -> u32 {{ x.rotate_left({at}) }}\n")).collect();
    let more = more.concat();
    let lib = format!(
        "pub fn text() -> String {{ format!(\"round {{}}\", {number}) }}\n{more}#[test]\nfn right() {{ text(); }}\n"
    );
    world.change(&[("src/lib.rs", &lib)]);
}

/// What the newest entry says of the files of executables: their names, and through how many versions each goes.
fn versions(world: &World) -> BTreeMap<String, usize> {
    let path = world.packs().pop().unwrap();
    let key = path.file_name().unwrap().to_str().unwrap().strip_suffix(".tar.zst").unwrap().to_owned();
    let manifest = Pack::open(&DirStore::new(world.store()), &key).unwrap().index.manifest;
    let of = |file: &FileEntry| match &file.content {
        Content::File { mode, patch, size, .. } if mode & 0o111 != 0 && *size > 1 << 18 => {
            Some((file.path.clone(), patch.as_ref().map_or(0, |patch| patch.onto.len())))
        }
        _ => None,
    };
    manifest.files.iter().filter_map(of).collect()
}

fn newest_size(world: &World) -> u64 {
    fs::metadata(world.packs().pop().unwrap()).unwrap().len()
}

fn executables(world: &World) -> BTreeMap<PathBuf, Vec<u8>> {
    let deps = fs::read_dir(world.target().join("debug/deps")).unwrap().map(|entry| entry.unwrap().path());
    deps.filter(|path| path.extension().is_none()).map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn what_is_linked_anew_takes_little_and_comes_back_byte_for_byte() {
    let mut world = world();
    world.first_run();
    let base = newest_size(&world);
    // After so many versions a file is stored whole again, and then patched again.
    for number in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10] {
        round(&mut world, number);
        if number < 4 {
            world.prove(&[]);
        }
        world.warm_run();
        let built = executables(&world);
        assert_eq!(built.len(), 4);
        let log = world.save();
        let expected = usize::try_from(number).unwrap() % (MAX_VERSIONS + 1);
        assert_eq!(versions(&world).into_values().collect::<Vec<_>>(), [expected; 4], "{log}");
        assert!(newest_size(&world) * 5 < base || expected == 0, "{} of {base}", newest_size(&world));
        assert!(!world.target().join(".rekindle/former").exists(), "a second name takes up room");
        let warm = world.warm_run();
        assert!(warm.compiled.is_empty(), "{:?}", warm.compiled);
        assert_eq!(executables(&world), built);
        assert_eq!(world.output().trim(), format!("round {number}"));
    }
    assert_eq!(
        fs::read_dir(world.target())
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name() == ".versions")
            .count(),
        0
    );
    // Nothing new is nothing to store.
    let entries = world.entries().len();
    world.save();
    assert_eq!(world.entries().len(), entries);
}

#[test]
fn a_disk_that_is_kept_stores_changes_as_little() {
    let mut world = world();
    world.first_run();
    let base = newest_size(&world);
    for number in 1..=3 {
        round(&mut world, number);
        world.update_in_place();
        let log = world.restore();
        assert!(log.contains("kept"), "{log}");
        world.build();
        world.save();
        assert_eq!(versions(&world).into_values().collect::<Vec<_>>(), [usize::try_from(number).unwrap(); 4]);
        assert!(newest_size(&world) * 5 < base, "{} of {base}", newest_size(&world));
    }
    // Second names change nothing that would have to be looked at again.
    assert!(world.restore().contains("kept") && world.build().compiled.is_empty());
    assert!(world.warm_run().compiled.is_empty());
    assert_eq!(world.output().trim(), "round 3");
}

/// The old and the new would lie side by side.
#[cfg(target_os = "linux")]
#[test]
fn nothing_old_is_kept_where_the_job_may_need_the_room_or_nothing_is_saved() {
    let world = world();
    world.first_run();
    let former = |options: &[&str], room: &str| {
        world.wipe_and_clone();
        fs::create_dir_all(world.target()).unwrap();
        let target = world.target().to_str().unwrap().to_owned();
        crate::support::as_root(&["mount", "-t", "tmpfs", "-o", &format!("size={room},mode=777"), "tmpfs", &target]);
        let store = format!("dir:{}", world.store().display());
        let state = world.dir.join("state.json");
        let words = ["restore", "--store", &store, "--state", state.to_str().unwrap()];
        let restored = world.rekindle(&[&words[..], options].concat());
        let count = fs::read_dir(world.target().join(".rekindle/former")).map_or(0, Iterator::count);
        let is_warm = world.build().compiled.is_empty();
        crate::support::as_root(&["umount", &target]);
        assert!(restored.status.success() && is_warm);
        count
    };
    assert_eq!(former(&[], "2g"), 4);
    assert_eq!(former(&["--save", "never"], "2g"), 0);
    assert!(former(&[], "12m") < 4);
}

/// Some linkers, and people with `cp`, write into the file that is there: the second name then has the new bytes, too.
#[test]
fn an_old_version_that_was_written_into_is_none() {
    let mut world = world();
    world.first_run();
    round(&mut world, 1);
    world.warm_run();
    for entry in fs::read_dir(world.target().join(".rekindle/former")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(&path, bytes).unwrap();
    }
    let built = executables(&world);
    world.save();
    assert_eq!(versions(&world).into_values().collect::<Vec<_>>(), [0; 4]);
    assert!(world.warm_run().compiled.is_empty());
    assert_eq!(executables(&world), built);
}

/// The base that a patch builds on is gone: what is made of it is compiled, and nothing else is to be seen of it.
#[test]
fn without_what_it_builds_on_a_patch_is_nothing() {
    let mut world = world();
    world.first_run();
    round(&mut world, 1);
    world.warm_run();
    world.save();
    let base = world.packs().remove(0);
    fs::remove_file(base).unwrap();
    let warm = world.warm_run();
    let output = world.output();
    assert_eq!(world.cold_output(), output);
    // The library is small, and lies whole where the patches do.
    let linked = ["app 0.1.0 bin app", "app 0.1.0 bin app test", "app 0.1.0 lib app test", "app 0.1.0 test calls test"];
    assert_eq!(warm.compiled.into_iter().collect::<Vec<_>>(), linked);
}

fn old_version() -> Vec<u8> {
    (0..300_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// A pack with an old version, and a file as a patch on it; `change` says what else the manifest claims.
fn unpacked(change: impl FnOnce(&mut Manifest)) -> (Option<String>, Option<Vec<u8>>) {
    let dir = tempfile::tempdir().unwrap();
    let old = old_version();
    let new = [&old[..1_000], b"more", &old[1_000..]].concat();
    let (first, second) = (dir.path().join("old"), dir.path().join("patch"));
    fs::write(&first, &old).unwrap();
    fs::write(&second, patch::make(&old, &new).unwrap()).unwrap();
    let stored = fs::metadata(&second).unwrap().len();
    let nowhere = Location { pack: 0, frame: 0, offset: 0 };
    let entry = |path: &str, size: u64, of: &[u8], patch: Option<Box<Patch>>| FileEntry {
        root: 0,
        path: path.into(),
        mtime: Moment::from_nanos(1),
        unit: None,
        content: Content::File { size, mode: 0o755, sha256: Digest::of(of), at: nowhere, patch },
    };
    let version = Version { at: nowhere, stored: old.len() as u64, size: old.len() as u64 };
    let grown = Some(Box::new(Patch { stored, onto: vec![version] }));
    let files = vec![entry("old", old.len() as u64, &old, None), entry("new", new.len() as u64, &new, grown)];
    let parts = KeyParts { name: NameParts::default(), hard: HardParts::default(), soft: SoftParts::default() };
    let roots = vec![Root { label: "target".into(), path: "/nowhere".into() }];
    let manifest = Manifest { key: "k".into(), files, ..Manifest::blank(parts, roots) };
    let mut out = Vec::new();
    let sources =
        vec![first, second].into_iter().enumerate().map(|(file, path)| Source { file, path, written: None }).collect();
    let written = pack::write(&mut out, manifest, sources).unwrap();
    let mut manifest = written.index.manifest;
    let Content::File { at: place, .. } = manifest.files[0].content else { panic!() };
    if let Content::File { patch: Some(patch), .. } = &mut manifest.files[1].content {
        patch.onto[0].at = place;
    }
    // The old version is in nobody's hands any more.
    manifest.files.remove(0);
    change(&mut manifest);
    let also: Vec<(String, Digest)> =
        manifest.files[1..].iter().map(|file| (file.path.clone(), sha256(file))).collect();
    let forged = pack::forge(&out, &written.index.frames, manifest);
    let store = DirStore::new(dir.path().join("store"));
    store.begin("k", dir.path(), Sending::WhenComplete).unwrap().finish(&forged).unwrap();
    let pack = match Pack::open(&store, "k") {
        Ok(pack) => pack,
        Err(error) => return (Some(format!("{error:#}")), None),
    };
    let manifest = pack.index.manifest.clone();
    let root = dir.path().join("root");
    let staged = Staged::beside(std::slice::from_ref(&root)).unwrap();
    let mut unpacked = staged.unpack(&manifest, &[Some(pack)], Duration::ZERO, &|_| false);
    assert!(staged.dirs().iter().all(|dir| !dir.join(".versions").exists()), "pieces are left");
    unpacked.failed.extend(staged.move_in(&manifest, &[], |_| {}));
    assert!(unpacked.failed.keys().all(|at| *at < manifest.files.len()));
    for (path, sha256) in also.into_iter().filter(|_| unpacked.failed.is_empty()) {
        assert_eq!(Digest::of(&fs::read(root.join(path)).unwrap()), sha256);
    }
    let there = fs::read(root.join("new")).ok();
    if let Some(bytes) = &there {
        assert_eq!(*bytes, new);
        assert!(is_executable(&root.join("new")));
    }
    (unpacked.failed.into_values().next(), there)
}

fn sha256(file: &FileEntry) -> Digest {
    let Content::File { sha256, .. } = &file.content else { panic!("{} is no file", file.path) };
    *sha256
}

/// The older version is a file of its own still, or goes into several: either way it is fetched once.
#[test]
fn what_several_files_are_made_of_is_fetched_once() {
    let twin = |manifest: &mut Manifest, path: &str| {
        let twin = FileEntry { path: path.into(), ..manifest.files[0].clone() };
        manifest.files.push(twin);
    };
    let old = |manifest: &mut Manifest| {
        let Content::File { patch: Some(patch), .. } = &manifest.files[0].content else { panic!() };
        let Version { at, size, .. } = patch.onto[0];
        let sha256 = Digest::of(&old_version());
        let content = Content::File { size, mode: 0o644, sha256, at, patch: None };
        manifest.files.push(FileEntry { path: "old".into(), content, ..manifest.files[0].clone() });
    };
    let whole = |(reason, there): (Option<String>, Option<Vec<u8>>)| {
        assert!(reason.is_none() && there.is_some(), "{reason:?}");
    };
    whole(unpacked(old));
    whole(unpacked(|manifest| twin(manifest, "twin")));
    whole(unpacked(|manifest| {
        twin(manifest, "twin");
        old(manifest);
        twin(manifest, "third");
    }));
    // Nobody stores two whole files as one.
    let (reason, there) = unpacked(|manifest| {
        old(manifest);
        old(manifest);
        manifest.files[2].path = "other".into();
    });
    assert!(reason.is_some_and(|reason| reason.contains("claim the same bytes")) && there.is_none());
}

fn is_executable(path: &Path) -> bool {
    rekindle::machine::disk::Meta::of(path).unwrap().mode & 0o111 != 0 || cfg!(windows)
}

type ChangePatch = fn(&mut Patch);
type ChangeFile = fn(&mut u64, &mut Digest);

#[test]
fn what_a_hostile_patch_makes_is_not_believed() {
    let patch = |change: ChangePatch| {
        unpacked(|manifest| {
            if let Content::File { patch: Some(patch), .. } = &mut manifest.files[0].content {
                change(patch);
            }
        })
    };
    let (reason, there) = patch(|_| {});
    assert!(reason.is_none() && there.is_some(), "{reason:?}");
    let refused: [(&str, ChangePatch); 8] = [
        ("claim the same bytes", |patch| patch.onto = vec![patch.onto[0].clone(); 2]),
        ("another file", |patch| patch.onto[0].at.offset += 1),
        ("cannot be applied", |patch| patch.stored -= 1),
        ("another file", |patch| patch.onto[0].stored -= 1),
        ("outside its frame", |patch| patch.onto[0].at.offset = 1 << 30),
        ("are more than a file has", |patch| patch.onto[0].size = 1 << 40),
        ("are more than a file has", |patch| patch.onto.clear()),
        ("are more than a file has", |patch| patch.onto = vec![patch.onto[0].clone(); MAX_VERSIONS + 1]),
    ];
    for (number, (expected, change)) in refused.into_iter().enumerate() {
        let (reason, there) = patch(change);
        assert!(reason.as_ref().is_some_and(|reason| reason.contains(expected)), "{number}: {reason:?}");
        assert!(there.is_none(), "{number}");
    }
    let of_file = |change: ChangeFile| {
        unpacked(|manifest| {
            if let Content::File { size, sha256, .. } = &mut manifest.files[0].content {
                change(size, sha256);
            }
        })
    };
    let refused: [(&str, ChangeFile); 3] = [
        ("another file", |_, sha256| *sha256 = Digest::of(b"")),
        ("another size", |size, _| *size += 1),
        ("cannot be applied", |size, _| *size -= 1),
    ];
    for (expected, change) in refused {
        let (reason, there) = of_file(change);
        assert!(reason.as_ref().is_some_and(|reason| reason.contains(expected)), "{expected}: {reason:?}");
        assert!(there.is_none());
    }
}

/// Its dependents lie elsewhere then, by other ids.
#[test]
fn what_is_built_with_another_version_of_a_dependency_takes_little_and_comes_back_byte_for_byte() {
    let mut world = World::in_memory("", |_| {
        let dep = "[package]\nname = \"dep\"\nversion = \"0.1.0\"\nedition = \"2021\"\n";
        let files = [
            (".gitignore", "target\n".to_owned()),
            (
                "Cargo.toml",
                dep.replace("dep", "app")
                    + "[dependencies]\ndep = { path = \"dep\" }\n[workspace]\nmembers = [\"dep\"]\n",
            ),
            ("src/main.rs", "fn main() { println!(\"{}\", dep::TEXT); }\n#[test]\nfn right() { main(); }\n".to_owned()),
            ("dep/Cargo.toml", dep.to_owned()),
            ("dep/src/lib.rs", "pub const TEXT: &str = env!(\"CARGO_PKG_VERSION\");\n".to_owned()),
        ];
        files.map(|(path, text)| (path.to_owned(), text)).into()
    });
    world.command = words("build --all-targets");
    world.binary = "app".into();
    world.options = words("--keep-unused 1");
    world.first_run();
    let base = newest_size(&world);
    let mut all = executables(&world);
    for number in 2..=5 {
        let manifest = fs::read_to_string(world.origin().join("dep/Cargo.toml")).unwrap();
        world
            .change(&[("dep/Cargo.toml", &manifest.replace(&format!("0.{}.0", number - 1), &format!("0.{number}.0")))]);
        let compiled = world.warm_run().compiled;
        assert!(compiled.iter().any(|unit| unit.ends_with("bin app")), "{compiled:?}");
        let log = world.save();
        assert!(
            log.contains("changes only") && newest_size(&world) * 5 < base,
            "{} of {base}: {log}",
            newest_size(&world)
        );
        all.extend(executables(&world));
        let warm = world.warm_run();
        assert!(warm.compiled.is_empty(), "{:?}", warm.compiled);
        assert_eq!(world.output().trim(), format!("0.{number}.0"));
        let there = executables(&world);
        assert!(there.iter().all(|(path, bytes)| all[path] == *bytes));
        // Two of each: what was built last, and what it took over from, of which the oldest is gone.
        assert_eq!(there.len(), 4, "{:?}", there.keys());
    }
}
