//! Why each unit of a job was compiled: compares what the target said before the job with what it says after it.
//!
//! Pure. Goes through Cargo's own comparisons in Cargo's own order, because only the first difference is the reason that Cargo
//! had. A unit in a folder of its own, about which Cargo gives no reason, is compared with the unit before that is most like it.
//! How it can be wrong: a file that changed *after* its unit was built looks like the reason; what is not known is
//! `Unexplained`, never a guess.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::compare::{difference, distance, env_change, newest_file, rustflags_changed, setting};

use crate::cargo::fingerprint::Fields;
use crate::explain::cause::Cause;
use crate::explain::inspection::{InspectedUnit, Inspection};
use crate::explain::snapshot::{PrintSnapshot, Snapshot, UnitSnapshot};
use crate::moment::Moment;
use crate::state::manifest::EnvRecord;
use crate::state::manifest::LockedPackage;
use crate::unit::Unit;

/// What else is known about the job.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// What compilers call themselves, by the number under which Cargo remembers them.
    pub toolchains: HashMap<u64, String>,
    /// Locked packages, before and after.
    pub locked_before: BTreeSet<LockedPackage>,
    pub locked_after: BTreeSet<LockedPackage>,
    /// Profiles and lints, by name, that differ: `profile.dev.debug: 2 → 0`.
    pub settings: Vec<String>,
    /// Folders of the project's own packages, relative to the workspace.
    pub own: BTreeMap<String, String>,
    /// The workspace: paths below it are shown relative to it.
    pub base: String,
    /// The time of every path that a unit read, and for a folder the newest below it; `None` for one that is gone.
    pub times: HashMap<String, Option<Moment>>,
    /// Units that were made to rebuild, by place, and why.
    pub forced: BTreeMap<String, String>,
    /// Sources that were made to look new, and why.
    pub touched: BTreeMap<String, String>,
    /// Units that were dropped lately, as `package target`.
    pub pruned: BTreeSet<String>,
}

/// Explains every unit that the job used.
pub fn inspect(before: &Snapshot, after: &Snapshot, surroundings: &Surroundings) -> Inspection {
    let inspector = Inspector::new(before, after, surroundings);
    let used: Vec<usize> = (0..after.units.len()).filter(|&at| inspector.counts(at)).collect();
    let causes: HashMap<usize, Option<Explained>> = used.iter().map(|&at| (at, inspector.explain(at))).collect();
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
            dir: surroundings.own.get(&unit.package).cloned(),
            features: fields.map(|fields| fields.features.clone()).unwrap_or_default(),
            rustflags: fields.map(|fields| fields.rustflags.clone()).unwrap_or_default(),
            setting: fields.map_or(0, setting),
            watches_all: unit.is_run() && fields.is_some_and(|fields| fields.newest_file.is_some()),
            bytes: unit.bytes,
            started: unit.started,
            seconds: unit.seconds,
            files: inspector.changed_files(at, found.as_ref()),
            cause: found.map(|found| found.cause),
            root: root.filter(|root| *root != at).and_then(|root| place.get(&root).copied()),
        }
    });
    let prints = used.iter().flat_map(|&at| &after.units[at].prints);
    let unknown_fields = prints.filter_map(|print| Some(print.fields.as_ref()?.unknown)).sum();
    Inspection { units: units.collect(), unknown_fields }
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

#[derive(Clone, Debug)]
struct Explained {
    cause: Cause,
    /// The unit in the snapshot after the job that this one followed.
    follows: Option<usize>,
}

impl From<Cause> for Explained {
    fn from(cause: Cause) -> Self {
        Self { cause, follows: None }
    }
}

struct Inspector<'a> {
    before: &'a Snapshot,
    after: &'a Snapshot,
    known: &'a Surroundings,
    /// Units before, by place.
    old: HashMap<&'a str, &'a UnitSnapshot>,
    /// Units after, by each of their hashes.
    by_hash: HashMap<&'a str, usize>,
    /// Units before, by each of their hashes.
    old_by_hash: HashMap<&'a str, &'a UnitSnapshot>,
    after_by_place: HashMap<&'a str, usize>,
}

impl<'a> Inspector<'a> {
    fn new(before: &'a Snapshot, after: &'a Snapshot, known: &'a Surroundings) -> Self {
        let hashes = |unit: &'a UnitSnapshot| unit.prints.iter().map(|print| print.hash.as_str());
        Self {
            before,
            after,
            known,
            old: before.units.iter().map(|unit| (unit.place.as_str(), unit)).collect(),
            by_hash: (0..after.units.len())
                .flat_map(|at| hashes(&after.units[at]).map(move |hash| (hash, at)))
                .collect(),
            old_by_hash: before.units.iter().flat_map(|unit| hashes(unit).map(move |hash| (hash, unit))).collect(),
            after_by_place: after.units.iter().enumerate().map(|(at, unit)| (unit.place.as_str(), at)).collect(),
        }
    }

    fn compiled(&self, at: usize) -> bool {
        let unit = &self.after.units[at];
        self.old.get(unit.place.as_str()).is_none_or(|old| old.reference != unit.reference)
    }

    fn counts(&self, at: usize) -> bool {
        self.after.units[at].used || self.compiled(at)
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
    fn rebuilt(&self, unit: &UnitSnapshot, old: &UnitSnapshot) -> Explained {
        let pairs = unit.prints.iter().filter_map(|print| {
            let before = old.prints.iter().find(|before| before.target == print.target)?;
            Some((before.fields.as_ref()?, print.fields.as_ref()?))
        });
        let pairs: Vec<(&Fields, &Fields)> = pairs.collect();
        let settings = pairs.iter().find_map(|(old, new)| self.settings(old, new));
        if let Some(cause) = settings {
            return cause.into();
        }
        // What was taken away from it Cargo misses only after that: of a script's run before its dependencies, of others after them.
        let forced = || {
            let reason = self.known.forced.get(&unit.place)?;
            Some(Explained::from(Cause::Forced { reason: reason.clone() }))
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
        if let Some(found) = pairs.iter().find_map(|(old, new)| self.deps(old, new)) {
            return found;
        }
        if old.lacks_output {
            return Cause::OutputMissing.into();
        }
        if let Some(found) = pairs.iter().find_map(|(_, new)| self.rebuilt_dependency(new)) {
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
        // Nothing that goes into it differs: what Cargo had left to miss is what came out of it.
        let is_same = |print: &PrintSnapshot| old.prints.iter().any(|before| before.hash == print.hash);
        let is_known = |print: &PrintSnapshot| print.fields.as_ref().is_some_and(|fields| fields.unknown == 0);
        // Whether a secret is another one is not written down anywhere.
        let has_secret = unit.env.iter().any(|(_, record)| *record == EnvRecord::Set);
        let is_missing = !has_secret && unit.prints.iter().all(|print| is_same(print) && is_known(print));
        if is_missing { Cause::OutputMissing.into() } else { Cause::Unexplained.into() }
    }

    /// What decides in which folder a unit lies, and what is compared inside it, in Cargo's order.
    fn settings(&self, old: &Fields, new: &Fields) -> Option<Cause> {
        if old.rustc != new.rustc {
            return Some(Cause::ToolchainChanged { old: self.toolchain(old.rustc), new: self.toolchain(new.rustc) });
        }
        if old.features != new.features {
            let (added, removed) = difference(&old.features, &new.features);
            return Some(Cause::FeaturesChanged { added, removed });
        }
        if old.declared_features != new.declared_features {
            let (added, removed) = difference(&old.declared_features, &new.declared_features);
            return Some(Cause::DeclaredFeaturesChanged { added, removed });
        }
        if old.target != new.target {
            return Some(Cause::TargetDefinitionChanged);
        }
        if old.path != new.path {
            return Some(Cause::PathMoved);
        }
        if old.profile != new.profile {
            return Some(Cause::ProfileChanged { differences: self.known.settings.clone() });
        }
        if old.rustflags != new.rustflags {
            return Some(rustflags_changed(old, new));
        }
        if old.config != new.config {
            return Some(Cause::ConfigChanged);
        }
        (old.compile_kind != new.compile_kind).then_some(Cause::TargetChanged)
    }

    fn toolchain(&self, hash: u64) -> String {
        self.known.toolchains.get(&hash).cloned().unwrap_or_else(|| format!("an unknown one ({hash:016x})"))
    }

    /// The first dependency that is not the one it was built with.
    fn deps(&self, old: &Fields, new: &Fields) -> Option<Explained> {
        let name = |fields: &Fields| -> Vec<String> { fields.deps.iter().map(|dep| dep.name.clone()).collect() };
        let (old_names, new_names) = (name(old), name(new));
        if old_names.len() != new_names.len() || old_names != new_names {
            let (mut added, mut removed) = difference(&old_names, &new_names);
            if let Some(name) = added.pop() {
                return Some(Cause::DependencyAdded { name }.into());
            }
            if let Some(name) = removed.pop() {
                return Some(Cause::DependencyRemoved { name }.into());
            }
        }
        let changed = old.deps.iter().zip(&new.deps).filter(|(old, new)| old.hash != new.hash);
        changed.map(|(old, new)| self.follow(&old.hash, &new.hash, &new.name)).next()
    }

    /// A cascade from the unit that this hash names now, or had named.
    fn follow(&self, old_hash: &str, new_hash: &str, name: &str) -> Explained {
        let now = self.by_hash.get(new_hash).copied();
        let then = || {
            let old = self.old_by_hash.get(old_hash)?;
            self.after_by_place.get(old.place.as_str()).copied()
        };
        let follows = now.or_else(then).filter(|&at| self.compiled(at));
        if let (None, Some(now), Some(old)) = (follows, now, self.old_by_hash.get(old_hash)) {
            let fields = |unit: &'a UnitSnapshot| unit.prints.iter().find_map(|print| print.fields.as_ref());
            let difference =
                fields(old).zip(fields(&self.after.units[now])).and_then(|(old, new)| self.settings(old, new));
            if let Some(difference) = difference {
                let dependency = self.after.units[now].title();
                return Cause::OtherVariant { dependency, difference: difference.to_string() }.into();
            }
        }
        let dependency = follows.map_or_else(|| name.to_owned(), |at| self.after.units[at].title());
        Explained { cause: Cause::DependencyRebuilt { dependency }, follows }
    }

    /// A dependency that was compiled although its hash is what it was: its outputs are newer.
    fn rebuilt_dependency(&self, new: &Fields) -> Option<Explained> {
        let follows = new.deps.iter().find_map(|dep| {
            let at = *self.by_hash.get(dep.hash.as_str())?;
            self.compiled(at).then_some(at)
        })?;
        let dependency = self.after.units[follows].title();
        Some(Explained { cause: Cause::DependencyRebuilt { dependency }, follows: Some(follows) })
    }

    /// A dependency that this job left alone, and that an earlier build compiled without the unit.
    fn newer_dependency(&self, old: &UnitSnapshot, new: &Fields) -> Option<Cause> {
        let mut deps = new.deps.iter().filter_map(|dep| self.old_by_hash.get(dep.hash.as_str()));
        let newer = deps.find(|dep| dep.reference > old.reference)?;
        Some(Cause::DependencyNewer { dependency: newer.title() })
    }

    /// The first path that the unit had read and that is newer than it, or gone.
    fn changed_file(&self, old: &UnitSnapshot) -> Option<Cause> {
        let (path, gone) = self.changed(old).next()?;
        if let Some(reason) = self.known.touched.get(path) {
            return Some(Cause::Forced { reason: reason.clone() });
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
        let below = path.strip_prefix(&self.known.base).and_then(|rest| rest.strip_prefix(['/', '\\']));
        below.filter(|_| !self.known.base.is_empty()).unwrap_or(path).to_owned()
    }

    /// All of them, where one was the cause.
    fn changed_files(&self, at: usize, found: Option<&Explained>) -> Vec<String> {
        let of_files =
            matches!(found, Some(Explained { cause: Cause::SourceChanged { .. } | Cause::SourceGone { .. }, .. }));
        let old = self.old.get(self.after.units[at].place.as_str()).filter(|_| of_files);
        old.map(|old| self.changed(old).map(|(path, _)| self.shown(path)).collect()).unwrap_or_default()
    }

    /// A folder that was not there: the unit before that is most like it tells the difference.
    fn new_unit(&self, unit: &UnitSnapshot) -> Explained {
        if self.before.units.is_empty() {
            return Cause::ColdStart.into();
        }
        let Some((print, nearest)) = self.nearest(unit) else {
            let targets = unit.prints.iter().map(|print| format!("{} {}", unit.package, print.target));
            let pruned = targets.into_iter().any(|target| self.known.pruned.contains(&target));
            return if pruned { Cause::Pruned } else { self.bump(unit).unwrap_or(Cause::NeverBuilt) }.into();
        };
        let (Some(new), Some(old)) = (&print.fields, &nearest.fields) else {
            return Cause::NeverBuilt.into();
        };
        let moved = old.path != new.path;
        if let Some(cause) = self.bump(unit).filter(|_| moved) {
            return cause.into();
        }
        let was = self.profile_of(nearest);
        if !was.is_empty() && was != unit.profile && old.compile_kind == new.compile_kind {
            return Cause::ProfileChanged { differences: vec![format!("`{was}` → `{}`", unit.profile)] }.into();
        }
        // Flags can change a profile, which is but a number; flags have words.
        if old.rustflags != new.rustflags && old.rustc == new.rustc && old.features == new.features {
            return rustflags_changed(old, new).into();
        }
        if let Some(cause) = self.settings(old, new) {
            return cause.into();
        }
        if let Some(found) = self.deps(old, new) {
            return found;
        }
        if let Some(cause) = self.bump(unit) {
            return cause.into();
        }
        if let Some(found) = self.rebuilt_dependency(new) {
            return found;
        }
        // A build script's run knows nothing of profiles: the package's other units do.
        let sibling = self.after.units.iter().enumerate().find(|(at, other)| {
            other.package == unit.package && other.profile == unit.profile && !other.is_run() && self.compiled(*at)
        });
        if let (true, Some((at, other))) = (unit.is_run(), sibling) {
            return Explained { cause: Cause::DependencyRebuilt { dependency: other.title() }, follows: Some(at) };
        }
        Cause::Unexplained.into()
    }

    fn profile_of(&self, print: &PrintSnapshot) -> &str {
        self.old_by_hash.get(print.hash.as_str()).map_or("", |unit| unit.profile.as_str())
    }

    /// The unit before of the same package and target with the fewest differences.
    fn nearest(&self, unit: &'a UnitSnapshot) -> Option<(&'a PrintSnapshot, &'a PrintSnapshot)> {
        let candidates = unit.prints.iter().flat_map(|print| {
            let same = self.before.units.iter().filter(|old| old.package == unit.package);
            let same = same.flat_map(|old| old.prints.iter().map(move |before| (old, before)));
            same.filter(|(_, before)| before.target == print.target).map(move |(old, before)| (print, old, before))
        });
        let nearest = candidates.min_by_key(|(print, old, before)| {
            let distance = match (&print.fields, &before.fields) {
                (Some(new), Some(old)) => distance(old, new),
                _ => usize::MAX,
            };
            (distance, old.profile != unit.profile, !old.used)
        });
        nearest.map(|(print, _, before)| (print, before))
    }

    /// The package's version changed in the lock file.
    fn bump(&self, unit: &UnitSnapshot) -> Option<Cause> {
        let versions = |locked: &BTreeSet<LockedPackage>, not_in: &BTreeSet<LockedPackage>| -> Vec<String> {
            let only = locked.difference(not_in).filter(|locked| locked.name == unit.package);
            only.map(|locked| locked.version.clone()).collect()
        };
        let old = versions(&self.known.locked_before, &self.known.locked_after);
        let new = versions(&self.known.locked_after, &self.known.locked_before);
        (!old.is_empty() && !new.is_empty()).then(|| Cause::LockBumped {
            package: unit.package.clone(),
            old: old.join(", "),
            new: new.join(", "),
        })
    }
}
