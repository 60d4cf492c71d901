//! What manifests say that units are made of: dependencies and features. Which units another manifest reaches. Pure.
//!
//! Nothing is resolved here: what a lock file decides it has decided, and features are followed only where all that ask for them
//! are known. How it can be wrong: features that a command line asks for are not known, nor those that a fetched package asks for
//! of another.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::semver::{Version, VersionReq};

use crate::cargo::dependency::Spec;
use crate::explain::project::{Project, manifest_in};
use crate::explain::surroundings::{SettingChange, UNSET, of_manifest};
use crate::state::manifest::{Manifest, UnitRecord};
use crate::unit::{TargetName, Unit};

/// Reasons by unit.
#[derive(Debug, Default)]
pub(super) struct Composition {
    reasons: BTreeMap<usize, String>,
    /// Those that count only if nothing happens to the unit that is named with them.
    unless: BTreeMap<usize, (Vec<usize>, String)>,
}

/// An entry of a table of dependencies that is another one now.
struct Entry<'a> {
    change: &'a SettingChange,
    table: &'a str,
    is_for_one_platform: bool,
    name: &'a str,
    old: Option<Spec>,
    new: Option<Spec>,
}

impl Composition {
    pub(super) fn new(
        manifest: &Manifest,
        project: &Project,
        settings: &BTreeMap<String, String>,
        changes: &[SettingChange],
    ) -> Self {
        let mut found = Self::default();
        let view = View { manifest, project, settings };
        let entries: Vec<Entry<'_>> = changes.iter().filter_map(entry).collect();
        for at in 0..manifest.units.len() {
            let own: Vec<&Entry<'_>> = entries.iter().filter(|entry| view.stands_for(entry, at)).collect();
            for entry in &own {
                view.entry(at, entry, &own, &mut found);
            }
            let unit = &manifest.units[at];
            let site = project.site(unit.root, &unit.place.profile, &unit.lies, unit.package());
            for change in changes.iter().filter(|change| change.is_of(site)) {
                if let Some(feature) = change.key().strip_prefix("features.").filter(|_| !unit.is_run()) {
                    view.feature(at, feature, change, &mut found);
                }
            }
        }
        found
    }

    pub(super) fn reason(&self, at: usize) -> Option<String> {
        self.reasons.get(&at).cloned()
    }

    /// What counts where none of these units has a reason of its own.
    pub(super) fn otherwise(&self) -> impl Iterator<Item = (usize, &[usize], &str)> {
        self.unless.iter().map(|(at, (units, reason))| (*at, units.as_slice(), reason.as_str()))
    }

    fn add(&mut self, at: usize, change: &SettingChange) {
        self.reasons.entry(at).or_insert_with(|| change.to_string());
    }
}

fn entry(change: &SettingChange) -> Option<Entry<'_>> {
    let (before, rest, table) =
        ["build-dependencies", "dev-dependencies", "dependencies"].into_iter().find_map(|table| {
            let (before, rest) = change.key().split_once(&format!("{table}."))?;
            (before.is_empty() || before.starts_with("target.") && before.ends_with('.'))
                .then_some((before, rest, table))
        })?;
    let spec = |text: &str| if text == UNSET { None } else { Spec::parse(text) };
    Some(Entry {
        change,
        table,
        is_for_one_platform: !before.is_empty(),
        name: rest,
        old: spec(&change.old),
        new: spec(&change.new),
    })
}

/// Two entries, of which one went and one came, that mean the same package.
fn renamed<'a>(entry: &Entry<'a>, all: &[&Entry<'a>]) -> Option<(&'a str, &'a str)> {
    all.iter().find_map(|other| {
        let (gone, came) = if entry.new.is_none() { (entry, *other) } else { (*other, entry) };
        let ((Some(old), None), (None, Some(new))) = ((&gone.old, &gone.new), (&came.old, &came.new)) else {
            return None;
        };
        let is_same =
            gone.table == came.table && old.package(gone.name) == new.package(came.name) && old.is_from_where(new);
        is_same.then_some((gone.name, came.name))
    })
}

struct View<'a> {
    manifest: &'a Manifest,
    project: &'a Project,
    settings: &'a BTreeMap<String, String>,
}

impl View<'_> {
    fn unit(&self, at: usize) -> &UnitRecord {
        &self.manifest.units[at]
    }

    /// Whether a unit is built from what this entry names.
    fn stands_for(&self, entry: &Entry<'_>, at: usize) -> bool {
        let unit = self.unit(at);
        let site = self.project.site(unit.root, &unit.place.profile, &unit.lies, unit.package());
        let is_script = unit.targets().any(TargetName::is_build_script);
        let is_test = unit.targets().any(|target| ["test", "bench", "example"].contains(&target.kind()));
        let reaches = match entry.table {
            "build-dependencies" => is_script,
            "dev-dependencies" => is_test,
            _ => !is_script && !unit.is_run(),
        };
        reaches && entry.change.is_of(site)
    }

    /// What it was built from that is of this package.
    fn links(&self, at: usize, package: &str) -> Vec<usize> {
        let deps = self.unit(at).deps.iter().copied();
        deps.filter(|&dep| dep != at && self.unit(dep).package() == package && !self.unit(dep).is_run()).collect()
    }

    fn entry(&self, at: usize, entry: &Entry<'_>, all: &[&Entry<'_>], found: &mut Composition) {
        if let Some((old, new)) = renamed(entry, all) {
            let reason = format!("`{}`: the dependency `{old}` is called `{new}` now", entry.change.manifest());
            found.reasons.entry(at).or_insert(reason);
            return;
        }
        match (&entry.old, &entry.new) {
            (None, Some(new)) => {
                if !entry.is_for_one_platform && !new.is_optional() {
                    found.add(at, entry.change);
                }
            }
            (Some(old), None) => {
                if !self.links(at, old.package(entry.name)).is_empty() {
                    found.add(at, entry.change);
                }
            }
            (Some(old), Some(new)) => self.both(at, entry, (old, new), found),
            (None, None) => {}
        }
    }

    fn both(&self, at: usize, entry: &Entry<'_>, (old, new): (&Spec, &Spec), found: &mut Composition) {
        let linked = self.links(at, old.package(entry.name));
        if linked.is_empty() {
            // An optional one that nobody asked for, or one for another platform.
            if old.is_optional() && !new.is_optional() && !entry.is_for_one_platform {
                found.add(at, entry.change);
            }
            return;
        }
        let is_other = old.package(entry.name) != new.package(entry.name) || !old.is_from_where(new);
        let fits = |dep: &usize| {
            let version = self.unit(*dep).version.as_deref().and_then(|version| Version::parse(version).ok());
            let required = new.version().and_then(|version| VersionReq::parse(version).ok());
            version.is_none_or(|version| required.is_none_or(|required| required.matches(&version)))
        };
        if is_other || !linked.iter().all(fits) {
            found.unless.entry(at).or_insert_with(|| (linked.clone(), entry.change.to_string()));
            return;
        }
        for dep in linked {
            self.asked(at, dep, (old, new), entry.change, found);
        }
    }

    /// A unit of which another set of features is asked.
    fn asked(
        &self,
        user: usize,
        dep: usize,
        (old, new): (&Spec, &Spec),
        change: &SettingChange,
        found: &mut Composition,
    ) {
        let asks = |spec: &Spec| {
            let default = spec.has_default().then(|| "default".to_owned());
            spec.features().into_iter().chain(default).collect::<BTreeSet<String>>()
        };
        let (before, after) = (asks(old), asks(new));
        let Some(has) = &self.unit(dep).features else { return };
        let table = self.features_of(dep);
        // A `default` that nobody defined is no feature.
        let exists = |name: &String| {
            name != "default" || table.as_ref().is_some_and(|table| table.contains_key(name)) || has.contains(name)
        };
        let added: BTreeSet<String> = after.difference(&before).filter(|name| exists(name)).cloned().collect();
        let added = added.iter().any(|name| !has.contains(name));
        let removed = || {
            let asked = self.asked_by_all(dep)?;
            let implied = match &table {
                Some(table) => closure(table, &asked),
                // Nobody here knows what one feature of a fetched package implies.
                None if asked.iter().all(|name| !exists(name)) => asked,
                None => return None,
            };
            Some(before.difference(&after).any(|name| has.contains(name) && !implied.contains(name)))
        };
        if added || removed().unwrap_or(false) {
            found.add(dep, change);
            // It is built against the other variant, wherever that comes from.
            found.add(user, change);
        }
    }

    /// What the manifests of all who use a unit ask of it now; none where one of them is not known.
    fn asked_by_all(&self, dep: usize) -> Option<BTreeSet<String>> {
        let users = self
            .manifest
            .units
            .iter()
            .filter(|unit| unit.deps.contains(&dep) && unit.package() != self.unit(dep).package());
        let mut asked = BTreeSet::new();
        for user in users {
            let own = self.project.package(&user.lies, user.package())?;
            let start = of_manifest(&manifest_in(&own.dir), "");
            let entries = self.settings.range(start.clone()..).take_while(|(name, _)| name.starts_with(&start));
            for (name, value) in entries.filter(|(name, _)| start.is_empty() || name.starts_with(&start)) {
                let change = SettingChange { name: name.clone(), old: UNSET.to_owned(), new: value.clone() };
                let Some(Entry { name, new: Some(spec), .. }) =
                    entry(&change).filter(|_| change.manifest() == manifest_in(&own.dir))
                else {
                    continue;
                };
                if spec.package(name) == self.unit(dep).package() {
                    asked.extend(spec.features());
                    asked.extend(spec.has_default().then(|| "default".to_owned()));
                }
            }
        }
        Some(asked)
    }

    /// The table of features of an own package.
    fn features_of(&self, at: usize) -> Option<BTreeMap<String, BTreeSet<String>>> {
        let own = self.project.package(&self.unit(at).lies, self.unit(at).package())?;
        let start = of_manifest(&manifest_in(&own.dir), "features.");
        let all = self.settings.range(start.clone()..).take_while(|(name, _)| name.starts_with(&start));
        Some(all.map(|(name, value)| (name[start.len()..].to_owned(), enables(value))).collect())
    }

    /// A feature that is defined in another way.
    fn feature(&self, at: usize, feature: &str, change: &SettingChange, found: &mut Composition) {
        let is_declared_anew = change.old == UNSET || change.new == UNSET;
        // What a feature enables is nothing to a unit that has it not.
        let has = self.unit(at).features.as_ref().is_none_or(|features| features.iter().any(|name| name == feature));
        if !is_declared_anew && !has {
            return;
        }
        found.add(at, change);
        let added = enables(&change.new).difference(&enables(&change.old)).cloned().collect::<Vec<_>>();
        let of_deps = added.iter().filter_map(|name| name.split_once('/'));
        for (name, feature) in of_deps.filter(|_| has) {
            let package = name.trim_end_matches('?');
            let lacks = |dep: &usize| {
                self.unit(*dep).features.as_ref().is_some_and(|features| !features.iter().any(|name| name == feature))
            };
            for dep in self.links(at, package).into_iter().filter(lacks).filter(|&dep| !self.has_variant(dep, feature))
            {
                found.add(dep, change);
            }
        }
    }

    /// Whether a unit is there that differs by nothing but this feature.
    fn has_variant(&self, dep: usize, feature: &str) -> bool {
        let one = self.unit(dep);
        let targets =
            |unit: &UnitRecord| unit.fingerprints.iter().map(|print| print.name.clone()).collect::<BTreeSet<_>>();
        let wanted: BTreeSet<&str> =
            one.features.iter().flatten().map(String::as_str).chain(std::iter::once(feature)).collect();
        self.manifest.units.iter().any(|other| {
            (other.root, &other.place.package, &other.place.profile, &other.lies, &other.version, other.mode)
                == (one.root, &one.place.package, &one.place.profile, &one.lies, &one.version, one.mode)
                && targets(other) == targets(one)
                && other.features.iter().flatten().map(String::as_str).collect::<BTreeSet<_>>() == wanted
        })
    }
}

/// `["b/y"]`, as it stands in a manifest.
fn enables(text: &str) -> BTreeSet<String> {
    let table = format!("it = {text}").parse::<toml::Table>().unwrap_or_default();
    let names = table.get("it").and_then(toml::Value::as_array).into_iter().flatten();
    names.filter_map(toml::Value::as_str).map(str::to_owned).collect()
}

/// Everything that these features turn on in their own package.
fn closure(table: &BTreeMap<String, BTreeSet<String>>, asked: &BTreeSet<String>) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let mut open: Vec<String> = asked.iter().cloned().collect();
    while let Some(name) = open.pop() {
        if all.insert(name.clone()) {
            open.extend(table.get(&name).into_iter().flatten().cloned());
        }
    }
    all
}
