//! The forms in which a value can stand in a file: as it is, escaped, and encoded.
//!
//! Encryption, compression and a value that is cut into pieces are beyond this.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use super::SHORTEST;

/// A longer value is known by its beginning.
const LONGEST: usize = 256;
/// What a URL does not keep as it is.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Every form that is long enough to be searched for.
pub(super) fn of(value: &str) -> Vec<Vec<u8>> {
    let mut end = value.len().min(LONGEST);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    let text = &value[..end];
    let raw = text.as_bytes();
    let mut forms = vec![raw.to_vec()];
    let mut add = |form: String| forms.push(form.into_bytes());
    add(inner(&serde_json::to_string(text).unwrap_or_default()));
    add(inner(&format!("{text:?}")));
    add(text.escape_default().to_string());
    let percent = || percent_encode(raw, RESERVED);
    add(percent().to_string());
    add(percent().map(|part| if part.starts_with('%') { part.to_lowercase() } else { part.to_owned() }).collect());
    add(percent().to_string().replace("%20", "+"));
    add(hex::encode(raw));
    add(hex::encode_upper(raw));
    // `{:?}` of bytes.
    add(raw.iter().map(u8::to_string).collect::<Vec<_>>().join(", "));
    for before in 0..3 {
        let shifted = [&[0; 2][..before], raw].concat();
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            let text = engine.encode(&shifted);
            // Letters that also hold bits of what stands before or behind.
            let end = text.len() - usize::from(shifted.len() % 3 != 0);
            add(text.get([0, 2, 3][before]..end).unwrap_or_default().to_owned());
        }
    }
    forms.push(text.encode_utf16().flat_map(u16::to_le_bytes).collect());
    forms.retain(|form| form.len() >= SHORTEST);
    forms.sort();
    forms.dedup();
    forms
}

/// Without the quotes around it.
fn inner(quoted: &str) -> String {
    quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    #[test]
    fn a_value_is_known_however_it_is_written() {
        let value = "s3cr3t \"quoted\"/\n+é?>>";
        let forms = of(value);
        let known = |text: &str| forms.iter().any(|form| text.as_bytes().windows(form.len()).any(|part| part == form));
        for text in [
            format!("x{value}y"),
            serde_json::to_string(&[value]).unwrap(),
            format!("{:?}", Some(value)),
            "x=s3cr3t%20%22quoted%22%2F%0A%2B%C3%A9%3F%3E%3E".to_owned(),
            "x=s3cr3t%20%22quoted%22%2f%0a%2b%c3%a9%3f%3e%3e".to_owned(),
            "x=s3cr3t+%22quoted%22%2F%0A%2B%C3%A9%3F%3E%3E".to_owned(),
            format!("{:?}", format!("x{value}y").as_bytes()),
        ] {
            assert!(known(&text), "{text}");
        }
        for before in ["", "u", "us", "use", "user:"] {
            for after in ["", "@", "@h", "@ho"] {
                let text = format!("{before}{value}{after}");
                assert!(known(&STANDARD.encode(&text)) && known(&URL_SAFE.encode(&text)), "{text}");
            }
        }
        assert!(!known("s3cr3t") && !known("s3cr3t \"quoted\""));
    }

    #[test]
    fn a_long_value_is_known_by_its_beginning_and_a_short_one_not_at_all() {
        let long = "é0123456".repeat(1000);
        assert!(of(&long).iter().all(|form| form.len() < 6 * LONGEST));
        assert!(of("short").iter().all(|form| form.len() >= SHORTEST));
    }
}
