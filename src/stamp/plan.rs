//! The stamping plan: which source files and folders get their recorded time back, which get a new one, and which units
//! cannot be trusted whatever the times say.
//!
//! Pure. A function of the manifest and of what is on disk now. The rule behind every line: the restored tree is the state in
//! which a developer goes on working, plus differences that are all newer than anything restored. A recorded time given to
//! something that differs is a stale build; a new time given to something equal is only a rebuild.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use crate::machine::paths::{file_name, is_under};
use crate::moment::Moment;
use crate::stamp::doc_inputs;
use crate::stamp::doubt::{ClockSkew, Doubt};
use crate::stamp::macro_inputs::{self, Changes};
use crate::stamp::overlooked;
use crate::state::manifest::{Input, InputKind, Manifest, Origin, PackageKind, PackageRecord, UnitRecord};

/// What is on disk now, as far as stamping needs to know it.
#[derive(Debug, Default)]
pub struct Present {
    /// Inputs by path, with the times that they have now.
    pub inputs: BTreeMap<String, Input>,
    /// Paths outside the source roots whose time may be set: they belong to the user that the job runs as.
    pub own_outside: HashSet<String>,
    /// Newer than everything restored, and not in the future by the time the restore ends.
    pub new_time: Moment,
    /// How far back restored times are moved, when the machine that saved them was ahead of this one.
    pub shift: Duration,
    /// Doubts that others found: files on disk that differ, libraries, the commit.
    pub doubts: Vec<(usize, Doubt)>,
    /// What was read beyond the source roots and is not what it was, as indices.
    pub beyond: BTreeSet<usize>,
}

/// What to do, as data.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct StampPlan {
    pub times: BTreeMap<String, Moment>,
    pub doubts: BTreeMap<usize, Vec<Doubt>>,
    /// Packages whose sources were made to look new.
    pub skewed: Vec<ClockSkew>,
    /// Inputs that came back as they were recorded.
    pub same: usize,
    /// Inputs that are new, changed or gone.
    pub differing: Vec<String>,
    /// Inputs that are as recorded but newer, and not ours to stamp.
    pub not_ours: Vec<String>,
}

/// Plans the stamping of a tree whose target files this manifest speaks for.
pub fn plan(manifest: &Manifest, present: &Present) -> StampPlan {
    let mut planner = Planner::new(manifest, present);
    planner.compare();
    planner.moved_links();
    planner.generated();
    planner.unseen();
    planner.changed_file_sets();
    planner.behind_links();
    planner.overlooked();
    planner.macro_inputs();
    planner.documented();
    planner.vendored();
    planner.outside();
    planner.keep_precalculated_times();
    for (unit, doubt) in &present.doubts {
        planner.doubt(*unit, doubt.clone());
    }
    planner.plan
}

/// Plans the stamping of a tree whose target nobody speaks for: nothing gets an old time.
pub fn plan_without_manifest(present: &Present) -> StampPlan {
    let inside = present.inputs.values().filter(|input| input.origin != Origin::Outside);
    let times: BTreeMap<String, Moment> = inside.map(|input| (input.path.clone(), present.new_time)).collect();
    StampPlan { differing: times.keys().cloned().collect(), times, ..StampPlan::default() }
}

struct Planner<'a> {
    manifest: &'a Manifest,
    present: &'a Present,
    recorded: HashMap<&'a str, &'a Input>,
    /// Which units name an input, by path.
    readers: BTreeMap<&'a str, Vec<usize>>,
    changed: BTreeSet<&'a str>,
    added: BTreeSet<&'a str>,
    gone: BTreeSet<&'a str>,
    plan: StampPlan,
}

impl<'a> Planner<'a> {
    fn new(manifest: &'a Manifest, present: &'a Present) -> Self {
        let mut readers: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, unit) in manifest.units.iter().enumerate() {
            for &input in &unit.inputs {
                readers.entry(manifest.inputs[input].path.as_str()).or_default().push(index);
            }
        }
        Self {
            manifest,
            present,
            recorded: manifest.inputs.iter().map(|input| (input.path.as_str(), input)).collect(),
            readers,
            changed: BTreeSet::new(),
            added: BTreeSet::new(),
            gone: BTreeSet::new(),
            plan: StampPlan::default(),
        }
    }

    /// Same kind, content and destination: the recorded time. Anything else: the new one.
    fn compare(&mut self) {
        for (path, now) in &self.present.inputs {
            let time = match self.recorded.get(path.as_str()) {
                Some(then) if now.is(then) => {
                    self.plan.same += 1;
                    then.mtime.minus(self.present.shift)
                }
                Some(_) => {
                    self.changed.insert(path);
                    self.present.new_time
                }
                None => {
                    self.added.insert(path);
                    self.present.new_time
                }
            };
            if now.origin != Origin::Outside {
                self.plan.times.insert(path.clone(), time);
            }
        }
        let inputs = &self.present.inputs;
        self.gone = self.recorded.keys().copied().filter(|path| !inputs.contains_key(*path)).collect();
        let differing = self.changed.iter().chain(&self.added).chain(&self.gone);
        self.plan.differing = differing.map(|path| (*path).to_owned()).collect();
        self.plan.differing.sort();
    }

    fn doubt(&mut self, unit: usize, doubt: Doubt) {
        let doubts = self.plan.doubts.entry(unit).or_default();
        if !doubts.contains(&doubt) {
            doubts.push(doubt);
        }
    }

    /// Doubts every unit that names `path` or something below it.
    fn doubt_readers(&mut self, path: &str, doubt: &Doubt) {
        let below = self.readers.range(path..).take_while(|(named, _)| named.starts_with(path));
        let units: Vec<usize> = below
            .filter(|(named, _)| **named == path || is_under(named, path))
            .flat_map(|(_, units)| units.iter().copied())
            .collect();
        for unit in units {
            self.doubt(unit, doubt.clone());
        }
    }

    /// Cargo records where a symlink led, and follows the link when it looks at times: both ways a swap goes unseen.
    fn moved_links(&mut self) {
        let candidates: Vec<&str> = self.changed.iter().chain(&self.gone).copied().collect();
        for path in candidates {
            let then = self.recorded[path];
            let kind_now = self.present.inputs.get(path).map(|input| input.kind);
            if let (InputKind::Symlink, Some(old)) = (then.kind, &then.resolved) {
                let doubt = Doubt::LinkMoved { link: path.to_owned(), old: old.clone() };
                self.doubt_readers(old, &doubt);
                self.file_set_changed(path, &doubt);
            }
            if kind_now.is_some_and(|kind| kind != then.kind) {
                self.doubt_readers(path, &Doubt::KindChanged { path: path.to_owned() });
            }
        }
        // A link that took the place of a folder or file which is no longer listed: what was named below it is gone.
        let new_links: Vec<&str> = self.added.iter().copied().filter(|path| self.is_link(path)).collect();
        for path in new_links {
            self.doubt_readers(path, &Doubt::KindChanged { path: path.to_owned() });
        }
    }

    fn is_link(&self, path: &str) -> bool {
        self.present.inputs.get(path).is_some_and(|input| input.kind == InputKind::Symlink)
    }

    /// A file that a build script wrote does not come back with a checkout, or comes back as another one: the script has to run.
    fn generated(&mut self) {
        for (at, unit) in self.manifest.units.iter().enumerate() {
            for &made in unit.run.iter().flat_map(|run| &run.made) {
                let path = self.manifest.inputs[made].path.as_str();
                if self.gone.contains(path) {
                    self.doubt(at, Doubt::GeneratedMissing { path: path.to_owned() });
                } else if self.changed.contains(path) {
                    self.doubt(at, Doubt::GeneratedChanged { path: path.to_owned() });
                }
            }
        }
    }

    /// What the save could not show to be what a unit was built from.
    fn unseen(&mut self) {
        for (at, unit) in self.manifest.units.iter().enumerate() {
            if let Some(path) = unit.unseen.first() {
                self.doubt(at, Doubt::Unseen { path: path.clone() });
            }
        }
    }

    /// A build script without `rerun-if` is judged by the newest file of its package: a file that goes away is not noticed.
    fn changed_file_sets(&mut self) {
        // Cargo makes the lock file again before anybody can miss it.
        let gone: Vec<&str> = self.gone.iter().copied().filter(|path| file_name(path) != "Cargo.lock").collect();
        for path in gone {
            self.file_set_changed(path, &Doubt::FileGone { path: path.to_owned() });
        }
        // A manifest that appears below a package takes its folder out of the package.
        let added: Vec<&str> = self.added.iter().copied().filter(|path| file_name(path) == "Cargo.toml").collect();
        for path in added {
            self.file_set_changed(path, &Doubt::PackageSplit { manifest: path.to_owned() });
        }
    }

    /// Cargo finds no file at all in a package that it reaches through a symlink inside a repository.
    fn behind_links(&mut self) {
        let differing: Vec<&str> = self.changed.iter().chain(&self.added).chain(&self.gone).copied().collect();
        for package in self.manifest.packages.iter().filter(|package| package.linked) {
            let owned = |path: &&&str| self.owner(path).is_some_and(|owner| owner.dir == package.dir);
            let Some(path) = differing.iter().find(owned) else { continue };
            for unit in self.units_of(package, UnitRecord::is_precalculated) {
                self.doubt(unit, Doubt::ChangedBehindLink { path: (*path).to_owned() });
            }
        }
    }

    fn file_set_changed(&mut self, path: &str, doubt: &Doubt) {
        let splits_a_package = file_name(path) == "Cargo.toml";
        let deepest = self.owner(path).map(|package| package.dir.clone());
        let owners: Vec<&PackageRecord> = self
            .manifest
            .packages
            .iter()
            .filter(|package| package.kind == PackageKind::Path && is_under(path, &package.dir))
            .filter(|package| splits_a_package || deepest.as_ref() == Some(&package.dir))
            .collect();
        for package in owners {
            for unit in self.units_of(package, UnitRecord::is_precalculated) {
                self.doubt(unit, doubt.clone());
            }
        }
    }

    /// What appears beside a file that was read, and means that another one counts.
    fn overlooked(&mut self) {
        for (unit, doubt) in overlooked::doubts(self.manifest, &self.readers, &self.added) {
            self.doubt(unit, doubt);
        }
    }

    /// A proc macro that reads files leaves no trace of which.
    fn macro_inputs(&mut self) {
        let changes =
            Changes { changed: &self.changed, added: &self.added, gone: &self.gone, beyond: &self.present.beyond };
        for (unit, doubt) in macro_inputs::doubts(self.manifest, &self.present.inputs, changes) {
            self.doubt(unit, doubt);
        }
    }

    /// Cargo knows of no file outside of the package that documentation takes in.
    fn documented(&mut self) {
        for (unit, doubt) in doc_inputs::doubts(self.manifest, &self.changed, &self.gone) {
            self.doubt(unit, doubt);
        }
    }

    /// Cargo looks at a vendored package only when something else made it dirty.
    fn vendored(&mut self) {
        let differing: Vec<&str> = self.changed.iter().chain(&self.added).chain(&self.gone).copied().collect();
        for package in self.manifest.packages.iter().filter(|package| package.kind == PackageKind::Vendored) {
            let Some(path) = differing.iter().find(|path| is_under(path, &package.dir)) else {
                continue;
            };
            for unit in self.units_of(package, |_| true) {
                self.doubt(unit, Doubt::VendoredChanged { path: (*path).to_owned() });
            }
        }
    }

    /// Outside files: equal ones get their time back where that is ours to set, changed ones cost their readers. The time of one
    /// that a build script made and no unit names says nothing to Cargo, and may say something to others.
    fn outside(&mut self) {
        let runs = self.manifest.units.iter().filter_map(|unit| unit.run.as_ref());
        let made: BTreeSet<&str> =
            runs.flat_map(|run| run.made.iter().map(|&at| self.manifest.inputs[at].path.as_str())).collect();
        let counts = |path: &str| !made.contains(path) || self.readers.contains_key(path);
        let inputs = self.present.inputs.values();
        let outside: Vec<&Input> =
            inputs.filter(|input| input.origin == Origin::Outside && counts(&input.path)).collect();
        for now in outside {
            let path = now.path.as_str();
            let Some(then) = self.recorded.get(path).copied() else {
                continue;
            };
            let time = then.mtime.minus(self.present.shift);
            if !now.is(then) {
                self.doubt_readers(path, &Doubt::OutsideChanged { path: path.to_owned() });
            } else if self.present.own_outside.contains(path) {
                self.plan.times.insert(path.to_owned(), time);
            } else if now.mtime > time {
                self.plan.not_ours.push(path.to_owned());
            }
        }
    }

    /// After a shift, a package that is judged by exact times keeps them if they still lie before everything it built.
    fn keep_precalculated_times(&mut self) {
        if self.present.shift.is_zero() {
            return;
        }
        for package in self.manifest.packages.iter().filter(|package| package.kind == PackageKind::Path) {
            if self.units_of(package, UnitRecord::is_precalculated).is_empty() {
                continue;
            }
            let exact: Vec<(&str, Moment)> = self
                .manifest
                .inputs
                .iter()
                .filter(|input| self.owner(&input.path).is_some_and(|owner| owner.dir == package.dir))
                .filter(|input| self.plan.times.get(&input.path) == Some(&input.mtime.minus(self.present.shift)))
                .map(|input| (input.path.as_str(), input.mtime))
                .collect();
            let names_them = |unit: &&UnitRecord| {
                unit.is_of(package)
                    || unit.inputs.iter().any(|&input| is_under(&self.manifest.inputs[input].path, &package.dir))
            };
            let oldest = self.manifest.units.iter().filter(names_them).map(|unit| unit.reference).min();
            let limit = oldest.unwrap_or_default().minus(self.present.shift);
            if exact.iter().all(|(_, mtime)| *mtime <= limit) {
                self.plan.times.extend(exact.into_iter().map(|(path, mtime)| (path.to_owned(), mtime)));
            } else {
                self.plan.skewed.push(ClockSkew { package: package.name.clone() });
            }
        }
    }

    /// The deepest package that a path belongs to.
    fn owner(&self, path: &str) -> Option<&'a PackageRecord> {
        let packages = self.manifest.packages.iter().filter(|package| is_under(path, &package.dir));
        packages.max_by_key(|package| package.dir.len())
    }

    fn units_of(&self, package: &PackageRecord, wanted: impl Fn(&UnitRecord) -> bool) -> Vec<usize> {
        let units = self.manifest.units.iter().enumerate();
        units.filter(|(_, unit)| unit.is_of(package) && wanted(unit)).map(|(index, _)| index).collect()
    }
}
