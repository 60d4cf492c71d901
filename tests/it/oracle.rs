//! Random histories, each step on two machines: one that is never wiped, and one that is wiped and restored every time.
//!
//! After every step both have compiled the same units, and both programs print what a build from scratch prints. Where Cargo
//! itself is stale on the machine that was never wiped, `rule_adds` names the packages that a soundness rule rebuilds.
//! `REKINDLE_ORACLE=2000` runs that many histories instead of forty, `REKINDLE_ORACLE=376..377` one by its number; a failure
//! prints the number and shrinks.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

use crate::support::{Project, World, git, write};

/// One thing that happens between two runs.
#[derive(Clone, Debug)]
enum Op {
    Edit {
        place: usize,
        value: u8,
    },
    /// The same with a commit date long before every cached build.
    OldDatedEdit {
        place: usize,
        value: u8,
    },
    Add {
        folder: usize,
        name: u8,
        value: u8,
    },
    Delete {
        folder: usize,
        which: usize,
    },
    Rename {
        folder: usize,
        which: usize,
        name: u8,
    },
    Retarget {
        two: bool,
    },
    /// Every source goes back to an earlier commit.
    Revert {
        steps: usize,
    },
    /// A branch from an earlier commit is merged.
    Merge {
        steps: usize,
        place: usize,
        value: u8,
    },
    LockBump {
        package: usize,
    },
    Feature {
        on: bool,
    },
    Variable {
        which: usize,
        value: Option<u8>,
    },
    Nothing,
}

const PLACES: [&str; 8] = [
    "a/src/value.txt",
    "b/src/value.txt",
    "c/src/value.txt",
    "app/src/value.txt",
    "pm/src/value.txt",
    "a/macro_input.txt",
    "a/choices/one.txt",
    "c/README.md",
];
const FOLDERS: [&str; 2] = ["b/notes", "c/assets"];
const PACKAGES: [&str; 4] = ["a", "b", "c", "pm"];
const VARIABLES: [&str; 2] = ["A_FLAG", "C_FLAG"];

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..PLACES.len(), any::<u8>()).prop_map(|(place, value)| Op::Edit { place, value }),
        1 => (0..PLACES.len(), any::<u8>()).prop_map(|(place, value)| Op::OldDatedEdit { place, value }),
        2 => (0..FOLDERS.len(), 0..6_u8, any::<u8>()).prop_map(|(folder, name, value)| Op::Add { folder, name, value }),
        2 => (0..FOLDERS.len(), 0..4_usize).prop_map(|(folder, which)| Op::Delete { folder, which }),
        1 => (0..FOLDERS.len(), 0..4_usize, 6..9_u8).prop_map(|(folder, which, name)| Op::Rename { folder, which, name }),
        1 => any::<bool>().prop_map(|two| Op::Retarget { two }),
        2 => (1..4_usize).prop_map(|steps| Op::Revert { steps }),
        1 => (1..3_usize, 0..PLACES.len(), any::<u8>()).prop_map(|(steps, place, value)| Op::Merge { steps, place, value }),
        1 => (0..PACKAGES.len()).prop_map(|package| Op::LockBump { package }),
        1 => any::<bool>().prop_map(|on| Op::Feature { on }),
        2 => (0..VARIABLES.len(), prop::option::of(0..3_u8)).prop_map(|(which, value)| Op::Variable { which, value }),
        1 => Just(Op::Nothing),
    ]
}

/// A workspace without registry dependencies whose every package prints what it read.
fn project() -> Project {
    let mut files = Project::new();
    let mut add = |path: &str, text: &str| {
        files.insert(path.to_owned(), text.to_owned());
    };
    let manifest = |name: &str, rest: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n{rest}")
    };
    add(
        "Cargo.toml",
        "[workspace]\nresolver = \"2\"\nmembers = [\"app\", \"a\", \"b\", \"c\", \"pm\"]\n[profile.dev]\ndebug = 0\n",
    );
    add(".gitignore", "/target\n");
    add("a/Cargo.toml", &manifest("a", "[features]\nloud = []\n[dependencies]\npm = { path = \"../pm\" }\n"));
    add(
        "a/src/lib.rs",
        "pub fn text() -> String { format!(\"{}|{}|{}|{}|{}\", include_str!(\"value.txt\"), include_str!(\"chosen.txt\"), pm::read!(), \
         option_env!(\"A_FLAG\").unwrap_or(\"unset\"), cfg!(feature = \"loud\")) }\n",
    );
    add("a/src/chosen.txt", "-> ../choices/one.txt");
    add("a/choices/one.txt", "one");
    add("a/choices/two.txt", "two");
    add("a/macro_input.txt", "0");
    add("b/Cargo.toml", &manifest("b", ""));
    let listing = |dir: &str| {
        format!(
            "let mut names: Vec<String> = std::fs::read_dir({dir:?}).map(|entries| entries.map(|e| e.unwrap().path()) \
             .map(|p| format!(\"{{}}:{{}}\", p.file_name().unwrap().to_string_lossy(), std::fs::read_to_string(&p).unwrap())).collect()) \
             .unwrap_or_default(); names.sort();"
        )
    };
    add(
        "b/build.rs",
        &format!("fn main() {{ {} println!(\"cargo:rustc-env=B={{}}\", names.join(\",\")); }}\n", listing("notes")),
    );
    add("b/src/lib.rs", "pub fn text() -> String { format!(\"{}|{}\", include_str!(\"value.txt\"), env!(\"B\")) }\n");
    add("b/notes/0", "n");
    add("b/notes/1", "n");
    add("c/Cargo.toml", &manifest("c", ""));
    add(
        "c/build.rs",
        &format!(
            "fn main() {{ println!(\"cargo:rerun-if-changed=assets\"); println!(\"cargo:rerun-if-env-changed=C_FLAG\"); {} \
             println!(\"cargo:rustc-env=C={{}}/{{:?}}\", names.join(\",\"), std::env::var(\"C_FLAG\").ok()); }}\n",
            listing("assets")
        ),
    );
    add("c/src/lib.rs", "pub fn text() -> String { format!(\"{}|{}\", include_str!(\"value.txt\"), env!(\"C\")) }\n");
    add("c/assets/0", "n");
    add("c/assets/1", "n");
    add("c/README.md", "about c");
    add("pm/Cargo.toml", &manifest("pm", "[lib]\nproc-macro = true\n"));
    add(
        "pm/src/lib.rs",
        "#[proc_macro]\npub fn read(_: proc_macro::TokenStream) -> proc_macro::TokenStream {\n let dir = std::env::var(\"CARGO_MANIFEST_DIR\").unwrap();\n \
         let text = std::fs::read_to_string(std::path::Path::new(&dir).join(\"macro_input.txt\")).unwrap();\n \
         format!(\"{:?}\", text + include_str!(\"value.txt\")).parse().unwrap()\n}\n",
    );
    add(
        "app/Cargo.toml",
        &manifest(
            "app",
            "[features]\nloud = [\"a/loud\"]\n[dependencies]\na = { path = \"../a\" }\nb = { path = \"../b\" }\nc = { path = \"../c\" }\n",
        ),
    );
    add(
        "app/src/main.rs",
        "fn main() { println!(\"{}\\n{}\\n{}\\n{}\", include_str!(\"value.txt\"), a::text(), b::text(), c::text()); }\n",
    );
    for package in ["a", "b", "c", "pm", "app"] {
        add(&format!("{package}/src/value.txt"), "0");
    }
    files
}

struct Machines {
    /// Wiped and restored every time.
    wiped: World,
    commits: Vec<String>,
    /// Packages that a rule rebuilds as soon as they are built at all, once for each of their two sets of features.
    pending: BTreeSet<(&'static str, bool)>,
    loud: bool,
    version: u32,
    /// Its program printed something else than one from scratch; it does so until the package is built again.
    kept_is_stale: bool,
}

impl Machines {
    fn new() -> Self {
        let mut wiped = World::in_memory("", |_| project());
        wiped.command = vec!["build".into()];
        wiped.options = Vec::new();
        let commits = vec![wiped.head()];
        let kept = wiped.dir.join("kept");
        git(&wiped.dir, &["clone", "--quiet", wiped.origin().to_str().unwrap(), kept.to_str().unwrap()], None);
        Self { wiped, commits, pending: BTreeSet::new(), loud: false, version: 0, kept_is_stale: false }
    }

    fn on<T>(&mut self, place: &str, work: impl FnOnce(&World) -> T) -> T {
        self.wiped.work_dir = self.wiped.dir.join(place);
        let result = work(&self.wiped);
        self.wiped.work_dir = self.wiped.dir.join("work");
        result
    }

    /// Changes the origin or the environment.
    fn apply(&mut self, op: &Op) {
        let origin = self.wiped.origin();
        let file = |place: usize| origin.join(PLACES[place]);
        match op {
            Op::Edit { place, value } => write(&file(*place), &value.to_string()),
            Op::OldDatedEdit { place, value } => {
                write(&file(*place), &value.to_string());
                let date = std::mem::replace(&mut self.wiped.date, 1_000_000_000);
                self.wiped.commit("old");
                self.wiped.date = date;
            }
            Op::Add { folder, name, value } => {
                write(&origin.join(FOLDERS[*folder]).join(name.to_string()), &value.to_string());
            }
            Op::Delete { folder, which } => {
                if let Some(path) = nth_file(&origin.join(FOLDERS[*folder]), *which) {
                    fs::remove_file(path).unwrap();
                }
            }
            Op::Rename { folder, which, name } => {
                if let Some(path) = nth_file(&origin.join(FOLDERS[*folder]), *which) {
                    fs::rename(&path, path.with_file_name(name.to_string())).unwrap();
                }
            }
            Op::Retarget { two } => {
                let text = if *two { "-> ../choices/two.txt" } else { "-> ../choices/one.txt" };
                write(&origin.join("a/src/chosen.txt"), text);
            }
            Op::Revert { steps } => {
                let commit = self.commits[self.commits.len().saturating_sub(steps + 1)].clone();
                for part in
                    ["a/src", "a/choices", "a/macro_input.txt", "b/src", "b/notes", "c/src", "c/assets", "app/src"]
                {
                    if origin.join(part).exists() {
                        git(&origin, &["rm", "-r", "--quiet", "--ignore-unmatch", "--", part], None);
                    }
                    if !git(&origin, &["ls-tree", &commit, part], None).is_empty() {
                        git(&origin, &["checkout", "--quiet", &commit, "--", part], None);
                    }
                }
            }
            Op::Merge { steps, place, value } => {
                self.wiped.commit("before the merge");
                let commit = self.commits[self.commits.len().saturating_sub(steps + 1)].clone();
                git(&origin, &["checkout", "--quiet", "-B", "side", &commit], None);
                write(&file(*place), &value.to_string());
                self.wiped.commit("side");
                git(&origin, &["checkout", "--quiet", "main"], None);
                git(
                    &origin,
                    &["merge", "--quiet", "--no-ff", "-X", "theirs", "-m", "merge", "side"],
                    Some(self.wiped.date),
                );
            }
            Op::LockBump { package } => {
                self.version += 1;
                for name in ["Cargo.lock", &format!("{}/Cargo.toml", PACKAGES[*package])] {
                    let path = origin.join(name);
                    let text = fs::read_to_string(&path).unwrap();
                    let head = format!("name = \"{}\"\nversion = \"", PACKAGES[*package]);
                    let at = text.find(&head).unwrap() + head.len();
                    let end = at + text[at..].find('"').unwrap();
                    fs::write(&path, format!("{}0.1.{}{}", &text[..at], self.version, &text[end..])).unwrap();
                }
            }
            Op::Feature { on } => {
                self.loud = *on;
                let features = if *on { vec!["--features".to_owned(), "app/loud".to_owned()] } else { Vec::new() };
                self.wiped.command = std::iter::once("build".to_owned()).chain(features).collect();
            }
            Op::Variable { which, value } => {
                match value {
                    Some(value) => self.wiped.env.insert(VARIABLES[*which].into(), value.to_string()),
                    None => self.wiped.env.remove(VARIABLES[*which]),
                };
            }
            Op::Nothing => {}
        }
        let before = self.commits.last().unwrap().clone();
        self.wiped.commit("step");
        let after = self.wiped.head();
        let changes = git(&origin, &["diff", "--name-status", "--no-renames", &before, &after], None);
        for package in rule_adds(&changes) {
            self.pending.extend([(package, false), (package, true)]);
        }
        self.commits.push(after);
    }

    fn step(&mut self, op: &Op) -> Result<(), TestCaseError> {
        self.apply(op);
        let head = self.commits.last().unwrap().clone();
        let (kept, kept_output) = self.on("kept", |world| {
            git(&world.work(), &["fetch", "--quiet", "origin"], None);
            git(&world.work(), &["checkout", "--quiet", "--detach", &head], None);
            (world.build().compiled, world.output())
        });
        let cold_output = self.on("cold", World::cold_output);
        self.wiped.wipe_and_clone();
        let log = self.wiped.restore();
        let verdict = self.wiped.build();
        crate::explain::agrees_with_cargo(&self.wiped, &verdict);
        let warm = verdict.compiled;
        let output = self.wiped.output();
        self.wiped.save_with(&["--keep-unused", "1000"]);

        prop_assert_eq!(&output, &cold_output, "left: restored, right: from scratch\n{}", log);
        let mut expected = kept.clone();
        // Packages without features have one unit, whatever the features of others.
        let due: BTreeSet<&str> =
            self.pending.iter().filter(|(_, loud)| *loud == self.loud).map(|(name, _)| *name).collect();
        let packages: BTreeSet<&str> = due.iter().copied().chain(["app"]).collect();
        if !due.is_empty() {
            let rebuilt = |unit: &&String| packages.contains(unit.split(' ').next().unwrap());
            expected.extend(warm.iter().filter(rebuilt).cloned());
            for package in &due {
                let name = format!("{package} ");
                prop_assert!(warm.iter().any(|unit| unit.starts_with(&name)), "a rule rebuilds `{}`\n{}", package, log);
            }
        }
        let ruled = !due.is_empty();
        self.pending.retain(|(name, loud)| *loud != self.loud && ["a", "app"].contains(name));
        let is_stale = kept_output != cold_output;
        if is_stale && !self.kept_is_stale {
            prop_assert!(ruled, "the machine that was never wiped became stale, and no rule says so\n{}", log);
        }
        self.kept_is_stale = is_stale;
        prop_assert_eq!(&warm, &expected, "left: restored, right: never wiped, plus what a rule adds\n{}", log);
        Ok(())
    }
}

/// Packages that are rebuilt although Cargo would not see the change: a file gone from a package whose build script names no
/// inputs, a symlink that leads elsewhere, a file that only a macro may have read.
fn rule_adds(name_status: &str) -> BTreeSet<&'static str> {
    let mut packages = BTreeSet::new();
    for line in name_status.lines() {
        let (status, path) = line.split_once('\t').unwrap();
        match path {
            path if path.starts_with("b/") && status == "D" => {
                packages.insert("b");
            }
            "a/src/chosen.txt" | "a/macro_input.txt" => {
                packages.insert("a");
            }
            "a/Cargo.toml" => {
                packages.insert("a");
            }
            "app/Cargo.toml" => {
                packages.insert("app");
            }
            _ => {}
        }
    }
    packages
}

fn nth_file(dir: &Path, which: usize) -> Option<std::path::PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir).ok()?.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    if files.is_empty() { None } else { files.get(which % files.len()).cloned() }
}

fn histories(share: u64) {
    let wish = std::env::var("REKINDLE_ORACLE").unwrap_or_else(|_| "40".to_owned());
    let (from, to) = wish.split_once("..").unwrap_or(("0", &wish));
    let (from, to): (u64, u64) = (from.parse().unwrap(), to.parse().unwrap());
    for number in (from..to).filter(|number| number % SHARES == share) {
        let mut seed = [0_u8; 32];
        seed[..8].copy_from_slice(&number.to_le_bytes());
        let config = Config { cases: 1, max_shrink_iters: 24, failure_persistence: None, ..Config::default() };
        let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
        let result = runner.run(&prop::collection::vec(op(), 6..9), |ops| {
            let mut machines = Machines::new();
            ops.iter().try_for_each(|op| machines.step(op))
        });
        assert!(result.is_ok(), "history {number}: {}", result.unwrap_err());
    }
}

const SHARES: u64 = 4;

#[test]
fn random_histories_first_quarter() {
    histories(0);
}

#[test]
fn random_histories_second_quarter() {
    histories(1);
}

#[test]
fn random_histories_third_quarter() {
    histories(2);
}

#[test]
fn random_histories_last_quarter() {
    histories(3);
}
