//! What a call's arguments say about where it builds, as far as the shim has to know it.
//!
//! Wrong would be a call that builds and is taken for one that does not, or one that builds elsewhere and is taken for one
//! that builds into a restored folder. So what is not understood builds, and builds elsewhere.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Commands that run no compiler and no build script, and that no alias of a project can redefine.
const HARMLESS: [&str; 13] = [
    "--version",
    "-V",
    "--list",
    "--help",
    "-h",
    "fetch",
    "generate-lockfile",
    "help",
    "locate-project",
    "metadata",
    "pkgid",
    "tree",
    "version",
];
const TARGETS: [&str; 3] = ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR", "CARGO_BUILD_BUILD_DIR"];

#[derive(Debug)]
pub(super) struct Line {
    pub(super) may_build: bool,
    manifest: Option<PathBuf>,
    target: Option<PathBuf>,
    /// Something that could change any of it.
    is_unclear: bool,
}

impl Line {
    pub(super) fn read(arguments: &[OsString]) -> Self {
        let own: Vec<&str> =
            arguments.iter().map(|word| word.to_str().unwrap_or("")).take_while(|word| *word != "--").collect();
        let value = |name: &str| {
            let at = own
                .iter()
                .position(|word| *word == name || word.strip_prefix(name).is_some_and(|rest| rest.starts_with('=')))?;
            let value = own[at].split_once('=').map(|(_, value)| value).or_else(|| own.get(at + 1).copied());
            Some(PathBuf::from(value.unwrap_or_default()))
        };
        let toolchain = usize::from(own.first().is_some_and(|word| word.starts_with('+')));
        let starts = |word: &&str, start: &str| word.starts_with(start);
        Self {
            may_build: own.get(toolchain).is_none_or(|word| !HARMLESS.contains(word)),
            manifest: value("--manifest-path"),
            target: value("--target-dir"),
            is_unclear: own.iter().any(|word| starts(word, "--config") || starts(word, "-C") || starts(word, "-Z"))
                || arguments.iter().any(|word| word.to_str().is_none()),
        }
    }

    /// The folders whose project this builds.
    pub(super) fn places(&self) -> Vec<PathBuf> {
        let current = current_dir();
        let manifest = self.manifest.as_ref().and_then(|path| Some(current.join(path).parent()?.to_path_buf()));
        manifest.into_iter().chain([current]).collect()
    }

    /// Whether nothing that the call brings along decides about the target folder.
    pub(super) fn says_no_target(&self) -> bool {
        !self.is_unclear && self.target.is_none() && TARGETS.iter().all(|name| env::var_os(name).is_none())
    }

    /// Whether everything that this builds goes into one of these target folders of these workspaces.
    pub(super) fn builds_into(&self, roots: &[PathBuf], workspaces: &[PathBuf]) -> bool {
        let current = current_dir();
        let given = self.target.clone().map(|path| current.join(path));
        let by_env = TARGETS.iter().filter_map(env::var_os).map(|path| current.join(path));
        let is_root = |path: PathBuf| roots.iter().any(|root| same(root, &path));
        let place = self.places().into_iter().next().unwrap_or_default();
        let is_inside = workspaces.iter().any(|workspace| {
            place.starts_with(workspace) || fs_err::canonicalize(&place).is_ok_and(|place| place.starts_with(workspace))
        });
        !self.is_unclear && is_inside && given.into_iter().chain(by_env).all(is_root)
    }
}

fn same(a: &Path, b: &Path) -> bool {
    a == b || fs_err::canonicalize(a).is_ok_and(|a| fs_err::canonicalize(b).is_ok_and(|b| a == b))
}

/// The folder that a call works in.
pub(super) fn current_dir() -> PathBuf {
    env::current_dir().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        Line::read(&text.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn only_what_surely_builds_nothing_is_taken_for_it() {
        for text in ["metadata --format-version 1", "+nightly tree", "--version", "-V", "tree"] {
            assert!(!line(text).may_build, "{text}");
        }
        for text in
            ["build", "+nightly test", "--color always metadata", "b", "", "rustc --lib", "nextest run", "doc", "fmt"]
        {
            assert!(line(text).may_build, "{text}");
        }
    }

    #[test]
    fn a_build_into_another_folder_is_elsewhere() {
        let here = current_dir();
        let into = |text: &str| line(text).builds_into(&[here.join("target")], std::slice::from_ref(&here));
        assert!(into("build") && into("build --target-dir target") && into("test -- --target-dir=x"));
        assert!(!into("build --target-dir x") && !into("build --target-dir=x") && !into("build --config a=1"));
        assert!(!into("build --manifest-path /elsewhere/Cargo.toml"));
    }
}
