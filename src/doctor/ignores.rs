//! What the settings and the comments of a checkout hide of what was found in it.

use super::checkout::Checkout;
use super::packages::IN_PATHS;
use super::settings::{self, Entry};
use crate::doctor::finding::{Finding, Ignore};
use crate::doctor::rule::Rule;

/// Takes the hidden findings away; says what hides how many, and how many are hidden in all.
pub(super) fn apply(checkout: &Checkout, entries: &[Entry], findings: &mut Vec<Finding>) -> (Vec<Ignore>, usize) {
    let found = findings.len();
    let mut switches: Vec<Switch> = entries.iter().map(Switch::of_entry).collect();
    switches.extend(checkout.comments.iter().flat_map(|(file, comments)| {
        comments.iter().flat_map(|comment| {
            comment.rules.iter().map(|rule| Switch {
                ignore: ignore(file, comment.line, *rule, &comment.reason),
                covers: Box::new(|finding| finding.file == *file && comment.covers.contains(&finding.line)),
            })
        })
    }));
    findings.retain(|finding| {
        // Each of them is told that it is needed.
        let hidden = switches.iter_mut().filter_map(|switch| switch.hides(finding).then_some(())).count();
        hidden == 0
    });
    (switches.into_iter().map(|switch| switch.ignore).collect(), found - findings.len())
}

struct Switch<'a> {
    ignore: Ignore,
    covers: Box<dyn Fn(&Finding) -> bool + 'a>,
}

impl<'a> Switch<'a> {
    fn of_entry(entry: &'a Entry) -> Self {
        let Entry { line, rule, paths, reason } = entry;
        let covers = move |finding: &Finding| {
            let fits = |path: &glob::Pattern| path.matches_with(&finding.file, IN_PATHS);
            paths.as_ref().is_none_or(|paths| paths.iter().any(fits))
        };
        Self { ignore: ignore(settings::FILE, *line, *rule, reason), covers: Box::new(covers) }
    }

    fn hides(&mut self, finding: &Finding) -> bool {
        let hides = self.ignore.rule == finding.rule && (self.covers)(finding);
        self.ignore.hidden += usize::from(hides);
        hides
    }
}

fn ignore(file: &str, line: usize, rule: Rule, reason: &str) -> Ignore {
    Ignore { file: file.to_owned(), line, rule, reason: reason.to_owned(), hidden: 0 }
}
