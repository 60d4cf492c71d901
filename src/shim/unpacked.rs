//! Sources that a frontend unpacked from an sdist for one build: `python -m build` and `uv build` make the wheel from such a
//! copy, in a temporary folder of another name each time, where everything would be compiled anew.
//!
//! The copy gets a target folder that stays, named after the project. Every file of an sdist has the same time whatever is in
//! it, so the copy's own times mean nothing. `made_from` knows what the folder was built from last: where nothing differs all files
//! get their times again, and where anything does, whatever can have been built from it gets a new one. How it can be wrong: a copy that no
//! line of the table names keeps its own folder and is compiled.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::made_from::MadeFrom;
use crate::digest::{Digest, FieldHasher};
use crate::machine::disk::{self, FileSystem, Found, Kind};
use crate::machine::{paths, process};
use crate::moment::Moment;
use crate::state::key::FORMAT;
use crate::unit::UNPACKED;

/// In each of them.
const MADE_FROM: &str = "made-from.json";

/// Where this job keeps the targets of unpacked sources.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StableTargets {
    pub format: u32,
    pub dir: PathBuf,
    /// Newer than everything restored.
    pub new_time: Moment,
}

impl StableTargets {
    pub fn inside(target: &Path, new_time: Moment) -> Self {
        Self { format: FORMAT, dir: target.join(UNPACKED), new_time }
    }

    pub fn load(path: &Path) -> Option<Self> {
        let targets: Self = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        (targets.format == FORMAT).then_some(targets)
    }

    pub fn store(&self, path: &Path) -> Result<()> {
        Ok(disk::write_atomically(path, &serde_json::to_vec(self)?)?)
    }

    pub fn of(&self, sources: &Unpacked) -> PathBuf {
        self.dir.join(&sources.project)
    }
}

/// An unpacked sdist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpacked {
    pub root: PathBuf,
    pub project: String,
}

impl Unpacked {
    /// The one that a folder lies in.
    pub fn around(place: &Path) -> Option<Self> {
        let root = place.ancestors().find(|dir| is_unpacked_into(dir.parent()) && dir.join("PKG-INFO").is_file())?;
        // A version has no `-`, and neither has the name before it.
        let (project, _) = root.file_name()?.to_str()?.rsplit_once('-')?;
        (!project.is_empty()).then(|| Self { root: root.to_path_buf(), project: project.to_owned() })
    }

    /// What it is, and no other folder that comes to be called so.
    fn identity(&self) -> Option<String> {
        process::identity(&self.root).map(|identity| format!("{} {identity:?}", paths::text(&self.root)))
    }
}

/// How frontends name the folder that they unpack into.
fn is_unpacked_into(dir: Option<&Path>) -> bool {
    let name =
        |dir: Option<&Path>| dir.and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or("").to_owned();
    let own = name(dir);
    let is_uvs = || name(dir.and_then(Path::parent)).starts_with("sdists-v") && own.starts_with(".tmp");
    own.starts_with("build-via-sdist-") || is_uvs()
}

/// What the sources of a copy came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Settled {
    /// This copy has its times already.
    Before,
    /// The packages of the copy, by name.
    Now(Vec<String>),
}

/// Gives the files of a copy the times that they have for `target`. Only one at a time may.
pub fn settle(sources: &Unpacked, target: &Path, new_time: Moment) -> Result<Settled> {
    fs::create_dir_all(target)?;
    let path = target.join(MADE_FROM);
    let last = MadeFrom::read(&path);
    let copy = sources.identity();
    ensure!(copy.is_some(), "it cannot be told from other folders");
    if last.as_ref().is_some_and(|last| last.copy == copy) {
        return Ok(Settled::Before);
    }
    let file_system = FileSystem::probe(target)?;
    ensure!(file_system.tick.as_secs() == 0, "times here are too coarse to tell two builds apart");
    let found = disk::walk(&sources.root, &|_| true)?;
    let contents = contents(&sources.root, &found)?;
    let times = MadeFrom::times(&path, &sources.root, &contents, file_system.now.max(new_time));
    let (unsettled, newest) = MadeFrom::of(None, &contents, &times);
    unsettled.write(&path, newest)?;
    // Folders last: nothing below them moves their times any more.
    for Found { path, meta } in found.iter().rev() {
        disk::set_mtime(path, meta.kind, times.get(&name(&sources.root, path)?).copied().unwrap_or(newest))?;
    }
    disk::set_mtime(&sources.root, Kind::Folder, newest)?;
    MadeFrom::of(copy, &contents, &times).0.write(&path, newest)?;
    Ok(Settled::Now(packages(&found)))
}

fn name(root: &Path, path: &Path) -> Result<String> {
    Ok(paths::text(path.strip_prefix(root)?))
}

/// Every file with its content and whether it can be run.
fn contents(root: &Path, found: &[Found]) -> Result<BTreeMap<String, Digest>> {
    let mut contents = BTreeMap::new();
    for Found { path, meta } in found {
        let mut hasher = FieldHasher::default();
        match meta.kind {
            Kind::Folder => hasher.field("folder"),
            Kind::Symlink => hasher.field("link").field(paths::text(&fs::read_link(path)?)),
            Kind::File => {
                refuse_settings(path)?;
                hasher.field(if meta.mode & 0o111 == 0 { "file" } else { "program" }).field(disk::digest(path)?.bytes())
            }
            Kind::Other => bail!("`{}` is neither a file nor a folder", path.display()),
        };
        contents.insert(name(root, path)?, hasher.finish());
    }
    Ok(contents)
}

/// Cargo's settings in the copy may name another target folder, or sources whose content Cargo does not look at.
fn refuse_settings(path: &Path) -> Result<()> {
    let names: Vec<_> = path.iter().rev().take(2).filter_map(|name| name.to_str()).collect();
    if matches!(names.as_slice(), ["config" | "config.toml", ".cargo"]) {
        let text = fs::read_to_string(path)?;
        let sign = ["source", "target-dir", "build-dir"].into_iter().find(|sign| text.contains(sign));
        ensure!(sign.is_none(), "`{}` in it speaks of `{}`", path.display(), sign.unwrap_or_default());
    }
    Ok(())
}

fn packages(found: &[Found]) -> Vec<String> {
    let manifests = found.iter().filter(|found| found.path.file_name().is_some_and(|name| name == "Cargo.toml"));
    let name = |found: &Found| {
        let table: toml::Table = fs::read_to_string(&found.path).ok()?.parse().ok()?;
        Some(table.get("package")?.get("name")?.as_str()?.to_owned())
    };
    manifests.filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::disk::Meta;

    fn copy(dir: &Path, frontend: &str) -> Unpacked {
        let root = dir.join(frontend).join("my_project-1.0.dev1");
        fs::create_dir_all(root.join("src")).unwrap();
        fs::write(root.join("PKG-INFO"), "Name: my-project\n").unwrap();
        fs::write(root.join("Cargo.toml"), "[package]\nname = \"mine\"\n").unwrap();
        fs::write(root.join("src/lib.rs"), "").unwrap();
        Unpacked::around(&root.join("src")).unwrap()
    }

    fn time(sources: &Unpacked, file: &str) -> Moment {
        Meta::of(&sources.root.join(file)).unwrap().mtime
    }

    #[test]
    fn each_frontends_copies_are_known_by_their_names() {
        let dir = tempfile::tempdir().unwrap();
        for frontend in ["build-via-sdist-cvooe1jt", "uv/sdists-v11/.tmpLpC0R3"] {
            assert_eq!(copy(dir.path(), frontend).project, "my_project", "{frontend}");
        }
        let root = dir.path().join("build-via-sdist-cvooe1jt/my_project-1.0.dev1");
        fs::remove_file(root.join("PKG-INFO")).unwrap();
        assert_eq!(Unpacked::around(&root), None);
        fs::create_dir_all(dir.path().join("work/my_project-1.0")).unwrap();
        fs::write(dir.path().join("work/my_project-1.0/PKG-INFO"), "").unwrap();
        assert_eq!(Unpacked::around(&dir.path().join("work/my_project-1.0")), None);
    }

    #[test]
    fn equal_sources_have_equal_times_and_others_are_newer() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        let settle = |sources: &Unpacked| settle(sources, &target, Moment::EPOCH).unwrap();
        let one = copy(dir.path(), "build-via-sdist-1");
        assert_eq!(settle(&one), Settled::Now(vec!["mine".to_owned()]));
        let first = time(&one, "src/lib.rs");
        assert_eq!((time(&one, "src"), time(&one, "PKG-INFO"), time(&one, ".")), (first, first, first));
        assert_eq!(settle(&one), Settled::Before);

        let equal = copy(dir.path(), "build-via-sdist-2");
        settle(&equal);
        assert_eq!(time(&equal, "src/lib.rs"), first);
        let other = copy(dir.path(), "build-via-sdist-3");
        fs::write(other.root.join("src/data.txt"), "new").unwrap();
        filetime::set_file_mtime(other.root.join("src/data.txt"), filetime::FileTime::from_unix_time(1, 0)).unwrap();
        settle(&other);
        assert!(time(&other, "src/lib.rs") > first && time(&other, "src/data.txt") > first);
        // What was built from other sources meanwhile is not theirs.
        let again = copy(dir.path(), "build-via-sdist-4");
        settle(&again);
        assert!(time(&again, "src/lib.rs") > time(&other, "src/lib.rs"));
    }

    /// With a library `d` beside the package at the top, and a build script there.
    fn workspace(dir: &Path, number: u32) -> Unpacked {
        let sources = copy(dir, &format!("build-via-sdist-{number}"));
        fs::create_dir_all(sources.root.join("d/src")).unwrap();
        fs::write(sources.root.join("d/Cargo.toml"), "[package]\nname = \"d\"\n").unwrap();
        fs::write(sources.root.join("d/src/lib.rs"), "").unwrap();
        fs::write(sources.root.join("build.rs"), "fn main() {}").unwrap();
        sources
    }

    #[test]
    fn only_packages_in_which_something_differs_are_new() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        let number = std::cell::Cell::new(0);
        let settle = |change: &dyn Fn(&Path)| {
            number.set(number.get() + 1);
            let sources = workspace(dir.path(), number.get());
            change(&sources.root);
            settle(&sources, &target, Moment::EPOCH).unwrap();
            ["src/lib.rs", "build.rs", "d/src/lib.rs"].map(|file| time(&sources, file))
        };
        let main = |text: &'static str| move |root: &Path| fs::write(root.join("src/lib.rs"), text).unwrap();
        let [lib, script, d] = settle(&|_| {});
        let second = settle(&main("// 2"));
        assert!(
            second[0] > lib && second[1..] == [script, d],
            "the script has no macros, and all that it reads is known"
        );
        let with_macros = |root: &Path| {
            main("// 2")(root);
            fs::write(root.join("Cargo.toml"), "[package]\nname = \"mine\"\n[build-dependencies]\nx = \"1\"\n")
                .unwrap();
        };
        let third = settle(&with_macros);
        assert!(third[0] > second[0] && third[1] > script && third[2] == d);
        // With a dependency `d` may have macros, and nobody knows which files those read.
        for table in ["dependencies", "dev_dependencies", "target.'cfg(unix)'.dependencies"] {
            let uses = |root: &Path, text: &str| {
                main(if text == "1" { "// 1" } else { "// 2" })(root);
                let manifest = format!("[package]\nname = \"d\"\n[{table}]\nx = \"1\"\n");
                fs::write(root.join("d/Cargo.toml"), manifest).unwrap();
            };
            let before = settle(&|root| uses(root, "1"));
            assert_eq!(settle(&|root| uses(root, "1")), before);
            assert!(settle(&|root| uses(root, "2"))[2] > before[2], "{table}");
        }
        let third = settle(&with_macros);
        let d = third[2];
        // Back to what it was, which is not what the target was built from last.
        let fourth = settle(&main("// 2"));
        assert!(fourth[0] > third[0] && fourth[2] == d);
        // Another package, and everything counts anew.
        let split = |root: &Path| fs::write(root.join("src/Cargo.toml"), "[package]\nname = \"e\"\n").unwrap();
        assert!(settle(&split)[2] > d);
    }

    #[test]
    fn whoever_moves_the_record_moves_the_times() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        let settled = |number: u32, text: &str| {
            let sources = workspace(dir.path(), number);
            fs::write(sources.root.join("src/lib.rs"), text).unwrap();
            settle(&sources, &target, Moment::EPOCH).unwrap();
            ["src/lib.rs", "d/src/lib.rs"].map(|file| time(&sources, file))
        };
        settled(1, "");
        let [new, old] = settled(2, "// 2");
        let hour = std::time::Duration::from_secs(3600);
        disk::set_mtime(&target.join(MADE_FROM), Kind::File, new.minus(hour)).unwrap();
        assert_eq!(settled(3, "// 2"), [new.minus(hour), old.minus(hour)]);
    }

    #[test]
    fn a_copy_whose_settings_reach_elsewhere_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let sources = copy(dir.path(), "build-via-sdist-1");
        fs::create_dir_all(sources.root.join(".cargo")).unwrap();
        fs::write(sources.root.join(".cargo/config.toml"), "[source.crates-io]\nreplace-with = \"vendor\"\n").unwrap();
        let refused = settle(&sources, &dir.path().join("target"), Moment::EPOCH).unwrap_err().to_string();
        assert!(refused.ends_with("speaks of `source`"), "{refused}");
    }
}
