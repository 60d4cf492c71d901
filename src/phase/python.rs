//! `rekindle python`: finds the interpreters that the key would depend on. Changes and exports nothing.

use anyhow::Result;

use crate::cargo::lockfile::Locked;
use crate::cargo::workspace::Workspace;
use crate::job::inputs::Inputs;
use crate::python::find::Interpreters;
use crate::python::wish::PythonWish;

/// As `restore` would find them. Only `auto` needs the workspaces.
pub fn run(inputs: &Inputs) -> Result<Interpreters> {
    let mut workspaces = Vec::new();
    if inputs.python == PythonWish::Auto {
        for input in &inputs.workspaces {
            workspaces.push(Workspace::load(&input.root, input.target.as_deref())?);
        }
    }
    let locked = workspaces.iter().map(|workspace| Locked::load(&workspace.root)).collect::<Result<Vec<_>>>()?;
    Interpreters::of_job(&inputs.python, &workspaces, &locked)
}
