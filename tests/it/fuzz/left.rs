//! What Cargo and Rekindle left: fingerprints, dep-info, the state of a job, the manifest in a target folder, git's index, packs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use rekindle::cargo::{depinfo, fingerprint::Fingerprint};
use rekindle::digest::Digest;
use rekindle::git::{GitIndex, Repository};
use rekindle::job::handover::{LocalManifest, State};
use rekindle::pack::{Late, Pack, Staged};
use rekindle::shim::late::LateList;
use rekindle::store::{Access, DirStore, Draft, Entry, Sending, Store, Stored};
use sha1::Digest as _;

use super::Reader;
use crate::support::runner::{files_below, project};
use crate::support::{World, words, write};

/// One job with its save, and a second one that has begun.
fn world() -> World {
    let mut world = World::in_memory("", |_| project(&[]));
    world.command = words("build");
    world.first_run();
    world.wipe_and_clone();
    world.restore();
    world
}

fn of_target(world: &World, fits: &dyn Fn(&str) -> bool) -> Vec<Vec<u8>> {
    let mut files = files_below(&world.target().join("debug/.fingerprint"));
    files.retain(|path| fits(path.file_name().unwrap().to_str().unwrap()));
    files.sort();
    files.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

#[test]
fn what_lies_on_the_disk() {
    let world = world();
    let seeds = of_target(&world, &|name| name.ends_with(".json"));
    let words = ["deps", "local", "RerunIfChanged", "CheckDepInfo", "dep_info", "paths", "[]"];
    Reader { name: "fingerprint", seeds, words: &words, executions: 1500 }.feed(&|input| {
        if let Some(print) = Fingerprint::parse(input) {
            let _ = (print.path(), print.dependency_hashes(), print.fields(), print.locals());
        }
        Ok(())
    });
    let seeds = of_target(&world, &|name| name.starts_with("dep-"));
    Reader { name: "dep-info", seeds, words: &["\u{1}\u{0}\u{0}\u{0}"], executions: 2000 }.feed(&|input| {
        let files = depinfo::parse(input).map_or(0, |info| info.files.len() + info.env.len());
        if files <= input.len() { Ok(()) } else { Err(format!("{files} entries from {} bytes", input.len())) }
    });

    let words = ["format", "restored", "manifest", "units", "files", "inputs", "../x", "packs"];
    let path = world.dir.join("fuzzed.json");
    let seeds = vec![fs::read(world.dir.join("state.json")).unwrap()];
    Reader { name: "state", seeds, words: &words, executions: 150 }.feed(&|input| {
        fs::write(&path, input).unwrap();
        let _ = State::load(&path);
        let _ = LateList::load(&path);
        Ok(())
    });
    let target = world.dir.join("fuzzed-target");
    let seeds = vec![fs::read(LocalManifest::path(&world.target())).unwrap()];
    Reader { name: "manifest", seeds, words: &words, executions: 150 }.feed(&|input| {
        write(&LocalManifest::path(&target), "");
        fs::write(LocalManifest::path(&target), input).unwrap();
        let _ = LocalManifest::read(&target);
        Ok(())
    });

    let repository = Repository::discover(&world.work()).unwrap();
    let index = repository.git_dir.join("index");
    let seeds = vec![fs::read(&index).unwrap()];
    Reader { name: "git-index", seeds, words: &["TREE", "DIRC", "link"], executions: 500 }.feed(&|input| {
        let mut bytes = input.to_vec();
        // The sum is right, so that what is behind it is looked at.
        if bytes.len() > 20 {
            let body = bytes.len() - 20;
            let sum = sha1::Sha1::digest(&bytes[..body]);
            bytes[body..].copy_from_slice(&sum);
        }
        fs::write(&index, &bytes).unwrap();
        let _ = GitIndex::lock(&repository);
        if repository.git_dir.join("index.lock").exists() { Err("left its lock".to_owned()) } else { Ok(()) }
    });
}

/// One entry, in memory.
#[derive(Debug)]
struct One(Vec<u8>);

impl Store for One {
    fn access(&self) -> Access {
        Access::FULL
    }

    fn find(&self, _: &str) -> Result<Vec<Entry>> {
        Ok(Vec::new())
    }

    fn size(&self, _: &str) -> Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn read(&self, _: &str, offset: u64, len: u64) -> Result<Vec<u8>> {
        let end = offset.checked_add(len);
        ensure!(end.is_some_and(|end| end <= self.0.len() as u64), "it ends early");
        Ok(self.0[usize::try_from(offset)?..usize::try_from(offset + len)?].to_vec())
    }

    fn begin<'a>(&'a self, _: &str, _: &Path, _: Sending) -> Result<Box<dyn Draft + 'a>> {
        bail!("nothing is stored here")
    }

    fn list(&self) -> Result<Vec<Stored>> {
        bail!("nothing is listed here")
    }

    fn remove(&self, _: &Stored) -> Result<()> {
        bail!("nothing is removed here")
    }

    fn describe(&self) -> String {
        "memory".to_owned()
    }
}

/// Opens a pack, unpacks all of it, and moves it in. Nothing may lie anywhere else afterwards.
fn unpack(bytes: Vec<u8>, top: &Path) -> Result<(), String> {
    let _ = fs::remove_dir_all(top);
    let store = One(bytes);
    let Ok(pack) = Pack::open(&store, "one") else { return Ok(()) };
    let manifest = pack.index.manifest.clone();
    let roots: Vec<PathBuf> = (0..manifest.roots.len()).map(|root| top.join(format!("inner/root-{root}"))).collect();
    if roots.len() > 8 {
        return Ok(());
    }
    let Ok(staged) = Staged::beside(&roots) else { return Ok(()) };
    let packs = [Some(pack)];
    let _ = staged.unpack(&manifest, &packs, Duration::ZERO, &|_| false);
    let _ = staged.move_in(&manifest, &vec![Late::new(); roots.len()], |_| {});
    for dir in [top.to_path_buf(), top.join("inner")] {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let name = entry.file_name().into_string().unwrap_or_default();
            if name != "inner" && !name.starts_with("root-") {
                return Err(format!("wrote `{}`", entry.path().display()));
            }
        }
    }
    if Path::new("/escaped").exists() { Err("wrote `/escaped`".to_owned()) } else { Ok(()) }
}

fn skippable(body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).unwrap();
    [&0x184D_2A5A_u32.to_le_bytes(), &len.to_le_bytes(), body].concat()
}

/// A pack whose index says just this, as somebody who can write into a store would make it.
fn sealed(frames: &[u8], index: &[u8]) -> Vec<u8> {
    let body = zstd::encode_all(index, 1).unwrap();
    let (at, len) = ((frames.len() as u64 + 8).to_le_bytes(), (body.len() as u64).to_le_bytes());
    let trailer = [b"REKINDLE".as_slice(), &at, &len, Digest::of(&body).bytes()].concat();
    [frames, &skippable(&body), &skippable(&trailer)].concat()
}

#[test]
fn packs_and_their_indexes() {
    let world = world();
    let path = world.packs().remove(0);
    let pack = fs::read(&path).unwrap();
    let store = DirStore::new(world.store());
    let key = path.file_name().unwrap().to_str().unwrap().strip_suffix(".tar.zst").unwrap();
    let opened = Pack::open(&store, key).unwrap();
    let index = serde_json::to_vec(&opened.index).unwrap();
    let end = opened.index.frames.iter().map(|frame| frame.offset + frame.len).max().unwrap();
    let frames = &pack[..usize::try_from(end).unwrap()];
    let top = world.dir.join("fuzzed");

    // Bytes of the frames and of the index itself, which a digest guards.
    Reader { name: "pack", seeds: vec![pack.clone()], words: &["REKINDLE"], executions: 200 }
        .feed(&|input| unpack(input.to_vec(), &top));
    // What the index says, with a digest that fits.
    let words = [
        "frames",
        "offset",
        "raw",
        "len",
        "path",
        "../escaped",
        "/escaped",
        "a/../../escaped",
        "root",
        "unit",
        "deps",
        "symlink",
        "File",
    ];
    Reader { name: "index", seeds: vec![index], words: &words, executions: 200 }
        .feed(&|input| unpack(sealed(frames, input), &top));
    // What the archive in the frames says.
    let archive: Vec<u8> = zstd::decode_all(frames).unwrap();
    let archive = archive[..archive.len().min(200_000)].to_vec();
    Reader { name: "frames", seeds: vec![archive], words: &["ustar", "../escaped"], executions: 150 }.feed(&|input| {
        let frames = zstd::encode_all(input, 1).unwrap();
        let mut index = serde_json::to_value(&opened.index).unwrap();
        index["frames"] = serde_json::json!([{
            "offset": 0, "len": frames.len(), "raw": input.len(), "sha256": Digest::of(&frames).to_string(),
        }]);
        unpack(sealed(&frames, &serde_json::to_vec(&index).unwrap()), &top)
    });
}
