//! What the `isolation` input asks for: refuses what would build another thing, and prepares the rest.
//!
//! Nothing here names an interpreter to the job. A variable that did would choose it for every build, and some of these would
//! silently be for another Python than the one they are installed into.

use std::path::Path;

use anyhow::Result;
use fs_err as fs;

use crate::job::facts::Facts;
use crate::job::inputs::Isolation;
use crate::job::outcome::RestoreOutcome;
use crate::problem::{Warning, WrongInput};
use crate::python::scripts;
use crate::shim::folder::ShimFolder;
use crate::shim::late::LateList;
use crate::shim::unpacked::StableTargets;

/// The switches of the two build backends for Rust.
const BASE: [&str; 2] = ["MATURIN_PEP517_USE_BASE_PYTHON", "SETUPTOOLS_RUST_PEP517_USE_BASE_PYTHON"];

/// Whether the wish can be fulfilled; asked before anything is done.
pub(super) fn check(wish: Isolation, facts: &Facts) -> Result<()> {
    if wish != Isolation::Base {
        return Ok(());
    }
    let packages: Vec<_> = facts.workspaces.iter().flat_map(|workspace| workspace.packages.clone()).collect();
    let Some(found) = scripts::running_the_interpreter(&packages) else { return Ok(()) };
    let (file, line, sign) = (found.file.display(), found.line, found.sign);
    Err(WrongInput::new(
        format!("`isolation: base` cannot be used here: a build script runs the interpreter ({file}:{line}, `{sign}`)"),
        "write `isolation: alias`; the base interpreter does not have what the script imports",
    )
    .into())
}

/// Prepares what later steps are to find, and leaves the list of late inputs for the shim.
pub(super) fn carry_out(
    wish: Isolation,
    state: &Path,
    late: Option<LateList>,
    unpacked: Option<&StableTargets>,
    outcome: &mut RestoreOutcome,
) {
    match wish {
        Isolation::Report => {}
        Isolation::Base => {
            let unset = BASE.iter().filter(|name| std::env::var_os(name).is_none());
            outcome.isolation.variables = unset.map(|name| ((*name).to_owned(), "1".to_owned())).collect();
        }
        Isolation::Alias if cfg!(not(unix)) => {
            outcome.notes.push("`isolation: alias` works on Linux and macOS only; nothing is done here".to_owned());
        }
        Isolation::Alias => {
            let folder = ShimFolder::of_job();
            if let Err(error) = folder.install() {
                outcome.warnings.push(Warning::of("throw-away environments keep their random paths", &error));
                return;
            }
            let path = LateList::path(&folder.late(), state);
            match late.map(|late| late.store(&path)) {
                None => LateList::forget(&path),
                Some(Ok(())) => {}
                Some(Err(error)) => outcome.warnings.push(Warning::of("late inputs will count as new", &error)),
            }
            let path = folder.unpacked();
            match unpacked.map(|targets| targets.store(&path)) {
                // Without it they are compiled where they lie.
                None => drop(fs::remove_file(&path)),
                Some(Ok(())) => {}
                Some(Err(error)) => outcome.warnings.push(Warning::of("sdists will be compiled anew", &error)),
            }
            outcome.isolation.path = Some(folder.bin());
        }
    }
}
