//! Markdown that stays what it is meant to be, whatever the names in it are, and a page that fits, however much there is to say.

/// Items of a list that are shown before it is cut.
pub(super) const SHOWN: usize = 20;
/// Characters of one text from outside.
const LONGEST: usize = 300;
/// A runner takes 1 MiB a step; nobody reads that much.
const LIMIT: usize = 60 << 10;

/// Parts of a page in the order in which they are read, a lower number is worth more.
#[derive(Debug, Default)]
pub(super) struct Page {
    blocks: Vec<(u8, Vec<String>)>,
}

impl Page {
    /// Nothing is added for an empty block.
    pub(super) fn add(&mut self, rank: u8, lines: Vec<String>) {
        if !lines.is_empty() {
            self.blocks.push((rank, lines));
        }
    }

    /// What does not fit is left out whole, what is worth least first, and that is said.
    pub(super) fn render(mut self) -> String {
        let text = |block: &(u8, Vec<String>)| format!("{}\n", block.1.join("\n"));
        let mut size: usize = self.blocks.iter().map(|block| text(block).len() + 1).sum();
        let mut left_out = 0;
        while size > LIMIT {
            let Some(at) = (0..self.blocks.len()).max_by_key(|&at| (self.blocks[at].0, at)) else { break };
            let block = self.blocks.remove(at);
            size -= text(&block).len() + 1;
            left_out += 1;
        }
        if left_out > 0 {
            let parts = if left_out == 1 { "part was" } else { "parts were" };
            self.blocks
                .push((0, vec![format!("{left_out} {parts} left out for length; the report file has everything.")]));
        }
        self.blocks.iter().map(text).collect::<Vec<_>>().join("\n")
    }
}

/// A table without a head.
pub(super) fn table(rows: &[(&str, String)]) -> Vec<String> {
    let mut lines = vec!["| | |".to_owned(), "|---|---|".to_owned()];
    lines.extend(rows.iter().map(|(name, value)| format!("| {name} | {} |", escape(value))));
    lines
}

/// A list under a head, folded if it is long; nothing for an empty one. The items are text from outside.
pub(super) fn section(head: &str, items: impl Iterator<Item = String>) -> Vec<String> {
    let items: Vec<String> = items.map(|item| escape(&item)).collect();
    list(head, &items, items.len() > SHOWN / 4)
}

/// The same of Markdown.
pub(super) fn list(head: &str, items: &[String], folded: bool) -> Vec<String> {
    if items.is_empty() {
        return Vec::new();
    }
    let mut lines: Vec<String> = items.iter().take(SHOWN).map(|item| format!("- {item}")).collect();
    if items.len() > SHOWN {
        lines.push(format!("- and {} more", items.len() - SHOWN));
    }
    if folded {
        return fold(&format!("{head} ({})", items.len()), lines);
    }
    lines.splice(0..0, [format!("**{head}**"), String::new()]);
    lines
}

/// Lines that are shown on a click.
pub(super) fn fold(head: &str, lines: Vec<String>) -> Vec<String> {
    let mut folded = vec![format!("<details><summary>{head}</summary>"), String::new()];
    folded.extend(lines);
    folded.extend([String::new(), "</details>".to_owned()]);
    folded
}

/// Text in backticks stays code; everything else that Markdown could read as more than text is made plain.
pub(super) fn escape(text: &str) -> String {
    let visible: String = text.chars().map(|c| if is_invisible(c) { ' ' } else { c }).take(LONGEST + 1).collect();
    let mut line = visible.trim().to_owned();
    if line.chars().count() > LONGEST {
        line.pop();
        line.push('…');
    }
    // Two in a row would open another kind of code.
    let balanced = line.matches('`').count().is_multiple_of(2) && !line.contains("``");
    let mut code = false;
    let mut out = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let starts = out.chars().all(|before| before.is_ascii_digit());
        let joins = chars.peek().is_some_and(|next| !next.is_whitespace());
        match c {
            '`' if balanced => {
                code = !code;
                out.push('`');
            }
            '`' => out.push('\''),
            '|' => out.push_str("\\|"),
            // A table takes the sign out of the way before code is looked at; nothing else does.
            '\\' if code => out.push('/'),
            _ if code => out.push(c),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '*' | '_' | '[' | ']' | '\\' | '~' | '#' | '!' | '@' | '$' => out.extend(['\\', c]),
            // An address or an emoji.
            ':' | '.' if joins && (c == ':' || out.ends_with("www")) => out.extend(['\\', c]),
            // The mark of a list.
            '-' | '+' | '=' if out.is_empty() => out.extend(['\\', c]),
            '.' | ')' if starts && !joins && !out.is_empty() => out.extend(['\\', c]),
            _ => out.push(c),
        }
    }
    out
}

/// Control characters, and those that turn the direction of the text around.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_stays_text() {
        assert_eq!(escape("a|b <img src=x> [x](y)"), "a\\|b &lt;img src=x&gt; \\[x\\](y)");
        assert_eq!(escape("`a_b<c>` and d_e"), "`a_b<c>` and d\\_e");
        assert_eq!(escape("odd ` tick\nline"), "odd ' tick line");
        assert_eq!(escape("``a`b`"), "''a'b'");
        assert_eq!(escape("https://x www.y :tada: a: b"), "https\\://x www\\.y \\:tada: a: b");
        assert_eq!((escape("- x"), escape("12. x")), ("\\- x".to_owned(), "12\\. x".to_owned()));
        assert_eq!(escape("a\u{202e}b"), "a b");
        assert_eq!(escape(&"x".repeat(400)).chars().count(), LONGEST + 1);
    }

    #[test]
    fn a_page_drops_what_is_least_dear_and_says_so() {
        let mut page = Page::default();
        page.add(0, vec!["head".into()]);
        page.add(5, vec!["x".repeat(LIMIT)]);
        page.add(1, vec!["tail".into()]);
        page.add(2, Vec::new());
        assert_eq!(page.render(), "head\n\ntail\n\n1 part was left out for length; the report file has everything.\n");
    }
}
