//! Cargo's own files: what lies in a target folder, what each part of it means, and what a workspace says about itself.
//!
//! None of these formats is promised by Cargo. Each is read leniently, and what cannot be read is "unknown": kept, compared
//! as bytes, and never reasoned about.

pub mod archive;
pub mod assembler;
pub mod building;
pub mod clock;
pub mod config;
pub mod dependency;
pub mod depinfo;
pub mod fingerprint;
pub mod home;
pub mod included;
pub mod incremental;
pub mod invalidate;
pub mod layout;
pub mod liveness;
pub mod lockfile;
pub mod macros;
pub mod means;
pub mod named;
mod owner;
pub mod settings;
pub mod spoken;
pub mod survey;
pub mod tables;
pub mod toolchain;
pub mod tools;
pub mod traces;
pub mod units;
pub mod vendor;
pub mod verdict;
pub mod whereabouts;
pub mod workspace;
