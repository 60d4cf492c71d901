//! Nightly's checksum freshness, where a new time invalidates nothing.

use crate::support::{A_UNITS, World, nightly, words};

fn world() -> World {
    let mut world = World::scenario();
    world.env.insert("RUSTUP_TOOLCHAIN".into(), nightly());
    world.command = words("build --workspace --all-targets -Zchecksum-freshness");
    world.first_run();
    let warm = world.warm_run();
    assert!(warm.compiled.is_empty(), "{:?}", warm.compiled);
    world.save();
    world
}

#[test]
fn a_file_that_only_a_macro_reads_changes_where_times_say_nothing() {
    let mut world = world();
    world.change(&[("work/a/macro_input.txt", "macro-2\n")]);
    let compiled = world.warm_run().compiled;
    assert_eq!(compiled, A_UNITS.iter().map(|unit| (*unit).to_owned()).collect());
    let output = world.output();
    assert!(output.contains("macro-2"), "{output}");
}

#[test]
fn an_old_style_package_loses_a_file_where_times_say_nothing() {
    let mut world = world();
    world.remove(&["work/b/notes/x.txt"]);
    let compiled = world.warm_run().compiled;
    assert!(compiled.contains("b build-script run") && compiled.contains("app 0.1.0 bin app"), "{compiled:?}");
    assert!(world.output().contains("b=y.txt:y-1"), "{}", world.output());
}

#[test]
fn a_source_changes_and_comes_back_where_times_say_nothing() {
    let mut world = world();
    let old = std::fs::read_to_string(world.origin().join("work/a/src/sub.rs")).unwrap();
    world.change(&[("work/a/src/sub.rs", "pub fn sub() -> &'static str { \"sub-2\" }\n")]);
    assert!(world.warm_run().compiled.contains("a 0.1.0 lib a"));
    world.save();
    world.change(&[("work/a/src/sub.rs", &old)]);
    assert!(world.warm_run().compiled.contains("a 0.1.0 lib a"));
    assert!(world.output().contains("sub-1"));
}
