//! The short form of an outcome, for a job's log: one line per fact, reasons with old and new value. Warnings go apart.

use std::fmt::Write;

use super::{numbers, stock};
use crate::explain::advice::{Advice, Unstored};
use crate::explain::forecast::{self, Affected, Forecast};
use crate::explain::inspection::{Inspection, Rebuild};
use crate::github::{Roll, RollSource};
use crate::job::outcome::{Cold, IsolationOutcome, MtimeOutcome, RestoreOutcome, SaveOutcome, Saved, Start};
use crate::python::Interpreter;
use crate::state::decision::SkipReason;
use crate::state::delta::DeltaKind;
use crate::state::key::{Fit, KeyParts};
use crate::state::key_change::PartChange;
use crate::state::limit::Bound;
use crate::words::{count, duration, size};

/// How many items of a list are shown before it is cut.
const SHOWN: usize = 10;

/// What `restore` did.
pub fn restore(outcome: &RestoreOutcome) -> Vec<String> {
    let RestoreOutcome {
        start,
        cold,
        key,
        rolled,
        files,
        lost_files: _,
        bytes,
        seconds,
        stamping,
        doubts,
        home,
        interpreters,
        incremental_off,
        isolation: _,
        roll,
        warnings: _,
        notes,
        again,
        forecast,
        only_looked,
        system: _,
    } = outcome;
    if let Some(late) = again {
        let late = match late {
            0 => "no file that came late needs another time".to_owned(),
            late => format!("{} got the recorded time back", count(*late, "late input")),
        };
        let goes_on = format!("the job goes on with what it has built: {late}, and nothing is fetched");
        let interpreters = interpreters.iter().map(|found| format!("interpreter: {}", interpreter(found)));
        let notes = notes.iter().map(|note| format!("note: {note}"));
        return std::iter::once(goes_on).chain(interpreters).chain(notes).collect();
    }
    let mut lines = vec![match start {
        Start::Cold => match cold {
            Cold::NothingStored => format!("cold start: nothing is stored under `{key}`"),
            Cold::Unusable => format!("cold start: what is stored under `{key}` cannot be used"),
            Cold::Unanswered => format!("cold start: the store could not be asked for `{key}`"),
            Cold::TakenBack => "cold start: what had been brought was taken back".to_owned(),
        },
        Start::Restored { key, fit, units, sibling } => {
            let kind = nearest(*fit, sibling.as_deref());
            let what = format!("{}, {}, {}", count(*units, "unit"), count(*files, "file"), size(*bytes));
            if *only_looked {
                format!("{what}, would be restored from `{key}`{kind}")
            } else {
                format!("restored {what}, in {seconds:.1} s from `{key}`{kind}")
            }
        }
        Start::Kept { key, units } => {
            format!("the disk was kept: {} are as `{key}` recorded them, nothing is fetched", count(*units, "unit"))
        }
        Start::Unknown { units } => {
            format!(
                "the disk was kept without a record of its {}: every source counts as changed",
                count(*units, "unit")
            )
        }
    }];
    lines.extend(roll.as_ref().map(rolled_by));
    lines.extend(interpreters.iter().map(|found| format!("interpreter: {}", interpreter(found))));
    lines.extend(cut("rolled", rolled.iter().map(PartChange::to_string).collect()));
    if stamping.by_commit > 0 {
        lines.push(format!("sources: {} have the time of their last commit", stamping.by_commit));
    } else if stamping.same + stamping.differing.len() > 0 {
        lines.push(format!(
            "sources: {} as recorded, {} new, changed or gone",
            stamping.same,
            stamping.differing.len()
        ));
    }
    lines.extend(cut("differs", stamping.differing.iter().map(|path| format!("`{path}`")).collect()));
    let doubts = doubts.iter().filter_map(|(unit, doubts)| Some(format!("{unit}: {}", doubts.first()?)));
    lines.extend(cut("will be rebuilt", doubts.collect()));
    lines.extend(cut("will be rebuilt", stamping.skewed.iter().map(ToString::to_string).collect()));
    lines.extend(cut(
        "newer than recorded, and another user's, so its readers are rebuilt (restore as the user who owns it)",
        stamping.not_ours.iter().map(|path| format!("`{path}`")).collect(),
    ));
    lines.extend(forecast.as_ref().map(forecast_in_words));
    if let Some(key) = &home.key {
        lines.push(format!("Cargo home: {}, {}, from `{key}`", count(home.files, "file"), size(home.bytes)));
    }
    if home.packages > 0 {
        lines.push(format!("Cargo home: {} unpacked", count(home.packages, "package")));
    }
    if *incremental_off {
        lines.push(
            "incremental compilation is off for later steps: its state would cost more to keep than it saves"
                .to_owned(),
        );
    }
    lines.extend(only_looked.then(|| "`lookup-only`: nothing is restored, and nothing will be saved".to_owned()));
    lines.extend(notes.iter().map(|note| format!("note: {note}")));
    lines
}

/// How near a state is that was restored.
pub(super) fn nearest(fit: Fit, sibling: Option<&str>) -> String {
    match (sibling, fit) {
        (Some(sibling), _) => format!(", which {sibling} stored: this job has nothing of its own yet"),
        (None, Fit::Soft) => String::new(),
        (None, _) => ", the nearest state there is".to_owned(),
    }
}

/// What will be compiled, how long that takes, and what it comes of.
pub(super) fn forecast_in_words(forecast: &Forecast) -> String {
    let Forecast { known, units, reasons, seconds, cores } = forecast;
    if units.is_empty() {
        return format!(
            "forecast: none of {} will be compiled, if the job builds what the last one did",
            count(*known, "unit")
        );
    }
    let shown: Vec<String> =
        reasons.iter().take(3).map(|reason| format!("{} ({})", reason.text, count(reason.units, "unit"))).collect();
    let more = if reasons.len() > shown.len() {
        format!(" and {} more causes", reasons.len() - shown.len())
    } else {
        String::new()
    };
    format!(
        "forecast: {} of {} will be compiled, about {} on {}: {}{more}",
        units.len(),
        count(*known, "unit"),
        duration(*seconds),
        count(*cores, "core"),
        shown.join(", ")
    )
}

/// What differs from a restored state, a package a line.
pub fn affected(found: &Affected) -> Vec<String> {
    let mut lines = vec![format!("{} of {} affected", found.units, count(found.known, "unit"))];
    for package in &found.packages {
        let all: Vec<&str> = package.targets.iter().chain(&package.tests).map(String::as_str).collect();
        lines.push(format!("  {}: {}: {}", package.name, all.join(", "), package.because.join(", ")));
    }
    lines
}

/// How it turned out; nothing to say of a job in which nothing was foreseen and nothing came.
pub(super) fn forecast_came_true(outcome: &forecast::Outcome) -> Option<String> {
    let forecast::Outcome { right, needless, missed, new } = *outcome;
    let new = if new == 0 { String::new() } else { format!("; {new} more that the last job had not used") };
    match (right, needless, missed) {
        (0, 0, 0) => None,
        (_, 0, 0) => Some(format!("forecast: it came true{new}")),
        _ => Some(format!(
            "forecast: {right} compiled as foreseen, {needless} not after all, {missed} not foreseen{new}"
        )),
    }
}

/// What changes for later steps: done already on a runner, else to be done by hand.
pub fn later_steps(outcome: &RestoreOutcome, is_done: bool) -> Vec<String> {
    let IsolationOutcome { variables, path } = &outcome.isolation;
    let mut lines: Vec<String> = Vec::new();
    lines.extend(outcome.incremental_off.then(|| "export CARGO_INCREMENTAL=0".to_owned()));
    // A text with a NUL in it is in no environment.
    let quoted = |text: &str| shlex::try_quote(text).map(std::borrow::Cow::into_owned).unwrap_or_default();
    lines.extend(variables.iter().map(|(name, value)| format!("export {name}={}", quoted(value))));
    lines.extend(path.as_ref().map(|path| format!("export PATH={}:\"$PATH\"", quoted(&path.to_string_lossy()))));
    let lead = if is_done { "for later steps: " } else { "" };
    lines.into_iter().map(|line| format!("{lead}{line}")).collect()
}

/// What `save` did.
pub fn save(outcome: &SaveOutcome) -> Vec<String> {
    let SaveOutcome {
        compiled: _,
        inspection,
        forecast,
        weights: _,
        history: _,
        advice,
        dropped,
        live: _,
        secret_units,
        secret_files,
        left_out,
        nothing_aged,
        target,
        home,
        pruned,
        seconds,
        warnings: _,
    } = outcome;
    let mut lines = vec![format!("units: {}; {dropped} dropped", numbers::units(inspection))];
    lines.extend(numbers::spared(inspection));
    lines.extend(forecast.as_ref().and_then(forecast_came_true));
    lines.extend(cut("compiled", inspection.rebuilds().iter().map(rebuild).collect()));
    lines.extend(cut(
        "left out, because it holds a secret of the environment (pass it at run time instead of at build time)",
        secret_units.clone(),
    ));
    lines.extend(cut(
        "left out, because it holds a secret of the environment; nobody is known to have made it",
        secret_files.iter().map(|file| format!("`{file}`")).collect(),
    ));
    if let Some(Unstored { units, seconds, limit, whole: _ }) = left_out {
        let head =
            format!("not stored, because {limit} has no room for it ({} of compiling in all)", duration(*seconds));
        lines.extend(cut(&head, units.clone()));
    }
    if *nothing_aged {
        lines.push("the job did not succeed, so the units that it did not use are kept as long as before".to_owned());
    }
    lines.extend(saved_line("target", target));
    lines.extend(saved_line("Cargo home", home));
    lines.extend(stock::pruned(pruned).map(|text| format!("pruned: {text}")));
    let (old, new): (Vec<&Advice>, Vec<&Advice>) = advice.iter().partition(|advice| advice.is_old());
    lines.extend(new.iter().map(|advice| format!("advice: {}; {}", advice.evidence, advice.fix)));
    if !old.is_empty() {
        let ids = old.iter().map(|advice| advice.id).collect::<Vec<_>>().join(", ");
        lines.push(format!("advice as in the runs before, in full in the summary: {ids}"));
    }
    lines.push(format!("took {seconds:.1} s"));
    lines
}

/// The parts of a key and the key itself, without the fields that only a save knows.
pub fn key(parts: &KeyParts) -> Vec<String> {
    let KeyParts { name, hard, soft } = parts;
    let mut lines = vec![parts.fields().prefix(Fit::Soft), String::new()];
    let mut row = |name: &str, value: &str| {
        let value = if value.is_empty() { "(none)" } else { value };
        let indented = value.replace('\n', &format!("\n{:<24}", ""));
        lines.push(format!("{name:<24}{indented}"));
    };
    row("workflow", &name.workflow);
    row("job", &name.job);
    row("key", &name.key);
    row("key-roll", &name.roll);
    row("operating system", &format!("{} {} {}", hard.os, hard.arch, hard.os_release));
    row("libc", &hard.libc);
    row("CARGO_HOME", &hard.cargo_home);
    for workspace in &hard.workspaces {
        row("workspace", &workspace.root);
        row("target directory", &workspace.target);
        row("build directory", &workspace.build);
        row("toolchain", &workspace.rustc);
    }
    for (flag, value) in &hard.flags {
        row(flag, value);
    }
    for (name, value) in &hard.variables {
        row(name, value);
    }
    row("incremental", &hard.incremental.to_string());
    row("linker", &hard.linker);
    row("C compiler", &hard.c_compiler);
    for (name, text) in &hard.tools {
        row(name, text);
    }
    for (option, value) in &hard.options {
        row(&format!("option {option}"), value);
    }
    row("locked packages", &soft.packages.len().to_string());
    for (path, digest) in soft.manifests.iter().chain(&soft.configs) {
        row(path, &digest.short());
    }
    for (path, facts) in &soft.interpreters {
        row("interpreter", path);
        row("", facts);
    }
    lines
}

/// What `mtime` did.
pub fn mtime(outcome: &MtimeOutcome) -> Vec<String> {
    let MtimeOutcome { files, folders, missing } = outcome;
    let mut lines =
        vec![format!("{} and {} have the time of their last commit", count(*files, "file"), count(*folders, "folder"))];
    lines.extend(cut("in no commit", missing.iter().map(|path| format!("`{path}`")).collect()));
    lines
}

/// What became of a state, without the names of entries.
pub(super) fn saved(saved: &Saved) -> Option<String> {
    Some(match saved {
        Saved::Skipped(SkipReason::OverBudget { bytes, limit }) => {
            let (taken, limit, of) = (size(*bytes), size(limit.limit), limit.of);
            match of {
                Bound::MaxSize => format!("not saved, it takes {taken} and `max-size` is {limit}"),
                Bound::Disk => format!("not saved, it takes {taken} and the disk has room for {limit}"),
            }
        }
        Saved::Skipped(reason) => format!("not saved, {reason}"),
        Saved::NothingFetched | Saved::Failed => return None,
        Saved::AlreadyThere { .. } => "already stored".to_owned(),
        Saved::Reserved { .. } => "not saved, another job is storing it or was interrupted in doing so".to_owned(),
        Saved::Stored { key: _, kind, files, bytes, content_bytes } => {
            let kind = match kind {
                DeltaKind::Delta => "changes only".to_owned(),
                DeltaKind::Base(reason) => format!("everything, because {}", reason.reason()),
            };
            let (files, bytes, all) = (count(*files, "file"), size(*bytes), size(*content_bytes));
            format!("saved {files} in {bytes} ({kind}; the state is {all})")
        }
    })
}

fn saved_line(what: &str, outcome: &Saved) -> Option<String> {
    let words = saved(outcome)?;
    let key = match outcome {
        Saved::AlreadyThere { key } | Saved::Reserved { key } | Saved::Stored { key, .. } => format!(" as `{key}`"),
        Saved::Skipped(_) | Saved::NothingFetched | Saved::Failed => String::new(),
    };
    Some(format!("{what}: {words}{key}"))
}

/// Why a command compiled what it compiled.
pub fn inspection(inspection: &Inspection) -> Vec<String> {
    let compiled = inspection.compiled().count();
    let mut lines = vec![format!("{} compiled{}", count(compiled, "unit"), numbers::took(inspection))];
    if let Some(spared) = numbers::spared(inspection) {
        let _ = write!(lines[0], "; {} fresh, and {spared}", count(inspection.fresh().count(), "unit"));
    }
    lines.extend(inspection.rebuilds().iter().map(|found| format!("  {}", rebuild(found))));
    lines
}

/// A root cause, what it hit, and what followed.
pub fn rebuild(rebuild: &Rebuild<'_>) -> String {
    let Rebuild { cause: _, text, units, cascades, seconds } = rebuild;
    let shown: Vec<&str> = units.iter().take(3).map(|unit| unit.unit.as_str()).collect();
    let more = if units.len() > 3 { format!(" and {} more", units.len() - 3) } else { String::new() };
    let then = if *cascades > 0 { format!(", then {}", count(*cascades, "dependent unit")) } else { String::new() };
    format!("{}{more}: {text}{then} ({})", shown.join(", "), duration(*seconds))
}

/// A Python interpreter and where it is.
pub fn interpreter(found: &Interpreter) -> String {
    let Interpreter { path, name, tag: _ } = found;
    format!("{name}, `{path}`")
}

/// Who wanted a new start.
pub fn rolled_by(roll: &Roll) -> String {
    let Roll { text, wished_by } = roll;
    match wished_by {
        RollSource::Input => format!("key-roll: `{text}`, from the input"),
        RollSource::Label => format!("key-roll: `{text}`, from a label of the pull request"),
        RollSource::LabelOfEvent => format!("key-roll: `{text}`, from a label that the pull request had at the event"),
    }
}

/// `head: item`, one a line; what is over `SHOWN` is only counted.
fn cut(head: &str, items: Vec<String>) -> Vec<String> {
    let more = items.len().saturating_sub(SHOWN);
    let mut lines: Vec<String> = items.into_iter().take(SHOWN).map(|item| format!("  {head}: {item}")).collect();
    if more > 0 {
        lines.push(format!("  {head}: and {more} more"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_cut() {
        assert_eq!(cut("x", vec!["y".into(); 12]).last().unwrap(), "  x: and 2 more");
    }
}
