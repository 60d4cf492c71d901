//! What `try` found, as a table for people and as JSON for programs.

use anyhow::Result;
use serde::Serialize;

use crate::job::outcome::{TryOutcome, TryRun};
use crate::words::size;

/// The documented JSON, whose fields never change their meaning or their order.
#[derive(Serialize)]
struct TrialJson<'a> {
    cold: &'a TryRun,
    warm: &'a TryRun,
    edited: Edited<'a>,
    pack_bytes: u64,
    delta_bytes: u64,
    restore_seconds: f64,
    save_seconds: f64,
}

#[derive(Serialize)]
struct Edited<'a> {
    #[serde(flatten)]
    run: &'a TryRun,
    expected: usize,
}

pub fn json(outcome: &TryOutcome) -> Result<String> {
    let TryOutcome { cold, warm, edited, expected, pack_bytes, delta_bytes, restore_seconds, save_seconds, .. } =
        outcome;
    let json = TrialJson {
        cold,
        warm,
        edited: Edited { run: edited, expected: *expected },
        pack_bytes: *pack_bytes,
        delta_bytes: *delta_bytes,
        restore_seconds: *restore_seconds,
        save_seconds: *save_seconds,
    };
    Ok(serde_json::to_string(&json)?)
}

pub fn text(outcome: &TryOutcome) -> Vec<String> {
    let TryOutcome { cold, warm, edited, expected, pack_bytes, delta_bytes, restore_seconds, save_seconds, .. } =
        outcome;
    let row = |name: &str, run: &TryRun, note: &str| {
        format!("{name:<34}{:>9.1} s{:>10}{:>8}   {note}", run.seconds, run.compiled, run.fresh).trim_end().to_owned()
    };
    let mut lines = vec![
        format!("{:<34}{:>11}{:>10}{:>8}", "", "build", "compiled", "fresh"),
        row("cold", cold, ""),
        row("wiped, restored", warm, "expected 0"),
        row("wiped, restored, one file edited", edited, &format!("never wiped: {expected}")),
        String::new(),
        format!("restore {restore_seconds:.1} s, save {save_seconds:.1} s"),
        format!("first pack {}, after the edit {}", size(*pack_bytes), size(*delta_bytes)),
    ];
    let lists = [
        ("compiled although nothing changed", &outcome.warm_compiled),
        ("compiled although a machine that was never wiped did not", &outcome.surplus),
        ("not compiled although a machine that was never wiped did", &outcome.lacking),
    ];
    for (head, units) in lists {
        lines.extend(units.iter().map(|unit| format!("{head}: {unit}")));
    }
    let verdict = if outcome.kept_the_promise() { "the promise holds" } else { "the promise does not hold here" };
    lines.push(verdict.to_owned());
    lines
}
