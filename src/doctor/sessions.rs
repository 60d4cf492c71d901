//! Sessions of nox and commands of tox that build the package with isolation.
//!
//! A noxfile is Python, and is not run: of calls of a session only the words in quotes count, wherever the lines break. What a
//! variable or a loop holds is not seen.

use super::checkout::{Checkout, has_extension};
use super::python::{drifts_everywhere, is_local, isolates};
use super::shell::commands;
use crate::doctor::finding::Finding;
use crate::doctor::rule::Rule;

pub(super) fn examine(checkout: &Checkout, into: &mut Vec<Finding>) {
    if !drifts_everywhere(checkout) {
        return;
    }
    let called = |program: &str| {
        checkout.warm_jobs().any(|(_, job, _)| {
            job.commands().any(|(_, command)| {
                command.program() == program
                    || command.words.windows(2).any(|pair| pair[0] == "-m" && pair[1] == program)
                    || matches!(command.program(), "uvx" | "pipx") && command.has(program)
            })
        })
    };
    for (file, text) in &checkout.texts {
        let found = if file.ends_with("noxfile.py") && called("nox") {
            of_nox(text)
        } else if !has_extension(file, "py") && !has_extension(file, "rs") && called("tox") {
            of_tox(text)
        } else {
            Vec::new()
        };
        into.extend(found.into_iter().map(|(line, said)| {
            let what = format!("`{said}` builds in an environment with a random path");
            Finding::new(Rule::BuildIsolation, file, line, what)
        }));
    }
}

fn of_tox(text: &str) -> Vec<(usize, String)> {
    let lines = text.lines().enumerate().filter(|(_, line)| {
        let line =
            line.split_once('=').filter(|(key, _)| key.trim().starts_with("commands")).map_or(*line, |(_, rest)| rest);
        commands(line, 1).iter().any(isolates)
    });
    lines.map(|(index, line)| (index + 1, line.trim().to_owned())).collect()
}

/// What a session calls, with the words that stand in quotes.
struct Call {
    line: usize,
    method: &'static str,
    words: Vec<String>,
    said: String,
}

fn of_nox(text: &str) -> Vec<(usize, String)> {
    // Only uv's environments have a random path; the other installer of nox is pip.
    let by_uv = text.contains("venv_backend") && text.contains("\"uv");
    let found = calls(text).into_iter().filter(|call| match call.method {
        "install" => {
            let is_isolated = !call.words.iter().any(|word| word.starts_with("--no-build-isolation"));
            by_uv && is_isolated && call.words.iter().any(|word| is_local(word))
        }
        _ => shlex::try_join(call.words.iter().map(String::as_str))
            .is_ok_and(|line| commands(&line, 1).iter().any(isolates)),
    });
    found.map(|call| (call.line, call.said)).collect()
}

fn calls(text: &str) -> Vec<Call> {
    let mut found = Vec::new();
    for method in ["install", "run_install", "run"] {
        let start = format!("session.{method}(");
        for (at, _) in text.match_indices(&start) {
            let before = text[..at].rsplit('\n').next().unwrap_or_default();
            if before.contains('#') || before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '.') {
                continue;
            }
            let (words, length) = arguments(&text[at + start.len()..]);
            let said: Vec<&str> = text[at..at + start.len() + length].split_whitespace().collect();
            let said = said.join(" ").replace("( ", "(").replace(", )", ")").replace(",)", ")");
            found.push(Call { line: text[..at].matches('\n').count() + 1, method, words, said });
        }
    }
    found.sort_by_key(|call| call.line);
    found
}

/// The quoted words up to the parenthesis that closes the call, and how long all that is.
fn arguments(text: &str) -> (Vec<String>, usize) {
    let mut words: Vec<String> = Vec::new();
    let (mut depth, mut quote, mut is_comment) = (1_usize, None, false);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            _ if is_comment => is_comment = c != '\n',
            (Some(mark), _) if c == mark => quote = None,
            (Some(_), _) => words.last_mut().into_iter().for_each(|word| word.push(c)),
            (None, '"' | '\'') => {
                quote = Some(c);
                words.push(String::new());
            }
            (None, '#') => is_comment = true,
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') => {
                depth -= 1;
                if depth == 0 {
                    return (words, at + 1);
                }
            }
            (None, _) => {}
        }
    }
    (words, text.len())
}

#[cfg(test)]
mod tests {
    use super::super::sample::{CHECKOUT, OURS, ids, workflow};

    #[test]
    fn sessions_of_nox_and_tox_are_read() {
        let found = |file: &str, text: &str, run: &str| {
            ids(&[
                (".github/workflows/ci.yml", &workflow(&[CHECKOUT, OURS, &format!("run: {run}")])),
                ("Cargo.toml", "[package]\nname = \"a\"\n[dependencies]\npyo3 = \"0.28\"\n[profile.dev]\ndebug = 0\n"),
                (file, text),
            ])
        };
        let nox =
            "import nox\nnox.options.default_venv_backend = \"uv\"\ndef t(session):\n    session.install(\".\")\n";
        assert_eq!(found("noxfile.py", nox, "nox -s t"), ["build-isolation:4"]);
        assert!(found("noxfile.py", nox, "pytest").is_empty());
        assert!(found("noxfile.py", &nox.replace("\"uv\"", "\"virtualenv\""), "nox").is_empty());
        let tox = "[testenv]\ncommands_pre = uv pip install -e .\ncommands =\n    pytest\n";
        assert_eq!(found("tox.ini", tox, "tox"), ["build-isolation:2"]);
        assert!(found("tox.ini", &tox.replace("uv pip", "pip"), "tox").is_empty());
    }

    #[test]
    fn calls_over_several_lines_and_those_of_other_programs_are_read() {
        let lines = |text: &str| super::of_nox(text).into_iter().map(|(line, _)| line).collect::<Vec<_>>();
        let backend = "nox.options.default_venv_backend = \"uv\"\n";
        let spread = "session.install(\n    \"-e\",  # editable )\n    '.[dev]',\n)\n";
        assert_eq!(lines(&format!("{backend}{spread}")), [2]);
        assert_eq!(super::of_nox(&format!("{backend}session.install(\n    '.',\n)\n"))[0].1, "session.install('.')");
        assert_eq!(
            lines(&format!("{backend}session.install(\n    \"--no-build-isolation\",\n    \".\",\n)\n")),
            [0; 0]
        );
        assert_eq!(lines(spread), [0; 0]);
        assert_eq!(lines("session.run_install(\n    \"uv\",\n    \"sync\",\n    external=True,\n)\n"), [1]);
        assert_eq!(lines("session.run(\"uv\", \"pip\", \"install\", \".\")\n"), [1]);
        assert_eq!(lines("session.run_install(\"uv\", \"sync\", \"--no-install-project\")\n"), [0; 0]);
        assert_eq!(lines("# session.run_install(\"uv\", \"sync\")\nmysession.run(\"uv\", \"sync\")\n"), [0; 0]);
        assert_eq!(lines("session.run(\"uv\", \"sync\""), [1], "a file that ends in the middle");
    }
}
