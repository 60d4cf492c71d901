//! Why was it rebuilt? What the target says before and after a job, compared; the causes, and what would stop them.

pub mod advice;
mod bumps;
pub mod cause;
mod compare;
pub mod forecast;
pub mod inspect;
pub mod inspection;
mod neighbour;
pub mod project;
mod schedule;
pub mod snapshot;
pub mod surroundings;
pub mod take;
mod view;
pub mod weigh;
