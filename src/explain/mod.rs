//! Why was it rebuilt? What the target says before and after a job, compared; the causes, and what would stop them.

pub mod advice;
pub mod cause;
mod compare;
pub mod inspect;
pub mod inspection;
pub mod snapshot;
pub mod take;
pub mod weigh;
