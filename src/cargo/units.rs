//! The units that lie in a target folder: their files, what they read, and what they were built from.
//!
//! Built from one walk. Access times come from that walk, before anything is opened. A unit whose files cannot be read is
//! still a unit: its bytes are compared, and nothing is concluded from them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::depinfo::{self, DepInfo};
use super::fingerprint::{Fingerprint, Local};
use super::layout::{Belongs, Profiles, UnitPlace};
use super::owner::Owners;
use crate::machine::disk::{self, Found, Meta};
use crate::machine::paths;
use crate::moment::Moment;
use crate::state::manifest::Layout;

/// Everything below one target or build folder.
#[derive(Debug, Default)]
pub struct Survey {
    pub root: PathBuf,
    pub files: Vec<DiskFile>,
    pub units: Vec<DiskUnit>,
}

#[derive(Debug)]
pub struct DiskFile {
    /// Relative to the root, `/` between the parts, as `paths::text` writes it.
    pub path: String,
    pub meta: Meta,
    pub role: Role,
}

impl Survey {
    /// Where a file lies.
    pub fn on_disk(&self, file: &DiskFile) -> PathBuf {
        self.root.join(paths::path(&file.path))
    }
}

/// What a save does with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Kept while the unit with this index is.
    Unit(usize),
    Incremental,
    /// Kept while a documentation unit is.
    Doc,
    /// Kept, whatever becomes of what is in it.
    Folder,
    Keep,
    Drop,
}

#[derive(Debug)]
pub struct DiskUnit {
    pub place: UnitPlace,
    pub fingerprints: Vec<DiskFingerprint>,
    pub reference: Moment,
    /// The newest access to a hash file, as the walk saw it.
    pub accessed: Moment,
    /// When Cargo started it, if it wrote that down.
    pub started: Option<Moment>,
    pub seconds: f64,
}

#[derive(Debug)]
pub struct DiskFingerprint {
    pub name: String,
    pub hash: String,
    pub fingerprint: Option<Fingerprint>,
    pub dep_info: Option<DepInfo>,
}

impl DiskUnit {
    pub fn is_run(&self) -> bool {
        self.fingerprints.iter().any(|fingerprint| fingerprint.name.starts_with("run-"))
    }

    pub fn is_doc(&self) -> bool {
        self.fingerprints.iter().any(|fingerprint| fingerprint.name.starts_with("doc-"))
    }

    /// From its start to its end, where Cargo wrote that down.
    pub fn span(&self) -> Option<(Moment, Moment)> {
        let from = self.started?;
        Some((from, from.plus(std::time::Duration::from_secs_f64(self.seconds.max(0.0)))))
    }

    pub fn locals(&self) -> impl Iterator<Item = Local> + '_ {
        self.fingerprints
            .iter()
            .filter_map(|fingerprint| fingerprint.fingerprint.as_ref())
            .flat_map(Fingerprint::locals)
    }

    /// Variables that the unit depends on, by a build script's wish or because the compiler read them.
    pub fn tracked_env(&self) -> impl Iterator<Item = (String, Option<String>)> + '_ {
        let scripts = self.locals().filter_map(|local| match local {
            Local::RerunIfEnvChanged { name, value } => Some((name, value)),
            _ => None,
        });
        let compiler = self.fingerprints.iter().filter_map(|fingerprint| fingerprint.dep_info.as_ref());
        scripts.chain(compiler.flat_map(|info| info.env.iter().cloned()))
    }

    /// Where the fingerprint lies, relative to the root.
    pub fn fingerprint_dir(&self) -> String {
        fingerprint_dir(&self.place)
    }
}

/// The fingerprint folder of a unit, relative to its root.
pub fn fingerprint_dir(place: &UnitPlace) -> String {
    let UnitPlace { layout, profile, package, id } = place;
    match layout {
        Layout::Legacy => join(profile, &format!(".fingerprint/{package}-{id}")),
        Layout::PerUnit => join(profile, &format!("build/{package}/{id}/fingerprint")),
    }
}

/// The folder of a build script's run, relative to its root: what it printed, and `out/`.
pub fn run_dir(place: &UnitPlace) -> String {
    let UnitPlace { layout, profile, package, id } = place;
    match layout {
        Layout::Legacy => join(profile, &format!("build/{package}-{id}")),
        Layout::PerUnit => join(profile, &format!("build/{package}/{id}/run")),
    }
}

/// The file that holds what a build script printed; its time is what Cargo compares the script's inputs with.
pub fn run_output(place: &UnitPlace) -> String {
    match place.layout {
        Layout::Legacy => format!("{}/output", run_dir(place)),
        Layout::PerUnit => format!("{}/stdout", run_dir(place)),
    }
}

/// A build script's `OUT_DIR`, relative to its root.
pub fn out_dir(place: &UnitPlace) -> String {
    let UnitPlace { layout, profile, package, id } = place;
    match layout {
        Layout::Legacy => join(profile, &format!("build/{package}-{id}/out")),
        Layout::PerUnit => join(profile, &format!("build/{package}/{id}/out")),
    }
}

fn join(profile: &str, rest: &str) -> String {
    if profile.is_empty() { rest.to_owned() } else { format!("{profile}/{rest}") }
}

/// A relative path as it is written in manifests and archives. A backslash is a separator on Windows and a character elsewhere.
fn archived(path: &Path) -> String {
    let text = paths::text(path);
    if cfg!(windows) { text.replace('\\', "/") } else { text }
}

/// Looks at everything below `root`, except below `apart` (a build folder inside a target folder is a root of its own).
pub fn survey(root: &Path, apart: &[PathBuf], profiles_elsewhere: &Profiles) -> io::Result<Survey> {
    let own = root.join(".rekindle");
    let enter = |dir: &Path| dir != own && !apart.iter().any(|other| other == dir);
    let mut survey = Survey { root: root.to_path_buf(), ..Survey::default() };
    let mut found = Vec::new();
    // What cannot be listed is one folder without content, and no reason to see nothing at all.
    let readable = |dir: &Path| enter(dir) && fs::read_dir(dir).is_ok();
    let walked = match disk::walk(root, &enter) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => disk::walk(root, &readable),
        walked => walked,
    };
    for Found { path, meta } in walked? {
        if apart.contains(&path) {
            continue;
        }
        if let Ok(relative) = path.strip_prefix(root) {
            found.push((archived(relative), meta));
        }
    }
    let mut profiles = Profiles::find(found.iter().map(|(path, _)| path.as_str()));
    profiles.extend(profiles_elsewhere);
    let belongs: Vec<Belongs> = found.iter().map(|(path, _)| profiles.classify(path)).collect();
    let metas: BTreeMap<&str, &Meta> = found.iter().map(|(path, meta)| (path.as_str(), meta)).collect();
    let places: BTreeSet<&UnitPlace> = belongs.iter().filter_map(Belongs::place).collect();
    survey.units = places.iter().map(|place| read_unit(root, place, &metas)).collect();

    let owners = Owners::new(root, &survey.units, &found, &belongs);
    let roles: Vec<Role> =
        found.iter().zip(&belongs).map(|((path, meta), belongs)| owners.role(path, meta, belongs)).collect();
    survey.files = found.into_iter().zip(roles).map(|((path, meta), role)| DiskFile { path, meta, role }).collect();
    Ok(survey)
}

/// Surveys every root of a job. A root inside another is looked at on its own, and a target folder whose profiles are in a
/// build folder of their own is read with those.
pub fn survey_all(roots: &[PathBuf]) -> io::Result<Vec<Survey>> {
    let mut known = Profiles::default();
    let mut surveys = Vec::new();
    for root in roots {
        let survey = survey(root, roots, &known)?;
        known.extend(&profiles(&survey));
        surveys.push(survey);
    }
    Ok(surveys)
}

/// The profile folders below a root, for the sake of the target folder that belongs to it.
pub fn profiles(survey: &Survey) -> Profiles {
    Profiles::find(survey.files.iter().map(|file| file.path.as_str()))
}

fn read_unit(root: &Path, place: &UnitPlace, metas: &BTreeMap<&str, &Meta>) -> DiskUnit {
    let dir = fingerprint_dir(place);
    let prefix = format!("{dir}/");
    let names: Vec<&str> = metas
        .range(prefix.as_str()..)
        .take_while(|(path, _)| path.starts_with(&prefix))
        .filter_map(|(path, _)| path.strip_prefix(&prefix))
        .collect();
    let meta = |name: &str| metas.get(format!("{prefix}{name}").as_str()).copied();
    let read = |name: &str| fs::read(root.join(paths::path(&format!("{prefix}{name}")))).ok();

    let mut fingerprints = Vec::new();
    let mut accessed = Moment::EPOCH;
    let mut reference = Moment::EPOCH;
    for name in names.iter().filter(|name| is_hash_file(name)) {
        let hash = read(name).and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
        let dep_name = format!("dep-{name}");
        let hash_meta = meta(name);
        accessed = accessed.max(hash_meta.map_or(Moment::EPOCH, |meta| meta.atime));
        let dep_mtime = meta(&dep_name).map(|meta| meta.mtime);
        reference = reference.max(dep_mtime.or(hash_meta.map(|meta| meta.mtime)).unwrap_or_default());
        fingerprints.push(DiskFingerprint {
            fingerprint: read(&format!("{name}.json")).and_then(|bytes| Fingerprint::parse(&bytes)),
            dep_info: read(&dep_name).and_then(|bytes| depinfo::parse(&bytes)),
            hash,
            name: (*name).to_owned(),
        });
    }
    let output = metas.get(run_output(place).as_str());
    if let (true, Some(output)) = (fingerprints.iter().any(|f| f.name.starts_with("run-")), output) {
        reference = output.mtime;
    }
    let span = span(place, metas);
    let started = span.map(|(started, _)| started);
    // One that failed is as old as its last success and as new as its failure.
    let has_failed = fingerprints.iter().any(|fingerprint| fingerprint.hash.is_empty());
    let span = span.filter(|_| !has_failed);
    let seconds = span.map_or(0.0, |(started, ended)| ended.since(started).as_secs_f64());
    DiskUnit { place: place.clone(), fingerprints, reference, accessed, started, seconds }
}

/// From the moment Cargo noted before it started the unit to the newest thing that the unit left.
fn span(place: &UnitPlace, metas: &BTreeMap<&str, &Meta>) -> Option<(Moment, Moment)> {
    let started = [fingerprint_dir(place), run_dir(place)]
        .iter()
        .filter_map(|dir| metas.get(format!("{dir}/invoked.timestamp").as_str()).map(|meta| meta.mtime))
        .max();
    let dirs = [fingerprint_dir(place), run_dir(place), out_dir(place)];
    let newest_in = |dir: &String| {
        let prefix = format!("{dir}/");
        metas
            .range(prefix.as_str()..)
            .take_while(|(path, _)| path.starts_with(&prefix))
            .map(|(_, meta)| meta.mtime)
            .max()
    };
    let ended = dirs.iter().filter_map(newest_in).max();
    started.zip(ended)
}

fn is_hash_file(name: &str) -> bool {
    let other = ["dep-", "output-"].iter().any(|start| name.starts_with(start));
    !other
        && Path::new(name).extension().is_none_or(|end| end != "json")
        && name != "invoked.timestamp"
        && !name.contains('/')
}

/// For every unit, the units that it was built from: the indices of those whose hash it names. `None` stands for a name that
/// nobody on disk answers to, which means that the unit is out of date.
pub fn edges(units: &[&DiskUnit]) -> Vec<Vec<Option<usize>>> {
    let mut by_hash: HashMap<&str, usize> = HashMap::new();
    for (at, unit) in units.iter().enumerate() {
        for fingerprint in unit.fingerprints.iter().filter(|fingerprint| !fingerprint.hash.is_empty()) {
            by_hash.insert(&fingerprint.hash, at);
        }
    }
    units
        .iter()
        .map(|unit| {
            let parsed = unit.fingerprints.iter().filter_map(|fingerprint| fingerprint.fingerprint.as_ref());
            parsed.flat_map(Fingerprint::dependency_hashes).map(|hash| by_hash.get(hash.as_str()).copied()).collect()
        })
        .collect()
}
