//! `max-size`: what is worth most is stored, what there is no room for is built each time and has that cause, and a job without
//! other news saves nothing.

use std::collections::BTreeSet;

use crate::support::{World, as_root, words};

const BIG: &str = "big 0.1.0 bin big";
const DEAR: &str = "dear 0.1.0 lib dear";
const HEAVY: &str = "heavy 0.1.0 lib heavy";
const ON_HEAVY: &str = "on_heavy 0.1.0 bin on_heavy";

/// What no compression makes smaller.
fn noise(seed: u64, bytes: usize) -> String {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..bytes).map(|_| char::from(random.u8(b'!'..b'\x7f'))).filter(|char| *char != '"' && *char != '\\').collect()
}

fn data(seed: u64, bytes: usize) -> String {
    format!("pub static DATA: &str = r###\"{}\"###;\n", noise(seed, bytes))
}

fn program(of: &str) -> String {
    format!("fn main() {{ println!(\"{{}}\", {of}DATA.len()); }}\n")
}

/// A library that takes long and little room, a program that takes much room and no time, and one that is built from a library
/// like that.
fn world() -> World {
    let package = |name: &str, rest: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n{rest}\n")
    };
    let files = [
        (".gitignore", "/target\n".to_owned()),
        (
            "Cargo.toml",
            "[workspace]\nresolver = \"2\"\nmembers = [\"big\", \"dear\", \"heavy\", \"on_heavy\"]\n".to_owned(),
        ),
        ("big/Cargo.toml", package("big", "")),
        ("big/src/main.rs", format!("{}{}", data(1, 3_000_000), program(""))),
        ("dear/Cargo.toml", package("dear", "build = \"build.rs\"")),
        ("dear/build.rs", "fn main() { println!(\"cargo::rerun-if-changed=build.rs\"); }\n".to_owned()),
        ("dear/src/lib.rs", dear(0)),
        ("heavy/Cargo.toml", package("heavy", "")),
        ("heavy/src/lib.rs", data(2, 1_500_000)),
        ("on_heavy/Cargo.toml", package("on_heavy", "[dependencies]\nheavy = { path = \"../heavy\" }")),
        ("on_heavy/src/main.rs", program("heavy::")),
    ];
    let project = files.into_iter().map(|(path, text)| (path.to_owned(), text)).collect();
    let mut world = World::in_memory("", |_| project);
    world.command = words("build --workspace");
    world.binary = "on_heavy".into();
    world
}

/// Much for the compiler to do, and little that comes of it.
fn dear(round: u32) -> String {
    let count = 5_000;
    format!(
        "#![allow(long_running_const_eval)]\npub const ROUND: u32 = {round};\npub const SUM: u64 = {{\n    let (mut sum, mut at) = (0_u64, 0_u64);\n    \
         while at < {count} * 60 {{\n        sum = sum.wrapping_mul(31).wrapping_add(at);\n        at += 1;\n    }}\n    sum\n}};\n"
    )
}

fn limit(world: &mut World, size: &str) {
    world.options.retain(|option| !option.starts_with("--max-size"));
    world.options.push(format!("--max-size={size}"));
}

/// A job on a wiped machine: what it compiled, and both logs.
fn job(world: &World) -> (BTreeSet<String>, String) {
    world.wipe_and_clone();
    let restored = world.restore();
    assert!(!restored.contains("warning"), "{restored}");
    let compiled = world.build().compiled;
    (compiled, format!("{restored}{}", world.save()))
}

fn set(units: &[&str]) -> BTreeSet<String> {
    units.iter().map(|unit| (*unit).to_owned()).collect()
}

#[test]
fn what_is_cheapest_for_its_size_is_left_out_and_built_each_time() {
    let mut world = world();
    limit(&mut world, "1 MB");
    let (all, log) = job(&world);
    assert!(all.is_superset(&set(&[BIG, DEAR, HEAVY, ON_HEAVY])), "{all:?}");
    assert!(log.contains("not stored, because `max-size` (1.0 MB) has no room for it"), "{log}");
    assert!(log.contains("target: saved"), "{log}");
    assert_eq!(world.packs().len(), 1, "{log}");

    let output = world.output();
    // Built again, for that cause, and nothing else is; and it is no news.
    let without = set(&[BIG, HEAVY, ON_HEAVY]);
    for _ in 0..2 {
        let (compiled, log) = job(&world);
        assert_eq!(compiled, without, "{log}");
        assert!(log.contains("it was not stored, because `max-size` (1.0 MB) had no room for it"), "{log}");
        // That was known before.
        assert!(log.contains("`max-size` (1.0 MB) had no room for it (3 units)"), "{log}");
        assert!(log.contains("forecast: it came true\n"), "{log}");
        assert!(
            log.contains("not saved, nothing was compiled but what there is no room for, and nothing was dropped"),
            "{log}"
        );
        assert_eq!(world.output(), output);
    }

    // News of what is stored is stored, without the rest.
    world.change(&[("dear/src/lib.rs", &dear(1))]);
    let (compiled, log) = job(&world);
    assert_eq!(compiled, without.iter().cloned().chain([DEAR.to_owned()]).collect(), "{log}");
    assert!(log.contains("changes only"), "{log}");
    let (compiled, log) = job(&world);
    assert_eq!(compiled, without, "{log}");

    // With more room, more is stored.
    limit(&mut world, "100 MB");
    let (compiled, log) = job(&world);
    assert_eq!(compiled, without, "{log}");
    assert!(log.contains("target: saved") && !log.contains("has no room"), "{log}");
    let (compiled, log) = job(&world);
    assert_eq!(compiled, set(&[]), "{log}");
}

#[test]
fn the_limit_is_for_all_that_a_state_is_made_of() {
    let mut world = world();
    limit(&mut world, "8 MB");
    let (_, log) = job(&world);
    assert!(log.contains("target: saved") && !log.contains("has no room"), "{log}");
    // Deltas that are allowed for themselves, and not with what they build on.
    let mut said = String::new();
    for round in 0..3 {
        world.change(&[("big/src/main.rs", &format!("{}{}", data(10 + round, 3_000_000), program("")))]);
        let (compiled, log) = job(&world);
        assert!(compiled.contains(BIG), "{log}");
        let stored: u64 = world.packs().iter().map(|pack| pack.metadata().unwrap().len()).max().unwrap();
        assert!(stored <= 8_000_000, "{log}");
        said.push_str(&log);
    }
    assert!(said.contains("everything, because there is no room for more deltas"), "{said}");
    let (compiled, log) = job(&world);
    assert_eq!(compiled, set(&[]), "{log}");
}

#[test]
fn where_nothing_fits_nothing_is_stored() {
    let mut world = world();
    limit(&mut world, "2 kB");
    let (_, log) = job(&world);
    assert!(log.contains("and `max-size` is 2.0 kB"), "{log}");
    assert!(world.packs().is_empty(), "{log}");
}

/// The store's disk has less room than the state needs, and then enough.
#[cfg(target_os = "linux")]
#[test]
fn what_a_small_disk_has_no_room_for_is_left_out_until_there_is_room() {
    let world = world();
    std::fs::create_dir_all(world.store()).unwrap();
    let store = world.store();
    let store = store.to_str().unwrap();
    let size = |size: &str, options: &str| {
        as_root(&["mount", "-t", "tmpfs", "-o", &format!("{options}size={size},mode=777"), "tmpfs", store]);
    };
    size("1100k", "");
    let runs = [job(&world), job(&world)];
    let packs = world.packs().len();
    size("100m", "remount,");
    let more = [job(&world), job(&world)];
    as_root(&["umount", store]);
    let [(all, first), (again, second)] = runs;
    assert!(all.is_superset(&set(&[BIG, DEAR, HEAVY, ON_HEAVY])), "{all:?}");
    assert!(first.contains("not stored, because the disk (1.1 MB to spare) has no room for it"), "{first}");
    assert!(first.contains("target: saved") && !first.contains("::warning"), "{first}");
    let without = set(&[BIG, HEAVY, ON_HEAVY]);
    assert_eq!(again, without, "{second}");
    assert!(second.contains("it was not stored, because the disk (1.1 MB to spare) had no room for it"), "{second}");
    assert!(second.contains("not saved, nothing was compiled but what"), "{second}");
    assert_eq!(packs, 1, "{second}");
    let [(third, saved), (none, _)] = more;
    assert_eq!(third, without, "{saved}");
    assert!(saved.contains("target: saved") && !saved.contains("has no room"), "{saved}");
    assert_eq!(none, set(&[]), "{saved}");
}

/// What was stored before is not given up for the part of it that would fit once more.
#[cfg(target_os = "linux")]
#[test]
fn on_a_disk_that_has_become_small_what_was_stored_stays() {
    let mut world = world();
    std::fs::create_dir_all(world.store()).unwrap();
    let store = world.store();
    let store = store.to_str().unwrap();
    let size = |size: u64, options: &str| {
        as_root(&["mount", "-t", "tmpfs", "-o", &format!("{options}size={size},mode=777"), "tmpfs", store]);
    };
    size(100 << 20, "");
    job(&world);
    let used: u64 = std::fs::read_dir(store).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    size(used + (1 << 20), "remount,");
    // Most of the base is dead from now on, so that it would be written anew if there were room.
    world.change(&[
        ("big/src/main.rs", &format!("{}{}", data(20, 3_000_000), program(""))),
        ("dear/src/lib.rs", &dear(1)),
    ]);
    let (edited, first) = job(&world);
    let (again, second) = job(&world);
    size(100 << 20, "remount,");
    let (third, saved) = job(&world);
    let (none, log) = job(&world);
    as_root(&["umount", store]);
    assert_eq!(edited, set(&[BIG, DEAR]), "{first}");
    assert!(first.contains("changes only") && first.contains("to spare) has no room for it"), "{first}");
    assert_eq!(again, set(&[BIG]), "{second}");
    assert!(second.contains("not saved, nothing was compiled but what"), "{second}");
    assert_eq!(third, set(&[BIG]), "{saved}");
    assert!(saved.contains("target: saved") && !saved.contains("has no room"), "{saved}");
    assert_eq!(none, set(&[]), "{log}");
}

#[test]
fn a_disk_that_is_kept_keeps_what_was_not_stored() {
    let mut world = world();
    limit(&mut world, "1 MB");
    job(&world);
    world.change(&[("dear/src/lib.rs", &dear(1))]);
    world.update_in_place();
    let log = world.restore();
    assert_eq!(world.build().compiled, set(&[DEAR]), "{log}");
    world.save();
}
