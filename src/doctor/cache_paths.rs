//! Paths that other caches name: which of them Rekindle restores by itself.

use super::checkout::Checkout;
use super::job::join;
use super::packages::file_in;

/// `actions/cache`, its halves, and those of others that take the same inputs: the half, or nothing for the whole.
pub(super) fn plain_cache(action: &str) -> Option<&str> {
    const OWNERS: [&str; 6] = ["actions", "buildjet", "runs-on", "ubicloud", "useblacksmith", "warpbuilds"];
    let (owner, name) = action.split_once('/')?;
    let half = name.strip_prefix("cache")?;
    (OWNERS.contains(&owner) && matches!(half, "" | "/restore" | "/save")).then(|| half.trim_start_matches('/'))
}

/// Whether a path of another cache is one that Rekindle restores.
pub(super) fn is_cargos(checkout: &Checkout, path: &str) -> bool {
    if path.starts_with('!') {
        return false;
    }
    let path = path.trim_end_matches(['/', '*']);
    let home = ["~/.cargo", "$HOME/.cargo", "${{ env.CARGO_HOME }}", "$CARGO_HOME", "/usr/local/cargo", ".cargo"];
    let in_home = home.iter().any(|home| {
        path.strip_prefix(home)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("/registry") || rest.starts_with("/git"))
    });
    in_home || is_target(checkout, path)
}

/// Whether a path is a target folder of Cargo's, or a part of one that every build writes. Other tools have a `target`, too.
pub(super) fn is_target(checkout: &Checkout, path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').filter(|part| *part != ".").collect();
    let Some(at) = parts.iter().position(|part| *part == "target") else { return false };
    let whole = matches!(parts.get(at + 1), None | Some(&("*" | "**" | "debug" | "release")));
    let above = parts[..at].join("/").replace("${{ github.workspace }}", ".");
    let is_cargos = |folder: String| checkout.has(&file_in(&folder, "Cargo.toml"));
    whole && (above.contains('*') || join(".", &above).is_some_and(is_cargos))
}
