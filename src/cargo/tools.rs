//! The programs that a build runs beside the Rust toolchain, and what pins them: the first line that each says of itself, and of
//! one that is a script all that it holds, since it may pass that question on.
//!
//! Asked with a time limit, and without what changes from call to call: a program that hangs must not hang a job, and one that
//! prints the time must not make every run a cold one. How it can be wrong: a program that only a build script knows of, that
//! says the same after it was replaced, or that reads a file beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use fs_err as fs;
use rayon::prelude::*;
use toml::Value;

use super::config::{self, ConfigFile};
use crate::digest::Digest;
use crate::machine::ask;
use crate::machine::libraries::{self, Asked};

/// How long one program may take to say what it is.
const VERSION_LIMIT: Duration = Duration::from_secs(10);
/// Programs that run the one that is named after them.
const WRAPPERS: [&str; 8] = ["ccache", "sccache", "distcc", "icecc", "cachepot", "buildcache", "env", "nice"];
/// Variables of the `cc` crate and its like that name a program, alone, with a target behind or `HOST_`/`TARGET_` before.
const NAMED: [&str; 5] = ["CC", "CXX", "AR", "RANLIB", "LD"];
const ARCHITECTURES: [&str; 15] = [
    "x86_64",
    "i586",
    "i686",
    "aarch64",
    "arm",
    "thumb",
    "riscv",
    "powerpc",
    "s390x",
    "mips",
    "loongarch",
    "sparc",
    "wasm",
    "m68k",
    "hexagon",
];

/// Every program that somebody names, or that is taken where nobody does: name of the setting → what the program says.
pub fn identities(configs: &[ConfigFile], environment: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut commands: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in ["c++", "ar", "ld"] {
        commands.insert(name.to_owned(), vec![name.to_owned()]);
    }
    for (name, value) in environment.iter().filter(|(name, value)| names_a_program(name) && !value.is_empty()) {
        commands.insert(name.clone(), words(value));
    }
    for (file, triple, table) in targets(configs) {
        for (name, program) in table.iter().filter(|(name, _)| *name == "linker" || *name == "ar") {
            let Some(program) = program.as_str() else { continue };
            commands.insert(format!("target.{triple}.{name}"), vec![configured(file, program)]);
        }
    }
    for flag in flags(configs, environment).iter().flatten() {
        let value =
            |names: &[&str]| names.iter().find_map(|name| flag.split_once(name)).map(|(_, value)| value.to_owned());
        if let Some(linker) = value(&["-fuse-ld="]) {
            let programs = [format!("ld.{linker}"), linker];
            commands.extend(programs.map(|program| (format!("-fuse-ld={program}"), vec![program])));
        }
        if let Some(linker) = flag.strip_prefix("-C").unwrap_or(flag).strip_prefix("linker=") {
            commands.insert("-Clinker".to_owned(), vec![linker.to_owned()]);
        }
    }
    let said = commands.into_par_iter().map(|(name, words)| (name, identity(&words)));
    let mut said: BTreeMap<String, String> = said.filter(|(_, text)| !text.is_empty()).collect();
    said.extend(flagged_libraries(configs, environment));
    said.extend(compiler_wrappers(configs, environment));
    said
}

/// A path in a configuration starts from the folder that it is for; a name alone is looked for in PATH.
fn configured(file: &ConfigFile, program: &str) -> String {
    if program.contains('/') { file.base.join(program).display().to_string() } else { program.to_owned() }
}

/// Scripts that stand before the Rust compiler. Of other wrappers it is taken that they compile what they are given.
fn compiler_wrappers(configs: &[ConfigFile], environment: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let of_setting = |setting: &str| {
        let variable = setting.to_uppercase().replace('-', "_");
        let variables = [variable.clone(), format!("CARGO_BUILD_{variable}")];
        let set = variables.iter().find_map(|name| environment.get(name).cloned());
        let program = set.or_else(|| {
            let (file, value) = config::find(configs, &["build", setting])?;
            Some(configured(file, value.as_str()?))
        })?;
        Some((setting.to_owned(), script(&program)?))
    };
    ["rustc-wrapper", "rustc-workspace-wrapper"].into_iter().filter_map(of_setting).collect()
}

/// Libraries that flags name reach every unit, and so do those that a configuration puts in the place of a build script.
fn flagged_libraries(configs: &[ConfigFile], environment: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut asked = Asked::default();
    let mut bases: BTreeSet<_> = configs.iter().filter(|file| file.applies).map(|file| file.base.clone()).collect();
    bases.extend(std::env::current_dir());
    for flags in flags(configs, environment) {
        asked.flags(&flags);
    }
    let overrides = targets(configs).into_iter().flat_map(|(_, _, table)| table.values().filter_map(Value::as_table));
    for table in overrides {
        for name in list(table.get("rustc-link-lib")) {
            asked.library(&name);
        }
        for dir in list(table.get("rustc-link-search")) {
            asked.folder(&dir);
        }
        asked.flags(&list(table.get("rustc-flags")));
        asked.link_args(list(table.get("rustc-link-arg")).iter().map(String::as_str));
    }
    let files = asked.files(&[], &bases.into_iter().collect::<Vec<_>>(), &[]);
    let facts = libraries::identify(&files, None).into_iter();
    let text = |fact: &crate::machine::libraries::fact::LibraryFact| {
        format!("{} {}", fact.owner.as_deref().unwrap_or_default(), fact.version)
    };
    facts.map(|fact| (format!("library {}", fact.file), text(&fact).trim().to_owned())).collect()
}

/// `[target.<triple>]` tables of the files that apply.
fn targets(configs: &[ConfigFile]) -> Vec<(&ConfigFile, &String, &toml::Table)> {
    let files = configs.iter().filter(|file| file.applies).filter_map(|file| Some((file, file.table.as_ref()?)));
    let tables = files.flat_map(|(file, table)| {
        let targets = table.get("target").and_then(Value::as_table).into_iter().flatten();
        let targets = targets.filter_map(|(triple, value)| Some((triple, value.as_table()?)));
        targets.map(move |(triple, table)| (file, triple, table))
    });
    tables.collect()
}

/// Every list of compiler flags that may reach a unit, word by word.
fn flags(configs: &[ConfigFile], environment: &BTreeMap<String, String>) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for (name, value) in environment {
        if name == "CARGO_ENCODED_RUSTFLAGS" {
            all.push(value.split('\u{1f}').map(str::to_owned).collect());
        } else if name == "RUSTFLAGS" || name.starts_with("CARGO_") && name.ends_with("_RUSTFLAGS") {
            all.push(value.split_whitespace().map(str::to_owned).collect());
        }
    }
    let sections = configs.iter().filter(|file| file.applies).filter_map(|file| file.table.as_ref());
    all.extend(
        sections.flat_map(|table| ["build", "host"].map(|name| list(table.get(name).and_then(|t| t.get("rustflags"))))),
    );
    all.extend(targets(configs).into_iter().map(|(_, _, table)| list(table.get("rustflags"))));
    all.retain(|flags: &Vec<String>| !flags.is_empty());
    all
}

/// A list, or a text that is one.
fn list(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(text)) => text.split_whitespace().map(str::to_owned).collect(),
        Some(Value::Array(values)) => values.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

fn names_a_program(name: &str) -> bool {
    let is_target = |text: &str| ARCHITECTURES.iter().any(|start| text.starts_with(start));
    if name.starts_with("CARGO_TARGET_") && (name.ends_with("_LINKER") || name.ends_with("_AR")) {
        return true;
    }
    let bare = name.strip_prefix("HOST_").or_else(|| name.strip_prefix("TARGET_")).unwrap_or(name);
    NAMED.contains(&bare) || bare.split_once('_').is_some_and(|(tool, rest)| NAMED.contains(&tool) && is_target(rest))
}

/// A command as variables hold it: the path of a program, or words.
pub fn words(command: &str) -> Vec<String> {
    if Path::new(command).is_file() {
        return vec![command.to_owned()];
    }
    command.split_whitespace().map(str::to_owned).collect()
}

/// What pins a program that is a script: its content. Nothing for any other.
fn script(program: &str) -> Option<String> {
    const START: &[u8] = b"#!";
    let mut file = fs::File::open(which::which(program).ok()?).ok()?;
    let mut bytes = vec![0; START.len()];
    file.read_exact(&mut bytes).ok().filter(|()| bytes == START)?;
    file.read_to_end(&mut bytes).ok()?;
    Some(format!("script {}", Digest::of(&bytes).short()))
}

/// The first line that a command says of itself, its wrappers left out, and what pins it if it is a script; nothing if there is
/// no such program.
pub fn identity(words: &[String]) -> String {
    let is_wrapper = |word: &String| {
        let name = Path::new(word).file_stem().and_then(OsStr::to_str).unwrap_or(word);
        WRAPPERS.contains(&name) || word.contains('=') && !word.starts_with('-')
    };
    // A wrapper alone is asked itself.
    let start = words.iter().position(|word| !is_wrapper(word)).unwrap_or(0);
    let Some((program, arguments)) = words.get(start..).and_then(<[String]>::split_first) else { return String::new() };
    // Flags choose what a driver is; a file or an output name would make it work.
    let flags = arguments.iter().filter(|word| word.starts_with('-') && *word != "-c" && *word != "-o");
    let mut command = ask::command(program);
    command.args(flags).arg("--version");
    let said = ask::said(command, VERSION_LIMIT).unwrap_or_default();
    let said = stable(said.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default());
    let parts = [(!said.is_empty()).then_some(said), script(program)];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// A line without what a clock puts into it.
fn stable(line: &str) -> String {
    let is_clock = |word: &str| {
        let parts: Vec<&str> = word.trim_matches(|char: char| !char.is_ascii_digit()).split(':').collect();
        parts.len() > 1
            && parts.iter().all(|part| !part.is_empty() && part.len() <= 2 && part.bytes().all(|b| b.is_ascii_digit()))
    };
    let words: Vec<&str> = line.split_whitespace().collect();
    let has_clock = words.iter().any(|word| is_clock(word) || word.contains('T') && word.split('T').any(is_clock));
    let of_calendar = |word: &str| {
        let word = word.trim_matches(|char: char| !char.is_ascii_alphanumeric());
        word.bytes().all(|byte| byte.is_ascii_digit())
            || word.contains(':')
            || word.split(['-', '/']).count() == 3
            || [
                "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul",
                "Aug", "Sep", "Oct", "Nov", "Dec", "UTC", "GMT", "CET", "CEST", "AM", "PM",
            ]
            .contains(&word)
    };
    // Seconds since 1970 or a process id in brackets are nobody's version.
    let is_stamp = |word: &str| {
        word.bytes().filter(u8::is_ascii_digit).count() >= 10 && word.bytes().all(|b| b.is_ascii_digit() || b == b'.')
    };
    let kept = words.into_iter().filter(|word| !(is_stamp(word) || has_clock && of_calendar(word)));
    kept.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_in_what_a_program_says_does_not_count() {
        assert_eq!(stable("cc (Debian 12.2.0-14+deb12u1) 12.2.0"), "cc (Debian 12.2.0-14+deb12u1) 12.2.0");
        assert_eq!(stable("gcc (GCC) 14.0.0 20240101 (experimental)"), "gcc (GCC) 14.0.0 20240101 (experimental)");
        assert_eq!(stable("cc 1.0 at Thu Nov 26 19:11:54 UTC 2026"), "cc 1.0 at");
        assert_eq!(stable("cc 1.0 [2026-11-26 19:11:54]"), "cc 1.0");
        assert_eq!(stable("cc 1.0 1795721495.57"), "cc 1.0");
    }

    #[test]
    fn programs_are_named_by_these_variables() {
        for name in ["CC", "CXX_aarch64_unknown_linux_gnu", "TARGET_CC", "HOST_AR", "AR_x86_64-unknown-linux-musl"] {
            assert!(names_a_program(name), "{name}");
        }
        assert!(names_a_program("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER"));
        for name in ["CC_TEST_REPORTER_ID", "LD_LIBRARY_PATH", "CCACHE_DIR", "ARCH", "CC_ENABLE_DEBUG_OUTPUT"] {
            assert!(!names_a_program(name), "{name}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_wrapper_is_not_the_compiler() {
        let of = |text: &str| identity(&words(text));
        assert!(!of("cc").is_empty());
        assert_eq!(of("ccache cc"), of("cc"));
        assert_eq!(of("env CCACHE_DIR=/x cc -m64"), of("cc"));
        assert_eq!(of("no-such-program-here"), "");
    }

    #[cfg(unix)]
    #[test]
    fn a_script_is_what_it_holds() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("my-cc");
        let of = |flag: &str| {
            fs::write(&path, format!("#!/bin/sh\nexec cc \"$@\" {flag}\n")).unwrap();
            fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            identity(&[path.display().to_string()])
        };
        let said = of("-O1");
        assert!(said.starts_with(&identity(&words("cc"))), "{said}");
        assert_ne!(said, of("-O2"));
        assert_eq!(said, of("-O1"));
    }
}
