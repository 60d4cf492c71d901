//! `doctor`: what the files of a checkout say about the speed and the soundness of its CI.
//!
//! `checkout` reads, the rules look at what it read and know nothing of each other. A rule speaks only of what is written
//! down; where an expression, a loop or a condition hides the value, it is silent. So a clean result is no proof. What the
//! repository's `settings` and `comments` switch off, `ignores` takes away at the end.

mod cache_paths;
mod caches;
mod cargo_call;
mod cargo_settings;
mod checkout;
mod comments;
pub mod finding;
mod ignores;
mod job;
mod migrate;
mod no_cache;
mod packages;
mod python;
pub mod rule;
mod sessions;
mod settings;
mod shell;
mod structure;
mod tables;
mod text;
mod toolchain;
mod tree;
mod units;
mod workflow_order;
mod workspaces;
mod yaml;

use std::path::Path;

use anyhow::Result;

use crate::doctor::finding::{Examination, Finding};
use checkout::Checkout;

/// One subject's rules.
type Rules = fn(&Checkout, &mut Vec<Finding>);

const SUBJECTS: [Rules; 11] = [
    caches::examine,
    no_cache::examine,
    migrate::examine,
    workflow_order::examine,
    workspaces::examine,
    cargo_settings::examine,
    units::examine,
    toolchain::examine,
    python::examine,
    sessions::examine,
    structure::examine,
];

/// Reads the checkout at `root` and applies every rule that is not switched off.
pub fn examine(root: &Path) -> Result<Examination> {
    let entries = settings::read(root)?;
    let mut checkout = checkout::read(root)?;
    packages::read(&mut checkout, root);
    let mut findings = checkout.faults.clone();
    for subject in SUBJECTS {
        subject(&checkout, &mut findings);
    }
    // A composite action that several jobs use is looked at once for each.
    findings.sort();
    findings.dedup();
    let (ignores, hidden) = ignores::apply(&checkout, &entries, &mut findings);
    let (workflows, packages) = (checkout.workflows.len(), checkout.packages.len());
    Ok(Examination { findings, ignores, hidden, workflows, packages })
}

#[cfg(test)]
mod sample;
