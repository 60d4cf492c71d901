//! Words: every outcome as text. Nothing else in the program prints.

pub mod log;
pub mod table;
