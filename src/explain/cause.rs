//! Why a unit was compiled, as a past-tense fact with old and new value. Roots, of which something outside Cargo changed, are
//! apart from cascades, which only follow. Pure.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::bumps::{self, Bump};
use crate::state::limit::Limit;
use crate::state::manifest::EnvRecord;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "because")]
pub enum Cause {
    /// There was nothing to start from.
    ColdStart,
    /// Nothing like it had been built before.
    NeverBuilt,
    /// It had been built before, and was pruned because no run used it.
    Pruned,
    /// It had been built before, and a budget had no room for it in what was stored.
    LeftOut {
        #[serde(flatten)]
        limit: Limit,
    },
    /// It had been built, but for another command: `cargo check` has no use for what `cargo build` built.
    OtherMode {
        mode: String,
        had: Vec<String>,
    },
    /// It had been built, but for another profile or target: `release`, and only `debug` was there.
    OtherProfile {
        profile: String,
        had: Vec<String>,
    },
    /// The variant that was there has other profile settings, although nobody changed any: those of tests, or of build scripts and
    /// proc macros.
    OtherSettings,
    /// Built as other kinds of library than the manifest says, by `--crate-type`.
    OtherCrateTypes,
    /// An earlier build had begun it, and failed or was stopped.
    Unfinished,
    /// A soundness rule of Rekindle had it rebuilt.
    Forced {
        reason: String,
    },
    SourceChanged {
        path: String,
    },
    SourceGone {
        path: String,
    },
    /// A build script watches something that never was there.
    NeverThere {
        path: String,
    },
    EnvChanged {
        name: String,
        old: String,
        new: String,
    },
    /// It was built more than once, and ended as it had begun: two tools, or two steps, that take turns.
    ChangedBack {
        /// Variables that it depends on.
        names: Vec<String>,
        /// What one of them is for others.
        values: Option<(String, String)>,
    },
    /// The same where what took turns is a variant of a dependency, and the unit has one place for both.
    VariantsTakeTurns {
        dependency: String,
    },
    ToolchainChanged {
        old: String,
        new: String,
    },
    FeaturesChanged {
        added: Vec<String>,
        removed: Vec<String>,
    },
    DeclaredFeaturesChanged {
        added: Vec<String>,
        removed: Vec<String>,
    },
    /// `[profile]`, its overrides, or `[lints]`; and which of them changed since, as far as that is known.
    ProfileChanged {
        differences: Vec<String>,
    },
    RustflagsChanged {
        old: String,
        new: String,
    },
    LockBumped {
        package: String,
        old: String,
        new: String,
    },
    /// Its own manifest says so.
    VersionChanged {
        package: String,
        old: String,
        new: String,
    },
    /// What is built for: the host or a `--target`.
    TargetChanged,
    /// The target's own definition in the manifest.
    TargetDefinitionChanged {
        differences: Vec<String>,
    },
    ConfigChanged,
    PathMoved,
    DependencyAdded {
        name: String,
    },
    /// The same package under another name.
    DependencyRenamed {
        old: String,
        new: String,
    },
    DependencyRemoved {
        name: String,
    },
    OutputMissing,
    /// It is built against another unit of a dependency, which was there already.
    OtherVariant {
        dependency: String,
        difference: String,
    },
    /// A unit that it depends on was compiled in an earlier build, and this one was not.
    DependencyNewer {
        dependency: String,
    },
    /// A unit that it depends on was compiled. Never a root.
    DependencyRebuilt {
        dependency: String,
    },
    Unexplained,
}

/// Of a unit that is built once a command.
pub(super) const TAKES_TURNS: &str = "the job's commands take turns with it";

/// Why a build script of an unpacked sdist runs: what it said may name its copy.
pub(super) const FOR_EACH_COPY: &str = "a build script of an unpacked sdist runs for each copy of it";

impl Cause {
    pub(super) fn bump(&self) -> Option<Bump> {
        let is_own = matches!(self, Self::VersionChanged { .. });
        match self.clone() {
            Self::LockBumped { package, old, new } | Self::VersionChanged { package, old, new } => {
                Some(Bump { is_own, package, old, new })
            }
            _ => None,
        }
    }

    pub fn is_cascade(&self) -> bool {
        matches!(self, Self::DependencyRebuilt { .. })
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ColdStart => f.write_str("there was nothing to start from"),
            Self::NeverBuilt => f.write_str("it was never built before"),
            Self::Pruned => f.write_str("it was pruned, because no run had used it for a while"),
            Self::LeftOut { limit } => write!(f, "it was not stored, because {limit} had no room for it"),
            Self::OtherMode { mode, had } => write!(f, "it was never {mode} before, only {}", had.join(" and ")),
            Self::OtherProfile { profile, had } => {
                write!(f, "it was never built for `{profile}` before, only for {}", quoted(had).join(" and "))
            }
            Self::OtherSettings => f.write_str(
                "it had been built with other profile settings or arguments only (tests, build scripts and macros have settings of \
                 their own, and `cargo rustc` passes arguments on)",
            ),
            Self::OtherCrateTypes => {
                f.write_str("it was built as another kind of library (`--crate-type`), as maturin and `cargo rustc` do")
            }
            Self::Unfinished => f.write_str("an earlier build had failed, or was stopped, before it was done"),
            Self::Forced { reason } => f.write_str(reason),
            Self::SourceChanged { path } => write!(f, "`{path}` changed"),
            Self::SourceGone { path } => write!(f, "`{path}` is gone"),
            Self::EnvChanged { name, old, new } => write!(f, "the variable `{name}` changed: {old} → {new}"),
            Self::ChangedBack { names, values: Some((one, other)) } => {
                write!(f, "the variable `{}` changed and changed back in this job: {one} ↔ {other}", names.join("`, `"))
            }
            Self::ChangedBack { names, values: None } => write!(
                f,
                "it was built again with what it had been built with: a variable that it depends on changed and changed back \
                 ({}), or what it had built was taken away",
                some(&quoted(names))
            ),
            Self::VariantsTakeTurns { dependency } => {
                write!(f, "{TAKES_TURNS}: it has one place for builds against each variant of `{dependency}`")
            }
            Self::NeverThere { path } => {
                write!(f, "its build script watches `{path}`, which is not there, and so it is run in every build")
            }
            Self::ToolchainChanged { old, new } => write!(f, "the toolchain changed: {old} → {new}"),
            Self::FeaturesChanged { added, removed } => lists(f, "the features changed", added, removed),
            Self::DeclaredFeaturesChanged { added, removed } => {
                lists(f, "the declared features changed", added, removed)
            }
            Self::ProfileChanged { differences } if differences.is_empty() => {
                f.write_str("the profile or the lints changed")
            }
            Self::ProfileChanged { differences } => {
                write!(f, "the profile or the lints changed: {}", some(differences))
            }
            Self::RustflagsChanged { old, new } => {
                write!(f, "the rustflags changed: {} → {}", or_none(old), or_none(new))
            }
            Self::LockBumped { .. } | Self::VersionChanged { .. } => f.write_str(&bumps::in_words(self.bump().iter())),
            Self::TargetChanged => f.write_str("it is built for another target"),
            Self::TargetDefinitionChanged { differences } => {
                f.write_str("the target's definition in `Cargo.toml` changed")?;
                if differences.is_empty() { Ok(()) } else { write!(f, ": {}", some(differences)) }
            }
            Self::ConfigChanged => f.write_str("the settings of its target (linker, runner, …) changed"),
            Self::PathMoved => f.write_str("its sources moved"),
            Self::DependencyAdded { name } => write!(f, "the dependency `{name}` was added"),
            Self::DependencyRenamed { old, new } => write!(f, "the dependency `{old}` is called `{new}` now"),
            Self::DependencyRemoved { name } => write!(f, "the dependency `{name}` was removed"),
            Self::OtherVariant { dependency, difference } => {
                write!(f, "it is built against another variant of `{dependency}` (there, {difference})")
            }
            Self::DependencyNewer { dependency } => {
                write!(f, "`{dependency}` had been compiled since, by a build that did not get to this")
            }
            Self::OutputMissing => f.write_str("what it had built was missing"),
            Self::DependencyRebuilt { dependency } => write!(f, "`{dependency}` was compiled"),
            Self::Unexplained => f.write_str("unexplained"),
        }
    }
}

fn lists(f: &mut fmt::Formatter<'_>, head: &str, added: &[String], removed: &[String]) -> fmt::Result {
    f.write_str(head)?;
    for (sign, names) in [('+', added), ('-', removed)] {
        for name in names {
            write!(f, " {sign}{name}")?;
        }
    }
    Ok(())
}

fn quoted(names: &[String]) -> Vec<String> {
    names.iter().map(|name| format!("`{name}`")).collect()
}

/// The first of them, and how many there are more.
fn some(items: &[String]) -> String {
    let shown = items.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
    if items.len() > 3 { format!("{shown} and {} more", items.len() - 3) } else { shown }
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "(none)" } else { text }
}

/// A variable's value in words.
pub fn value(record: &EnvRecord) -> String {
    match record {
        EnvRecord::Unset => "(unset)".to_owned(),
        EnvRecord::Set => "(set, secret)".to_owned(),
        EnvRecord::Value(value) => format!("`{value}`"),
    }
}
