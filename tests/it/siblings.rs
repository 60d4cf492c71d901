//! Jobs that are set up alike: one that has stored nothing starts from what another one stored, carries nothing along that only
//! that one uses, and stores nothing that is stored already.

use std::collections::BTreeSet;

use crate::support::{Project, World};

/// Two libraries of the registry's kind (vendored), a macro, and a program.
fn project() -> Project {
    let manifest = |name: &str, rest: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n{rest}\n")
    };
    let config = "[source.crates-io]\nreplace-with = \"vendored\"\n[source.vendored]\ndirectory = \"vendor\"\n";
    let checksum = format!("{{\"files\":{{}},\"package\":\"{}\"}}", "1".repeat(64));
    let app = "[dependencies]\nfirst = \"0.1\"\nmake = { path = \"../make\" }";
    // So much that what is stored twice shows.
    let table = |seed: u64| {
        let mut random = fastrand::Rng::with_seed(seed);
        let rows: Vec<String> = (0..4000).map(|_| format!("0x{:016x}", random.u64(..))).collect();
        format!("pub static TABLE: [u64; {}] = [{}];\n", rows.len(), rows.join(", "))
    };
    let main = "make::noted!();\nfn main() { println!(\"{} {}\", first::TABLE[0], note()); }\n\
                #[test]\nfn holds() { assert_eq!(first::TABLE.len(), second::TABLE.len()); }\n";
    [
        (".gitignore", "/target\n".to_owned()),
        (".cargo/config.toml", config.to_owned()),
        ("Cargo.toml", "[workspace]\nresolver = \"2\"\nmembers = [\"app\", \"make\"]\n".to_owned()),
        ("app/Cargo.toml", manifest("app", &format!("{app}\n[dev-dependencies]\nsecond = \"0.1\""))),
        ("app/src/main.rs", main.to_owned()),
        ("make/Cargo.toml", manifest("make", "[lib]\nproc-macro = true")),
        ("make/src/lib.rs", make(1)),
        ("vendor/first/Cargo.toml", manifest("first", "")),
        ("vendor/first/src/lib.rs", table(1)),
        ("vendor/first/.cargo-checksum.json", checksum.clone()),
        ("vendor/second/Cargo.toml", manifest("second", "")),
        ("vendor/second/src/lib.rs", table(2)),
        ("vendor/second/.cargo-checksum.json", checksum),
    ]
    .into_iter()
    .map(|(path, text)| (path.to_owned(), text))
    .collect()
}

/// A macro that makes this number.
fn make(number: u8) -> String {
    format!(
        "use proc_macro::TokenStream;\n#[proc_macro]\npub fn noted(_: TokenStream) -> TokenStream {{\n    \
         \"fn note() -> u8 {{ {number} }}\".parse().unwrap()\n}}\n"
    )
}

struct Jobs {
    world: World,
}

impl Jobs {
    fn new() -> Self {
        Self { world: World::in_memory("", |_| project()) }
    }

    /// The job of this name, on a wiped machine: what it compiled, and both logs.
    fn run(&mut self, name: &str, command: &str) -> (BTreeSet<String>, String) {
        self.begin(name);
        self.end(command)
    }

    fn begin(&mut self, name: &str) -> String {
        self.world.options = vec![format!("--key={name}")];
        self.world.wipe_and_clone();
        self.world.restore()
    }

    fn end(&self, command: &str) -> (BTreeSet<String>, String) {
        let verdict = self.world.cargo(command);
        assert!(verdict.success, "{}", verdict.stderr);
        (verdict.compiled, self.world.save())
    }

    fn bytes(&self) -> u64 {
        self.world.packs().iter().map(|path| path.metadata().unwrap().len()).sum()
    }
}

fn set(units: &[&str]) -> BTreeSet<String> {
    units.iter().map(|unit| (*unit).to_owned()).collect()
}

#[test]
fn the_first_run_of_a_job_starts_from_what_another_one_stored() {
    let mut jobs = Jobs::new();
    let (all, _) = jobs.run("build", "build --workspace");
    assert_eq!(all.len(), 3, "{all:?}");
    let restored = jobs.begin("test");
    assert!(restored.contains("which `build` stored: this job has nothing of its own yet"), "{restored}");
    assert!(!restored.contains("rolled") && !restored.contains("warning"), "{restored}");
    // Nobody knows what this job is going to use.
    assert!(!restored.contains("will be compiled"), "{restored}");
    let (compiled, saved) = jobs.end("test --no-run --workspace");
    let own = set(&["second 0.1.0 lib second", "app 0.1.0 bin app (test)", "make 0.1.0 lib make (test)"]);
    let plain = |units: &BTreeSet<String>| {
        units.iter().map(|unit| unit.split(' ').next().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    assert_eq!(plain(&compiled), plain(&own), "{compiled:?}\n{saved}");
    assert!(!compiled.iter().any(|unit| unit.starts_with("first ")), "{compiled:?}");
    // From then on it goes its own way, and carries nothing along that only the other one used.
    let restored = jobs.begin("test");
    assert!(!restored.contains("stored: this job"), "{restored}");
    let (compiled, saved) = jobs.end("test --no-run --workspace");
    assert_eq!(compiled, set(&[]), "{saved}");
    assert!(saved.contains("nothing was compiled and nothing was dropped"), "{saved}");
}

#[test]
fn another_image_is_another_machine() {
    let mut jobs = Jobs::new();
    jobs.world.env.insert("ImageVersion".into(), "1".into());
    jobs.run("build", "build --workspace");
    jobs.world.env.insert("ImageVersion".into(), "2".into());
    let restored = jobs.begin("test");
    assert!(restored.contains("cold start") && !restored.contains("warning"), "{restored}");
    // Its own state is as good as before.
    let restored = jobs.begin("build");
    assert!(restored.contains("restored 3 units"), "{restored}");
}

#[test]
fn whoever_rolls_the_key_starts_from_nobody() {
    let mut jobs = Jobs::new();
    jobs.run("build", "build --workspace");
    jobs.world.options = vec!["--key=test".into(), "--key-roll=2".into()];
    jobs.world.wipe_and_clone();
    let restored = jobs.world.restore();
    assert!(restored.contains("cold start"), "{restored}");
}

#[test]
fn a_seed_that_is_damaged_or_lies_costs_a_cold_start_and_no_more() {
    let mut jobs = Jobs::new();
    jobs.run("build", "build --workspace");
    let seeds = jobs.world.entries();
    let seeds: Vec<_> = seeds.iter().filter(|path| !jobs.world.packs().contains(path)).collect();
    let [seed] = seeds.as_slice() else { panic!("{seeds:?}") };
    let whole = std::fs::read(seed).unwrap();
    std::fs::write(seed, &whole[..whole.len() / 2]).unwrap();
    let restored = jobs.begin("test");
    assert!(restored.contains("cold start") && restored.contains("looking for jobs like this one"), "{restored}");
    jobs.end("test --no-run --workspace");
    let restored = jobs.begin("third");
    assert!(restored.contains("which `test` stored") && !restored.contains("warning"), "{restored}");
    // Jobs that are gone.
    for pack in jobs.world.packs() {
        std::fs::remove_file(pack).unwrap();
    }
    let restored = jobs.begin("fourth");
    assert!(restored.contains("cold start") && !restored.contains("warning"), "{restored}");
}

impl Jobs {
    /// The same for a job that began when nothing was stored yet.
    fn run_as_if_at_once(&mut self, name: &str, command: &str) -> (BTreeSet<String>, String) {
        let (store, aside) = (self.world.store(), self.world.dir.join("aside"));
        if store.exists() {
            std::fs::rename(&store, &aside).unwrap();
        }
        let restored = self.begin(name);
        assert!(restored.contains("cold start"), "{restored}");
        if aside.exists() {
            let _ = std::fs::remove_dir_all(&store);
            std::fs::rename(&aside, &store).unwrap();
        }
        self.end(command)
    }
}

#[test]
fn what_two_share_that_began_cold_at_once_is_stored_once() {
    let command = ["build --workspace", "test --no-run --workspace"];
    let mut apart = 0;
    for command in command {
        let mut jobs = Jobs::new();
        jobs.run("alone", command);
        apart += jobs.bytes();
    }
    let mut jobs = Jobs::new();
    jobs.run_as_if_at_once("build", command[0]);
    jobs.run_as_if_at_once("test", command[1]);
    let together = jobs.bytes();
    assert!(together * 10 < apart * 9, "{together} of {apart}");
    for (name, command) in [("build", command[0]), ("test", command[1])] {
        let (compiled, log) = jobs.run(name, command);
        assert_eq!(compiled, set(&[]), "{log}");
        assert!(log.contains("nothing was compiled and nothing was dropped"), "{log}");
    }
    // An edit on top of what is borrowed.
    jobs.world.change(&[("make/src/lib.rs", &make(2))]);
    let (compiled, log) = jobs.run("test", command[1]);
    assert!(!compiled.is_empty() && !compiled.iter().any(|unit| unit.starts_with("first")), "{compiled:?}");
    assert!(log.contains("target: saved"), "{log}");
    let (compiled, log) = jobs.run("test", command[1]);
    assert_eq!(compiled, set(&[]), "{log}");
}

#[test]
fn what_was_borrowed_and_is_gone_is_built_again_and_stored() {
    let mut jobs = Jobs::new();
    jobs.run_as_if_at_once("build", "build --workspace");
    let lent = jobs.world.packs();
    jobs.run_as_if_at_once("test", "test --no-run --workspace");
    for pack in lent {
        std::fs::remove_file(pack).unwrap();
    }
    let restored = jobs.begin("test");
    assert!(restored.contains("a pack that the state is made of is missing"), "{restored}");
    let (compiled, log) = jobs.end("test --no-run --workspace");
    assert!(compiled.iter().any(|unit| unit.starts_with("first")), "{compiled:?}");
    assert!(
        log.contains(
            "everything, because a pack that the last state is made of is missing, damaged or was never stored"
        ),
        "{log}"
    );
    let (compiled, log) = jobs.run("test", "test --no-run --workspace");
    assert_eq!(compiled, set(&[]), "{log}");
}

#[test]
fn bytes_of_a_sibling_that_are_not_the_same_are_not_referred_to() {
    let mut jobs = Jobs::new();
    jobs.run_as_if_at_once("build", "build --workspace");
    // A job whose files lie at the same places, with other bytes in them: a macro that is never the same.
    jobs.world.change(&[("make/src/lib.rs", &make(2))]);
    let (_, log) = jobs.run_as_if_at_once("other", "build --workspace");
    assert!(log.contains("everything, because nothing was restored"), "{log}");
    let (compiled, log) = jobs.run("other", "build --workspace");
    assert_eq!(compiled, set(&[]), "{log}");
    assert!(jobs.world.output().ends_with(" 2\n"), "{}", jobs.world.output());
}

/// A package whose build script reads a variable and tells nobody.
fn undeclared() -> World {
    let manifest = "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n";
    let build = "fn main() {\n    println!(\"cargo:rerun-if-changed=build.rs\");\n    \
                 println!(\"cargo:rustc-env=SEEN={:?}\", std::env::var(\"LEVEL\"));\n}\n";
    let mut world = World::in_memory("", |_| {
        let files = [
            (".gitignore", "/target\n"),
            ("Cargo.toml", manifest),
            ("build.rs", build),
            ("src/main.rs", "fn main() { println!(\"{}\", env!(\"SEEN\")); }\n"),
        ];
        files.map(|(path, text)| (path.to_owned(), text.to_owned())).into()
    });
    world.binary = "app".into();
    world
}

fn in_environment(world: &mut World, level: Option<&str>, options: &[&str]) -> (usize, String) {
    match level {
        Some(level) => world.env.insert("LEVEL".into(), level.into()),
        None => world.env.remove("LEVEL"),
    };
    world.options = options.iter().map(|option| (*option).to_owned()).collect();
    world.wipe_and_clone();
    world.restore();
    let compiled = world.build().compiled.len();
    world.save();
    (compiled, world.output())
}

#[test]
fn a_job_with_another_environment_is_another_machine_where_the_sources_speak_of_it() {
    let mut world = undeclared();
    assert_eq!(in_environment(&mut world, Some("1"), &["--key=one"]).1, "Ok(\"1\")\n");
    // Of this one nothing in the sources speaks.
    world.env.insert("OTHER".into(), "x".into());
    assert_eq!(in_environment(&mut world, Some("1"), &["--key=alike"]), (0, "Ok(\"1\")\n".into()));
    for (name, level, said) in
        [("two", Some("2"), "Ok(\"2\")\n"), ("none", None, "Err(NotPresent)\n"), ("empty", Some(""), "Ok(\"\")\n")]
    {
        let (compiled, output) = in_environment(&mut world, level, &[&format!("--key={name}")]);
        assert!(compiled > 0 && output == said, "{name}: {compiled} compiled, {output}");
        // And from the sibling that sees the same.
        assert_eq!(in_environment(&mut world, level, &[&format!("--key={name}-too")]), (0, said.to_owned()), "{name}");
    }
}

#[test]
fn a_variable_that_is_in_the_key_is_in_it_while_it_is_not_set() {
    let mut world = undeclared();
    in_environment(&mut world, Some("1"), &["--key=one"]);
    for wish in ["LEVEL", "LEV*"] {
        let options = ["--key=one", &format!("--env-vars={wish}")].map(str::to_owned);
        let options = options.each_ref().map(String::as_str);
        assert_eq!(in_environment(&mut world, None, &options).1, "Err(NotPresent)\n", "{wish}");
        assert_eq!(in_environment(&mut world, Some("3"), &options).1, "Ok(\"3\")\n", "{wish}");
        assert_eq!(in_environment(&mut world, None, &options), (0, "Err(NotPresent)\n".into()), "{wish}");
    }
}
