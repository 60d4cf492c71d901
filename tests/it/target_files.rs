//! What a target folder holds beside its units comes back as on a machine that keeps its disk, whatever it is called.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Project, World, git, words, write};

const MANIFEST: &str = "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n";
const MAIN: &str = "fn main() { println!(\"{}\", app::text()); }\n";
const LIB: &str = "pub fn text() -> &'static str { \"one\" }\n";

/// One package, with these files besides.
fn world(files: &[(&str, &str)]) -> World {
    World::new("work", |_| {
        let own = [("Cargo.toml", MANIFEST), ("src/main.rs", MAIN), ("src/lib.rs", LIB), (".gitignore", "/target\n")];
        let files = own.iter().chain(files);
        files.map(|(path, text)| (format!("work/{path}"), (*text).to_owned())).collect::<Project>()
    })
}

/// A build script that watches itself and has `PROFILE`, the folder of finished programs, and `OUT` at hand.
fn script(body: &str) -> String {
    format!(
        "use std::{{fs, os::unix::fs::*, os::unix::ffi::*, path::*, ffi::*}};\n#[allow(unused)]\nfn main() {{\n    \
         println!(\"cargo:rerun-if-changed=build.rs\");\n    \
         let out = PathBuf::from(std::env::var_os(\"OUT_DIR\").unwrap());\n    \
         let profile = out.ancestors().nth(3).unwrap().to_path_buf();\n{body}}}\n"
    )
}

/// Everything below a folder, with what it is; bytes of names are shown as bytes.
fn tree(dir: &Path) -> BTreeMap<String, String> {
    fn walk(dir: &Path, base: &Path, into: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let name = rekindle::machine::paths::text(path.strip_prefix(base).unwrap());
            let what = if meta.is_symlink() {
                format!("-> {}", rekindle::machine::paths::text(&fs::read_link(&path).unwrap()))
            } else if meta.is_dir() {
                walk(&path, base, into);
                "folder".to_owned()
            } else if meta.is_file() {
                format!("{:o} {:?}", meta.permissions().mode(), fs::read(&path).unwrap())
            } else {
                "other".to_owned()
            };
            into.insert(name, what);
        }
    }
    let mut found = BTreeMap::new();
    walk(dir, dir, &mut found);
    found
}

/// What the packs hold, as the ordinary tools list it.
fn listing(world: &World) -> String {
    world.packs().iter().map(|pack| list(pack)).collect()
}

fn list(pack: &Path) -> String {
    let mut zstd = Command::new("zstd").arg("-dc").arg(pack).stdout(Stdio::piped()).spawn().unwrap();
    let tar = Command::new("tar").args(["tvf", "-"]).stdin(zstd.stdout.take().unwrap()).output().unwrap();
    assert!(zstd.wait().unwrap().success() && tar.status.success(), "{}", String::from_utf8_lossy(&tar.stderr));
    String::from_utf8_lossy(&tar.stdout).into_owned()
}

/// Builds, saves and comes back; `parts` of the target are then what they were, and nothing is compiled.
fn comes_back(world: &World, parts: &[&str]) {
    world.first_run();
    let whole = |part: &str| {
        let dir = world.target().join(part);
        // The one that a build script has is the only one with an OUT_DIR.
        let run = |name: &fs::DirEntry| name.path().join("out").is_dir();
        let dir = match part {
            "OUT_DIR" => {
                let mut runs = fs::read_dir(world.target().join("debug/build")).unwrap().map(Result::unwrap);
                runs.find(run).unwrap().path().join("out")
            }
            _ => dir,
        };
        tree(&dir)
    };
    let before: Vec<_> = parts.iter().map(|part| whole(part)).collect();
    world.wipe_and_clone();
    let log = world.restore();
    let after: Vec<_> = parts.iter().map(|part| whole(part)).collect();
    assert_eq!(after, before, "left: after the restore, right: as built\n{log}");
    let compiled = world.build().compiled;
    assert!(compiled.is_empty(), "{compiled:?}\n{log}");
    // The state can be built on: an edit elsewhere, a save, and the same again.
    fs::write(world.workspace().join("src/main.rs"), MAIN.replace("{}", "edited {}")).unwrap();
    world.build();
    let log = world.save();
    assert!(!log.contains("warning"), "{log}");
    world.wipe_and_clone();
    world.restore();
    let after: Vec<_> = parts.iter().map(|part| whole(part)).collect();
    assert_eq!(after, before, "left: after a delta, right: as built\n{log}");
}

const TEMPORARY: &str = "#[test]\nfn writes() {\n    let dir = std::path::Path::new(env!(\"CARGO_TARGET_TMPDIR\"));\n    \
                         assert_eq!(std::fs::read_dir(dir).unwrap().count(), 0);\n    \
                         std::fs::write(dir.join(\"litter\"), \"x\").unwrap();\n}\n";

fn its_test_passes_warm(world: &World, command: &str) {
    world.wipe_and_clone();
    world.restore();
    let cold = world.cargo(command);
    assert!(cold.success && !cold.compiled.is_empty(), "{}", cold.stderr);
    world.save();
    for _ in 0..2 {
        world.wipe_and_clone();
        world.restore();
        let warm = world.cargo(command);
        assert!(warm.success && warm.compiled.is_empty(), "{:?} {}", warm.compiled, warm.stderr);
        world.save();
    }
}

#[test]
fn the_folder_for_files_of_tests_is_there_and_empty() {
    its_test_passes_warm(&world(&[("tests/writes.rs", TEMPORARY)]), "test");
}

#[test]
fn the_folder_for_files_of_tests_is_there_for_a_triple_and_in_a_build_folder() {
    let rustc = Command::new("rustc").arg("-vV").output().unwrap();
    let rustc = String::from_utf8(rustc.stdout).unwrap();
    let host = rustc.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let mut world = world(&[("tests/writes.rs", TEMPORARY)]);
    its_test_passes_warm(&world, &format!("test --target {host}"));
    world.env.insert("CARGO_BUILD_BUILD_DIR".into(), "../intermediate".into());
    its_test_passes_warm(&world, "test --test writes");
    assert!(!world.target().join("tmp").exists(), "the build folder has it");
}

#[test]
fn the_folder_for_files_of_tests_is_there_where_the_target_is_named_on_its_own() {
    let mut world = world(&[("sub/Cargo.toml", &format!("{MANIFEST}[workspace]\n"))]);
    write(&world.origin().join("work/sub/src/lib.rs"), LIB);
    write(&world.origin().join("work/sub/tests/writes.rs"), TEMPORARY);
    write(&world.origin().join("work/.gitignore"), "target\nelsewhere\nsub/Cargo.lock\n");
    world.commit("second workspace");
    world.options = words("--workspace x");
    world.options[1] = "sub -> elsewhere".into();
    its_test_passes_warm(&world, "test --manifest-path sub/Cargo.toml --target-dir sub/elsewhere");
}

#[test]
fn what_a_build_script_puts_beside_the_program_comes_back() {
    let body = r#"
    fs::write(profile.join("foo.dll"), "library").unwrap();
    fs::write(profile.join("app.json"), "settings").unwrap();
    fs::write(profile.join("foo.d"), "not by cargo").unwrap();
    fs::create_dir_all(profile.join("resources/deep/0123456789abcdef")).unwrap();
    fs::write(profile.join("resources/deep/icon.d"), "icon").unwrap();
    fs::write(profile.join("resources/deep/0123456789abcdef/x"), "x").unwrap();
    fs::create_dir_all(profile.join("plugins/none")).unwrap();
    fs::create_dir_all(profile.join("build/assets/0123456789abcdef")).unwrap();
    fs::write(profile.join("build/assets/0123456789abcdef/x"), "x").unwrap();
    let _ = std::os::unix::fs::symlink("resources/deep", profile.join("latest"));
    let _ = std::os::unix::fs::symlink("/no/such/place", profile.join("dangling"));
"#;
    let world = world(&[("build.rs", &script(body))]);
    world.first_run();
    let names = ["foo.dll", "app.json", "foo.d", "resources", "plugins", "build/assets", "latest", "dangling"];
    let seen = |world: &World| -> BTreeMap<String, String> {
        let all = tree(&world.target().join("debug"));
        all.into_iter().filter(|(name, _)| names.iter().any(|own| name.starts_with(own))).collect()
    };
    let before = seen(&world);
    assert_eq!(before.len(), 15, "{before:#?}");
    world.wipe_and_clone();
    world.restore();
    assert_eq!(seen(&world), before);
    assert!(world.build().compiled.is_empty());
    let stored = listing(&world);
    assert!(!stored.lines().any(|line| line.ends_with("target/debug/app")), "Cargo links it anew: {stored}");
}

#[test]
fn a_file_that_is_linked_from_an_out_dir_is_linked_again() {
    let body = r#"
    fs::create_dir_all(out.join("empty/inner")).unwrap();
    fs::write(out.join("tool"), "tool").unwrap();
    let _ = fs::remove_file(profile.join("tool"));
    fs::hard_link(out.join("tool"), profile.join("tool")).unwrap();
    fs::create_dir_all(profile.join("lib")).unwrap();
    let _ = fs::remove_file(profile.join("lib/tool.so"));
    fs::hard_link(out.join("tool"), profile.join("lib/tool.so")).unwrap();
"#;
    let world = world(&[("build.rs", &script(body))]);
    comes_back(&world, &["OUT_DIR", "debug/lib"]);
    let tool = fs::metadata(world.target().join("debug/tool")).unwrap();
    assert_eq!(tool.ino(), fs::metadata(world.target().join("debug/lib/tool.so")).unwrap().ino());
    assert_eq!(fs::read(world.target().join("debug/tool")).unwrap(), b"tool");
}

#[test]
fn a_target_folder_inside_an_out_dir_is_part_of_that() {
    let body = r#"
    let inner = out.join("inner");
    fs::create_dir_all(inner.join("src")).unwrap();
    fs::write(inner.join("Cargo.toml"), "[package]\nname = \"inner\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n").unwrap();
    fs::write(inner.join("src/main.rs"), "fn main() {}").unwrap();
    let cargo = std::env::var_os("CARGO").unwrap();
    let done = std::process::Command::new(cargo).args(["build", "--offline", "--target-dir"]).arg(out.join("t"))
        .env_remove("CARGO_BUILD_BUILD_DIR").current_dir(&inner).status().unwrap();
    assert!(done.success());
"#;
    let lib = "pub fn text() -> &'static str { if include_bytes!(concat!(env!(\"OUT_DIR\"), \"/t/debug/inner\")).is_empty() { \"empty\" } else { \"one\" } }\n";
    let world = world(&[("build.rs", &script(body)), ("src/lib.rs", lib)]);
    comes_back(&world, &["OUT_DIR"]);
}

#[test]
fn sockets_pipes_and_what_may_only_be_read_harm_nothing() {
    let body = r#"
    let mode = |path: &Path, mode: u32| fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    fs::create_dir_all(out.join("locked/inner")).unwrap();
    fs::write(out.join("locked/inner/file"), "x").unwrap();
    mode(&out.join("locked/inner/file"), 0o444);
    mode(&out.join("locked/inner"), 0o555);
    mode(&out.join("locked"), 0o555);
    std::mem::forget(std::os::unix::net::UnixListener::bind(profile.join("socket")).unwrap());
    assert!(std::process::Command::new("mkfifo").arg(profile.join("pipe")).status().unwrap().success());
    assert!(std::process::Command::new("mkfifo").arg(out.join("pipe")).status().unwrap().success());
"#;
    let world = world(&[("build.rs", &script(body))]);
    world.first_run();
    let warm = world.warm_run();
    assert!(warm.compiled.is_empty(), "{:?}", warm.compiled);
    let locked = fs::read_dir(world.target().join("debug/build")).unwrap().map(|entry| entry.unwrap().path());
    let file = locked.map(|dir| dir.join("out/locked/inner/file")).find(|path| path.exists()).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o444);
}

#[test]
fn names_of_any_bytes_come_back_and_the_pack_stays_an_ordinary_archive() {
    let body = r#"
    let odd: [&[u8]; 12] = [b"back\\slash", b"\xff\xfe", b"new\nline", b"\x01", b"colon:star*?\"<>|", b" lead and trail ", b"-rf",
        b"0123456789abcdef", b"x-0123456789abcdef", "\u{e9}t\u{e9}".as_bytes(), "\u{10ffff}".as_bytes(), &[b'n'; 255]];
    for dir in [out.join("names"), profile.join("names"), out.join(OsStr::from_bytes(b"dir\xff\\")), out.join(".fingerprint")] {
        fs::create_dir_all(&dir).unwrap();
        for name in odd {
            fs::write(dir.join(OsStr::from_bytes(name)), name).unwrap();
        }
        let _ = std::os::unix::fs::symlink(OsStr::from_bytes(b"to\xff\\x"), dir.join("link"));
    }
    fs::write(profile.join(OsStr::from_bytes(b"a\\b\xff.d")), "x").unwrap();
    let long = (0..14).fold(out.join("long"), |dir, _| dir.join("d".repeat(250)));
    fs::create_dir_all(&long).unwrap();
    fs::write(long.join("file"), "deep").unwrap();
"#;
    let world = world(&[("build.rs", &script(body))]);
    comes_back(&world, &["OUT_DIR", "debug/names"]);
    let stored = listing(&world);
    assert!(stored.contains("back\\\\slash") && stored.contains("\\377\\376"), "{stored}");
    // And such a tree is not one that nobody knows: a kept disk is still the one that was restored.
    world.build();
    world.save();
    git(&world.work(), &["status"], None);
    let log = world.restore();
    assert!(log.contains("kept") && !log.contains("rebuilt"), "{log}");
    assert!(world.build().compiled.is_empty());
}

#[test]
fn a_workspace_whose_own_folder_has_an_odd_name() {
    let mut world = world(&[("build.rs", &script("    fs::write(out.join(\"a\\\\b\"), \"x\").unwrap();\n"))]);
    world.work_dir = world.dir.join("with space\\and é");
    world.first_run();
    assert!(world.warm_run().compiled.is_empty());
}

#[test]
fn folders_of_units_that_are_gone_do_not_stay() {
    let world = world(&[("examples/one.rs", "fn main() {}\n")]);
    world.first_run();
    world.wipe_and_clone();
    world.restore();
    let mut left = BTreeSet::new();
    for part in ["debug/incremental", "doc", "package"] {
        left.extend(world.target().join(part).exists().then_some(part));
    }
    assert!(left.is_subset(&BTreeSet::from(["debug/incremental"])), "{left:?}");
}
