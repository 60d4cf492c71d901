//! Gathers what it takes to say why a job compiled what it compiled: both snapshots, the times of sources, names of toolchains.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

use crate::cargo::toolchain;
use crate::cargo::units::Survey;
use crate::digest::ContentId;
use crate::explain::inspect::inspect;
use crate::explain::inspection::Inspection;
use crate::explain::snapshot::Snapshot;
use crate::explain::surroundings::{Surroundings, changes};
use crate::explain::take;
use crate::job::facts::Facts;
use crate::job::handover::State;
use crate::job::outcome::Start;
use crate::machine::disk::{Kind, Meta};
use crate::machine::host;
use crate::moment::Moment;
use crate::stamp::sources::hash_file;
use crate::state::manifest::{Input, InputKind, LeftOut, LockedPackage, Manifest};
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
    /// Units for which a budget had no room.
    pub left_out: Option<LeftOut>,
    pub settings: BTreeMap<String, String>,
    /// Paths that build scripts watch and that are not there.
    pub absent: BTreeSet<String>,
    /// What units read, when it last changed in any way, and what it was, if somebody looked.
    pub read: HashMap<String, Read>,
    /// Access times tell what was used since.
    pub access_times: bool,
}

impl Beginning {
    /// From what `restore` wrote down.
    pub fn of(state: &State) -> Self {
        let manifest: Option<&Manifest> = state.restored.as_ref().map(|restored| &restored.manifest);
        let parts = [Some(&state.parts), manifest.map(|manifest| &manifest.parts)];
        // What was dropped elsewhere was never this job's.
        let own = manifest.filter(|_| !matches!(state.outcome.start, Start::Restored { sibling: Some(_), .. }));
        let compilers = parts.into_iter().flatten().flat_map(|parts| &parts.hard.workspaces);
        Self {
            before: state.before.clone(),
            forced: state.forced.clone(),
            touched: state.touched.clone(),
            compilers: compilers.map(|parts| parts.rustc.clone()).collect(),
            locked: manifest.map(|manifest| manifest.locked.clone()).unwrap_or_default(),
            pruned: own.map(|manifest| manifest.pruned.clone()).unwrap_or_default(),
            left_out: manifest.and_then(|manifest| manifest.left_out.clone()),
            settings: manifest.map(|manifest| manifest.settings.clone()).unwrap_or_default(),
            // What was there when it was built is among the inputs.
            absent: absent(&state.before, |path| {
                manifest.is_some_and(|manifest| manifest.inputs.iter().any(|input| input.path == path))
            }),
            read: read_before(state, manifest),
            access_times: state.access_times,
        }
    }

    /// Where nothing is restored: the target as it lies there.
    pub fn now(facts: &Facts, surveys: &[Survey]) -> Self {
        let compilers = facts.parts.hard.workspaces.iter().map(|parts| parts.rustc.clone());
        let mut before = take::take(surveys, &facts.whereabouts());
        let (project, locked) = (facts.project(), facts.locked_packages());
        for unit in &mut before.units {
            // Its manifest can have another version by now, and the lock file has the one of the last build.
            if project.package(&unit.lies, &unit.package).is_some() {
                let mut named =
                    locked.iter().filter(|locked| locked.root == unit.root() && locked.name == unit.package);
                let only = named.next().filter(|_| named.next().is_none());
                unit.version = only.map(|locked| locked.version.clone());
            }
        }
        let named: HashSet<&String> = before.units.iter().flat_map(|unit| &unit.files).collect();
        let look = |path: &String| {
            let changed = Meta::of(Path::new(path)).ok()?.ctime;
            Some((path.clone(), Read { id: None, changed }))
        };
        Self {
            read: named.into_iter().filter_map(look).collect(),
            absent: absent(&before, |_| false),
            before,
            compilers: compilers.collect(),
            locked,
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
            project: facts.project(),
            replaced: paths.iter().filter(|path| self.was_replaced(path)).map(|path| (*path).clone()).collect(),
            times: take::times(paths.into_iter()),
            forced: self.forced.clone(),
            touched: self.touched.clone(),
            pruned: self.pruned.clone(),
            left_out: self.left_out.clone(),
            never_there: self.absent.clone(),
            cores: host::cores(),
        };
        inspect(&self.before, &after, &surroundings)
    }

    /// Whether a file was touched since, and holds something else as far as that is known.
    fn was_replaced(&self, path: &str) -> bool {
        let Some(then) = self.read.get(path) else { return false };
        let Some(meta) = Meta::of(Path::new(path)).ok().filter(|meta| meta.kind == Kind::File) else { return false };
        let is_touched = then.changed.is_none() || meta.ctime != then.changed;
        let is_other = |then: &ContentId| {
            let algorithm = then.algorithm();
            algorithm.and_then(|algorithm| hash_file(Path::new(path), &meta, algorithm)).is_some_and(|now| now != *then)
        };
        is_touched && then.id.as_ref().map_or(then.changed.is_some(), is_other)
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

/// A file as it was when the job began.
#[derive(Clone, Debug)]
pub struct Read {
    id: Option<ContentId>,
    changed: Option<Moment>,
}

/// What the units of the last job were built from.
fn read_before(state: &State, manifest: Option<&Manifest>) -> HashMap<String, Read> {
    let inputs = manifest.into_iter().flat_map(|manifest| &manifest.inputs);
    let files = inputs.filter(|input| input.kind == InputKind::File && input.id.algorithm().is_some());
    let read = |input: &Input| {
        let changed = state.stamped.get(&input.path).and_then(|sight| sight.changed);
        (input.path.clone(), Read { id: Some(input.id.clone()), changed })
    };
    files.map(read).collect()
}

/// Paths that runs of build scripts name and that are not there, but for those that are known to have been.
fn absent(before: &Snapshot, was_there: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let named = before.units.iter().filter(|unit| unit.is_run()).flat_map(|unit| &unit.files);
    named.filter(|path| !Path::new(path).exists() && !was_there(path)).cloned().collect()
}
