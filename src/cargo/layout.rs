//! Both target layouts: which unit, if any, a path below a target or build folder belongs to.
//!
//! A pure reading of paths. What it does not recognise is `Loose` and kept: a file that a build script put somewhere is part of
//! the machine that is to look as if it had never been wiped.

use std::collections::BTreeSet;

use crate::manifest::Layout;

/// What Rekindle itself keeps in a target folder, and what it was bringing when it was killed, is called so.
const OWN: &str = ".rekindle";

/// A unit's place on disk.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitPlace {
    pub layout: Layout,
    pub profile: String,
    pub package: String,
    pub id: String,
}

/// What a path is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Belongs {
    /// Part of a unit, by its place.
    Unit(UnitPlace),
    /// Part of the unit with this id in this profile; the package is not in the path.
    UnitId {
        profile: String,
        id: String,
    },
    /// An output that carries no unit id: `deps/libapp.so`.
    Unhashed {
        profile: String,
        target: String,
    },
    /// Where finished artifacts are linked to; decided by what it is a link of.
    Uplift,
    Incremental,
    Doc,
    Loose,
    /// Remade by Cargo whenever it is missed, or of no use to a later run.
    Disposable,
}

impl Belongs {
    /// The unit, where the path says which.
    pub fn place(&self) -> Option<&UnitPlace> {
        if let Self::Unit(place) = self { Some(place) } else { None }
    }
}

/// The profile folders below a root, found by what is in them.
#[derive(Debug, Default)]
pub struct Profiles(BTreeSet<String>);

impl Profiles {
    /// Finds profile folders from the paths (relative, `/` between parts) below a root.
    pub fn find<'a>(paths: impl Iterator<Item = &'a str>) -> Self {
        let mut found = BTreeSet::new();
        for path in paths {
            let parts: Vec<&str> = path.split('/').collect();
            if parts[0].starts_with(OWN) {
                continue;
            }
            if let Some(at) = parts.iter().position(|part| *part == ".fingerprint") {
                found.insert(parts[..at].join("/"));
            }
            for at in 0..parts.len().saturating_sub(3) {
                if parts[at] == "build" && is_id(parts[at + 2]) && parts[at + 3] == "fingerprint" {
                    found.insert(parts[..at].join("/"));
                    break;
                }
            }
        }
        Self(found)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the profiles that live in the build folder which belongs to this target folder.
    pub fn extend(&mut self, other: &Self) {
        self.0.extend(other.0.iter().cloned());
    }

    pub fn classify(&self, path: &str) -> Belongs {
        let profile = self.0.iter().rev().find(|profile| below(path, profile).is_some());
        match profile {
            Some(profile) => in_profile(profile, below(path, profile).unwrap_or_default()),
            None => in_root(path),
        }
    }
}

fn below<'a>(path: &'a str, dir: &str) -> Option<&'a str> {
    path.strip_prefix(dir)?.strip_prefix('/')
}

fn in_profile(profile: &str, rest: &str) -> Belongs {
    let parts: Vec<&str> = rest.split('/').collect();
    let own = str::to_owned;
    let legacy = |name: &str| {
        let (package, id) = split_id(name)?;
        Some(UnitPlace { layout: Layout::Legacy, profile: own(profile), package: own(package), id: own(id) })
    };
    match parts.as_slice() {
        ["build", package, id, ..] if is_id(id) => Belongs::Unit(UnitPlace {
            layout: Layout::PerUnit,
            profile: own(profile),
            package: own(package),
            id: own(id),
        }),
        ["build", unit, file] if has_extension(file, "d") && legacy(unit).is_some() => Belongs::Disposable,
        [".fingerprint" | "build", unit, ..] => legacy(unit).map_or(Belongs::Loose, Belongs::Unit),
        ["deps" | "examples", file] if has_extension(file, "d") => Belongs::Disposable,
        ["deps" | "examples", file, ..] => match id_of_file(file) {
            Some(id) => Belongs::UnitId { profile: own(profile), id: own(id) },
            None if parts[0] == "examples" => Belongs::Uplift,
            None => Belongs::Unhashed { profile: own(profile), target: target_of_file(file) },
        },
        ["incremental", ..] => Belongs::Incremental,
        [file] if file.starts_with(".cargo-") => Belongs::Disposable,
        [_] => Belongs::Uplift,
        _ => Belongs::Loose,
    }
}

fn in_root(path: &str) -> Belongs {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        [own, ..] if own.starts_with(OWN) => Belongs::Disposable,
        ["tmp" | "package" | "cargo-timings" | "flycheck0", ..] => Belongs::Disposable,
        ["doc", ..] | [_, "doc", ..] => Belongs::Doc,
        [_, ".cargo-lock" | ".cargo-build-lock" | ".cargo-artifact-lock"] => Belongs::Disposable,
        // With a build folder of its own, the target folder holds nothing but what is linked there.
        [_, _] | [_, _, _] => Belongs::Uplift,
        _ => Belongs::Loose,
    }
}

/// Splits `serde-0123456789abcdef` into package and unit id.
fn split_id(name: &str) -> Option<(&str, &str)> {
    let (package, id) = name.rsplit_once('-')?;
    (is_id(id) && !package.is_empty()).then_some((package, id))
}

fn is_id(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// `libserde-<id>.rlib`, `app-<id>`, `app-<id>.app.0a1b-cgu.0.rcgu.dwo`: the id ends the first dot-separated part.
fn id_of_file(file: &str) -> Option<&str> {
    let stem = file.split('.').next().unwrap_or(file);
    split_id(stem).map(|(_, id)| id)
}

/// The crate that an unhashed output is of, as crates spell it.
fn target_of_file(file: &str) -> String {
    let stem = file.split('.').next().unwrap_or(file);
    let library = [".so", ".dylib", ".a", ".rlib"].iter().any(|end| file.ends_with(end));
    let name = if library { stem.strip_prefix("lib").unwrap_or(stem) } else { stem };
    name.replace('-', "_")
}

fn has_extension(file: &str, extension: &str) -> bool {
    file.rsplit_once('.').is_some_and(|(_, last)| last == extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef";

    fn classify(path: &str) -> Belongs {
        let paths = [
            "debug/.fingerprint/a-0123456789abcdef/lib-a",
            "x86_64-unknown-linux-musl/release/build/b/0123456789abcdef/fingerprint/lib-b",
            "tests/trybuild/debug/.fingerprint/a-0123456789abcdef/lib-a",
        ];
        Profiles::find(paths.into_iter()).classify(path)
    }

    #[test]
    fn both_layouts_are_told_apart_file_by_file() {
        let unit = |layout, profile: &str, package: &str| {
            Belongs::Unit(UnitPlace { layout, profile: profile.into(), package: package.into(), id: ID.into() })
        };
        let by_id = Belongs::UnitId { profile: "debug".into(), id: ID.into() };
        assert_eq!(classify("debug/.fingerprint/a-b-0123456789abcdef/lib-a"), unit(Layout::Legacy, "debug", "a-b"));
        assert_eq!(classify("debug/build/a-0123456789abcdef/out/x/y"), unit(Layout::Legacy, "debug", "a"));
        assert_eq!(classify("debug/deps/liba-0123456789abcdef.rlib"), by_id);
        assert_eq!(classify("debug/deps/app-0123456789abcdef"), by_id);
        assert_eq!(classify("debug/examples/e-0123456789abcdef.dwp"), by_id);
        assert_eq!(
            classify("x86_64-unknown-linux-musl/release/build/b/0123456789abcdef/out/libb.rlib"),
            unit(Layout::PerUnit, "x86_64-unknown-linux-musl/release", "b")
        );
        assert_eq!(
            classify("tests/trybuild/debug/.fingerprint/a-0123456789abcdef/lib-a"),
            unit(Layout::Legacy, "tests/trybuild/debug", "a")
        );
    }

    #[test]
    fn what_carries_no_unit_id_is_sorted_by_place() {
        let unhashed = Belongs::Unhashed { profile: "debug".into(), target: "my_lib".into() };
        assert_eq!(classify("debug/deps/libmy_lib.so"), unhashed);
        assert_eq!(classify("debug/app"), Belongs::Uplift);
        assert_eq!(classify("debug/examples/demo"), Belongs::Uplift);
        assert_eq!(classify("debug/.cargo-lock"), Belongs::Disposable);
        assert_eq!(classify("debug/deps/a-0123456789abcdef.d"), Belongs::Disposable);
        assert_eq!(classify("debug/incremental/a-1/s-2/x.o"), Belongs::Incremental);
        assert_eq!(classify("debug/plugins/x.so"), Belongs::Loose);
        assert_eq!(classify("maturin/pyo3-config-1.txt"), Belongs::Uplift);
        assert_eq!(classify("doc/a/index.html"), Belongs::Doc);
        assert_eq!(classify("CACHEDIR.TAG"), Belongs::Loose);
        assert_eq!(classify("package/a-0.1.0.crate"), Belongs::Disposable);
    }
}
