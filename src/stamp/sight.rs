//! What a unit can be shown to have seen: an input is believed to be what the unit was built from only if it cannot have changed
//! since.
//!
//! Pure. `mtime` proves nothing, since any tool can set it; the status-change time proves it, since nobody can. Where the platform
//! has none, what the restore saw stands in. How it can be wrong: two changes within one tick of the file system's clock, of
//! which Cargo sees as little.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::digest::ContentId;
use crate::machine::paths::{is_under, parent};
use crate::machine::shell::Shell;
use crate::moment::Moment;
use crate::state::manifest::{Input, InputKind, Origin};

/// What an input was when the restore ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sight {
    pub id: ContentId,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
    pub mtime: Moment,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<Moment>,
    /// What a change of owner, permissions or links moves without a change of content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<Shell>,
    /// Where a link led; none for anything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_to: Option<String>,
}

impl Sight {
    /// Of an input that gets this time, or keeps its own.
    pub fn of(input: &Input, time: Option<Moment>) -> Self {
        let link_to = (input.kind == InputKind::Symlink).then(|| input.resolved.clone().unwrap_or_default());
        let (id, executable) = (input.id.clone(), input.executable);
        Self { id, executable, mtime: time.unwrap_or(input.mtime), changed: None, shell: None, link_to }
    }
}

/// All of them, by path.
pub type Stamped = BTreeMap<String, Sight>;

/// The inputs as a save finds them.
#[derive(Debug)]
pub struct View<'a> {
    pub inputs: &'a BTreeMap<String, Input>,
    /// When each of them last changed in any way.
    pub changed: &'a BTreeMap<String, Moment>,
    pub shells: &'a BTreeMap<String, Shell>,
    pub stamped: &'a Stamped,
}

/// A unit that reads.
#[derive(Clone, Copy, Debug)]
pub enum Reader<'a> {
    /// Built by this job, at this time.
    Built(Moment),
    /// Built by an earlier one, from these contents.
    Kept { reference: Moment, saw: &'a BTreeMap<&'a str, (&'a ContentId, Moment)> },
}

impl View<'_> {
    /// Whether an input is what it was when the restore ended, and was nothing else in between.
    pub fn is_constant(&self, path: &str) -> bool {
        let (Some(now), Some(then)) = (self.inputs.get(path), self.stamped.get(path)) else { return false };
        let untouched = match (self.changed.get(path), then.changed) {
            (Some(changed), Some(before)) => {
                *changed == before || now.mtime == then.mtime && self.only_shell_changed(path)
            }
            _ => now.mtime == then.mtime,
        };
        // Inside `.git` every command of git's writes, and the meaning is what counts.
        now.id == then.id && now.executable == then.executable && (untouched || now.id.is_meaning())
    }

    /// Whether a change of owner, permissions or links accounts for a status change: whole checkouts are handed to another user.
    fn only_shell_changed(&self, path: &str) -> bool {
        let (now, then) = (self.shells.get(path), self.stamped.get(path).and_then(|then| then.shell));
        now.zip(then).is_some_and(|(now, then)| now.inode == then.inode && *now != then)
    }

    /// Whether it last changed before that time; unknown where the platform does not say.
    fn is_settled(&self, path: &str, time: Moment) -> bool {
        self.changed.get(path).is_some_and(|changed| *changed <= time)
    }

    /// Whether a unit was built from what an input is now, or Cargo will see by the recorded time that it was not.
    pub fn was_seen(&self, path: &str, reader: Reader<'_>) -> bool {
        let Some(now) = self.inputs.get(path) else { return true };
        let (Reader::Built(reference) | Reader::Kept { reference, .. }) = reader;
        // Times outside are not always ours to set, and Cargo looks through links.
        let is_dated = now.origin != Origin::Outside && now.kind != InputKind::Symlink;
        is_dated && now.mtime > reference || self.was_built_from(path, reader)
    }

    /// Whether a unit was built from what an input is now.
    pub fn was_built_from(&self, path: &str, reader: Reader<'_>) -> bool {
        let Some(now) = self.inputs.get(path) else { return true };
        match reader {
            Reader::Built(reference) => self.is_constant(path) || self.is_settled(path, reference),
            // What is constant was judged by the restore. One that was newer even then was not what the reader saw.
            Reader::Kept { reference, saw } => {
                let is_it = saw.get(path).is_some_and(|(id, mtime)| **id == now.id && *mtime <= reference);
                is_it || self.is_constant(path)
            }
        }
    }

    /// Links that are not what a reader built through; one that is gone may have gone only after that.
    pub fn unseen_links<'b>(&'b self, dir: &str, reader: Reader<'_>) -> Vec<&'b str> {
        let links = |inputs: &'b BTreeMap<String, Input>| {
            inputs.values().filter(|input| input.kind == InputKind::Symlink).map(|input| input.path.as_str())
        };
        let own = |path: &&str| is_under(path, dir);
        let mut found: Vec<&str> = links(self.inputs).filter(own).filter(|path| !self.was_seen(path, reader)).collect();
        let stamped = self.stamped.iter().filter(|(_, sight)| sight.link_to.is_some()).map(|(path, _)| path.as_str());
        found.extend(stamped.filter(own).filter(|path| !self.was_seen_gone(path, reader)));
        found
    }

    /// Of a path that was there when the restore ended, or when an earlier job built the reader: whether the reader was built
    /// after it went away, if it did.
    pub fn was_seen_gone(&self, path: &str, reader: Reader<'_>) -> bool {
        if self.inputs.contains_key(path) {
            return true;
        }
        match reader {
            Reader::Built(reference) => parent(path).is_some_and(|dir| self.is_settled(dir, reference)),
            Reader::Kept { saw, .. } => !saw.contains_key(path),
        }
    }

    /// Inputs that were there when the restore ended, below a folder.
    pub fn stamped_below<'b>(&'b self, dir: &'b str) -> impl Iterator<Item = &'b str> {
        let below = self.stamped.range(dir.to_owned()..).map(|(path, _)| path.as_str());
        below.take_while(move |path| path.starts_with(dir)).filter(move |path| is_under(path, dir))
    }
}

/// Whether a reader that was made to run because of litter in a folder can be believed when the same litter is there again: the
/// folder held the same when the job began and holds it now, nothing new lies in it, and the reader made the same of it.
pub fn is_known_litter(litter: &BTreeSet<String>, known: Option<&BTreeSet<String>>) -> bool {
    known.is_some_and(|known| litter.is_subset(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/w/f";
    const SHELL: Shell = Shell { inode: 7, mode: 0o644, owner: 0, group: 0, links: 1 };

    fn input(text: &str, mtime: i64) -> BTreeMap<String, Input> {
        let input = Input {
            path: PATH.into(),
            kind: InputKind::File,
            id: ContentId::of_link(text),
            executable: false,
            mtime: Moment::from_nanos(mtime),
            origin: Origin::Tracked,
            resolved: None,
        };
        BTreeMap::from([(PATH.into(), input)])
    }

    fn stamped(text: &str, mtime: i64, changed: i64) -> Stamped {
        let (id, mtime, changed) =
            (ContentId::of_link(text), Moment::from_nanos(mtime), Some(Moment::from_nanos(changed)));
        let sight = Sight { id, executable: false, mtime, changed, shell: Some(SHELL), link_to: None };
        Stamped::from([(PATH.into(), sight)])
    }

    fn seen(now: &BTreeMap<String, Input>, changed: i64, stamped: &Stamped, reader: Reader<'_>) -> bool {
        let changed = BTreeMap::from([(PATH.to_owned(), Moment::from_nanos(changed))]);
        let shells = BTreeMap::from([(PATH.to_owned(), SHELL)]);
        View { inputs: now, changed: &changed, shells: &shells, stamped }.was_seen(PATH, reader)
    }

    #[test]
    fn another_owner_is_no_other_content() {
        let (now, stamped) = (input("a", 1), stamped("a", 1, 10));
        let changed = BTreeMap::from([(PATH.to_owned(), Moment::from_nanos(60))]);
        let seen = |shell: Shell| {
            let shells = BTreeMap::from([(PATH.to_owned(), shell)]);
            let view = View { inputs: &now, changed: &changed, shells: &shells, stamped: &stamped };
            view.was_seen(PATH, Reader::Built(Moment::from_nanos(50)))
        };
        assert!(seen(Shell { owner: 1, ..SHELL }));
        assert!(!seen(SHELL), "nothing accounts for the change");
        assert!(!seen(Shell { owner: 1, inode: 8, ..SHELL }), "another file under the same name");
    }

    #[test]
    fn an_old_time_proves_nothing_and_a_change_time_does() {
        let built = Reader::Built(Moment::from_nanos(50));
        // Never touched since the restore, or settled before the build.
        assert!(seen(&input("a", 1), 10, &stamped("a", 1, 10), built));
        assert!(seen(&input("b", 1), 40, &stamped("a", 1, 10), built));
        // Written after the build and dated back, with other content or with the same once more.
        assert!(!seen(&input("b", 1), 60, &stamped("a", 1, 10), built));
        assert!(!seen(&input("a", 1), 60, &stamped("a", 1, 10), built));
        // Cargo sees a newer time by itself.
        assert!(seen(&input("b", 60), 60, &stamped("a", 1, 10), built));
    }

    #[test]
    fn a_kept_unit_saw_what_was_recorded_and_nothing_else() {
        let (a, b) = (ContentId::of_link("a"), ContentId::of_link("b"));
        let saw = BTreeMap::from([(PATH, (&a, Moment::from_nanos(1)))]);
        let kept = Reader::Kept { reference: Moment::from_nanos(5), saw: &saw };
        assert!(seen(&input("a", 1), 99, &Stamped::new(), kept));
        assert!(!seen(&input("b", 1), 99, &Stamped::new(), kept));
        let saw = BTreeMap::from([(PATH, (&b, Moment::from_nanos(1)))]);
        let kept = Reader::Kept { reference: Moment::from_nanos(5), saw: &saw };
        assert!(!seen(&input("a", 1), 3, &Stamped::new(), kept));
        assert!(seen(&input("a", 1), 3, &stamped("a", 1, 3), kept), "the restore has judged it");
    }
}
