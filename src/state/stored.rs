//! An entry as a store lists it, without a look into it. Pure.

use crate::moment::Moment;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub key: String,
    /// The ref whose jobs stored it, where the store keeps refs apart.
    pub scope: Option<String>,
    pub bytes: u64,
    pub created: Moment,
    /// When it was last read, as far as the store knows; never before it was created.
    pub used: Moment,
    /// The part of the store that it lies in, where rights keep parts apart: what lies in one says nothing of another.
    pub zone: Option<char>,
    /// How the store finds exactly this one again.
    pub place: String,
}
