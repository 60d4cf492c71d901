//! Cargo's configuration files as they apply to a workspace, nearest first.
//!
//! Only what changes what is built counts; terminal settings, aliases and credentials are cut out before anything is hashed.

use std::path::{Path, PathBuf};

use fs_err as fs;
use toml::{Table, Value};

use crate::digest::Digest;

/// One `.cargo/config.toml`.
#[derive(Debug)]
pub struct ConfigFile {
    pub path: PathBuf,
    /// The folder that relative paths in it start from.
    pub base: PathBuf,
    /// Nothing when it cannot be parsed; Cargo will say so itself.
    pub table: Option<Table>,
    pub digest: Digest,
}

/// The files that Cargo reads for a workspace, nearest first.
pub fn load(workspace: &Path, cargo_home: &Path) -> Vec<ConfigFile> {
    let mut dirs: Vec<(PathBuf, PathBuf)> =
        workspace.ancestors().map(|base| (base.join(".cargo"), base.to_path_buf())).collect();
    if !dirs.iter().any(|(dir, _)| dir == cargo_home) {
        let base = cargo_home.parent().unwrap_or(cargo_home).to_path_buf();
        dirs.push((cargo_home.to_path_buf(), base));
    }
    dirs.iter().filter_map(|(dir, base)| read(dir, base)).collect()
}

fn read(dir: &Path, base: &Path) -> Option<ConfigFile> {
    let path = ["config", "config.toml"].iter().map(|name| dir.join(name)).find(|path| path.is_file())?;
    let bytes = fs::read(&path).ok()?;
    let table = std::str::from_utf8(&bytes).ok().and_then(|text| text.parse::<Table>().ok());
    let digest = match &table {
        Some(table) => Digest::of_value(&without_noise(table.clone())),
        None => Digest::of(&bytes),
    };
    Some(ConfigFile { path, base: base.to_path_buf(), table, digest })
}

fn without_noise(mut table: Table) -> Table {
    for name in ["term", "alias", "net", "http", "credential-alias", "cargo-new", "future-incompat-report", "cache"] {
        table.remove(name);
    }
    let cut_token = |value: &mut Value| {
        if let Some(table) = value.as_table_mut() {
            table.retain(|name, _| !["token", "secret-key", "credential-provider"].contains(&name));
        }
    };
    if let Some(registry) = table.get_mut("registry") {
        cut_token(registry);
    }
    if let Some(registries) = table.get_mut("registries").and_then(Value::as_table_mut) {
        registries.iter_mut().for_each(|(_, registry)| cut_token(registry));
    }
    table
}

/// The value at a dotted path in the nearest file that has it.
pub fn find<'a>(files: &'a [ConfigFile], path: &[&str]) -> Option<(&'a ConfigFile, &'a Value)> {
    files.iter().find_map(|file| {
        let mut value = file.table.as_ref()?.get(*path.first()?)?;
        for name in &path[1..] {
            value = value.get(name)?;
        }
        Some((file, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_and_a_colour_change_nothing_and_a_flag_does() {
        let digest = |text: &str| Digest::of_value(&without_noise(text.parse().unwrap()));
        let plain = digest("[build]\njobs = 1");
        assert_eq!(digest("[build]\njobs = 1\n[term]\ncolor = \"always\"\n[registries.x]"), {
            digest("[build]\njobs = 1\n[registries.x]\ntoken = \"hunter22\"")
        });
        assert_ne!(digest("[build]\njobs = 1\nrustflags = [\"-g\"]"), plain);
    }
}
