//! Documentation that takes files in from outside of its package, where Cargo does not look.

use std::fs;

use crate::support::{Project, World, words, write};

/// Documentation of `a`, in `work/`, that takes in files of the workspace and of the repository; `b` takes in its own.
fn ready() -> World {
    let mut world = World::in_memory("work", |_| {
        let mut files = Project::new();
        let mut add = |path: &str, text: &str| {
            files.insert(path.to_owned(), text.to_owned());
        };
        add("work/Cargo.toml", "[workspace]\nresolver = \"2\"\nmembers = [\"a\", \"b\"]\n");
        add(".gitignore", "target\n");
        for name in ["a", "b"] {
            let manifest = format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
            add(&format!("work/{name}/Cargo.toml"), &manifest);
        }
        add(
            "work/a/src/lib.rs",
            "#![doc = include_str!(\"../../README.md\")]\n#![doc = include_str!(\"../linked.md\")]\n#[doc = \
             include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/../../top.md\"))]\npub struct A;\n#[path = \
             \"../../shared.rs\"]\npub mod shared;\n",
        );
        add("work/shared.rs", "#![doc = include_str!(\"shared.md\")]\n");
        add("work/shared.md", "shared-1");
        add("work/README.md", "readme-1");
        add("work/a/linked.md", "-> ../../linked.md");
        add("linked.md", "linked-1");
        add("top.md", "top-1");
        add("work/other.md", "other-1");
        add("work/b/own.md", "own-1");
        add("work/b/src/lib.rs", "#![doc = include_str!(\"../own.md\")]\n");
        files
    });
    world.command = words("doc --no-deps --workspace");
    world.first_run();
    world
}

/// All that the documentation says.
fn pages(world: &World) -> String {
    let read = |path: &str| fs::read_to_string(world.target().join("doc").join(path)).unwrap();
    ["a/index.html", "a/struct.A.html", "a/shared/index.html", "b/index.html"].map(read).concat()
}

/// The packages that a restored machine documents anew, and what the restore said.
fn documents(world: &World) -> (Vec<String>, String) {
    world.wipe_and_clone();
    let log = world.restore();
    (documented(&world.build().stderr), log)
}

fn documented(log: &str) -> Vec<String> {
    let lines = log.lines().filter_map(|line| line.trim().strip_prefix("Documenting "));
    lines.filter_map(|rest| rest.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn documentation_is_made_again_if_what_it_takes_in_from_elsewhere_changes() {
    let mut world = ready();
    let changes = [
        ("work/README.md", "readme-2"),
        ("linked.md", "linked-2"),
        ("top.md", "top-2"),
        ("work/shared.md", "shared-2"),
        ("work/shared.rs", "#![doc = \"another\"]\n"),
    ];
    for (path, text) in changes {
        world.change(&[(path, text)]);
        let (documented, log) = documents(&world);
        assert_eq!(documented, ["a"], "{path}: {log}");
        assert!(log.contains("a (docs)") && !log.contains("b (docs)"), "{path}: {log}");
        let restored = pages(&world);
        world.save();
        world.wipe_and_clone();
        world.build();
        assert_eq!(restored, pages(&world), "{path}");
    }
}

#[test]
fn documentation_stays_where_nothing_that_it_takes_in_changed() {
    let mut world = ready();
    for round in ["2", "3"] {
        world.change(&[("work/other.md", round)]);
        let (documented, log) = documents(&world);
        assert!(documented.is_empty() && !log.contains("(docs)"), "{documented:?}: {log}");
        world.save_with(&["--save", "always"]);
    }
    world.change(&[("work/b/own.md", "own-2"), ("work/README.md", "readme-2")]);
    let (_, log) = documents(&world);
    assert!(log.contains("a (docs): it takes in `") && !log.contains("b (docs): it"), "{log}");
    assert!(pages(&world).contains("own-2") && pages(&world).contains("readme-2"));
}

#[test]
fn what_a_step_changed_after_the_documentation_was_made_does_not_pass_for_what_it_took_in() {
    let mut world = ready();
    world.change(&[("work/b/src/lib.rs", "#![doc = include_str!(\"../own.md\")]\n//! More.\n")]);
    world.wipe_and_clone();
    world.restore();
    world.build();
    let path = world.work().join("work/README.md");
    write(&path, "readme-2");
    filetime::set_file_mtime(&path, filetime::FileTime::zero()).unwrap();
    world.save();
    world.change(&[("work/README.md", "readme-2")]);
    documents(&world);
    assert!(pages(&world).contains("readme-2"));
}
