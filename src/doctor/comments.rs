//! Comments that switch a rule off where they stand: `# rekindle: ignore[rule] reason`. Pure.
//!
//! They are looked for in the text itself, so that one inside a script that a workflow runs counts too.

use std::ops::RangeInclusive;

use super::tree::Malformed;
use crate::doctor::rule::{Rule, UnknownRule};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Comment {
    pub(super) line: usize,
    /// Its own line; and if it stands alone there, what it stands above, other comments in between.
    pub(super) covers: RangeInclusive<usize>,
    pub(super) rules: Vec<Rule>,
    pub(super) reason: String,
}

/// All comments of a file, and those that are meant to be one.
pub(super) fn read(file: &str, text: &str) -> (Vec<Comment>, Vec<Malformed>) {
    let mark = if file.rsplit('.').next() == Some("rs") { "//" } else { "#" };
    let lines: Vec<&str> = text.lines().collect();
    let (mut comments, mut faults) = (Vec::new(), Vec::new());
    for (index, written) in lines.iter().enumerate() {
        let Some((alone, ignore)) = find(written, mark) else { continue };
        let line = index + 1;
        let below = || lines[line..].iter().take_while(|line| line.trim_start().starts_with(mark)).count() + 1;
        let last = if alone { line + below() } else { line };
        match parse(ignore) {
            Ok((rules, reason)) => comments.push(Comment { line, covers: line..=last, rules, reason }),
            Err(reason) => faults.push(Malformed { line, reason }),
        }
    }
    (comments, faults)
}

/// What follows `ignore` in the comment of a line, and whether nothing stands before the comment.
fn find<'a>(line: &'a str, mark: &str) -> Option<(bool, &'a str)> {
    let comments = line.match_indices(mark).map(|(at, _)| (&line[..at], &line[at + mark.len()..]));
    let mut comments = comments.filter(|(before, _)| before.is_empty() || before.ends_with(char::is_whitespace));
    comments.find_map(|(before, comment)| {
        let ignore = comment.trim_start().strip_prefix("rekindle:")?.trim_start().strip_prefix("ignore")?;
        // Another word that begins alike is a sentence about the action.
        let is_whole = !ignore.starts_with(char::is_alphanumeric);
        is_whole.then_some((before.trim().is_empty(), ignore))
    })
}

fn parse(ignore: &str) -> Result<(Vec<Rule>, String), String> {
    let rest = ignore.trim_start().strip_prefix('[').ok_or("it names no rule")?;
    let (ids, reason) = rest.split_once(']').ok_or("its bracket is not closed")?;
    let rules: Result<Vec<Rule>, _> = ids.split(',').map(|id| id.trim().parse()).collect();
    let rules = rules.map_err(|error: UnknownRule| error.to_string())?;
    let reason = reason.trim();
    if !reason.contains(char::is_alphanumeric) {
        return Err("it gives no reason".to_owned());
    }
    Ok((rules, reason.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covered(text: &str) -> Vec<RangeInclusive<usize>> {
        let (comments, faults) = read("a.yml", text);
        assert_eq!(faults, []);
        comments.into_iter().map(|comment| comment.covers).collect()
    }

    #[test]
    fn a_comment_covers_its_line_and_what_it_stands_above() {
        let comment = "# rekindle: ignore[no-lockfile] a library";
        assert_eq!(covered(&format!("a: 1 {comment}\nb: 2\n")), [1..=1]);
        assert_eq!(covered(&format!("x:\n  {comment}\n  a: 1\n")), [2..=3]);
        assert_eq!(covered(&format!("{comment}\n# as agreed\n{comment}\na: 1\n")), [1..=4, 3..=4]);
        assert_eq!(covered(&format!("a: 'x#y' {comment}\n")), [1..=1]);
        assert_eq!(read("build.rs", "// rekindle:ignore[no-lockfile]: x\n").0[0].reason, ": x");
    }

    #[test]
    fn several_rules_have_one_reason() {
        let (comments, _) = read("a.yml", "# rekindle: ignore[ no-lockfile , second-cache ] for now\n");
        assert_eq!(comments[0].rules, [Rule::NoLockfile, Rule::SecondCache]);
        assert_eq!(comments[0].reason, "for now");
    }

    #[test]
    fn what_is_meant_as_one_and_is_none_is_said() {
        let fault = |text: &str| read("a.yml", text).1.into_iter().map(|fault| (fault.line, fault.reason)).next();
        let said = |text: &str| fault(&format!("a: 1\n{text}\n"));
        let of = |reason: &str| Some((2, reason.to_owned()));
        assert_eq!(said("# rekindle: ignore[no-lock] x"), of("there is no rule `no-lock`"));
        assert_eq!(said("# rekindle: ignore[] x"), of("there is no rule ``"));
        assert_eq!(said("b: 1 # rekindle: ignore[no-lockfile]  -- "), of("it gives no reason"));
        assert_eq!(said("# rekindle: ignore[no-lockfile x"), of("its bracket is not closed"));
        assert_eq!(said("# rekindle: ignore no-lockfile"), of("it names no rule"));
        for other in
            ["# rekindle: ignores what is new", "# rekindle: restores", "a#rekindle: ignore", "rekindle: ignore"]
        {
            assert_eq!(said(other), None, "{other}");
        }
    }
}
