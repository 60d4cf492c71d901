//! Whether sources hand files to the assembler, which reads them without telling the compiler. Pure.
//!
//! They do if one of them assembles something and one of them, a text that is included for instance, holds a directive that reads
//! files. How it can be wrong: a directive that is put together from pieces, or that a macro of another package brings along.

use super::means::{Token, tokens};

const MACROS: [&str; 3] = ["asm", "global_asm", "naked_asm"];
const DIRECTIVES: [&str; 2] = [".incbin", ".include"];

/// What one source shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    pub assembles: bool,
    pub reads: bool,
}

impl Shown {
    /// Of a Rust source.
    pub fn of_rust(source: &[u8]) -> Self {
        let source = String::from_utf8_lossy(source);
        let tokens = tokens(&source);
        let calls = |three: &[Token<'_>]| matches!(three, [Token::Word(word), Token::Mark('!'), Token::Mark('(' | '[' | '{')] if MACROS.contains(word));
        let reads = |token: &Token<'_>| matches!(token, Token::Text(text) if holds_directive(text));
        Self { assembles: tokens.windows(3).any(calls), reads: tokens.iter().any(reads) }
    }

    /// Of anything else that the compiler read.
    pub fn of_other(bytes: &[u8]) -> Self {
        Self { assembles: false, reads: holds_directive(&String::from_utf8_lossy(bytes)) }
    }

    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { assembles: self.assembles || other.assembles, reads: self.reads || other.reads }
    }
}

fn holds_directive(text: &str) -> bool {
    // The assembler takes them in any case.
    let text = text.to_ascii_lowercase();
    DIRECTIVES.iter().any(|directive| text.contains(directive))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directive_counts_where_something_is_assembled() {
        let shown = |source: &str| {
            let Shown { assembles, reads } = Shown::of_rust(source.as_bytes());
            (assembles, reads)
        };
        assert_eq!(shown("core::arch::global_asm!(\".section .x\\n.INCBIN \\\"a\\\"\");"), (true, true));
        assert_eq!(shown("use std::arch::asm; fn f() { unsafe { asm!(\"nop\") } }"), (true, false));
        assert_eq!(shown("// global_asm!(\".incbin\")\nlet asm = \".incbin\"; asm != 1"), (false, true));
        let both =
            Shown::of_rust(b"global_asm!(include_str!(\"boot.s\"));").and(Shown::of_other(b"\t.include \"m.s\"\n"));
        assert_eq!(both, Shown { assembles: true, reads: true });
    }
}
