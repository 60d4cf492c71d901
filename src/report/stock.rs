//! What lies in a store, and what a prune did, for people and for programs.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

use crate::housekeeping::sweep::Pruning;
use crate::state::housekeeping::stock::{Quota, Row, Stock};
use crate::state::housekeeping::{Kind, Pruned};
use crate::words::{count, size};

/// The same for programs; `format` grows when a field changes its meaning or goes away.
#[derive(Serialize)]
struct Report<'a> {
    format: u32,
    #[serde(flatten)]
    stock: &'a Stock,
    #[serde(skip_serializing_if = "Option::is_none")]
    pruned: Option<PrunedReport>,
}

#[derive(Serialize)]
struct PrunedReport {
    dry_run: bool,
    entries: usize,
    bytes: u64,
    left: usize,
}

pub fn json(stock: &Stock) -> Result<String> {
    Ok(serde_json::to_string_pretty(&Report { format: 1, stock, pruned: None })?)
}

pub fn pruning_json(pruning: &Pruning) -> Result<String> {
    let Pruning { stock, dry_run, swept } = pruning;
    let pruned = PrunedReport { dry_run: *dry_run, entries: swept.gone.len(), bytes: swept.bytes, left: swept.left };
    Ok(serde_json::to_string_pretty(&Report { format: 1, stock, pruned: Some(pruned) })?)
}

/// A line for each lineage, and what is not part of one.
pub fn text(stock: &Stock) -> Vec<String> {
    let mut lineages: BTreeMap<(&str, &str, &str), Vec<&Row>> = BTreeMap::new();
    for row in &stock.entries {
        let name = match Kind::of(&row.key) {
            Kind::Seed { .. } => "seeds, which name jobs that are set up alike",
            Kind::Unnamed => "packs that nothing names",
            Kind::State(_) | Kind::Other => row.name.as_deref().unwrap_or(&row.key),
        };
        let scope = row.scope.as_deref().unwrap_or_default();
        lineages.entry((name, scope, row.lineage.as_deref().unwrap_or_default())).or_default().push(row);
    }
    let mut lines = vec![format!("{}: {}, {}", stock.store, entries(stock.entries.len()), size(stock.bytes))];
    if let Some(Quota { used, limit, dollars_a_month }) = stock.quota {
        let price = if dollars_a_month >= 0.005 {
            format!(", ${dollars_a_month:.2} a month at list price")
        } else {
            String::new()
        };
        lines.push(match limit {
            Some(limit) => format!("the repository's caches take {} of {}{price}", size(used), size(limit)),
            None => format!("the repository's part of the bucket takes {}{price}", size(used)),
        });
    }
    let mut last = "";
    for ((name, scope, lineage), rows) in lineages {
        if name != last {
            lines.push(name.to_owned());
            last = name;
        }
        let what = if lineage.is_empty() { entries(rows.len()) } else { made_of(&rows, lineage) };
        let bytes: u64 = rows.iter().map(|row| row.bytes).sum();
        let idle = rows.iter().map(|row| row.idle).min().unwrap_or_default();
        let scope = if scope.is_empty() { String::new() } else { format!("{scope}, ") };
        lines.push(format!("  {scope}{what}: {}, last used {} ago{}", size(bytes), age(idle), fate(&rows)));
    }
    lines.extend(stock.notes.iter().map(|note| format!("note: {note}")));
    lines
}

/// What goes, each with its reason.
pub fn pruning(pruning: &Pruning) -> Vec<String> {
    let Pruning { stock, dry_run, swept } = pruning;
    let going: Vec<&Row> = stock.entries.iter().filter(|row| row.goes).collect();
    let line = |row: &&Row| {
        let scope = row.scope.as_ref().map(|scope| format!(" of {scope}")).unwrap_or_default();
        format!("  `{}`{scope}, {}: {}", row.key, size(row.bytes), row.because)
    };
    let mut lines: Vec<String> = going.iter().map(line).collect();
    let bytes = |rows: &[&Row]| size(rows.iter().map(|row| row.bytes).sum());
    lines.push(if *dry_run {
        format!(
            "{} of {} would go, {} of {}",
            going.len(),
            entries(stock.entries.len()),
            bytes(&going),
            size(stock.bytes)
        )
    } else {
        let left =
            if swept.left > 0 { format!("; {} that should have gone are left", swept.left) } else { String::new() };
        let (gone, all) = (swept.gone.len(), entries(stock.entries.len()));
        format!("{gone} of {all} removed, {} of {}{left}", size(swept.bytes), size(stock.bytes))
    });
    lines.extend(stock.notes.iter().map(|note| format!("note: {note}")));
    lines
}

/// What was pruned after a save; nothing where there was nothing to do.
pub fn pruned(pruned: &Pruned) -> Option<String> {
    match pruned {
        Pruned::NotDue | Pruned::Done { entries: 0, bytes: _, left: 0 } => None,
        Pruned::Done { entries: gone, bytes, left } => {
            let left = if *left > 0 { format!(", {left} more are left for the next save") } else { String::new() };
            Some(format!("{} that nobody needs any more, {}{left}", entries(*gone), size(*bytes)))
        }
        Pruned::NotAllowed(reason) => Some(format!("nothing, {reason}")),
    }
}

fn entries(number: usize) -> String {
    if number == 1 { "1 entry".to_owned() } else { format!("{number} entries") }
}

fn made_of(rows: &[&Row], lineage: &str) -> String {
    let deltas = rows.iter().filter(|row| !row.is_base).count();
    let base = if deltas < rows.len() { "base and " } else { "" };
    format!("lineage {lineage}, {base}{}", count(deltas, "delta"))
}

/// Whether it goes, and who from outside refers to it.
fn fate(rows: &[&Row]) -> String {
    let going = rows.iter().filter(|row| row.goes).count();
    let first = rows.iter().find(|row| row.goes).map(|row| row.because.as_str()).unwrap_or_default();
    let goes = match going {
        0 => String::new(),
        _ if going == rows.len() => format!("; can go: {first}"),
        _ => format!("; {going} can go: {first}"),
    };
    let own: Vec<&str> = rows.iter().map(|row| row.key.as_str()).collect();
    let others = rows.iter().flat_map(|row| &row.referred_to_by).filter(|by| !own.contains(&by.as_str()));
    let others: std::collections::BTreeSet<&String> = others.collect();
    let referred = others.first().map(|by| format!("; `{by}` refers to it")).unwrap_or_default();
    let more = if others.len() > 1 { format!(" and {} more", others.len() - 1) } else { String::new() };
    format!("{referred}{more}{goes}")
}

fn age(span: std::time::Duration) -> String {
    match span.as_secs() {
        0..7_200 => format!("{} min", span.as_secs() / 60),
        7_200..172_800 => format!("{} h", span.as_secs() / 3_600),
        _ => format!("{} d", span.as_secs() / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_pruned_is_one_line_or_none() {
        let done = |entries, left| pruned(&Pruned::Done { entries, bytes: 2_500_000, left });
        assert_eq!(done(0, 0), None);
        assert_eq!(done(1, 0).unwrap(), "1 entry that nobody needs any more, 2.5 MB");
        assert_eq!(
            done(3, 2).unwrap(),
            "3 entries that nobody needs any more, 2.5 MB, 2 more are left for the next save"
        );
        assert_eq!(pruned(&Pruned::NotAllowed("no token".into())).unwrap(), "nothing, no token");
    }
}
