//! Whether rustc compiles incrementally, which is part of every member's unit id and most of a debug target's bytes.
//!
//! Incremental state is dropped from packs unless asked for, and dropping it while it is on costs more than both: so when
//! nobody has decided, it is turned off, for the whole job and before the key is made.

use std::env;

use toml::Value;

use super::config::{self, ConfigFile};
use super::tables;
use super::workspace::Workspace;
use crate::state::key::Incremental;

/// What the user asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wish {
    #[default]
    Off,
    On,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// Who decided, and what.
    pub decided: Incremental,
    /// `CARGO_INCREMENTAL=0` has to be put into the job's environment.
    pub export: bool,
}

/// Who decides for this workspace, and what.
pub fn effective(wish: Wish, workspace: &Workspace, configs: &[ConfigFile]) -> Effective {
    let said = |decided: Incremental| Effective { decided, export: false };
    let variable = |name: &str, value: String| Incremental::Variable { name: name.to_owned(), value };
    for name in ["CARGO_INCREMENTAL", "CARGO_BUILD_INCREMENTAL"] {
        if let Ok(value) = env::var(name) {
            return said(variable(name, value));
        }
    }
    let profile = env::vars().find(|(name, _)| name.starts_with("CARGO_PROFILE_") && name.ends_with("_INCREMENTAL"));
    if let Some((name, value)) = profile {
        return said(variable(&name, value));
    }
    if let Some((_, value)) = config::find(configs, &["build", "incremental"]) {
        return said(Incremental::Config(value.to_string()));
    }
    let manifest = tables::read(&workspace.root.join("Cargo.toml"));
    let tables = configs.iter().filter_map(|file| file.table.as_ref()).chain(manifest.as_ref());
    for profiles in tables.filter_map(|table| table.get("profile")?.as_table()) {
        if profiles.values().any(|profile| profile.get("incremental").and_then(Value::as_bool).is_some()) {
            return said(Incremental::Profile);
        }
    }
    match wish {
        Wish::On => said(Incremental::Undecided),
        // The same as for a variable that is already there, so that a second restore in the job makes the same key.
        Wish::Off => Effective { decided: variable("CARGO_INCREMENTAL", "0".to_owned()), export: true },
    }
}
