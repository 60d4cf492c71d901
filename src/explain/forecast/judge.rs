//! Which units are compiled by themselves, and why, before anybody looks at what was built from what. Pure.
//!
//! Goes by what is certain. How it can be wrong: a setting reaches a unit that has it overridden elsewhere, and a file that only a
//! later step changes is not known yet.

use std::collections::{BTreeMap, BTreeSet};

use super::composition::Composition;
use super::told::{Known, Root};
use crate::explain::bumps::{Bump, Fate, Locks};
use crate::explain::cause::{FOR_EACH_COPY, TAKES_TURNS, value};
use crate::explain::project::{OwnPackage, Site};
use crate::explain::surroundings::{SettingChange, changes, of_manifest};
use crate::machine::paths::{is_under, parent};
use crate::state::manifest::{
    CONFIGURATION, EnvRecord, InputKind, Lies, Origin, PackageKind, PackageRecord, UnitRecord,
};
use crate::unit::{Unit, is_of_unpacked};

/// What becomes of a unit.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// Nothing, unless something that it was built from is compiled.
    Stays,
    Compiled(Root),
    /// It will not be there, and whoever was built from it is compiled.
    Gone(Root),
}

pub(super) struct Judge<'a> {
    known: &'a Known<'a>,
    differing: BTreeSet<&'a str>,
    /// Packages of which the newest file is another one, by folder, and that file.
    touched: BTreeMap<&'a str, &'a str>,
    /// Variables that are others than when the last job began, and how; not those of single steps.
    drifted: BTreeMap<&'a str, String>,
    locks: Locks,
    changes: Vec<SettingChange>,
    composition: Composition,
    /// Roots in which something is built for a named target, so that the rest is built for the host.
    crossed: BTreeSet<usize>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(known: &'a Known<'a>) -> Self {
        let manifest = known.manifest;
        let owner = |path: &str| {
            let packages = manifest.packages.iter().filter(|package| package.kind == PackageKind::Path);
            packages.filter(|package| is_under(path, &package.dir)).max_by_key(|package| package.dir.len())
        };
        let changes = changes(&manifest.settings, known.settings);
        let differing = differing(known);
        let mut touched = BTreeMap::new();
        for path in &differing {
            if let Some(package) = owner(path) {
                touched.entry(package.dir.as_str()).or_insert(*path);
            }
        }
        let crossed = manifest.units.iter().filter(|unit| unit.place.profile.contains('/')).map(|unit| unit.root);
        Self {
            differing,
            touched,
            drifted: drifted(known),
            locks: Locks::new(&manifest.locked, known.locked),
            composition: Composition::new(manifest, known.project, known.settings, &changes),
            changes,
            crossed: crossed.collect(),
            known,
        }
    }

    pub(super) fn verdict(&self, at: usize) -> Verdict {
        let unit = &self.known.manifest.units[at];
        let record = self.record(unit);
        let by_path = record.filter(|record| record.kind == PackageKind::Path);
        if let Some(gone) = by_path.and_then(|record| self.gone(unit, record)) {
            return gone;
        }
        if let Some(package) = self.moved(unit) {
            return Verdict::Compiled(Root::Other(format!("`Cargo.lock` has another source for {package}")));
        }
        if let Some(own) = self.own(unit) {
            if let Some(old) = unit.version.as_ref().filter(|old| **old != own.version) {
                let (package, old, new) = (unit.place.package.clone(), old.clone(), own.version.clone());
                return Verdict::Compiled(Root::Bump(Bump { is_own: true, package, old, new }));
            }
        } else {
            // People know the bump, and the rule only what it comes of.
            match self.locks.fate(unit.root, unit.package(), unit.version.as_deref()) {
                Fate::Stays => {}
                Fate::Bumped(bump) => return Verdict::Compiled(Root::Bump(bump)),
                Fate::Gone { version } => {
                    let reason = format!("`Cargo.lock` no longer has {} {version}", unit.package());
                    return Verdict::Gone(Root::Other(reason));
                }
            }
        }
        self.other(at, unit, record).map_or(Verdict::Stays, |reason| Verdict::Compiled(Root::Other(reason)))
    }

    /// What counts where nothing happens to these units.
    pub(super) fn otherwise(&self) -> impl Iterator<Item = (usize, &[usize], &str)> {
        self.composition.otherwise()
    }

    /// Where the package of a unit lies now: in the same folder, or in the one that it moved to.
    pub(super) fn own(&self, unit: &UnitRecord) -> Option<&'a OwnPackage> {
        let project = self.known.project;
        project.package(&unit.lies, unit.package()).or_else(|| {
            let record = self.record(unit).filter(|record| record.kind == PackageKind::Path)?;
            self.moved_to(record)
        })
    }

    /// The package of a unit, if what is locked comes from elsewhere by now. Of one from git the version is not always known.
    fn moved(&self, unit: &UnitRecord) -> Option<&'a String> {
        let is_it = |package: &&String| {
            let (name, version) = package.split_once(' ').unwrap_or_default();
            let same = self.known.manifest.locked.iter().filter(|locked| locked.name == name);
            name == unit.package()
                && unit.version.as_deref().map_or_else(|| same.count() == 1, |known| known == version)
        };
        self.known.moved.iter().find(is_it).filter(|_| unit.lies == Lies::Fetched)
    }

    fn record(&self, unit: &UnitRecord) -> Option<&'a PackageRecord> {
        self.known.manifest.packages.iter().find(|package| unit.is_of(package))
    }

    /// The only package of this name in a folder that the last job did not know.
    fn moved_to(&self, record: &PackageRecord) -> Option<&'a OwnPackage> {
        let project = self.known.project;
        let is_new = |dir: &String| self.known.manifest.packages.iter().all(|package| package.dir != *dir);
        let packages = project.packages.iter().filter(|(dir, package)| package.name == record.name && is_new(dir));
        let mut packages = packages.map(|(_, package)| package);
        packages.next().filter(|_| packages.next().is_none())
    }

    /// A package that left its folder, or a target of it that is not there any more.
    fn gone(&self, unit: &UnitRecord, record: &PackageRecord) -> Option<Verdict> {
        let project = self.known.project;
        if !matches!(unit.lies, Lies::In(_)) {
            return None;
        }
        let Some(own) = project.packages.get(&record.dir).filter(|own| own.name == record.name) else {
            let from = project.shown(&record.dir);
            let Some(own) = self.moved_to(record) else {
                let reason = format!("the package `{}` is gone from `{from}`", record.name);
                return Some(Verdict::Gone(Root::Other(reason)));
            };
            let reason = format!("the package `{}` moved: `{from}` → `{}`", record.name, own.dir);
            return Some(Verdict::Compiled(Root::Other(reason)));
        };
        let names: Option<Vec<String>> = unit.targets().map(|target| Some(target.name()?.replace('-', "_"))).collect();
        let is_gone =
            names.is_some_and(|names| !names.is_empty() && names.iter().all(|name| !own.targets.contains(name)));
        let is_script = unit.targets().any(|target| target.is_run() || target.is_build_script());
        let what =
            if is_script { format!("the build script of `{}`", unit.package()) } else { format!("`{}`", unit.title()) };
        is_gone.then(|| Verdict::Gone(Root::Other(format!("{what} is gone"))))
    }

    fn other(&self, at: usize, unit: &UnitRecord, package: Option<&PackageRecord>) -> Option<String> {
        if let Some(reason) = self.known.forced.get(&unit.place.name_in(unit.root)) {
            return Some(reason.clone());
        }
        let site = self.known.project.site(unit.root, &unit.place.profile, &unit.lies, unit.package());
        if let Some(change) = self.setting(unit, site) {
            return Some(change.to_string());
        }
        if let Some(reason) = self.flags(unit, site).or_else(|| self.composition.reason(at)) {
            return Some(reason);
        }
        if let Some(text) = unit.env.iter().find_map(|name| self.drifted.get(name.as_str())) {
            return Some(text.clone());
        }
        if let Some(change) = self.configured_variable(unit, site) {
            return Some(change.to_string());
        }
        let named = unit.inputs.iter().map(|&at| &self.known.manifest.inputs[at]);
        if self.known.as_checked_out && named.clone().next().is_some() && package.is_some() {
            return Some("sources have the time of the checkout (`mtime: off`)".to_owned());
        }
        // The most telling of them: files before the folders that hold them.
        let paths = named.clone().map(|input| input.path.as_str());
        let mut changed: Vec<&str> = paths.filter(|path| self.differing.contains(path)).collect();
        changed.sort_by_key(|path| std::cmp::Reverse(path.len()));
        let newest = || {
            let package = package.filter(|_| unit.is_precalculated())?;
            self.touched.get(package.dir.as_str()).copied()
        };
        if let Some(path) = changed.first().copied().or_else(newest) {
            return Some(format!("`{}` changed", self.known.project.shown(path)));
        }
        let is_by_time = package.is_some_and(|package| package.kind == PackageKind::Path)
            && !unit.is_precalculated()
            && !unit.is_by_content()
            && !unit.is_doc();
        let newer = named.filter(|input| is_by_time && input.kind == InputKind::File && input.mtime > unit.reference);
        let newer =
            newer.map(|input| format!("`{}` changed after it was built", self.known.project.shown(&input.path)));
        newer.into_iter().next().or_else(|| self.each_time(unit))
    }

    /// What the last job built in each of its builds, or more than once.
    fn each_time(&self, unit: &UnitRecord) -> Option<String> {
        if let Some(path) = unit.absent.iter().find(|path| self.known.absent.contains(*path)) {
            let path = self.known.project.shown(path);
            return Some(format!("`{path}` is watched and not there, so that its build script is run in every build"));
        }
        if unit.is_run() && is_of_unpacked(&unit.place.profile) && self.own(unit).is_some() {
            return Some(FOR_EACH_COPY.to_owned());
        }
        let turns = unit.turns.as_ref()?;
        if turns.is_empty() {
            return Some(TAKES_TURNS.to_owned());
        }
        let names: Vec<String> = turns.iter().map(|name| format!("`{name}`")).collect();
        Some(format!(
            "the last job built it, too, and nothing had changed in the end (it depends on {})",
            names.join(", ")
        ))
    }

    fn setting(&self, unit: &UnitRecord, site: Site<'_>) -> Option<&SettingChange> {
        if unit.is_run() {
            return None;
        }
        self.changes.iter().find(|change| {
            change.sets_profile(site)
                || change.defines(site) && unit.targets().any(|target| change.is_about(target.table()))
                || change.sets_lints(site) && self.has_lints(change, site)
        })
    }

    /// Those of the workspace are for the packages that ask for them.
    fn has_lints(&self, change: &SettingChange, site: Site<'_>) -> bool {
        let own = site.dir.map(|dir| of_manifest(&crate::explain::project::manifest_in(dir), "lints.workspace"));
        !change.key().starts_with("workspace.")
            || own.is_some_and(|name| self.known.settings.get(&name).is_some_and(|value| value == "true"))
    }

    /// Flags of Cargo's configuration, of which those for the target count before those for all.
    fn flags(&self, unit: &UnitRecord, site: Site<'_>) -> Option<String> {
        let (kind, words) = if unit.is_doc() { ("rustdocflags", "rustdocflags") } else { ("rustflags", "rustflags") };
        let overridden = if unit.is_doc() { "RUSTDOCFLAGS" } else { "RUSTFLAGS" };
        let is_set = |name: &&str| self.known.environment.contains_key(*name);
        let target = unit.place.profile.split_once('/').map(|(target, _)| target);
        let for_host_alone = target.is_none() && self.crossed.contains(&unit.root);
        if [overridden, "CARGO_ENCODED_RUSTFLAGS"].iter().any(is_set) || for_host_alone {
            return None;
        }
        let target = target.unwrap_or(self.known.host);
        let effective = |settings: &BTreeMap<String, String>| {
            let of_config = |key: String| {
                let named = settings.iter().find(|(name, _)| {
                    let change = SettingChange { name: (*name).clone(), old: String::new(), new: String::new() };
                    name.starts_with(CONFIGURATION) && change.key() == key && change.configures(site)
                });
                named.map(|(_, value)| value.clone())
            };
            of_config(format!("target.{target}.{kind}"))
                .or_else(|| of_config(format!("build.{kind}")))
                .unwrap_or_default()
        };
        if !self.changes.iter().any(|change| change.key().ends_with(kind)) {
            return None;
        }
        let (old, new) = (effective(&self.known.manifest.settings), effective(self.known.settings));
        let shown = |flags: &str| if flags.is_empty() { "(none)".to_owned() } else { flags.to_owned() };
        (old != new).then(|| format!("the {words} of {CONFIGURATION} changed: {} → {}", shown(&old), shown(&new)))
    }

    /// A variable of `[env]`; one that the job has anyway counts before it.
    fn configured_variable(&self, unit: &UnitRecord, site: Site<'_>) -> Option<&SettingChange> {
        self.changes.iter().find(|change| {
            let name = change.key().strip_prefix("env.");
            let is_tracked = |name: &str| {
                unit.env.iter().any(|tracked| tracked == name) && !self.known.environment.contains_key(name)
            };
            change.manifest().starts_with(CONFIGURATION) && name.is_some_and(is_tracked) && change.configures(site)
        })
    }
}

/// What differs, but for what git does not have and a later step makes: it is not there yet.
fn differing<'a>(known: &'a Known<'a>) -> BTreeSet<&'a str> {
    let recorded: BTreeMap<&str, Origin> =
        known.manifest.inputs.iter().map(|input| (input.path.as_str(), input.origin)).collect();
    let is_awaited =
        |path: &str| known.gone.contains(path) && recorded.get(path).is_some_and(|origin| *origin != Origin::Tracked);
    let all: BTreeSet<&str> = known.differing.iter().map(String::as_str).collect();
    let awaited: BTreeSet<&str> = all.iter().copied().filter(|path| is_awaited(path)).collect();
    // A folder differs by the names in it.
    let names = all.iter().filter(|path| !recorded.contains_key(**path) || known.gone.contains(**path));
    let (expected, others): (BTreeSet<_>, BTreeSet<_>) = names
        .filter_map(|path| Some((parent(path)?, awaited.contains(*path))))
        .partition(|(_, is_awaited)| *is_awaited);
    let waits = |path: &str| expected.contains(&(path, true)) && !others.contains(&(path, false));
    all.iter().copied().filter(|path| !awaited.contains(path) && !waits(path)).collect()
}

fn drifted<'a>(known: &Known<'a>) -> BTreeMap<&'a str, String> {
    let differing = known.manifest.env.iter().filter_map(|(name, then)| {
        let now = known.environment.get(name).unwrap_or(&EnvRecord::Unset);
        // Whether a secret is another one is not written down anywhere.
        let is_known = ![then, now].contains(&&EnvRecord::Set);
        (is_known && then != now)
            .then(|| (name.as_str(), format!("the variable `{name}` changed: {} → {}", value(then), value(now))))
    });
    differing.collect()
}
