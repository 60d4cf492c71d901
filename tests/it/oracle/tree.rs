//! Moves carried out on real files: changes in the repository, acts in a work tree.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use filetime::FileTime;

use super::moves::{Act, Time};
use super::packages::{Shape, folders, name, places};

/// What an act did to a package.
#[derive(Clone, Debug)]
pub(super) struct Effect {
    pub(super) package: &'static str,
    /// Whether a build from scratch would give something else now.
    pub(super) matters: bool,
    /// Whether Cargo, which looks at times, can have seen it.
    pub(super) is_visible: bool,
    /// A tracked file that is not as git has it.
    pub(super) written: Option<&'static str>,
}

const LITTER: &[u8] = b"litter-";

/// The time of an archive's content.
const OLD: FileTime = FileTime::from_unix_time(1_000_000_000, 0);

/// Carries an act out in the work tree at `root`. `copied` is the time of the files that are copied.
pub(super) fn act(root: &Path, shape: &Shape, act: &Act, copied: FileTime) -> Vec<Effect> {
    let set = |path: &Path, time: Time| match time {
        Time::Now => filetime::set_file_mtime(path, FileTime::now()).unwrap(),
        Time::Old => filetime::set_file_mtime(path, OLD).unwrap(),
        Time::Copied => filetime::set_file_mtime(path, copied).unwrap(),
    };
    match act {
        Act::Write { place, value, time } => {
            let (place, package) = nth(&places(shape), *place);
            let path = root.join(place);
            let text = content(*value);
            let matters = fs::read_to_string(&path).unwrap() != text;
            if *time == Time::Old {
                // As tar does it.
                fs::remove_file(&path).unwrap();
            }
            fs::write(&path, text).unwrap();
            set(&path, *time);
            // What a macro reads is seen by nobody.
            let is_visible = *time == Time::Now && !place.ends_with("macro_input.txt");
            vec![Effect { package, matters, is_visible, written: Some(place) }]
        }
        Act::Touch { place, time } => {
            let (place, package) = nth(&places(shape), *place);
            set(&root.join(place), *time);
            vec![Effect { package, matters: false, is_visible: true, written: None }]
        }
        Act::Litter { folder, name: which, is_ignored, time } => {
            let (folder, package) = nth(&folders(shape), *folder);
            let folder = root.join(folder);
            let mut file = OsStr::from_bytes(LITTER).to_owned();
            file.push(name(*which));
            file.push(if *is_ignored { ".tmp" } else { "" });
            let path = folder.join(file);
            let is_new = !path.exists();
            fs::create_dir_all(&folder).unwrap();
            fs::write(&path, "litter").unwrap();
            set(&path, *time);
            if *time != Time::Now {
                set(&folder, *time);
            }
            let matters = is_new && !is_ignored && package != "a";
            vec![Effect { package, matters, is_visible: *time == Time::Now, written: None }]
        }
        Act::CleanUp => clean_up(root, shape),
    }
}

/// Removes all litter.
pub(super) fn clean_up(root: &Path, shape: &Shape) -> Vec<Effect> {
    let mut effects = Vec::new();
    for (folder, package) in folders(shape) {
        let gone: Vec<OsString> = names_in(&root.join(folder)).into_iter().filter(|name| is_litter(name)).collect();
        for name in &gone {
            fs::remove_file(root.join(folder).join(name)).unwrap();
        }
        if !gone.is_empty() {
            let matters = package != "a" && gone.iter().any(|name| !name.as_bytes().ends_with(b".tmp"));
            // A script that names no inputs is not run again because a file went away.
            effects.push(Effect { package, matters, is_visible: package != "old", written: None });
        }
    }
    effects
}

fn is_litter(name: &OsStr) -> bool {
    name.as_bytes().starts_with(LITTER)
}

fn names_in(folder: &Path) -> Vec<OsString> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<OsString> = entries.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

/// One of the files that come and go.
pub(super) fn nth_file(folder: &Path, which: usize) -> Option<PathBuf> {
    let names: Vec<OsString> = names_in(folder).into_iter().filter(|name| !name.as_bytes().starts_with(b".")).collect();
    if names.is_empty() { None } else { Some(folder.join(&names[which % names.len()])) }
}

pub(super) fn nth<T: Copy>(of: &[T], which: usize) -> T {
    of[which % of.len()]
}

/// What an edited file holds; always the same length.
pub(super) fn content(value: u8) -> String {
    format!("{value:03}")
}
