//! From honest inputs to one that is not: a few changes of bytes, lines, words or JSON values.

use fastrand::Rng;
use serde_json::{Value, json};

const NUMBERS: [u64; 9] =
    [0, 1, 127, 255, 65_535, 0x7fff_ffff, 0xffff_ffff, 0x7fff_ffff_ffff_ffff, 0xffff_ffff_ffff_ffff];
const DEEP: usize = 20_000;

pub(super) fn one(seeds: &[Vec<u8>], words: &[&str], rng: &mut Rng) -> Vec<u8> {
    let mut input = rng.choice(seeds).unwrap().clone();
    for _ in 0..=rng.usize(..6).min(rng.usize(..6)) {
        let is_json = input.first() == Some(&b'{') && rng.u8(..4) > 0;
        let parsed = if is_json { serde_json::from_slice::<Value>(&input).ok() } else { None };
        if let Some(mut value) = parsed {
            change(&mut value, words, rng);
            input = serde_json::to_vec(&value).unwrap();
        } else if std::str::from_utf8(&input).is_ok() && rng.bool() {
            input = lines(&input, words, rng);
        } else {
            bytes(&mut input, seeds, words, rng);
        }
    }
    input
}

fn bytes(input: &mut Vec<u8>, seeds: &[Vec<u8>], words: &[&str], rng: &mut Rng) {
    let at = rng.usize(..=input.len());
    let end = (at + rng.usize(..64)).min(input.len());
    match rng.u8(..9) {
        0 | 1 if at < input.len() => input[at] ^= 1 << rng.u8(..8),
        2 => drop(input.drain(at..end)),
        3 => {
            let copy = input[at..end].repeat(1 + rng.usize(..20));
            input.splice(at..at, copy);
        }
        4 => input.truncate(at),
        5 => {
            let number = rng.choice(NUMBERS).unwrap().to_le_bytes();
            for (byte, value) in input[at..].iter_mut().zip(&number[..1 << rng.u8(..4)]) {
                *byte = *value;
            }
        }
        6 => {
            let other = rng.choice(seeds).unwrap();
            let from = rng.usize(..=other.len());
            input.truncate(at);
            input.extend(&other[from..]);
        }
        7 => {
            let word = rng.choice(words).copied().unwrap_or("\u{0}");
            input.splice(at..at, word.bytes());
        }
        _ => {
            let open = *rng.choice(b"[{(\"'\\- \n").unwrap();
            let times = rng.choice([2, 40, DEEP]).unwrap();
            input.splice(at..at, vec![open; times]);
        }
    }
}

fn lines(input: &[u8], words: &[&str], rng: &mut Rng) -> Vec<u8> {
    let text = String::from_utf8_lossy(input);
    let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let (at, other) = (rng.usize(..lines.len()), rng.usize(..lines.len()));
    match rng.u8(..7) {
        0 => drop(lines.remove(at)),
        1 => {
            let copy = lines[at].clone();
            let times = rng.choice([1, 3, 2_000]).unwrap();
            lines.splice(other..other, vec![copy; times]);
        }
        2 => lines.swap(at, other),
        3 => lines[at].insert_str(0, rng.choice(["  ", "\t", " ", "- ", "# "]).unwrap()),
        4 => {
            let indent = lines[at].len() - lines[at].trim_start().len();
            lines[at].drain(..indent);
        }
        5 => {
            let word = rng.choice(words).copied().unwrap_or("~");
            let start = lines[at].find([':', '=', ' ', ',']).map_or(0, |at| at + 1);
            lines[at].replace_range(start.., word);
        }
        _ => {
            let from = lines[other].clone();
            lines[at].push_str(&from);
        }
    }
    lines.join("\n").into_bytes()
}

fn change(value: &mut Value, words: &[&str], rng: &mut Rng) {
    let goes_on = rng.u8(..10) > 0;
    match value {
        Value::Array(items) if !items.is_empty() && goes_on => {
            let at = rng.usize(..items.len());
            match rng.u8(..12) {
                0 => drop(items.remove(at)),
                1 => {
                    let copy = items[at].clone();
                    let times = rng.choice([1, 2, 500]).unwrap();
                    items.extend(vec![copy; times]);
                }
                2 => items.reverse(),
                3 => items.clear(),
                _ => change(&mut items[at], words, rng),
            }
        }
        Value::Object(fields) if !fields.is_empty() && goes_on => {
            let name = fields.keys().nth(rng.usize(..fields.len())).unwrap().clone();
            match rng.u8(..12) {
                0 => drop(fields.remove(&name)),
                1 => {
                    let moved = fields.remove(&name).unwrap();
                    let other = rng.choice(words).copied().unwrap_or("other");
                    fields.insert(other.to_owned(), moved);
                }
                _ => change(fields.get_mut(&name).unwrap(), words, rng),
            }
        }
        Value::Number(number) if rng.bool() => {
            let near = number.as_u64().unwrap_or_default().wrapping_add(rng.u64(..3)).wrapping_sub(1);
            *value = json!(near);
        }
        Value::String(text) if rng.bool() => {
            let mut raw = std::mem::take(text).into_bytes();
            bytes(&mut raw, &[b"a/b/../c".to_vec()], words, rng);
            *text = String::from_utf8_lossy(&raw).into_owned();
        }
        other => *other = odd(words, rng),
    }
}

fn odd(words: &[&str], rng: &mut Rng) -> Value {
    match rng.u8(..14) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(-1),
        3 => json!(1e300),
        4 | 5 => json!(rng.choice(NUMBERS).unwrap()),
        6 => json!(""),
        7 => json!("a".repeat(100_000)),
        8 => json!("../../../escaped"),
        9 => json!("/escaped\u{0}"),
        10 => json!([]),
        11 => json!({}),
        12 => (0..100).fold(Value::Null, |inner, _| json!([inner])),
        _ => json!(rng.choice(words).copied().unwrap_or("\n")),
    }
}
