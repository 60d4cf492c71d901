//! Virtual environments, read from the disk: what `pyvenv.cfg` says, and which base interpreter an environment stands on.
//!
//! Every maker spells the file in its own way (venv, virtualenv, uv), and anybody can write one. So it names a base only where
//! the disk agrees: on Unix the environment's `python` has to be a link that leads into the folder that `home` names. Copies,
//! contradictions and nonsense give no base, and the interpreter is asked itself.

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::interpreter::numbers;

/// Read no further: an honest file has a dozen lines.
const LONGEST: u64 = 64 * 1024;

/// What an environment says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Venv {
    pub root: PathBuf,
    /// The folder of the base interpreter.
    pub home: Option<PathBuf>,
    /// As the maker spells it: `3.12.1`, `3.12.1.final.0`, `3.12`.
    pub version: Option<String>,
    /// The base interpreter itself; uv and old makers do not name it.
    pub executable: Option<PathBuf>,
}

impl Venv {
    /// The environment that an interpreter's path lies in.
    pub fn of(python: &Path) -> Option<Self> {
        let dir = python.parent()?;
        // Python itself looks beside the interpreter first, then one folder up.
        [Some(dir), dir.parent()].into_iter().flatten().find_map(Self::at)
    }

    /// The environment in this folder.
    pub fn at(root: &Path) -> Option<Self> {
        let path = root.join("pyvenv.cfg");
        let meta = fs::metadata(&path).ok()?;
        if !meta.is_file() {
            return None;
        }
        let bytes = if meta.len() > LONGEST { Vec::new() } else { fs::read(&path).ok()? };
        Some(Self { root: root.to_path_buf(), ..Self::parse(&String::from_utf8_lossy(&bytes)) })
    }

    fn parse(text: &str) -> Self {
        let mut venv = Self::default();
        for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
            let value = value.trim();
            if value.is_empty() {
                continue;
            }
            match name.trim().to_lowercase().as_str() {
                "home" => venv.home = Some(value.into()),
                "version" => venv.version = Some(value.to_owned()),
                "version_info" | "version-info" => _ = venv.version.get_or_insert_with(|| value.to_owned()),
                "executable" => _ = venv.executable.get_or_insert_with(|| value.into()),
                // Where both are named, this is the one below any chain of environments.
                "base-executable" => venv.executable = Some(value.into()),
                _ => {}
            }
        }
        venv
    }

    /// Where its interpreter lies.
    pub fn python(root: &Path) -> PathBuf {
        if cfg!(windows) { root.join("Scripts").join("python.exe") } else { root.join("bin").join("python") }
    }

    /// The real path of the base interpreter that `python`, which lies in it, runs; `None` where that has to be asked.
    pub fn base_of(&self, python: &Path) -> Option<PathBuf> {
        let home = fs::canonicalize(self.home.as_ref()?).ok()?;
        let base = if cfg!(windows) {
            // There the environment's own is only a launcher, and goes by the file.
            let beside = || home.join(python.file_name().unwrap_or_default());
            fs::canonicalize(self.executable.clone().unwrap_or_else(beside)).ok()?
        } else {
            fs::canonicalize(python).ok()?
        };
        let root = fs::canonicalize(&self.root).ok()?;
        let leads_home = base.parent() == Some(&home)
            || base.file_name().is_some_and(|name| fs::canonicalize(home.join(name)).is_ok_and(|path| path == base));
        (base.is_file() && !base.starts_with(root) && leads_home).then_some(base)
    }

    /// Whether it was made for this version, as far as it says; another patch is the base's business.
    pub fn admits(&self, version: [u32; 3]) -> bool {
        match self.version.as_deref().map(numbers) {
            Some(Some(own)) => own[..2] == version[..2],
            Some(None) => false,
            None => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VENV: &str = "home = /opt/py/bin\ninclude-system-site-packages = false\nversion = 3.12.1\n\
                        executable = /opt/py/bin/python3.12\ncommand = /opt/py/bin/python -m venv /v = w\n";
    const UV: &str = "home = /opt/py/bin\nimplementation = CPython\nuv = 0.9.18\nversion_info = 3.12.1\n\
                      include-system-site-packages = false\n";
    const VIRTUALENV: &str = "home = /opt/py/bin\nimplementation = CPython\npython-version = 3.12\n\
                              version_info = 3.12.1.final.0\nversion = 3.12.1\nexecutable = /opt/py/bin/python3.12\n\
                              virtualenv = 21.15.8\nbase-prefix = /opt/py\nbase-executable = /opt/py/bin/python3.12\n";

    #[test]
    fn every_makers_spelling_is_read() {
        for (text, executable) in [(VENV, true), (UV, false), (VIRTUALENV, true)] {
            let venv = Venv::parse(text);
            assert_eq!(venv.home.as_deref(), Some(Path::new("/opt/py/bin")));
            assert_eq!(venv.executable.is_some(), executable, "{text}");
            assert!(venv.admits([3, 12, 1]) && venv.admits([3, 12, 7]) && !venv.admits([3, 13, 0]), "{text}");
        }
        let windows = Venv::parse("HOME = C:\\Python\r\nversion_info = 3.10.2.final.0\r\n");
        assert_eq!(windows.home, Some("C:\\Python".into()));
        assert!(windows.admits([3, 10, 9]));
    }

    #[test]
    fn nonsense_is_no_base_and_no_panic() {
        for text in
            ["", "=", "home", "home =", "home = \u{0}", "version = ...", "version = 99999999999999999999.1", "= = ="]
        {
            let venv = Venv { root: "/nowhere".into(), ..Venv::parse(text) };
            assert_eq!(venv.base_of(Path::new("/nowhere/bin/python")), None, "{text:?}");
            venv.admits([3, 12, 1]);
        }
    }
}
