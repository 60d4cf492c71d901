//! Which files Rust sources take in by a literal path: `include_str!("…")` and its like, `#[path = "…"]`. Pure.
//!
//! How it can be wrong: a path that a macro puts together, or that is not a literal, is not seen; one in code that is not compiled
//! is seen all the same.

use super::means::{Token, tokens};

const MACROS: [&str; 3] = ["include_str", "include_bytes", "include"];

/// A path as it is written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Included {
    /// From the folder that the source lies in.
    Beside(String),
    /// What stands after the package's folder, `/` and all.
    AfterPackage(String),
}

/// All of them, in the order in which they are written.
pub fn literals(source: &str) -> Vec<Included> {
    let tokens = tokens(source);
    let at = (0..tokens.len()).filter_map(|at| match &tokens[at..] {
        [Token::Word(name), Token::Mark('!'), Token::Mark('(' | '[' | '{'), rest @ ..] if MACROS.contains(name) => {
            argument(rest)
        }
        [Token::Word("path"), Token::Mark('='), Token::Text(text), ..] => Some(Included::Beside((*text).to_owned())),
        _ => None,
    });
    at.collect()
}

/// A literal, or literals that are joined, the package's folder before them perhaps.
fn argument(tokens: &[Token<'_>]) -> Option<Included> {
    let (mut rest, joined) = match tokens {
        [Token::Word("concat"), Token::Mark('!'), Token::Mark('(' | '[' | '{'), rest @ ..] => (rest, true),
        _ => (tokens, false),
    };
    let (mut text, mut after_package) = (String::new(), false);
    loop {
        rest = match rest {
            [Token::Text(part), rest @ ..] => {
                text += part;
                rest
            }
            [
                Token::Word("env"),
                Token::Mark('!'),
                Token::Mark('('),
                Token::Text("CARGO_MANIFEST_DIR"),
                Token::Mark(')'),
                rest @ ..,
            ] if text.is_empty() => {
                after_package = true;
                rest
            }
            _ => return None,
        };
        rest = match rest {
            [Token::Mark(','), rest @ ..] => rest,
            _ => rest,
        };
        if let [Token::Mark(')' | ']' | '}'), ..] = rest {
            break;
        }
        if !joined {
            return None;
        }
    }
    Some(if after_package { Included::AfterPackage(text) } else { Included::Beside(text) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literal_paths_are_found_and_nothing_else() {
        let found = |source: &str| literals(source);
        let beside = |text: &str| vec![Included::Beside(text.to_owned())];
        assert_eq!(found("#![doc = include_str!(\"../../README.md\")]"), beside("../../README.md"));
        assert_eq!(found("static X: &[u8] = include_bytes!(r\"../x\",);"), beside("../x"));
        assert_eq!(found("#[path = \"../other.rs\"] mod other;"), beside("../other.rs"));
        assert_eq!(found("include!(concat!(\"../\", \"x.rs\"));"), beside("../x.rs"));
        assert_eq!(
            found("#[doc = include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/../README.md\"))]"),
            [Included::AfterPackage("/../README.md".to_owned())]
        );
        for source in [
            "// include_str!(\"x\")",
            "include!(concat!(env!(\"OUT_DIR\"), \"/x.rs\"));",
            "include_str!($path)",
            "include_str!(concat!(\"a\", stringify!(b)))",
            "let path = other;",
            "include_str!(",
        ] {
            assert_eq!(found(source), [], "{source}");
        }
    }
}
