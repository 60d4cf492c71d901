//! What `doctor` found: as text for people, as JSON for programs, and as annotations for the page of a run.

use std::collections::BTreeSet;

use anyhow::Result;
use serde::Serialize;

use crate::doctor::finding::{Examination, Finding, Ignore};
use crate::doctor::rule::{Level, Text};
use crate::github::runner;
use crate::words::count;

/// The version of the JSON. It changes when a field goes or changes its meaning, and not when one is added.
const FORMAT: u32 = 1;

#[derive(Serialize)]
struct FindingsJson<'a> {
    format: u32,
    findings: Vec<JsonFinding<'a>>,
    /// How many findings are not listed because something switches their rule off.
    hidden: usize,
    ignores: Vec<JsonIgnore<'a>>,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct JsonIgnore<'a> {
    file: &'a str,
    line: usize,
    rule: &'static str,
    reason: &'a str,
    hidden: usize,
}

#[derive(Serialize)]
struct JsonFinding<'a> {
    rule: &'static str,
    level: Level,
    file: &'a str,
    line: usize,
    what: &'a str,
    why: &'static str,
    fix: &'static str,
    /// What to write instead, where that can be said.
    #[serde(skip_serializing_if = "String::is_empty")]
    instead: String,
}

pub fn json(examination: &Examination) -> Result<String> {
    let Examination { findings, ignores, hidden, workflows: _, packages: _ } = examination;
    let findings = findings.iter().map(|Finding { file, line, rule, level, what, instead }| {
        let Text { id, level: _, summary: _, why, fix } = rule.text();
        JsonFinding { rule: id, level: *level, file, line: *line, what, why, fix, instead: instead.join("\n") }
    });
    let findings = findings.collect();
    let ignores = ignores.iter().map(|Ignore { file, line, rule, reason, hidden }| {
        let (line, rule, hidden) = (*line, rule.id(), *hidden);
        JsonIgnore { file, line, rule, reason, hidden }
    });
    let ignores = ignores.collect();
    let json = FindingsJson { format: FORMAT, findings, hidden: *hidden, ignores, notes: notes(examination) };
    Ok(serde_json::to_string_pretty(&json)?)
}

/// What hides nothing any more.
fn notes(examination: &Examination) -> Vec<String> {
    let stale = examination.ignores.iter().filter(|ignore| ignore.hidden == 0);
    let note = |Ignore { file, line, rule, .. }: &Ignore| {
        format!("{}:{line} ignores `{}`, and nothing of it is found there; remove it", one_line(file), rule.id())
    };
    stale.map(note).collect()
}

/// By file, each finding with its line; the reason and the remedy with the first of each rule.
pub fn text(examination: &Examination) -> Vec<String> {
    let Examination { findings, ignores: _, hidden, workflows, packages } = examination;
    let mut lines = Vec::new();
    let mut told = BTreeSet::new();
    for group in findings.chunk_by(|a, b| a.file == b.file) {
        lines.push(one_line(&group[0].file));
        for Finding { file: _, line, rule, level, what, instead } in group {
            let Text { id, level: _, summary: _, why, fix } = rule.text();
            let head = format!("{line:>6}  {:<7}  ", name(*level));
            lines.extend(wrapped(&head, &format!("{} [{id}]", one_line(what))));
            if told.insert(*rule) {
                let under = " ".repeat(head.len());
                lines.extend(wrapped(&format!("{under}why: "), why));
                lines.extend(wrapped(&format!("{under}fix: "), fix));
            }
            if !instead.is_empty() {
                // To be copied as it is.
                let block = instead.iter().map(|line| one_line(line));
                lines.extend(std::iter::once(String::new()).chain(block));
            }
        }
        lines.push(String::new());
    }
    let hints = findings.iter().filter(|finding| finding.level == Level::Hint).count();
    let found = match (findings.len() - hints, hints) {
        (0, 0) => "nothing found".to_owned(),
        (0, hints) => count(hints, "hint"),
        (warnings, 0) => count(warnings, "warning"),
        (warnings, hints) => format!("{} and {}", count(warnings, "warning"), count(hints, "hint")),
    };
    lines.extend(notes(examination).into_iter().map(|note| format!("note: {note}")));
    let ignored = if *hidden == 0 { String::new() } else { format!(" ({hidden} ignored)") };
    lines.push(format!("{found}{ignored} in {} and {}", count(*workflows, "workflow"), count(*packages, "package")));
    lines
}

const WIDTH: usize = 110;

/// A text behind its head, broken between words, each further line below the first. What is quoted stays whole.
fn wrapped(head: &str, text: &str) -> Vec<String> {
    let under = " ".repeat(head.chars().count());
    let mut lines = vec![head.to_owned()];
    let mut first = true;
    for word in unbroken(text) {
        let last = lines.len() - 1;
        let fits = lines[last].chars().count() + 1 + word.chars().count() <= WIDTH;
        if first {
            lines[last].push_str(&word);
        } else if fits {
            lines[last].push(' ');
            lines[last].push_str(&word);
        } else {
            lines.push(format!("{under}{word}"));
        }
        first = false;
    }
    lines
}

/// The words of a text; what stands between backticks is one, so that it can be copied.
fn unbroken(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut open = false;
    for word in text.split(' ') {
        match words.last_mut().filter(|_| open) {
            Some(last) => {
                last.push(' ');
                last.push_str(word);
            }
            None => words.push(word.to_owned()),
        }
        open ^= word.matches('`').count() % 2 == 1;
    }
    words
}

/// Commands that a runner shows at the lines of the files. It understands them wherever they are printed.
pub fn github(examination: &Examination) -> Vec<String> {
    let one = |Finding { file, line, rule, level, what, instead }: &Finding| {
        let Text { id, level: _, summary: _, why, fix } = rule.text();
        let level = match level {
            Level::Warning => "warning",
            Level::Hint => "notice",
        };
        let lines = [what.clone(), why.to_owned(), format!("Fix: {fix}")];
        let text = lines.iter().chain(instead).map(String::as_str).collect::<Vec<_>>().join("\n");
        runner::annotation_at(level, (file, *line), id, &text)
    };
    examination.findings.iter().map(one).collect()
}

fn name(level: Level) -> &'static str {
    match level {
        Level::Warning => "warning",
        Level::Hint => "hint",
    }
}

/// A text of somebody else's file, without what would begin another line or colour the terminal.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::rule::Rule;

    fn examination() -> Examination {
        let finding = |line| Finding::new(Rule::NoLockfile, "a,b:c.toml", line, "50%\n::error::x\u{1b}[31m");
        Examination { findings: vec![finding(1), finding(2)], workflows: 1, packages: 2, ..Examination::default() }
    }

    #[test]
    fn a_reason_is_given_once_and_a_text_stays_one_line() {
        let lines = text(&examination());
        assert_eq!(lines[..2], ["a,b:c.toml", "     1  warning  50% ::error::x [31m [no-lockfile]"]);
        assert!(lines[2].starts_with("                 why: "), "{}", lines[2]);
        assert_eq!(lines.iter().filter(|line| line.contains("why: ")).count(), 1);
        assert!(lines.contains(&lines[1].replace(" 1 ", " 2 ")));
        assert_eq!(lines[lines.len() - 1], "2 warnings in 1 workflow and 2 packages");
        assert_eq!(text(&Examination::default()), ["nothing found in 0 workflows and 0 packages"]);
    }

    #[test]
    fn counts_are_said_in_words() {
        let last = |rules: &[Rule]| {
            let findings = rules.iter().map(|rule| Finding::new(*rule, "a", 1, "x")).collect();
            text(&Examination { findings, workflows: 2, ..Examination::default() }).pop().unwrap()
        };
        assert_eq!(last(&[Rule::FullDebuginfo]), "1 hint in 2 workflows and 0 packages");
        let both = [Rule::NoLockfile, Rule::FullDebuginfo, Rule::FloatingStable];
        assert_eq!(last(&both), "1 warning and 2 hints in 2 workflows and 0 packages");
    }

    #[test]
    fn long_texts_are_broken_between_words_and_not_in_code() {
        let lines = wrapped("  why: ", &format!("{} `{}`", "word ".repeat(19).trim(), "one two ".repeat(5).trim()));
        assert_eq!(lines.len(), 2);
        assert!(lines[0].ends_with("word") && lines[1].starts_with("       `one two"), "{lines:?}");
        assert_eq!(wrapped("x ", &"y".repeat(300)).len(), 1);
    }

    #[test]
    fn an_annotation_is_one_command_at_its_line() {
        let lines = github(&examination());
        let head = "::warning file=a%2Cb%3Ac.toml,line=1,title=Rekindle%3A no-lockfile::50%25%0A| ::error::x\\u{1b}";
        assert!(lines[0].starts_with(head), "{}", lines[0]);
        assert!(lines.iter().all(|line| !line.contains(['\n', '\u{1b}'])));
    }

    #[test]
    fn the_json_says_its_version_first() {
        let json = json(&examination()).unwrap();
        assert!(
            json.starts_with("{\n  \"format\": 1,\n  \"findings\": [\n    {\n      \"rule\": \"no-lockfile\""),
            "{json}"
        );
    }
}
