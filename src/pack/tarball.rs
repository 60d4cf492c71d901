//! Tar headers in pax form: nanosecond times, long paths and odd names. They make a pack an ordinary archive; nothing here reads
//! them. Names are written as the bytes that they are on disk.

use std::io;

use tar::{EntryType, Header};

use crate::machine::paths;
use crate::state::manifest::{Content, FileEntry, Manifest};

const BLOCK: u64 = 512;
/// A name of this length fits into a header.
const SHORT: usize = 100;

/// What stands before an entry's bytes in the archive.
pub(super) fn header(manifest: &Manifest, entry: &FileEntry) -> io::Result<Vec<u8>> {
    let name = bytes(&archive_name(manifest, entry));
    let mut records = vec![("mtime", entry.mtime.to_string().into_bytes())];
    let (kind, mode, link) = match &entry.content {
        Content::File { mode, .. } => (EntryType::Regular, *mode, None),
        Content::Folder { mode } => (EntryType::Directory, *mode, None),
        Content::Symlink { to } => (EntryType::Symlink, 0o777, Some(bytes(to))),
        Content::HardLink { to } => {
            (EntryType::Link, 0o644, Some(bytes(&archive_name(manifest, &manifest.files[*to]))))
        }
    };
    let mut header = plain(kind, mode, entry.stored(), entry.mtime.nanos().div_euclid(1_000_000_000));
    if name.len() <= SHORT && is_plain(&name) {
        header.as_old_mut().name[..name.len()].copy_from_slice(&name);
    } else {
        records.push(("path", name));
        header.set_path("long")?;
    }
    if let Some(link) = link {
        if link.len() <= SHORT && is_plain(&link) {
            header.as_old_mut().linkname[..link.len()].copy_from_slice(&link);
        } else {
            records.push(("linkpath", link));
        }
    }
    header.set_cksum();

    let mut archive = tar::Builder::new(Vec::new());
    archive.append_pax_extensions(records.iter().map(|(key, value)| (*key, value.as_slice())))?;
    // Taken before the end of an archive is written behind it.
    let mut bytes = std::mem::take(archive.get_mut());
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
    // Nobody is to take it for the file.
    let more = if let Content::File { patch: Some(_), .. } = entry.content { ".patch" } else { "" };
    format!("{}/{}{more}", manifest.roots[entry.root].label, entry.path)
}

/// A name as it is on disk.
fn bytes(name: &str) -> Vec<u8> {
    paths::path(name).into_os_string().into_encoded_bytes()
}

/// Whether every tool reads it alike.
fn is_plain(name: &[u8]) -> bool {
    name.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ')
}
