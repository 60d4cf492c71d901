//! Words: every outcome as text. Nothing else in the program speaks.

pub mod json;
pub mod log;
pub mod outputs;
pub mod summary;
pub mod table;
