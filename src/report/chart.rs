//! Charts in Mermaid, which GitHub draws: the last runs, and where the time of this one went.
//!
//! A label can hold any name, so it is reduced to what no version of Mermaid reads as syntax.

use std::collections::BTreeMap;

use crate::explain::inspection::Inspection;
use crate::state::manifest::RunRecord;

/// Slices of a pie beside the one for all others.
const SLICES: usize = 7;
const LONGEST_LABEL: usize = 40;

/// Seconds compiled and saved, then the size of the state, run by run; nothing before there are two.
pub(super) fn history(runs: &[RunRecord]) -> Vec<Vec<String>> {
    if runs.len() < 2 {
        return Vec::new();
    }
    let labels: Vec<String> = runs.iter().enumerate().map(|(at, run)| label(&run_label(at, run))).collect();
    let labels = labels.join(", ");
    let row = |values: &[f64]| values.iter().map(|value| format!("{value:.1}")).collect::<Vec<_>>().join(", ");
    let (compiled, saved): (Vec<f64>, Vec<f64>) =
        runs.iter().map(|run| (finite(run.seconds), finite(run.saved))).unzip();
    #[allow(clippy::cast_precision_loss, reason = "a chart")]
    let sizes: Vec<f64> = runs.iter().map(|run| run.bytes as f64 / 1e6).collect();
    let most = |values: &[f64]| values.iter().copied().fold(1.0, f64::max).ceil();
    let chart = |title: &str, axis: &str, most: f64, series: Vec<String>| {
        let mut lines = vec![
            "```mermaid".to_owned(),
            "xychart-beta".to_owned(),
            format!("    title {}", quote(title)),
            format!("    x-axis [{labels}]"),
            format!("    y-axis {} 0 --> {most}", quote(axis)),
        ];
        lines.extend(series);
        lines.push("```".to_owned());
        lines
    };
    let mut charts = vec![chart(
        "Compiling in the last runs: spent (bars), saved (line)",
        "seconds",
        most(&compiled).max(most(&saved)),
        vec![format!("    bar [{}]", row(&compiled)), format!("    line [{}]", row(&saved))],
    )];
    if sizes.iter().any(|size| *size > 0.0) {
        charts.push(chart("Size of the state", "MB", most(&sizes), vec![format!("    bar [{}]", row(&sizes))]));
    }
    charts
}

/// The shortened commit; a number before it keeps labels apart.
fn run_label(at: usize, run: &RunRecord) -> String {
    let commit: String = run.commit.as_deref().unwrap_or("now").chars().take(7).collect();
    format!("{}: {commit}", at + 1)
}

/// What was compiled, by package.
pub(super) fn time(inspection: &Inspection) -> Vec<String> {
    let mut by_package: BTreeMap<&str, f64> = BTreeMap::new();
    for unit in inspection.compiled() {
        *by_package.entry(&unit.package).or_default() += finite(unit.seconds);
    }
    let mut slices: Vec<(String, f64)> =
        by_package.into_iter().map(|(package, seconds)| (package.to_owned(), seconds)).collect();
    slices.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let others: f64 = slices.iter().skip(SLICES).map(|(_, seconds)| seconds).sum();
    slices.truncate(SLICES);
    if others > 0.0 {
        slices.push(("all others".to_owned(), others));
    }
    // Mermaid refuses a slice of nothing.
    slices.retain(|(_, seconds)| *seconds >= 0.05);
    if slices.len() < 2 {
        return Vec::new();
    }
    let mut lines = vec![
        "```mermaid".to_owned(),
        "pie showData".to_owned(),
        "    title Seconds of compiling, by package".to_owned(),
    ];
    lines.extend(slices.iter().map(|(package, seconds)| format!("    {} : {seconds:.1}", label(package))));
    lines.push("```".to_owned());
    lines
}

fn finite(value: f64) -> f64 {
    if value.is_finite() && value >= 0.0 { value } else { 0.0 }
}

fn label(text: &str) -> String {
    quote(&text.chars().take(LONGEST_LABEL).collect::<String>())
}

fn quote(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || " -_./:,()+".contains(c) { c } else { '_' };
    let text: String = text.chars().map(plain).collect();
    format!("\"{text}\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::cause::Cause;
    use crate::explain::inspection::InspectedUnit;

    #[test]
    fn labels_cannot_break_out_and_one_slice_is_no_pie() {
        let unit = |package: &str| InspectedUnit {
            package: package.into(),
            seconds: 1.0,
            cause: Some(Cause::NeverBuilt),
            ..InspectedUnit::default()
        };
        let mut inspection = Inspection { units: vec![unit("a\"]\n```;%%{init}%%")], cores: 1, unknown_fields: 0 };
        assert_eq!(time(&inspection), Vec::<String>::new());
        inspection.units.push(unit("b"));
        assert_eq!(time(&inspection)[3], "    \"a__________init___\" : 1.0");
        assert!(history(&[]).is_empty());
    }
}
