//! What in a Rust source suggests that the code can read files, list folders or start programs. Pure.
//!
//! Goes by tokens: comments and modules that only tests compile do not count, and a word counts only where it is used as the
//! name of the thing in question (`Command` is nothing, `process::Command` is). How it can be wrong: code that reaches the file
//! system under other names, through a library that is not part of the sources, passes; so every library that the code is built
//! from has to be looked at. A source that is not text is taken to be a compiled blob.

/// Names that always lead to the file system.
const NAMES: [&str; 7] =
    ["OpenOptions", "read_to_string", "read_dir", "read_link", "canonicalize", "symlink_metadata", "fs_err"];
/// Methods of a path that ask the file system.
const METHODS: [&str; 5] = ["exists", "try_exists", "is_file", "is_dir", "is_symlink"];
/// Ways to something that reads files for one.
const SOCKETS: [&str; 4] = ["TcpStream", "UnixStream", "UdpSocket", "UnixDatagram"];
/// What there is in `std::process` that starts a program.
const PROCESSES: [&str; 5] = ["Command", "Stdio", "Child", "self", "as"];
/// Instructions that look at the processor and move what is in it.
const HARMLESS: [&str; 24] = [
    "fldcw", "fnstcw", "fstcw", "cpuid", "xgetbv", "rdtsc", "rdtscp", "rdrand", "rdseed", "nop", "pause", "yield",
    "isb", "dmb", "dsb", "mfence", "lfence", "sfence", "mov", "movq", "xchg", "mrs", "bswap", "rev",
];
/// The folder of the package that a macro is used in: who asks for it wants something there.
const FOLDER: &str = "CARGO_MANIFEST_DIR";

/// The first trace, as it is called in messages; nothing if there is none.
pub fn first(source: &[u8]) -> Option<String> {
    let Ok(source) = std::str::from_utf8(source) else { return Some("bytes that are not text".to_owned()) };
    let tokens = without_tests(&tokens(source));
    let mut in_use = false;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Text(text) if text.contains(FOLDER) => return Some(FOLDER.to_owned()),
            Token::Mark(';') => in_use = false,
            Token::Word("use") => in_use = true,
            Token::Word(word) if is_trace(word, at, &tokens, in_use) => return Some((*word).to_owned()),
            _ => {}
        }
    }
    None
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Word(&'a str),
    /// What a string literal holds, as written.
    Text(&'a str),
    Mark(char),
}

fn is_trace(word: &str, at: usize, tokens: &[Token<'_>], in_use: bool) -> bool {
    let after = |steps: usize| tokens.get(at + steps).copied();
    let before = |steps: usize| at.checked_sub(steps).map(|at| tokens[at]);
    let colon = Some(Token::Mark(':'));
    let opens = after(1) == colon && after(2) == colon;
    let follows = before(1) == colon && before(2) == colon;
    let leads_to = |words: &[&str]| opens && matches!(after(3), Some(Token::Word(word)) if words.contains(&word));
    let is_call = before(1) == Some(Token::Mark('.')) && after(1) == Some(Token::Mark('('));
    match word {
        _ if NAMES.contains(&word) => true,
        _ if METHODS.contains(&word) => is_call,
        _ if SOCKETS.contains(&word) => opens,
        "fs" => in_use || opens || follows,
        "File" => leads_to(&["open", "options", "create", "create_new"]),
        "metadata" => {
            let paths = |token: &Token<'_>| matches!(token, Token::Word("Path" | "PathBuf"));
            is_call && after(2) == Some(Token::Mark(')')) && tokens.iter().any(paths)
        }
        "process" => {
            let several = matches!(after(3), Some(Token::Mark('{' | '*')));
            let renamed = in_use && after(1) == Some(Token::Word("as"));
            renamed || leads_to(&PROCESSES) || (opens && several)
        }
        "extern" => match after(1) {
            Some(Token::Mark('{')) => true,
            Some(Token::Text(_)) => after(2) == Some(Token::Mark('{')),
            _ => false,
        },
        "asm" => after(1) == Some(Token::Mark('!')) && !is_harmless(&tokens[at + 2..]),
        "global_asm" | "naked_asm" => after(1) == Some(Token::Mark('!')),
        "link" => before(1) == Some(Token::Mark('[')) && after(1) == Some(Token::Mark('(')),
        _ => false,
    }
}

/// Whether assembly, from its first bracket on, is nothing but instructions that cannot leave the program.
fn is_harmless(tokens: &[Token<'_>]) -> bool {
    let mut depth = 0_usize;
    let mut lines = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Mark('(' | '[' | '{') => depth += 1,
            Token::Mark(')' | ']' | '}') => depth = depth.saturating_sub(1),
            // Names of registers stand deeper.
            Token::Text(text) if depth == 1 && text.replace("\\n", "").contains('\\') => return false,
            Token::Text(text) if depth == 1 => lines.extend(text.split(['\n', ';']).flat_map(|line| line.split("\\n"))),
            // A template that a macro makes, or that hides a line behind an escape.
            Token::Word(_) if depth == 1 && tokens.get(at + 1) == Some(&Token::Mark('!')) => return false,
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    let mnemonics = lines.iter().filter_map(|line| line.split_whitespace().next());
    let mut mnemonics = mnemonics.peekable();
    mnemonics.peek().is_some() && mnemonics.all(|mnemonic| HARMLESS.contains(&mnemonic.to_ascii_lowercase().as_str()))
}

/// Leaves out `#[cfg(test)] mod tests { … }`.
fn without_tests<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    use Token::{Mark, Word};
    const CFG: [Token<'static>; 8] =
        [Mark('#'), Mark('['), Word("cfg"), Mark('('), Word("test"), Mark(')'), Mark(']'), Word("mod")];
    let mut kept = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at..].starts_with(&CFG) && tokens.get(at + CFG.len() + 1) == Some(&Mark('{')) {
            let mut depth = 0_usize;
            at += CFG.len() + 1;
            while at < tokens.len() {
                match tokens[at] {
                    Mark('{') => depth += 1,
                    Mark('}') => depth = depth.saturating_sub(1),
                    _ => {}
                }
                at += 1;
                if depth == 0 {
                    break;
                }
            }
        } else {
            kept.push(tokens[at]);
            at += 1;
        }
    }
    kept
}

/// The tokens of a source, comments left out.
pub(super) fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = source;
    while let Some(char) = rest.chars().next() {
        if rest.starts_with("//") {
            rest = rest.find('\n').map_or("", |end| &rest[end..]);
        } else if rest.starts_with("/*") {
            rest = after_comment(rest);
        } else if let Some((text, after)) = literal(rest) {
            tokens.push(Token::Text(text));
            rest = after;
        } else if char == '\'' {
            rest = after_quote(rest);
        } else if is_word(char) {
            let word = rest.strip_prefix("r#").unwrap_or(rest);
            let end = word.find(|char| !is_word(char)).unwrap_or(word.len());
            tokens.push(Token::Word(&word[..end]));
            rest = &word[end..];
        } else {
            if !char.is_whitespace() {
                tokens.push(Token::Mark(char));
            }
            rest = &rest[char.len_utf8()..];
        }
    }
    tokens
}

fn is_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || char == '_' || (!char.is_ascii() && char.is_alphanumeric())
}

/// Block comments nest.
fn after_comment(source: &str) -> &str {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(next) = source[at..].find(['/', '*']).map(|step| at + step) {
        let two = source.get(next..next + 2).unwrap_or_default();
        at = next + if matches!(two, "/*" | "*/") { 2 } else { 1 };
        match two {
            "/*" => depth += 1,
            "*/" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &source[at..];
        }
    }
    ""
}

/// A string literal of any kind at the beginning, and what comes after it.
fn literal(source: &str) -> Option<(&str, &str)> {
    if !source.starts_with(['"', 'b', 'c', 'r']) {
        return None;
    }
    let quoted = source.trim_start_matches(['b', 'c', 'r']);
    let prefix = &source[..source.len() - quoted.len()];
    if !["", "b", "c", "r", "br", "cr"].contains(&prefix) {
        return None;
    }
    if prefix.ends_with('r') {
        let body = quoted.trim_start_matches('#');
        let hashes = &quoted[..quoted.len() - body.len()];
        let body = body.strip_prefix('"')?;
        let close = format!("\"{hashes}");
        let end = body.find(&close).unwrap_or(body.len());
        return Some((&body[..end], body.get(end + close.len()..).unwrap_or_default()));
    }
    let body = quoted.strip_prefix('"')?;
    let mut escaped = false;
    let end = body.find(|char| {
        let ends = char == '"' && !escaped;
        escaped = char == '\\' && !escaped;
        ends
    });
    let end = end.unwrap_or(body.len());
    Some((&body[..end], body.get(end + 1..).unwrap_or_default()))
}

/// What comes after a character literal, or after the quote that begins a lifetime.
fn after_quote(source: &str) -> &str {
    let body = &source[1..];
    let mut chars = body.char_indices();
    let end = match chars.next() {
        Some((_, '\\')) => body.char_indices().skip(2).find(|(_, char)| *char == '\'').map(|(at, _)| at),
        Some(_) => chars.next().filter(|(_, char)| *char == '\'').map(|(at, _)| at),
        None => None,
    };
    end.map_or(body, |end| &body[end + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shows(source: &str) -> bool {
        first(source.as_bytes()).is_some()
    }

    #[test]
    fn every_way_to_a_file_leaves_a_trace() {
        for source in [
            "let x = std::fs::read(p);",
            "use std::{fs, io}; let x = fs::read(p)",
            "use std::{fs as f, io};",
            "use std::fs;",
            "let url = \"https://x\"; File::open(p)",
            "let a = '\"'; std::env::var(\"CARGO_MANIFEST_DIR\")",
            "env!(r#\"CARGO_MANIFEST_DIR\"#)",
            "let b = b'\\''; path.exists()",
            "std::process::Command::new(\"cat\")",
            "use std::process::{self, Command};",
            "use std::process::*;",
            "use std::process as p;",
            "extern \"C\" { fn open(); }",
            "unsafe extern { fn open(); }",
            "core::arch::asm!(\"syscall\")",
            "asm!(\"mov {0}, {0}\", \"svc 0\", in(reg) x)",
            "asm!(\"nop\\n syscall\")",
            "asm!(\"nop; .byte 15, 5\")",
            "asm!(\"mov {0}, {0}\\x0asyscall\", in(reg) x)",
            "asm!(concat!(\"sys\", \"call\"))",
            "asm!(\"nop\", template!(), options(nostack))",
            "global_asm!(\"nop\")",
            "#[link(name = \"x\")]",
            "UnixStream::connect(p)",
            "fn f<'a>(x: &'a Path) { x.metadata() }",
            "/* a /* b */ */ fs::read(p)",
            "#[cfg(test)] mod tests { } std::fs::read(p)",
        ] {
            assert!(shows(source), "{source}");
        }
        assert!(first(&[0x7f, b'E', b'L', b'F', 0xff]).is_some());
    }

    #[test]
    fn what_only_looks_like_one_leaves_none() {
        for source in [
            "/// use std::fs;\nfn f() {} // File::open\n/* read_dir */",
            "impl SourceFile::X { my_fs::y }",
            "Command::new(\"app\").subcommand(x)",
            "use crate::machine::process; process::exit(1)",
            "let exists = self.exists; fn extern_c() {} extern \"C\" fn x() {}",
            "let f: syn::File = parse(); File::parse(x)",
            "#[cfg(test)]\nmod tests { fn f() { std::fs::read(p) } }",
            "let c = '/'; let d = '*'; let e = \"\\\"\"; let fs = 1; fs.len()",
            "log.metadata()",
            "asm!(\"fldcw word ptr [{}]\", in(reg) &cw, options(nostack))",
            "core::arch::asm!(\"mov {0}, rbx\\n cpuid\", \"xchg {0}, rbx\", inout(\"eax\") 1 => _, lateout(\"ecx\") x)",
        ] {
            assert!(!shows(source), "{source}: {:?}", first(source.as_bytes()));
        }
    }
}
