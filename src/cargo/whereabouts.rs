//! Where the package that a unit was built from lies: certainly, or not at all.
//!
//! Two packages can have one name: in two workspaces, in two versions, from a registry and by path. Cargo's fingerprint holds a
//! number for the root source's path, as it spells it; known packages are told apart by that. For what is not known beforehand (a
//! patch on a command line) rustc's `.d` file names the sources. A build script's run lies where the script does. How it can be
//! wrong: two packages whose numbers are equal, in two workspaces that share a target folder, stay undecided; then each of them
//! counts.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use fs_err as fs;
use rustc_stable_hash::StableSipHasher128;

use super::depinfo::DepFile;
use super::fingerprint::Local;
use super::tables;
use super::units::{self, DiskUnit, Survey};
use super::vendor::Vendored;
use super::workspace::{Workspace, real};
use crate::machine::paths;
use crate::state::manifest::Lies;
use crate::unit::{TargetName, Unit};

/// What is known of packages before any unit is looked at.
#[derive(Debug, Default)]
pub struct Whereabouts {
    by_name: HashMap<String, Vec<Candidate>>,
    /// Folders that Cargo fetches into.
    fetched: Vec<PathBuf>,
    /// What rustc's relative paths start from.
    bases: Vec<PathBuf>,
}

#[derive(Debug)]
struct Candidate {
    dir: PathBuf,
    version: Option<String>,
    /// Cargo's numbers for its root sources.
    numbers: HashSet<u64>,
    /// The folders that its workspace is built in; any, if none is named.
    roots: Vec<PathBuf>,
}

/// Where a unit lies, and the folders that what it names may be relative to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub lies: Lies,
    pub dirs: Vec<PathBuf>,
    /// Of its package, as it lies there now.
    pub version: Option<String>,
}

impl Place {
    fn within(dir: PathBuf) -> Self {
        Self { lies: Lies::In(paths::text(&dir)), dirs: vec![dir], version: None }
    }

    /// One of a version that is known from elsewhere, unless it is known already.
    fn or_version(self, version: Option<String>) -> Self {
        Self { version: self.version.or(version), ..self }
    }

    /// Where all of them lie, if that is one place.
    fn one_of(places: &[&Self]) -> Self {
        if places.iter().all(|place| place.lies == places[0].lies) {
            return places[0].clone();
        }
        let dirs: BTreeSet<&PathBuf> = places.iter().flat_map(|place| &place.dirs).collect();
        Self { lies: Lies::Unknown, dirs: dirs.into_iter().cloned().collect(), version: None }
    }

    fn fetched(version: Option<String>) -> Self {
        Self { lies: Lies::Fetched, dirs: Vec::new(), version }
    }
}

impl Whereabouts {
    pub fn new(workspaces: &[Workspace], vendored: &[Vendored], cargo_home: &Path) -> Self {
        let mut by_name: HashMap<String, Vec<Candidate>> = HashMap::new();
        let bases: Vec<PathBuf> =
            workspaces.iter().flat_map(|workspace| [workspace.root.clone(), real(&workspace.root)]).collect();
        for workspace in workspaces {
            for package in &workspace.packages {
                let script = package.build_script.iter().cloned();
                let sources: Vec<PathBuf> = package.sources.iter().cloned().chain(script).collect();
                let mut numbers = HashSet::new();
                for source in sources.iter().flat_map(|source| [source.clone(), real(source)]) {
                    numbers.insert(number(&source));
                    let below = [workspace.root.clone(), real(&workspace.root)];
                    numbers.extend(below.iter().filter_map(|root| source.strip_prefix(root).ok()).map(number));
                }
                // What lies outside can have been built from any workspace.
                let inside = package.real.starts_with(real(&workspace.root));
                let roots = if inside { vec![workspace.build.clone(), workspace.target.clone()] } else { Vec::new() };
                let version = Some(package.version.clone());
                let candidate = Candidate { dir: package.real.clone(), version, numbers, roots };
                by_name.entry(package.name.clone()).or_default().push(candidate);
            }
        }
        for package in vendored {
            let sources = package.sources.iter().flat_map(|source| [source.clone(), real(source)]);
            let numbers = sources.map(|source| number(&source)).collect();
            let version = package.version.clone();
            let candidate = Candidate { dir: package.real.clone(), version, numbers, roots: Vec::new() };
            by_name.entry(package.name.clone()).or_default().push(candidate);
        }
        let fetched = ["registry", "git"].map(|name| cargo_home.join(name));
        let fetched = fetched.iter().flat_map(|dir| [dir.clone(), real(dir)]).collect();
        Self { by_name, fetched, bases }
    }

    /// The place of every unit of every survey, in order. `recorded` is what an earlier save knew of a unit that is unchanged.
    pub fn locate(&self, surveys: &[Survey], recorded: &dyn Fn(usize, &DiskUnit) -> Option<Lies>) -> Vec<Vec<Place>> {
        let all: Vec<(usize, &DiskUnit)> = surveys
            .iter()
            .enumerate()
            .flat_map(|(root, survey)| survey.units.iter().map(move |unit| (root, unit)))
            .collect();
        let dep_files: Vec<BTreeMap<&str, PathBuf>> = surveys.iter().map(dep_files).collect();
        let mut places: Vec<Place> = all
            .iter()
            .map(|&(root, unit)| {
                if unit.is_run() {
                    return Place::default();
                }
                let dep_file = dep_files[root].get(unit.place.id.as_str());
                self.of_compiled(&surveys[root], unit, dep_file, || recorded(root, unit))
            })
            .collect();
        find_undescribed(&all, &mut places);
        let edges = units::edges(&all);
        for (at, &(root, unit)) in all.iter().enumerate().filter(|(_, (_, unit))| unit.is_run()) {
            let is_script = |dep: &&usize| {
                let dep = all[**dep].1;
                dep.place.package == unit.place.package && dep.targets().any(TargetName::is_build_script)
            };
            let scripts: Vec<&Place> = edges[at].iter().flatten().filter(is_script).map(|dep| &places[*dep]).collect();
            places[at] = match scripts.as_slice() {
                [] => self.remembered(&surveys[root], unit, recorded(root, unit)),
                scripts => Place::one_of(scripts),
            };
        }
        let mut places = places.into_iter();
        surveys.iter().map(|survey| places.by_ref().take(survey.units.len()).collect()).collect()
    }

    fn of_compiled(
        &self,
        survey: &Survey,
        unit: &DiskUnit,
        dep_file: Option<&PathBuf>,
        recorded: impl FnOnce() -> Option<Lies>,
    ) -> Place {
        let numbers: HashSet<u64> =
            unit.fingerprints.iter().filter_map(|print| Some(print.fingerprint.as_ref()?.path())).collect();
        let fits = |candidate: &&&Candidate| !candidate.numbers.is_disjoint(&numbers);
        let candidates = self.candidates(survey, unit);
        let fitting: BTreeMap<&PathBuf, &Candidate> =
            candidates.iter().filter(fits).map(|candidate| (&candidate.dir, *candidate)).collect();
        if let (Some((dir, candidate)), 1) = (fitting.first_key_value(), fitting.len()) {
            return Place::within((*dir).clone()).or_version(candidate.version.clone());
        }
        if fitting.is_empty() {
            let told = dep_file.and_then(|path| self.of_dep_file(path, &unit.place.package));
            return told.unwrap_or_else(|| self.remembered(survey, unit, recorded()));
        }
        Place { lies: Lies::Unknown, dirs: fitting.into_keys().cloned().collect(), version: None }
    }

    /// What was known of it before; else every package of its name counts.
    fn remembered(&self, survey: &Survey, unit: &DiskUnit, recorded: Option<Lies>) -> Place {
        match recorded {
            Some(Lies::In(dir)) => Place::within(paths::path(&dir)),
            Some(Lies::Fetched) => Place::fetched(None),
            Some(Lies::Unknown) | None => {
                let dirs: BTreeSet<PathBuf> =
                    self.candidates(survey, unit).iter().map(|candidate| candidate.dir.clone()).collect();
                Place { lies: Lies::Unknown, dirs: dirs.into_iter().collect(), version: None }
            }
        }
    }

    fn candidates(&self, survey: &Survey, unit: &DiskUnit) -> Vec<&Candidate> {
        let named = self.by_name.get(&unit.place.package).into_iter().flatten();
        named.filter(|candidate| candidate.roots.is_empty() || candidate.roots.contains(&survey.root)).collect()
    }

    /// From the sources that rustc wrote down: the nearest folder above one of them that holds a package of this name.
    fn of_dep_file(&self, path: &Path, package: &str) -> Option<Place> {
        let text = fs::read_to_string(path).ok()?;
        let sources: Vec<PathBuf> = sources_in(&text).collect();
        // The root source comes first.
        let below =
            |source: &PathBuf| self.fetched.iter().find_map(|dir| source.strip_prefix(dir).ok().map(PathBuf::from));
        if let Some(below) = sources.first().and_then(below) {
            return Some(Place::fetched(version_of_folder(&below, package)));
        }
        let absolute = |source: &PathBuf| {
            if source.is_absolute() {
                vec![source.clone()]
            } else {
                self.bases.iter().map(|base| base.join(source)).collect()
            }
        };
        let mut known: HashMap<PathBuf, bool> = HashMap::new();
        for source in sources.iter().flat_map(absolute) {
            let source = real(&paths::lexical(&source));
            for dir in source.ancestors().skip(1) {
                if *known.entry(dir.to_path_buf()).or_insert_with(|| is_package(dir, package)) {
                    return Some(Place::within(dir.to_path_buf()));
                }
            }
        }
        None
    }
}

/// Of what has no list of sources, as documentation has none: where another unit of the same source of the package was found.
fn find_undescribed(all: &[(usize, &DiskUnit)], places: &mut [Place]) {
    let numbers = |unit: &DiskUnit| -> Vec<u64> {
        unit.fingerprints.iter().filter_map(|print| Some(print.fingerprint.as_ref()?.path())).collect()
    };
    let mut known: HashMap<(&str, u64), Vec<&Place>> = HashMap::new();
    let found: Vec<Place> = places.to_vec();
    for (place, (_, unit)) in found.iter().zip(all).filter(|(place, _)| place.lies != Lies::Unknown) {
        for number in numbers(unit) {
            known.entry((&unit.place.package, number)).or_default().push(place);
        }
    }
    for (place, (_, unit)) in places.iter_mut().zip(all).filter(|(place, _)| **place == Place::default()) {
        let same: Vec<&Place> = numbers(unit)
            .iter()
            .filter_map(|number| known.get(&(unit.place.package.as_str(), *number)))
            .flatten()
            .copied()
            .collect();
        if !unit.is_run() && !same.is_empty() {
            *place = Place::one_of(&same);
        }
    }
}

/// Units that read files of a package by path of which nobody knows where it lies, and what was built from them: what changes
/// there could not be seen.
pub fn blind(
    units: &[&DiskUnit],
    places: &[&Place],
    edges: &[Vec<Option<usize>>],
) -> (BTreeSet<usize>, BTreeSet<usize>) {
    let names_own_files = |unit: &DiskUnit| {
        let infos = unit.fingerprints.iter().filter_map(|print| print.dep_info.as_ref());
        infos.flat_map(|info| &info.files).any(|file| matches!(file, DepFile::InPackage(_)))
            || !unit.is_run() && unit.locals().any(|local| local == Local::Precalculated)
    };
    let roots: BTreeSet<usize> =
        (0..units.len()).filter(|&at| *places[at] == Place::default() && names_own_files(units[at])).collect();
    let mut all = roots.clone();
    // What was built from them, in as many steps as it takes.
    loop {
        let more: Vec<usize> = (0..units.len())
            .filter(|at| !all.contains(at) && edges[*at].iter().flatten().any(|dep| all.contains(dep)))
            .collect();
        if more.is_empty() {
            return (roots, all);
        }
        all.extend(more);
    }
}

/// Of a package from a registry: its folder is `src/<registry>/<name>-<version>`. One from git lies in a folder of any name.
fn version_of_folder(below: &Path, package: &str) -> Option<String> {
    let mut parts = below.iter();
    let (sources, _registry, folder) = (parts.next()?, parts.next()?, parts.next()?.to_str()?);
    let version = folder.strip_prefix(package)?.strip_prefix('-')?;
    let is_one = sources == "src" && version.starts_with(|char: char| char.is_ascii_digit());
    is_one.then(|| version.to_owned())
}

/// The number under which Cargo remembers a path.
fn number(path: impl AsRef<Path>) -> u64 {
    let mut hasher = StableSipHasher128::new();
    path.as_ref().hash(&mut hasher);
    Hasher::finish(&hasher)
}

/// Whether a package of this name lies there.
pub fn is_package(dir: &Path, name: &str) -> bool {
    let table = tables::read(&dir.join("Cargo.toml"));
    table.as_ref().and_then(tables::package).and_then(|package| package.get("name")?.as_str()) == Some(name)
}

/// rustc's `.d` files by unit id.
fn dep_files(survey: &Survey) -> BTreeMap<&str, PathBuf> {
    let ids: HashSet<&str> = survey.units.iter().map(|unit| unit.place.id.as_str()).collect();
    let runs: HashSet<&str> =
        survey.units.iter().filter(|unit| unit.is_run()).map(|unit| unit.place.id.as_str()).collect();
    let mut found = BTreeMap::new();
    for file in &survey.files {
        let Some(stem) = file.path.strip_suffix(".d") else { continue };
        let parts: Vec<&str> = stem.split('/').collect();
        let id = match parts.as_slice() {
            [.., "build", _, id, "out", _] if !runs.contains(id) => Some(*id),
            [.., "deps" | "examples", name] => name.rsplit_once('-').map(|(_, id)| id),
            [.., "build", _, name] => name.rsplit_once('-').map(|(_, id)| id),
            _ => None,
        };
        if let Some(id) = id.and_then(|id| ids.get(id)) {
            found.entry(*id).or_insert_with(|| survey.root.join(&file.path));
        }
    }
    found
}

/// The paths behind the first rule of a makefile; a blank in a name is escaped.
fn sources_in(text: &str) -> impl Iterator<Item = PathBuf> + '_ {
    let rule = text.lines().find_map(|line| line.split_once(": ")).map_or("", |(_, sources)| sources);
    let mut words = vec![String::new()];
    let mut chars = rule.chars().peekable();
    while let Some(char) = chars.next() {
        match (char, chars.peek()) {
            ('\\', Some(' ')) => {
                chars.next();
                if let Some(word) = words.last_mut() {
                    word.push(' ');
                }
            }
            (' ', _) => words.push(String::new()),
            (char, _) => {
                if let Some(word) = words.last_mut() {
                    word.push(char);
                }
            }
        }
    }
    words.into_iter().filter(|word| !word.is_empty()).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_the_number_that_cargo_gives_it() {
        assert_eq!(number("a/src/lib.rs"), 13_529_640_068_383_431_735);
    }

    #[test]
    fn only_the_folder_of_a_registry_tells_a_version() {
        let version = |path: &str, package: &str| version_of_folder(Path::new(path), package);
        let some = |version: &str| Some(version.to_owned());
        assert_eq!(version("src/index.crates.io-1949cf8c6b5b557f/serde-1.0.0/src/lib.rs", "serde"), some("1.0.0"));
        assert_eq!(version("src/i-1/a-b-0.1.0+build.5/lib.rs", "a-b"), some("0.1.0+build.5"));
        assert_eq!(version("src/i-1/a-b-0.1.0/lib.rs", "a"), None);
        // What stands behind the name of a repository is no version.
        assert_eq!(version("checkouts/serde-9d353391e8448420/3657aad/src/lib.rs", "serde"), None);
        assert_eq!(version("checkouts/x/serde-1.0.0/lib.rs", "serde"), None);
    }

    #[test]
    fn sources_are_read_from_the_first_rule() {
        let text = "/t/liba-1.rmeta: a/src/lib.rs /x/with\\ blank.rs\n\n/t/a-1.d: other.rs\n\na/src/lib.rs:\n";
        let sources: Vec<PathBuf> = sources_in(text).collect();
        assert_eq!(sources, [PathBuf::from("a/src/lib.rs"), PathBuf::from("/x/with blank.rs")]);
    }
}
