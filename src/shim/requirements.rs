//! What lies in an environment that was made for one build: a digest of every installed file, or why there can be none.
//!
//! The digest stands in for the random path that Cargo would have compared, so two environments may share one only if a build
//! script cannot tell them apart. `RECORD` says which files belong to a package; what is hashed are the files themselves,
//! because a wheel that was repacked by hand, or edited after it was installed, keeps its old `RECORD`. Anything that brings
//! in code from elsewhere, or that no package accounts for, is a reason to leave the build alone. Not told apart are scripts
//! in `bin` that a repacked wheel changed without its version: each installer writes the first lines of those anew.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use fs_err as fs;
use serde_json::Value;

use crate::digest::{Digest, FieldHasher};
use crate::machine::disk::{self, Kind};
use crate::python::interpreter::InterpreterFacts;

/// Written by the installer about the installation, not by the package.
const BY_THE_INSTALLER: [&str; 4] = ["RECORD", "INSTALLER", "REQUESTED", "direct_url.json"];
/// The two whose only effect is to import a module that lies beside them. Both are hashed like any file.
const HARMLESS_PTH: [&str; 2] = ["distutils-precedence.pth", "_virtualenv.pth"];

/// Why an environment has no digest.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A `.pth` file or an egg-link: code from elsewhere.
    Link(String),
    /// Installed from a folder or a repository, whose content nobody pins.
    Direct {
        package: String,
        from: String,
    },
    NoRecord(String),
    /// No package accounts for this file.
    Unaccounted(String),
    /// The packages of the base interpreter, or those on `PYTHONPATH`, can be imported too.
    Open(String),
    /// The project's own folder holds its build backend.
    BackendPath(PathBuf),
    Unreadable(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(file) => write!(f, "`{file}` can bring in code from elsewhere"),
            Self::Direct { package, from } => write!(f, "the build requirement `{package}` was installed from {from}"),
            Self::NoRecord(package) => write!(f, "the build requirement `{package}` has no RECORD"),
            Self::Unaccounted(file) => write!(f, "`{file}` belongs to no build requirement"),
            Self::Open(why) => write!(f, "{why}, so its build can import what is not in it"),
            Self::BackendPath(file) => write!(f, "`{}` names a backend-path", file.display()),
            Self::Unreadable(what) => write!(f, "it cannot be read: {what}"),
        }
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error.to_string())
    }
}

/// The digest of the interpreter and everything installed beside it.
pub fn digest(root: &Path, facts: &InterpreterFacts) -> Result<Digest, Refusal> {
    let mut hasher = FieldHasher::default();
    hasher.field("alias 1");
    for fact in [&facts.key_text(), &facts.version_text, &facts.ext_suffix, &facts.platform, &facts.include_dir] {
        hasher.field(fact);
    }
    if !is_closed(&fs::read_to_string(root.join("pyvenv.cfg"))?) {
        return Err(Refusal::Open("it sees the packages of its base interpreter".to_owned()));
    }
    let site = site_packages(root)?;
    let (listed, beside) = accounted(&site)?;
    for path in listed.iter().chain(&beside) {
        let Some(bytes) = content(&site.join(path), beside.contains(path))? else { continue };
        hasher.field(path);
        hasher.field(&bytes);
    }
    Ok(hasher.finish())
}

fn is_closed(config: &str) -> bool {
    let values = config.lines().filter_map(|line| line.split_once('='));
    let mut values = values.filter(|(name, _)| name.trim() == "include-system-site-packages");
    values.all(|(_, value)| value.trim().eq_ignore_ascii_case("false"))
}

/// The one folder that packages are installed into.
fn site_packages(root: &Path) -> Result<PathBuf, Refusal> {
    let mut found = BTreeSet::new();
    for lib in ["lib", "lib64"] {
        for entry in fs::read_dir(root.join(lib)).into_iter().flatten() {
            let site = entry?.path().join("site-packages");
            if site.is_dir() {
                found.insert(fs::canonicalize(site)?);
            }
        }
    }
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (Some(site), None) => Ok(site),
        (None, _) => Err(Refusal::Unreadable("it has no site-packages folder".to_owned())),
        (Some(_), Some(_)) => Err(Refusal::Unreadable("it has two site-packages folders".to_owned())),
    }
}

/// The files that the packages list, relative to their folder: those in it, and those outside of it. Nothing else may be there.
fn accounted(site: &Path) -> Result<(BTreeSet<String>, BTreeSet<String>), Refusal> {
    let (mut listed, mut beside) = (BTreeSet::new(), BTreeSet::new());
    for entry in fs::read_dir(site)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "dist-info") {
            read_package(&path, &mut listed, &mut beside)?;
        }
    }
    for found in disk::walk(site, &|dir| !dir.ends_with("__pycache__"))? {
        let Some(name) = found.path.strip_prefix(site).ok().and_then(Path::to_str) else {
            return Err(Refusal::Unaccounted(found.path.display().to_string()));
        };
        let name = name.replace(std::path::MAIN_SEPARATOR, "/");
        let name = name.as_str();
        if found.meta.kind == Kind::Folder || is_passed_over(name) {
            continue;
        }
        if found.meta.kind != Kind::File {
            return Err(Refusal::Unaccounted(name.to_owned()));
        }
        if is_link(name) && !(HARMLESS_PTH.contains(&name) && only_imports(&fs::read_to_string(&found.path)?)) {
            return Err(Refusal::Link(name.to_owned()));
        }
        if !listed.contains(name) && !["_virtualenv.pth", "_virtualenv.py"].contains(&name) {
            return Err(Refusal::Unaccounted(name.to_owned()));
        }
        listed.insert(name.to_owned());
    }
    Ok((listed, beside))
}

/// Code that `site` runs, or paths that it adds, when an interpreter starts.
fn is_link(name: &str) -> bool {
    let end = Path::new(name).extension().unwrap_or_default();
    end == "egg-link" || end == "pth" && !name.contains('/')
}

/// Whether no line adds a path.
fn only_imports(pth: &str) -> bool {
    pth.lines().all(|line| line.trim().is_empty() || line.starts_with("import "))
}

/// Compiled code, and what the installer writes about itself.
fn is_passed_over(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name);
    let by_the_installer = name.split('/').count() == 2
        && name.split('/').next().is_some_and(|dir| dir.ends_with(".dist-info"))
        && (BY_THE_INSTALLER.contains(&file) || file.starts_with("uv_"));
    by_the_installer
        || name.split('/').any(|part| part == "__pycache__")
        || Path::new(name).extension().is_some_and(|end| end == "pyc")
}

fn read_package(info: &Path, listed: &mut BTreeSet<String>, beside: &mut BTreeSet<String>) -> Result<(), Refusal> {
    let package = info.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    if let Some(from) = direct_source(info)? {
        return Err(Refusal::Direct { package, from });
    }
    let record = match fs::read_to_string(info.join("RECORD")) {
        Ok(record) => record,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Refusal::NoRecord(package)),
        Err(error) => return Err(error.into()),
    };
    for row in csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(record.as_bytes()).records() {
        let row = row.map_err(|error| Refusal::Unreadable(error.to_string()))?;
        let Some(name) = row.get(0).filter(|name| !name.is_empty()).map(str::to_owned) else { continue };
        let path = Path::new(&name);
        if is_passed_over(&name) {
            continue;
        }
        if path.components().all(|part| matches!(part, Component::Normal(_))) {
            listed.insert(name);
        } else if path.is_relative() {
            beside.insert(name);
        } else {
            return Err(Refusal::Unaccounted(name));
        }
    }
    Ok(())
}

/// Where a package came from, if its content can change behind its version.
fn direct_source(info: &Path) -> Result<Option<String>, Refusal> {
    let bytes = match fs::read(info.join("direct_url.json")) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let value: Value = serde_json::from_slice(&bytes).map_err(|error| Refusal::Unreadable(error.to_string()))?;
    // The files of an archive are what they are, and they are hashed.
    let kinds = [("vcs_info", "a repository"), ("dir_info", "a folder")];
    let known = kinds.iter().find(|(name, _)| value.get(name).is_some()).map(|(_, text)| (*text).to_owned());
    let is_archive = value.get("archive_info").is_some();
    Ok(known.or_else(|| (!is_archive).then(|| "somewhere".to_owned())))
}

/// A file's bytes, hashed; nothing for a script outside of the packages' folder, which names the interpreter's path.
fn content(path: &Path, beside: bool) -> Result<Option<Vec<u8>>, Refusal> {
    use sha2::Digest as _;
    let mut file = match fs::File::open(path) {
        Ok(file) => file,
        // Named by its package and taken away since: that is a difference too.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(Vec::new())),
        Err(error) => return Err(error.into()),
    };
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    let mut is_first = true;
    loop {
        let len = file.read(&mut buffer)?;
        if beside && is_first && buffer[..len].starts_with(b"#!") {
            return Ok(None);
        }
        is_first = false;
        if len == 0 {
            return Ok(Some(hasher.finalize().to_vec()));
        }
        hasher.update(&buffer[..len]);
    }
}

/// What reaches into every environment from outside, and what a project says about its backend: reasons that lie in no package.
pub fn refused_by_surroundings(
    variable: impl Fn(&str) -> Option<std::ffi::OsString>,
    dirs: &[PathBuf],
) -> Option<Refusal> {
    let set =
        ["PYTHONPATH", "PYTHONHOME"].into_iter().find(|name| variable(name).is_some_and(|value| !value.is_empty()));
    if let Some(name) = set {
        return Some(Refusal::Open(format!("`{name}` is set")));
    }
    let projects =
        dirs.iter().filter_map(|dir| dir.ancestors().map(|dir| dir.join("pyproject.toml")).find(|path| path.is_file()));
    for path in projects {
        let Ok(text) = fs::read_to_string(&path) else { return Some(Refusal::Unreadable(path.display().to_string())) };
        if text.contains("backend-path") && names_backend_path(&text) {
            return Some(Refusal::BackendPath(path));
        }
    }
    None
}

/// A file that cannot be parsed counts as one that does.
fn names_backend_path(text: &str) -> bool {
    let table: Result<toml::Table, _> = text.parse();
    table.map_or(true, |table| table.get("build-system").is_some_and(|system| system.get("backend-path").is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An environment with one package of two files, as an installer leaves it.
    fn environment(dir: &Path) -> PathBuf {
        let site = dir.join("lib/python3.12/site-packages");
        let info = site.join("dep-1.0.dist-info");
        fs::create_dir_all(site.join("dep/__pycache__")).unwrap();
        fs::create_dir_all(&info).unwrap();
        fs::create_dir_all(dir.join("bin")).unwrap();
        fs::write(dir.join("pyvenv.cfg"), "home = /usr/bin\ninclude-system-site-packages = false\n").unwrap();
        fs::write(site.join("dep/__init__.py"), "one").unwrap();
        fs::write(site.join("dep/__pycache__/__init__.cpython-312.pyc"), "compiled").unwrap();
        fs::write(dir.join("bin/tool"), "a program").unwrap();
        fs::write(dir.join("bin/script"), "#!/random/bin/python").unwrap();
        fs::write(info.join("INSTALLER"), "pip").unwrap();
        let rows = "dep/__init__.py,sha256=x,3\n../../../bin/tool,sha256=y,9\n../../../bin/script,,\n\
                    dep-1.0.dist-info/RECORD,,\ndep-1.0.dist-info/INSTALLER,,\n";
        fs::write(info.join("RECORD"), rows).unwrap();
        site
    }

    fn of(dir: &Path) -> Result<Digest, Refusal> {
        digest(dir, &InterpreterFacts::default())
    }

    #[test]
    fn two_installations_of_the_same_files_are_the_same() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        environment(a.path());
        let site = environment(b.path());
        fs::write(b.path().join("bin/script"), "#!/other/bin/python").unwrap();
        fs::write(site.join("dep-1.0.dist-info/INSTALLER"), "uv").unwrap();
        fs::write(site.join("dep/__pycache__/__init__.cpython-312.pyc"), "other").unwrap();
        assert_eq!(of(a.path()).unwrap(), of(b.path()).unwrap());
        let other = InterpreterFacts { version_text: "3.12.2".to_owned(), ..InterpreterFacts::default() };
        assert_ne!(of(a.path()).unwrap(), digest(a.path(), &other).unwrap());
    }

    #[test]
    fn a_file_that_was_changed_behind_its_record_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let site = environment(dir.path());
        let before = of(dir.path()).unwrap();
        fs::write(site.join("dep/__init__.py"), "two").unwrap();
        let edited = of(dir.path()).unwrap();
        assert_ne!(before, edited);
        fs::write(dir.path().join("bin/tool"), "another program").unwrap();
        assert_ne!(of(dir.path()).unwrap(), edited);
    }

    #[test]
    fn code_that_can_come_from_elsewhere_is_refused() {
        let refused = |change: &dyn Fn(&Path, &Path)| {
            let dir = tempfile::tempdir().unwrap();
            let site = environment(dir.path());
            change(dir.path(), &site);
            of(dir.path()).unwrap_err().to_string()
        };
        let write =
            |name: &'static str, text: &'static str| refused(&move |_, site| fs::write(site.join(name), text).unwrap());
        assert_eq!(write("__editable__.dep.pth", "/src"), "`__editable__.dep.pth` can bring in code from elsewhere");
        assert!(write("distutils-precedence.pth", "import os\n/src").contains("from elsewhere"));
        assert!(write("dep.egg-link", "/src").contains("from elsewhere"));
        assert_eq!(write("loose.py", ""), "`loose.py` belongs to no build requirement");
        let direct = |text| write("dep-1.0.dist-info/direct_url.json", text);
        assert!(direct("{\"url\":\"x\",\"vcs_info\":{}}").ends_with("`dep-1.0` was installed from a repository"));
        assert!(direct("{\"url\":\"x\",\"dir_info\":{\"editable\":true}}").ends_with("from a folder"));
        assert!(direct("{}").ends_with("from somewhere") && direct("{").contains("cannot be read"));
        let gone = refused(&|_, site| fs::remove_file(site.join("dep-1.0.dist-info/RECORD")).unwrap());
        assert_eq!(gone, "the build requirement `dep-1.0` has no RECORD");
        let open = "include-system-site-packages = true";
        assert!(refused(&|dir, _| fs::write(dir.join("pyvenv.cfg"), open).unwrap()).contains("base interpreter"));
    }

    #[test]
    fn an_archive_by_its_address_is_as_good_as_one_from_an_index() {
        let dir = tempfile::tempdir().unwrap();
        let site = environment(dir.path());
        let before = of(dir.path()).unwrap();
        let direct = "{\"url\":\"file:///x.whl\",\"archive_info\":{}}";
        fs::write(site.join("dep-1.0.dist-info/direct_url.json"), direct).unwrap();
        assert_eq!(of(dir.path()).unwrap(), before);
    }

    #[test]
    fn surroundings_that_reach_in_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = [dir.path().join("sub")];
        let none = |_: &str| None;
        assert_eq!(refused_by_surroundings(none, &dirs), None);
        assert!(refused_by_surroundings(|name| (name == "PYTHONPATH").then(|| "/x".into()), &dirs).is_some());
        assert_eq!(refused_by_surroundings(|name| (name == "PYTHONPATH").then(|| "".into()), &dirs), None);
        let project = dir.path().join("pyproject.toml");
        fs::write(&project, "[build-system]\nbackend-path = [\".\"]\n").unwrap();
        assert_eq!(refused_by_surroundings(none, &dirs), Some(Refusal::BackendPath(project.clone())));
        fs::write(&project, "# no backend-path here\n").unwrap();
        assert_eq!(refused_by_surroundings(none, &dirs), None);
    }

    #[test]
    fn names_with_commas_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let site = environment(dir.path());
        fs::write(site.join("a,b.py"), "odd").unwrap();
        assert!(of(dir.path()).is_err());
        let record = site.join("dep-1.0.dist-info/RECORD");
        let rows = fs::read_to_string(&record).unwrap();
        fs::write(&record, format!("{rows}\"a,b.py\",sha256=x,3\r\n")).unwrap();
        let before = of(dir.path()).unwrap();
        fs::write(site.join("a,b.py"), "edited").unwrap();
        assert_ne!(of(dir.path()).unwrap(), before);
    }
}
