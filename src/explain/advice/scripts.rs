//! Advice about build scripts of the project: what they ask Cargo to watch. Pure.

use super::{Advice, Measured, SECONDS, file_behind, inside, spent_on};
use crate::explain::cause::Cause;
use crate::explain::inspection::{InspectedUnit, Rebuild};
use crate::stamp::doubt::EMBEDS_COMMIT;
use crate::words::{count, duration};

/// A build script that runs whenever anything in its package changes.
pub(super) fn unwatched(measured: &Measured<'_>) -> Vec<Advice> {
    let units = &measured.inspection.units;
    let runs = units.iter().enumerate().filter(|(_, unit)| {
        unit.watches_all && unit.dir.is_some() && unit.cause.as_ref().is_some_and(|cause| file_behind(cause).is_some())
    });
    let advice = runs.filter_map(|(at, unit)| {
        let followed: Vec<&InspectedUnit> = units.iter().filter(|unit| unit.root == Some(at)).collect();
        let seconds = unit.seconds + followed.iter().map(|unit| unit.seconds).sum::<f64>();
        let path = file_behind(unit.cause.as_ref()?)?;
        let evidence = format!(
            "the build script of `{}` names nothing that it reads, so `{path}` ran it, and {} followed: {}",
            unit.package,
            count(followed.len(), "unit"),
            duration(seconds)
        );
        let fix = format!(
            "print `cargo::rerun-if-changed=build.rs`, and a line for each file that it reads, in `{}`",
            inside(unit, "build.rs")
        );
        (seconds >= SECONDS).then(|| Advice::faster("script-watches-all", evidence, fix, seconds))
    });
    advice.collect()
}

/// A build script that watches what is not there, and is run in every build by that.
pub(super) fn watching_nothing(measured: &Measured<'_>) -> Vec<Advice> {
    let advice = measured.costly().filter_map(|rebuild| {
        let Cause::NeverThere { path } = rebuild.cause else { return None };
        let unit = own(&rebuild)?;
        let evidence = format!(
            "the build script of `{}` watches `{path}`, which is not there: each build compiles {}",
            unit.package,
            spent_on(&rebuild)
        );
        let fix = format!("let `{}` print `rerun-if-changed` only of what is there", inside(unit, "build.rs"));
        Some(Advice::faster("script-watches-nothing", evidence, fix, rebuild.seconds))
    });
    advice.collect()
}

/// A build script that watches git's own files: every commit runs it.
pub(super) fn watching_git(measured: &Measured<'_>) -> Vec<Advice> {
    let advice = measured.costly().filter_map(|rebuild| {
        let is_gits = match rebuild.cause {
            Cause::SourceChanged { path } => path.split(['/', '\\']).any(|part| part == ".git"),
            Cause::Forced { reason } => reason.starts_with(EMBEDS_COMMIT),
            _ => false,
        };
        let unit = own(&rebuild).filter(|_| is_gits)?;
        let evidence = format!(
            "the build script of `{}` holds the commit, so every commit compiles {}",
            unit.package,
            spent_on(&rebuild)
        );
        let fix = format!(
            "let `{}` take the commit from a variable that only the jobs of a release set (`rerun-if-env-changed`), and \
             watch nothing of git where that is not set",
            inside(unit, "build.rs")
        );
        Some(Advice::faster("script-watches-git", evidence, fix, rebuild.seconds))
    });
    advice.collect()
}

/// The script's run, if it is one of the project's own.
fn own<'a>(rebuild: &Rebuild<'a>) -> Option<&'a InspectedUnit> {
    rebuild.units.iter().copied().find(|unit| unit.dir.is_some() && unit.kind == "run")
}
