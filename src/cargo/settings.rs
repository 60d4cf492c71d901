//! Settings of which Cargo's fingerprints keep nothing but a number: profiles, lints, definitions of targets and their dependencies, by name and value.
//!
//! Only for words in a report: which of them reached a unit is not known here.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Value;
use vec1::Vec1;

use super::config::ConfigFile;
use super::tables;
use super::workspace::Workspace;

/// `profile.dev.opt-level` and its value, from manifests, Cargo's configuration and the environment.
pub fn gather(
    workspaces: &Vec1<Workspace>,
    configs: &[ConfigFile],
    environment: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    for workspace in workspaces {
        let root = workspace.root.join("Cargo.toml");
        let members = workspace.packages.iter().map(|package| package.dir.join("Cargo.toml"));
        for path in members.chain([root.clone()]) {
            let Some(table) = tables::read(&path) else {
                continue;
            };
            let place = if path == root { String::new() } else { format!("{}: ", relative(&path, &workspace.root)) };
            // Profiles count in the root's manifest alone.
            let of_root: &[&[&str]] = &[&["profile"], &["workspace", "lints"], &["workspace", "package", "edition"]];
            let names = OF_PACKAGE.iter().chain(if path == root { of_root } else { &[] });
            for &name in names {
                if let Some(value) = tables::at(&table, name) {
                    flatten(&format!("{place}{}", name.join(".")), value, &mut settings);
                }
            }
        }
    }
    for file in configs {
        if let Some(profiles) = file.table.as_ref().and_then(|table| table.get("profile")) {
            flatten(&format!("{}: profile", relative(&file.path, &workspaces.first().root)), profiles, &mut settings);
        }
    }
    let variables = environment.iter().filter(|(name, _)| name.starts_with("CARGO_PROFILE_"));
    settings.extend(variables.map(|(name, value)| (name.clone(), value.clone())));
    settings
}

/// Lints, what defines targets, and what they are built from.
const OF_PACKAGE: &[&[&str]] = &[
    &["lints"],
    &["package", "edition"],
    &["lib"],
    &["bin"],
    &["example"],
    &["test"],
    &["bench"],
    &["features"],
    &["dependencies"],
    &["build-dependencies"],
];

fn relative(path: &Path, root: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
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
    use toml::Table;

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
