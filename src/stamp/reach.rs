//! What a unit reads without naming it: all of its package, for one that is judged so, and every link on the way to what it reads;
//! and which of that it cannot be shown to have been built from. Pure.
//!
//! How it can be wrong: a unit that reads what it does not name, in a package that is not judged as a whole.

use std::collections::BTreeSet;

use crate::machine::paths::{is_under, join};
use crate::stamp::sight::{Reader, View};
use crate::state::manifest::{InputKind, PackageKind, PackageRecord};

/// A unit and its packages: one, where it is known which, else all of that name.
#[derive(Clone, Copy, Debug)]
pub struct Reach<'a> {
    pub view: &'a View<'a>,
    /// All there are, the unit's own among them.
    pub packages: &'a [PackageRecord],
    pub reader: Reader<'a>,
}

impl<'a> Reach<'a> {
    /// Files of `own` packages, and links in them; all of their files if Cargo judges the unit by its `whole` package.
    pub fn unseen_in_packages(self, own: impl Fn(&PackageRecord) -> bool, whole: bool) -> BTreeSet<&'a str> {
        let Self { view, packages, reader } = self;
        let mut unseen = BTreeSet::new();
        for package in packages.iter().filter(|package| own(package)) {
            match package.kind {
                PackageKind::Path => {
                    unseen.extend(view.unseen_links(&package.dir, reader));
                    if whole {
                        let is_of_it = |path: &&str| owner(packages, path) == Some(package);
                        let files = below(view, &package.dir).filter(is_of_it);
                        unseen.extend(files.filter(|path| !view.was_seen(path, reader)));
                        let before = view.stamped_below(&package.dir).filter(is_of_it);
                        unseen.extend(before.filter(|path| !view.was_seen_gone(path, reader)));
                    }
                }
                // Cargo never looks at the times of these.
                PackageKind::Vendored => {
                    unseen.extend(below(view, &package.dir).filter(|path| !view.was_built_from(path, reader)));
                    let before = view.stamped_below(&package.dir);
                    unseen.extend(before.filter(|path| !view.was_seen_gone(path, reader)));
                }
            }
        }
        unseen
    }

    /// Links, anywhere, that lead or led to something that the unit names.
    pub fn unseen_links_to(self, named: &BTreeSet<String>) -> BTreeSet<&'a str> {
        let Self { view, reader, .. } = self;
        let leads = |to: &str| {
            let below = named.range(join(to, "")..).next();
            named.contains(to) || below.is_some_and(|path| is_under(path, to))
        };
        let now = view.inputs.iter().filter_map(|(path, input)| Some((path.as_str(), input.resolved.as_deref()?)));
        let then = view.stamped.iter().filter_map(|(path, sight)| Some((path.as_str(), sight.link_to.as_deref()?)));
        let read = now.chain(then).filter(|(_, to)| leads(to)).map(|(path, _)| path);
        read.filter(|path| !view.was_seen(path, reader) || !view.was_seen_gone(path, reader)).collect()
    }
}

/// The deepest package that a path belongs to.
pub fn owner<'a>(packages: &'a [PackageRecord], path: &str) -> Option<&'a PackageRecord> {
    packages.iter().filter(|package| is_under(path, &package.dir)).max_by_key(|package| package.dir.len())
}

fn below<'a>(view: &'a View<'_>, dir: &'a str) -> impl Iterator<Item = &'a str> {
    let files = view.inputs.range(dir.to_owned()..).take_while(move |(path, _)| path.starts_with(dir));
    let files = files.filter(move |(path, input)| is_under(path, dir) && input.kind != InputKind::Folder);
    files.map(|(path, _)| path.as_str())
}
