//! Advice that is followed: each kind is given by a job that has the trouble, what it says is done, and the trouble is gone.
//!
//! Advice is about seconds. Who is to be slow here sleeps while it is compiled, in a macro.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::support::{World, words, write};

/// A step: variables, and the words for cargo.
type Step<'a> = (&'a [(&'a str, &'a str)], &'a str);

struct Jobs {
    world: World,
}

impl Jobs {
    fn new(members: &[&str], files: &[(&str, &str)]) -> Self {
        let list = members.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
        let root = format!("[workspace]\nresolver = \"2\"\nmembers = [\"nap\", {list}]\n");
        let nap = "use proc_macro::TokenStream;\n#[proc_macro]\npub fn nap(time: TokenStream) -> TokenStream {\n    \
                   let time = time.to_string().parse().unwrap();\n    \
                   std::thread::sleep(std::time::Duration::from_millis(time));\n    TokenStream::new()\n}\n";
        let nap_manifest = package("nap", "[lib]\nproc-macro = true\n", false);
        let own = [
            ("Cargo.toml", root.as_str()),
            (".gitignore", "/target\n"),
            ("nap/Cargo.toml", &nap_manifest),
            ("nap/src/lib.rs", nap),
        ];
        let all = own.iter().chain(files);
        let project = all.map(|(path, text)| (format!("work/{path}"), (*text).to_owned())).collect();
        let mut world = World::in_memory("work", |_| project);
        world.command = words("build --workspace -j 8");
        Self { world }
    }

    fn begin(&self) {
        self.world.wipe_and_clone();
        let log = self.world.restore();
        assert!(!log.contains("warning"), "{log}");
    }

    fn step(&self, (variables, arguments): Step<'_>) -> BTreeSet<String> {
        let mut env: BTreeMap<String, String> = self.world.env.clone();
        env.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let verdict = rekindle::cargo::verdict::run(&self.world.workspace(), &words(arguments), &env).unwrap();
        assert!(verdict.success, "{}", verdict.stderr);
        verdict.compiled
    }

    /// The pieces of advice in the log of the save.
    fn end(&self) -> Vec<String> {
        let log = self.world.save();
        log.lines().filter(|line| line.contains("advice")).map(str::to_owned).collect()
    }

    fn write(&self, path: &str, text: &str) {
        write(&self.world.workspace().join(path), text);
    }
}

fn package(name: &str, more: &str, naps: bool) -> String {
    let nap = if naps { "nap = { path = \"../nap\" }\n" } else { "" };
    format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n{more}\n[dependencies]\n{nap}")
}

/// A library that takes so long that advice about it is given.
const SLOW: &str = "nap::nap!(3300);\n";
const BUILD: &str = "build --workspace -j 8";

#[track_caller]
fn says(advice: &[String], evidence: &str, fix: &str) {
    let found = advice.iter().any(|line| line.contains(evidence) && line.contains(fix));
    assert!(found, "neither `{evidence}` nor `{fix}`: {advice:#?}");
}

fn script(body: &str) -> String {
    format!("fn main() {{\n{body}\n}}\n")
}

#[test]
fn files_that_scripts_watch() {
    let watch = |path: &str| script(&format!("    println!(\"cargo::rerun-if-changed={path}\");"));
    let (nothing, late) = (watch("missing.txt"), watch("../../../venv/pyvenv.cfg"));
    let commit = script(
        "    println!(\"cargo::rerun-if-changed=../../.git/HEAD\");\n    \
         let output = std::process::Command::new(\"git\").args([\"rev-parse\", \"HEAD\"]).output().unwrap();\n    \
         println!(\"cargo::rustc-env=COMMIT={}\", String::from_utf8(output.stdout).unwrap().trim());",
    );
    let names = ["litter", "nothing", "commit", "late"];
    let manifests = names.map(|name| package(name, "", true));
    let all = script("");
    let mut jobs = Jobs::new(
        &names,
        &[
            ("litter/Cargo.toml", &manifests[0]),
            ("litter/build.rs", &all),
            ("litter/src/lib.rs", SLOW),
            ("nothing/Cargo.toml", &manifests[1]),
            ("nothing/build.rs", &nothing),
            ("nothing/src/lib.rs", SLOW),
            ("commit/Cargo.toml", &manifests[2]),
            ("commit/build.rs", &commit),
            ("commit/src/lib.rs", "nap::nap!(3300);\npub const COMMIT: &str = env!(\"COMMIT\");\n"),
            ("late/Cargo.toml", &manifests[3]),
            ("late/build.rs", &late),
            ("late/src/lib.rs", SLOW),
        ],
    );
    let venv = jobs.world.dir.join("venv/pyvenv.cfg");
    for round in ["one", "two"] {
        let _ = fs::remove_file(&venv);
        jobs.world.commit("next");
        jobs.begin();
        write(&venv, "home = /usr/bin\n");
        jobs.write("litter/run.log", round);
        assert!(!jobs.step((&[], BUILD)).is_empty());
        let advice = jobs.end();
        if round == "two" {
            says(&advice, "litter/run.log` is not in git, and a job wrote it", "outside of the package");
            says(&advice, "the build script of `litter` names nothing that it reads", "in `litter/build.rs`");
            says(&advice, "the build script of `nothing` watches `nothing/missing.txt`", "only of what is there");
            says(
                &advice,
                "the build script of `commit` holds the commit",
                "a variable that only the jobs of a release set",
            );
            says(&advice, "pyvenv.cfg` was made after the restore", "before the Rekindle step");
        }
    }

    // What is to be written, and a job that compiles it.
    let released = script(
        "    println!(\"cargo::rerun-if-env-changed=RELEASE_COMMIT\");\n    \
         println!(\"cargo::rustc-env=COMMIT={}\", std::env::var(\"RELEASE_COMMIT\").unwrap_or_default());",
    );
    let checked = script(
        "    if std::path::Path::new(\"missing.txt\").exists() {\n        \
                          println!(\"cargo::rerun-if-changed=missing.txt\");\n    }\n    \
                          println!(\"cargo::rerun-if-changed=build.rs\");",
    );
    jobs.world.change(&[("work/nothing/build.rs", &checked), ("work/commit/build.rs", &released)]);
    let job = |jobs: &Jobs, litter: &str, is_early: bool| {
        let _ = fs::remove_file(&venv);
        if is_early {
            write(&venv, "home = /usr/bin\n");
        }
        jobs.begin();
        if !is_early {
            write(&venv, "home = /usr/bin\n");
        }
        jobs.write(litter, "new\n");
        let compiled = jobs.step((&[], BUILD));
        assert!(!jobs.end().iter().any(|line| line.contains("litter") && compiled.is_empty()));
        compiled
    };
    let compiled = job(&jobs, "target/run.log", true);
    assert!(compiled.iter().any(|unit| unit.contains("commit")), "{compiled:?}");
    jobs.world.commit("next");
    assert_eq!(job(&jobs, "target/run.log", true), BTreeSet::new());

    // The other half of what was said: a script that names what it reads, and a shim for what comes late.
    jobs.world.change(&[("work/litter/build.rs", &script("    println!(\"cargo::rerun-if-changed=build.rs\");"))]);
    job(&jobs, "litter/run.log", true);
    let runner = jobs.world.dir.join("runner");
    let path = format!("{}:{}", runner.join("rekindle/shim/bin").display(), std::env::var("PATH").unwrap());
    jobs.world.options.extend(["--isolation".into(), "alias".into()]);
    jobs.world.env.extend([("RUNNER_TEMP".into(), runner.to_str().unwrap().into()), ("PATH".into(), path)]);
    assert_eq!(job(&jobs, "litter/other.log", false), BTreeSet::new());
}

#[test]
fn variables_features_and_flags_that_alternate() {
    let names = ["drift", "turns", "shared", "one", "two", "flagged"];
    let with = |name: &str, features: &str| {
        format!("{}shared = {{ path = \"../shared\", features = [\"{features}\"] }}\n", package(name, "", false))
    };
    let watch = |name: &str| script(&format!("    println!(\"cargo::rerun-if-env-changed={name}\");"));
    let (drift, turns) = (watch("MODE"), watch("PYO3_ENVIRONMENT_SIGNATURE"));
    let shared = package("shared", "[features]\nx = []\ny = []\n", true);
    let mut jobs = Jobs::new(
        &names,
        &[
            ("drift/Cargo.toml", &package("drift", "", true)),
            ("drift/build.rs", &drift),
            ("drift/src/lib.rs", SLOW),
            ("turns/Cargo.toml", &package("turns", "", true)),
            ("turns/build.rs", &turns),
            ("turns/src/lib.rs", SLOW),
            ("shared/Cargo.toml", &shared),
            ("shared/src/lib.rs", SLOW),
            ("one/Cargo.toml", &with("one", "x")),
            ("one/src/lib.rs", ""),
            ("two/Cargo.toml", &with("two", "y")),
            ("two/src/lib.rs", ""),
            ("flagged/Cargo.toml", &package("flagged", "", true)),
            ("flagged/src/lib.rs", SLOW),
        ],
    );
    let as_maturin = [("PYO3_ENVIRONMENT_SIGNATURE", "cpython-3.12-64bit")];
    for mode in ["a", "b"] {
        jobs.begin();
        let steps: [Step<'_>; 6] = [
            (&[], "build -p one"),
            (&[], "build -p two"),
            (&[], "build -p flagged"),
            (&[("RUSTFLAGS", "--cfg x")], "build -p flagged"),
            (&as_maturin, "build -p turns"),
            (&[("MODE", mode)], "build -p turns -p drift -j 8"),
        ];
        let compiled: Vec<BTreeSet<String>> = steps.into_iter().map(|step| jobs.step(step)).collect();
        assert!(!compiled[5].is_empty());
        let advice = jobs.end();
        says(&advice, "with other features (`shared`", "`--workspace` instead of `-p`");
        says(&advice, "with other rustflags", "set `RUSTFLAGS` once");
        if mode == "b" {
            says(&advice, "`MODE` went from `a` to `b`", "`env:` at the top of the workflow");
            says(&advice, "`PYO3_ENVIRONMENT_SIGNATURE`", "`CARGO_TARGET_DIR: target/cargo`");
        }
    }

    jobs.world.env.insert("MODE".into(), "b".into());
    jobs.world.env.insert("RUSTFLAGS".into(), "--cfg x".into());
    let followed: [Step<'_>; 2] = [(&as_maturin, BUILD), (&[("CARGO_TARGET_DIR", "target/cargo")], "build -p turns")];
    jobs.world.change(&[("work/README.md", "followed\n")]);
    jobs.begin();
    let compiled = jobs.step(followed[0]);
    assert_eq!(compiled.iter().filter(|unit| unit.starts_with("shared ")).count(), 1, "{compiled:?}");
    jobs.step(followed[1]);
    jobs.end();
    jobs.begin();
    assert_eq!(followed.map(|step| jobs.step(step)), [BTreeSet::new(), BTreeSet::new()]);
    let advice = jobs.end();
    assert_eq!(advice, [""; 0]);
}

/// The line says that it was said; in the summary it is folded.
#[test]
fn a_secret_and_a_budget_and_what_was_said_before() {
    let names = ["holds", "extra"];
    let set = script(
        "    println!(\"cargo::rerun-if-env-changed=MY_TOKEN\");\n    \
                      println!(\"cargo::rustc-env=HELD={}\", std::env::var(\"MY_TOKEN\").unwrap_or_default());",
    );
    let main = "nap::nap!(3300);\nfn main() { println!(\"{}\", env!(\"HELD\")); }\n";
    let mut jobs = Jobs::new(
        &names,
        &[
            ("holds/Cargo.toml", &package("holds", "", true)),
            ("holds/build.rs", &set),
            ("extra/Cargo.toml", &package("extra", "", false)),
            ("extra/src/lib.rs", ""),
            ("holds/src/main.rs", main),
        ],
    );
    jobs.world.env.insert("MY_TOKEN".into(), "0123456789-secret".into());
    for round in 0..3 {
        jobs.begin();
        assert!(!jobs.step((&[], BUILD)).is_empty());
        let advice = jobs.end();
        if round < 2 {
            says(&advice, "a secret of the environment and cannot be stored", "read the secret at run time");
        } else {
            says(&advice, "advice as in the runs before", "secret-in-build");
        }
        // Something that is worth a save.
        let extra = format!("pub const ROUND: u32 = {round};\n");
        jobs.world.change(&[("work/extra/src/lib.rs", &extra)]);
    }

    let main = "nap::nap!(3300);\nfn main() { println!(\"{}\", std::env::var(\"MY_TOKEN\").unwrap_or_default()); }\n";
    jobs.world.change(&[("work/holds/src/main.rs", main), ("work/holds/build.rs", &script(""))]);
    jobs.world.options.extend(["--max-size".into(), "100kB".into()]);
    jobs.begin();
    assert!(!jobs.step((&[], BUILD)).is_empty());
    let advice = jobs.end();
    says(&advice, "`max-size` allows 100.0 kB, so ", "set `max-size` to ");
    let (_, size) = advice.iter().find_map(|line| line.split_once("set `max-size` to ")).unwrap();
    let size = size.split(" or more").next().unwrap().to_owned();
    *jobs.world.options.last_mut().unwrap() = size;
    jobs.begin();
    assert!(!jobs.step((&[], BUILD)).is_empty());
    assert_eq!(jobs.end(), [""; 0]);
    jobs.begin();
    assert_eq!(jobs.step((&[], BUILD)), BTreeSet::new());
}

#[test]
fn a_crate_that_many_wait_for() {
    let names = ["core", "a", "b", "c", "d", "e", "f", "g"];
    let dependent =
        |name: &str| format!("{}core = {{ path = \"../core\", package = \"base\" }}\n", package(name, "", true));
    let mut files: Vec<(String, String)> = vec![
        ("core/Cargo.toml".into(), package("base", "", false)),
        ("core/src/lib.rs".into(), "pub const OFTEN: u32 = 1;\n".into()),
    ];
    for name in &names[1..] {
        files.push((format!("{name}/Cargo.toml"), dependent(name)));
        files.push((format!("{name}/src/lib.rs"), "nap::nap!(5000);\n".into()));
    }
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let mut jobs = Jobs::new(&names, &files);
    let round = |jobs: &Jobs| {
        jobs.begin();
        let compiled = jobs.step((&[], BUILD));
        (compiled, jobs.end())
    };
    round(&jobs);
    jobs.world.change(&[("work/core/src/lib.rs", "pub const OFTEN: u32 = 2;\n")]);
    let (_, advice) = round(&jobs);
    says(&advice, "`core/src/lib.rs` changed, and 7 units that depend on `base`", "out of `core` into a crate");

    // What changes often goes into a crate that one of them depends on.
    let members = "[workspace]\nresolver = \"2\"\nmembers = [\"nap\", \"often\", \"core\", \"a\", \"b\", \"c\", \"d\", \"e\", \"f\", \"g\"]\n";
    let one = format!("{}often = {{ path = \"../often\" }}\n", dependent("a"));
    jobs.world.change(&[
        ("work/Cargo.toml", members),
        ("work/core/src/lib.rs", ""),
        ("work/often/Cargo.toml", &package("often", "", false)),
        ("work/often/src/lib.rs", "pub const OFTEN: u32 = 2;\n"),
        ("work/a/Cargo.toml", &one),
    ]);
    round(&jobs);
    jobs.world.change(&[("work/often/src/lib.rs", "pub const OFTEN: u32 = 3;\n")]);
    let (compiled, advice) = round(&jobs);
    assert_eq!((compiled.len(), advice.len()), (2, 0), "{compiled:?} {advice:?}");
}

#[test]
fn test_programs_incremental_state_and_debug_information() {
    let big = "static BIG: [u8; 8 << 20] = [7; 8 << 20];\n#[test]\nfn is_big() { assert_eq!(BIG[std::process::id() as usize % 9], 7); }\n";
    // The names of nested types grow with each level, and nothing but debug information holds them.
    let levels: Vec<String> = (1..=17).map(|at| format!("    type T{at} = (T{}, T{});\n", at - 1, at - 1)).collect();
    let levels = levels.concat();
    let of = |name: &str, base: &str| {
        format!(
            "pub fn {name}() -> usize {{\n    type T0 = {base};\n{levels}    let value = std::marker::PhantomData::<T17>;\n    \
                 std::mem::size_of_val(&value)\n}}\n"
        )
    };
    let bases = ["u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64"];
    let names: String = bases.iter().map(|base| of(&format!("of_{base}"), base)).collect();
    let calls: Vec<String> = bases.iter().map(|base| format!(" + of_{base}()")).collect();
    let calls = calls.concat();
    let main = format!("{names}fn main() {{ println!(\"{{}}\", 0{calls}); }}\n");
    let mut files: Vec<(String, String)> =
        vec![("app/Cargo.toml".into(), package("app", "", false)), ("app/src/main.rs".into(), main)];
    files.extend((0..8).map(|at| (format!("app/tests/t{at}.rs"), big.to_owned())));
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let mut jobs = Jobs::new(&["app"], &files);
    jobs.world.env.remove("CARGO_PROFILE_DEV_DEBUG");
    jobs.world.env.insert("CARGO_INCREMENTAL".into(), "1".into());
    jobs.begin();
    jobs.step((&[], "build"));
    jobs.step((&[], "test --no-run"));
    let advice = jobs.end();
    says(&advice, "`app` has 8 integration tests", "`app/tests/it/main.rs`, with a `mod` line for each");
    says(&advice, "incremental state takes", "set `CARGO_INCREMENTAL: 0`");
    says(&advice, "debug information is", "`CARGO_PROFILE_DEV_DEBUG: line-tables-only`");

    let mods: Vec<String> = (0..8).map(|at| format!("mod t{at};\n")).collect();
    let mods = mods.concat();
    let gone: Vec<String> = (0..8).map(|at| format!("work/app/tests/t{at}.rs")).collect();
    jobs.world.remove(&gone.iter().map(String::as_str).collect::<Vec<_>>());
    for at in 0..8 {
        write(&jobs.world.origin().join(format!("work/app/tests/it/t{at}.rs")), big);
    }
    jobs.world.change(&[("work/app/tests/it/main.rs", &mods)]);
    jobs.world.env.insert("CARGO_INCREMENTAL".into(), "0".into());
    jobs.world.env.insert("CARGO_PROFILE_DEV_DEBUG".into(), "line-tables-only".into());
    for round in 0..2 {
        jobs.begin();
        let compiled: Vec<_> =
            ["build", "test --no-run"].map(|words| jobs.step((&[], words))).into_iter().flatten().collect();
        assert!(round == 0 || compiled.is_empty(), "{compiled:?}");
        assert_eq!(jobs.end(), [""; 0]);
    }
}
