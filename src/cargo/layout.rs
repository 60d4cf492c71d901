//! Both target layouts: which unit, if any, a path below a target or build folder belongs to.
//!
//! Pure. What it does not recognise is `Loose` and kept: a file that a build script put somewhere is part of
//! the machine that is to look as if it had never been wiped. A name that only looks like a unit's is not a unit: each has a folder
//! for its fingerprint, and whatever lies in a build script's `OUT_DIR` is that script's, be it a target folder of its own.

use std::collections::BTreeSet;

use crate::unit::{Layout, UnitPlace, is_id};

/// What Rekindle itself keeps in a target folder, and what it was bringing when it was killed, is called so.
const OWN: &str = ".rekindle";

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
        file: String,
    },
    /// Where finished artifacts are linked to; decided by what it is a link of.
    Uplift,
    Incremental,
    Doc,
    /// `CARGO_TARGET_TMPDIR` itself. Cargo makes it only for tests that it compiles, so it has to be there for those that are
    /// fresh; what is in it is litter of tests, which they have to do without in a fresh clone, too.
    TestFolder,
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
pub struct Profiles {
    profiles: BTreeSet<String>,
    /// Folders of units that are laid out a unit a folder, and the names of the others' folders, each with its profile.
    units: BTreeSet<(String, String)>,
}

impl Profiles {
    /// Finds profile folders from the paths (relative, `/` between parts) below a root.
    pub fn find<'a>(paths: impl Iterator<Item = &'a str>) -> Self {
        let mut found: BTreeSet<(usize, String, String)> = BTreeSet::new();
        for path in paths {
            let parts: Vec<&str> = path.split('/').collect();
            if parts[0].starts_with(OWN) {
                continue;
            }
            for (at, part) in parts.iter().enumerate() {
                let rest = &parts[at + 1..];
                let unit = match (*part, rest) {
                    (".fingerprint", [unit, ..]) if split_id(unit).is_some() => (*unit).to_owned(),
                    (".fingerprint", []) => String::new(),
                    ("build", [package, id, "fingerprint", ..]) if is_id(id) => format!("{package}/{id}"),
                    _ => continue,
                };
                found.insert((at, parts[..at].join("/"), unit));
            }
        }
        let mut known = Self::default();
        // What lies deeper can lie in a unit of what lies less deep.
        for (_, profile, unit) in found {
            if !known.is_in_a_unit(&profile) {
                known.units.insert((profile.clone(), unit));
                known.profiles.insert(profile);
            }
        }
        known
    }

    pub fn is_empty(&self) -> bool {
        self.profiles.is_empty()
    }

    /// Adds the profiles that live in the build folder which belongs to this target folder.
    pub fn extend(&mut self, other: &Self) {
        self.profiles.extend(other.profiles.iter().cloned());
        self.units.extend(other.units.iter().cloned());
    }

    pub fn classify(&self, path: &str) -> Belongs {
        if self.is_test_folder(path) {
            return Belongs::TestFolder;
        }
        let profile = self.profiles.iter().rev().find(|profile| below(path, profile).is_some());
        match profile {
            Some(profile) => self.in_profile(profile, below(path, profile).unwrap_or_default()),
            None if self.is_below_test_folder(path) => Belongs::Disposable,
            None => in_root(path),
        }
    }

    fn is_in_a_unit(&self, profile: &str) -> bool {
        matches!(self.classify(profile), Belongs::Unit(_))
    }

    /// It lies beside the profiles of a target folder, or of a triple in that.
    fn is_test_folder(&self, path: &str) -> bool {
        let dir =
            path.strip_suffix("tmp").and_then(|dir| if dir.is_empty() { Some("") } else { dir.strip_suffix('/') });
        let beside = |dir: &str| self.profiles.iter().any(|profile| parent(profile) == dir);
        dir.is_some_and(beside)
    }

    fn is_below_test_folder(&self, path: &str) -> bool {
        path.match_indices('/').any(|(at, _)| self.is_test_folder(&path[..at]))
    }

    fn in_profile(&self, profile: &str, rest: &str) -> Belongs {
        let parts: Vec<&str> = rest.split('/').collect();
        let own = str::to_owned;
        let has_fingerprint = |unit: String| self.units.contains(&(own(profile), unit));
        let legacy = |name: &str| {
            let (package, id) = split_id(name)?;
            let place = UnitPlace { layout: Layout::Legacy, profile: own(profile), package: own(package), id: own(id) };
            has_fingerprint(own(name)).then_some(place)
        };
        match parts.as_slice() {
            ["build", package, id, ..] if is_id(id) && has_fingerprint(format!("{package}/{id}")) => {
                Belongs::Unit(UnitPlace {
                    layout: Layout::PerUnit,
                    profile: own(profile),
                    package: own(package),
                    id: own(id),
                })
            }
            ["build", unit, file] if has_extension(file, "d") && legacy(unit).is_some() => Belongs::Disposable,
            [".fingerprint" | "build", unit, ..] => legacy(unit).map_or(Belongs::Loose, Belongs::Unit),
            ["deps", file] if has_extension(file, "d") => Belongs::Disposable,
            ["examples", file] if has_extension(file, "d") && id_of_file(file).is_some() => Belongs::Disposable,
            ["deps" | "examples", file, ..] => match id_of_file(file) {
                Some(id) => Belongs::UnitId { profile: own(profile), id: own(id) },
                None if parts[0] == "examples" => Belongs::Uplift,
                None => Belongs::Unhashed { profile: own(profile), file: own(file) },
            },
            ["incremental", ..] => Belongs::Incremental,
            [file] if file.starts_with(".cargo-") => Belongs::Disposable,
            [_] => Belongs::Uplift,
            _ => Belongs::Loose,
        }
    }
}

fn below<'a>(path: &'a str, dir: &str) -> Option<&'a str> {
    path.strip_prefix(dir)?.strip_prefix('/')
}

/// What stands before the last `/`.
fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

fn in_root(path: &str) -> Belongs {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        [own, ..] if own.starts_with(OWN) => Belongs::Disposable,
        ["tmp"] => Belongs::TestFolder,
        ["tmp" | "package" | "cargo-timings" | "flycheck0", ..] => Belongs::Disposable,
        ["doc", ..] | [_, "doc", ..] => Belongs::Doc,
        [_, ".cargo-lock" | ".cargo-build-lock" | ".cargo-artifact-lock"] => Belongs::Disposable,
        // With a build folder of its own, the target folder holds nothing but what is linked there.
        [_, _] | [_, _, _] => Belongs::Uplift,
        _ => Belongs::Loose,
    }
}

/// Splits `serde-0123456789abcdef` into package and unit id.
pub(super) fn split_id(name: &str) -> Option<(&str, &str)> {
    let (package, id) = name.rsplit_once('-')?;
    (is_id(id) && !package.is_empty()).then_some((package, id))
}

/// `libserde-<id>.rlib`, `app-<id>`, `app-<id>.app.0a1b-cgu.0.rcgu.dwo`: the id ends the first dot-separated part.
pub(super) fn id_of_file(file: &str) -> Option<&str> {
    let stem = file.split('.').next().unwrap_or(file);
    split_id(stem).map(|(_, id)| id)
}

pub(super) fn has_extension(file: &str, extension: &str) -> bool {
    file.rsplit_once('.').is_some_and(|(_, last)| last == extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef";

    fn classify(path: &str) -> Belongs {
        let paths = [
            "debug/.fingerprint/a-0123456789abcdef/lib-a",
            "debug/.fingerprint/a-b-0123456789abcdef/lib-a-b",
            "debug/build/a-0123456789abcdef/out/debug/.fingerprint/x-0123456789abcdef/lib-x",
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
        let unhashed = Belongs::Unhashed { profile: "debug".into(), file: "libmy_lib.so".into() };
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

    #[test]
    fn the_folder_of_tests_is_kept_and_what_is_in_it_is_not() {
        for folder in ["tmp", "x86_64-unknown-linux-musl/tmp", "tests/trybuild/tmp"] {
            assert_eq!(classify(folder), Belongs::TestFolder, "{folder}");
            assert_eq!(classify(&format!("{folder}/a/tmp")), Belongs::Disposable, "{folder}");
        }
        assert_eq!(classify("debug/tmp"), Belongs::Uplift);
    }

    #[test]
    fn what_only_looks_like_a_unit_is_none() {
        let script = classify("debug/build/a-0123456789abcdef/out/x");
        assert!(script.place().is_some());
        assert_eq!(classify("debug/build/a-0123456789abcdef/out/debug/.fingerprint/x-0123456789abcdef/lib-x"), script);
        assert_eq!(classify("debug/build/assets/0123456789abcdef/x"), Belongs::Loose);
        assert_eq!(classify("debug/build/assets-0123456789abcdef/x.d"), Belongs::Loose);
    }
}
