//! What `doctor` can find, and what there is to say about each kind of it: the one place for ids, reasons and remedies. Pure.
//!
//! An id never changes its meaning, as people name ids in scripts. A level only says how loudly a finding is shown.

use std::str::FromStr;

use thiserror::Error;

pub use super::text::{Level, Text};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    OtherCache,
    NoCache,
    SecondCache,
    CompilerCache,
    NeverSaved,
    ConstantKeyInMatrix,
    KeyNotFromInputs,
    PullRequestTarget,
    UnknownInput,
    ActionBeforeCheckout,
    CheckoutAfterAction,
    ActionBeforeToolchain,
    ActionBeforeInterpreter,
    BuildBeforeAction,
    CleanAfterAction,
    GitCleanAfterAction,
    CommitTimes,
    ActionTwice,
    WorkspaceWithoutManifest,
    WorkspaceNotListed,
    NoLockfile,
    IncrementalInCi,
    FullDebuginfo,
    TargetDirDiffers,
    RustflagsDiffer,
    BuildNotUsed,
    FloatingNightly,
    FloatingStable,
    ToolFromSource,
    BuildIsolation,
    WheelFromSdist,
    MaturinAndCargo,
    ManyTestCrates,
    BuildScriptWithoutRerunIf,
    UnreadableFile,
    InvalidIgnore,
}

/// An id that is nobody's.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("there is no rule `{0}`")]
pub struct UnknownRule(String);

impl FromStr for Rule {
    type Err = UnknownRule;

    fn from_str(id: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|rule| rule.id() == id).ok_or_else(|| UnknownRule(id.to_owned()))
    }
}

impl Rule {
    pub const ALL: [Self; 36] = [
        Self::OtherCache,
        Self::NoCache,
        Self::SecondCache,
        Self::CompilerCache,
        Self::NeverSaved,
        Self::ConstantKeyInMatrix,
        Self::KeyNotFromInputs,
        Self::PullRequestTarget,
        Self::UnknownInput,
        Self::ActionBeforeCheckout,
        Self::CheckoutAfterAction,
        Self::ActionBeforeToolchain,
        Self::ActionBeforeInterpreter,
        Self::BuildBeforeAction,
        Self::CleanAfterAction,
        Self::GitCleanAfterAction,
        Self::CommitTimes,
        Self::ActionTwice,
        Self::WorkspaceWithoutManifest,
        Self::WorkspaceNotListed,
        Self::NoLockfile,
        Self::IncrementalInCi,
        Self::FullDebuginfo,
        Self::TargetDirDiffers,
        Self::RustflagsDiffer,
        Self::BuildNotUsed,
        Self::FloatingNightly,
        Self::FloatingStable,
        Self::ToolFromSource,
        Self::BuildIsolation,
        Self::WheelFromSdist,
        Self::MaturinAndCargo,
        Self::ManyTestCrates,
        Self::BuildScriptWithoutRerunIf,
        Self::UnreadableFile,
        Self::InvalidIgnore,
    ];

    pub fn id(self) -> &'static str {
        self.text().id
    }

    #[allow(clippy::too_many_lines, reason = "one table")]
    pub fn text(self) -> Text {
        match self {
            Self::OtherCache => Text {
                id: "other-cache",
                level: Level::Hint,
                summary: "Another cache of `target` in a job that does not use Rekindle",
                why: "It brings no times of sources back, so crates of your own are compiled in every run.",
                fix: "To use Rekindle, write what is shown in its place; docs/migrate.md explains each input.",
            },
            Self::NoCache => Text {
                id: "no-cache",
                level: Level::Hint,
                summary: "A job that compiles on a machine that is wiped, and that no cache brings anything to",
                why: "Every crate that it depends on is fetched and compiled in every run.",
                fix: "Put `- uses: rekindle-rs/rekindle@v1` behind the checkout and the toolchain.",
            },
            Self::SecondCache => Text {
                id: "second-cache",
                level: Level::Warning,
                summary: "Another cache of `target` or the Cargo home in a job that uses Rekindle",
                why: "Two caches of the same paths are fetched and stored twice, and whichever comes second \
                      overwrites files with others of another time, which Rekindle then has to distrust.",
                fix: "Remove the other cache, or switch off its Cargo part.",
            },
            Self::CompilerCache => Text {
                id: "compiler-cache",
                level: Level::Hint,
                summary: "sccache in a job that uses Rekindle",
                why: "What Rekindle brings back is not compiled at all, so sccache only sees what did change, \
                      and asks its own storage for each of these units.",
                fix: "Measure the job once without sccache; if it is as fast, remove it.",
            },
            Self::NeverSaved => Text {
                id: "never-saved",
                level: Level::Warning,
                summary: "A `cache-mode` or `save` under which no state is ever stored",
                why: "Without a job that saves, there is nothing to restore; each run is a cold one.",
                fix: "Let one job of this name save: remove the setting, or keep it for untrusted events only.",
            },
            Self::ConstantKeyInMatrix => Text {
                id: "constant-key-in-matrix",
                level: Level::Warning,
                summary: "A matrix job whose `key` is the same for all its legs",
                why: "Legs that differ in something other than the system and the toolchain share one entry: \
                      each stores its own units over those of the others, and the next run of the others \
                      compiles them again.",
                fix: "Remove `key` (the default is the matrix), or put the matrix into it: `key: ${{ \
                      toJSON(matrix) }}`.",
            },
            Self::KeyNotFromInputs => Text {
                id: "key-not-from-inputs",
                level: Level::Warning,
                summary: "A reusable workflow that is called more than once and whose `key` does not name its \
                          inputs",
                why: "The name of an entry is made of the calling workflow, the job's id and the key. Two calls \
                      from one workflow have all three in common, so they replace each other's state.",
                fix: "Make the inputs a part of the key: `key: ${{ toJSON(inputs) }}`.",
            },
            Self::PullRequestTarget => Text {
                id: "pull-request-target",
                level: Level::Warning,
                summary: "The action in a workflow that only runs on `pull_request_target`",
                why: "GitHub gives such a run a cache token that cannot write. Nothing is ever stored under \
                      this workflow's name, so nothing is restored; and a run that builds a fork's code \
                      there does so with the secrets of the base.",
                fix: "Build on `pull_request`, and keep `pull_request_target` for jobs that run none of the \
                      pull request's code.",
            },
            Self::UnknownInput => Text {
                id: "unknown-input",
                level: Level::Warning,
                summary: "An input that the action does not have",
                why: "GitHub prints a warning and ignores it; what it was meant to do does not happen.",
                fix: "Remove it, or use the input that is meant; the README lists them.",
            },
            Self::ActionBeforeCheckout => Text {
                id: "action-before-checkout",
                level: Level::Warning,
                summary: "The action before the checkout",
                why: "There are no sources to give their times to, and the checkout then empties the folder, \
                      the restored `target` with it.",
                fix: "Move the action below the checkout.",
            },
            Self::CheckoutAfterAction => Text {
                id: "checkout-after-action",
                level: Level::Warning,
                summary: "A second checkout into the same folder after the action",
                why: "Unless it says `clean: false`, actions/checkout runs `git clean -ffdx`, which deletes the \
                      target folder that was just restored.",
                fix: "Check out once, before the action; or give the second checkout a `path` of its own.",
            },
            Self::ActionBeforeToolchain => Text {
                id: "action-before-toolchain",
                level: Level::Warning,
                summary: "The action before the step that sets the toolchain up",
                why: "The compiler is a part of the key. Restored under the compiler of the image, nothing fits \
                      the one that builds.",
                fix: "Move the action below the step that sets the toolchain up.",
            },
            Self::ActionBeforeInterpreter => Text {
                id: "action-before-interpreter",
                level: Level::Warning,
                summary: "The action before the Python interpreter is set up, in a project that builds for \
                          Python",
                why: "PyO3's build script tracks the interpreter and its `pyvenv.cfg`. A file that is made \
                      after the restore is newer than what was built from it, and PyO3 with all that depends on \
                      it is compiled again.",
                fix: "Move the action below the step that sets up the interpreter or makes the environment.",
            },
            Self::BuildBeforeAction => Text {
                id: "build-before-action",
                level: Level::Warning,
                summary: "A step before the action that has Cargo compile",
                why: "At that point nothing is restored yet: the step compiles from scratch, every time.",
                fix: "Move the action above the first step that runs Cargo.",
            },
            Self::CleanAfterAction => Text {
                id: "clean-after-action",
                level: Level::Warning,
                summary: "`cargo clean` or `rm -rf target` after the action",
                why: "It deletes what was restored, and what would be saved.",
                fix: "Remove the command; to start from scratch once, use `key-roll`.",
            },
            Self::GitCleanAfterAction => Text {
                id: "git-clean-after-action",
                level: Level::Warning,
                summary: "`git clean -x` after the action",
                why: "With `-x` or `-X` git also deletes what it ignores, the target folder among it.",
                fix: "Run it before the action, or spare the folder: `git clean -ffdx -e target`.",
            },
            Self::CommitTimes => Text {
                id: "commit-times",
                level: Level::Warning,
                summary: "Commit times as mtimes, from another tool, in a job that uses Rekindle",
                why: "A change that was committed before the cached build then looks older than that build, and \
                      Cargo takes the old output for the new one. Rekindle gives files their times by content.",
                fix: "Remove the step.",
            },
            Self::ActionTwice => Text {
                id: "action-twice",
                level: Level::Warning,
                summary: "The action twice for the same workspaces with nothing run in between",
                why: "The second use stamps sources that were generated since the first; when no step ran, \
                      there are none.",
                fix: "Remove one of them, or list several workspaces in one `workspaces` input.",
            },
            Self::WorkspaceWithoutManifest => Text {
                id: "workspace-without-manifest",
                level: Level::Warning,
                summary: "A `workspaces` line that names a folder without a `Cargo.toml`",
                why: "A wrong input fails the step at once.",
                fix: "Name the folder that holds the workspace's `Cargo.toml`, relative to the checkout.",
            },
            Self::WorkspaceNotListed => Text {
                id: "workspace-not-listed",
                level: Level::Warning,
                summary: "A step that compiles in a workspace which the action was not told about",
                why: "Only the workspaces that are listed are restored and saved; this one is compiled from \
                      scratch in each run.",
                fix: "Add its folder to the `workspaces` input of the action.",
            },
            Self::NoLockfile => Text {
                id: "no-lockfile",
                level: Level::Warning,
                summary: "No `Cargo.lock` in git, though packages depend on others",
                why: "Each run resolves the dependencies anew: whenever any of them has a release, it and all \
                      that depends on it are compiled again, on a day that nobody chose.",
                fix: "Commit `Cargo.lock`, of libraries too: it only counts here, never for those who depend on \
                      them.",
            },
            Self::IncrementalInCi => Text {
                id: "incremental-in-ci",
                level: Level::Warning,
                summary: "Incremental compilation switched on for CI",
                why: "It writes state, often hundreds of megabytes, for the next edit on the same machine. In \
                      CI there is none, and Rekindle does not store that state unless it is told to.",
                fix: "Remove the setting, or override it in CI with `CARGO_INCREMENTAL: 0`; if it is wanted, \
                      say `incremental: on` to the action.",
            },
            Self::FullDebuginfo => Text {
                id: "full-debuginfo",
                level: Level::Hint,
                summary: "Full debug info in CI, the default of `dev` and `test`, with 100 or more packages locked",
                why: "It is a quarter or more of the bytes that are written, linked, stored and fetched, and \
                      only a debugger reads it. Backtraces need line tables at most.",
                fix: "Set `CARGO_PROFILE_DEV_DEBUG: line-tables-only` in the workflow's `env`, or `debug = \
                      \"line-tables-only\"` in `[profile.dev]`.",
            },
            Self::TargetDirDiffers => Text {
                id: "target-dir-differs",
                level: Level::Warning,
                summary: "Steps of one job that compile into different target folders, or into one that the action was \
                          not told about",
                why: "Nothing is shared between two target folders, so dependencies are compiled once for each; \
                      and only the folders that the action was told about are restored.",
                fix: "Use one target folder, or list each of them: `workspaces: |` with a line `root -> target` \
                      for each.",
            },
            Self::RustflagsDiffer => Text {
                id: "rustflags-differ",
                level: Level::Warning,
                summary: "Steps of one job whose `RUSTFLAGS` differ in nothing but lint levels",
                why: "RUSTFLAGS are a part of every unit: all crates, dependencies included, are compiled and \
                      stored once for each value, whatever the difference is.",
                fix: "Put lint levels into `[lints]` of `Cargo.toml`, which only touches your own crates; or set \
                      the same flags for the whole job.",
            },
            Self::BuildNotUsed => Text {
                id: "build-not-used",
                level: Level::Hint,
                summary: "A `cargo build` with features that no later command of the job uses",
                why: "Each set of features has units of its own: what the build compiled is of no use to the \
                      tests, and nobody runs it.",
                fix: "Give both commands the same features; or, if it only has to compile, say `cargo check`.",
            },
            Self::FloatingNightly => Text {
                id: "floating-nightly",
                level: Level::Warning,
                summary: "A nightly toolchain without a date in a job that uses Rekindle",
                why: "The compiler is a part of the key, and there is another one each night: each night ends \
                      in a cold start.",
                fix: "Pin the date, as in `nightly-2026-01-31`, and move it when you choose.",
            },
            Self::FloatingStable => Text {
                id: "floating-stable",
                level: Level::Hint,
                summary: "The latest stable toolchain, without a toolchain file that pins one",
                why: "On the day of a Rust release every job starts cold, and new lints can fail it.",
                fix: "Name the version in `rust-toolchain.toml`, as in `channel = \"1.90\"`, and let a bot move \
                      it.",
            },
            Self::ToolFromSource => Text {
                id: "tool-from-source",
                level: Level::Warning,
                summary: "`cargo install` of a tool from source",
                why: "It compiles in a temporary folder and installs into the Cargo home's `bin`, neither of \
                      which Rekindle keeps: the tool is compiled in every run.",
                fix: "Fetch the binary: `taiki-e/install-action` with `tool: NAME`, or `cargo binstall NAME`.",
            },
            Self::BuildIsolation => Text {
                id: "build-isolation",
                level: Level::Warning,
                summary: "Build isolation by uv or `build`, which gives the interpreter a random path",
                why: "The build script tracks the interpreter's path, and these tools make a new environment \
                      with a random name each time: PyO3 and all that depends on it are compiled in every run. \
                      (pip's isolation has no such path.)",
                fix: "Set `isolation: alias` on the Rekindle step, or `isolation: base` if no build script imports a \
                      module; or pass `--no-build-isolation` after installing the build requirements.",
            },
            Self::WheelFromSdist => Text {
                id: "wheel-from-sdist",
                level: Level::Warning,
                summary: "A wheel that is built by way of the sdist",
                why: "The wheel is then compiled in a temporary copy of the sources, where the restored target \
                      folder is not.",
                fix: "Build the wheel by itself (`--wheel`), and the sdist in a command of its own (`--sdist`); or \
                      set `isolation: alias`, which gives the copy a target folder that stays.",
            },
            Self::MaturinAndCargo => Text {
                id: "maturin-and-cargo",
                level: Level::Warning,
                summary: "maturin and cargo in turns on one target folder and profile",
                why: "maturin sets variables that PyO3's build script tracks (`PYO3_PYTHON`, \
                      `PYO3_BUILD_EXTENSION_MODULE` and others), cargo alone does not. Each switch compiles \
                      PyO3's last crates and yours again, and the stored state fits only the last one.",
                fix: "Give the cargo steps a target folder of their own (`CARGO_TARGET_DIR: target/cargo`, and \
                      a second `workspaces` line for it).",
            },
            Self::ManyTestCrates => Text {
                id: "many-test-crates",
                level: Level::Hint,
                summary: "More than eight integration test crates in one package",
                why: "Each file directly in `tests/` is a program of its own that is compiled, linked, stored \
                      and fetched separately, with all dependencies inside.",
                fix: "Make one crate of them: `tests/it/main.rs` with a `mod` line for each file.",
            },
            Self::BuildScriptWithoutRerunIf => Text {
                id: "build-script-without-rerun-if",
                level: Level::Warning,
                summary: "A build script that does not say what it depends on",
                why: "Without any `rerun-if` line Cargo runs it again when any file of the package changes, a \
                      README among them, and compiles the package anew.",
                fix: "Print `cargo::rerun-if-changed=build.rs`, and a line for each file and variable that it \
                      reads.",
            },
            Self::UnreadableFile => Text {
                id: "unreadable-file",
                level: Level::Warning,
                summary: "A workflow, manifest or setting that cannot be parsed",
                why: "Nothing in it was examined, and the tool that it is meant for may not read it either.",
                fix: "Fix its syntax.",
            },
            Self::InvalidIgnore => Text {
                id: "invalid-ignore",
                level: Level::Warning,
                summary: "A comment that is meant to switch a rule off and cannot",
                why: "Without the id of a rule nothing is switched off; without a reason nobody can tell later \
                      whether it still holds.",
                fix: "Write `# rekindle: ignore[rule] reason`.",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_are_kebab_case_and_unique_and_texts_are_sentences() {
        let ids: BTreeSet<&str> = Rule::ALL.iter().map(|rule| rule.id()).collect();
        assert_eq!(ids.len(), Rule::ALL.len());
        for rule in Rule::ALL {
            assert_eq!(rule.id().parse(), Ok(rule));
            let Text { id, summary, why, fix, .. } = rule.text();
            assert!(id.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{id}");
            assert!(!summary.ends_with('.') && why.ends_with(['.', ')']) && fix.ends_with('.'), "{id}");
        }
    }
}
