//! Words: every outcome as text. Nothing else in the program speaks.

mod chart;
pub mod findings;
pub mod html;
pub mod json;
pub mod log;
mod markdown;
pub mod outputs;
pub mod summary;
pub mod table;
