//! Words: every outcome as text. Nothing else in the program speaks.

mod chart;
pub mod findings;
pub mod html;
pub mod journal;
pub mod json;
pub mod log;
mod markdown;
mod numbers;
pub mod outputs;
pub mod policy;
pub mod python;
pub mod stock;
pub mod summary;
pub mod table;
