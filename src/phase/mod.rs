//! The commands, each from its inputs to its outcome. A phase never calls another phase.

pub mod affected;
pub mod doctor;
pub mod explain;
pub mod key;
pub mod mtime;
pub mod python;
pub mod restore;
pub mod save;
pub mod shim;
pub mod try_it;
