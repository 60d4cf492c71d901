//! Which source gets which time, and which unit is not trusted: the heart of the promise.

pub mod beyond;
pub mod doc_inputs;
pub mod doubt;
pub mod ledger;
pub mod macro_inputs;
pub mod observed;
mod overlooked;
pub mod plan;
pub mod reach;
pub mod record;
pub mod recorded;
pub mod shared_outputs;
pub mod sight;
pub mod sources;
