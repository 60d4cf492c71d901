//! Advice about what was compiled again: variables, files, scripts and toolchains that are others in every run. Pure.

use std::collections::BTreeMap;

use super::{Advice, Measured, SECONDS, inside};
use crate::explain::cause::Cause;
use crate::explain::inspection::InspectedUnit;
use crate::state::key_change::Part;
use crate::words::{count, duration};

/// A variable that is another one in each run.
pub(super) fn drifting_variables(measured: &Measured<'_>) -> Vec<Advice> {
    let mut seconds: BTreeMap<&str, (f64, usize, &str, &str)> = BTreeMap::new();
    for rebuild in measured.inspection.rebuilds() {
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
pub(super) fn untracked_files(measured: &Measured<'_>) -> Vec<Advice> {
    let rebuilds = measured.inspection.rebuilds();
    let of_untracked = rebuilds.iter().filter_map(|rebuild| match rebuild.cause {
        Cause::SourceChanged { path } if measured.untracked.contains(path) => Some((path, rebuild)),
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
pub(super) fn unwatched_scripts(measured: &Measured<'_>) -> Vec<Advice> {
    let units = &measured.inspection.units;
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

/// Everything again because the compiler is another one.
pub(super) fn moving_toolchain(measured: &Measured<'_>) -> Vec<Advice> {
    let release = |rustc: &str| rustc.lines().next().unwrap_or_default().trim_start_matches("rustc ").to_owned();
    let Some(change) = measured.rolled.iter().find(|change| change.part == Part::Toolchain) else {
        return Vec::new();
    };
    let (old, new, seconds) = (release(&change.old), release(&change.new), measured.inspection.seconds_spent());
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
pub(super) fn secrets(measured: &Measured<'_>) -> Vec<Advice> {
    let units = measured.inspection.units.iter().filter(|unit| measured.secret_units.contains(&unit.unit));
    let seconds: f64 = units.map(|unit| unit.seconds).sum();
    if measured.secret_units.is_empty() || seconds < SECONDS {
        return Vec::new();
    }
    vec![Advice {
        id: "secret-in-build",
        evidence: format!(
            "{} a secret of the environment and cannot be stored, `{}` among them: {} in every job",
            if measured.secret_units.len() == 1 {
                "1 unit holds".to_owned()
            } else {
                format!("{} units hold", measured.secret_units.len())
            },
            measured.secret_units[0],
            duration(seconds)
        ),
        fix: "read the secret at run time (`env::var`) instead of at build time (`env!`, a build script), or set it only in \
              the step that needs it"
            .to_owned(),
        seconds,
        bytes: 0,
    }]
}

/// A crate of the project on which most of it waits.
pub(super) fn heavy_roots(measured: &Measured<'_>) -> Vec<Advice> {
    let rebuilds = measured.inspection.rebuilds();
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
