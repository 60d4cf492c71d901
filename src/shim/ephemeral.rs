//! Recognises the environments that build frontends make for one build and throw away: their paths differ in every build, and
//! Cargo compares the variables that name them as strings.
//!
//! One table says what each frontend calls them. A path that matches no line is somebody's own environment and left alone, as
//! is one without a `pyvenv.cfg`: it may be anything.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use fs_err as fs;

/// The variables that name an interpreter or its environment to Cargo's build scripts.
pub const INTERPRETERS: [&str; 2] = ["PYO3_PYTHON", "PYTHON_SYS_EXECUTABLE"];
pub const ENVIRONMENT: &str = "VIRTUAL_ENV";

/// How a frontend names the folder of such an environment.
struct Naming {
    /// The name of the folder that holds it, if that is always the same.
    parent: Option<&'static str>,
    prefix: &'static str,
}

const NAMINGS: [Naming; 3] = [
    // uv: in its cache folder, or with `--no-cache` in a temporary one.
    Naming { parent: Some("builds-v0"), prefix: ".tmp" },
    // build, and with it everything that builds through it.
    Naming { parent: None, prefix: "build-env-" },
    // pip, where it makes an environment at all.
    Naming { parent: None, prefix: "pip-build-env-" },
];

/// What the variables say.
#[derive(Debug, PartialEq, Eq)]
pub enum Environment {
    Nothing,
    /// The folder, as it is spelled.
    One(PathBuf),
    /// They name more than one, so it is not clear which of them builds.
    Several,
}

/// Looks at the values of the variables.
pub fn find(variable: impl Fn(&str) -> Option<OsString>) -> Environment {
    let interpreters = INTERPRETERS.iter().filter_map(|name| of_interpreter(Path::new(&variable(name)?)));
    let environment = variable(ENVIRONMENT).and_then(|value| of_environment(Path::new(&value)));
    let mut roots: Vec<PathBuf> = interpreters.chain(environment).collect();
    roots.dedup();
    match roots.len() {
        0 => Environment::Nothing,
        1 => roots.pop().map_or(Environment::Nothing, Environment::One),
        _ => Environment::Several,
    }
}

/// The environment of `<root>/bin/python`.
fn of_interpreter(path: &Path) -> Option<PathBuf> {
    path.parent().and_then(Path::parent).and_then(of_environment)
}

fn of_environment(root: &Path) -> Option<PathBuf> {
    let is_one = root.is_absolute() && is_named_like_one(root) && fs::metadata(root.join("pyvenv.cfg")).is_ok();
    is_one.then(|| root.components().collect())
}

fn is_named_like_one(root: &Path) -> bool {
    let text = |part: Option<&OsStr>| part.and_then(OsStr::to_str).map(str::to_owned);
    let Some(name) = text(root.file_name()) else { return false };
    let parent = text(root.parent().and_then(Path::file_name));
    NAMINGS.iter().any(|naming| {
        name.strip_prefix(naming.prefix).is_some_and(|rest| !rest.is_empty())
            && naming.parent.is_none_or(|wanted| parent.as_deref() == Some(wanted))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_frontends_environments_are_known_by_their_names() {
        for path in [
            // As seen from uv 0.13.9, with its cache and without, from build 1.6.1, and from pip's sources.
            "/home/u/.cache/uv/builds-v0/.tmp8sBzGE",
            "/tmp/.tmpA1b2C3/builds-v0/.tmpD4e5F6",
            "/tmp/build-env-gspynod_",
            "/var/folders/x/T/pip-build-env-abc123",
        ] {
            assert!(is_named_like_one(Path::new(path)), "{path}");
        }
        for path in ["/w/.venv", "/w/builds-v0/env", "/w/.tmpabc", "/w/.nox/build-env", "/tmp/build-env-", "/"] {
            assert!(!is_named_like_one(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn only_a_virtual_environment_is_one_and_two_are_none() {
        let dir = tempfile::tempdir().unwrap();
        let root = |name: &str| dir.path().join("builds-v0").join(name);
        fs::create_dir_all(root(".tmpA/bin")).unwrap();
        let python = root(".tmpA/bin/python").into_os_string();
        let one = |name: &str| (name == "PYO3_PYTHON").then(|| python.clone());
        assert_eq!(find(one), Environment::Nothing);
        fs::write(root(".tmpA/pyvenv.cfg"), "").unwrap();
        assert_eq!(find(one), Environment::One(root(".tmpA")));
        fs::create_dir_all(root(".tmpB")).unwrap();
        fs::write(root(".tmpB/pyvenv.cfg"), "").unwrap();
        let other = root(".tmpB").into_os_string();
        assert_eq!(
            find(|name| one(name).or_else(|| (name == "VIRTUAL_ENV").then(|| other.clone()))),
            Environment::Several
        );
    }
}
