//! System libraries that build scripts link, and what pins them: the version of the distribution package that owns the file,
//! else the file's own content. Cargo sees neither.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fs_err as fs;
use sha2::{Digest as _, Sha256};

use crate::digest::Digest;
use crate::manifest::LibraryFact;

const DEFAULT_FOLDERS: [&str; 8] = [
    "/usr/local/lib",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/lib",
    "/opt/homebrew/lib",
    "/usr/local/opt/openssl/lib",
];

/// The files outside `own` that a build script's output asks the linker for.
pub fn linked_files(output: &str, own: &[PathBuf]) -> BTreeSet<PathBuf> {
    let values = |name: &str| -> Vec<String> {
        let starts = [format!("cargo:{name}="), format!("cargo::{name}=")];
        let value = |line: &str| starts.iter().find_map(|start| line.strip_prefix(start.as_str())).map(str::to_owned);
        output.lines().map(str::trim).filter_map(value).collect()
    };
    let without_kind = |text: &str| text.split_once('=').map_or(text, |(_, rest)| rest).to_owned();
    let mut folders: Vec<PathBuf> =
        values("rustc-link-search").iter().map(|text| PathBuf::from(without_kind(text))).collect();
    folders.extend(DEFAULT_FOLDERS.iter().map(PathBuf::from));
    let names = values("rustc-link-lib").into_iter().map(|text| {
        let name = without_kind(&text);
        name.split(':').next().unwrap_or(&name).to_owned()
    });
    let file = |name: &str| {
        let spellings =
            [format!("lib{name}.so"), format!("lib{name}.a"), format!("lib{name}.dylib"), format!("{name}.lib")];
        folders.iter().flat_map(|dir| spellings.iter().map(|file| dir.join(file))).find(|path| path.is_file())
    };
    let outside = |path: &PathBuf| !own.iter().any(|dir| path.starts_with(dir));
    names.filter_map(|name| file(&name)).filter(outside).collect()
}

/// What pins each file now.
pub fn identify(files: &BTreeSet<PathBuf>) -> Vec<LibraryFact> {
    if files.is_empty() {
        return Vec::new();
    }
    let owners = owners(files);
    let versions = versions(&owners.values().cloned().collect());
    let fact = |path: &PathBuf| {
        let file = path.to_string_lossy().into_owned();
        let owned = owners.get(path).and_then(|name| Some((name.clone(), versions.get(name)?.clone())));
        match owned {
            Some((package, version)) => LibraryFact { file, owner: Some(package), version },
            None => LibraryFact { file, owner: None, version: content(path) },
        }
    };
    files.iter().map(fact).collect()
}

fn content(path: &Path) -> String {
    match fs::read(path) {
        Ok(bytes) => Digest::from_sha256(&Sha256::digest(bytes)).short().to_owned(),
        Err(_) => "missing".to_owned(),
    }
}

/// Distribution packages by file, for files that one owns.
fn owners(files: &BTreeSet<PathBuf>) -> BTreeMap<PathBuf, String> {
    // On merged-usr systems the database knows a file by either of its two names.
    let mut asked: BTreeMap<String, &PathBuf> = BTreeMap::new();
    for path in files {
        let text = path.to_string_lossy().into_owned();
        if let Some(short) = text.strip_prefix("/usr").filter(|rest| rest.starts_with("/lib")) {
            asked.insert(short.to_owned(), path);
        }
        asked.insert(text, path);
    }
    let text = query("dpkg-query", std::iter::once("--search".to_owned()).chain(asked.keys().cloned()));
    let lines = text.lines().filter_map(|line| line.rsplit_once(": "));
    lines
        .filter_map(|(owner, file)| Some(((*asked.get(file)?).clone(), owner.split(", ").next()?.to_owned())))
        .collect()
}

fn versions(packages: &BTreeSet<String>) -> BTreeMap<String, String> {
    if packages.is_empty() {
        return BTreeMap::new();
    }
    let format =
        ["--show".to_owned(), "--showformat=${Package}:${Architecture} ${binary:Package} ${Version}\\n".to_owned()];
    let text = query("dpkg-query", format.into_iter().chain(packages.iter().cloned()));
    let mut versions = BTreeMap::new();
    for line in text.lines() {
        if let [full, short, version] = line.split(' ').collect::<Vec<_>>()[..] {
            versions.insert(full.to_owned(), version.to_owned());
            versions.insert(short.to_owned(), version.to_owned());
        }
    }
    versions
}

/// Output of a program that may not be there, and that fails when only some of its arguments are known to it.
fn query(program: &str, arguments: impl Iterator<Item = String>) -> String {
    let output =
        Command::new(program).args(arguments).env("LC_ALL", "C").stdin(Stdio::null()).stderr(Stdio::null()).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_found_in_the_search_path_and_its_content_pins_it() {
        let dir = tempfile::tempdir().unwrap();
        let library = dir.path().join("libodd.a");
        fs::write(&library, "one").unwrap();
        let output =
            format!("cargo:rustc-link-search=native={}\ncargo::rustc-link-lib=static=odd\n", dir.path().display());
        let files = linked_files(&output, &[]);
        assert_eq!(files, BTreeSet::from([library.clone()]));
        assert_eq!(linked_files(&output, &[dir.path().to_path_buf()]), BTreeSet::new());
        let before = identify(&files);
        fs::write(&library, "two").unwrap();
        assert_ne!(identify(&files), before);
    }
}
