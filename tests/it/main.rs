//! Tests that run the real binary against real cargo and real git.
//!
//! `scenarios` is one mutation each, `oracle` random histories; the rest is one subject a file.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stderr, reason = "a test fails by panicking")]

mod support;

mod commands;
mod home;
mod keys;
mod layouts;
mod liveness;
mod mtime;
mod oracle;
mod packs;
mod scenarios;
mod stamping;
mod tidy;
