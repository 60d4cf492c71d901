//! Unpacks the archive of a fetched package as Cargo does: the same files, with the same times and rights, and at last the mark by which
//! Cargo knows that all of it is there.
//!
//! How it can be wrong: what Cargo would do otherwise. So whatever is not a plain file inside the package's own folder is an error, and the
//! package is left to Cargo. (Folders, whose rights an archive can name, stand in none that Cargo made.)

use std::io::{self, Read};
use std::path::{Component, Path};

use anyhow::{Result, bail, ensure};
use filetime::FileTime;
use flate2::read::GzDecoder;
use fs_err as fs;
use tar::{Archive, EntryType};

use crate::machine::disk;

/// Written when everything else is there. An archive cannot bring it.
pub const MARK: &str = ".cargo-ok";
/// What Cargo of today writes into it; older ones look whether anything is in it.
const MARKED: &str = r#"{"v":1}"#;
/// Where Cargo, too, begins to ask whether an archive is meant to fill the disk.
const MOST_BYTES: u64 = 512 << 20;

/// Unpacks the archive of `package`, as in `serde-1.0.0`, into a folder of that name in `dir`.
pub fn unpack(archive: &[u8], package: &str, dir: &Path) -> Result<()> {
    let mut left = MOST_BYTES;
    for entry in Archive::new(GzDecoder::new(archive)).entries()? {
        let mut entry = entry?;
        let (path, header) = (entry.path()?.into_owned(), entry.header());
        let (kind, mode, mtime) = (header.entry_type(), header.mode()?, header.mtime()?);
        let is_inside = path.components().all(|part| matches!(part, Component::Normal(_))) && path.starts_with(package);
        ensure!(is_inside, "`{}` lies outside of the package", path.display());
        let place = dir.join(&path);
        match kind {
            EntryType::XGlobalHeader => {}
            EntryType::Regular | EntryType::Continuous if path.ends_with(MARK) => {}
            EntryType::Regular | EntryType::Continuous => {
                fs::create_dir_all(place.parent().unwrap_or(dir))?;
                let mut file = disk::create_new(&place, mode & 0o777)?;
                let bytes = io::copy(&mut entry.by_ref().take(left + 1), &mut file)?;
                ensure!(bytes <= left, "it is larger than any package should be");
                left -= bytes;
                // No time at all is the first second.
                let time = FileTime::from_unix_time(mtime.max(1).try_into()?, 0);
                filetime::set_file_handle_times(&file, Some(time), Some(time))?;
            }
            _ => bail!("`{}` is no plain file", path.display()),
        }
    }
    fs::write(dir.join(package).join(MARK), MARKED)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use tar::{Builder, Header};

    use super::*;

    fn archive(entries: &[(&str, EntryType, &str)]) -> Vec<u8> {
        let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (path, kind, text) in entries {
            let mut header = Header::new_gnu();
            // As it stands, whatever a careful builder would say of it.
            header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_entry_type(*kind);
            header.set_mode(0o755);
            header.set_mtime(1_153_704_088);
            header.set_size(text.len() as u64);
            header.set_cksum();
            builder.append(&header, text.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn a_package_is_marked_once_it_is_whole_and_an_archive_cannot_bring_the_mark() {
        let dir = tempfile::tempdir().unwrap();
        let files = [
            ("a-1/src/lib.rs", EntryType::Regular, "one"),
            ("a-1/.cargo-ok", EntryType::Regular, "false"),
            ("a-1/deep/.cargo-ok", EntryType::Regular, "false"),
        ];
        unpack(&archive(&files), "a-1", dir.path()).unwrap();
        let text = |path: &str| fs::read_to_string(dir.path().join("a-1").join(path)).ok();
        assert_eq!([text("src/lib.rs").as_deref(), text(MARK).as_deref()], [Some("one"), Some(MARKED)]);
        assert_eq!(text("deep/.cargo-ok"), None);
        let meta = fs::metadata(dir.path().join("a-1/src/lib.rs")).unwrap();
        assert_eq!(FileTime::from_last_modification_time(&meta).unix_seconds(), 1_153_704_088);
    }

    #[test]
    fn what_is_odd_is_left_to_cargo() {
        for (path, kind) in [
            ("b-1/src/lib.rs", EntryType::Regular),
            ("a-1/../b-1/lib.rs", EntryType::Regular),
            ("/a-1/lib.rs", EntryType::Regular),
            ("a-1/link", EntryType::Symlink),
            ("a-1/link", EntryType::Link),
            ("a-1/pipe", EntryType::Fifo),
            ("a-1/folder", EntryType::Directory),
        ] {
            let dir = tempfile::tempdir().unwrap();
            assert!(unpack(&archive(&[(path, kind, "")]), "a-1", dir.path()).is_err(), "{path}");
            assert!(!dir.path().join("a-1").join(MARK).exists());
        }
        let twice = [("a-1/lib.rs", EntryType::Regular, "one"), ("a-1/lib.rs", EntryType::Regular, "two")];
        let dir = tempfile::tempdir().unwrap();
        assert!(unpack(&archive(&twice), "a-1", dir.path()).is_err());
        assert!(unpack(b"no archive", "a-1", dir.path()).is_err());
    }
}
