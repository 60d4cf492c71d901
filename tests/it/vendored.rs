//! Vendored packages that change at one version, however Cargo is told of them.

use std::fs;

use crate::support::{Project, World, words};

const VENDORED: &str = "[source.crates-io]\nreplace-with = \"v\"\n[source.v]\ndirectory = \"vendor\"\n";
const UNITS: [&str; 2] = ["vend 0.1.0 lib vend", "app 0.1.0 bin app"];

fn lib(value: &str) -> String {
    format!("pub fn text() -> &'static str {{ {value:?} }}\n")
}

fn project() -> Project {
    let manifest = |name: &str, rest: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n{rest}")
    };
    let mut project = Project::new();
    let mut add = |path: &str, text: String| project.insert(path.to_owned(), text);
    add("work/Cargo.toml", manifest("app", "[dependencies]\nvend = \"0.1.0\"\n[workspace]\n"));
    add("work/src/main.rs", "fn main() { println!(\"{}\", vend::text()); }\n".into());
    add("work/.gitignore", "/target\n".into());
    add("work/vendor/vend/Cargo.toml", manifest("vend", ""));
    add("work/vendor/vend/src/lib.rs", lib("vend-1"));
    add("work/vendor/vend/.cargo-checksum.json", format!("{{\"files\":{{}},\"package\":\"{}\"}}", "1".repeat(64)));
    add("work/.cargo/config.toml", VENDORED.into());
    project
}

fn world(project: Project) -> World {
    let mut world = World::new("work", |_| project);
    world.command = words("build");
    world
}

/// Compiles nothing when nothing changed; a changed file is noticed, which Cargo alone would not.
fn notices(mut world: World) {
    world.first_run();
    let warm = world.warm_run();
    assert!(warm.compiled.is_empty(), "{:?}", warm.compiled);
    world.save();
    world.change(&[("work/vendor/vend/src/lib.rs", &lib("vend-2"))]);
    let log = world.prove(&UNITS);
    assert!(log.contains("the vendored file"), "{log}");
}

#[test]
fn a_vendor_folder_is_configured_by_an_included_file() {
    let mut project = project();
    project.insert(
        "work/.cargo/config.toml".into(),
        "include = [{ path = \"../ci/vendor.toml\", optional = true }]\n".into(),
    );
    project.insert("work/ci/vendor.toml".into(), VENDORED.into());
    notices(world(project));
}

#[test]
fn a_vendor_folder_is_configured_by_a_file_on_the_command_line() {
    let mut world = world(project());
    fs::rename(world.origin().join("work/.cargo"), world.origin().join("work/ci")).unwrap();
    world.commit("moved");
    world.command = words("build --config ci/config.toml");
    world.first_run();
    assert!(world.warm_run().compiled.is_empty());
    world.save();
    world.change(&[("work/vendor/vend/src/lib.rs", &lib("vend-2"))]);
    let warm = world.warm_run();
    assert_eq!(warm.compiled.iter().map(String::as_str).collect::<Vec<_>>(), [UNITS[1], UNITS[0]]);
    assert_eq!(world.output().trim(), "vend-2");
}

#[test]
fn a_vendor_folder_is_configured_in_a_folder_that_cargo_is_called_from() {
    let mut world = world(project());
    fs::create_dir_all(world.origin().join("work/sub")).unwrap();
    fs::rename(world.origin().join("work/.cargo"), world.origin().join("work/sub/.cargo")).unwrap();
    let text = VENDORED.replace("\"vendor\"", "\"../vendor\"");
    fs::write(world.origin().join("work/sub/.cargo/config.toml"), text).unwrap();
    world.commit("moved");
    let build = |world: &World| {
        let command = words("build --manifest-path ../Cargo.toml");
        let verdict = rekindle::cargo::verdict::run(&world.workspace().join("sub"), &command, &world.env).unwrap();
        assert!(verdict.success, "{}", verdict.stderr);
        verdict.compiled
    };
    world.wipe_and_clone();
    world.restore();
    build(&world);
    world.save();
    world.wipe_and_clone();
    world.restore();
    assert!(build(&world).is_empty());
    world.save();
    world.change(&[("work/vendor/vend/src/lib.rs", &lib("vend-2"))]);
    world.wipe_and_clone();
    world.restore();
    let compiled = build(&world);
    assert_eq!(compiled.iter().map(String::as_str).collect::<Vec<_>>(), [UNITS[1], UNITS[0]]);
    assert_eq!(world.output().trim(), "vend-2");
}

#[test]
fn a_vendor_folder_is_ignored_by_git() {
    let mut world = world(project());
    let origin = world.origin();
    fs::rename(origin.join("work/vendor"), world.dir.join("elsewhere")).unwrap();
    fs::write(origin.join("work/.gitignore"), "/target\n/vendor\n").unwrap();
    world.commit("ignored");
    let put = |world: &World, value: &str| {
        let vendor = world.workspace().join("vendor/vend");
        fs::create_dir_all(vendor.join("src")).unwrap();
        for file in ["Cargo.toml", ".cargo-checksum.json"] {
            fs::copy(world.dir.join("elsewhere/vend").join(file), vendor.join(file)).unwrap();
        }
        fs::write(vendor.join("src/lib.rs"), lib(value)).unwrap();
    };
    let run = |world: &World, value: &str| {
        world.wipe_and_clone();
        put(world, value);
        world.restore();
        world.build().compiled
    };
    run(&world, "vend-1");
    world.save();
    assert!(run(&world, "vend-1").is_empty());
    world.save();
    let compiled = run(&world, "vend-2");
    assert_eq!(compiled.iter().map(String::as_str).collect::<Vec<_>>(), [UNITS[1], UNITS[0]]);
    assert_eq!(world.output().trim(), "vend-2");
}

#[test]
fn a_vendor_folder_lies_outside_and_is_named_by_an_included_file() {
    let mut project = project();
    for file in ["Cargo.toml", "src/lib.rs", ".cargo-checksum.json"] {
        let text = project.remove(&format!("work/vendor/vend/{file}")).unwrap();
        project.insert(format!("shared/vend/{file}"), text);
    }
    let include = "include = [\"more.toml\"]\n";
    project.insert("work/.cargo/config.toml".into(), include.into());
    project.insert("work/.cargo/more.toml".into(), VENDORED.replace("\"vendor\"", "\"../shared\""));
    let mut world = world(project);
    world.first_run();
    assert!(world.warm_run().compiled.is_empty());
    world.save();
    world.change(&[("shared/vend/src/lib.rs", &lib("vend-2"))]);
    world.prove(&UNITS);
}
