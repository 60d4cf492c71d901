//! Proc macros that read files: which are taken for such, what their users are rebuilt for, and what nobody reads.
//!
//! Access times tell what nobody reads; where a test reads every file itself, only the scan of the macro's sources is left to
//! decide.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use filetime::FileTime;

use crate::support::{Project, World, git, restored_time, write};

/// What a change to an input of the macro compiles.
const USERS: [&str; 4] =
    ["app 0.1.0 bin app", "app 0.1.0 bin app test", "user 0.1.0 lib user", "user 0.1.0 lib user test"];

fn manifest(name: &str, rest: &str) -> String {
    format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n{rest}")
}

/// A program, a library that uses a macro, and the macro, which joins what the files below hold that its input names; a name
/// that ends in `/` is a folder.
fn project() -> Project {
    let mut files = Project::new();
    let mut add = |path: &str, text: &str| {
        files.insert(path.to_owned(), text.to_owned());
    };
    let root = "[workspace]\nresolver = \"2\"\nmembers = [\"app\", \"user\", \"other\", \"pm\"]\n[workspace.dependencies]\n\
                slurp = { path = \"pm\", package = \"pm\" }\n[profile.dev]\ndebug = 0\n";
    add("Cargo.toml", root);
    add(".gitignore", "/target\n");
    add("schema.graphql", "schema-1");
    add("README.md", "about all of it");
    // Nothing about it is where one expects it.
    add("pm/Cargo.toml", &manifest("pm", "[lib]\npath = \"code/entry.rs\"\ncrate-type = [\"proc-macro\"]\n"));
    add(
        "pm/code/entry.rs",
        "include!(\"../parts/reading.txt\");\n#[proc_macro]\npub fn slurp(input: proc_macro::TokenStream) -> proc_macro::TokenStream {\n \
         format!(\"{:?}\", join(&input.to_string())).parse().unwrap()\n}\n",
    );
    add(
        "pm/parts/reading.txt",
        "fn join(names: &str) -> String {\n let dir = std::path::PathBuf::from(std::env::var(concat!(\"CARGO\", \"_MANIFEST_DIR\")).unwrap());\n \
         let names = names.trim_matches('\"').split(',').filter(|name| !name.is_empty());\n let mut text = String::new();\n \
         for name in names {\n  let path = dir.join(name);\n  if name.ends_with('/') {\n   let mut inner: Vec<_> = std::fs::read_dir(&path)\n    \
         .map(|all| all.map(|one| one.unwrap().path()).collect()).unwrap_or_default();\n   inner.sort();\n   for path in inner { \
         text += &std::fs::read_to_string(path).unwrap(); text.push('|'); }\n  } else {\n   \
         text += &std::fs::read_to_string(&path).unwrap_or_else(|_| \"none\".into()); text.push('|');\n  }\n }\n text\n}\n",
    );
    add("user/Cargo.toml", &manifest("user", "[features]\nmore = []\n[dependencies]\nslurp = { workspace = true }\n"));
    add("user/src/lib.rs", &library("input.txt,migrations/,optional.txt,../schema.graphql,../other/data.txt,link.txt"));
    add("user/input.txt", "input-1");
    add("user/linked/real.txt", "real-1");
    add("user/link.txt", "-> linked/real.txt");
    add("user/migrations/1.sql", "one");
    add("user/migrations/2.sql", "two");
    add("user/README.md", "about the library");
    add("other/Cargo.toml", &manifest("other", ""));
    add("other/src/lib.rs", "pub fn text() -> &'static str { \"other\" }\n");
    add("other/data.txt", "data-1");
    add("other/README.md", "about the other");
    add(
        "app/Cargo.toml",
        &manifest("app", "[dependencies]\nuser = { path = \"../user\" }\nother = { path = \"../other\" }\n"),
    );
    add("app/src/main.rs", "fn main() { println!(\"{} {}\", user::text(), other::text()); }\n");
    add("app/README.md", "about the program");
    files
}

fn library(names: &str) -> String {
    format!("pub fn text() -> String {{ slurp::slurp!({names:?}).to_string() }}\n")
}

fn ready() -> World {
    let world = World::in_memory("", |_| project());
    world.first_run();
    world
}

/// As a linter, an editor or a search would.
fn read_everything(world: &World) {
    for path in git(&world.work(), &["ls-files"], None).lines() {
        let _ = fs::read(world.work().join(path));
    }
}

/// A first run in which everything was read.
fn ready_and_read() -> World {
    let world = World::in_memory("", |_| project());
    world.wipe_and_clone();
    world.restore();
    world.build();
    read_everything(&world);
    world.save();
    world
}

/// The next run saves, too, and nothing was compiled.
fn compiles_nothing(world: &World) {
    let log = world.prove(&[]);
    assert!(!log.contains("proc macro"), "{log}");
    assert!(world.warm_run().compiled.is_empty());
    world.save();
}

#[test]
fn a_macro_is_seen_to_read_files_wherever_its_sources_lie_and_whatever_it_is_called() {
    let mut world = World::in_memory("", |_| project());
    // Nobody knows what is read behind a wrapper.
    world.env.insert("RUSTC_WRAPPER".into(), "/usr/bin/env".into());
    world.first_run();
    world.change(&[("user/input.txt", "input-2")]);
    let log = world.prove(&USERS);
    assert!(log.contains("it uses `pm`, a proc macro that may read files, and `"), "{log}");
    assert!(!log.contains("was read"), "{log}");
}

#[test]
fn what_a_macro_read_is_said_to_have_been_read_and_costs_its_users() {
    let mut world = ready();
    world.change(&[("user/input.txt", "input-2")]);
    let log = world.prove(&USERS);
    assert!(log.contains("user/input.txt`, which was read in the job that compiled it, changed"), "{log}");
}

#[test]
fn what_nobody_read_is_left_alone_in_the_second_run_and_in_the_third() {
    let mut world = ready();
    for round in ["2", "3"] {
        world.change(&[
            ("user/README.md", round),
            ("app/README.md", round),
            ("README.md", round),
            ("other/README.md", round),
        ]);
        compiles_nothing(&world);
    }
    world.change(&[("user/input.txt", "input-3"), ("user/README.md", "4")]);
    world.prove(&USERS);
}

#[test]
fn a_readme_that_somebody_read_is_suspected() {
    let mut world = ready_and_read();
    world.change(&[("user/README.md", "2")]);
    world.prove(&USERS);
}

#[test]
fn files_come_go_and_change_with_old_times_in_a_folder_that_a_macro_lists() {
    let mut world = ready();
    world.date = 1_000_000_000;
    for (path, text) in [
        ("user/migrations/3.sql", Some("three")),
        ("user/migrations/1.sql", None),
        ("user/migrations/2.sql", Some("2")),
    ] {
        match text {
            Some(text) => world.change(&[(path, text)]),
            None => world.remove(&[path]),
        };
        world.prove(&USERS);
        world.warm_run();
        world.save();
    }
}

#[test]
fn a_file_that_a_macro_only_looked_for_appears() {
    let mut world = ready();
    world.change(&[("user/optional.txt", "there it is")]);
    world.prove(&USERS);
}

#[test]
fn a_macro_reads_beyond_its_package() {
    for path in ["schema.graphql", "other/data.txt", "user/linked/real.txt"] {
        let mut world = ready();
        world.change(&[(path, "2")]);
        world.prove(&USERS);
    }
    let mut world = ready();
    world.change(&[("user/link.txt", "-> input.txt")]);
    world.prove(&USERS);
}

/// Templates that live with the macro: what is new or gone among them is nothing that Cargo sees, and its users are built anew.
#[test]
fn files_come_and_go_in_a_folder_of_the_macros_own_package() {
    let mut world = World::in_memory("", |_| project());
    world.change(&[("user/src/lib.rs", &library("../pm/templates/")), ("pm/templates/1.txt", "one")]);
    world.first_run();
    world.change(&[("pm/templates/2.txt", "two")]);
    world.prove(&USERS);
    world.first_run();
    world.remove(&["pm/templates/1.txt"]);
    world.prove(&USERS);
    world.first_run();
    // What belongs to its compiler is none of theirs.
    world.change(&[("pm/tests/works.rs", "#[test]\nfn works() {}\n")]);
    world.kept_run();
    world.wipe_and_clone();
    world.restore();
    let compiled = world.build().compiled;
    assert!(USERS.iter().all(|unit| !compiled.contains(*unit)), "{compiled:?}");
}

#[test]
fn a_file_that_a_test_lists_is_an_input_of_the_library_all_the_same() {
    let mut world = World::in_memory("", |_| {
        let mut files = project();
        let test = "#[test]\nfn it_is_there() { assert!(include_str!(\"../input.txt\").starts_with(\"input\")); }\n";
        files.insert("user/tests/it.rs".into(), test.into());
        files
    });
    world.first_run();
    world.change(&[("user/input.txt", "input-2")]);
    world.prove(&USERS);
}

#[test]
fn each_unit_has_its_own_innocence() {
    let mut world = World::in_memory("", |_| {
        let mut files = project();
        let more = "pub fn text() -> String { let more = if cfg!(feature = \"more\") { more() } else { String::new() }; \
                    slurp::slurp!(\"input.txt\").to_string() + &more }\n#[cfg(feature = \"more\")]\nfn more() -> String { \
                    slurp::slurp!(\"more.txt\").to_string() }\n#[cfg(not(feature = \"more\"))]\nfn more() -> String { String::new() }\n";
        files.insert("user/src/lib.rs".into(), more.into());
        files.insert("user/more.txt".into(), "more-1".into());
        let app = manifest(
            "app",
            "[features]\nmore = [\"user/more\"]\n[dependencies]\nuser = { path = \"../user\" }\nother = { path = \"../other\" }\n",
        );
        files.insert("app/Cargo.toml".into(), app);
        files
    });
    let with = ["build", "--features", "app/more"].map(str::to_owned).to_vec();
    let without = vec!["build".to_owned()];
    world.command = with.clone();
    world.first_run();
    world.command = without.clone();
    world.warm_run();
    world.save_with(&["--keep-unused", "9"]);
    // Nobody read it when the unit without the feature was compiled; the one with it is another matter.
    world.change(&[("user/more.txt", "more-2")]);
    world.wipe_and_clone();
    let log = world.restore();
    assert!(world.build().compiled.is_empty(), "{log}");
    world.command = with;
    let compiled = world.build().compiled;
    assert!(compiled.contains("user 0.1.0 lib user") && world.output().contains("more-2"), "{compiled:?}\n{log}");
    world.save_with(&["--keep-unused", "9"]);
    // One command left the unit alone in a job that read the file for the other.
    world.command = without;
    world.change(&[("user/more.txt", "more-3")]);
    let kept = world.warm_run().compiled;
    assert!(kept.is_empty(), "{kept:?}");
}

#[test]
fn every_command_of_a_job_is_right_once_and_no_time_is_invented() {
    let mut world = ready();
    world.wipe_and_clone();
    world.restore();
    assert!(world.cargo("check --workspace").success && world.cargo("build --release").success);
    world.save();
    let source = world.workspace().join("user/src/lib.rs");
    let recorded = restored_time(&source);
    world.change(&[("user/input.txt", "input-2")]);
    // This job builds and does not check.
    let compiled = world.warm_run().compiled;
    assert!(compiled.contains("user 0.1.0 lib user"), "{compiled:?}");
    assert_eq!(restored_time(&source), recorded);
    world.save();
    world.wipe_and_clone();
    world.restore();
    assert!(world.build().compiled.is_empty());
    for command in ["check --workspace", "build --release"] {
        let compiled = world.cargo(command).compiled;
        assert!(compiled.contains("user 0.1.0 lib user"), "{command}: {compiled:?}");
    }
    world.save();
    world.wipe_and_clone();
    world.restore();
    for command in ["build --workspace --all-targets", "check --workspace", "build --release"] {
        let compiled = world.cargo(command).compiled;
        assert!(compiled.is_empty(), "{command}: {compiled:?}");
    }
}

#[test]
fn a_macro_that_is_locked_and_never_compiled_is_no_suspect() {
    let mut world = World::in_memory("", |_| {
        let mut files = project();
        let optional =
            "[features]\nslurp = [\"dep:slurp\"]\n[dependencies]\nslurp = { workspace = true, optional = true }\n";
        files.insert("user/Cargo.toml".into(), manifest("user", optional));
        files.insert("user/src/lib.rs".into(), "pub fn text() -> &'static str { \"plain\" }\n".into());
        files
    });
    world.command = vec!["build".into()];
    world.wipe_and_clone();
    world.restore();
    world.build();
    read_everything(&world);
    world.save();
    world.change(&[("user/README.md", "2"), ("README.md", "2"), ("user/new.txt", "new")]);
    compiles_nothing(&world);
}

#[test]
fn what_a_build_script_is_built_with_is_no_part_of_the_package() {
    let mut world = World::in_memory("", |_| {
        let mut files = project();
        files
            .insert("user/Cargo.toml".into(), manifest("user", "[build-dependencies]\nslurp = { workspace = true }\n"));
        files.insert("user/src/lib.rs".into(), "pub fn text() -> &'static str { env!(\"SLURPED\") }\n".into());
        let script = "fn main() { println!(\"cargo:rerun-if-changed=build.rs\"); println!(\"cargo:rustc-env=SLURPED={}\", \
                      slurp::slurp!(\"input.txt\")); }\n";
        files.insert("user/build.rs".into(), script.into());
        files
    });
    world.first_run();
    world.change(&[("user/README.md", "2"), ("app/README.md", "2")]);
    compiles_nothing(&world);
    world.change(&[("user/input.txt", "input-2")]);
    world.prove(&[&USERS[..], &["user build-script run", "user 0.1.0 custom-build build-script-build"]].concat());
}

#[test]
fn git_sees_a_clean_tree_and_reads_nothing() {
    let world = ready();
    world.wipe_and_clone();
    world.restore();
    let atime = |path: &str| FileTime::from_last_access_time(&fs::metadata(world.work().join(path)).unwrap());
    assert_eq!(atime("user/README.md").unix_seconds(), 0);
    git(&world.work(), &["diff-index", "--quiet", "HEAD"], None);
    assert_eq!(git(&world.work(), &["status", "--porcelain"], None), "");
    assert_eq!(atime("user/README.md").unix_seconds(), 0);
    git(&world.work(), &["fsck", "--strict", "--no-dangling"], None);
}

#[test]
fn a_compiler_behind_a_wrapper_may_not_have_read_anything() {
    let mut world = World::in_memory("", |_| project());
    world.env.insert("RUSTC_WRAPPER".into(), "/usr/bin/env".into());
    world.first_run();
    world.change(&[("user/README.md", "2")]);
    world.prove(&USERS);
}

#[test]
fn a_program_with_clap_does_not_mind_its_readme() {
    let mut world = World::new("", |_| {
        let mut files = Project::new();
        let dependency = "[dependencies]\nclap = { version = \"4\", features = [\"derive\"] }\n";
        files.insert("Cargo.toml".into(), manifest("app", dependency));
        files.insert(".gitignore".into(), "/target\n".into());
        let program = "use clap::Parser;\n#[derive(Parser)]\nstruct Arguments { name: Option<String> }\nfn main() { println!(\"{:?}\", \
                       Arguments::parse().name); }\n";
        files.insert("src/main.rs".into(), program.into());
        files.insert("README.md".into(), "1".into());
        files
    });
    world.command = vec!["build".into()];
    world.wipe_and_clone();
    world.restore();
    world.build();
    read_everything(&world);
    world.save();
    for round in ["2", "3"] {
        world.change(&[("README.md", round), ("CHANGELOG.md", round)]);
        world.wipe_and_clone();
        let log = world.restore();
        let compiled = world.build().compiled;
        assert!(compiled.is_empty(), "{round}: {compiled:?}\n{log}");
        read_everything(&world);
        world.save();
    }
}

/// Real macros, as far as their sources and those that they are built from tell. Fetches them.
#[test]
#[ignore = "fetches crates: REKINDLE_FULL=1 tests/all.sh runs it"]
fn real_macros_are_told_apart() {
    let innocent = [
        ("clap_derive", "4"),
        ("serde_derive", "1"),
        ("darling_macro", "0.20"),
        ("thiserror-impl", "2"),
        ("tokio-macros", "2"),
        ("jiff-static", "0.2"),
        ("async-trait", "0.1"),
        ("derive_more-impl", "2"),
        ("displaydoc", "0.2"),
        ("strum_macros", "0.27"),
        ("futures-macro", "0.3"),
        ("tracing-attributes", "0.1"),
        ("zerocopy-derive", "0.8"),
        ("pyo3-macros", "0.26"),
    ];
    let reading = [
        ("sqlx-macros", "0.8"),
        ("askama_derive", "0.14"),
        ("include_dir_macros", "0.7"),
        ("rust-embed-impl", "8"),
        ("migrations_macros", "2"),
        ("graphql_query_derive", "0.14"),
        ("pest_derive", "2"),
        ("refinery-macros", "0.8"),
        ("typify-macro", "0.4"),
    ];
    let mut wrong = BTreeMap::new();
    for (list, reads) in [(&innocent[..], false), (&reading[..], true)] {
        for (name, version) in list {
            let dir = tempfile::tempdir().unwrap();
            let traces = traces_of(dir.path(), name, version);
            if traces.is_empty() == reads {
                wrong.insert(*name, traces);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What is found in a macro's sources, and in those of the libraries that it is linked with.
fn traces_of(dir: &Path, name: &str, version: &str) -> BTreeMap<String, String> {
    write(&dir.join("Cargo.toml"), &manifest("probe", &format!("[dependencies]\n{name} = \"{version}\"\n")));
    write(&dir.join("src/lib.rs"), "");
    let metadata = cargo_metadata::MetadataCommand::new().current_dir(dir).exec().unwrap();
    let resolve = metadata.resolve.as_ref().unwrap();
    let linked = |node: &cargo_metadata::Node| {
        let normal = |dep: &&cargo_metadata::NodeDep| {
            let here = |kind: &cargo_metadata::DepKindInfo| {
                let unix = kind.target.as_ref().is_none_or(|target| !target.to_string().contains("windows"));
                kind.kind == cargo_metadata::DependencyKind::Normal && unix
            };
            dep.dep_kinds.iter().any(here)
        };
        node.deps.iter().filter(normal).map(|dep| dep.pkg.clone()).collect::<Vec<_>>()
    };
    let mut open = vec![metadata.packages.iter().find(|package| package.name.as_str() == name).unwrap().id.clone()];
    let mut traces = BTreeMap::new();
    let mut seen = open.clone();
    while let Some(id) = open.pop() {
        let package = &metadata[&id];
        let dirs = [package.manifest_path.parent().unwrap().as_std_path().to_path_buf()];
        if let rekindle::state::manifest::Scan::Shows(trace) = rekindle::cargo::macros::scan_packages(&dirs) {
            traces.insert(package.name.to_string(), trace);
        }
        let node = resolve.nodes.iter().find(|node| node.id == id).unwrap();
        let new: Vec<_> = linked(node).into_iter().filter(|id| !seen.contains(id)).collect();
        seen.extend(new.clone());
        open.extend(new);
    }
    traces
}

/// As programs do that generate their completions into the repository: a script's macro and the next run of the script look at a
/// file that changes all the time and is always the same.
#[test]
fn what_a_script_writes_again_with_the_same_content_rebuilds_nobody() {
    let mut files = project();
    let script = "fn main() {\n println!(\"cargo::rerun-if-changed=build.rs\");\n let text = slurp::slurp!(\"input.txt\");\n \
                  std::fs::write(\"made.txt\", text).unwrap();\n}\n";
    files.insert("user/build.rs".into(), script.into());
    let manifest = &files["user/Cargo.toml"];
    let manifest = format!("{manifest}[build-dependencies]\nslurp = {{ workspace = true }}\n");
    files.insert("user/Cargo.toml".into(), manifest);
    files.insert("user/made.txt".into(), "input-1|".into());
    files.insert("user/src/lib.rs".into(), library("made.txt"));
    let mut world = World::in_memory("", |_| files);
    world.first_run();
    read_everything(&world);
    world.wipe_and_clone();
    let log = world.restore();
    assert!(world.build().compiled.is_empty(), "{log}");
    world.save();
    // What it writes is another thing now: whoever read it is built again.
    world.change(&[("user/input.txt", "input-2")]);
    world.wipe_and_clone();
    let log = world.restore();
    let compiled = world.build().compiled;
    assert!(
        compiled.contains("user build-script run") && compiled.contains("user 0.1.0 lib user"),
        "{compiled:?} {log}"
    );
    world.save();
    world.wipe_and_clone();
    let log = world.restore();
    // The repository still holds what was generated before.
    let compiled = world.build().compiled;
    assert!(compiled.contains("user 0.1.0 lib user"), "{compiled:?} {log}");
}

/// The content is what it was before and after, and what was built holds another one.
#[test]
fn what_a_step_puts_back_was_not_there_when_it_was_read() {
    let world = ready();
    world.wipe_and_clone();
    world.restore();
    let input = world.workspace().join("user/input.txt");
    write(&input, "input-x");
    // A build that is due to something else, since Cargo does not know of this file.
    let library = world.workspace().join("user/src/lib.rs");
    let text = fs::read_to_string(&library).unwrap();
    write(&library, &format!("{text}// edited\n"));
    world.build();
    assert!(world.output().contains("input-x"), "{}", world.output());
    write(&input, "input-1");
    world.save();
    write(&world.origin().join("user/src/lib.rs"), &format!("{text}// edited\n"));
    let mut world = world;
    world.commit("the edit");
    world.wipe_and_clone();
    let log = world.restore();
    world.build();
    assert!(world.output().contains("input-1"), "{} {log}", world.output());
}

/// Another content is another matter: the script itself was built from what had been there before.
#[test]
fn what_a_script_writes_anew_rebuilds_whoever_read_it_before() {
    let mut files = project();
    let script = "fn main() {\n println!(\"cargo::rerun-if-changed=build.rs\");\n \
                  println!(\"cargo::rustc-env=HELD={}\", slurp::slurp!(\"made.txt\"));\n \
                  std::fs::write(\"made.txt\", \"made-2\").unwrap();\n}\n";
    files.insert("user/build.rs".into(), script.into());
    let manifest = format!("{}[build-dependencies]\nslurp = {{ workspace = true }}\n", files["user/Cargo.toml"]);
    files.insert("user/Cargo.toml".into(), manifest);
    files.insert("user/made.txt".into(), "made-1".into());
    files.insert("user/src/lib.rs".into(), "pub fn text() -> &'static str { env!(\"HELD\") }\n".into());
    let mut world = World::in_memory("", |_| files);
    world.first_run();
    assert!(world.output().contains("made-1"), "{}", world.output());
    // The repository has what the script made.
    world.change(&[("user/made.txt", "made-2")]);
    world.wipe_and_clone();
    let log = world.restore();
    world.build();
    assert!(world.output().contains("made-2"), "{} {log}", world.output());
}
