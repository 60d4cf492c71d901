//! One job, from its inputs to its outcome: what `restore` finds out and hands over to `save`.

pub mod beginning;
pub mod facts;
pub mod foreseeable;
pub mod former;
pub mod handover;
pub mod inputs;
pub mod outcome;
pub mod variables;
