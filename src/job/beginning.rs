//! Gathers what it takes to say why a job compiled what it compiled: both snapshots, the times of sources, names of toolchains.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

use crate::cargo::toolchain;
use crate::cargo::units::Survey;
use crate::explain::inspect::inspect;
use crate::explain::inspection::Inspection;
use crate::explain::snapshot::Snapshot;
use crate::explain::surroundings::{SettingChange, Surroundings};
use crate::explain::take;
use crate::job::facts::Facts;
use crate::job::handover::State;
use crate::machine::host;
use crate::state::manifest::LockedPackage;
use crate::state::manifest::Manifest;
use crate::unit::Unit;

/// What was known when the job began.
#[derive(Clone, Debug, Default)]
pub struct Beginning {
    pub before: Snapshot,
    pub forced: BTreeMap<String, String>,
    pub touched: BTreeMap<String, String>,
    /// `rustc -vV` of the toolchains that are known.
    pub compilers: Vec<String>,
    pub locked: BTreeSet<LockedPackage>,
    pub pruned: BTreeSet<String>,
    pub settings: BTreeMap<String, String>,
    /// Paths that build scripts watch and that are not there.
    pub absent: BTreeSet<String>,
    /// Access times tell what was used since.
    pub access_times: bool,
}

impl Beginning {
    /// From what `restore` wrote down.
    pub fn of(state: &State) -> Self {
        let manifest: Option<&Manifest> = state.restored.as_ref().map(|restored| &restored.manifest);
        let parts = [Some(&state.parts), manifest.map(|manifest| &manifest.parts)];
        let compilers = parts.into_iter().flatten().flat_map(|parts| &parts.hard.workspaces);
        Self {
            before: state.before.clone(),
            forced: state.forced.clone(),
            touched: state.touched.clone(),
            compilers: compilers.map(|parts| parts.rustc.clone()).collect(),
            locked: manifest.map(|manifest| manifest.locked.clone()).unwrap_or_default(),
            pruned: manifest.map(|manifest| manifest.pruned.clone()).unwrap_or_default(),
            settings: manifest.map(|manifest| manifest.settings.clone()).unwrap_or_default(),
            // What was there when it was built is among the inputs.
            absent: absent(&state.before, |path| {
                manifest.is_some_and(|manifest| manifest.inputs.iter().any(|input| input.path == path))
            }),
            access_times: state.access_times,
        }
    }

    /// Where nothing is restored: the target as it lies there.
    pub fn now(facts: &Facts, surveys: &[Survey]) -> Self {
        let compilers = facts.parts.hard.workspaces.iter().map(|parts| parts.rustc.clone());
        let before = take::take(surveys, &facts.whereabouts());
        Self {
            absent: absent(&before, |_| false),
            before,
            compilers: compilers.collect(),
            locked: facts.locked_packages(),
            settings: facts.settings(),
            ..Self::default()
        }
    }

    /// Compares it with what the target says now.
    pub fn inspect(&self, facts: &Facts, surveys: &[Survey]) -> Inspection {
        let mut after = take::take(surveys, &facts.whereabouts());
        if !self.access_times {
            // Nobody knows what was used, so everything that is there counts.
            after.units.iter_mut().for_each(|unit| unit.used = true);
        }
        let now: HashMap<&str, _> = after.units.iter().map(|unit| (unit.place.as_str(), unit.reference)).collect();
        let is_rebuilt =
            |unit: &&crate::explain::snapshot::UnitSnapshot| now.get(unit.place.as_str()) != Some(&unit.reference);
        let paths: HashSet<&String> =
            self.before.units.iter().filter(is_rebuilt).flat_map(|unit| &unit.files).collect();
        let surroundings = Surroundings {
            toolchains: self.toolchains(facts, &after),
            locked_before: self.locked.clone(),
            locked_after: facts.locked_packages(),
            settings: changes(&self.settings, &facts.settings()),
            base: facts.workspaces.first().root.to_string_lossy().into_owned(),
            own: own_packages(facts),
            times: take::times(paths.into_iter()),
            forced: self.forced.clone(),
            touched: self.touched.clone(),
            pruned: self.pruned.clone(),
            never_there: self.absent.clone(),
            cores: host::cores(),
        };
        inspect(&self.before, &after, &surroundings)
    }

    /// Names of all compilers that units name; installed ones are only asked when one of them is not known.
    fn toolchains(&self, facts: &Facts, after: &Snapshot) -> HashMap<u64, String> {
        let own = facts.parts.hard.workspaces.iter().map(|parts| &parts.rustc);
        let named = |rustc: &String| (take::toolchain_hash(rustc), take::toolchain_name(rustc));
        let mut known: HashMap<u64, String> = self.compilers.iter().chain(own).map(named).collect();
        let prints = self.before.units.iter().chain(&after.units).flat_map(|unit| &unit.prints);
        let mut hashes = prints.filter_map(|print| print.fields.as_ref()).map(|fields| fields.rustc);
        // Runs of build scripts have none.
        if hashes.any(|hash| hash != 0 && !known.contains_key(&hash)) {
            known.extend(toolchain::installed().iter().map(named));
        }
        known
    }
}

/// Paths that runs of build scripts name and that are not there, but for those that are known to have been.
fn absent(before: &Snapshot, was_there: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let named = before.units.iter().filter(|unit| unit.is_run()).flat_map(|unit| &unit.files);
    named.filter(|path| !Path::new(path).exists() && !was_there(path)).cloned().collect()
}

/// Every setting that differs.
pub fn changes(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Vec<SettingChange> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let text = |settings: &BTreeMap<String, String>, name: &String| {
        settings.get(name).cloned().unwrap_or_else(|| "(unset)".to_owned())
    };
    let differing = names.into_iter().filter(|name| old.get(*name) != new.get(*name));
    let change = |name: &String| SettingChange { name: name.clone(), old: text(old, name), new: text(new, name) };
    differing.map(change).collect()
}

/// The project's own packages and their folders, relative to the first workspace.
fn own_packages(facts: &Facts) -> BTreeMap<String, String> {
    let root = &facts.workspaces.first().root;
    let packages = facts.workspaces.iter().flat_map(|workspace| &workspace.packages);
    let dir = |dir: &Path| {
        let text = dir.strip_prefix(root).unwrap_or(dir).display().to_string().replace('\\', "/");
        if text.is_empty() { ".".to_owned() } else { text }
    };
    packages.map(|package| (package.name.clone(), dir(&package.dir))).collect()
}
