//! The runner: whether there is one, the files through which a step tells it something, and its commands in the log.
//!
//! Outside a runner nothing is written anywhere.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result};
use fs_err as fs;

/// Whether this is a step of a workflow.
pub fn is_step() -> bool {
    std::env::var("GITHUB_ACTIONS").is_ok_and(|value| value == "true")
}

/// Puts a variable into the environment of the job's later steps.
pub fn export(name: &str, value: &str) -> Result<()> {
    append("GITHUB_ENV", &assignment(name, value))
}

/// Puts a folder before all others on the PATH of the job's later steps.
pub fn add_path(dir: &str) -> Result<()> {
    append("GITHUB_PATH", &format!("{dir}\n"))
}

/// An output of this step.
pub fn output(name: &str, value: &str) -> Result<()> {
    append("GITHUB_OUTPUT", &assignment(name, value))
}

/// Something that the post step of the same action gets back.
pub fn keep(name: &str, value: &str) -> Result<()> {
    append("GITHUB_STATE", &assignment(name, value))
}

/// Markdown for the page of the run.
pub fn summary(markdown: &str) -> Result<()> {
    append("GITHUB_STEP_SUMMARY", markdown)
}

/// Hides a text in everything that the job prints from now on.
pub fn mask(secret: &str) {
    if is_step() {
        // The secret itself is never printed by us; a command that cannot be written costs nothing.
        let _ = writeln!(std::io::stdout().lock(), "::add-mask::{}", escape(secret));
    }
}

/// A line of the log that the page of the run repeats.
pub fn annotation(level: &str, text: &str) -> String {
    format!("::{level} title=Rekindle::{}", escape(&plain(text)))
}

/// A line that shows only where the debug log of a run is asked for.
pub fn debug(text: &str) -> String {
    format!("::debug::{}", escape(&plain(text)))
}

/// Whether it is.
pub fn is_debug() -> bool {
    std::env::var("RUNNER_DEBUG").is_ok_and(|value| value == "1")
}

/// The same, shown at a line of a file of the checkout.
pub fn annotation_at(level: &str, (file, line): (&str, usize), title: &str, text: &str) -> String {
    let file = property(file);
    format!(
        "::{level} file={file},line={line},title={}::{}",
        property(&plain(&format!("Rekindle: {title}"))),
        escape(&plain(text))
    )
}

/// What people write for an input: its name in a workflow, the option on a command line.
pub fn option(input: &str) -> String {
    match (is_step(), input) {
        (true, _) => format!("`{input}`"),
        (false, "workspaces") => "`--workspace`".to_owned(),
        (false, _) => format!("`--{input}`"),
    }
}

/// Text as it may stand in a log, line by line: nothing in it is a command to the runner or to a terminal, whoever chose the names
/// that it is made of.
pub fn plain(text: &str) -> String {
    let lines = text.split('\n').map(|line| {
        let shown: String = line.chars().fold(String::new(), |mut shown, char| {
            if is_unseen(char) {
                shown.extend(char.escape_default());
            } else {
                shown.push(char);
            }
            shown
        });
        // The older kind of command is looked for anywhere in a line, the newer at its start.
        let shown = shown.replace("##[", "# #[");
        if shown.trim_start().starts_with("::") { format!("| {shown}") } else { shown }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The same for JSON, which stays the same value.
pub fn plain_json(json: &str) -> String {
    // Only a string can hold either, and there an escape stands for the character itself.
    let shown = json.chars().fold(String::new(), |mut shown, char| {
        if is_unseen(char) && char != '\n' {
            let _ = write!(shown, "\\u{:04x}", u32::from(char));
        } else {
            shown.push(char);
        }
        shown
    });
    shown.replace("##[", "#\\u0023[")
}

/// What a terminal obeys or shows in another place.
fn is_unseen(char: char) -> bool {
    char.is_control() && char != '\t' || matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The same for what is one line.
pub fn plain_line(text: &str) -> String {
    plain(&text.replace('\n', "\\n"))
}

/// Text that can neither end a property of a command nor begin another one.
fn property(text: &str) -> String {
    escape(text).replace(':', "%3A").replace(',', "%2C")
}

/// Text that cannot end a command or begin another one.
fn escape(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// One value, whatever it holds: its end is a word that nobody can guess.
fn assignment(name: &str, value: &str) -> String {
    let end = format!("end-{}", uuid::Uuid::new_v4());
    format!("{name}<<{end}\n{value}\n{end}\n")
}

/// What such a file says, by name.
pub fn assignments(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some((name, end)) = line.split_once("<<") {
            let value: Vec<&str> = lines.by_ref().take_while(|line| *line != end).collect();
            found.push((name.to_owned(), value.join("\n")));
        }
    }
    found
}

fn append(file: &str, text: &str) -> Result<()> {
    let Some(path) = std::env::var_os(file).filter(|path| !path.is_empty()).map(PathBuf::from) else {
        return Ok(());
    };
    let mut out = fs::OpenOptions::new().append(true).create(true).open(path)?;
    out.write_all(text.as_bytes()).with_context(|| format!("cannot write to {file}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a runner takes for a command.
    fn is_command(line: &str) -> bool {
        line.trim().starts_with("::") || line.contains("##[")
    }

    proptest! {
        #[test]
        fn no_name_is_a_command_or_reaches_the_terminal(before in "[ \t:#\\[]{0,4}", name in any::<String>(), after in "[\n\r:#\\[]{0,6}") {
            let text = format!("{before}::add-mask::{name}{after}##[group]{name}");
            let shown = plain_line(&text);
            prop_assert!(!shown.contains(|char: char| char.is_control() && char != '\t'), "{shown:?}");
            prop_assert!(!is_command(&shown), "{shown:?}");
            prop_assert!(plain(&text).lines().all(|line| !is_command(line)), "{:?}", plain(&text));
        }
    }

    proptest! {
        #[test]
        fn json_stays_the_same_value(text in any::<String>(), name in "[#\\[\u{202e}\u{7f}:\"]{0,6}") {
            let value = serde_json::json!({ name: format!("::{text}##[group]\u{202e}\u{9b}") });
            for json in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                let shown = plain_json(&json);
                prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(&shown).unwrap(), &value);
                prop_assert!(shown.lines().all(|line| !is_command(line)), "{}", shown);
            }
        }
    }

    #[test]
    fn what_is_plain_stays_as_it_is() {
        let text = "restored 3 units from `rekindle.3.a`: \u{e4} → b";
        assert_eq!((plain_line(text), plain("a\n\tb")), (text.to_owned(), "a\n\tb".to_owned()));
        assert_eq!(plain_line("a\n::add-mask::x\u{1b}[31m"), "a\\n::add-mask::x\\u{1b}[31m");
    }

    #[test]
    fn a_value_stays_one_value() {
        let text = assignment("key", "a\nend\nb");
        let (head, rest) = text.split_once('\n').unwrap();
        let end = head.strip_prefix("key<<").unwrap();
        assert_eq!(rest, format!("a\nend\nb\n{end}\n"));
        assert_eq!(assignments(&format!("{text}{text}")), vec![("key".to_owned(), "a\nend\nb".to_owned()); 2]);
        assert_eq!(annotation("warning", "50%\n::x"), "::warning title=Rekindle::50%25%0A| ::x");
    }
}
