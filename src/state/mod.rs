//! What a stored state says about itself: the name under which it lies, what it holds, and what a new one adds.

pub mod borrow;
pub mod decision;
pub mod delta;
pub mod housekeeping;
pub mod key;
pub mod key_change;
pub mod limit;
pub mod manifest;
pub mod secrets;
pub mod seed;
pub mod stored;
pub mod union;
pub mod worth;
