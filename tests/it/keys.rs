//! Keys do not freeze, do not collide badly, and hold no secret.

use std::fs;

use crate::support::{World, git, nightly, write};

const SUB_2: &str = "pub fn sub() -> &'static str { \"sub-2\" }\n";

#[test]
fn states_a_b_a_a_and_the_fourth_run_compiles_nothing() {
    let mut world = World::scenario();
    world.first_run();
    let a = world.head();
    world.change(&[("work/a/src/sub.rs", SUB_2)]);
    world.warm_run();
    world.save();
    git(&world.origin(), &["checkout", "--quiet", "--detach", &a], None);
    world.wipe_and_clone();
    world.restore();
    assert!(!world.build().compiled.is_empty(), "the third run goes back");
    let log = world.save();
    assert!(log.contains("target: saved"), "{log}");
    assert!(world.warm_run().compiled.is_empty(), "the fourth run changes nothing");
    assert!(world.save().contains("target: not saved, nothing was compiled"));
}

#[test]
fn two_jobs_from_one_entry_collide_harmlessly() {
    let mut world = World::scenario();
    world.first_run();
    world.change(&[("work/c/assets/p.txt", "p-2\n")]);
    world.warm_run();
    let state = fs::read(world.dir.join("state.json")).unwrap();
    let first = world.save();
    fs::write(world.dir.join("state.json"), state).unwrap();
    let second = world.save();
    assert!(first.contains("target: saved"), "{first}");
    assert!(second.contains("target: already stored"), "{second}");
    assert_eq!(world.packs().len(), 2);
    assert!(world.warm_run().compiled.is_empty());
    // The second job's disk knows another pack under that key: the next save must not build on bytes that are not stored.
    world.change(&[("work/c/assets/p.txt", "p-3\n")]);
    world.update_in_place();
    world.restore();
    world.build();
    world.save();
    assert!(world.warm_run().compiled.is_empty());
}

#[test]
fn a_roll_starts_a_new_name() {
    let mut world = World::scenario();
    world.first_run();
    world.options = vec!["--key-roll".into(), "again".into()];
    world.wipe_and_clone();
    assert!(world.restore().contains("cold start"));
    world.options.clear();
    world.wipe_and_clone();
    assert!(world.restore().contains("restored"));
}

#[test]
fn tokens_and_colours_do_not_enter_the_key_and_flags_do() {
    let mut world = World::scenario();
    world.wipe_and_clone();
    let key = |world: &World| {
        let output = world.rekindle(&["key"]);
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let plain = key(&world);
    for (name, value) in [
        ("CARGO_REGISTRY_TOKEN", "s3cr3t-s3cr3t"),
        ("CARGO_REGISTRIES_X_TOKEN", "s3cr3t-s3cr3t"),
        ("CARGO_TERM_COLOR", "always"),
        ("RUST_BACKTRACE", "full"),
        ("CARGO_NET_RETRY", "9"),
    ] {
        world.env.insert(name.into(), value.into());
    }
    assert_eq!(key(&world), plain);
    world.env.insert("RUSTFLAGS".into(), "-g".into());
    assert_ne!(key(&world), plain);
}

#[test]
fn the_difference_of_two_keys_is_explained() {
    let mut world = World::scenario();
    world.first_run();
    let stored = world.packs()[0].file_name().unwrap().to_str().unwrap().strip_suffix(".tar.zst").unwrap().to_owned();
    let old = world.dir.join("old.json");
    fs::write(&old, world.rekindle(&["key", "--json"]).stdout).unwrap();
    world.env.insert("RUSTFLAGS".into(), "-g".into());
    let new = world.dir.join("new.json");
    fs::write(&new, world.rekindle(&["key", "--json"]).stdout).unwrap();
    let store = format!("dir:{}", world.store().display());
    let diff = |a: &str, b: &str| {
        String::from_utf8(world.rekindle(&["key", "--store", &store, "--diff", a, b]).stdout).unwrap()
    };
    assert_eq!(diff(old.to_str().unwrap(), new.to_str().unwrap()), "flags `RUSTFLAGS`: (none) → -g\n");
    assert_eq!(diff(&stored, old.to_str().unwrap()), "the keys have the same parts\n");
}

#[test]
fn a_toolchain_file_of_the_workspace_decides() {
    let mut world = World::scenario();
    write(&world.origin().join("work/rust-toolchain.toml"), &format!("[toolchain]\nchannel = \"{}\"\n", nightly()));
    world.commit("toolchain");
    world.wipe_and_clone();
    let text = String::from_utf8(world.rekindle(&["key"]).stdout).unwrap();
    assert!(text.contains("-nightly"), "{text}");
}
