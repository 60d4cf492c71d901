//! Libraries that are replaced between two runs, however they are named.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{World, words};

/// Builds `lib<name>` whose `value()` is this, as an archive or as a shared library.
fn library(world: &World, file: &str, value: u32) {
    let dir = world.dir.join("libs");
    fs::create_dir_all(&dir).unwrap();
    let source = dir.join("odd.c");
    fs::write(&source, format!("int value(void) {{ return {value}; }}\n")).unwrap();
    let object = dir.join("odd.o");
    run(Command::new("cc").args(["-fPIC", "-c"]).arg(&source).arg("-o").arg(&object));
    let path = dir.join(file);
    let _ = fs::remove_file(&path);
    if Path::new(file).extension().is_some_and(|end| end == "a") {
        run(Command::new("ar").arg("crs").arg(&path).arg(&object));
    } else {
        fs::copy(&object, &path).unwrap();
    }
}

fn run(command: &mut Command) {
    assert!(command.status().unwrap().success());
}

/// A program that prints what the library says. `script` prints what Cargo is told, `attribute` stands before `extern`.
fn world(script: Option<&str>, attribute: &str) -> World {
    let mut world = World::new("work", |dir| {
        let libs = dir.join("libs").display().to_string();
        let mut files = vec![
            (
                "work/Cargo.toml",
                "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n".to_owned(),
            ),
            (
                "work/src/main.rs",
                format!(
                    "{attribute}\nextern \"C\" {{ fn value() -> i32; }}\nfn main() {{ println!(\"{{}}\", unsafe {{ value() }}); }}\n"
                ),
            ),
            ("work/.gitignore", "/target\n".to_owned()),
        ];
        if let Some(script) = script {
            let script = script.replace("LIBS", &libs);
            let text = format!(
                "fn main() {{ println!(\"cargo:rerun-if-changed=build.rs\"); print!({:?}); }}\n",
                format!("{script}\n")
            );
            files.push(("work/build.rs", text));
        }
        files.into_iter().map(|(path, text)| (path.to_owned(), text)).collect()
    });
    world.command = words("build");
    world
}

fn follows(world: &World, file: &str) {
    library(world, file, 1);
    world.first_run();
    assert_eq!(world.output().trim(), "1");
    let warm = world.warm_run();
    assert!(warm.compiled.is_empty(), "{:?}", warm.compiled);
    world.save();
    library(world, file, 2);
    let compiled = world.warm_run().compiled;
    assert!(compiled.contains("app 0.1.0 bin app"), "{compiled:?}");
    assert_eq!(world.output().trim(), "2");
    // It was replaced before the build that used it: the next run compiles nothing.
    world.save();
    assert!(world.warm_run().compiled.is_empty());
    // And once more, after the build and before the save.
    library(world, file, 3);
    world.save();
    let compiled = world.warm_run().compiled;
    assert!(compiled.contains("app 0.1.0 bin app"), "{compiled:?}");
    assert_eq!(world.output().trim(), "3");
}

#[test]
fn a_library_with_modifiers_is_replaced() {
    let script = "cargo:rustc-link-search=native=LIBS\ncargo::rustc-link-lib=static:+whole-archive,-bundle=odd";
    follows(&world(Some(&script.replace("cargo::", "cargo:")), ""), "libodd.a");
}

#[test]
fn a_library_by_its_file_name_is_replaced() {
    let script = "cargo:rustc-link-search=LIBS\ncargo:rustc-link-lib=static:+verbatim=odd.archive.a";
    follows(&world(Some(script), ""), "odd.archive.a");
}

#[test]
fn a_library_in_flags_is_replaced() {
    follows(&world(Some("cargo:rustc-flags=-L LIBS -l static=odd"), ""), "libodd.a");
}

#[test]
fn an_object_in_a_linker_argument_is_replaced() {
    follows(&world(Some("cargo:rustc-link-arg-bins=LIBS/odd-object.o"), ""), "odd-object.o");
}

#[test]
fn a_library_behind_a_linker_argument_for_one_program_is_replaced() {
    let script = "cargo:rustc-link-arg-bin=app=-LLIBS\ncargo:rustc-link-arg-bin=app=-Wl,--push-state,-lodd,--pop-state";
    follows(&world(Some(script), ""), "libodd.a");
}

#[test]
fn a_renamed_library_is_replaced() {
    let script = "cargo:rustc-link-search=LIBS\ncargo:rustc-link-lib=static=name:odd";
    follows(&world(Some(script), "#[link(name = \"name\", kind = \"static\")]"), "libodd.a");
}

#[test]
fn a_library_that_an_attribute_names_is_replaced() {
    let mut world = world(None, "#[link(name = \"odd\", kind = \"static\")]");
    world.change(&[("work/src/lib.rs", "//! nothing\n")]);
    let libs = world.dir.join("libs").display().to_string();
    // Where it lies is said by another package's script.
    world.change(&[
        (
            "work/Cargo.toml",
            "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\nwhere-it-is = { path = \"where\" }\n[workspace]\n",
        ),
        (
            "work/where/Cargo.toml",
            "[package]\nname = \"where-it-is\"\nversion = \"0.1.0\"\nedition = \"2021\"\nlinks = \"odd\"\n",
        ),
        ("work/where/src/lib.rs", "//! nothing\n"),
        (
            "work/where/build.rs",
            &format!("fn main() {{ println!(\"cargo:rerun-if-changed=build.rs\\ncargo:rustc-link-search={libs}\"); }}\n"),
        ),
    ]);
    let lock =
        Command::new("cargo").arg("generate-lockfile").current_dir(world.origin().join("work")).status().unwrap();
    assert!(lock.success());
    world.commit("locked");
    follows(&world, "libodd.a");
}

const PRINTS: &str = "extern \"C\" { static ans: u8; }\nfn main() { println!(\"{}\", (&raw const ans) as usize); }\n";

/// A program that prints the address of a symbol, and these files.
fn symbol(files: &[(&str, &str)]) -> World {
    let mut world = World::new("work", |_| {
        [
            ("work/Cargo.toml", "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n"),
            ("work/src/main.rs", PRINTS),
            ("work/.gitignore", "/target\n"),
        ]
        .into_iter()
        .chain(files.iter().copied())
        .map(|(path, text)| (path.to_owned(), text.to_owned()))
        .collect()
    });
    world.command = words("build");
    world
}

/// Linked anew after this change, and not without one.
fn follows_change(world: &mut World, change: (&str, &str)) {
    world.first_run();
    assert_eq!(world.output(), "1\n");
    assert!(world.warm_run().compiled.is_empty());
    world.change(&[change]);
    world.warm_run();
    assert_eq!(world.output(), "2\n");
    world.save();
    assert!(world.warm_run().compiled.is_empty());
}

const STATIC: &str = "[build]\nrustflags = [\"-Clink-arg=-no-pie\", \"-Crelocation-model=static\"]\n";

#[test]
fn what_a_linker_script_of_the_configuration_includes_changes() {
    let config = STATIC.replace("static\"]", "static\", \"-Clink-arg=-Tlink.x\"]");
    let mut world = symbol(&[
        ("work/.cargo/config.toml", &config),
        ("work/link.x", "INCLUDE memory.x\n"),
        ("work/memory.x", "INCLUDE \"deeper.x\";\n"),
        ("work/deeper.x", "ans = 1;\n"),
    ]);
    follows_change(&mut world, ("work/deeper.x", "ans = 2;\n"));
}

/// As embedded projects do: the runtime's script brings the linker script, and that includes a file of the project.
#[test]
fn what_a_linker_script_that_a_build_script_brings_along_includes_changes() {
    let brings = "fn main() { println!(\"cargo:rerun-if-changed=build.rs\"); let out = std::env::var(\"OUT_DIR\").unwrap(); \
                  std::fs::write(format!(\"{out}/link.x\"), \"INCLUDE memory.x\").unwrap(); \
                  println!(\"cargo:rustc-link-search={out}\"); }\n";
    let asks = "fn main() { println!(\"cargo:rerun-if-changed=build.rs\"); println!(\"cargo:rustc-link-arg-bins=-Tlink.x\"); }\n";
    let manifest = |name: &str| format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
    let mut world = symbol(&[
        ("work/.cargo/config.toml", STATIC),
        ("work/memory.x", "ans = 1;\n"),
        ("work/Cargo.toml", &(manifest("app") + "[dependencies]\nrt = { path = \"rt\" }\n[workspace]\n")),
        ("work/build.rs", asks),
        ("work/src/main.rs", &format!("use rt as _;\n{PRINTS}")),
        ("work/rt/Cargo.toml", &manifest("rt")),
        ("work/rt/src/lib.rs", "//! nothing\n"),
        ("work/rt/build.rs", brings),
    ]);
    follows_change(&mut world, ("work/memory.x", "ans = 2;\n"));
}

#[test]
fn a_linker_that_is_a_script_of_the_repository_changes() {
    use std::os::unix::fs::PermissionsExt;
    let linker = |ans: u32| format!("#!/bin/sh\nexec cc \"$@\" -Wl,--defsym=ans={ans}\n");
    let config = format!("{STATIC}[target.x86_64-unknown-linux-gnu]\nlinker = \"scripts/my-cc\"\n");
    let mut world = symbol(&[("work/.cargo/config.toml", &config), ("work/scripts/my-cc", &linker(1))]);
    let path = world.origin().join("work/scripts/my-cc");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    world.commit("executable");
    follows_change(&mut world, ("work/scripts/my-cc", &linker(2)));
}
