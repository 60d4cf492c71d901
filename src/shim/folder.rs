//! The folder that the `cargo` shim lives in: the program under that name, the aliases, the lists of late
//! inputs, and where unpacked sources are built.
//!
//! Its path is the same in every run wherever the workspace's is: on a runner it lies in the temporary folder, which the
//! runner has beside its workspaces, keeps to itself, and empties before every job; elsewhere in the user's cache folder. It
//! is nobody else's: links in it decide which interpreter a build runs. The shim finds everything from where it lies, so that
//! no variable has to say it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use fs_err as fs;

use crate::machine::disk::{self, FileSystem, Kind, Meta};
use crate::machine::environment::user_cache;

/// Lies beside the program, so that one shim knows another.
const MARKER: &str = ".rekindle-shim";

#[derive(Clone, Debug)]
pub struct ShimFolder(PathBuf);

impl ShimFolder {
    /// Where this job's lies, whether it is there or not.
    pub fn of_job() -> Self {
        let temp = std::env::var_os("RUNNER_TEMP").filter(|path| !path.is_empty()).map(PathBuf::from);
        Self(temp.map_or_else(|| user_cache().join("rekindle-shim"), |temp| temp.join("rekindle").join("shim")))
    }

    /// The one that this program was put into.
    pub fn around(program: &Path) -> Option<Self> {
        let bin = program.parent()?;
        is_shims(bin).then(|| bin.parent().map(|folder| Self(folder.to_path_buf()))).flatten()
    }

    /// Makes it, with the running program as `cargo`.
    pub fn install(&self) -> Result<()> {
        if let Some(parent) = self.0.parent() {
            fs::create_dir_all(parent)?;
            let meta = Meta::of(parent)?;
            // With the sticky bit nobody else can move what is ours.
            ensure!(is_ours(parent, &meta)?, "`{}` is not a folder of this user", parent.display());
            ensure!(meta.mode & 0o002 == 0, "everybody can write to `{}`", parent.display());
        }
        fs::create_dir_all(&self.0)?;
        ensure!(is_ours(&self.0, &Meta::of(&self.0)?)?, "`{}` is not a folder of this user", self.0.display());
        disk::set_mode(&self.0, 0o700)?;
        for dir in [self.bin(), self.aliases(), self.late()] {
            fs::create_dir_all(dir)?;
        }
        fs::write(self.bin().join(MARKER), "`cargo` in this folder is Rekindle's.\n")?;
        let program = std::env::current_exe().context("this program does not know where it lies")?;
        let new = self.bin().join(format!(".new-{}", std::process::id()));
        if fs::hard_link(&program, &new).is_err() {
            fs::copy(&program, &new)?;
        }
        fs::rename(&new, self.bin().join(program_name()))?;
        // Where both were names of one file, the system has left both.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// What goes on PATH.
    pub fn bin(&self) -> PathBuf {
        self.0.join("bin")
    }

    pub fn aliases(&self) -> PathBuf {
        self.0.join("alias")
    }

    pub fn late(&self) -> PathBuf {
        self.0.join("late")
    }

    /// Says where unpacked sources are built.
    pub fn unpacked(&self) -> PathBuf {
        self.0.join("unpacked.json")
    }

    pub fn lock_of_unpacked(&self, project: &str) -> PathBuf {
        self.0.join(format!("unpacked-{project}.lock"))
    }
}

/// Whether the programs in a folder are a shim.
pub fn is_shims(bin: &Path) -> bool {
    bin.join(MARKER).is_file()
}

/// `cargo`, as the platform spells it.
pub fn program_name() -> String {
    format!("cargo{}", std::env::consts::EXE_SUFFIX)
}

fn is_ours(dir: &Path, meta: &Meta) -> Result<bool> {
    // Where files have no owner there is nobody else.
    Ok(meta.kind == Kind::Folder && (cfg!(not(unix)) || FileSystem::probe(dir)?.owns(meta)))
}
