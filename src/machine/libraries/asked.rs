//! What a build script, compiler flags or an attribute asks the linker for, in every spelling that Cargo and rustc accept.
//!
//! Too much is harmless: a file that is named and not linked costs a rebuild when it changes. So every word of a linker argument
//! that is the name of a file counts, and every spelling of a library's name is looked for.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::scripts;

const DEFAULT_FOLDERS: [&str; 9] = [
    "/usr/local/lib",
    "/usr/local/lib64",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/lib",
    "/opt/homebrew/lib",
    "/usr/local/opt/openssl/lib",
];
/// Of these, the ones whose libraries come before the distribution's.
const FIRST: usize = 2;
/// How far an attribute reaches at most.
const ATTRIBUTE: usize = 600;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub folders: Vec<PathBuf>,
    /// As in `-l`, and file names where `verbatim` was asked for.
    names: BTreeSet<String>,
    verbatim: BTreeSet<String>,
    /// Words that may be the names of files.
    words: BTreeSet<String>,
}

impl Asked {
    /// What a build script printed.
    pub fn of_script(output: &str) -> Self {
        let mut asked = Self::default();
        for line in output.lines().map(str::trim) {
            let Some(rest) = line.strip_prefix("cargo::").or_else(|| line.strip_prefix("cargo:")) else { continue };
            let Some((name, value)) = rest.split_once('=') else { continue };
            match name {
                "rustc-link-lib" => asked.library(value),
                "rustc-link-search" => asked.folder(value),
                "rustc-flags" => asked.flags(&value.split_whitespace().map(str::to_owned).collect::<Vec<_>>()),
                "rustc-cdylib-link-arg" => asked.link_args([value]),
                // For one binary, its name stands before the argument.
                "rustc-link-arg-bin" => asked.link_args(value.split_once('=').map(|(_, argument)| argument)),
                _ if name.starts_with("rustc-link-arg") => asked.link_args([value]),
                _ => {}
            }
        }
        asked
    }

    /// Flags of rustc, word by word.
    pub fn flags(&mut self, flags: &[String]) {
        let mut words = flags.iter().map(String::as_str);
        while let Some(word) = words.next() {
            let attached = |prefix: &str| word.strip_prefix(prefix).filter(|rest| !rest.is_empty());
            match word {
                "-l" => words.next().into_iter().for_each(|value| self.library(value)),
                "-L" => words.next().into_iter().for_each(|value| self.folder(value)),
                "-C" | "-Z" | "--codegen" => words.next().into_iter().for_each(|value| self.codegen(value)),
                _ => {
                    if let Some(value) = attached("-C").or_else(|| attached("-Z")).or_else(|| attached("--codegen=")) {
                        self.codegen(value);
                    } else if let Some(value) = attached("-l") {
                        self.library(value);
                    } else if let Some(value) = attached("-L") {
                        self.folder(value);
                    }
                }
            }
        }
    }

    fn codegen(&mut self, option: &str) {
        match option.split_once('=') {
            Some(("link-arg" | "pre-link-arg" | "post-link-arg", value)) => self.link_args([value]),
            Some(("link-args" | "pre-link-args" | "post-link-args", value)) => self.link_args(value.split_whitespace()),
            _ => {}
        }
    }

    /// `[KIND[:MODIFIERS]=]NAME[:RENAME]`.
    pub fn library(&mut self, text: &str) {
        let (kind, name) = text.split_once('=').unwrap_or(("", text));
        if kind.contains("+verbatim") {
            self.verbatim.insert(name.to_owned());
        }
        self.names.extend(name.split(':').filter(|name| !name.is_empty()).map(str::to_owned));
    }

    /// `[KIND=]PATH`.
    pub fn folder(&mut self, text: &str) {
        let kinds = ["dependency=", "crate=", "native=", "framework=", "all="];
        let path = kinds.iter().find_map(|kind| text.strip_prefix(kind)).unwrap_or(text);
        self.folders.push(PathBuf::from(path));
    }

    /// Arguments of the linker, or of the compiler that calls it.
    pub fn link_args<'a>(&mut self, arguments: impl IntoIterator<Item = &'a str>) {
        let parts = arguments.into_iter().flat_map(|argument| argument.split([',', ' ']));
        let mut pending = "";
        for part in parts.filter(|part| !part.is_empty()) {
            match (std::mem::take(&mut pending), part) {
                ("-l", name) => self.linker_library(name),
                ("-L", dir) => self.folder(dir),
                (_, "-l" | "-L") => pending = part,
                _ => {
                    if let Some(name) = part.strip_prefix("-l") {
                        self.linker_library(name);
                    } else if let Some(dir) = part.strip_prefix("-L") {
                        self.folder(dir);
                    } else {
                        self.word(part);
                    }
                }
            }
        }
        // Its value is the next argument, which comes on a line of its own.
        if !pending.is_empty() {
            self.word(pending);
        }
    }

    fn linker_library(&mut self, name: &str) {
        match name.strip_prefix(':') {
            Some(file) => self.verbatim.insert(file.to_owned()),
            None => self.names.insert(name.to_owned()),
        };
    }

    /// `script.ld`, `-Tscript.ld`, `--version-script=file`, `@arguments`.
    fn word(&mut self, word: &str) {
        let values =
            [Some(word), word.split_once('=').map(|(_, value)| value), word.strip_prefix("-T"), word.strip_prefix('@')];
        self.words.extend(values.into_iter().flatten().filter(|value| !value.is_empty()).map(str::to_owned));
        // A library or folder that is given as an argument of its own.
        if !word.starts_with('-') {
            self.names.insert(word.to_owned());
            if word.starts_with('/') {
                self.folders.push(PathBuf::from(word));
            }
        }
    }

    /// `#[link(name = "x")]` and its like in a source.
    pub fn attributes(&mut self, source: &str) {
        for (at, word) in source.match_indices("link") {
            let before = source[..at].chars().next_back();
            if before.is_some_and(|char| char.is_alphanumeric() || char == '_') {
                continue;
            }
            let rest = &source[at + word.len()..];
            if let Some(rest) = rest.strip_prefix("_args") {
                self.link_args(quoted(rest).unwrap_or_default().split_whitespace());
                continue;
            }
            let Some(inside) = rest.trim_start().strip_prefix('(') else { continue };
            let end = inside.find(')').unwrap_or(inside.len()).min(ATTRIBUTE);
            let inside = inside.get(..end).unwrap_or(inside);
            if let Some(name) =
                inside.split("name").nth(1).filter(|rest| rest.trim_start().starts_with('=')).and_then(quoted)
            {
                let kind = if inside.contains("+verbatim") { ":+verbatim=" } else { "=" };
                self.library(&format!("{kind}{name}"));
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.verbatim.is_empty() && self.words.is_empty()
    }

    /// The files that this comes to, outside of `own`. `more` are further folders to search, `bases` are what relative names
    /// may start from. Names under which another library would come first are among them, although nothing is there.
    pub fn files(&self, more: &[PathBuf], bases: &[PathBuf], own: &[PathBuf]) -> BTreeSet<PathBuf> {
        let outside = |path: &PathBuf| !own.iter().any(|dir| path.starts_with(dir));
        let explicit = self.folders.iter().chain(more).flat_map(|dir| {
            if dir.is_absolute() { vec![dir.clone()] } else { bases.iter().map(|base| base.join(dir)).collect() }
        });
        let explicit: Vec<PathBuf> = explicit.collect();
        // What a build script put there is its own, but not what that includes.
        let mut linker_scripts: Vec<PathBuf> =
            explicit.iter().filter(|dir| !outside(dir)).flat_map(|dir| scripts::in_folder(dir)).collect();
        let shadowing = explicit.len() + FIRST;
        let folders: Vec<PathBuf> =
            explicit.into_iter().chain(DEFAULT_FOLDERS.iter().map(PathBuf::from)).filter(|dir| outside(dir)).collect();
        let mut files = BTreeSet::new();
        let mut look = |spelling: &str| {
            let found = folders.iter().position(|dir| dir.join(spelling).is_file());
            files.extend(found.map(|at| folders[at].join(spelling)));
            found
        };
        let mut shadows = Vec::new();
        for name in &self.names {
            let spellings = [
                format!("lib{name}.so"),
                format!("lib{name}.a"),
                format!("lib{name}.dylib"),
                format!("lib{name}.tbd"),
                format!("{name}.lib"),
                format!("lib{name}.dll.a"),
            ];
            let first = spellings.iter().filter_map(|spelling| look(spelling)).min();
            if let Some(first) = first {
                shadows.extend(
                    folders[..first.min(shadowing)].iter().flat_map(|dir| spellings[..2].iter().map(|s| dir.join(s))),
                );
            }
        }
        for name in &self.verbatim {
            if let Some(first) = look(name) {
                shadows.extend(folders[..first.min(shadowing)].iter().map(|dir| dir.join(name)));
            }
        }
        files.extend(shadows);
        for word in &self.words {
            let places = bases.iter().chain(&folders).map(|dir| dir.join(word));
            let there: Vec<PathBuf> = places.filter(|path| path.is_file()).filter(outside).collect();
            linker_scripts.extend(there.iter().cloned());
            files.extend(there);
        }
        let places: Vec<&PathBuf> = bases.iter().chain(&folders).collect();
        files.extend(scripts::included(linker_scripts, &places).into_iter().filter(outside));
        files
    }
}

fn quoted(text: &str) -> Option<&str> {
    text.split('"').nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_understood() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str| {
            let path = dir.path().join(name);
            fs_err::write(&path, name).unwrap();
            path
        };
        let files = [
            "libplain.so",
            "libstatic.a",
            "libkind.a",
            "odd.bin",
            "libreal.a",
            "libflag.so",
            "libarg.so",
            "libattached.a",
            "x.ld",
            "direct.a",
            "libcolon.so.1",
        ];
        let files: BTreeSet<PathBuf> = files.iter().map(|name| put(name)).collect();
        let dir = dir.path().display().to_string();
        let output = format!(
            "cargo:rustc-link-search=native={dir}\ncargo::rustc-link-lib=plain\ncargo:rustc-link-lib=static=static\n\
             cargo::rustc-link-lib=static:+whole-archive,-bundle=kind\ncargo::rustc-link-lib=static:+verbatim=odd.bin\n\
             cargo:rustc-link-lib=dylib=name:real\ncargo:rustc-flags=-l flag -L {dir}\ncargo:rustc-link-arg-bins=-larg\n\
             cargo::rustc-link-arg=-Wl,--push-state,-lattached,-Tx.ld\ncargo::rustc-link-arg-bin=app={dir}/direct.a\n\
             cargo::rustc-link-arg-tests=-l:libcolon.so.1\n"
        );
        let found = Asked::of_script(&output).files(&[], &[], &[]);
        let there: BTreeSet<PathBuf> = found.into_iter().filter(|path| path.is_file()).collect();
        assert_eq!(there, files);
        assert_eq!(Asked::of_script(&output).files(&[], &[], &[PathBuf::from(&dir)]), BTreeSet::new());
    }

    #[test]
    fn attributes_and_flags_name_libraries() {
        let mut asked = Asked::default();
        asked.attributes("#[link(name = \"one\", kind = \"static\")] extern {}\n#[cfg_attr(x, link(kind = \"dylib\", name=\"two\"))]");
        asked.attributes("fn hardlink(name: &str) {} // link(x)");
        asked.flags(
            &["-lthree", "-C", "link-arg=-lfour", "-Clink-args=-lfive /x/six.a", "-L", "native=/x"].map(str::to_owned),
        );
        let names: Vec<&str> = asked.names.iter().map(String::as_str).collect();
        assert_eq!(names, ["/x/six.a", "five", "four", "one", "three", "two"]);
        assert_eq!(asked.folders[1], PathBuf::from("/x"));
    }

    #[test]
    fn what_a_linker_script_includes_is_among_them() {
        let dirs: Vec<tempfile::TempDir> = (0..4).map(|_| tempfile::tempdir().unwrap()).collect();
        let [base, searched, output, other]: [PathBuf; 4] =
            dirs.iter().map(|dir| dir.path().to_path_buf()).collect::<Vec<_>>().try_into().unwrap();
        let put = |dir: &PathBuf, name: &str, text: &str| fs_err::write(dir.join(name), text).unwrap();
        put(&base, "link.x", "/* all */ INCLUDE memory.x;\nSECTIONS {}");
        put(&searched, "memory.x", "INCLUDE \"deeper.x\"\nINCLUDE link.x\nINCLUDE none.x");
        put(&searched, "deeper.x", "");
        // One that a build script brought along, beside one that it did not.
        put(&output, "device.x", "INCLUDE own.x INCLUDE theirs.x");
        put(&output, "own.x", "");
        put(&base, "theirs.x", "");
        put(&other, "memory.x", "");
        let asked = Asked {
            folders: vec![searched.clone(), output.clone()],
            words: BTreeSet::from(["link.x".into()]),
            ..Asked::default()
        };
        let found = asked.files(&[], std::slice::from_ref(&base), std::slice::from_ref(&output));
        let there: Vec<PathBuf> = found.iter().filter(|path| path.is_file()).cloned().collect();
        let mut expected =
            [base.join("link.x"), base.join("theirs.x"), searched.join("deeper.x"), searched.join("memory.x")];
        expected.sort();
        assert_eq!(there, expected);
        // One that appears where it would come first.
        assert!(found.contains(&base.join("memory.x")), "{found:?}");
    }

    #[test]
    fn a_library_that_would_come_first_is_among_them() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs_err::write(second.path().join("libx.a"), "x").unwrap();
        let folders = [first.path().to_path_buf(), second.path().to_path_buf()];
        let mut asked = Asked::default();
        asked.library("static=x");
        let files = asked.files(&folders, &[], &[]);
        assert!(
            files.contains(&second.path().join("libx.a")) && files.contains(&first.path().join("libx.a")),
            "{files:?}"
        );
    }
}
