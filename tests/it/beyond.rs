//! A proc macro that reads what lies in the repository but beyond the workspace: only what was read is an input.

use std::fs;

use filetime::FileTime;

use crate::support::{Project, World, git, write};

const USERS: [&str; 2] = ["app 0.1.0 bin app", "app 0.1.0 bin app test"];

/// A program in `p/`, whose macro joins what the files hold that its input names, from the package's folder on.
fn project(names: &str) -> Project {
    let mut files = Project::new();
    let mut add = |path: &str, text: &str| {
        files.insert(path.to_owned(), text.to_owned());
    };
    let manifest = "version = \"0.1.0\"\nedition = \"2021\"\n";
    add(
        "p/Cargo.toml",
        &format!("[package]\nname = \"app\"\n{manifest}[dependencies]\nm = {{ path = \"m\" }}\n[workspace]\n"),
    );
    add("p/m/Cargo.toml", &format!("[package]\nname = \"m\"\n{manifest}[lib]\nproc-macro = true\n"));
    add(".gitignore", "target\n");
    add("p/src/main.rs", &program(names));
    add(
        "p/m/src/lib.rs",
        "use std::{env, fs, path::Path};\n#[proc_macro]\npub fn join(input: proc_macro::TokenStream) -> proc_macro::TokenStream {\n \
         let dir = env::var(\"CARGO_MANIFEST_DIR\").unwrap();\n let names = input.to_string();\n let names = \
         names.trim_matches('\"').split(',').filter(|name| !name.is_empty());\n let read = |name: &str| \
         fs::read_to_string(Path::new(&dir).join(name)).unwrap();\n format!(\"{:?}\", \
         names.map(read).collect::<String>()).parse().unwrap()\n}\n",
    );
    add("schema/q.sql", "select 1;");
    add("schema/unread.sql", "select 1;");
    add("shared/f", "shared-1;");
    add("p/data/f.txt", "-> ../../shared/f");
    add("folder/g.txt", "folder-1;");
    add("p/linked", "-> ../folder");
    add("versions/v1/x.sql", "x-1;");
    add("versions/v2/x.sql", "x-2;");
    add("via", "-> versions/v1");
    add("README.md", "about all of it");
    files
}

fn program(names: &str) -> String {
    format!("fn main() {{ println!(\"{{}}\", m::join!({names:?})); }}\n")
}

const NAMES: &str = "../schema/q.sql,data/f.txt,linked/g.txt,../via/x.sql";

fn ready(names: &str) -> World {
    let world = World::in_memory("p", |_| project(names));
    world.first_run();
    world
}

#[test]
fn what_a_macro_read_beyond_the_workspace_is_an_input() {
    let mut world = ready(NAMES);
    let changes = [
        ("schema/q.sql", "select 2;"),
        ("shared/f", "shared-2;"),
        ("folder/g.txt", "folder-2;"),
        ("versions/v1/x.sql", "x-3;"),
        ("via", "-> versions/v2"),
        // It may list the folder.
        ("schema/new.sql", "select 3;"),
    ];
    for (path, text) in changes {
        world.change(&[(path, text)]);
        let log = world.prove(&USERS);
        assert!(log.contains("it uses `m`, a proc macro that may read files, and `"), "{path}: {log}");
        assert!(log.contains("which was read in the job that compiled it"), "{path}: {log}");
        world.warm_run();
        world.save();
    }
    world.remove(&["schema/new.sql"]);
    world.prove(&USERS);
}

#[test]
fn what_nobody_read_beyond_the_workspace_rebuilds_nothing_and_what_was_read_is_remembered() {
    let mut world = ready(NAMES);
    for round in ["2", "3"] {
        world.change(&[("README.md", round), ("schema/unread.sql", round), ("versions/v2/x.sql", round)]);
        world.prove(&[]);
        world.warm_run();
        world.save_with(&["--save", "always"]);
        git(&world.work(), &["diff-index", "--quiet", "HEAD"], None);
    }
    world.change(&[("schema/q.sql", "select 2;")]);
    world.prove(&USERS);
}

#[test]
fn what_a_step_changed_after_the_build_does_not_pass_for_what_was_read() {
    let mut world = World::in_memory("p", |_| project(NAMES));
    world.wipe_and_clone();
    world.restore();
    world.build();
    let path = world.work().join("schema/q.sql");
    write(&path, "select 2;");
    filetime::set_file_times(&path, FileTime::zero(), FileTime::zero()).unwrap();
    world.save();
    world.change(&[("schema/q.sql", "select 2;")]);
    let compiled = world.warm_run().compiled;
    assert!(compiled.contains(USERS[0]) && world.output().contains("select 2;"), "{compiled:?}");
}

#[test]
fn nobody_touches_a_file_beyond_the_workspace_where_no_macro_reads() {
    let world = World::in_memory("p", |_| {
        let mut files = project("");
        let innocent =
            "#[proc_macro]\npub fn join(input: proc_macro::TokenStream) -> proc_macro::TokenStream { input }\n";
        files.insert("p/m/src/lib.rs".into(), innocent.into());
        files
    });
    world.first_run();
    world.wipe_and_clone();
    world.restore();
    let accessed = |path: &str| FileTime::from_last_access_time(&fs::metadata(world.work().join(path)).unwrap());
    assert_ne!(accessed("README.md"), FileTime::zero());
    let world = ready(NAMES);
    world.wipe_and_clone();
    world.restore();
    let accessed = |path: &str| FileTime::from_last_access_time(&fs::metadata(world.work().join(path)).unwrap());
    assert_eq!(accessed("README.md"), FileTime::zero());
}
