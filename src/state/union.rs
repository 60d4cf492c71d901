//! What several states hold together: units of fetched packages, added to the state that a job starts from. They are those of other
//! jobs, or older ones of the job's own, made with other lock files or on other branches. Pure.
//!
//! Two builds of one unit can differ, so a unit is taken only if everything that it was built from is the same, byte for byte, in
//! both states, and only if nothing outside of it could have been otherwise: no file, library, interpreter or commit, and no variable
//! of which the two states do not say the same. Cargo compares the times of what units left; one that is older than what it was
//! built from gets a later time, which says nothing else, since files of fetched packages have none that count. How it can be
//! wrong: what a build script reads without telling anybody, on two machines that record the same system.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::manifest::{Content, FileEntry, Lies, Manifest, Parent, RunFacts, UnitRecord};
use crate::moment::Moment;
use crate::unit::{Unit, UnitPlace};

/// Packs that a state refers to at most, once others were added.
const MOST_PACKS: usize = 48;

type Place<'a> = (usize, &'a UnitPlace);
type Path<'a> = (usize, &'a str);

/// Adds to a state what `other`, which lies in `pack`, has beyond it and is `wanted`. How many units that were.
pub fn unite(state: &mut Manifest, other: &Manifest, pack: &Parent, wanted: &dyn Fn(&UnitRecord) -> bool) -> usize {
    let packs: Vec<&Parent> = std::iter::once(pack).chain(&other.parents).collect();
    let is_one_machine = (&state.roots, &state.system) == (&other.roots, &other.system);
    let is_new = |pack: &&&Parent| !state.parents.contains(*pack);
    if !is_one_machine || state.parents.len() + packs.iter().filter(is_new).count() > MOST_PACKS {
        return 0;
    }
    let chosen = choose(state, other, wanted);
    if chosen.units.is_empty() {
        return 0;
    }
    let numbers = number(state, &packs);
    let mut newest = newest(state);
    let mut added: HashMap<usize, usize> = HashMap::new();
    for &at in &chosen.units {
        let unit = &other.units[at];
        let deps: Vec<usize> =
            unit.deps.iter().filter_map(|dep| added.get(dep).or_else(|| chosen.known.get(dep)).copied()).collect();
        added.insert(at, state.units.len());
        let files: Vec<&FileEntry> = chosen.files[&at].iter().map(|file| &other.files[*file]).collect();
        let late = late(&files, deps.iter().filter_map(|dep| newest[*dep]).max());
        newest.push(files.iter().filter(|file| is_file(file)).map(|file| file.mtime.plus(late)).max());
        let macros = unit.macros.clone().map(|facts| super::manifest::MacroFacts { unread: None, ..facts });
        state.units.push(UnitRecord { deps, macros, reference: unit.reference.plus(late), ..unit.clone() });
        for name in &unit.env {
            if let Some(value) = other.env.get(name) {
                state.env.insert(name.clone(), value.clone());
            }
        }
        let first = state.files.len();
        let place: HashMap<usize, usize> =
            chosen.files[&at].iter().enumerate().map(|(number, file)| (*file, first + number)).collect();
        for file in &chosen.files[&at] {
            let mut entry = other.files[*file].clone();
            (entry.unit, entry.mtime) = (Some(added[&at]), entry.mtime.plus(late));
            for at in entry.locations() {
                at.pack = numbers[at.pack];
            }
            if let Content::HardLink { to } = &mut entry.content {
                *to = place[to];
            }
            state.files.push(entry);
        }
    }
    added.len()
}

/// How much later everything of a unit has to be, so that it is not older than what it was built from.
fn late(files: &[&FileEntry], built_from: Option<Moment>) -> Duration {
    let oldest = files.iter().filter(|file| is_file(file)).map(|file| file.mtime).min();
    match (built_from, oldest) {
        (Some(newest), Some(oldest)) => newest.since(oldest),
        _ => Duration::ZERO,
    }
}

/// The newest file of each unit.
fn newest(state: &Manifest) -> Vec<Option<Moment>> {
    let mut newest = vec![None; state.units.len()];
    for file in state.files.iter().filter(|file| is_file(file)) {
        if let Some(unit) = file.unit {
            newest[unit] = newest[unit].max(Some(file.mtime));
        }
    }
    newest
}

fn is_file(file: &FileEntry) -> bool {
    matches!(file.content, Content::File { .. })
}

/// Where each pack of the other state stands among those of this one.
fn number(state: &mut Manifest, packs: &[&Parent]) -> Vec<usize> {
    let mut numbers = Vec::new();
    for pack in packs {
        let is_it = |known: &Parent| (&known.key, &known.sha256) == (&pack.key, &pack.sha256);
        let at = state.parents.iter().position(is_it).unwrap_or_else(|| {
            state.parents.push((*pack).clone());
            state.parents.len() - 1
        });
        numbers.push(at + 1);
    }
    numbers
}

/// Units to be taken, by their place in the other state.
#[derive(Default)]
struct Choice {
    /// Each behind those that it was built from.
    units: Vec<usize>,
    /// What both have: from the place there to the place here.
    known: HashMap<usize, usize>,
    files: BTreeMap<usize, Vec<usize>>,
}

fn choose(state: &Manifest, other: &Manifest, wanted: &dyn Fn(&UnitRecord) -> bool) -> Choice {
    let places: HashMap<Place<'_>, usize> =
        state.units.iter().enumerate().map(|(at, unit)| ((unit.root, &unit.place), at)).collect();
    let taken: BTreeSet<Path<'_>> = state.files.iter().map(|file| (file.root, file.path.as_str())).collect();
    let (here, there) = (by_unit(state), by_unit(other));
    let none = Vec::new();
    let mut choice = Choice::default();
    for (at, unit) in other.units.iter().enumerate() {
        if let Some(&known) = places.get(&(unit.root, &unit.place)) {
            let (here, there) = (here.get(&known).unwrap_or(&none), there.get(&at).unwrap_or(&none));
            let is_same = state.units[known].fingerprints == unit.fingerprints
                && !there.is_empty()
                && content(state, here) == content(other, there);
            if is_same {
                choice.known.insert(at, known);
            }
        }
    }
    let is_free = |at: usize| {
        let files = there.get(&at).unwrap_or(&none);
        let own = |file: &usize| matches!(other.files[*file].content, Content::HardLink { to } if !files.contains(&to));
        let in_the_way = |file: &usize| taken.contains(&(other.files[*file].root, other.files[*file].path.as_str()));
        !files.is_empty() && !files.iter().any(|file| own(file) || in_the_way(file))
    };
    let scripts_stay = scatters(state, other);
    let candidates: BTreeSet<usize> = (0..other.units.len())
        .filter(|at| !places.contains_key(&(other.units[*at].root, &other.units[*at].place)))
        .filter(|&at| wanted(&other.units[at]) && !(scripts_stay && other.units[at].is_run()))
        .filter(|&at| stands_alone(&other.units[at]) && is_free(at) && says_the_same(state, other, &other.units[at]))
        .collect();
    // Whatever was built from something that stays behind stays behind, too. Each round takes one step up, and hostile edges may
    // run in circles, which are never taken.
    let mut left = candidates;
    loop {
        let is_there = |dep: &usize| choice.known.contains_key(dep) || choice.files.contains_key(dep);
        let ready: Vec<usize> = left.iter().copied().filter(|&at| other.units[at].deps.iter().all(&is_there)).collect();
        if ready.is_empty() {
            return choice;
        }
        for at in ready {
            left.remove(&at);
            choice.units.push(at);
            choice.files.insert(at, there.get(&at).cloned().unwrap_or_default());
        }
    }
}

/// Whether files that belong to no unit lie there and not here: build scripts can have left them beside their own folders, and nobody
/// knows which.
fn scatters(state: &Manifest, other: &Manifest) -> bool {
    let of_nobody = |manifest: &Manifest| -> Vec<usize> {
        let is_it = |file: &&FileEntry| file.unit.is_none() && !matches!(file.content, Content::Folder { .. });
        let files = manifest.files.iter().enumerate().filter(|(_, file)| is_it(file) && !is_known(&file.path));
        files.map(|(at, _)| at).collect()
    };
    let here = content(state, &of_nobody(state));
    content(other, &of_nobody(other)).iter().any(|(path, told)| here.get(path) != Some(told))
}

/// Whether it is known who makes a file that belongs to no unit.
fn is_known(path: &str) -> bool {
    match path.split('/').collect::<Vec<_>>().as_slice() {
        [".rustc_info.json" | "CACHEDIR.TAG"] | ["doc", ..] | [_, "incremental", ..] | [_, _, "incremental", ..] => {
            true
        }
        // Below the name of a target, as in `x86_64-unknown-linux-gnu`; no profile is called like that.
        [target, "doc", ..] => target.contains('-'),
        _ => false,
    }
}

/// Files by the unit that they belong to.
fn by_unit(manifest: &Manifest) -> HashMap<usize, Vec<usize>> {
    let mut files: HashMap<usize, Vec<usize>> = HashMap::new();
    for (at, file) in manifest.files.iter().enumerate() {
        if let Some(unit) = file.unit {
            files.entry(unit).or_default().push(at);
        }
    }
    files
}

/// What files hold, by path, without their times and where they are stored.
fn content<'a>(manifest: &'a Manifest, files: &[usize]) -> BTreeMap<&'a str, String> {
    let told = |content: &Content| match content {
        Content::File { size, mode, sha256, at: _, patch: _ } => format!("{size} {mode:o} {sha256}"),
        Content::HardLink { to } => format!("as {}", manifest.files[*to].path),
        Content::Symlink { to } => format!("to {to}"),
        Content::Folder { .. } => String::new(),
    };
    files.iter().map(|&at| &manifest.files[at]).map(|file| (file.path.as_str(), told(&file.content))).collect()
}

/// Whether it is of a fetched package and came of nothing but that and other units.
fn stands_alone(unit: &UnitRecord) -> bool {
    let UnitRecord { lies, turns, inputs, unseen, run, macros, linted, absent, .. } = unit;
    let plain_run = run.as_ref().is_none_or(|run| *run == RunFacts::default());
    let plain_macros = macros.as_ref().is_none_or(|macros| !macros.may_read());
    let reads_nothing = inputs.is_empty() && unseen.is_empty() && absent.is_empty();
    *lies == Lies::Fetched && reads_nothing && turns.is_none() && plain_run && plain_macros && !linted
}

/// Whether the two states say the same of the variables that it depends on, as far as both say something.
fn says_the_same(state: &Manifest, other: &Manifest, unit: &UnitRecord) -> bool {
    unit.env.iter().all(|name| state.env.get(name).is_none_or(|value| other.env.get(name) == Some(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::state::key::{HardParts, KeyParts, NameParts, SoftParts};
    use crate::state::manifest::{EnvRecord, FingerprintRecord, Location, Root};
    use crate::unit::Layout;

    fn unit(package: &str, deps: &[usize]) -> UnitRecord {
        let place = UnitPlace {
            layout: Layout::Legacy,
            profile: "debug".into(),
            package: package.into(),
            id: "0123456789abcdef".into(),
        };
        let deps = deps.to_vec();
        let plain = serde_json::json!({
            "root": 0, "layout": "legacy", "profile": "", "package": "", "id": "", "lies": "fetched", "fingerprints": [],
            "reference": 5, "inputs": [], "deps": [], "seconds": 1.0, "idle": 0
        });
        UnitRecord { place, deps, ..serde_json::from_value(plain).unwrap() }
    }

    /// A file of this unit, at this time and with these bytes.
    fn file(path: &str, unit: usize, mtime: i64, bytes: &str) -> FileEntry {
        let at = Location { pack: 0, frame: 0, offset: 0 };
        let content = Content::File { size: 1, mode: 0o644, sha256: Digest::of(bytes.as_bytes()), at, patch: None };
        FileEntry { root: 0, path: path.into(), mtime: Moment::from_nanos(mtime), unit: Some(unit), content }
    }

    fn state(units: Vec<UnitRecord>, files: Vec<FileEntry>) -> Manifest {
        let parts = KeyParts { name: NameParts::default(), hard: HardParts::default(), soft: SoftParts::default() };
        let roots = vec![Root { label: "target".into(), path: "/t".into() }];
        Manifest { key: "k".into(), units, files, ..Manifest::blank(parts, roots) }
    }

    fn pack() -> Parent {
        Parent { key: "other".into(), sha256: Digest::of(b"other"), bytes: 9 }
    }

    fn united(state: &Manifest, other: &Manifest) -> Manifest {
        let mut all = state.clone();
        unite(&mut all, other, &pack(), &|unit| unit.place.package != "unwanted");
        all.check().unwrap();
        all
    }

    fn names(state: &Manifest) -> Vec<&str> {
        state.units.iter().map(|unit| unit.place.package.as_str()).collect()
    }

    #[test]
    fn a_unit_comes_with_its_files_in_the_pack_that_holds_them_and_no_older_than_what_it_was_built_from() {
        let here = state(vec![unit("base", &[])], vec![file("base.rlib", 0, 10, "base")]);
        let there = vec![file("base.rlib", 1, 3, "base"), file("user.rlib", 0, 4, "user")];
        let there = state(vec![unit("user", &[1]), unit("base", &[])], there);
        let all = united(&here, &there);
        assert_eq!(names(&all), ["base", "user"]);
        assert_eq!((&all.units[1].deps, all.units[1].reference.nanos()), (&vec![0], 11));
        let FileEntry { mtime, unit, content: Content::File { at, .. }, .. } = &all.files[1] else { panic!() };
        assert_eq!((mtime.nanos(), *unit, at.pack, &all.parents), (10, Some(1), 1, &vec![pack()]));
    }

    #[test]
    fn what_was_built_from_something_else_or_reads_something_stays_where_it_is() {
        let base = |bytes: &str| vec![file("base.rlib", 0, 1, bytes), file("user.rlib", 1, 2, "user")];
        let here = state(vec![unit("base", &[])], vec![file("base.rlib", 0, 1, "base")]);
        let with = |user: UnitRecord, bytes: &str| state(vec![unit("base", &[]), user], base(bytes));
        assert_eq!(names(&united(&here, &with(unit("user", &[0]), "base"))), ["base", "user"]);
        assert_eq!(names(&united(&here, &with(unit("user", &[0]), "other"))), ["base"]);
        let own = UnitRecord { lies: Lies::In("/w/user".into()), ..unit("user", &[0]) };
        let run = UnitRecord {
            run: Some(RunFacts { commit: Some("c".into()), ..RunFacts::default() }),
            ..unit("user", &[0])
        };
        let watching = UnitRecord { absent: vec!["/w/gone".into()], ..unit("user", &[0]) };
        // Edges of a hostile state that run in a circle.
        let circular = unit("user", &[0, 1]);
        for odd in [own, run, watching, circular] {
            assert_eq!(names(&united(&here, &with(odd, "base"))), ["base"]);
        }
        let tracking = UnitRecord { env: vec!["LEVEL".into()], ..unit("user", &[0]) };
        let value = |text: &str| [("LEVEL".to_owned(), EnvRecord::Value(text.into()))].into();
        let knows = |state: &Manifest, text: &str| Manifest { env: value(text), ..state.clone() };
        let there = with(tracking, "base");
        assert_eq!(names(&united(&knows(&here, "low"), &knows(&there, "low"))), ["base", "user"]);
        assert_eq!(names(&united(&knows(&here, "high"), &knows(&there, "low"))), ["base"]);
        assert_eq!(united(&here, &knows(&there, "low")).env, value("low"));
        // What lies beside everything may be what its script left there, and is brought by nobody.
        let script = UnitRecord { run: Some(RunFacts::default()), ..unit("user", &[0]) };
        let script = UnitRecord {
            fingerprints: vec![FingerprintRecord {
                name: "run-build-script-build-script-build".into(),
                hash: String::new(),
                precalculated: true,
                by_content: false,
            }],
            ..script
        };
        for (path, is_taken) in [
            ("debug/deps/libfoo.so", false),
            ("debug/doc/libfoo.so", false),
            ("doc/x.html", true),
            ("x86_64-unknown-linux-gnu/doc/x.html", true),
            (".rustc_info.json", true),
        ] {
            let mut there = with(script.clone(), "base");
            there.files.push(FileEntry { unit: None, ..file(path, 0, 1, "x") });
            assert_eq!(names(&united(&here, &there)).contains(&"user"), is_taken, "{path}");
            let mut here = here.clone();
            here.files.push(FileEntry { unit: None, ..file(path, 0, 1, "x") });
            assert_eq!(names(&united(&here, &there)), ["base", "user"], "{path}");
        }
        // Another machine, what nobody wants, and a place that is taken.
        let elsewhere = Manifest { system: "another".to_owned(), ..there.clone() };
        assert_eq!(names(&united(&here, &elsewhere)), ["base"]);
        assert_eq!(names(&united(&here, &with(unit("unwanted", &[0]), "base"))), ["base"]);
        let mut taken = here.clone();
        taken.files.push(FileEntry { unit: None, ..file("user.rlib", 0, 1, "user") });
        assert_eq!(names(&united(&taken, &there)), ["base"]);
    }
}
