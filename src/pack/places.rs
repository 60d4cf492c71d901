//! Where what is unpacked goes: plain components only, in real folders, and in place of what lies there.

use std::collections::BTreeSet;
use std::io;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use fs_err as fs;

use crate::machine::disk::{Kind, Meta};
use crate::machine::paths;
use crate::state::manifest::{Content, FileEntry};

/// Takes away what may lie there, and makes files that are not written at once, new and empty.
pub(super) fn prepare(entry: &FileEntry, is_whole: bool, path: &Path) -> Result<()> {
    if let Content::File { .. } = entry.content {
        remove_file(path)?;
        if !is_whole {
            fs::OpenOptions::new().write(true).create_new(true).open(path)?;
        }
    }
    Ok(())
}

/// Folders that are known to be real ones below their root.
#[derive(Default)]
pub(super) struct Folders(BTreeSet<PathBuf>);

impl Folders {
    fn make(&mut self, root: &Path, dir: &Path) -> Result<()> {
        if self.0.contains(dir) {
            return Ok(());
        }
        if dir == root {
            fs::create_dir_all(root)?;
        } else {
            self.make(root, dir.parent().context("a folder without a parent")?)?;
            match Meta::of(dir) {
                Ok(meta) if meta.kind == Kind::Folder => {}
                Ok(_) => bail!("`{}` is in the way", dir.display()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir(dir)?,
                Err(error) => return Err(error.into()),
            }
        }
        self.0.insert(dir.to_path_buf());
        Ok(())
    }
}

/// Where an entry goes, with the folders above it made.
pub(super) fn place(root: &Path, entry: &FileEntry, folders: &mut Folders) -> Result<PathBuf> {
    let relative = paths::path(&entry.path);
    // On Unix a backslash is a character like any other, but nobody needs one that looks like a way out.
    let is_way_out = |part: &str| part.contains('\\') && part.split('\\').any(|word| word == "..");
    let odd = |part: &str| if cfg!(windows) { !paths::windows_takes(part) } else { is_way_out(part) };
    let plain = !entry.path.is_empty()
        && !entry.path.contains('\0')
        && relative.components().all(|part| matches!(part, Component::Normal(_)))
        && !entry.path.split('/').any(|part| part.is_empty() || part == "." || part == ".." || odd(part));
    ensure!(plain, "the path `{}` leads out of its folder", entry.path.escape_debug());
    let path = root.join(&relative);
    folders
        .make(root, if let Content::Folder { .. } = entry.content { &path } else { path.parent().unwrap_or(root) })?;
    Ok(path)
}

pub(super) fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
