//! Packs: ordinary archives, only what changed, nothing secret, and no harm from damaged or hostile ones.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use filetime::FileTime;
use rekindle::digest::Digest;
use rekindle::machine::disk;
use rekindle::moment::Moment;
use rekindle::pack::{self, Pack, Source, Staged};
use rekindle::state::key::{FORMAT, HardParts, KeyParts, NameParts, SoftParts};
use rekindle::state::manifest::{Content, FileEntry, Location, Manifest, Parent, Root};
use rekindle::store::{DirStore, Sending, Store};

use crate::support::{World, full, restored_time, write};

const SUB_2: &str = "pub fn sub() -> &'static str { \"sub-2\" }\n";

/// A world without tests and examples, where a change is small beside the whole.
fn small_changes() -> World {
    let mut world = World::scenario();
    world.command = vec!["build".into(), "--workspace".into()];
    world.first_run();
    world
}

/// Entries of a pack, as the ordinary tools list them.
fn listing(pack: &Path, verbose: bool) -> Vec<String> {
    let mut zstd = Command::new("zstd").args(["-dc"]).arg(pack).stdout(Stdio::piped()).spawn().unwrap();
    let flags = if verbose { "tvf" } else { "tf" };
    let tar = Command::new("tar").args([flags, "-"]).stdin(zstd.stdout.take().unwrap()).output().unwrap();
    assert!(zstd.wait().unwrap().success() && tar.status.success(), "{}", String::from_utf8_lossy(&tar.stderr));
    String::from_utf8(tar.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn open(pack: &Path, check: impl FnOnce(&Pack<'_>)) {
    let store = DirStore::new(pack.parent().unwrap().to_path_buf());
    let key = pack.file_name().unwrap().to_str().unwrap().strip_suffix(".tar.zst").unwrap();
    check(&Pack::open(&store, key).unwrap());
}

fn snapshot(dir: &Path, base: &Path, into: &mut BTreeMap<String, (u64, FileTime)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            snapshot(&path, base, into);
        } else {
            let meta = fs::symlink_metadata(&path).unwrap();
            let name = path.strip_prefix(base).unwrap().to_str().unwrap().to_owned();
            into.insert(name, (meta.len(), FileTime::from_last_modification_time(&meta)));
        }
    }
}

#[test]
fn a_pack_is_an_ordinary_archive_with_exact_times_and_links() {
    let world = World::scenario();
    world.first_run();
    let pack = world.packs().remove(0);
    let lines = listing(&pack, true);
    assert!(lines.iter().any(|line| line.contains("target/debug/.fingerprint/a-")), "{lines:?}");
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with('h') && line.contains(" link to ") && line.contains("build-script-build")),
        "{lines:?}"
    );

    let out = world.dir.join("unpacked");
    fs::create_dir_all(&out).unwrap();
    let unpack = format!("zstd -dc '{}' | tar x -C '{}'", pack.display(), out.display());
    assert!(Command::new("sh").args(["-c", &unpack]).status().unwrap().success());
    let mut unpacked = BTreeMap::new();
    snapshot(&out.join("target"), &out.join("target"), &mut unpacked);
    for (path, (size, time)) in &unpacked {
        let original = world.target().join(path);
        assert_eq!(
            (fs::symlink_metadata(&original).unwrap().len(), restored_time(&original)),
            (*size, *time),
            "{path}"
        );
    }
    let dropped = |path: &str| {
        path.ends_with(".d") || path.contains("/incremental/") || path == "debug/app" || path.contains(".cargo-lock")
    };
    assert!(
        !unpacked.keys().any(|path| dropped(path)),
        "{:?}",
        unpacked.keys().filter(|path| dropped(path)).collect::<Vec<_>>()
    );
    assert!(unpacked.keys().any(|path| path.starts_with("debug/deps/app-")));
}

#[test]
fn a_delta_stores_exactly_the_files_that_changed() {
    let mut world = small_changes();
    world.change(&[("work/a/src/sub.rs", SUB_2)]);
    world.wipe_and_clone();
    world.restore();
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    snapshot(&world.target(), &world.target(), &mut before);
    world.build();
    snapshot(&world.target(), &world.target(), &mut after);
    world.save();
    let kept = |path: &&String| {
        ["/.fingerprint/", "/deps/", "/build/", "/examples/"].iter().any(|part| path.contains(part))
            && !path.ends_with(".d")
    };
    let whole = |path: String| path.strip_suffix(".patch").unwrap_or(&path).to_owned();
    let is_uplift = |path: &str| path == "debug/examples/demo";
    let changed =
        after.iter().filter(|(path, seen)| before.get(*path) != Some(*seen)).map(|(path, _)| path).filter(kept);
    let expected: BTreeSet<String> =
        changed.filter(|path| !is_uplift(path)).map(|path| format!("target/{path}")).collect();
    let stored: BTreeSet<String> =
        listing(&world.packs()[1], false).into_iter().filter(|path| !path.ends_with('/')).map(whole).collect();
    assert_eq!(stored, expected);
    assert!(world.warm_run().compiled.is_empty());
}

#[test]
fn deltas_give_way_to_a_new_base_and_every_state_is_warm() {
    let mut world = small_changes();
    world.stores_whole = true;
    let mut bases = 0;
    for round in 0..8 {
        let (path, text) = match round % 3 {
            0 => ("work/c/assets/p.txt", format!("p-{round}\n")),
            1 => ("work/b/notes/x.txt", format!("x-{round}\n")),
            _ => ("work/a/data.txt", format!("data-{round}\n")),
        };
        world.change(&[(path, &text)]);
        world.warm_run();
        let log = world.save();
        bases += usize::from(log.contains("everything, because"));
        assert!(world.warm_run().compiled.is_empty(), "round {round}\n{log}");
        assert!(world.output().contains(text.trim()), "{}", world.output());
    }
    assert!((1..4).contains(&bases), "{bases} new bases in eight rounds");
}

#[test]
fn secrets_are_in_no_byte_of_a_pack_and_cost_only_what_holds_them() {
    let secret = "hunter2-hunter2-hunter2";
    let mut world = World::scenario();
    world.env.insert("DEPLOY_TOKEN".into(), secret.into());
    let script = "fn main() { println!(\"cargo:rerun-if-env-changed=DEPLOY_TOKEN\"); }\n";
    let baked =
        "fn main() { println!(\"cargo:rustc-env=BAKED={}\", std::env::var(\"DEPLOY_TOKEN\").unwrap_or_default()); }\n";
    let c = "[package]\nname = \"c\"\nversion = \"0.1.0\"\nedition = \"2021\"\nbuild = \"build.rs\"\n";
    world.change(&[
        ("work/c/Cargo.toml", c),
        ("work/c/build.rs", script),
        ("work/c/src/lib.rs", "pub fn text() -> String { \"c\".into() }\n"),
        ("work/b/build.rs", baked),
        ("work/b/src/lib.rs", "pub fn text() -> String { format!(\"{}\", env!(\"BAKED\").len()) }\n"),
    ]);
    world.wipe_and_clone();
    world.restore();
    world.build();
    let log = world.save();
    assert!(log.contains("holds a secret") && log.contains("b (build script's run)"), "{log}");
    assert!(!log.contains(secret), "{log}");

    for file in fs::read_dir(world.store()).unwrap().map(|entry| entry.unwrap().path()) {
        let raw = Command::new("zstd").arg("-dc").arg(&file).output().unwrap().stdout;
        assert!(!raw.windows(secret.len()).any(|window| window == secret.as_bytes()), "{}", file.display());
        open(&file, |pack| {
            let json = serde_json::to_string(&pack.index).unwrap();
            assert!(!json.contains(secret));
        });
    }
    let state = fs::read_to_string(world.dir.join("state.json")).unwrap();
    assert!(!state.contains(secret));

    let compiled = world.warm_run().compiled;
    let rebuilt: BTreeSet<&str> = compiled.iter().map(|unit| unit.split(' ').next().unwrap()).collect();
    assert_eq!(rebuilt, BTreeSet::from(["app", "b"]), "{compiled:?}");
}

#[test]
fn a_cut_pack_is_a_cold_start_and_an_older_one_is_used_instead() {
    let mut world = World::scenario();
    world.first_run();
    world.change(&[("work/a/src/sub.rs", SUB_2)]);
    world.warm_run();
    world.save();
    let newest = world.packs().pop().unwrap();
    let bytes = fs::read(&newest).unwrap();
    fs::write(&newest, &bytes[..bytes.len() / 2]).unwrap();
    touch_newest(&newest);
    world.wipe_and_clone();
    let log = world.restore();
    assert!(log.contains("warning: a stored state is passed over") && log.contains("restored"), "{log}");
    assert!(world.build().compiled.contains("a 0.1.0 lib a"));
    assert!(world.output().contains("sub-2"));
}

fn touch_newest(path: &Path) {
    let later = FileTime::from_unix_time(FileTime::now().unix_seconds() + 1, 0);
    filetime::set_file_mtime(path, later).unwrap();
}

#[test]
fn flipped_bytes_cost_units_and_never_the_job_or_the_truth() {
    let world = World::scenario();
    world.first_run();
    let pack = world.packs().remove(0);
    let good = fs::read(&pack).unwrap();
    let expected = world.output();
    let rounds = if full() { 200 } else { 6 };
    for round in 0..rounds {
        let mut bad = good.clone();
        // Spread over the file, the index at the end included, always the same places.
        let at = (round * 2_654_435_761_usize + good.len() / 3) % good.len();
        bad[at] ^= 0x55;
        fs::write(&pack, &bad).unwrap();
        world.wipe_and_clone();
        let log = world.restore();
        assert!(log.contains("warning:") || log.contains("0 new, changed or gone"), "byte {at}: {log}");
        assert!(world.build().success, "byte {at}");
        assert_eq!(world.output(), expected, "byte {at}");
    }
}

#[test]
fn a_missing_parent_drops_whole_units_and_the_next_save_mends_it() {
    let mut world = small_changes();
    world.change(&[("work/a/src/sub.rs", SUB_2)]);
    world.warm_run();
    world.save();
    let packs = world.packs();
    fs::remove_file(&packs[0]).unwrap();
    world.wipe_and_clone();
    let log = world.restore();
    assert!(log.contains("a pack that the state is made of is missing"), "{log}");
    let compiled = world.build().compiled;
    assert!(compiled.contains("b 0.1.0 lib b"), "{compiled:?}");
    assert!(world.output().contains("sub-2"));
    let log = world.save();
    assert!(log.contains("missing, damaged or was never stored"), "{log}");
    assert!(world.warm_run().compiled.is_empty());
}

#[test]
fn a_parent_with_other_bytes_under_the_same_key_counts_as_missing() {
    let mut world = small_changes();
    world.change(&[("work/a/src/sub.rs", SUB_2)]);
    world.warm_run();
    world.save();
    let packs = world.packs();
    let (base_time, delta_time) = (restored_time(&packs[0]), restored_time(&packs[1]));
    // Another machine's base of the same name: whole, readable, and not the one that the delta was made on.
    let delta = fs::read(&packs[1]).unwrap();
    fs::remove_file(&packs[1]).unwrap();
    let key = packs[0].file_name().unwrap().to_str().unwrap().strip_suffix(".tar.zst").unwrap().to_owned();
    let store = DirStore::new(world.store());
    let mut manifest = Pack::open(&store, &key).unwrap().index.manifest;
    manifest.history.clear();
    manifest.files.clear();
    manifest.units.clear();
    let mut out = Vec::new();
    let written = pack::write(&mut out, manifest, Vec::new()).unwrap();
    fs::write(&packs[0], [out, written.tail].concat()).unwrap();
    fs::write(&packs[1], delta).unwrap();
    filetime::set_file_mtime(&packs[0], base_time).unwrap();
    filetime::set_file_mtime(&packs[1], delta_time).unwrap();
    world.wipe_and_clone();
    let log = world.restore();
    assert!(log.contains("holds other bytes than the ones it was built on"), "{log}");
    world.build();
    assert!(world.output().contains("sub-2"));
}

#[test]
fn a_pack_of_a_newer_format_is_passed_over() {
    let world = World::scenario();
    world.first_run();
    let path = world.packs().remove(0);
    let key = path.file_name().unwrap().to_str().unwrap().strip_suffix(".tar.zst").unwrap().to_owned();
    let mut manifest = Pack::open(&DirStore::new(world.store()), &key).unwrap().index.manifest;
    manifest.format = FORMAT + 1;
    manifest.files.clear();
    let mut out = Vec::new();
    let written = pack::write(&mut out, manifest, Vec::new()).unwrap();
    fs::write(&path, [out, written.tail].concat()).unwrap();
    world.wipe_and_clone();
    let log = world.restore();
    assert!(log.contains("is newer than the one of this Rekindle") && log.contains("cold start"), "{log}");
    world.build();
}

/// A pack with one file of this path, and whatever else a test adds.
fn hostile(dir: &Path, change: impl FnOnce(&mut Manifest)) -> (DirStore, String) {
    hostile_with(dir, |manifest, _| change(manifest))
}

fn hostile_with(dir: &Path, change: impl FnOnce(&mut Manifest, &mut Vec<pack::FrameInfo>)) -> (DirStore, String) {
    let source = dir.join("source");
    fs::write(&source, "evil").unwrap();
    let content = Content::File {
        size: 4,
        mode: 0o644,
        sha256: Digest::of(b"evil"),
        at: Location { pack: 0, frame: 0, offset: 0 },
        patch: None,
    };
    let file = FileEntry { root: 0, path: "file".into(), mtime: Moment::from_nanos(1), unit: None, content };
    let parts = KeyParts { name: NameParts::default(), hard: HardParts::default(), soft: SoftParts::default() };
    let roots = vec![Root { label: "target".into(), path: "/nowhere".into() }];
    let manifest = Manifest { key: "k".into(), files: vec![file], ..Manifest::blank(parts, roots) };
    let mut out = Vec::new();
    let written = pack::write(&mut out, manifest, vec![Source { file: 0, path: source, written: None }]).unwrap();
    let mut manifest = written.index.manifest;
    let mut infos = written.index.frames;
    // The frame stays as it is; only what is said about it changes.
    let frames = out[..usize::try_from(infos[0].len).unwrap()].to_vec();
    change(&mut manifest, &mut infos);
    let forged = pack::forge(&frames, &infos, manifest);
    let store = DirStore::new(dir.join("store"));
    store.begin("k", dir, Sending::WhenComplete).unwrap().finish(&forged).unwrap();
    (store, "k".to_owned())
}

pub(crate) fn unpack(dir: &Path, change: impl FnOnce(&mut Manifest)) -> pack::Unpacked {
    let (store, key) = hostile(dir, change);
    let pack = Pack::open(&store, &key).unwrap();
    let manifest = pack.index.manifest.clone();
    let staged = Staged::beside(&[dir.join("root")]).unwrap();
    let mut unpacked = staged.unpack(&manifest, &[Some(pack)], Duration::ZERO, &|_| false);
    unpacked.failed.extend(staged.move_in(&manifest, &[], |_| {}));
    unpacked
}

#[test]
fn what_would_take_more_than_it_can_be_worth_is_refused_before_it_does() {
    let refusal = |change: &dyn Fn(&mut Manifest, &mut Vec<pack::FrameInfo>)| {
        let dir = tempfile::tempdir().unwrap();
        let (store, key) = hostile_with(dir.path(), change);
        format!("{:#}", Pack::open(&store, &key).unwrap_err())
    };
    let parent = |at: usize| Parent { key: format!("k{at}"), sha256: Digest::of(b""), bytes: 0 };
    let many = refusal(&|manifest, _| manifest.parents = (0..1_000).map(parent).collect());
    assert!(many.contains("1000 packs are more than there can be"), "{many}");
    let wide = refusal(&|_, frames| frames[0].raw = 3 << 30);
    assert!(wide.contains("its frames unpack to more than a target folder has"), "{wide}");
    let folded = refusal(&|_, frames| *frames = vec![frames[0].clone(); 1_000]);
    assert!(folded.contains("the frames of `k` lie in one another"), "{folded}");
    let huge = refusal(&|manifest, _| {
        if let Content::File { size, .. } = &mut manifest.files[0].content {
            *size = 1 << 62;
        }
    });
    assert!(huge.contains("are more than a file has"), "{huge}");
    let deep = refusal(&|manifest, _| manifest.files[0].path = "d/".repeat(3_000) + "file");
    assert!(deep.contains("a path in it is 3001 folders deep"), "{deep}");
    for key in ["../../victim", "", &"k".repeat(100_000)] {
        let named = refusal(&|manifest, _| manifest.parents = vec![Parent { key: key.to_owned(), ..parent(0) }]);
        assert!(named.contains("which is not the name of an entry") && named.len() < 300, "{named}");
    }
}

/// Something in its place, and it alone is missing: those that lie beside it in the pack are there.
#[test]
fn a_file_that_cannot_be_made_costs_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let unpacked = unpack(dir.path(), |manifest| {
        let half = |path: &str, more: u64| {
            let mut half = FileEntry { path: path.into(), ..manifest.files[0].clone() };
            if let Content::File { size, at, .. } = &mut half.content {
                (*size, at.offset) = (2, at.offset + more);
            }
            half
        };
        let folder =
            FileEntry { path: "x/z".into(), content: Content::Folder { mode: 0o755 }, ..manifest.files[0].clone() };
        manifest.files = vec![half("x", 0), half("y", 2), folder];
    });
    assert_eq!(unpacked.failed.keys().copied().collect::<Vec<_>>(), [0], "{:?}", unpacked.failed);
    assert_eq!(fs::read_to_string(dir.path().join("root/y")).unwrap(), "il");
}

/// Nothing is fetched or decoded for them.
#[test]
fn files_that_claim_the_same_bytes_all_fail() {
    let dir = tempfile::tempdir().unwrap();
    let unpacked = unpack(dir.path(), |manifest| {
        let first = manifest.files[0].clone();
        manifest.files = (0..3_000).map(|at| FileEntry { path: format!("z{at}"), ..first.clone() }).collect();
    });
    assert_eq!(unpacked.failed.len(), 3_000);
    assert!(
        unpacked.failed.values().all(|reason| reason.contains("claim the same bytes")),
        "{:?}",
        unpacked.failed[&0]
    );
    assert_eq!(fs::read_dir(dir.path().join("root")).map_or(0, Iterator::count), 0);
}

#[test]
fn very_many_equal_files_and_links_make_a_pack_that_is_accepted() {
    // More tightly packed than is believed of a stranger: the writer pads it.
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("empty");
    fs::write(&source, "").unwrap();
    let nowhere = Location { pack: 0, frame: 0, offset: 0 };
    let file = |at: usize| {
        let content = if at.is_multiple_of(2) {
            Content::File { size: 0, mode: 0o644, sha256: Digest::of(b""), at: nowhere, patch: None }
        } else {
            Content::Symlink { to: "x/".repeat(1_500) }
        };
        let path = format!("debug/build/a/out/{}/{at:06}", "deep/".repeat(40));
        FileEntry { root: 0, path, mtime: Moment::from_nanos(1_700_000_000_000_000_000), unit: None, content }
    };
    let parts = KeyParts { name: NameParts::default(), hard: HardParts::default(), soft: SoftParts::default() };
    let roots = vec![Root { label: "target".into(), path: "/nowhere".into() }];
    let files: Vec<FileEntry> = (0..60_000).map(file).collect();
    let sources = (0..files.len()).map(|file| Source { file, path: source.clone(), written: None }).collect();
    let manifest = Manifest { key: "k".into(), files, ..Manifest::blank(parts, roots) };
    let mut out = Vec::new();
    let written = pack::write(&mut out, manifest, sources).unwrap();
    let store = DirStore::new(dir.path().join("store"));
    let mut draft = store.begin("k", dir.path(), Sending::AsTheyCome).unwrap();
    draft.write_all(&out).unwrap();
    draft.finish(&written.tail).unwrap();
    assert_eq!(Pack::open(&store, "k").unwrap().index.manifest.files.len(), 60_000);
}

#[test]
fn no_path_leads_out_of_its_root() {
    for path in ["../evil", "/tmp/evil", "a/../../evil", "a//b", "./a", "", "..", "a\\..\\b", "a\0b"] {
        let dir = tempfile::tempdir().unwrap();
        let unpacked = unpack(dir.path(), |manifest| manifest.files[0].path = path.to_owned());
        assert_eq!(unpacked.failed.len(), 1, "{path:?}");
        let below: Vec<PathBuf> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!below.iter().any(|path| path.ends_with("evil")), "{below:?}");
    }
}

#[test]
fn nothing_is_written_through_a_symlink() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = dir.path().join("elsewhere");
    fs::create_dir_all(&elsewhere).unwrap();
    fs::create_dir_all(dir.path().join("root")).unwrap();
    disk::symlink(&elsewhere, &dir.path().join("root/link")).unwrap();
    let unpacked = unpack(dir.path(), |manifest| manifest.files[0].path = "link/file".to_owned());
    assert!(unpacked.failed[&0].contains("is in the way"), "{:?}", unpacked.failed);
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);

    // A symlink under the file's own name is replaced, not followed.
    let dir = tempfile::tempdir().unwrap();
    let victim = dir.path().join("victim");
    fs::write(&victim, "mine").unwrap();
    fs::create_dir_all(dir.path().join("root")).unwrap();
    disk::symlink(&victim, &dir.path().join("root/file")).unwrap();
    assert!(unpack(dir.path(), |_| {}).failed.is_empty());
    assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
    assert_eq!(fs::read_to_string(dir.path().join("root/file")).unwrap(), "evil");
}

#[test]
fn sizes_and_places_that_are_not_there_fail_one_file() {
    let at = |manifest: &mut Manifest, new_size: u64, offset: u64, frame: usize| {
        if let Content::File { size, at, .. } = &mut manifest.files[0].content {
            (*size, at.offset, at.frame) = (new_size, offset, frame);
        }
    };
    for (size, offset, frame) in [(1 << 40, 1024, 0), (4, u64::MAX, 0), (4, 1 << 30, 0), (4, 0, 99)] {
        let dir = tempfile::tempdir().unwrap();
        let unpacked = unpack(dir.path(), |manifest| at(manifest, size, offset, frame));
        assert_eq!(unpacked.failed.len(), 1, "{size} {offset} {frame}");
        assert!(!dir.path().join("root/file").exists());
    }
}

#[test]
fn what_a_sibling_lent_has_to_be_what_was_borrowed() {
    let borrowed = |bytes: &[u8]| {
        let dir = tempfile::tempdir().unwrap();
        let unpacked = unpack(dir.path(), |manifest| {
            // Another lineage than the one of the pack.
            manifest.key = "rekindle.3.job-01.hard.soft.lineage.state".into();
            if let Content::File { sha256, .. } = &mut manifest.files[0].content {
                *sha256 = Digest::of(bytes);
            }
        });
        (unpacked.failed.into_values().next(), dir.path().join("root/file").exists())
    };
    assert_eq!(borrowed(b"evil"), (None, true));
    let (reason, is_there) = borrowed(b"good");
    assert!(reason.is_some_and(|reason| reason.contains("other bytes than the ones that were borrowed")) && !is_there);
}

#[test]
fn files_larger_than_a_frame_and_empty_ones_come_back_whole() {
    let world = World::scenario();
    world.wipe_and_clone();
    world.restore();
    world.build();
    let block = |number: u32| [number.to_le_bytes().to_vec(), vec![number.to_le_bytes()[0]; 1_000_000]].concat();
    let big: Vec<u8> = (0..300).flat_map(block).collect();
    fs::create_dir_all(world.target().join("debug/plugins")).unwrap();
    fs::write(world.target().join("debug/plugins/big"), &big).unwrap();
    write(&world.target().join("debug/plugins/empty"), "");
    world.save();
    world.wipe_and_clone();
    world.restore();
    assert!(fs::read(world.target().join("debug/plugins/big")).unwrap() == big);
    assert_eq!(fs::read(world.target().join("debug/plugins/empty")).unwrap(), b"");
    let pack = world.packs().remove(0);
    assert!(listing(&pack, false).contains(&"target/debug/plugins/big".to_owned()));
}

#[test]
fn a_kill_at_any_moment_leaves_a_machine_that_builds_the_truth() {
    let mut world = World::scenario();
    world.first_run();
    world.change(&[("work/a/src/sub.rs", SUB_2)]);
    let expected = world.cold_output();
    let rounds = if full() { 100_u64 } else { 4 };
    for round in 0..rounds {
        world.wipe_and_clone();
        let phase = if round % 2 == 0 { "restore" } else { "save" };
        if phase == "save" {
            world.restore();
            world.build();
        }
        world.kill_during(phase, Duration::from_millis(10 + (round * 37) % 180));
        world.restore();
        assert!(world.build().success);
        assert_eq!(world.output(), expected, "round {round}");
    }
}

#[cfg(unix)]
#[test]
fn names_of_any_bytes_come_back_where_the_system_has_them() {
    use std::os::unix::ffi::OsStrExt;
    for bytes in [b"back\\slash".as_slice(), b"n\xFFt text", b"dir\xFE/in\\side"] {
        let dir = tempfile::tempdir().unwrap();
        let name = Path::new(std::ffi::OsStr::from_bytes(bytes));
        let unpacked = unpack(dir.path(), |manifest| manifest.files[0].path = rekindle::machine::paths::text(name));
        assert!(unpacked.failed.is_empty(), "{name:?}: {:?}", unpacked.failed);
        assert_eq!(fs::read(dir.path().join("root").join(name)).unwrap(), b"evil");
    }
    // A name whose bytes spell a way out.
    let dots: String = "..".bytes().filter_map(|byte| char::from_u32(0x10_FF00 + u32::from(byte))).collect();
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(unpack(dir.path(), |manifest| manifest.files[0].path = format!("{dots}/evil")).failed.len(), 1);
}
