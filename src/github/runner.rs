//! The runner: whether there is one, the files through which a step tells it something, and its commands in the log.
//!
//! Outside a runner nothing is written anywhere.

use std::io::Write;
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
    format!("::{level} title=Rekindle::{}", escape(text))
}

/// The same, shown at a line of a file of the checkout.
pub fn annotation_at(level: &str, (file, line): (&str, usize), title: &str, text: &str) -> String {
    let file = property(file);
    format!("::{level} file={file},line={line},title={}::{}", property(&format!("Rekindle: {title}")), escape(text))
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
    use super::*;

    #[test]
    fn a_value_stays_one_value() {
        let text = assignment("key", "a\nend\nb");
        let (head, rest) = text.split_once('\n').unwrap();
        let end = head.strip_prefix("key<<").unwrap();
        assert_eq!(rest, format!("a\nend\nb\n{end}\n"));
        assert_eq!(assignments(&format!("{text}{text}")), vec![("key".to_owned(), "a\nend\nb".to_owned()); 2]);
        assert_eq!(annotation("warning", "50%\n::x"), "::warning title=Rekindle::50%25%0A::x");
    }
}
