//! Tests that run the real binary against real cargo and real git.
//!
//! `scenarios` is one mutation each, `oracle` random histories; the rest is one subject a file.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::case_sensitive_file_extension_comparisons,
    clippy::too_many_lines,
    reason = "a test fails by panicking, and says all of one thing in one place"
)]

mod support;

#[cfg(target_os = "linux")]
mod act;
#[cfg(target_os = "linux")]
mod act_python;
mod actions;
mod actions_faults;
mod advice;
mod arrival;
#[cfg(target_os = "linux")]
mod assembled;
#[cfg(target_os = "linux")]
mod azurite;
#[cfg(target_os = "linux")]
mod beyond;
#[cfg(target_os = "linux")]
mod bucket_faults;
#[cfg(target_os = "linux")]
mod bucket_housekeeping;
#[cfg(target_os = "linux")]
mod buckets;
mod budget;
mod by_content;
#[cfg(target_os = "linux")]
mod cache_service;
mod cache_service_faults;
mod causes;
#[cfg(target_os = "linux")]
mod changing;
mod choice;
mod commands;
#[cfg(unix)]
mod configs;
#[cfg(target_os = "linux")]
mod counted;
#[cfg(target_os = "linux")]
mod crowd;
mod described;
mod doctor;
mod documented;
mod drafts;
#[cfg(unix)]
mod evidence;
mod explain;
mod faults;
#[cfg(target_os = "linux")]
mod followed;
mod forecast;
#[cfg(target_os = "linux")]
mod frontends;
mod fuzz;
mod home;
mod home_arrival;
#[cfg(target_os = "linux")]
mod hook;
#[cfg(target_os = "linux")]
mod housekeeping;
mod identity;
mod ignores;
#[cfg(target_os = "linux")]
mod install;
#[cfg(target_os = "linux")]
mod isolation;
mod keys;
mod kills;
#[cfg(target_os = "linux")]
mod late;
mod layouts;
#[cfg(target_os = "linux")]
mod libraries;
mod liveness;
#[cfg(target_os = "linux")]
mod macros;
mod moved;
mod mtime;
mod names;
#[cfg(unix)]
mod oracle;
mod overlooked;
#[cfg(target_os = "linux")]
mod packages;
mod packs;
mod parts;
mod patches;
#[cfg(target_os = "linux")]
mod pyo3;
#[cfg(target_os = "linux")]
mod python;
mod rendering;
mod reports;
mod rooms;
mod scenarios;
#[cfg(unix)]
mod secrets;
#[cfg(target_os = "linux")]
mod shim;
mod siblings;
#[cfg(target_os = "linux")]
mod signals;
mod silence;
#[cfg(target_os = "linux")]
mod small_root;
mod stamping;
#[cfg(target_os = "linux")]
mod surroundings;
#[cfg(unix)]
mod target_files;
mod tidy;
#[cfg(target_os = "linux")]
mod two_machines;
mod unhashed;
#[cfg(target_os = "linux")]
mod united;
#[cfg(target_os = "linux")]
mod unpacked;
mod vendored;
#[cfg(unix)]
mod whereabouts;
#[cfg(target_os = "linux")]
mod withheld;
mod written;
