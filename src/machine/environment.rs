//! The variables of this process, and the user's own folders.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::digest::Digest;

/// Variables in sorted order, for records that have to compare equal. One that is not text names nothing that counts here.
pub fn variables() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// The same, with something in the place of a value that is not text, which tells it from another such value.
pub fn told() -> BTreeMap<String, String> {
    let told = |value: std::ffi::OsString| {
        let digest = Digest::of(value.as_encoded_bytes()).short();
        value.into_string().unwrap_or_else(|value| format!("{} (#{digest})", value.to_string_lossy()))
    };
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, told(value)))).collect()
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
