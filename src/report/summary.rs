//! The page of the run: a short account in Markdown of what was restored, compiled and saved, and why.
//!
//! Text from outside (paths, keys, messages) is escaped: it can neither end a table cell nor become a link or a tag.

use super::log::{rolled_by, saved};
use super::outputs::state;
use crate::inspection::Rebuild;
use crate::outcome::{RestoreOutcome, SaveOutcome, Start};
use crate::words::{count, duration, size};

/// Items of a list that are shown before it is cut; the whole stays far below what a runner takes.
const SHOWN: usize = 20;
const LONGEST: usize = 300;

/// `job` is what the reader knows it by.
pub fn markdown(job: &str, restore: &RestoreOutcome, save: &SaveOutcome) -> String {
    let mut lines = vec![format!("### Rekindle: {}", headline(job, restore, save)), String::new()];
    lines.extend(table(&[
        ("Start", start(restore)),
        ("Units", units(save)),
        ("Target", saved("target", &save.target).map_or_else(|| "not saved".to_owned(), |line| after(&line))),
        ("Cargo home", saved("Cargo home", &save.home).map_or_else(|| "nothing new".to_owned(), |line| after(&line))),
        ("Time", format!("restore {:.1} s, save {:.1} s", restore.seconds, save.seconds)),
    ]));
    if let Some(roll) = &restore.roll {
        lines.extend([String::new(), escape(&rolled_by(roll))]);
    }
    lines.extend(section(
        "The key rolled, because these parts differ from the last stored state",
        restore.rolled.iter().map(ToString::to_string),
    ));
    lines.extend(section("Sources that differ from the restored state", restore.stamping.differing.iter().cloned()));
    let doubts = restore.doubts.iter().filter_map(|(unit, doubts)| Some(format!("{unit}: {}", doubts.first()?)));
    let touches = restore.stamping.touches.iter().map(ToString::to_string);
    lines.extend(section("Made to rebuild, because Cargo could not have seen the change", doubts.chain(touches)));
    lines.extend(rebuilds(save));
    lines.extend(section(
        "Left out, because they hold a secret of the environment (pass it at run time)",
        save.secret_units.iter().cloned(),
    ));
    lines.extend(section("Notes", restore.notes.iter().cloned()));
    let warnings = restore.warnings.iter().chain(&save.warnings).map(ToString::to_string);
    lines.extend(section("Warnings", warnings));
    lines.push(String::new());
    lines.join("\n")
}

/// Roots with what followed from them, the most expensive first.
fn rebuilds(save: &SaveOutcome) -> Vec<String> {
    let rebuilds = save.inspection.rebuilds();
    if rebuilds.is_empty() {
        return Vec::new();
    }
    let mut lines =
        vec![String::new(), "| Compiled | because | units | seconds |".to_owned(), "|---|---|--:|--:|".to_owned()];
    for rebuild in rebuilds.iter().take(SHOWN) {
        let Rebuild { cause, units, cascades, seconds } = rebuild;
        let first = units.first().map_or("", |unit| unit.unit.as_str());
        let more = if units.len() > 1 { format!(" and {} more", units.len() - 1) } else { String::new() };
        let then = if *cascades > 0 { format!(" + {cascades} that depend on them") } else { String::new() };
        let (first, cause) = (escape(first), escape(&cause.to_string()));
        lines.push(format!("| {first}{more} | {cause} | {}{then} | {seconds:.1} |", units.len()));
    }
    if rebuilds.len() > SHOWN {
        lines.push(format!("| and {} more causes | | | |", rebuilds.len() - SHOWN));
    }
    lines
}

fn headline(job: &str, restore: &RestoreOutcome, save: &SaveOutcome) -> String {
    let start = match state(restore) {
        "exact" => "warm start",
        "partial" => "partly warm start",
        _ => "cold start",
    };
    let job = if job.is_empty() { String::new() } else { format!(" of {}", escape(job)) };
    let compiled = count(save.inspection.compiled().count(), "unit");
    let saved = save.inspection.seconds_saved();
    let saved = if saved >= 0.1 { format!(", {} of compiling saved", duration(saved)) } else { String::new() };
    format!("{start}{job}, {compiled} compiled{saved}")
}

fn start(restore: &RestoreOutcome) -> String {
    match &restore.start {
        Start::Cold => format!("nothing is stored under `{}`", restore.key),
        Start::Restored { key, units, .. } => {
            format!("{}, {} from `{key}`", count(*units, "unit"), size(restore.bytes))
        }
        Start::Kept { key, units } => format!("the disk was kept: {} of `{key}`", count(*units, "unit")),
        Start::Unknown { units } => format!("the disk was kept, without a record of its {}", count(*units, "unit")),
    }
}

fn units(save: &SaveOutcome) -> String {
    let (compiled, fresh) = (save.inspection.compiled().count(), save.inspection.fresh().count());
    format!("{} in use, {compiled} compiled, {fresh} fresh, {} dropped", compiled + fresh, save.dropped)
}

/// The part behind `target: `, which stands in the first column here.
fn after(line: &str) -> String {
    line.split_once(": ").map_or(line, |(_, rest)| rest).to_owned()
}

fn table(rows: &[(&str, String)]) -> Vec<String> {
    let mut lines = vec!["| | |".to_owned(), "|---|---|".to_owned()];
    lines.extend(rows.iter().map(|(name, value)| format!("| {name} | {} |", escape(value))));
    lines
}

/// A list under a head, folded if it is long; nothing for an empty one.
fn section(head: &str, items: impl Iterator<Item = String>) -> Vec<String> {
    let items: Vec<String> = items.collect();
    if items.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![String::new()];
    let folded = items.len() > SHOWN / 4;
    if folded {
        lines.push(format!("<details><summary>{head} ({})</summary>\n", items.len()));
    } else {
        lines.push(format!("**{head}**\n"));
    }
    lines.extend(items.iter().take(SHOWN).map(|item| format!("- {}", escape(item))));
    if items.len() > SHOWN {
        lines.push(format!("- and {} more", items.len() - SHOWN));
    }
    if folded {
        lines.push("\n</details>".to_owned());
    }
    lines
}

/// Text in backticks stays code; everything else that Markdown could read as more than text is made plain.
fn escape(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect();
    let balanced = line.matches('`').count().is_multiple_of(2);
    let mut code = false;
    let mut out = String::with_capacity(line.len());
    for c in line.chars() {
        match c {
            '`' if balanced => {
                code = !code;
                out.push('`');
            }
            '`' => out.push('\''),
            '|' => out.push_str("\\|"),
            _ if code => out.push(c),
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            '*' | '_' | '[' | ']' | '\\' | '~' | '#' | '!' => out.extend(['\\', c]),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cause::Cause;
    use crate::inspection::{InspectedUnit, Inspection};
    use crate::problem::Warning;

    #[test]
    fn text_from_outside_stays_text() {
        assert_eq!(escape("a|b <img src=x> [x](y)"), "a\\|b &lt;img src=x> \\[x\\](y)");
        assert_eq!(escape("`a_b<c>` and d_e"), "`a_b<c>` and d\\_e");
        assert_eq!(escape("odd ` tick\nline"), "odd ' tick line");
    }

    #[test]
    fn a_cold_start_and_its_warnings_are_told() {
        let mut restore = RestoreOutcome { key: "rekindle.1.a.".into(), ..RestoreOutcome::default() };
        restore.warnings.push(Warning::new("the cache service: no connection"));
        let unit = |number: usize| InspectedUnit {
            unit: format!("p{number} (lib-p)"),
            package: "p".into(),
            profile: "debug".into(),
            seconds: 0.5,
            cause: Some(Cause::EnvChanged { name: format!("A|{number}"), old: "(unset)".into(), new: "`1`".into() }),
            ..InspectedUnit::default()
        };
        let inspection = Inspection { units: (0..30).map(unit).collect() };
        let save = SaveOutcome { inspection, live: 30, ..Default::default() };
        let text = markdown("test", &restore, &save);
        assert!(text.starts_with("### Rekindle: cold start of test, 30 units compiled\n"), "{text}");
        assert!(text.contains("| Units | 30 in use, 30 compiled, 0 fresh, 0 dropped |"), "{text}");
        let row = "| p0 (lib-p) | the variable `A\\|0` changed: (unset) → `1` | 1 | 0.5 |";
        assert!(text.contains(row), "{text}");
        assert!(
            text.contains("| and 10 more causes | | | |") && text.contains("- the cache service: no connection"),
            "{text}"
        );
    }
}
