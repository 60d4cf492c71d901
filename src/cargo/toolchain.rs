//! The tools that a build runs: the Rust toolchain that a folder selects, the linker and the C compiler.

use std::collections::{BTreeSet, HashMap};
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rayon::prelude::*;

use super::config::{self, ConfigFile};
use super::tools;
use crate::machine::{ask, children};
use crate::problem::JobFault;

/// What `rustc -vV` says in some folders, asked before it is known whether they are the roots of workspaces.
#[derive(Debug)]
pub struct Versions(HashMap<PathBuf, Result<String>>);

impl Versions {
    pub fn ask(dirs: &[&Path]) -> Self {
        let dirs: BTreeSet<&Path> = dirs.iter().copied().collect();
        Self(dirs.into_par_iter().map(|dir| (dir.to_path_buf(), rustc_version(dir))).collect())
    }

    /// The answer there; another folder than those is asked now.
    pub fn of(&mut self, dir: &Path) -> Result<String> {
        self.0.remove(dir).unwrap_or_else(|| rustc_version(dir))
    }
}

/// `rustc -vV` as run in `dir`, so that toolchain files and `RUSTUP_TOOLCHAIN` have their say.
fn rustc_version(dir: &Path) -> Result<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let hint = "install the toolchain before this step, or fix `rust-toolchain.toml`";
    let output = children::output(ask::command(&rustc).arg("-vV").current_dir(dir))
        .map_err(|error| JobFault::new(format!("`{} -vV` cannot be run: {error}", rustc.to_string_lossy()), hint))?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default().to_owned();
        return Err(JobFault::new(format!("`rustc -vV` failed in `{}`: {reason}", dir.display()), hint).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The host triple from `rustc -vV`.
pub fn host(rustc_version: &str) -> &str {
    rustc_version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default()
}

/// The first lines that the linker and the C compiler say of themselves; nothing of a linker that the toolchain finds by other
/// means (MSVC), or of a compiler that is not there. Where both are one program, it is asked once.
pub fn linker_and_c_compiler(host: &str, configs: &[ConfigFile]) -> (String, String) {
    let compiler = tools::words(&env::var("CC").unwrap_or_else(|_| "cc".to_owned()));
    let Some(linker) = linker(host, configs) else { return (String::new(), tools::identity(&compiler)) };
    if linker == compiler {
        let both = tools::identity(&linker);
        return (both.clone(), both);
    }
    rayon::join(|| tools::identity(&linker), || tools::identity(&compiler))
}

/// How the linker is called.
fn linker(host: &str, configs: &[ConfigFile]) -> Option<Vec<String>> {
    let variable = format!("CARGO_TARGET_{}_LINKER", host.to_uppercase().replace('-', "_"));
    let configured = config::find(configs, &["target", host, "linker"]).and_then(|(file, value)| {
        let text = value.as_str()?;
        let path = if text.contains('/') { file.base.join(text).into_os_string() } else { OsString::from(text) };
        Some(path)
    });
    match env::var_os(variable).or(configured) {
        Some(program) => Some(vec![program.to_string_lossy().into_owned()]),
        None if host.ends_with("-msvc") => None,
        None => Some(vec!["cc".to_owned()]),
    }
}

/// `rustc -vV` of every toolchain that rustup has installed; none where there is no rustup.
pub fn installed() -> Vec<String> {
    let run = |program: &str, arguments: &[&str]| {
        let output = children::output(ask::command(program).args(arguments)).ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let listed = run("rustup", &["toolchain", "list"]).unwrap_or_default();
    let names: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    names.into_par_iter().filter_map(|name| run("rustup", &["run", name, "rustc", "-vV"])).collect()
}
