//! YAML with line numbers: the events of a parser, made into a tree.
//!
//! An alias becomes a copy of what its anchor named. Files that would grow without measure that way, or that nest deeper than
//! anybody writes, are refused, so that a hostile file costs a finding and not the memory.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::tree::{Malformed, Node, Value};

const MOST_NODES: usize = 200_000;
const DEEPEST: usize = 64;

/// A collection whose end has not been seen.
struct Open {
    line: usize,
    column: usize,
    anchor: usize,
    key: Option<(String, usize)>,
    value: Value,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    root: Option<Node>,
}

/// The first document of a file.
pub(super) fn parse(text: &str) -> Result<Node, Malformed> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) =
            event.map_err(|error| Malformed { line: error.marker().line(), reason: error.info().to_owned() })?;
        let (line, column) = (span.start.line(), span.start.col());
        let fault = |reason: &str| Malformed { line, reason: reason.to_owned() };
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                let empty = plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let value = if empty { Value::Null } else { Value::Text(text.into_owned()) };
                let block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                let text_line = if block { builder.line().unwrap_or(line.saturating_sub(1)) + 1 } else { line };
                builder.place(Node { line, text_line, value, ..Node::default() }, anchor);
            }
            Event::SequenceStart(anchor, _) => builder.begin((line, column), anchor, Value::List(Vec::new())),
            Event::MappingStart(anchor, _) => builder.begin((line, column), anchor, Value::Map(Vec::new())),
            Event::SequenceEnd | Event::MappingEnd => builder.end(),
            Event::Alias(anchor) => {
                let node = builder.anchors.get(&anchor).cloned().ok_or_else(|| fault("an alias inside its anchor"))?;
                builder.nodes += size(&node);
                if builder.nodes > MOST_NODES {
                    return Err(fault("its aliases make it too large"));
                }
                builder.place(node, 0);
            }
            Event::DocumentEnd => break,
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) => {}
        }
        if builder.open.len() > DEEPEST {
            return Err(fault("it is nested too deeply"));
        }
    }
    Ok(builder.root.unwrap_or_default())
}

fn size(node: &Node) -> usize {
    1 + match &node.value {
        Value::Null | Value::Text(_) => 0,
        Value::List(items) => items.iter().map(size).sum(),
        Value::Map(entries) => entries.iter().map(|(_, node)| size(node)).sum(),
    }
}

impl Builder {
    /// The line of the key whose value comes next; the text of a block begins below it.
    fn line(&self) -> Option<usize> {
        self.open.last()?.key.as_ref().map(|(_, line)| *line)
    }

    fn begin(&mut self, (line, column): (usize, usize), anchor: usize, value: Value) {
        self.open.push(Open { line, column, anchor, key: None, value });
    }

    fn end(&mut self) {
        if let Some(Open { line, column, anchor, value, .. }) = self.open.pop() {
            self.place(Node { line, text_line: line, column, value }, anchor);
        }
    }

    fn place(&mut self, mut node: Node, anchor: usize) {
        self.nodes += 1;
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open { value: Value::List(items), .. }) => items.push(node),
            Some(Open { key, value: Value::Map(entries), .. }) => match key.take() {
                None => *key = Some((node.text().unwrap_or_default().to_owned(), node.line)),
                Some((name, line)) => {
                    node.line = line;
                    entries.push((name, node));
                }
            },
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_knows_its_line() {
        let text =
            "on: [push]\n\"jobs\":\n  a:\n    steps:\n      - run: |\n          one\n          two\n      - {run: x}\n";
        let root = parse(text).unwrap();
        let steps = root.path(&["jobs", "a", "steps"]);
        assert_eq!((steps.line, steps.items()[0].line, steps.items()[1].line), (4, 5, 8));
        let run = steps.items()[0].at("run");
        assert_eq!((run.line, run.text_line, run.text()), (5, 6, Some("one\ntwo\n")));
        assert!(root.path(&["jobs", "b", "steps"]).items().is_empty());
    }

    #[test]
    fn scalars_stay_as_written_and_anchors_are_followed() {
        let root = parse("a: &x {toolchain: 1.80, on: yes}\nb: *x\nc:\nd: 'null'\n").unwrap();
        assert_eq!(root.path(&["b", "toolchain"]).text(), Some("1.80"));
        assert_eq!(root.path(&["b", "on"]).text(), Some("yes"));
        assert_eq!((root.at("c").text(), root.at("d").text()), (None, Some("null")));
        assert_eq!(root.at("b").line, 2);
    }

    #[test]
    fn what_cannot_be_read_is_a_fault_with_a_line() {
        assert_eq!(parse("a: 1\nb: [1,\n").unwrap_err().line, 3);
        assert_eq!(parse("").unwrap(), Node::default());
        let level = |number: usize| {
            let below = format!("*a{}", number - 1);
            format!("a{number}: &a{number} [{}]\n", vec![below; 10].join(","))
        };
        let bomb = (1..9).fold("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned(), |text, number| text + &level(number));
        assert!(parse(&bomb).unwrap_err().reason.contains("too large"));
        assert!(parse(&"[".repeat(10_000)).is_err());
    }
}
