//! `rekindle affected`: what on this checkout differs from the state that was restored, for people who choose what to run. Looks at
//! the sources and changes nothing; Rekindle itself never skips anything because of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;

use crate::explain::forecast::{self, Affected, Known};
use crate::job::facts::Facts;
use crate::job::foreseeable::{absent, gone};
use crate::job::handover::State;
use crate::job::inputs::Stamp;
use crate::machine::disk::FileSystem;
use crate::machine::host;
use crate::moment::Moment;
use crate::problem::WrongInput;
use crate::stamp::plan::{self, Present};
use crate::stamp::sources;
use crate::state::secrets::Secrets;

/// Since the `restore` that wrote this state.
pub fn since(path: &Path) -> Result<Affected> {
    let hint = "run `rekindle restore` first, or name its state file with `--since`";
    let state = State::load(path)
        .map_err(|error| WrongInput::new(format!("there is nothing to compare with: {error:#}"), hint))?;
    let Some(restored) = &state.restored else {
        return Err(WrongInput::new("there is nothing to compare with: nothing was restored", hint).into());
    };
    let manifest = &restored.manifest;
    let mut facts = Facts::without_interpreters(&state.inputs)?;
    facts.adopt_recorded(manifest);
    let scope = facts.scope_of(manifest);
    let file_system = FileSystem::probe(&facts.workspaces.first().root)?;
    let mut found = sources::scan(&scope, &file_system)?;
    sources::add_folders(&mut found, &scope, &file_system);
    let present = Present {
        inputs: found.inputs,
        own_outside: found.own_outside,
        new_time: Moment::from(filetime::FileTime::now()),
        shift: state.shift,
        doubts: Vec::new(),
        // What a macro read elsewhere in the repository, the restore has looked at.
        beyond: BTreeSet::new(),
    };
    let plan = plan::plan(manifest, &present);
    let mut forced: BTreeMap<String, String> = state.forced.clone();
    for (&at, doubts) in &plan.doubts {
        let unit = &manifest.units[at];
        let reason = doubts.first().map(ToString::to_string).unwrap_or_default();
        forced.entry(unit.place.name_in(unit.root)).or_insert(reason);
    }
    let forecast = forecast::forecast(&Known {
        manifest,
        differing: &plan.differing,
        gone: &gone(&plan.differing),
        absent: &absent(manifest),
        forced: &forced,
        locked: &facts.locked_packages(),
        moved: &facts.moved_packages(manifest),
        settings: &facts.settings(),
        project: &facts.project(),
        host: facts.host(),
        as_checked_out: state.inputs.mtime == Stamp::AsCheckedOut,
        environment: &Secrets::of_environment().records(),
        cores: host::cores(),
    });
    Ok(forecast.affected())
}
