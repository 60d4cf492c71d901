//! How the Cargo home comes back: only what a save would store, whole files only, and for workspaces without a lock file too.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rekindle::digest::Digest;
use rekindle::moment::Moment;
use rekindle::pack::{self, Pack, Source};
use rekindle::state::manifest::{Content, FileEntry, Location, Manifest};
use rekindle::store::DirStore;

use crate::support::{Project, World, words, write};

fn project(ignored_lock: bool) -> Project {
    let manifest = "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\nitoa = \"1\"\nryu = \"1\"\n";
    let ignored = if ignored_lock { "/target\nCargo.lock\n" } else { "/target\n" };
    [
        ("Cargo.toml", manifest),
        (".gitignore", ignored),
        ("src/main.rs", "fn main() { println!(\"{}\", itoa::Buffer::new().format(7)); }\n"),
    ]
    .into_iter()
    .map(|(path, text)| (path.to_owned(), text.to_owned()))
    .collect()
}

fn world(ignored_lock: bool) -> World {
    let mut world = World::new("", |_| project(ignored_lock));
    world.command = words("build");
    world
}

fn home(world: &World) -> PathBuf {
    world.dir.join("cargo-home")
}

fn fresh_home(world: &World) {
    if home(world).exists() {
        fs::remove_dir_all(home(world)).unwrap();
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

fn archives(world: &World) -> Vec<PathBuf> {
    files(&home(world).join("registry/cache"))
}

#[test]
fn a_workspace_without_a_committed_lock_file_gets_its_cargo_home_back() {
    let mut world = world(true);
    fresh_home(&world);
    world.first_run();
    assert_eq!(archives(&world).len(), 2);
    fresh_home(&world);
    world.wipe_and_clone();
    let log = world.restore();
    assert!(log.contains("Cargo home: "), "{log}");
    assert_eq!(archives(&world).len(), 2, "{log}");
    world.env.insert("CARGO_NET_OFFLINE".into(), "true".into());
    assert!(world.build().compiled.is_empty());
    let log = world.save();
    assert!(!log.contains("Cargo home: saved"), "nothing was fetched: {log}");
}

#[test]
fn an_archive_that_was_cut_is_replaced_by_the_next_restore() {
    let mut world = world(false);
    fresh_home(&world);
    world.first_run();
    let good: Vec<(PathBuf, Vec<u8>)> =
        archives(&world).into_iter().map(|path| (path.clone(), fs::read(&path).unwrap())).collect();
    fresh_home(&world);
    world.wipe_and_clone();
    // What a kill left, when files still appeared before they were whole.
    write(&good[0].0, "");
    fs::create_dir_all(good[1].0.parent().unwrap()).unwrap();
    fs::write(&good[1].0, &good[1].1[..good[1].1.len() / 2]).unwrap();
    world.env.insert("CARGO_NET_OFFLINE".into(), "true".into());
    let log = world.restore();
    for (path, bytes) in &good {
        assert!(fs::read(path).unwrap() == *bytes, "`{}`: {log}", path.display());
    }
    fs::remove_dir_all(world.target()).unwrap();
    assert!(world.build().success);
}

/// Stores a newest Cargo home that holds these paths besides what it held.
fn plant(world: &World, paths: &[&str]) {
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().strip_suffix(".tar.zst").unwrap().to_owned();
    let is_home = |path: &PathBuf| path.to_string_lossy().contains(".cargo-home-");
    let path = files(&world.store()).into_iter().find(is_home).unwrap();
    let mut manifest: Manifest = Pack::open(&DirStore::new(world.store()), &name(&path)).unwrap().index.manifest;
    let source = world.dir.join("planted");
    fs::write(&source, "evil").unwrap();
    manifest.files.clear();
    let at = Location { pack: 0, frame: 0, offset: 0 };
    for path in paths {
        let content = Content::File { size: 4, mode: 0o755, sha256: Digest::of(b"evil"), at, patch: None };
        manifest.files.push(FileEntry {
            root: 0,
            path: (*path).to_owned(),
            mtime: Moment::from_nanos(1),
            unit: None,
            content,
        });
    }
    let link = Content::Symlink { to: "/etc".to_owned() };
    let entry = FileEntry {
        root: 0,
        path: "registry/cache/link".into(),
        mtime: Moment::from_nanos(1),
        unit: None,
        content: link,
    };
    manifest.files.push(entry);
    let sources = (0..paths.len()).map(|file| Source { file, path: source.clone(), written: None }).collect();
    let mut out = Vec::new();
    let written = pack::write(&mut out, manifest, sources).unwrap();
    fs::write(&path, [out, written.tail].concat()).unwrap();
}

#[test]
fn a_pack_brings_nothing_that_a_save_would_not_store() {
    let world = world(false);
    fresh_home(&world);
    world.first_run();
    let evil = [
        "config.toml",
        "config",
        "credentials.toml",
        "env",
        "bin/git",
        "registry/src/index/itoa-1.0.0/build.rs",
        "git/checkouts/dep/abc/build.rs",
        "registry/index2/x",
        "registry/index/index.crates.io-x/.git/hooks/reference-transaction",
        "registry/index/index.crates.io-x/.git/objects/info/alternates",
        "registry/index/index.crates.io-x/build.rs",
        "registry/cache/index/itoa-1.0.0/src/lib.rs",
        "git/db/dep-0123/hooks/post-checkout",
        "git/db/dep-0123/commondir",
        "git/db/dep-0123/objects/info/alternates",
        // Refused for what it says.
        "registry/index/index.crates.io-x/.git/config",
        // No lock file of the job names these: nothing can be compared with what they hold.
        "registry/cache/index.crates.io-x/cfg-if-0.0.1.crate",
        "git/db/dep-0123/config",
        "git/db/dep-0123/packed-refs",
    ];
    let fine = "registry/index/index.crates.io-x/.cache/it/oa/planted";
    plant(&world, &[&evil[..], &[fine]].concat());
    fresh_home(&world);
    world.wipe_and_clone();
    let log = world.restore();
    let there: BTreeSet<String> = files(&home(&world))
        .iter()
        .map(|path| path.strip_prefix(home(&world)).unwrap().to_str().unwrap().to_owned())
        .collect();
    for path in evil {
        assert!(!there.contains(path), "`{path}`: {there:?}");
    }
    assert!(there.contains(fine), "{there:?}");
    assert!(!home(&world).join("registry/cache/link").is_symlink());
    let warnings: Vec<&str> = log.lines().filter(|line| line.starts_with("warning:")).collect();
    assert_eq!(warnings.len(), 2, "one for the paths, one for what a file says: {log}");
    assert!(world.build().success);
}
