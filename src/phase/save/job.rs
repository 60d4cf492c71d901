//! Everything that a save looks at, gathered once: what lies on disk, and what the state that the job began with says about it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::OnceLock;

use vec1::Vec1;

use crate::cargo::liveness::{self, UseShown};
use crate::cargo::macros;
use crate::cargo::units::{self, DiskUnit, Survey};
use crate::cargo::whereabouts::Place;
use crate::job::facts::Facts;
use crate::job::handover::{Restored, State};
use crate::job::inputs::JobResult;
use crate::job::outcome::Start;
use crate::stamp::observed::Untouched;
use crate::stamp::recorded;
use crate::state::manifest::{Root, UnitRecord};
use crate::store::Store;
use crate::unit::{Mode, UnitPlace};

pub(super) struct Job<'a> {
    pub(super) facts: Facts,
    pub(super) roots: Vec1<Root>,
    pub(super) state: &'a State,
    pub(super) surveys: Vec<Survey>,
    /// Index into `surveys` and the unit, for every unit on disk.
    pub(super) units: Vec<(usize, usize)>,
    /// Where their packages lie, survey by survey.
    pub(super) places: Vec<Vec<Place>>,
    pub(super) store: &'a dyn Store,
    /// None where nobody can tell.
    pub(super) unread: Option<Untouched>,
    /// What the restored state says of a unit, by its place.
    records: HashMap<(usize, &'a UnitPlace), &'a UnitRecord>,
    same: OnceLock<BTreeSet<usize>>,
    modes: OnceLock<Vec<Mode>>,
}

impl<'a> Job<'a> {
    /// `places` are still to be found.
    pub(super) fn new(
        facts: Facts,
        state: &'a State,
        surveys: Vec<Survey>,
        store: &'a dyn Store,
        unread: Option<Untouched>,
    ) -> Self {
        let units =
            surveys.iter().enumerate().flat_map(|(root, survey)| (0..survey.units.len()).map(move |unit| (root, unit)));
        let records = state.restored.iter().flat_map(|restored| &restored.manifest.units);
        Self {
            roots: facts.roots(),
            units: units.collect(),
            places: Vec::new(),
            unread: unread.filter(|_| !macros::are_wrapped(&facts.configs)),
            records: records.map(|record| ((record.root, &record.place), record)).collect(),
            same: OnceLock::new(),
            modes: OnceLock::new(),
            facts,
            state,
            surveys,
            store,
        }
    }

    pub(super) fn unit(&self, at: usize) -> &DiskUnit {
        let (root, unit) = self.units[at];
        &self.surveys[root].units[unit]
    }

    pub(super) fn all(&self) -> Vec<&DiskUnit> {
        (0..self.units.len()).map(|at| self.unit(at)).collect()
    }

    /// What it was built from, as indices of units.
    pub(super) fn edges(&self) -> Vec<Vec<Option<usize>>> {
        let all: Vec<(usize, &DiskUnit)> = self.units.iter().map(|(root, _)| *root).zip(self.all()).collect();
        units::edges(&all)
    }

    pub(super) fn place(&self, at: usize) -> &Place {
        let (root, unit) = self.units[at];
        &self.places[root][unit]
    }

    pub(super) fn previous(&self) -> Option<&'a Restored> {
        self.state.restored.as_ref()
    }

    /// The restored files that are still the ones on disk. Found out when somebody asks: it can mean reading them.
    pub(super) fn same(&self) -> &BTreeSet<usize> {
        self.same.get_or_init(|| {
            let Some(Restored { manifest, lost_files, changed, .. }) = self.previous() else { return BTreeSet::new() };
            let same = recorded::same_files(manifest, changed, self.state.shift, &self.surveys);
            same.difference(lost_files).copied().collect()
        })
    }

    /// What the compiler was asked for.
    pub(super) fn mode(&self, at: usize) -> Mode {
        let modes = self.modes.get_or_init(|| {
            let of_survey = |survey: &Survey| -> Vec<Mode> {
                survey.units.iter().zip(survey.outputs()).map(|(unit, outputs)| unit.mode(&outputs)).collect()
            };
            self.surveys.iter().flat_map(of_survey).collect()
        });
        modes[at]
    }

    /// The record of a unit that the job did not build again.
    pub(super) fn unchanged(&self, at: usize) -> Option<&'a UnitRecord> {
        self.unchanged_in(self.units[at].0, self.unit(at))
    }

    pub(super) fn unchanged_in(&self, root: usize, unit: &DiskUnit) -> Option<&'a UnitRecord> {
        let record = self.records.get(&(root, &unit.place)).copied()?;
        (record.reference.minus(self.state.shift) == unit.reference).then_some(record)
    }

    pub(super) fn was_compiled(&self, at: usize) -> bool {
        (self.is_recorded(at) || !self.was_unknown(at)) && self.unchanged(at).is_none()
    }

    fn is_recorded(&self, at: usize) -> bool {
        self.records.contains_key(&(self.units[at].0, &self.unit(at).place))
    }

    /// It was on disk when the job began, and no manifest spoke for it.
    fn was_unknown(&self, at: usize) -> bool {
        self.state.unknown_units.contains(&self.unit(at).place.name_in(self.units[at].0))
    }

    /// Whether it began with the state of another job, which is only set up alike.
    pub(super) fn is_guest(&self) -> bool {
        matches!(self.state.outcome.start, Start::Restored { sibling: Some(_), .. })
    }

    /// How long each unit has been idle; `None` for one that goes.
    pub(super) fn ages(&self, edges: &[Vec<Option<usize>>], result: JobResult) -> Vec<Option<u32>> {
        let known = |at: usize| {
            let record = self.records.get(&(self.units[at].0, &self.unit(at).place));
            record.map(|record| record.idle).or(self.was_unknown(at).then_some(0))
        };
        let known: Vec<Option<u32>> = (0..self.units.len()).map(known).collect();
        let evidence = if self.state.access_times { UseShown::AccessTimes } else { UseShown::Nothing };
        // What only the other one used is not this one's to carry along.
        let keep = if self.is_guest() { 0 } else { self.state.inputs.keep_unused };
        liveness::ages(&self.all(), edges, &known, evidence, keep, result == JobResult::Succeeded)
    }

    /// Recorded units that are no longer kept.
    pub(super) fn dropped(&self, live: &[usize]) -> usize {
        let kept: BTreeSet<(usize, &UnitPlace)> =
            live.iter().map(|&at| (self.units[at].0, &self.unit(at).place)).collect();
        self.records.keys().filter(|place| !kept.contains(*place)).count()
    }

    /// Places of the units that this save drops, and of those that earlier ones dropped.
    pub(super) fn pruned(&self, live: &[usize]) -> BTreeSet<String> {
        let Some(restored) = self.previous() else { return BTreeSet::new() };
        let alive: BTreeSet<String> = live.iter().map(|&at| self.unit(at).place.name_in(self.units[at].0)).collect();
        let recorded = restored.manifest.units.iter().map(|unit| unit.place.name_in(unit.root));
        let gone = recorded.chain(restored.manifest.pruned.iter().cloned()).filter(|place| !alive.contains(place));
        gone.take(REMEMBERED).collect()
    }

    /// When each file had last changed before it was packed: one that changed meanwhile is not the one in the pack.
    pub(super) fn changed(&self, files: &[crate::state::manifest::FileEntry]) -> recorded::Changed {
        let on_disk = self.surveys.iter().enumerate();
        let on_disk = on_disk.flat_map(|(root, survey)| survey.files.iter().map(move |file| (root, file)));
        let times: BTreeMap<(usize, &str), _> =
            on_disk.map(|(root, file)| ((root, file.path.as_str()), file.meta.ctime)).collect();
        files.iter().map(|file| times.get(&(file.root, file.path.as_str())).copied().flatten()).collect()
    }
}

/// Dropped units that are remembered by name.
const REMEMBERED: usize = 2_000;
