//! Which stored state a job starts from: the one that leaves the least to compile, and no more is read than it takes.

use std::fs;

use crate::support::{Project, World, words};

/// A vendored package in two versions, a program that uses it, and a library that does not.
fn project() -> Project {
    let manifest = |name: &str, version: &str, rest: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"{version}\"\nedition = \"2021\"\n{rest}\n")
    };
    let checksum = |digit: &str| format!("{{\"files\":{{}},\"package\":\"{}\"}}", digit.repeat(64));
    let config = "[source.crates-io]\nreplace-with = \"vendored\"\n[source.vendored]\ndirectory = \"vendor\"\n";
    let dependencies = "[dependencies]\nvend = \"0.1\"\nother = { path = \"../other\" }";
    let [first, second] = ["vend-1", "vend-2"].map(|text| format!("pub fn vend() -> &'static str {{ \"{text}\" }}\n"));
    [
        (".gitignore", "/target\n".to_owned()),
        (".cargo/config.toml", config.to_owned()),
        ("Cargo.toml", "[workspace]\nresolver = \"2\"\nmembers = [\"app\", \"other\"]\n".to_owned()),
        ("app/Cargo.toml", manifest("app", "0.1.0", dependencies)),
        ("app/src/main.rs", "fn main() { println!(\"{} {}\", vend::vend(), other::text()); }\n".to_owned()),
        ("other/Cargo.toml", manifest("other", "0.1.0", "")),
        ("other/src/lib.rs", other(1)),
        ("vendor/vend/Cargo.toml", manifest("vend", "0.1.0", "")),
        ("vendor/vend/src/lib.rs", first),
        ("vendor/vend/.cargo-checksum.json", checksum("1")),
        ("vendor/vend-0.1.1/Cargo.toml", manifest("vend", "0.1.1", "")),
        ("vendor/vend-0.1.1/src/lib.rs", second),
        ("vendor/vend-0.1.1/.cargo-checksum.json", checksum("2")),
    ]
    .into_iter()
    .map(|(path, text)| (path.to_owned(), text))
    .collect()
}

fn other(at: u32) -> String {
    format!("pub fn text() -> &'static str {{ \"other-{at}\" }}\n")
}

fn world() -> World {
    let mut world = World::new("", |_| project());
    world.command = words("build --workspace");
    world
}

/// The lock file with this version of the vendored package.
fn locked(world: &World, version: u32) -> String {
    let text = fs::read_to_string(world.origin().join("Cargo.lock")).unwrap();
    let (old, sum) = (2 - version, version + 1);
    let text = text.replace(&format!("version = \"0.1.{}\"", 1 - version), &format!("version = \"0.1.{version}\""));
    assert!(old > 0);
    // The members are 0.1.0 in any case.
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for at in 0..lines.len() {
        if let Some(name) = lines[at].strip_prefix("name = ") {
            let version = if name == "\"vend\"" { version } else { 0 };
            lines[at + 1] = format!("version = \"0.1.{version}\"");
        }
        if lines[at].starts_with("checksum = ") {
            lines[at] = format!("checksum = \"{}\"", sum.to_string().repeat(64));
        }
    }
    lines.join("\n") + "\n"
}

fn job(world: &World) -> String {
    world.warm_run();
    world.save()
}

#[test]
fn a_return_to_an_older_lock_file_keeps_what_was_built_since() {
    let mut world = world();
    let [zero, one] = [locked(&world, 0), locked(&world, 1)];
    world.change(&[("Cargo.lock", &zero)]);
    world.first_run();
    world.change(&[("Cargo.lock", &one), ("other/src/lib.rs", &other(2))]);
    job(&world);
    // The machine that was never wiped sees the same three states.
    world.change(&[("Cargo.lock", &zero)]);
    world.wipe_and_clone();
    let log = world.restore();
    let warm = world.build().compiled;
    assert!(warm.is_subset(&["app 0.1.0 bin app".to_owned()].into()), "{warm:?}\n{log}");
    assert_eq!(world.output(), "vend-1 other-2\n");
}

#[test]
fn an_exact_state_is_preferred_to_a_newer_one_that_would_leave_more_to_compile() {
    let mut world = world();
    let [zero, one] = [locked(&world, 0), locked(&world, 1)];
    world.change(&[("Cargo.lock", &zero)]);
    world.first_run();
    let first = world.packs().remove(0);
    // Another lineage: a machine that began with nothing.
    let aside = world.dir.join("aside");
    fs::rename(&first, &aside).unwrap();
    world.change(&[("Cargo.lock", &one)]);
    world.first_run();
    fs::rename(&aside, &first).unwrap();
    world.change(&[("Cargo.lock", &zero)]);
    world.wipe_and_clone();
    let log = world.restore();
    assert!(world.build().compiled.is_empty(), "{log}");
    assert!(!log.contains("nearest"), "{log}");
    assert_eq!(world.output(), "vend-1 other-1\n");
}

#[test]
fn without_an_exact_state_the_one_with_most_of_the_lock_file_is_taken() {
    let mut world = world();
    let [zero, one] = [locked(&world, 0), locked(&world, 1)];
    world.change(&[("Cargo.lock", &zero)]);
    world.first_run();
    let first = world.packs().remove(0);
    let aside = world.dir.join("aside");
    fs::rename(&first, &aside).unwrap();
    world.change(&[("Cargo.lock", &one)]);
    world.first_run();
    fs::rename(&aside, &first).unwrap();
    // The first lock file, and a profile that was never there.
    let root = fs::read_to_string(world.origin().join("Cargo.toml")).unwrap();
    world.change(&[("Cargo.lock", &zero), ("Cargo.toml", &format!("{root}[profile.bench]\nopt-level = 1\n"))]);
    world.wipe_and_clone();
    let log = world.restore();
    assert!(log.contains("nearest"), "{log}");
    assert!(world.build().compiled.is_empty(), "{log}");
    assert_eq!(world.output(), "vend-1 other-1\n");
}
