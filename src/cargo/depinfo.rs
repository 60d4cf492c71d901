//! Cargo's binary dep-info: which files and variables a compilation read.
//!
//! Anything unexpected, a byte left over included, makes the whole file unreadable; the caller then knows nothing about the
//! unit's inputs and treats it so.

/// Paths and variables as they stand in the file, before they are resolved.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct DepInfo {
    pub files: Vec<DepFile>,
    /// Variable names with the value at build time, if there was one.
    pub env: Vec<(String, Option<String>)>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum DepFile {
    /// Relative to the package's folder.
    InPackage(String),
    /// Relative to the build folder, or absolute.
    InBuildRoot(String),
}

pub fn parse(bytes: &[u8]) -> Option<DepInfo> {
    let mut cursor = Cursor(bytes);
    // A version marker that old readers take for an absurd length, then the version.
    if cursor.take(5)? != [1, 0, 0, 0, 0xff] || cursor.byte()? != 1 {
        return None;
    }
    let mut info = DepInfo::default();
    for _ in 0..cursor.number()? {
        let base = cursor.byte()?;
        let path = cursor.text()?;
        if cursor.byte()? == 1 {
            cursor.take(8)?;
            cursor.text()?;
        }
        info.files.push(match base {
            0 => DepFile::InPackage(path),
            1 => DepFile::InBuildRoot(path),
            _ => return None,
        });
    }
    for _ in 0..cursor.number()? {
        let name = cursor.text()?;
        let value = if cursor.byte()? == 1 { Some(cursor.text()?) } else { None };
        info.env.push((name, value));
    }
    cursor.0.is_empty().then_some(info)
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(len)?;
        self.0 = tail;
        Some(head)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn number(&mut self) -> Option<usize> {
        let bytes: [u8; 4] = self.take(4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    }

    fn text(&mut self) -> Option<String> {
        let len = self.number()?;
        String::from_utf8(self.take(len)?.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(out: &mut Vec<u8>, text: &str) {
        out.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
        out.extend(text.as_bytes());
    }

    fn sample() -> Vec<u8> {
        let mut bytes = vec![1, 0, 0, 0, 0xff, 1];
        bytes.extend(2_u32.to_le_bytes());
        bytes.push(0);
        text(&mut bytes, "src/lib.rs");
        bytes.push(0);
        bytes.push(1);
        text(&mut bytes, "/etc/x.h");
        bytes.push(1);
        bytes.extend(7_u64.to_le_bytes());
        text(&mut bytes, "blake3=00");
        bytes.extend(1_u32.to_le_bytes());
        text(&mut bytes, "MY_VAR");
        bytes.push(0);
        bytes
    }

    #[test]
    fn every_field_is_read() {
        let info = parse(&sample()).unwrap();
        assert_eq!(info.files, [DepFile::InPackage("src/lib.rs".into()), DepFile::InBuildRoot("/etc/x.h".into())]);
        assert_eq!(info.env, [("MY_VAR".to_owned(), None)]);
    }

    #[test]
    fn a_file_that_is_cut_or_goes_on_is_unreadable() {
        let bytes = sample();
        for len in 0..bytes.len() {
            assert_eq!(parse(&bytes[..len]), None, "cut at {len}");
        }
        assert_eq!(parse(&[bytes, vec![0]].concat()), None);
    }
}
