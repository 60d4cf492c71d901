//! What a script runs: simple commands with their line, folder and own variables.
//!
//! This is no shell. Quotes, continuations, `&&`, `;`, pipes and `cd` are understood; what is built by substitution or loops
//! is not, and is never guessed at.

/// One simple command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ShellCommand {
    pub(super) line: usize,
    /// Words without the assignments before them and without `sudo` and the like.
    pub(super) words: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    /// The folder as far as the script tells, relative to where it started.
    pub(super) dir: Option<String>,
    /// Run by `uv run`, which brings the project's environment up to date first.
    pub(super) syncs: bool,
}

impl ShellCommand {
    pub(super) fn program(&self) -> &str {
        self.words.first().map_or("", |word| word.rsplit('/').next().unwrap_or(word))
    }

    /// Whether the command begins with these words.
    pub(super) fn begins(&self, words: &[&str]) -> bool {
        self.program() == words[0]
            && words[1..].iter().zip(self.words.iter().skip(1)).all(|(a, b)| a == b)
            && self.words.len() >= words.len()
    }

    pub(super) fn has(&self, word: &str) -> bool {
        self.words.iter().any(|own| own == word)
    }

    /// As it would be typed.
    pub(super) fn said(&self) -> String {
        self.words.join(" ")
    }
}

/// The commands of a script whose first line is `first_line` of its file.
pub(super) fn commands(script: &str, first_line: usize) -> Vec<ShellCommand> {
    let mut found = Vec::new();
    let mut dir: Option<String> = None;
    let mut here: Option<String> = None;
    let mut lines = script.lines().enumerate().peekable();
    while let Some((index, text)) = lines.next() {
        if let Some(end) = &here {
            if text.trim() == end {
                here = None;
            }
            continue;
        }
        let mut text = text.trim().to_owned();
        while (text.ends_with('\\') || text.ends_with('`')) && lines.peek().is_some() {
            text.pop();
            let next = lines.next().map_or("", |(_, next)| next.trim());
            text = format!("{} {next}", text.trim_end());
        }
        here = document_end(&text);
        let before = dir.clone();
        for part in parts(&text) {
            // A group in parentheses; what it changes ends with it.
            let part = part.trim().trim_start_matches('(');
            let part = if part.contains('(') { part } else { part.trim_end_matches(')') };
            let Some(words) = shlex::split(part) else { continue };
            let mut command = simple(words, first_line + index);
            if command.program() == "cd" {
                dir = command.words.get(1).map(|to| to.trim_end_matches('/').to_owned());
                continue;
            }
            if !command.words.is_empty() {
                command.dir.clone_from(&dir);
                found.push(command);
            }
        }
        if text.starts_with('(') {
            dir = before;
        }
    }
    found
}

/// The word that ends a here-document which begins on this line.
fn document_end(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("<<")?;
    if rest.starts_with('<') {
        return None;
    }
    let word = rest.trim_start_matches('-').split_whitespace().next()?;
    let word = word.trim_matches(['\'', '"']);
    word.chars().all(|c| c.is_alphanumeric() || c == '_').then(|| word.to_owned()).filter(|word| !word.is_empty())
}

/// Cuts at the operators that lie outside quotes and expressions, and drops comments.
fn parts(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut quote: Option<char> = None;
    let mut depth = 0_usize;
    let mut before = ' ';
    for c in text.chars() {
        match quote {
            Some(mark) if c == mark => quote = None,
            Some(_) => {}
            None => match c {
                '\'' | '"' => quote = Some(c),
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                '#' if before.is_whitespace() => break,
                ';' | '&' | '|' if depth == 0 && before != '>' => {
                    parts.push(String::new());
                    before = c;
                    continue;
                }
                _ => {}
            },
        }
        before = c;
        if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    parts
}

const BEFORE: [&str; 12] = ["sudo", "time", "env", "exec", "if", "then", "else", "do", "!", "command", "xvfb-run", "("];

fn simple(words: Vec<String>, line: usize) -> ShellCommand {
    let mut command = ShellCommand { line, ..ShellCommand::default() };
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.peek() {
        if let Some((name, value)) = assignment(word) {
            command.env.push((name, value));
        } else if !BEFORE.contains(&word.as_str()) && !is_option_of_sudo(word) {
            break;
        }
        words.next();
    }
    command.words = words.collect();
    let own: Vec<&String> = command.words.iter().take_while(|word| *word != "--").collect();
    command.syncs = command.begins(&["uv", "run"])
        && !own.iter().any(|word| ["--no-sync", "--no-project", "--script", "--isolated"].contains(&word.as_str()));
    see_through(&mut command);
    command
}

/// What a runner of programs runs, where that is a program that some rule knows.
fn see_through(command: &mut ShellCommand) {
    const RUNNERS: [&[&str]; 7] = [
        &["uv", "run"],
        &["poetry", "run"],
        &["pdm", "run"],
        &["hatch", "run"],
        &["uv", "tool", "run"],
        &["uvx"],
        &["pipx", "run"],
    ];
    let known = |word: &String| ["maturin", "cargo", "nox", "tox", "pytest", "pip"].contains(&word.as_str());
    let is_python = |word: &str| word == "python" || word == "python3";
    let Some(runner) = RUNNERS.iter().find(|runner| command.begins(runner)) else {
        let module = command.words.get(2).filter(|_| is_python(command.program()) && command.has("-m"));
        if module.is_some_and(|word| ["maturin", "nox", "tox"].contains(&word.as_str())) && command.words[1] == "-m" {
            command.words.drain(..2);
        }
        return;
    };
    let rest = command.words.iter().skip(runner.len()).skip_while(|word| word.starts_with('-'));
    let mut rest: Vec<String> = rest.cloned().collect();
    if let (&["hatch", ..], Some(first)) = (runner, rest.first_mut()) {
        // `hatch run lint:cargo clippy`: an environment, and what runs in it.
        let (_, inner) = first.split_once(':').unwrap_or(("", first));
        *first = inner.to_owned();
    }
    if rest.first().is_some_and(known) {
        command.words = rest;
    }
}

fn is_option_of_sudo(word: &str) -> bool {
    word == "-E" || word == "--preserve-env"
}

fn assignment(word: &str) -> Option<(String, String)> {
    let (name, value) = word.split_once('=')?;
    let valid = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    valid.then(|| (name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(script: &str) -> Vec<String> {
        commands(script, 1).iter().map(ShellCommand::said).collect()
    }

    #[test]
    fn commands_are_told_apart_and_comments_dropped() {
        let script = "set -e  # cargo clean\ncargo build && sudo -E cargo test --features 'a b' | tee log; echo done\n";
        assert_eq!(said(script), ["set -e", "cargo build", "cargo test --features a b", "tee log", "echo done"]);
        assert_eq!(said("echo 'cargo clean; rm -rf target'"), ["echo cargo clean; rm -rf target"]);
    }

    #[test]
    fn lines_folders_and_variables_are_kept() {
        let found = commands("RUSTFLAGS='-D warnings' cargo \\\n  build\ncd sub/\ncargo test\n", 10);
        assert_eq!(found[0].env, [("RUSTFLAGS".to_owned(), "-D warnings".to_owned())]);
        assert_eq!((found[0].line, found[0].said()), (10, "cargo build".to_owned()));
        assert_eq!((found[1].line, found[1].dir.as_deref()), (13, Some("sub")));
        let grouped = commands("(cd a && cargo check)\ncargo test", 1);
        assert_eq!((grouped[0].said(), grouped[0].dir.as_deref()), ("cargo check".to_owned(), Some("a")));
        assert_eq!(grouped[1].dir, None);
    }

    #[test]
    fn a_here_document_is_no_script() {
        assert_eq!(said("cat > x <<'EOF'\ncargo clean\nEOF\ncargo build\n"), ["cat > x <<EOF", "cargo build"]);
        assert_eq!(said("uv run --frozen maturin develop"), ["maturin develop"]);
    }

    #[test]
    fn what_runs_programs_is_seen_through() {
        let said = |script: &str| said(script).join("; ");
        for runner in ["hatch run ", "hatch run dev:", "uvx ", "pipx run ", "python -m ", "uv tool run ", "pdm run "] {
            assert_eq!(said(&format!("{runner}maturin develop --release")), "maturin develop --release");
        }
        assert_eq!(said("hatch run lint:check"), "hatch run lint:check");
        assert_eq!(said("python -m build"), "python -m build");
        let syncs = |script: &str| commands(script, 1)[0].syncs;
        assert!(syncs("uv run pytest") && syncs("uv run python x.py"));
        assert!(!syncs("uv run --no-sync pytest") && !syncs("uv sync") && syncs("uv run pytest -- --no-sync"));
    }
}
