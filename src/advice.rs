//! What would make the next jobs faster, from what this one measured. No advice without a figure of this job and a line to write.
//!
//! How it can be wrong: a figure of one job need not hold for the next, so only what costs clearly more than reading about it
//! is said, and never more than a handful.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::cause::Cause;
use crate::decision::SkipReason;
use crate::inspection::{InspectedUnit, Inspection};
use crate::key::PartChange;
use crate::outcome::Weights;
use crate::words::{count, duration, size};

/// Said at once; more is not read.
const MOST: usize = 5;
/// Seconds and bytes below which nobody minds.
const SECONDS: f64 = 3.0;
const BYTES: u64 = 50_000_000;
/// What a byte costs to pack, send, fetch and unpack, in seconds; only ranks advice.
const SECONDS_PER_BYTE: f64 = 1.0 / 20e6;
/// Integration tests of one package above which linking them one by one is worth a word.
const TEST_CRATES: usize = 8;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Advice {
    pub id: &'static str,
    /// What was measured.
    pub evidence: String,
    /// What to write, and where.
    pub fix: String,
    /// What it would have saved this job.
    pub seconds: f64,
    pub bytes: u64,
}

/// What a job leaves to judge by.
#[derive(Debug)]
pub struct Evidence<'a> {
    pub inspection: &'a Inspection,
    pub weights: &'a Weights,
    pub rolled: &'a [PartChange],
    pub skipped: Option<&'a SkipReason>,
    pub secret_units: &'a [String],
    /// Who decided about incremental compilation, and what.
    pub incremental: &'a str,
    /// Files among the causes that git does not have.
    pub untracked: &'a BTreeSet<String>,
}

/// The most profitable first.
pub fn advise(evidence: &Evidence<'_>) -> Vec<Advice> {
    let mut advice: Vec<Advice> = [
        drifting_variables(evidence),
        untracked_files(evidence),
        unwatched_scripts(evidence),
        variants(evidence),
        moving_toolchain(evidence),
        secrets(evidence),
        heavy_roots(evidence),
        test_crates(evidence),
        incremental(evidence),
        debuginfo(evidence),
        budget(evidence),
    ]
    .into_iter()
    .flatten()
    .collect();
    advice.sort_by(|a, b| gain(b).total_cmp(&gain(a)));
    advice.truncate(MOST);
    advice
}

#[allow(clippy::cast_precision_loss, reason = "only ranks")]
fn gain(advice: &Advice) -> f64 {
    advice.seconds + advice.bytes as f64 * SECONDS_PER_BYTE
}

/// A variable that is another one in each run.
fn drifting_variables(evidence: &Evidence<'_>) -> Vec<Advice> {
    let mut seconds: BTreeMap<&str, (f64, usize, &str, &str)> = BTreeMap::new();
    for rebuild in evidence.inspection.rebuilds() {
        if let Cause::EnvChanged { name, old, new } = rebuild.cause {
            let entry = seconds.entry(name).or_insert((0.0, 0, old, new));
            entry.0 += rebuild.seconds;
            entry.1 += rebuild.units.len() + rebuild.cascades;
        }
    }
    let drifts = seconds.into_iter().filter(|(_, (seconds, ..))| *seconds >= SECONDS);
    let advice = drifts.map(|(name, (seconds, units, old, new))| {
        let place = if is_ephemeral(old) || is_ephemeral(new) { "; the value looks like it is new in every run" } else { "" };
        let fix = match name {
            "PYO3_PYTHON" | "PYTHON_SYS_EXECUTABLE" if is_ephemeral(old) || is_ephemeral(new) => {
                "set `isolation: alias` on the Rekindle step, which gives build environments a stable path, or build without \
                 isolation (`--no-build-isolation`)"
                    .to_owned()
            }
            _ => format!(
                "give `{name}` the same value in every job and step (`env:` at the top of the workflow), or set it only in the \
                 step that needs it"
            ),
        };
        Advice {
            id: "variable-drifts",
            evidence: format!(
                "`{name}` went from {old} to {new}, which compiled {} in {}{place}",
                count(units, "unit"),
                duration(seconds)
            ),
            fix,
            seconds,
            bytes: 0,
        }
    });
    advice.collect()
}

/// Whether a value names a folder that only this run has.
fn is_ephemeral(value: &str) -> bool {
    ["/builds-v0/.tmp", "build-env-", "/tmp/", "/tmp.", "\\Temp\\", "/_temp/", "/var/folders/"]
        .iter()
        .any(|part| value.contains(part))
}

/// A file that the job wrote into a package, and that Cargo takes for a source.
fn untracked_files(evidence: &Evidence<'_>) -> Vec<Advice> {
    let rebuilds = evidence.inspection.rebuilds();
    let of_untracked = rebuilds.iter().filter_map(|rebuild| match rebuild.cause {
        Cause::SourceChanged { path } if evidence.untracked.contains(path) => Some((path, rebuild)),
        _ => None,
    });
    let advice = of_untracked.filter(|(_, rebuild)| rebuild.seconds >= SECONDS).map(|(path, rebuild)| Advice {
        id: "untracked-file",
        evidence: format!(
            "`{path}` is not in git and changed, which compiled {} in {}",
            count(rebuild.units.len() + rebuild.cascades, "unit"),
            duration(rebuild.seconds)
        ),
        fix: "let the job write it outside of the package (below `target/` or `$RUNNER_TEMP`), or leave it alone when its \
              content is the same"
            .to_owned(),
        seconds: rebuild.seconds,
        bytes: 0,
    });
    advice.collect()
}

/// A build script that runs whenever anything in its package changes.
fn unwatched_scripts(evidence: &Evidence<'_>) -> Vec<Advice> {
    let units = &evidence.inspection.units;
    let runs = units.iter().enumerate().filter(|(_, unit)| {
        unit.watches_all && unit.dir.is_some() && matches!(unit.cause, Some(Cause::SourceChanged { .. }))
    });
    let advice = runs.filter_map(|(at, unit)| {
        let followed: Vec<&InspectedUnit> = units.iter().filter(|unit| unit.root == Some(at)).collect();
        let seconds = unit.seconds + followed.iter().map(|unit| unit.seconds).sum::<f64>();
        let Some(Cause::SourceChanged { path }) = &unit.cause else { return None };
        (seconds >= SECONDS).then(|| Advice {
            id: "script-watches-all",
            evidence: format!(
                "the build script of `{}` names nothing that it reads, so `{path}` ran it, and {} followed: {}",
                unit.package,
                count(followed.len(), "unit"),
                duration(seconds)
            ),
            fix: format!(
                "print `cargo::rerun-if-changed=build.rs`, and a line for each file that it reads, in `{}`",
                inside(unit, "build.rs")
            ),
            seconds,
            bytes: 0,
        })
    });
    advice.collect()
}

fn inside(unit: &InspectedUnit, file: &str) -> String {
    match unit.dir.as_deref() {
        None | Some(".") => file.to_owned(),
        Some(dir) => format!("{dir}/{file}"),
    }
}

/// One crate built several times for one job, with other features or flags.
fn variants(evidence: &Evidence<'_>) -> Vec<Advice> {
    let mut groups: BTreeMap<(&str, &str, u64), Vec<&InspectedUnit>> = BTreeMap::new();
    for unit in &evidence.inspection.units {
        // A script's run has no features of its own, and what only checks has its own profile.
        if unit.setting != 0 && unit.kind != "run" {
            groups.entry((&unit.unit, &unit.profile, unit.setting)).or_default().push(unit);
        }
    }
    let mut features: Vec<(&str, f64, String)> = Vec::new();
    let mut flags: Vec<(&str, f64, String)> = Vec::new();
    for units in groups.values().filter(|units| units.len() > 1) {
        let spare = units.iter().map(|unit| unit.seconds).sum::<f64>()
            - units.iter().map(|unit| unit.seconds).fold(0.0, f64::max);
        let (first, second) = (units[0], units[1]);
        if first.rustflags != second.rustflags {
            let words = |unit: &InspectedUnit| quoted(&unit.rustflags.join(" "));
            flags.push((&first.package, spare, format!("{} and {}", words(first), words(second))));
        } else if first.features != second.features {
            let only = |a: &InspectedUnit, b: &InspectedUnit| {
                a.features.iter().filter(|name| !b.features.contains(name)).cloned().collect::<Vec<_>>().join(", ")
            };
            let differing = [only(first, second), only(second, first)].into_iter().filter(|text| !text.is_empty());
            features.push((&first.package, spare, differing.map(|text| quoted(&text)).collect::<Vec<_>>().join(" / ")));
        }
    }
    let of = |id, mut found: Vec<(&str, f64, String)>, what: &str, fix: &str| {
        let seconds: f64 = found.iter().map(|(_, seconds, _)| seconds).sum();
        found.sort_by(|a, b| b.1.total_cmp(&a.1));
        let (package, _, difference) = found.first()?;
        let packages: BTreeSet<&str> = found.iter().map(|(package, ..)| *package).collect();
        (seconds >= SECONDS).then(|| Advice {
            id,
            evidence: format!(
                "{} compiled more than once with other {what} (`{package}`: {difference}), which takes {}",
                count_was(packages.len()),
                duration(seconds)
            ),
            fix: fix.to_owned(),
            seconds,
            bytes: 0,
        })
    };
    let features = of(
        "two-feature-sets",
        features,
        "features",
        "select the same packages and features in every Cargo step (`--workspace` instead of `-p`), or name the union of the \
         features in one crate that all of them depend on",
    );
    let flags = of(
        "two-flag-sets",
        flags,
        "rustflags",
        "set `RUSTFLAGS` once for the whole job (`env:` of the job), not in single steps",
    );
    features.into_iter().chain(flags).collect()
}

fn count_was(packages: usize) -> String {
    if packages == 1 { "1 package was".to_owned() } else { format!("{packages} packages were") }
}

fn quoted(text: &str) -> String {
    if text.is_empty() { "(none)".to_owned() } else { format!("`{text}`") }
}

/// Everything again because the compiler is another one.
fn moving_toolchain(evidence: &Evidence<'_>) -> Vec<Advice> {
    let release = |rustc: &str| rustc.lines().next().unwrap_or_default().trim_start_matches("rustc ").to_owned();
    let Some(change) = evidence.rolled.iter().find(|change| change.part.contains("toolchain")) else {
        return Vec::new();
    };
    let (old, new, seconds) = (release(&change.old), release(&change.new), evidence.inspection.seconds_spent());
    if old == new || seconds < SECONDS {
        return Vec::new();
    }
    let version = new.split(' ').next().unwrap_or_default();
    let channel = match version.split_once('-') {
        Some((_, "nightly")) => "nightly-YYYY-MM-DD",
        _ => version,
    };
    vec![Advice {
        id: "toolchain-moves",
        evidence: format!(
            "the toolchain went from {old} to {new}, and everything was compiled again in {}",
            duration(seconds)
        ),
        fix: format!(
            "if that was not meant, write `channel = \"{channel}\"` under `[toolchain]` in `rust-toolchain.toml`, and move it in \
             a commit"
        ),
        seconds,
        bytes: 0,
    }]
}

/// Units that no pack may hold.
fn secrets(evidence: &Evidence<'_>) -> Vec<Advice> {
    let units = evidence.inspection.units.iter().filter(|unit| evidence.secret_units.contains(&unit.unit));
    let seconds: f64 = units.map(|unit| unit.seconds).sum();
    if evidence.secret_units.is_empty() || seconds < SECONDS {
        return Vec::new();
    }
    vec![Advice {
        id: "secret-in-build",
        evidence: format!(
            "{} a secret of the environment and cannot be stored, `{}` among them: {} in every job",
            if evidence.secret_units.len() == 1 {
                "1 unit holds".to_owned()
            } else {
                format!("{} units hold", evidence.secret_units.len())
            },
            evidence.secret_units[0],
            duration(seconds)
        ),
        fix: "read the secret at run time (`std::env::var`) instead of at build time (`env!`, a build script), or set it only in \
              the step that needs it"
            .to_owned(),
        seconds,
        bytes: 0,
    }]
}

/// A crate of the project on which most of it waits.
fn heavy_roots(evidence: &Evidence<'_>) -> Vec<Advice> {
    let rebuilds = evidence.inspection.rebuilds();
    let heavy = rebuilds.iter().filter(|rebuild| {
        matches!(rebuild.cause, Cause::SourceChanged { .. })
            && rebuild.cascades >= 5
            && rebuild.seconds >= 10.0 * SECONDS
    });
    let advice = heavy.filter_map(|rebuild| {
        let unit = rebuild.units.iter().find(|unit| unit.dir.is_some() && !unit.watches_all)?;
        let Cause::SourceChanged { path } = rebuild.cause else { return None };
        let others = rebuild.seconds - rebuild.units.iter().map(|unit| unit.seconds).sum::<f64>();
        (others >= 10.0 * SECONDS).then(|| Advice {
            id: "many-dependents",
            evidence: format!(
                "`{path}` changed, and {} that depend on `{}` took {}",
                count(rebuild.cascades, "unit"),
                unit.package,
                duration(others)
            ),
            fix: format!(
                "move what changes often out of `{}` into a crate that few others depend on",
                unit.dir.as_deref().unwrap_or_default()
            ),
            // Some of it would have to be compiled anyway.
            seconds: others / 2.0,
            bytes: 0,
        })
    });
    advice.collect()
}

/// Many test executables, each with the whole project linked into it.
fn test_crates(evidence: &Evidence<'_>) -> Vec<Advice> {
    let mut by_package: BTreeMap<&str, Vec<&InspectedUnit>> = BTreeMap::new();
    for unit in &evidence.inspection.units {
        if unit.dir.is_some() && unit.targets.iter().any(|target| target.starts_with("test-integration-test-")) {
            by_package.entry(&unit.package).or_default().push(unit);
        }
    }
    let advice =
        by_package.into_iter().filter(|(_, units)| units.len() >= TEST_CRATES).filter_map(|(package, units)| {
            let all: u64 = units.iter().map(|unit| unit.bytes).sum();
            let largest = units.iter().map(|unit| unit.bytes).max().unwrap_or_default();
            let compiled: f64 = units.iter().filter(|unit| unit.cause.is_some()).map(|unit| unit.seconds).sum();
            let bytes = all - largest;
            (bytes >= BYTES).then(|| Advice {
                id: "many-test-crates",
                evidence: format!(
                    "`{package}` has {} integration tests, each a program of its own: {} of the state",
                    units.len(),
                    size(all)
                ),
                fix: format!(
                    "make them modules of one, `{}`, with a `mod` line for each",
                    inside(units[0], "tests/it/main.rs")
                ),
                seconds: compiled / 2.0,
                bytes,
            })
        });
    advice.collect()
}

/// Incremental state in a job, where nothing is compiled twice.
fn incremental(evidence: &Evidence<'_>) -> Vec<Advice> {
    let bytes = evidence.weights.incremental;
    if bytes < BYTES {
        return Vec::new();
    }
    let fix = match evidence.incremental {
        "cargo's default" => "leave `incremental: on` out of the Rekindle step".to_owned(),
        "profile" => {
            "take `incremental = true` out of the profiles in `Cargo.toml`, or set `CARGO_INCREMENTAL: 0` in the job's \
                      `env:`"
                .to_owned()
        }
        who => format!("set `CARGO_INCREMENTAL: 0` in the job's `env:` (now `{who}` decides)"),
    };
    vec![Advice {
        id: "incremental-state",
        evidence: format!("incremental state takes {} of the target folder", size(bytes)),
        fix,
        seconds: 0.0,
        bytes,
    }]
}

/// Debug information that nobody opens a debugger for.
fn debuginfo(evidence: &Evidence<'_>) -> Vec<Advice> {
    let Weights { executables, debuginfo, .. } = evidence.weights;
    if *debuginfo < BYTES || debuginfo * 3 < *executables {
        return Vec::new();
    }
    vec![Advice {
        id: "debug-information",
        evidence: format!(
            "debug information is {} of the {} of executables and shared libraries",
            size(*debuginfo),
            size(*executables)
        ),
        fix: "write `debug = \"line-tables-only\"` under `[profile.dev]` in `Cargo.toml` (backtraces keep their lines), or set \
              `CARGO_PROFILE_DEV_DEBUG: line-tables-only` in the job's `env:`"
            .to_owned(),
        seconds: 0.0,
        // Line tables stay.
        bytes: debuginfo / 2,
    }]
}

/// A state that may not be stored.
fn budget(evidence: &Evidence<'_>) -> Vec<Advice> {
    let Some(SkipReason::OverBudget { bytes, limit }) = evidence.skipped else { return Vec::new() };
    vec![Advice {
        id: "over-budget",
        evidence: format!(
            "the state takes {} and `max-size` allows {}, so nothing was stored",
            size(*bytes),
            size(*limit)
        ),
        fix: format!(
            "set `max-size` to {} or more, or store less (`keep-unused: 1`, less debug information)",
            size(bytes + bytes / 4)
        ),
        seconds: evidence.inspection.seconds_spent(),
        bytes: 0,
    }]
}
