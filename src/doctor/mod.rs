//! `doctor`: what the files of a checkout say about the speed and the soundness of its CI.
//!
//! `checkout` reads, the rules look at what it read and know nothing of each other. A rule speaks only of what is written
//! down; where an expression, a loop or a condition hides the value, it is silent. So a clean result is no proof.

mod caches;
mod cargo_call;
mod cargo_settings;
mod checkout;
pub mod finding;
mod job;
mod packages;
mod python;
mod shell;
mod structure;
mod tables;
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

const SUBJECTS: [Rules; 8] = [
    caches::examine,
    workflow_order::examine,
    workspaces::examine,
    cargo_settings::examine,
    units::examine,
    toolchain::examine,
    python::examine,
    structure::examine,
];

/// Reads the checkout at `root` and applies every rule.
pub fn examine(root: &Path) -> Result<Examination> {
    let mut checkout = checkout::read(root)?;
    packages::read(&mut checkout, root);
    let mut findings = checkout.faults.clone();
    for subject in SUBJECTS {
        subject(&checkout, &mut findings);
    }
    // A composite action that several jobs use is looked at once for each.
    findings.sort();
    findings.dedup();
    Ok(Examination { findings, workflows: checkout.workflows.len(), packages: checkout.packages.len() })
}

#[cfg(test)]
mod sample;
