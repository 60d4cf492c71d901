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
//! # Reading order
//!
//! Values, which do no input or output: [`key`] (what a state depends on), [`manifest`] (what a pack says about itself),
//! [`stamp`] (which source gets which time: the heart of the promise), [`sight`] (what a unit can be shown to have seen),
//! [`rebuild`] (why a unit is not trusted), [`macro_inputs`] (what a proc macro may have read), [`traces`] (what in a source
//! suggests that), [`record`]
//! (what a save writes down), [`delta`] (what is stored anew), [`decision`] (whether to save), [`outcome`] (what happened),
//! [`finding`] (what `doctor` can find, and what there is to say about it).
//!
//! Edges, each of which meets one outside thing: [`disk`], [`git`], [`cargo`], [`pack`], [`store`], [`sources`] (inputs on
//! disk), [`libraries`] (system packages), [`python`] (interpreters, and what gives a build's throw-away environment a path that
//! stays), [`facts`] (everything a key needs), [`state`] (from `restore` to `save`), [`doctor`] (the files that say how a
//! checkout is built), [`shim`] (where the `cargo` shim lives), [`late`] (inputs that come after the restore), [`ledger`] (what a
//! kept machine has held), [`recorded`] (which units on disk a manifest speaks for), [`observed`] (which files nobody read),
//! [`process`].
//!
//! Phases, one per command: [`phase`]. Words: [`report`]. Imports go one way, `main → phase → edges → values`, and a test
//! holds them to it.
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
pub mod words;
