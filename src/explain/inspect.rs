//! Why each unit of a job was compiled: compares what the target said before the job with what it says after it.
//!
//! Pure. Goes through Cargo's own comparisons in Cargo's own order, because only the first difference is the reason that Cargo
//! had. A unit in a folder of its own, about which Cargo gives no reason, is compared with the unit before that is most like it.
//! How it can be wrong: a file that changed *after* its unit was built looks like the reason; what is not known is
//! `Unexplained`, never a guess.

use std::collections::{BTreeSet, HashMap};

use super::compare::{env_change, newest_file, setting};
use super::surroundings::Surroundings;
use super::view::{Explained, Pair, View};

use crate::cargo::fingerprint::Fields;
use crate::explain::cause::{Cause, FOR_EACH_COPY, value};
use crate::explain::inspection::{InspectedUnit, Inspection};
use crate::explain::snapshot::{PrintSnapshot, Snapshot, UnitSnapshot};
use crate::state::manifest::EnvRecord;
use crate::unit::{Unit, is_cargos, is_of_unpacked};

/// Explains every unit that the job used.
pub fn inspect(before: &Snapshot, after: &Snapshot, surroundings: &Surroundings) -> Inspection {
    let view = View::new(before, after, surroundings);
    let used: Vec<usize> = (0..after.units.len()).filter(|&at| view.counts(at)).collect();
    let causes: HashMap<usize, Option<Explained>> = used.iter().map(|&at| (at, view.explain(at))).collect();
    let place: HashMap<usize, usize> = used.iter().enumerate().map(|(new, &old)| (old, new)).collect();
    let units = used.iter().map(|&at| {
        let unit = &after.units[at];
        let found = causes[&at].clone();
        let root = found.as_ref().and_then(|found| found.follows).map(|_| root_of(at, &causes));
        let fields = unit.prints.iter().find_map(|print| print.fields.as_ref());
        InspectedUnit {
            unit: unit.title(),
            package: unit.package.clone(),
            targets: unit.prints.iter().map(|print| print.target.clone()).collect(),
            profile: unit.profile.clone(),
            kind: unit.kind().to_owned(),
            dir: surroundings.project.package(&unit.lies, &unit.package).map(|own| own.dir.clone()),
            place: unit.place.clone(),
            lies: unit.lies.clone(),
            mode: unit.mode,
            features: fields.map(|fields| fields.features.clone()).unwrap_or_default(),
            rustflags: fields.map(|fields| fields.rustflags.clone()).unwrap_or_default(),
            setting: fields.map_or(0, setting),
            watches_all: unit.is_run() && fields.is_some_and(|fields| fields.newest_file.is_some()),
            bytes: unit.bytes,
            started: unit.started,
            seconds: unit.seconds,
            files: view.changed_files(at, found.as_ref()),
            cause: found.map(|found| found.cause),
            needs: view.needs(at).filter_map(|needed| place.get(&needed).copied()).collect(),
            root: root.filter(|root| *root != at).and_then(|root| place.get(&root).copied()),
        }
    });
    let prints = used.iter().flat_map(|&at| &after.units[at].prints);
    let unknown_fields = prints.filter_map(|print| Some(print.fields.as_ref()?.unknown)).sum();
    Inspection { units: units.collect(), unknown_fields, cores: surroundings.cores }
}

/// Follows cascades to where they began.
fn root_of(at: usize, causes: &HashMap<usize, Option<Explained>>) -> usize {
    let mut seen = BTreeSet::from([at]);
    let mut root = at;
    while let Some(next) = causes.get(&root).and_then(Option::as_ref).and_then(|found| found.follows) {
        if !seen.insert(next) {
            break;
        }
        root = next;
    }
    root
}

impl<'a> View<'a> {
    /// Units that one was built from.
    fn needs(&self, at: usize) -> impl Iterator<Item = usize> {
        let fields = self.after.units[at].prints.iter().filter_map(|print| print.fields.as_ref());
        let needs =
            fields.flat_map(|fields| &fields.deps).filter_map(move |dep| self.named(&self.after.units[at], &dep.hash));
        needs.filter(move |needed| *needed != at)
    }

    fn explain(&self, at: usize) -> Option<Explained> {
        if !self.compiled(at) {
            return None;
        }
        let unit = &self.after.units[at];
        Some(match self.old.get(unit.place.as_str()) {
            Some(old) => self.rebuilt(unit, old),
            None => self.new_unit(unit),
        })
    }

    /// The same folder as before: Cargo found a difference in it.
    fn rebuilt(&self, unit: &'a UnitSnapshot, old: &'a UnitSnapshot) -> Explained {
        if old.is_unfinished() && !self.known.forced.contains_key(&unit.place) {
            return Cause::Unfinished.into();
        }
        let pairs = unit.prints.iter().filter_map(|print| {
            let before = old.prints.iter().find(|before| before.target == print.target)?;
            Some((before.fields.as_ref()?, print.fields.as_ref()?))
        });
        let pairs: Vec<(&Fields, &Fields)> = pairs.collect();
        let of = Pair { unit, old };
        let settings = pairs.iter().find_map(|(old, new)| self.settings(old, new, of));
        if let Some(cause) = settings {
            return cause.into();
        }
        // What was taken away from it Cargo misses only after that: of a script's run before its dependencies, of others after them.
        let forced = || {
            let reason = self.known.forced.get(&unit.place).map(String::as_str).or_else(|| self.for_each_copy(unit))?;
            Some(Explained::from(Cause::Forced { reason: reason.to_owned() }))
        };
        if let Some(found) = forced().filter(|_| unit.is_run()) {
            return found;
        }
        // A build script's variables are part of its fingerprint, a compiler's are looked up with its files.
        if let Some(cause) = env_change(old, unit).filter(|_| unit.is_run()) {
            return cause.into();
        }
        if let Some(cause) = pairs.iter().find_map(|(old, new)| newest_file(old, new, &self.known.touched)) {
            return cause.into();
        }
        if let Some(found) = pairs.iter().find_map(|(old, new)| self.deps(old, new, unit)) {
            return found;
        }
        if old.lacks_output {
            return Cause::OutputMissing.into();
        }
        if let Some(found) = pairs.iter().find_map(|(_, new)| self.rebuilt_dependency(unit, new)) {
            return found;
        }
        if let Some(cause) = pairs.iter().find_map(|(_, new)| self.newer_dependency(old, new)) {
            return cause.into();
        }
        if let Some(found) = forced() {
            return found;
        }
        if let Some(cause) = self.changed_file(old).or_else(|| env_change(old, unit)) {
            return cause.into();
        }
        // Its time was set back after it was read.
        if let Some(path) = old.files.iter().find(|path| self.known.replaced.contains(*path)) {
            return Cause::SourceChanged { path: self.shown(path) }.into();
        }
        if is_of_unpacked(&unit.profile) && self.is_own(unit) {
            return Cause::Forced { reason: "its package differs in the unpacked sdist".to_owned() }.into();
        }
        // Nothing that goes into it differs: what Cargo had left to miss is what came out of it.
        let is_same = |print: &PrintSnapshot| old.prints.iter().any(|before| before.hash == print.hash);
        let is_known = |print: &PrintSnapshot| print.fields.as_ref().is_some_and(|fields| fields.unknown == 0);
        // Whether a secret is another one is not written down anywhere.
        let has_secret = unit.env.iter().any(|(_, record)| *record == EnvRecord::Set);
        let is_missing = !has_secret && unit.prints.iter().all(|print| is_same(print) && is_known(print));
        // Documentation can lie in the folder of what it documents.
        let is_new = |print: &PrintSnapshot| old.prints.iter().all(|before| before.target != print.target);
        if unit.prints.iter().any(is_new) {
            return self.first(unit).into();
        }
        if is_missing { self.again(unit).into() } else { Cause::Unexplained.into() }
    }

    fn is_own(&self, unit: &UnitSnapshot) -> bool {
        self.known.project.package(&unit.lies, &unit.package).is_some()
    }

    /// What a build script of an unpacked sdist said may name its copy.
    fn for_each_copy(&self, unit: &UnitSnapshot) -> Option<&'static str> {
        (unit.is_run() && is_of_unpacked(&unit.profile) && self.is_own(unit)).then_some(FOR_EACH_COPY)
    }

    /// Nothing that goes into the unit differs, and yet it was built: either what it had built was missing, or something differed
    /// for a while. Of what differs for a while only variables come back exactly.
    fn again(&self, unit: &UnitSnapshot) -> Cause {
        let tracked: Vec<_> = unit.env.iter().filter(|(name, _)| !is_cargos(name)).collect();
        let names: Vec<String> = tracked.iter().map(|(name, _)| name.clone()).collect();
        if let Some(dependency) = self.takes_turns(unit) {
            return Cause::VariantsTakeTurns { dependency };
        }
        if names.is_empty() {
            return Cause::OutputMissing;
        }
        // Who was built in the other state, in a folder of its own, still says what it was.
        let same = self.after.units.iter().chain(&self.before.units).filter(|other| other.package == unit.package);
        let others: BTreeSet<(&str, String)> =
            same.flat_map(|unit| &unit.env).map(|(name, record)| (name.as_str(), value(record))).collect();
        let found = tracked.into_iter().find_map(|(name, record)| {
            let own = value(record);
            let (_, other) = others.iter().find(|(other, value)| other == name && *value != own)?;
            Some((name.clone(), (other.clone(), own)))
        });
        match found {
            Some((name, values)) => Cause::ChangedBack { names: vec![name], values: Some(values) },
            None => Cause::ChangedBack { names, values: None },
        }
    }

    /// A dependency of which the job used several variants, although it has but one unit that is built from them.
    fn takes_turns(&self, unit: &UnitSnapshot) -> Option<String> {
        let used = |of: &UnitSnapshot| {
            let is_like = |other: &UnitSnapshot| {
                (other.root(), &other.package, &other.profile, &other.lies, other.mode)
                    == (of.root(), &of.package, &of.profile, &of.lies, of.mode)
                    && other.prints.iter().map(|print| &print.target).eq(of.prints.iter().map(|print| &print.target))
            };
            (0..self.after.units.len()).filter(|&at| self.counts(at) && is_like(&self.after.units[at])).count()
        };
        let fields = unit.prints.iter().filter_map(|print| print.fields.as_ref());
        let deps = fields.flat_map(|fields| &fields.deps).filter_map(|dep| self.named(unit, &dep.hash));
        let mut deps = deps.map(|at| &self.after.units[at]);
        (used(unit) == 1).then(|| deps.find(|dep| used(dep) > 1).map(Unit::title)).flatten()
    }

    /// The first path that the unit had read and that is newer than it, or gone.
    fn changed_file(&self, old: &UnitSnapshot) -> Option<Cause> {
        let (path, gone) = self.changed(old).next()?;
        if let Some(reason) = self.known.touched.get(path) {
            return Some(Cause::Forced { reason: reason.clone() });
        }
        if gone && old.is_run() && self.known.never_there.contains(path) {
            return Some(Cause::NeverThere { path: self.shown(path) });
        }
        let path = self.shown(path);
        Some(if gone { Cause::SourceGone { path } } else { Cause::SourceChanged { path } })
    }

    /// Paths that the unit had read and that are newer than it, or gone.
    fn changed<'b>(&'b self, old: &'b UnitSnapshot) -> impl Iterator<Item = (&'b String, bool)> {
        old.files.iter().filter_map(|path| match self.known.times.get(path) {
            Some(Some(time)) if *time > old.reference => Some((path, false)),
            Some(None) => Some((path, true)),
            _ => None,
        })
    }

    fn shown(&self, path: &str) -> String {
        self.known.project.shown(path)
    }

    /// All of them, where one was the cause.
    fn changed_files(&self, at: usize, found: Option<&Explained>) -> Vec<String> {
        let of_files =
            matches!(found, Some(Explained { cause: Cause::SourceChanged { .. } | Cause::SourceGone { .. }, .. }));
        let old = self.old.get(self.after.units[at].place.as_str()).filter(|_| of_files);
        old.map(|old| self.changed(old).map(|(path, _)| self.shown(path)).collect()).unwrap_or_default()
    }
}
