//! Advice about what was compiled again: variables, files and toolchains that are others in every run. Pure.

use std::collections::BTreeMap;

use super::{Advice, Measured, SECONDS, file_behind, spent, spent_on};
use crate::explain::cause::Cause;
use crate::state::key_change::Part;
use crate::words::{count, duration};

/// What maturin sets and cargo alone does not.
const PYO3: [&str; 4] =
    ["PYO3_PYTHON", "PYO3_ENVIRONMENT_SIGNATURE", "PYO3_BUILD_EXTENSION_MODULE", "PYO3_CONFIG_FILE"];

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
        let evidence = format!("`{name}` went from {old} to {new}, which compiled {}{place}", spent(units, seconds));
        Advice::faster("variable-drifts", evidence, fix, seconds)
    });
    advice.collect()
}

/// A wheel from a copy of the sources that is gone: nothing of what was compiled for it is kept.
pub(super) fn sdist_copies(measured: &Measured<'_>) -> Vec<Advice> {
    let Some(wheel) = measured.sdist_wheel.as_ref().filter(|_| !measured.has_shim) else { return Vec::new() };
    let evidence = format!(
        "`{wheel}` and its sdist were made, and nothing in the target folder was used for them: unless a command names another \
         target folder, the wheel was compiled by way of the sdist, in a temporary copy of which nothing is kept"
    );
    let fix = "set `isolation: alias` on the Rekindle step, or build the wheel from the checkout (`python -m build --wheel`, \
               `uv build --wheel`)";
    vec![Advice::faster("sdist-copy", evidence, fix, 0.0)]
}

/// What two tools or steps build in turns, each with variables of its own.
pub(super) fn turns(measured: &Measured<'_>) -> Vec<Advice> {
    let advice = measured.costly().filter_map(|rebuild| {
        let Cause::ChangedBack { names, values } = rebuild.cause else { return None };
        let is_pyo3 = names.iter().any(|name| PYO3.contains(&name.as_str()));
        // Which of several it was is not known, unless all are set by one tool.
        if values.is_none() && names.len() > 1 && !is_pyo3 {
            return None;
        }
        let fix = if is_pyo3 {
            "give the cargo steps, or those of maturin, a target folder of their own, as with `CARGO_TARGET_DIR: target/cargo` \
             in the step's `env:`"
                .to_owned()
        } else {
            format!("give `{}` the same value in every step that builds (`env:` of the job)", names.join("`, `"))
        };
        let evidence = format!("{}, which compiled {}", rebuild.cause, spent_on(&rebuild));
        Some(Advice::faster("steps-take-turns", evidence, fix, rebuild.seconds))
    });
    advice.collect()
}

/// A file outside of git that came after the restore, as it had been: for Cargo it changed.
pub(super) fn late_files(measured: &Measured<'_>) -> Vec<Advice> {
    let first = "put the step that makes it before the Rekindle step";
    let fix = if measured.has_shim {
        first.to_owned()
    } else {
        format!("{first}, which then gives it its time back, or set `isolation: alias` on that")
    };
    let advice = measured.costly().filter_map(|rebuild| {
        let Cause::SourceChanged { path } = rebuild.cause else { return None };
        let evidence = format!(
            "`{path}` was made after the restore and is what it was in the last job, but newer: that compiled {}",
            spent_on(&rebuild)
        );
        measured.late.contains(path).then(|| Advice::faster("late-file", evidence, fix.clone(), rebuild.seconds))
    });
    advice.collect()
}

/// Whether a value names a folder that only this run has.
fn is_ephemeral(value: &str) -> bool {
    ["/builds-v0/.tmp", "build-env-", "/tmp/", "/tmp.", "\\Temp\\", "/_temp/", "/var/folders/"]
        .iter()
        .any(|part| value.contains(part))
}

/// A file that the job wrote into a package whose build script takes every file for its own.
pub(super) fn untracked_files(measured: &Measured<'_>) -> Vec<Advice> {
    let advice = measured.costly().filter_map(|rebuild| {
        let path = file_behind(rebuild.cause)?;
        let is_own = rebuild.units.iter().any(|unit| unit.dir.is_some() && unit.kind == "run");
        let is_litter = measured.untracked.contains(path) && !measured.late.contains(path);
        let evidence =
            format!("`{path}` is not in git, and a job wrote it into a package: that compiled {}", spent_on(&rebuild));
        let fix = "let the job write it outside of the package (below `target/` or `$RUNNER_TEMP`)";
        (is_own && is_litter).then(|| Advice::faster("untracked-file", evidence, fix, rebuild.seconds))
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
    let evidence =
        format!("the toolchain went from {old} to {new}, and everything was compiled again in {}", duration(seconds));
    let fix = format!(
        "if that was not meant, write `channel = \"{channel}\"` under `[toolchain]` in `rust-toolchain.toml`, and move it in \
         a commit"
    );
    vec![Advice::faster("toolchain-moves", evidence, fix, seconds)]
}

/// Units that no pack may hold.
pub(super) fn secrets(measured: &Measured<'_>) -> Vec<Advice> {
    let units = measured.inspection.units.iter().filter(|unit| measured.secret_units.contains(&unit.unit));
    let seconds: f64 = units.map(|unit| unit.seconds).sum();
    if measured.secret_units.is_empty() || seconds < SECONDS {
        return Vec::new();
    }
    let evidence = format!(
        "{} a secret of the environment and cannot be stored, `{}` among them: {} in every job",
        if measured.secret_units.len() == 1 {
            "1 unit holds".to_owned()
        } else {
            format!("{} units hold", measured.secret_units.len())
        },
        measured.secret_units[0],
        duration(seconds)
    );
    let fix = "read the secret at run time (`env::var`) instead of at build time (`env!`, a build script), or set it only in \
               the step that needs it";
    vec![Advice::faster("secret-in-build", evidence, fix, seconds)]
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
        let evidence = format!(
            "`{path}` changed, and {} that depend on `{}` took {}",
            count(rebuild.cascades, "unit"),
            unit.package,
            duration(others)
        );
        let fix = format!(
            "move what changes often out of `{}` into a crate that few others depend on",
            unit.dir.as_deref().unwrap_or_default()
        );
        // Some of it would have to be compiled anyway.
        (others >= 10.0 * SECONDS).then(|| Advice::faster("many-dependents", evidence, fix, others / 2.0))
    });
    advice.collect()
}
