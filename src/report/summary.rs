//! The page of the run: a short account in Markdown of what was restored, compiled and saved, and why.
//!
//! Text from outside (paths, keys, messages) is escaped: it can neither end a table cell nor become a link or a tag.

use super::chart;
use super::log::{forecast_came_true, interpreter, nearest, rolled_by, saved};
use super::markdown::{Page, SHOWN, escape, fold, list, section, table};
use super::numbers;
use super::outputs::state;
use super::stock;
use crate::explain::advice::Unstored;
use crate::explain::cause::Cause;
use crate::explain::inspection::{InspectedUnit, Rebuild};
use crate::job::outcome::{Cold, RestoreOutcome, SaveOutcome, Saved, Start};
use crate::state::housekeeping::Pruned;
use crate::words::{count, duration, size};

/// `job` is what the reader knows it by.
pub fn markdown(job: &str, restore: &RestoreOutcome, save: &SaveOutcome) -> String {
    let mut page = Page::default();
    page.add(0, vec![format!("### Rekindle: {}", headline(job, restore, save))]);
    let warnings = restore.warnings.iter().chain(&save.warnings).map(ToString::to_string);
    page.add(1, section("Warnings", warnings));
    let mut rows = vec![("Start", start(restore)), ("Units", units(save))];
    rows.extend(forecast(restore, save).map(|text| ("Forecast", text)));
    rows.push(("Target", saved(&save.target).unwrap_or_else(|| "not saved".to_owned())));
    rows.push(("Cargo home", saved(&save.home).unwrap_or_else(|| "nothing new".to_owned())));
    if let Pruned::Done { .. } = save.pruned {
        rows.extend(stock::pruned(&save.pruned).map(|text| ("Pruned", text)));
    }
    let spared = numbers::spared(&save.inspection).map(|spared| format!("; {spared}")).unwrap_or_default();
    rows.push(("Time", format!("restore {}, save {}{spared}", duration(restore.seconds), duration(save.seconds))));
    page.add(0, table(&rows));
    page.add(2, section("Python interpreters in the key", restore.interpreters.iter().map(interpreter)));
    page.add(2, restore.roll.iter().map(|roll| escape(&rolled_by(roll))).collect());
    page.add(
        2,
        section(
            "The key rolled, because these parts differ from the last stored state",
            restore.rolled.iter().map(ToString::to_string),
        ),
    );
    page.add(1, rebuilds(save));
    page.add(3, drift(save));
    page.add(2, advice(save));
    let doubts = restore.doubts.iter().filter_map(|(unit, doubts)| Some(format!("{unit}: {}", doubts.first()?)));
    let skewed = restore.stamping.skewed.iter().map(ToString::to_string);
    page.add(4, section("Made to rebuild, because Cargo could not have seen the change", doubts.chain(skewed)));
    page.add(
        4,
        section(
            "Left out, because they hold a secret of the environment (pass it at run time)",
            save.secret_units.iter().cloned().chain(save.secret_files.iter().map(|file| format!("file `{file}`"))),
        ),
    );
    if let Some(Unstored { units, seconds, limit, whole: _ }) = &save.left_out {
        let head = format!("Not stored, because {limit} has no room for it");
        page.add(4, section(&format!("{head} ({} of compiling in all)", duration(*seconds)), units.iter().cloned()));
    }
    page.add(5, section("Sources that differ from the restored state", restore.stamping.differing.iter().cloned()));
    page.add(4, section("Notes", restore.notes.iter().cloned()));
    page.add(6, slowest(save));
    page.add(6, keys(restore, save));
    page.add(7, sizes(save));
    let mut charts = chart::history(&save.history);
    charts.push(chart::time(&save.inspection));
    charts.retain(|chart| !chart.is_empty());
    if !charts.is_empty() {
        page.add(8, fold("Charts", charts.join(&String::new())));
    }
    page.render()
}

/// What was foreseen, beside what came of it.
fn forecast(restore: &RestoreOutcome, save: &SaveOutcome) -> Option<String> {
    let told = restore.forecast.as_ref()?;
    let came = save.forecast.as_ref().and_then(forecast_came_true).unwrap_or_default();
    let came = came.strip_prefix("forecast").unwrap_or_default();
    let expected = format!("{} of {} to be compiled", told.units.len(), count(told.known, "unit"));
    let time = if told.units.is_empty() { String::new() } else { format!(", about {}", duration(told.seconds)) };
    Some(format!("{expected}{time}{came}"))
}

/// Roots with what followed from them, the most expensive first.
fn rebuilds(save: &SaveOutcome) -> Vec<String> {
    let rebuilds = save.inspection.rebuilds();
    if rebuilds.is_empty() {
        return Vec::new();
    }
    let mut lines = vec!["| Compiled | because | units | compiling |".to_owned(), "|---|---|--:|--:|".to_owned()];
    for rebuild in rebuilds.iter().take(SHOWN) {
        let Rebuild { cause: _, text, units, cascades, seconds } = rebuild;
        let first = units.first().map_or("", |unit| unit.unit.as_str());
        let more = if units.len() > 1 { format!(" and {} more", units.len() - 1) } else { String::new() };
        let then = match cascades {
            0 => String::new(),
            1 => " + 1 that depends on it".to_owned(),
            _ => format!(" + {cascades} that depend on {}", if units.len() == 1 { "it" } else { "them" }),
        };
        let (first, cause) = (escape(first), escape(text));
        lines.push(format!("| {first}{more} | {cause} | {}{then} | {} |", units.len(), duration(*seconds)));
    }
    if rebuilds.len() > SHOWN {
        let rest: f64 = rebuilds[SHOWN..].iter().map(|rebuild| rebuild.seconds).sum();
        lines.push(format!("| and {} more causes | | | {} |", rebuilds.len() - SHOWN, duration(rest)));
    }
    lines
}

/// Variables that were others than when the units were built.
fn drift(save: &SaveOutcome) -> Vec<String> {
    let rebuilds = save.inspection.rebuilds();
    let drifts = rebuilds.iter().filter_map(|rebuild| match rebuild.cause {
        Cause::EnvChanged { name, old, new } => Some(format!(
            "`{name}`: {old} → {new}, {}, {}",
            count(rebuild.units.len() + rebuild.cascades, "unit"),
            duration(rebuild.seconds)
        )),
        _ => None,
    });
    section("Drift of variables", drifts)
}

fn advice(save: &SaveOutcome) -> Vec<String> {
    let said = |is_old: bool| -> Vec<String> {
        let wanted = save.advice.iter().filter(|advice| advice.is_old() == is_old);
        let words = wanted.map(|advice| {
            let (evidence, fix) = (escape(&advice.evidence), escape(&advice.fix));
            format!("{}. **{}.**", capital(&evidence), capital(&fix))
        });
        words.collect()
    };
    let mut lines = list("Advice", &said(false), false);
    let old = list("Advice, as in the runs before", &said(true), true);
    if !lines.is_empty() && !old.is_empty() {
        lines.push(String::new());
    }
    lines.extend(old);
    lines
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// Every compiled unit, as far as the list goes.
fn slowest(save: &SaveOutcome) -> Vec<String> {
    let mut units: Vec<&InspectedUnit> = save.inspection.compiled().collect();
    units.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    if units.len() < 2 {
        return Vec::new();
    }
    let mut lines = vec!["| Unit | profile | compiling | because |".to_owned(), "|---|---|--:|---|".to_owned()];
    for unit in units.iter().take(SHOWN) {
        let cause = unit.cause.as_ref().map(ToString::to_string).unwrap_or_default();
        let (name, profile, cause) = (escape(&unit.unit), escape(&unit.profile), escape(&cause));
        lines.push(format!("| {name} | {profile} | {} | {cause} |", duration(unit.seconds)));
    }
    let head = if units.len() > SHOWN {
        format!("The slowest {SHOWN} of {} compiled units", units.len())
    } else {
        format!("All {} compiled units, the slowest first", units.len())
    };
    fold(&head, lines)
}

/// Names of entries, for whoever looks them up.
fn keys(restore: &RestoreOutcome, save: &SaveOutcome) -> Vec<String> {
    let restored = match &restore.start {
        Start::Restored { key, .. } | Start::Kept { key, .. } => Some(("Restored", key)),
        Start::Cold | Start::Unknown { .. } => None,
    };
    let stored = |what, saved: &Saved| match saved {
        Saved::Stored { key, .. } | Saved::AlreadyThere { key } | Saved::Reserved { key } => Some((what, key.clone())),
        Saved::Skipped(_) | Saved::NothingFetched | Saved::Failed => None,
    };
    let looked_up = ("Looked up", format!("`{}`", restore.key));
    let rows: Vec<(&str, String)> = restored
        .map(|(what, key)| (what, key.clone()))
        .into_iter()
        .chain(restore.home.key.iter().map(|key| ("Restored Cargo home", key.clone())))
        .chain(stored("Saved", &save.target))
        .chain(stored("Saved Cargo home", &save.home))
        .map(|(what, key)| (what, format!("`{key}`")))
        .collect();
    fold("Keys", table(&[vec![looked_up], rows].concat()))
}

/// What takes the space.
fn sizes(save: &SaveOutcome) -> Vec<String> {
    let weights = &save.weights;
    let names = [
        ("lib", "Libraries"),
        ("test", "Tests"),
        ("bin", "Programs"),
        ("example", "Examples"),
        ("bench", "Benchmarks"),
        ("build-script", "Build scripts"),
        ("run", "What build scripts made"),
    ];
    let kinds = names.iter().filter_map(|(kind, name)| Some((*name, *weights.by_kind.get(*kind)?)));
    let others = [("Incremental state", weights.incremental), ("Debug information in the above", weights.debuginfo)];
    let rows: Vec<(&str, String)> =
        kinds.chain(others).filter(|(_, bytes)| *bytes > 0).map(|(name, bytes)| (name, size(bytes))).collect();
    if rows.is_empty() { Vec::new() } else { fold("What takes the space", table(&rows)) }
}

fn headline(job: &str, restore: &RestoreOutcome, save: &SaveOutcome) -> String {
    let start = match state(restore) {
        "exact" => "warm start",
        "partial" => "partly warm start",
        _ => "cold start",
    };
    let job = if job.is_empty() { String::new() } else { format!(" of {}", escape(job)) };
    let (compiled, fresh) = (save.inspection.compiled().count(), save.inspection.fresh().count());
    let gain = numbers::gain(restore, save).map(|gain| format!(", {gain}")).unwrap_or_default();
    format!("{start}{job}, {} fresh, {compiled} compiled{gain}", count(fresh, "unit"))
}

fn start(restore: &RestoreOutcome) -> String {
    match &restore.start {
        Start::Cold => match restore.cold {
            Cold::NothingStored => "nothing that fits is stored".to_owned(),
            Cold::Unusable => "what is stored cannot be used".to_owned(),
            Cold::Unanswered => "the store could not be asked".to_owned(),
            Cold::TakenBack => "nothing: what had been brought was taken back".to_owned(),
        },
        Start::Restored { fit, units, sibling, .. } => {
            let kind = escape(&nearest(*fit, sibling.as_deref()));
            format!("{}, {}{kind}", count(*units, "unit"), size(restore.bytes))
        }
        Start::Kept { units, .. } => format!("the disk was kept: {}", count(*units, "unit")),
        Start::Unknown { units } => format!("the disk was kept, without a record of its {}", count(*units, "unit")),
    }
}

fn units(save: &SaveOutcome) -> String {
    format!("{}; {} dropped", numbers::units(&save.inspection), save.dropped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::cause::Cause;
    use crate::explain::inspection::{InspectedUnit, Inspection};
    use crate::problem::Warning;

    #[test]
    fn a_cold_start_and_its_warnings_are_told() {
        let mut restore = RestoreOutcome { key: "rekindle.3.a.".into(), ..RestoreOutcome::default() };
        restore.warnings.push(Warning::new("the cache service: no connection"));
        let unit = |number: usize| InspectedUnit {
            unit: format!("p{number} (lib-p)"),
            package: "p".into(),
            profile: "debug".into(),
            seconds: 0.5,
            cause: Some(Cause::EnvChanged { name: format!("A|{number}"), old: "(unset)".into(), new: "`1`".into() }),
            ..InspectedUnit::default()
        };
        let inspection = Inspection { units: (0..30).map(unit).collect(), cores: 4, unknown_fields: 0 };
        let save = SaveOutcome { inspection, live: 30, ..Default::default() };
        let text = markdown("test", &restore, &save);
        assert!(text.starts_with("### Rekindle: cold start of test, 0 units fresh, 30 compiled\n"), "{text}");
        assert!(text.contains("| Units | 30 in use: 0 fresh, 30 compiled (15.0 s of compiling, about 4.0 s by the clock on 4 cores); 0 dropped |"), "{text}");
        let row = "| p0 (lib-p) | the variable `A\\|0` changed: (unset) → `1` | 1 | 0.5 s |";
        assert!(text.contains(row), "{text}");
        assert!(
            text.contains("| and 10 more causes | | | 5.0 s |") && text.contains("- the cache service: no connection"),
            "{text}"
        );
    }
}
