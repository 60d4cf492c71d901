//! Tests that run the real binary against real cargo and real git.
//!
//! `scenarios` is one mutation each, `oracle` random histories; the rest is one subject a file.

mod support;

mod scenarios;
