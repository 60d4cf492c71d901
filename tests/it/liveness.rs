//! What is kept and what is dropped.

use std::fs;

use crate::support::World;

#[test]
fn units_that_no_run_uses_are_dropped_after_the_retention_window() {
    let mut world = World::scenario();
    world.command = vec!["build".into(), "-p".into(), "c".into(), "-p".into(), "b".into()];
    world.first_run();
    world.command = vec!["build".into(), "-p".into(), "c".into()];
    let run = |world: &mut World, number: usize, result: &str| {
        world.change(&[("work/c/assets/p.txt", &format!("p-{number}\n"))]);
        world.warm_run();
        world.save_with(&["--keep-unused", "2", "--job-result", result])
    };
    for number in 0..2 {
        let log = run(&mut world, number, "success");
        assert!(log.contains("0 dropped"), "{log}");
    }
    // A run that failed makes nothing older.
    let log = run(&mut world, 2, "failure");
    assert!(log.contains("0 dropped"), "{log}");
    let log = run(&mut world, 3, "success");
    assert!(log.contains("3 dropped"), "{log}");
    world.command = vec!["build".into(), "-p".into(), "b".into()];
    let compiled = world.warm_run().compiled;
    assert!(compiled.contains("b 0.1.0 lib b"), "{compiled:?}");
}

#[test]
fn a_unit_that_comes_back_into_use_is_not_dropped() {
    let mut world = World::scenario();
    world.command = vec!["build".into(), "-p".into(), "c".into(), "-p".into(), "b".into()];
    world.first_run();
    for number in 0..6 {
        world.change(&[("work/c/assets/p.txt", &format!("p-{number}\n"))]);
        let both = number % 2 == 1;
        world.command = if both {
            vec!["build".into(), "-p".into(), "c".into(), "-p".into(), "b".into()]
        } else {
            vec!["build".into(), "-p".into(), "c".into()]
        };
        let compiled = world.warm_run().compiled;
        assert!(!compiled.contains("b 0.1.0 lib b"), "run {number}: {compiled:?}");
        let log = world.save_with(&["--keep-unused", "1"]);
        assert!(log.contains("0 dropped"), "{log}");
    }
}

#[test]
fn incremental_state_is_dropped_unless_it_is_asked_for() {
    let mut world = World::scenario();
    world.env.insert("CARGO_INCREMENTAL".into(), "1".into());
    world.first_run();
    world.wipe_and_clone();
    world.restore();
    assert!(!world.target().join("debug/incremental").exists());
    assert!(world.build().compiled.is_empty());

    world.options = vec!["--incremental".into(), "on".into()];
    world.wipe_and_clone();
    assert!(world.restore().contains("rolled: option `incremental`: off → on"));
    world.build();
    world.save();
    world.wipe_and_clone();
    world.restore();
    assert!(fs::read_dir(world.target().join("debug/incremental")).unwrap().count() > 0);
    assert!(world.build().compiled.is_empty());
}

#[test]
fn documentation_is_kept_while_its_units_are_used() {
    let mut world = World::scenario();
    // Without what was fetched, and with it.
    for command in ["doc --workspace --no-deps", "doc --workspace"] {
        world.command = crate::support::words(command);
        world.options = vec!["--key".into(), command.into()];
        world.first_run();
        let warm = world.warm_run();
        assert!(!warm.stderr.contains("Documenting"), "{command}: {}", warm.stderr);
        assert!(world.target().join("doc/a/index.html").exists());
    }
    assert!(world.target().join("doc/gitdep/index.html").exists());
}

#[test]
fn what_other_tools_leave_in_the_target_comes_back() {
    let world = World::scenario();
    world.wipe_and_clone();
    world.restore();
    world.build();
    let config = world.target().join("maturin/pyo3-config-3.12.txt");
    fs::create_dir_all(config.parent().unwrap()).unwrap();
    fs::write(&config, "version=3.12\n").unwrap();
    let time = filetime::FileTime::from_unix_time(1_700_000_123, 456_789_000);
    filetime::set_file_mtime(&config, time).unwrap();
    fs::create_dir_all(world.target().join("tmp")).unwrap();
    fs::write(world.target().join("tmp/scratch"), "x").unwrap();
    world.save();
    world.wipe_and_clone();
    world.restore();
    assert_eq!(crate::support::restored_time(&config), time);
    // Tests expect their folder to be there; what they left in it is theirs.
    assert_eq!(std::fs::read_dir(world.target().join("tmp")).unwrap().count(), 0);
}
