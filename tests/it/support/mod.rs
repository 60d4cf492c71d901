//! A world of its own for each test: an origin repository, a work tree that is cloned from it, a store and a Cargo home; and the
//! cache service, where a test needs one.

#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "some of their tests need what tests/all.sh installs"))]
pub(crate) mod azurite;
pub(crate) mod bad_service;
#[cfg(target_os = "linux")]
pub(crate) mod bucket;
#[cfg(target_os = "linux")]
pub(crate) mod bucket_jobs;
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "some of their tests need what tests/all.sh installs"))]
pub(crate) mod cache_service;
#[cfg(target_os = "linux")]
pub(crate) mod object_twin;
mod project;
#[cfg(target_os = "linux")]
pub(crate) mod pyo3_job;
pub(crate) mod raw_http;
#[cfg(target_os = "linux")]
pub(crate) mod release_server;
pub(crate) mod runner;
#[cfg(target_os = "linux")]
pub(crate) mod weed;
mod world;

pub(crate) use project::{A_UNITS, Project, scenario_project};
#[cfg(target_os = "linux")]
pub(crate) use world::as_root;
pub(crate) use world::{World, file_url, full, git, memory, nightly, restored_time, scrub, words, write};
