//! Tar headers in pax form: nanosecond times and long paths. They make a pack an ordinary archive; nothing here reads them.

use std::io;

use tar::{EntryType, Header};

use crate::manifest::{Content, FileEntry, Manifest};

const BLOCK: u64 = 512;

/// What stands before an entry's bytes in the archive.
pub(super) fn header(manifest: &Manifest, entry: &FileEntry) -> io::Result<Vec<u8>> {
    let name = archive_name(manifest, entry);
    let mut records = Vec::new();
    pax_record(&mut records, "mtime", &entry.mtime.to_string());
    let (kind, mode, link) = match &entry.content {
        Content::File { mode, .. } => (EntryType::Regular, *mode, None),
        Content::Folder { mode } => (EntryType::Directory, *mode, None),
        Content::Symlink { to } => (EntryType::Symlink, 0o777, Some(to.clone())),
        Content::HardLink { to } => (EntryType::Link, 0o644, Some(archive_name(manifest, &manifest.files[*to]))),
    };
    let mut header = plain(kind, mode, entry.size(), entry.mtime.0.div_euclid(1_000_000_000));
    if header.set_path(&name).is_err() || !name.is_ascii() {
        pax_record(&mut records, "path", &name);
        header.set_path("long")?;
    }
    if let Some(link) = link
        && header.set_link_name_literal(&link).is_err()
    {
        pax_record(&mut records, "linkpath", &link);
    }
    header.set_cksum();

    let mut extension = plain(EntryType::XHeader, 0o644, records.len() as u64, 0);
    extension.set_path("pax")?;
    extension.set_cksum();
    let mut bytes = extension.as_bytes().to_vec();
    let padding = padding(records.len() as u64);
    bytes.extend(records);
    bytes.resize(bytes.len() + padding, 0);
    bytes.extend(header.as_bytes());
    Ok(bytes)
}

/// Zeros that fill up the last block of `size` bytes.
pub(super) fn padding(size: u64) -> usize {
    usize::try_from(size.next_multiple_of(BLOCK) - size).unwrap_or_default()
}

fn plain(kind: EntryType, mode: u32, size: u64, mtime: i64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(u64::try_from(mtime).unwrap_or(0));
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn archive_name(manifest: &Manifest, entry: &FileEntry) -> String {
    format!("{}/{}", manifest.roots[entry.root].label, entry.path)
}

/// `"<length of the whole record> key=value\n"`.
fn pax_record(records: &mut Vec<u8>, key: &str, value: &str) {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    while len != rest + len.to_string().len() {
        len = rest + len.to_string().len();
    }
    records.extend(format!("{len} {key}={value}\n").into_bytes());
}
