//! From what somebody wants to a store that can be asked, or to none.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use super::actions::{Absence, ActionsStore, Service};
use super::object::{Location, ObjectStore};
use super::tiers::{self, TierStore};
use super::{DirStore, NoStore, Store, StoreInput};
use crate::github::Event;
use crate::machine::environment;
use crate::problem::Warning;

/// Opens a store, whose work has to be over in `budget`. One that cannot be reached is not a store, with a warning unless
/// somebody wants it so.
pub fn open(input: &StoreInput, budget: Duration) -> (Box<dyn Store>, Option<Warning>) {
    let none =
        |reason: &str, warning: Option<Warning>| -> (Box<dyn Store>, _) { (Box::new(NoStore::new(reason)), warning) };
    match input {
        StoreInput::Dir(dir) => (Box::new(DirStore::new(dir.clone())), None),
        StoreInput::Object(location) => match bucket(location, budget) {
            Ok(store) => (Box::new(store), None),
            Err(error) => none("it cannot be asked", Some(Warning::of(&format!("the store `{location}`"), &error))),
        },
        StoreInput::Tiers(folder, location) => match bucket(location, budget) {
            Ok(store) => (Box::new(TierStore::new(folder, store)), None),
            Err(error) => none("it cannot be asked", Some(Warning::of(&format!("the store `{location}`"), &error))),
        },
        StoreInput::Actions => match Service::choose(&environment::variables(), jiff::Timestamp::now().as_second()) {
            Ok(service) => match ActionsStore::open(service, budget) {
                Ok(store) => (Box::new(store), None),
                Err(error) => none("it cannot be asked", Some(Warning::of("the cache service", &error))),
            },
            Err(Absence::Wished(reason)) => none(&reason, None),
            Err(Absence::Fault(reason)) => none(&reason, Some(Warning::new(format!("there is no cache: {reason}")))),
        },
    }
}

/// The bucket as this job sees it. Nothing is asked yet.
pub fn bucket(location: &Location, budget: Duration) -> Result<ObjectStore> {
    let env = environment::variables();
    let event = env.get("GITHUB_EVENT_PATH").map(|path| Event::load(Path::new(path))).unwrap_or_default();
    ObjectStore::open(location, &env, &event, budget)
}

/// Where a disk before this bucket holds what this job may see.
pub fn before(location: &Location, folder: &Path, budget: Duration) -> Result<PathBuf> {
    Ok(tiers::part(folder, &bucket(location, budget)?))
}
