//! The sources of fetched packages: unpacked by the restore as Cargo would, and by Cargo where that cannot be.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{Project, World, words};

/// Two members with one small registry package each.
fn project() -> Project {
    let member = |name: &str, dependency: &str, text: &str| {
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\n{dependency} = \"1\"\n"
        );
        let source = format!("pub fn text() -> String {{ {dependency}::Buffer::new().format({text}).to_owned() }}\n");
        [(format!("{name}/Cargo.toml"), manifest), (format!("{name}/src/lib.rs"), source)]
    };
    let workspace = "[workspace]\nresolver = \"2\"\nmembers = [\"one\", \"two\"]\n";
    let plain = [("Cargo.toml", workspace), (".gitignore", "/target\n")];
    let plain = plain.map(|(path, text)| (path.to_owned(), text.to_owned()));
    plain.into_iter().chain(member("one", "itoa", "1")).chain(member("two", "ryu", "1.5")).collect()
}

fn home(world: &World) -> PathBuf {
    world.dir.join("cargo-home")
}

/// A wiped machine without a network.
fn wipe(world: &mut World) {
    let _ = fs::remove_dir_all(home(world));
    world.env.insert("CARGO_NET_OFFLINE".into(), "true".into());
    world.wipe_and_clone();
}

/// What lies below a folder: rights, time and bytes of each file, by path.
fn files(dir: &Path) -> BTreeMap<PathBuf, (u32, i64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let meta = fs::metadata(&path).unwrap();
            // Cargo writes its mark when it is done.
            let time = if path.ends_with(".cargo-ok") { 0 } else { meta.mtime() };
            found.insert(path.clone(), (meta.mode(), time, fs::read(path).unwrap()));
        }
    }
    found
}

/// Which packages are unpacked.
fn unpacked(world: &World) -> Vec<String> {
    let registries = fs::read_dir(home(world).join("registry/src")).into_iter().flatten();
    let packages = registries.flat_map(|registry| fs::read_dir(registry.unwrap().path()).unwrap());
    let name = |package: fs::DirEntry| package.file_name().to_string_lossy().split('-').next().unwrap().to_owned();
    let mut names: Vec<String> = packages.map(|package| name(package.unwrap())).collect();
    names.sort();
    names
}

/// A world in which a job has built what this command builds.
fn ready(command: &str) -> World {
    let mut world = World::new("", |_| project());
    world.command = words(command);
    world.wipe_and_clone();
    world.restore();
    assert!(world.build().success);
    world.save();
    world
}

#[test]
fn what_a_state_was_built_from_lies_there_as_cargo_would_have_unpacked_it() {
    let mut world = ready("build");
    wipe(&mut world);
    let log = world.restore();
    assert!(log.contains("Cargo home: 2 packages unpacked"), "{log}");
    let sources = home(&world).join("registry/src");
    let of_ours = files(&sources);
    assert!(of_ours.len() > 10 && of_ours.keys().any(|path| path.ends_with(".cargo-ok")), "{:?}", of_ours.keys());
    let marks = || -> Vec<(u64, i64)> {
        let marks = of_ours.keys().filter(|path| path.ends_with(".cargo-ok"));
        marks.map(|path| fs::metadata(path).map(|meta| (meta.ino(), meta.mtime_nsec())).unwrap()).collect()
    };
    let before = marks();
    assert!(world.build().compiled.is_empty());
    assert_eq!(marks(), before, "Cargo takes them for its own");
    // The same once more, by Cargo.
    fs::remove_dir_all(&sources).unwrap();
    assert!(world.build().compiled.is_empty());
    let of_cargo = files(&sources);
    let differing: Vec<&PathBuf> =
        of_cargo.iter().filter(|(path, of)| of_ours.get(*path) != Some(of)).map(|(path, _)| path).collect();
    assert!(differing.is_empty() && of_cargo.len() == of_ours.len(), "{differing:?}");
    // What is there is left alone, and nothing lies around.
    let log = world.restore();
    assert!(!log.contains("unpacked"), "{log}");
    assert!(!home(&world).join(".rekindle").exists());
}

#[test]
fn what_the_last_job_did_not_use_is_not_unpacked() {
    let mut world = ready("build -p one");
    wipe(&mut world);
    world.restore();
    assert_eq!(unpacked(&world), ["itoa"]);
}

#[test]
fn while_another_cargo_is_at_it_or_an_archive_is_another_one_cargo_does_it() {
    let mut world = ready("build");
    wipe(&mut world);
    fs::create_dir_all(home(&world)).unwrap();
    let lock = home(&world).join(".package-cache");
    let mut other = Command::new("flock");
    other.arg("--no-fork").arg(&lock).args(["sh", "-c", "echo held; exec sleep 600"]);
    let mut other = other.stdout(Stdio::piped()).spawn().unwrap();
    let mut said = [0; 5];
    std::io::Read::read_exact(other.stdout.as_mut().unwrap(), &mut said).unwrap();
    let log = world.restore();
    other.kill().unwrap();
    other.wait().unwrap();
    assert!(!log.contains("unpacked"), "{log}");
    assert_eq!(unpacked(&world), [""; 0]);
    // A machine that kept its Cargo home, in which somebody changed an archive, and whose store has lost its own.
    for entry in fs::read_dir(world.store()).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.to_string_lossy().contains(".cargo-home-") {
            fs::remove_file(entry).unwrap();
        }
    }
    let archives = files(&home(&world).join("registry/cache"));
    let itoa = archives.keys().find(|path| path.to_string_lossy().contains("/itoa-")).unwrap();
    let package = itoa.file_stem().unwrap().to_str().unwrap();
    let changed = format!(
        "cd '{}' && tar xzf '{archive}' && echo '// Changed.' >> {package}/src/lib.rs && find {package} -type f | tar czf '{archive}' -T -",
        world.dir.display(),
        archive = itoa.display()
    );
    assert!(Command::new("sh").args(["-c", &changed]).status().unwrap().success());
    world.wipe_and_clone();
    world.restore();
    assert_eq!(unpacked(&world), ["ryu"]);
}
