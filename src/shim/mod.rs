//! The `cargo` in front of cargo: where it lives, and the path that stays which it gives to an environment that does not.

pub mod alias;
pub mod ephemeral;
pub mod folder;
pub mod late;
mod made_from;
pub mod requirements;
pub mod unpacked;
