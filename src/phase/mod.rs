//! The commands, each from its inputs to its outcome. A phase never calls another phase.

pub mod affected;
pub mod doctor;
pub mod explain;
pub mod key;
pub mod ls;
pub mod mtime;
pub mod prune;
pub mod python;
pub mod restore;
pub mod save;
pub mod shim;
pub mod try_it;
