//! Keeping a store small: what lies in it and who refers to whom, which jobs are under way, and taking away what a plan names.
//!
//! `state::housekeeping` decides, and nothing else does. Begin with `shelf`.

mod after_save;
pub mod lease;
mod parents;
pub mod shelf;
pub mod sweep;

pub use after_save::after_save;
