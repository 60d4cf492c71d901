//! The report as one page that opens without a network: what was compiled and why, and when each unit ran.
//!
//! Everything from outside is escaped; there is no script in it.

use std::fmt::Write;

use super::numbers;
use crate::explain::cause::Cause;
use crate::explain::inspection::{InspectedUnit, Inspection, Rebuild};
use crate::moment::Moment;
use crate::words::{count, duration};

const STYLE: &str = include_str!("page.css");
/// Marks on the time line, at most.
const MARKS: u32 = 8;

pub fn page(title: &str, inspection: &Inspection) -> String {
    let title = escape(title);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n<p class=\"lead\">{}</p>\n",
        lead(inspection)
    );
    page.push_str(&rebuilds(inspection));
    page.push_str(&timeline(inspection));
    page.push_str(&fresh(inspection));
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

fn lead(inspection: &Inspection) -> String {
    let compiled = inspection.compiled().count();
    let mut text = if compiled == 0 {
        "Nothing was compiled".to_owned()
    } else {
        format!("{} compiled{}", count(compiled, "unit"), numbers::took(inspection))
    };
    if let Some(spared) = numbers::spared(inspection) {
        let _ = write!(text, "; {} fresh, and {spared}", count(inspection.fresh().count(), "unit"));
    }
    text + "."
}

fn rebuilds(inspection: &Inspection) -> String {
    let rebuilds = inspection.rebuilds();
    if rebuilds.is_empty() {
        return String::new();
    }
    let mut text = "<h2>Why</h2>\n<table>\n<thead><tr><th>Compiled</th><th>because</th><th class=\"n\">units</th>\
                    <th class=\"n\">then</th><th class=\"n\">compiling</th></tr></thead>\n<tbody>\n"
        .to_owned();
    for Rebuild { cause: _, text: because, units, cascades, seconds } in &rebuilds {
        let names: Vec<String> = units.iter().map(|unit| escape(&unit.unit)).collect();
        let names = match names.as_slice() {
            [] => String::new(),
            [only] => only.clone(),
            [first, rest @ ..] => {
                format!("<details><summary>{first} and {} more</summary>{}</details>", rest.len(), rest.join("<br>"))
            }
        };
        let _ = writeln!(
            text,
            "<tr><td>{names}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{cascades}</td><td class=\"n\">{}</td></tr>",
            words(because),
            units.len(),
            duration(*seconds)
        );
    }
    text.push_str("</tbody>\n</table>\n");
    text
}

/// One row a unit, from its start to its end, as far as Cargo wrote both down.
fn timeline(inspection: &Inspection) -> String {
    let mut units: Vec<(&InspectedUnit, Moment)> =
        inspection.compiled().filter_map(|unit| Some((unit, unit.started?))).collect();
    units.sort_by_key(|(_, started)| *started);
    let Some((_, first)) = units.first().copied() else { return String::new() };
    let from_start = |unit: &InspectedUnit, started: Moment| {
        let start = started.since(first).as_secs_f64();
        (start, start + unit.seconds)
    };
    let whole = units.iter().map(|(unit, started)| from_start(unit, *started).1).fold(0.0, f64::max).max(0.001);
    let mut text = "<h2>When</h2>\n<p class=\"key\"><span class=\"root\"></span> something changed \
                    <span class=\"cascade\"></span> a dependency was compiled</p>\n<div class=\"timeline\">\n"
        .to_owned();
    text.push_str("<div class=\"marks\"><div>");
    for mark in marks(whole) {
        let _ = write!(text, "<span style=\"left:{:.3}%\">{}</span>", mark / whole * 100.0, duration(mark));
    }
    text.push_str("</div></div>\n");
    for (unit, started) in units {
        let (start, end) = from_start(unit, started);
        let kind = if unit.cause.as_ref().is_some_and(Cause::is_cascade) { "cascade" } else { "root" };
        let cause = unit.cause.as_ref().map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(
            text,
            "<div class=\"row\" title=\"{}: {} ({})\"><span class=\"name\">{}</span><span class=\"track\"><span class=\"bar \
             {kind}\" style=\"left:{:.3}%;width:{:.3}%\"></span></span><span class=\"n\">{}</span></div>",
            escape(&unit.unit),
            escape(&cause),
            escape(&unit.profile),
            escape(&unit.unit),
            start / whole * 100.0,
            ((end - start) / whole * 100.0).max(0.15),
            duration(unit.seconds)
        );
    }
    text.push_str("</div>\n");
    text
}

/// Round times for the axis.
fn marks(whole: f64) -> Vec<f64> {
    let steps = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 3600.0];
    let step = steps.into_iter().find(|step| whole / step <= f64::from(MARKS)).unwrap_or(whole / f64::from(MARKS));
    (0..=MARKS).map(|number| f64::from(number) * step).take_while(|mark| *mark <= whole).collect()
}

fn fresh(inspection: &Inspection) -> String {
    let mut units: Vec<&InspectedUnit> = inspection.fresh().collect();
    if units.is_empty() {
        return String::new();
    }
    units.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    let mut text =
        format!("<h2>Fresh</h2>\n<details><summary>{}</summary>\n<table><tbody>\n", count(units.len(), "unit"));
    for unit in units {
        let _ = writeln!(
            text,
            "<tr><td>{}</td><td>{}</td><td class=\"n\">{}</td></tr>",
            escape(&unit.unit),
            escape(&unit.profile),
            duration(unit.seconds)
        );
    }
    text.push_str("</tbody></table>\n</details>\n");
    text
}

/// Escapes, and shows what stands in backticks as code.
fn words(text: &str) -> String {
    let parts: Vec<String> = text.split('`').map(escape).collect();
    if parts.len().is_multiple_of(2) {
        return escape(text);
    }
    let tag = |(at, part): (usize, &String)| if at % 2 == 1 { format!("<code>{part}</code>") } else { part.clone() };
    parts.iter().enumerate().map(tag).collect()
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_is_no_markup() {
        assert_eq!(escape("<a href=\"x\">'&'"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;");
        assert_eq!(words("`a<b` is `c`"), "<code>a&lt;b</code> is <code>c</code>");
        assert_eq!(words("odd `"), "odd `");
        assert_eq!(marks(3.0), [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0]);
        assert!(marks(1e9).len() <= 9 && marks(0.0).len() == 1);
    }
}
