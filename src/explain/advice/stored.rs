//! Advice about what there is too much of: variants of one crate, test programs, debug information, incremental state. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::{Advice, BYTES, Measured, SECONDS, Unstored, inside};
use crate::explain::inspection::InspectedUnit;
use crate::explain::inspection::Weights;
use crate::state::decision::SkipReason;
use crate::state::key::Incremental;
use crate::state::limit::Bound;
use crate::words::{count, duration, size};

/// Integration tests of one package above which linking them one by one is worth a word.
const TEST_CRATES: usize = 8;

/// One crate built several times for one job, with other features or flags.
pub(super) fn variants(measured: &Measured<'_>) -> Vec<Advice> {
    let mut groups: BTreeMap<(&str, &str, u64), Vec<&InspectedUnit>> = BTreeMap::new();
    for unit in &measured.inspection.units {
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
        let evidence = format!(
            "{} compiled more than once with other {what} (`{package}`: {difference}), which takes {}",
            count_was(packages.len()),
            duration(seconds)
        );
        (seconds >= SECONDS).then(|| Advice::faster(id, evidence, fix, seconds))
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

/// Many test executables, each with the whole project linked into it.
pub(super) fn test_crates(measured: &Measured<'_>) -> Vec<Advice> {
    let mut by_package: BTreeMap<&str, Vec<&InspectedUnit>> = BTreeMap::new();
    for unit in &measured.inspection.units {
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
            let evidence = format!(
                "`{package}` has {} integration tests, each a program of its own: {} of the state",
                units.len(),
                size(all)
            );
            let fix = format!(
                "make them modules of one, `{}`, with a `mod` line for each",
                inside(units[0], "tests/it/main.rs")
            );
            let advice = Advice::smaller("many-test-crates", evidence, fix, bytes);
            (bytes >= BYTES).then_some(Advice { seconds: compiled / 2.0, ..advice })
        });
    advice.collect()
}

/// Incremental state in a job, where nothing is compiled twice.
pub(super) fn incremental(measured: &Measured<'_>) -> Vec<Advice> {
    let bytes = measured.weights.incremental;
    if bytes < BYTES {
        return Vec::new();
    }
    let fix = match measured.incremental {
        Incremental::Undecided => "leave `incremental: on` out of the Rekindle step".to_owned(),
        Incremental::Profile => {
            "take `incremental = true` out of the profiles in `Cargo.toml`, or set `CARGO_INCREMENTAL: 0` in the job's \
                      `env:`"
                .to_owned()
        }
        who @ (Incremental::Config(_) | Incremental::Variable { .. }) => {
            format!("set `CARGO_INCREMENTAL: 0` in the job's `env:` (now `{who}` decides)")
        }
    };
    let evidence = format!("incremental state takes {} of the target folder", size(bytes));
    vec![Advice::smaller("incremental-state", evidence, fix, bytes)]
}

/// Debug information that nobody opens a debugger for.
pub(super) fn debuginfo(measured: &Measured<'_>) -> Vec<Advice> {
    let Weights { executables, debuginfo, .. } = measured.weights;
    if *debuginfo < BYTES || debuginfo * 3 < *executables {
        return Vec::new();
    }
    let evidence = format!(
        "debug information is {} of the {} of executables and shared libraries",
        size(*debuginfo),
        size(*executables)
    );
    let fix = "write `debug = \"line-tables-only\"` under `[profile.dev]` in `Cargo.toml` (backtraces keep their lines), or set \
               `CARGO_PROFILE_DEV_DEBUG: line-tables-only` in the job's `env:`";
    // Line tables stay.
    vec![Advice::smaller("debug-information", evidence, fix, debuginfo / 2)]
}

/// A size as the input takes it: a whole number and its unit.
fn whole(bytes: u64) -> String {
    let units = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    let (unit, factor) = units.into_iter().find(|(_, factor)| bytes >= factor * 10).unwrap_or(("kB", 1_000));
    format!("{} {unit}", bytes.div_ceil(factor))
}

/// A state that may not be stored, or not all of it.
pub(super) fn budget(measured: &Measured<'_>) -> Vec<Advice> {
    let (taken, limit, came_of_it, seconds) = match (measured.left_out, measured.skipped) {
        (Some(Unstored { units, seconds, limit, whole }), _) => {
            let text = format!("{}, {} of compiling, were not stored", count(units.len(), "unit"), duration(*seconds));
            (*whole, *limit, text, *seconds)
        }
        (None, Some(SkipReason::OverBudget { bytes, limit })) => {
            (*bytes, *limit, "nothing was stored".to_owned(), measured.inspection.seconds_spent())
        }
        _ => return Vec::new(),
    };
    let enough = whole(taken + taken / 4);
    let less = "or store less (`keep-unused: 1`, less debug information)";
    let (allowed, fix) = match limit.of {
        Bound::MaxSize => ("`max-size` allows", format!("set `max-size` to {enough} or more, {less}")),
        Bound::Disk => {
            ("the disk has room for", format!("leave {enough} of the disk free at the end of the job, {less}"))
        }
    };
    let evidence = format!("the state takes {} and {allowed} {}, so {came_of_it}", size(taken), size(limit.limit));
    vec![Advice::faster("over-budget", evidence, fix, seconds)]
}
