//! The operating system, one room a thing: nothing outside this wing asks which system it runs on, but where a rule itself
//! differs from system to system.

pub mod ask;
pub mod children;
pub mod disk;
pub mod environment;
pub mod host;
pub mod interrupt;
pub mod libraries;
pub mod net;
pub mod paths;
pub mod process;
pub mod room;
pub mod shell;
mod system;
