//! Settings of which Cargo's fingerprints keep nothing but a number, or nothing at all: profiles, lints, definitions of targets,
//! features, dependencies, flags and variables of Cargo's configuration, by name and value.
//!
//! For words in a report and for a forecast: which of them reached a unit is not known here. How it can be wrong: flags under a
//! `[target.'cfg(…)']` are passed over, as nobody here knows which of these conditions hold.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::{Table, Value};
use vec1::Vec1;

use super::config::{self, ConfigFile};
use super::dependency::Spec;
use super::tables;
use super::workspace::Workspace;
use crate::state::manifest::CONFIGURATION;
use crate::state::secrets::Secrets;

/// `profile.dev.opt-level` and its value, from manifests, Cargo's configuration and the environment. Files are named relative to
/// `base`.
pub fn gather(
    workspaces: &Vec1<Workspace>,
    configs: &[ConfigFile],
    environment: &BTreeMap<String, String>,
    base: &Path,
    cargo_home: &Path,
) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    for workspace in workspaces {
        let root = workspace.root.join("Cargo.toml");
        let root_table = tables::read(&root).unwrap_or_default();
        let members = workspace.packages.iter().map(|package| package.dir.join("Cargo.toml"));
        for path in members.filter(|path| *path != root) {
            if let Some(table) = tables::read(&path) {
                of_manifest(&path, &table, (&root_table, &workspace.root), base, &mut settings);
            }
        }
        of_manifest(&root, &root_table, (&root_table, &workspace.root), base, &mut settings);
        // These count in the root's manifest alone.
        let place = place(&root, base);
        for name in [&["profile"][..], &["workspace", "lints"], &["workspace", "package", "edition"]] {
            if let Some(value) = tables::at(&root_table, name) {
                flatten(&format!("{place}{}", name.join(".")), value, &mut settings);
            }
        }
        let of = relative(&workspace.root, base);
        let of = if of.is_empty() { String::new() } else { format!(" of {of}") };
        of_configuration(&config::load(&workspace.root, cargo_home), &format!("{CONFIGURATION}{of}"), &mut settings);
    }
    for file in configs {
        if let Some(profiles) = file.table.as_ref().and_then(|table| table.get("profile")) {
            flatten(&format!("{}: profile", relative(&file.path, base)), profiles, &mut settings);
        }
    }
    let variables = environment.iter().filter(|(name, _)| name.starts_with("CARGO_PROFILE_"));
    settings.extend(variables.map(|(name, value)| (name.clone(), value.clone())));
    settings
}

/// The folder that holds all workspaces, as far as that is more than the whole disk: files are shown relative to it.
pub fn base(workspaces: &Vec1<Workspace>) -> PathBuf {
    let first = &workspaces.first().root;
    let common = first.ancestors().find(|dir| workspaces.iter().all(|workspace| workspace.root.starts_with(dir)));
    common.filter(|dir| dir.file_name().is_some()).unwrap_or(first).to_path_buf()
}

/// Lints, what defines targets, and what they can be built with.
const OF_PACKAGE: &[&[&str]] = &[
    &["lints"],
    &["package", "edition"],
    &["package", "name"],
    &["lib"],
    &["bin"],
    &["example"],
    &["test"],
    &["bench"],
];
const DEPENDENCIES: [&str; 3] = ["dependencies", "build-dependencies", "dev-dependencies"];

fn of_manifest(
    path: &Path,
    table: &Table,
    (root, root_dir): (&Table, &Path),
    base: &Path,
    settings: &mut BTreeMap<String, String>,
) {
    let place = place(path, base);
    for &name in OF_PACKAGE {
        if let Some(value) = tables::at(table, name) {
            flatten(&format!("{place}{}", name.join(".")), value, settings);
        }
    }
    for (name, enables) in table.get("features").and_then(Value::as_table).into_iter().flatten() {
        settings.insert(format!("{place}features.{name}"), enables.to_string());
    }
    let dir = path.parent().unwrap_or(path);
    let inherited = tables::at(root, &["workspace", "dependencies"]).and_then(Value::as_table);
    let mut add = |prefix: &str, of: &Table| {
        for kind in DEPENDENCIES {
            for (name, value) in of.get(kind).and_then(Value::as_table).into_iter().flatten() {
                let inherited = inherited.and_then(|all| Some((all.get(name)?, root_dir)));
                let spec = Spec::of(value, dir, inherited, base);
                settings.insert(format!("{place}{prefix}{kind}.{name}"), spec.to_string());
            }
        }
    };
    add("", table);
    for (platform, of) in table.get("target").and_then(Value::as_table).into_iter().flatten() {
        if let Some(of) = of.as_table() {
            add(&format!("target.{platform}."), of);
        }
    }
}

/// Flags, nearest file last as Cargo joins them, and variables, of which the nearest file decides.
fn of_configuration(files: &[ConfigFile], place: &str, settings: &mut BTreeMap<String, String>) {
    let secrets = Secrets::of_environment();
    let applying = files.iter().filter(|file| file.applies).filter_map(|file| Some((file, file.table.as_ref()?)));
    let mut flags: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (file, table) in applying.collect::<Vec<_>>().into_iter().rev() {
        for name in ["rustflags", "rustdocflags"] {
            if let Some(value) = tables::at(table, &["build", name]) {
                flags.entry(format!("build.{name}")).or_default().extend(words(value));
            }
            for (target, of) in table.get("target").and_then(Value::as_table).into_iter().flatten() {
                if let Some(value) = of.get(name).filter(|_| !target.starts_with("cfg(")) {
                    flags.entry(format!("target.{target}.{name}")).or_default().extend(words(value));
                }
            }
        }
        for (name, value) in table.get("env").and_then(Value::as_table).into_iter().flatten() {
            let is_relative = value.get("relative") == Some(&Value::Boolean(true));
            let text = value.as_str().or_else(|| value.get("value")?.as_str()).unwrap_or_default();
            let text = if is_relative { file.base.join(text).display().to_string() } else { text.to_owned() };
            // What a secret is is written down nowhere.
            let text = if secrets.hides(name, &text) { "(set, secret)".to_owned() } else { text };
            settings.insert(format!("{place}: env.{name}"), text);
        }
    }
    let joined = |words: Vec<String>| words.iter().map(|word| secrets.flag(word)).collect::<Vec<_>>().join(" ");
    settings.extend(flags.into_iter().map(|(name, words)| (format!("{place}: {name}"), joined(words))));
}

fn words(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => text.split_whitespace().map(str::to_owned).collect(),
        Value::Array(values) => values.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// What stands before the settings of a manifest; nothing for the one at the top.
fn place(path: &Path, base: &Path) -> String {
    if path == base.join("Cargo.toml") { String::new() } else { format!("{}: ", relative(path, base)) }
}

fn relative(path: &Path, base: &Path) -> String {
    path.strip_prefix(base).unwrap_or(path).display().to_string().replace('\\', "/")
}

fn flatten(name: &str, value: &Value, settings: &mut BTreeMap<String, String>) {
    match value {
        Value::Table(table) => table.iter().for_each(|(key, value)| flatten(&format!("{name}.{key}"), value, settings)),
        // Targets have names.
        Value::Array(tables) if !tables.is_empty() && tables.iter().all(Value::is_table) => {
            for (at, table) in tables.iter().enumerate() {
                let own = table.get("name").and_then(Value::as_str).map_or_else(|| at.to_string(), str::to_owned);
                flatten(&format!("{name}.{own}"), table, settings);
            }
        }
        Value::String(text) => {
            settings.insert(name.to_owned(), text.clone());
        }
        other => {
            settings.insert(name.to_owned(), other.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_flattened_to_names_and_values() {
        let table: Table =
            "[profile.dev.package.x]\nopt-level = 3\n[workspace.lints.rust]\nunused = 'deny'".parse().unwrap();
        let mut settings = BTreeMap::new();
        flatten("profile", tables::at(&table, &["profile"]).unwrap(), &mut settings);
        flatten("workspace.lints", tables::at(&table, &["workspace", "lints"]).unwrap(), &mut settings);
        let expected = [("profile.dev.package.x.opt-level", "3"), ("workspace.lints.rust.unused", "deny")];
        assert_eq!(settings, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        assert_eq!(tables::at(&table, &["lints"]), None);
    }
}
