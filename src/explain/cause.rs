//! Why a unit was compiled, as a past-tense fact with old and new value. Roots, of which something outside Cargo changed, are
//! apart from cascades, which only follow. Pure.

use std::fmt;

use serde::{Deserialize, Serialize};

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
    EnvChanged {
        name: String,
        old: String,
        new: String,
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
    /// What is built for: the host or a `--target`.
    TargetChanged,
    /// The target's own definition in the manifest.
    TargetDefinitionChanged,
    ConfigChanged,
    PathMoved,
    DependencyAdded {
        name: String,
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

impl Cause {
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
            Self::Forced { reason } => f.write_str(reason),
            Self::SourceChanged { path } => write!(f, "`{path}` changed"),
            Self::SourceGone { path } => write!(f, "`{path}` is gone"),
            Self::EnvChanged { name, old, new } => write!(f, "the variable `{name}` changed: {old} → {new}"),
            Self::ToolchainChanged { old, new } => write!(f, "the toolchain changed: {old} → {new}"),
            Self::FeaturesChanged { added, removed } => lists(f, "the features changed", added, removed),
            Self::DeclaredFeaturesChanged { added, removed } => {
                lists(f, "the declared features changed", added, removed)
            }
            Self::ProfileChanged { differences } if differences.is_empty() => {
                f.write_str("the profile or the lints changed")
            }
            Self::ProfileChanged { differences } => {
                let shown: Vec<&str> = differences.iter().take(3).map(String::as_str).collect();
                let more = differences.len() - shown.len();
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                write!(f, "the profile or the lints changed: {}{more}", shown.join(", "))
            }
            Self::RustflagsChanged { old, new } => {
                write!(f, "the rustflags changed: {} → {}", or_none(old), or_none(new))
            }
            Self::LockBumped { package, old, new } => write!(f, "`{package}` went from {old} to {new}"),
            Self::TargetChanged => f.write_str("it is built for another target"),
            Self::TargetDefinitionChanged => f.write_str("the target's definition in `Cargo.toml` changed"),
            Self::ConfigChanged => f.write_str("the settings of its target (linker, runner, …) changed"),
            Self::PathMoved => f.write_str("its sources moved"),
            Self::DependencyAdded { name } => write!(f, "the dependency `{name}` was added"),
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
