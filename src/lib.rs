//! Rekindle makes a CI job behave as if its machine had never been wiped.
//!
//! `restore` brings the target folder and the Cargo home back before the build and gives the sources times that cannot lie;
//! `save` finds out afterwards what the job used and changed, and stores it. Cargo then compiles what it would have compiled
//! on a machine that kept its disk: nothing when nothing changed, the changed crates and their dependents otherwise, never
//! less.
//!
//! ```text
//! inputs ─► facts ─► key ─► lookup ─► unpack ─► stamp ─► [ the job ] ─► survey ─► decide ─► pack ─► store ─► report
//! ```
//!
//! # The rooms, in reading order
//!
//! Small values that everything is made of: [`mod@unit`] (what Cargo fingerprints), [`digest`] (what content is), [`moment`] (a file's
//! time), [`problem`] (what goes wrong), [`words`] (numbers as people read them).
//!
//! - [`machine`]: the operating system, one room a thing.
//! - [`state`]: what a stored state says about itself. `state::key` is what it depends on, `state::manifest` what it holds.
//! - [`git`], [`github`]: the checkout's history, and the run that this job is part of.
//! - [`cargo`]: what lies in a target folder, a workspace and a Cargo home.
//! - [`stamp`]: which source gets which time, and which unit is not trusted: the heart of the promise. Begin with `stamp::plan`
//!   (a time for every source), `stamp::sight` (what a unit can be shown to have seen) and `stamp::doubt` (why one is not
//!   trusted).
//! - [`explain`]: why a unit was compiled, and what would stop it.
//! - [`store`] and [`pack`]: where states are kept, and the archives that hold them.
//! - [`housekeeping`]: what lies in a store, who refers to whom, and taking away what nobody needs. `state::housekeeping` decides.
//! - [`python`] and [`shim`]: interpreters, and the `cargo` in front of cargo that gives a build's throw-away environment a path
//!   that stays.
//! - [`job`]: one job from its inputs to its outcome, and what `restore` hands over to `save`.
//! - [`doctor`]: what the files of a checkout say about its CI.
//! - [`phase`]: the commands, one a room. [`report`]: every outcome as words. [`cli`]: the command line.
//!
//! Imports go down this house and never up or in circles; a file whose first words say `Pure.` does no input or output and
//! imports nothing that does. `tests/it/rooms.rs` holds the code to both.
//!
//! # The invariants
//!
//! Never stale: whatever differs from the saved state is newer than everything restored, and what times cannot say is
//! invalidated outright. Never more than needed: the compiled set is the one of a machine that was never wiped, except where a
//! soundness rule rebuilds what Cargo alone would have left stale. Never in the way: a cache fault is a warning. Never stuck:
//! news is always saved under a new key. Never silent, and never leaky: reasons carry old and new values, secrets never leave
//! the environment.

pub mod cargo;
pub mod cli;
pub mod digest;
pub mod doctor;
pub mod explain;
pub mod git;
pub mod github;
pub mod housekeeping;
pub mod job;
pub mod machine;
pub mod moment;
pub mod pack;
pub mod phase;
pub mod problem;
pub mod python;
pub mod report;
pub mod shim;
pub mod stamp;
pub mod state;
pub mod store;
pub mod unit;
pub mod words;
