//! TOML with line numbers, in the same kind of tree as YAML.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::tree::{Malformed, Node, Value};

pub(super) fn parse(text: &str) -> Result<Node, Malformed> {
    match DeTable::parse(text) {
        Ok(table) => Ok(Node { line: 1, text_line: 1, column: 0, value: map(text, table.get_ref()) }),
        Err(error) => {
            let line = error.span().map_or(1, |span| line(text, span.start));
            Err(Malformed { line, reason: error.message().to_owned() })
        }
    }
}

fn line(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

fn map(text: &str, table: &DeTable<'_>) -> Value {
    let entries = table.iter().map(|(key, value)| {
        let at = line(text, key.span().start);
        (key.get_ref().to_string(), Node { line: at, ..node(text, value) })
    });
    Value::Map(entries.collect())
}

fn node(text: &str, value: &Spanned<DeValue<'_>>) -> Node {
    let at = line(text, value.span().start);
    let value = match value.get_ref() {
        DeValue::Table(table) => map(text, table),
        DeValue::Array(items) => Value::List(items.iter().map(|item| node(text, item)).collect()),
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Boolean(flag) => Value::Text(flag.to_string()),
        DeValue::Integer(number) => Value::Text(number.as_str().to_owned()),
        DeValue::Float(number) => Value::Text(number.as_str().to_owned()),
        DeValue::Datetime(_) => Value::Null,
    };
    Node { line: at, text_line: at, column: 0, value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_by_its_path_and_knows_its_line() {
        let root = parse("[package]\nname = \"a\"\n\n[profile.dev]\ndebug = 2\n[[x]]\ny = [\n 'z',\n]\n").unwrap();
        let debug = root.path(&["profile", "dev", "debug"]);
        assert_eq!((debug.text(), debug.line), (Some("2"), 5));
        assert_eq!(root.path(&["profile", "dev"]).line, 4);
        assert_eq!(root.at("x").items()[0].at("y").texts(), ["z"]);
        assert_eq!(parse("a = 1\nb = \n").unwrap_err().line, 2);
    }
}
