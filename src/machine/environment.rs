//! The variables of this process, and the user's own folders.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Variables in sorted order, for records that have to compare equal. One that is not text names nothing that counts here.
pub fn variables() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// The user's cache folder, as each platform has it.
pub fn user_cache() -> PathBuf {
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || std::env::home_dir().unwrap_or_else(std::env::temp_dir);
    match std::env::consts::OS {
        "windows" => var("LOCALAPPDATA").unwrap_or_else(home),
        "macos" => home().join("Library/Caches"),
        _ => var("XDG_CACHE_HOME").unwrap_or_else(|| home().join(".cache")),
    }
}
