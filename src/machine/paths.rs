//! Paths as text: written so that any name survives, and compared by whole components. Pure.
//!
//! A name on Unix is bytes, not text. `text` keeps names that are UTF-8 as they are and writes every other byte as one character
//! of a private range, so that two paths never share a text and `path` gives back exactly what was there. How it can be wrong:
//! on Windows a name with a lone surrogate has no such form and comes back as another one; nothing is found under that.

use std::path::{Component, Path, PathBuf, is_separator};

/// The character that stands for byte 0.
const FIRST: u32 = 0x10_FF00;

/// A path as text.
pub fn text(path: &Path) -> String {
    match path.to_str() {
        Some(text) if cfg!(unix) && !text.chars().any(is_byte) => text.to_owned(),
        _ => platform::text(path),
    }
}

/// The path that a text was made of.
pub fn path(text: &str) -> PathBuf {
    if text.chars().any(is_byte) { platform::path(text) } else { PathBuf::from(text) }
}

/// A path that a program printed.
pub fn from_bytes(bytes: &[u8]) -> PathBuf {
    platform::from_bytes(bytes)
}

/// A text for people: bytes that are not text are shown as such.
pub fn shown(text: &str) -> String {
    path(text).display().to_string()
}

fn is_byte(char: char) -> bool {
    u32::from(char) >= FIRST
}

#[cfg(unix)]
mod platform {
    use std::ffi::OsString;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    use std::path::{Path, PathBuf};

    use super::{FIRST, is_byte};

    pub(super) fn text(path: &Path) -> String {
        let escape = |bytes: &[u8], text: &mut String| {
            text.extend(bytes.iter().filter_map(|byte| char::from_u32(FIRST + u32::from(*byte))));
        };
        let mut text = String::new();
        for chunk in path.as_os_str().as_bytes().utf8_chunks() {
            for char in chunk.valid().chars() {
                // One that is there in earnest is written as its bytes, or it would come back as one.
                if is_byte(char) {
                    escape(char.encode_utf8(&mut [0; 4]).as_bytes(), &mut text);
                } else {
                    text.push(char);
                }
            }
            escape(chunk.invalid(), &mut text);
        }
        text
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> PathBuf {
        OsString::from_vec(bytes.to_vec()).into()
    }

    pub(super) fn path(text: &str) -> PathBuf {
        let mut bytes = Vec::with_capacity(text.len());
        for char in text.chars() {
            match u8::try_from(u32::from(char).wrapping_sub(FIRST)) {
                Ok(byte) if is_byte(char) => bytes.push(byte),
                _ => bytes.extend(char.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        OsString::from_vec(bytes).into()
    }
}

#[cfg(not(unix))]
mod platform {
    use std::path::{Path, PathBuf};

    pub(super) fn text(path: &Path) -> String {
        path.to_string_lossy().replace('/', std::path::MAIN_SEPARATOR_STR)
    }

    pub(super) fn path(text: &str) -> PathBuf {
        PathBuf::from(text)
    }

    /// Git writes `/` everywhere; the rest of the program compares with what the platform writes.
    pub(super) fn from_bytes(bytes: &[u8]) -> PathBuf {
        PathBuf::from(String::from_utf8_lossy(bytes).replace('/', std::path::MAIN_SEPARATOR_STR))
    }
}

/// Whether `path` lies below `dir`, by whole components; a folder does not lie below itself.
pub fn is_under(path: &str, dir: &str) -> bool {
    path.strip_prefix(dir).is_some_and(|rest| dir.ends_with(is_separator) || rest.starts_with(is_separator))
}

pub fn file_name(path: &str) -> &str {
    path.rsplit(is_separator).next().unwrap_or(path)
}

/// The folder that holds `path`; nothing above a root.
pub fn parent(path: &str) -> Option<&str> {
    let cut = path.rfind(is_separator)?;
    if cut == 0 { None } else { path.get(..cut) }
}

/// A path below `dir`.
pub fn join(dir: &str, name: &str) -> String {
    if dir.ends_with(is_separator) {
        format!("{dir}{name}")
    } else {
        format!("{dir}{}{name}", std::path::MAIN_SEPARATOR)
    }
}

/// A path without `.` and `..`, by its text alone, as Cargo does it.
pub fn lexical(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                tidy.pop();
            }
            Component::CurDir => {}
            other => tidy.push(other),
        }
    }
    tidy
}

/// Whether Windows takes a name as it is. Others it gives a meaning of their own: a device, a stream of another file, or the same
/// name without its end. Not asked on Unix, where every name is just a name.
pub fn windows_takes(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end().to_uppercase();
    let is_device = match stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT")) {
        Some(number) => number.chars().count() == 1 && number.chars().all(|char| "0123456789¹²³".contains(char)),
        None => ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"].contains(&stem.as_str()),
    };
    let is_odd = |char: char| char.is_control() || "<>:\"|?*\\/".contains(char);
    !is_device && !name.contains(is_odd) && !name.ends_with(['.', ' ']) && !name.is_empty()
}

/// Paths in what is stored.
pub mod as_text {
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::text(path))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        String::deserialize(deserializer).map(|text| super::path(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_the_same_beginning_is_not_above() {
        assert!(is_under("/a/b/c", "/a/b"));
        assert!(!is_under("/a/bc", "/a/b"));
        assert!(!is_under("/a/b", "/a/b"));
        assert_eq!(parent("/a/b"), Some("/a"));
        assert_eq!(parent("/a"), None);
    }

    #[test]
    fn names_that_windows_gives_a_meaning_of_their_own_are_known() {
        for name in ["aux", "Con.rs", "nul .txt", "COM1", "lpt².d", "a:b", "a::$DATA", "a.", "a ", "..", "a?", ""] {
            assert!(!windows_takes(name), "{name}");
        }
        for name in ["auxiliary", "console.rs", ".fingerprint", "com10", "com", "libaux-1.rlib", "a b", "\u{e9}"] {
            assert!(windows_takes(name), "{name}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn every_name_survives_and_no_two_share_a_text() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        let odd: [&[u8]; 6] = [
            b"/plain/\xC3\xA9",
            b"/a\xFFb/c",
            b"/a\xFE",
            b"/\xF4\x8F\xBC\x80",
            b"/\xF4\x8F\xBF\xBF\xFF",
            b"/back\\slash",
        ];
        let mut texts = std::collections::BTreeSet::new();
        for bytes in odd {
            let before = Path::new(OsStr::from_bytes(bytes));
            let text = text(before);
            assert_eq!(path(&text), before, "{text:?}");
            assert!(texts.insert(text));
        }
        assert_eq!(file_name("/back\\slash"), "back\\slash");
    }
}
