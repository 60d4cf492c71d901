//! Why a unit lies in a folder that was not there: the unit before that is most like it tells the difference. Pure.
//!
//! Cargo gives no reason for such a unit. It is compared with one of the same mode and profile, or told to be the first of these;
//! what is in use beside it has not changed. How it can be wrong: profiles are a number in Cargo's records, so that which of
//! several changed settings reached the unit is not known.

use std::collections::BTreeSet;

use super::compare::{distance, rustflags_changed};
use super::view::{Explained, Pair, View};

use crate::explain::cause::Cause;
use crate::explain::snapshot::{PrintSnapshot, UnitSnapshot};
use crate::unit::{Mode, Unit};

impl<'a> View<'a> {
    /// The unit before that is most like it tells the difference.
    pub(super) fn new_unit(&self, unit: &'a UnitSnapshot) -> Explained {
        if self.before.units.is_empty() {
            return Cause::ColdStart.into();
        }
        if let Some(reason) = self.known.forced.get(&unit.place) {
            return Cause::Forced { reason: reason.clone() }.into();
        }
        if let Some(left_out) = self.known.left_out.as_ref().filter(|left_out| left_out.units.contains(&unit.place)) {
            return Cause::LeftOut { limit: left_out.limit }.into();
        }
        if self.known.pruned.contains(&unit.place) {
            return Cause::Pruned.into();
        }
        let Some(Neighbour { print, old, before }) = self.nearest(unit) else {
            return self.bump(unit, None).unwrap_or_else(|| self.first(unit)).into();
        };
        if old.is_unfinished() {
            return Cause::Unfinished.into();
        }
        let (Some(new), Some(before)) = (&print.fields, &before.fields) else {
            return Cause::NeverBuilt.into();
        };
        if let Some(cause) = self.bump(unit, Some(old)) {
            return cause.into();
        }
        if !unit.is_run() && old.mode != unit.mode {
            return self.first(unit).into();
        }
        if old.profile != unit.profile {
            let had = self.siblings(unit).map(|old| old.profile.clone()).collect::<BTreeSet<_>>();
            return Cause::OtherProfile { profile: unit.profile.clone(), had: had.into_iter().collect() }.into();
        }
        // Flags can change a profile, which is but a number; flags have words.
        if before.rustflags != new.rustflags && before.rustc == new.rustc && before.features == new.features {
            return rustflags_changed(before, new).into();
        }
        if let Some(cause) = self.settings(before, new, Pair { unit, old }) {
            return cause.into();
        }
        if let Some(found) = self.deps(before, new, unit) {
            return found;
        }
        if let Some(found) = self.rebuilt_dependency(unit, new) {
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

    /// Nothing of this kind was there; something of the package may have been.
    pub(super) fn first(&self, unit: &UnitSnapshot) -> Cause {
        let had: BTreeSet<Mode> = self.siblings(unit).map(|old| old.mode).collect();
        if had.is_empty() || had.contains(&unit.mode) {
            return Cause::NeverBuilt;
        }
        let had = had.into_iter().map(|mode| mode.verb().to_owned()).collect();
        Cause::OtherMode { mode: unit.mode.verb().to_owned(), had }
    }

    /// Units before that built the same target, or documented it.
    fn siblings<'b>(&'b self, unit: &'b UnitSnapshot) -> impl Iterator<Item = &'a UnitSnapshot> + 'b {
        let plain = |print: &'b PrintSnapshot| print.target.trim_start_matches("doc-");
        let same = move |old: &PrintSnapshot| {
            unit.prints.iter().any(|print| plain(print) == old.target.trim_start_matches("doc-"))
        };
        self.before.units.iter().filter(move |old| old.package == unit.package && old.prints.iter().any(same))
    }

    /// The unit before of the same package and target, of the same mode and profile if there is one, that the last job used and that
    /// is not used beside this one; and of those that with the fewest differences.
    fn nearest(&self, unit: &'a UnitSnapshot) -> Option<Neighbour<'a>> {
        let candidates = unit.prints.iter().flat_map(|print| {
            let same = self.before.units.iter().filter(|old| old.package == unit.package);
            let same = same.flat_map(|old| old.prints.iter().map(move |before| (old, before)));
            same.filter(|(_, before)| before.target == print.target).map(move |(old, before)| Neighbour {
                print,
                old,
                before,
            })
        });
        candidates.min_by_key(|Neighbour { print, old, before }| {
            let distance = match (&print.fields, &before.fields) {
                (Some(new), Some(old)) => distance(old, new),
                _ => usize::MAX,
            };
            let is_elsewhere = (old.root() != unit.root(), old.lies != unit.lies);
            let is_kept = self.is_used(&old.place);
            (is_elsewhere, old.mode != unit.mode, old.profile != unit.profile, !old.used, is_kept, distance)
        })
    }
}

struct Neighbour<'a> {
    print: &'a PrintSnapshot,
    old: &'a UnitSnapshot,
    before: &'a PrintSnapshot,
}
