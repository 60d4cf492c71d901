//! Entries that are sent while they are made: what leaves when, and what is left of one that nobody finishes.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use rekindle::problem::GivenUp;
use rekindle::store::actions::{ActionsStore, Service};
use rekindle::store::{Put, Sending, Store};

use crate::support::cache_service::{CacheService, Fault, Route};
use crate::support::runner::MAIN;

const MIB: usize = 1 << 20;
/// Far more than any of this takes.
const LONG: Duration = Duration::from_secs(60);

fn open(service: &CacheService, api: &str) -> ActionsStore {
    let env = [
        ("ACTIONS_RUNTIME_TOKEN", service.token(MAIN)),
        ("ACTIONS_RESULTS_URL", service.url()),
        ("ACTIONS_CACHE_URL", service.url()),
        ("REKINDLE_CACHE_API", api.to_owned()),
    ];
    let env: BTreeMap<String, String> = env.map(|(name, value)| (name.to_owned(), value)).into();
    let service = Service::choose(&env, jiff::Timestamp::now().as_second()).unwrap();
    ActionsStore::open(service, LONG).unwrap()
}

/// So many MiB, no two alike.
fn frames(size: usize) -> Vec<u8> {
    (0..size).flat_map(|at| vec![u8::try_from(at).unwrap(); MIB]).collect()
}

fn asked(service: &CacheService, route: Route) -> usize {
    service.requests().iter().filter(|seen| seen.route == route).count()
}

fn comes_to(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < LONG, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn blocks_leave_while_the_rest_is_made_and_the_index_stands_first() {
    let (service, room) = (CacheService::start(), tempfile::tempdir().unwrap());
    let store = open(&service, "v2");
    let (frames, tail) = (frames(21), vec![200; 9 * MIB]);
    let mut draft = store.begin("key", room.path(), Sending::AsTheyCome).unwrap();
    draft.write_all(&frames[..4 * MIB]).unwrap();
    assert_eq!(asked(&service, Route::Create), 0, "the name is reserved too soon");
    draft.write_all(&frames[4 * MIB..9 * MIB]).unwrap();
    comes_to("no block left before the end", || asked(&service, Route::PutBlock) == 2);
    draft.write_all(&frames[9 * MIB..]).unwrap();
    assert!(service.entries().is_empty());
    assert_eq!(draft.finish(&tail).unwrap(), Put::Stored);
    assert!(service.blob("key") == [tail, frames].concat());
    assert_eq!(asked(&service, Route::PutBlock), 6 + 3);
    assert!(empty(room.path()));
}

fn empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).unwrap().next().is_none()
}

#[test]
fn nothing_leaves_before_the_end_where_somebody_may_still_decide_against_it() {
    for (api, sending) in [("v2", Sending::WhenComplete), ("v1", Sending::AsTheyCome)] {
        let (service, room) = (CacheService::start(), tempfile::tempdir().unwrap());
        let store = open(&service, api);
        let (frames, tail) = (frames(21), vec![200; MIB]);
        let begin = || {
            let mut draft = store.begin("key", room.path(), sending).unwrap();
            draft.write_all(&frames).unwrap();
            draft
        };
        drop(begin());
        assert!(service.requests().is_empty() && empty(room.path()), "{api}");
        assert_eq!(begin().finish(&tail).unwrap(), Put::Stored);
        assert!(service.blob("key") == [tail, frames.clone()].concat(), "{api}");
    }
}

#[test]
fn a_draft_that_nobody_finishes_is_never_seen() {
    let (service, room) = (CacheService::start(), tempfile::tempdir().unwrap());
    let store = open(&service, "v2");
    let mut draft = store.begin("key", room.path(), Sending::AsTheyCome).unwrap();
    draft.write_all(&frames(20)).unwrap();
    comes_to("no block left before the end", || asked(&service, Route::PutBlock) > 0);
    drop(draft);
    assert!(service.entries().is_empty() && empty(room.path()));
    assert!(store.find("key").unwrap().is_empty());
    assert_eq!(asked(&service, Route::PutBlockList) + asked(&service, Route::Finalize), 0);
}

#[test]
fn a_name_that_is_taken_is_found_out_and_nothing_is_sent() {
    let (service, room) = (CacheService::start(), tempfile::tempdir().unwrap());
    let store = open(&service, "v2");
    let put = |size: usize| {
        let mut draft = store.begin("key", room.path(), Sending::AsTheyCome).unwrap();
        draft.write_all(&frames(size)).unwrap();
        draft.finish(b"tail").unwrap()
    };
    assert!(store.begin("key", &room.path().join("none"), Sending::AsTheyCome).is_err());
    assert_eq!(put(1), Put::Stored);
    assert_eq!([put(20), put(1)], [Put::AlreadyThere, Put::AlreadyThere]);
    assert_eq!(asked(&service, Route::PutBlock), 0);
}

#[test]
fn a_block_that_cannot_be_sent_ends_it_with_the_reason() {
    let (service, room) = (CacheService::start(), tempfile::tempdir().unwrap());
    service.fault(Route::PutBlock, Fault::RateLimited { retry_after: None }, usize::MAX);
    let store = open(&service, "v2");
    let mut draft = store.begin("key", room.path(), Sending::AsTheyCome).unwrap();
    draft.write_all(&frames(5)).unwrap();
    comes_to("no block left before the end", || asked(&service, Route::PutBlock) == 1);
    // Who packs is told before the end.
    let began = Instant::now();
    let error = loop {
        assert!(began.elapsed() < LONG, "it goes on and on");
        if let Err(error) = draft.write_all(&frames(1)) {
            break error;
        }
    };
    let given_up = anyhow::Error::new(error).context("cannot write the pack");
    assert!(GivenUp::in_chain(&given_up).is_some(), "{given_up:#}");
    assert!(draft.finish(b"tail").is_err());
    assert!(store.begin("other", room.path(), Sending::AsTheyCome).is_err(), "the service was given up");
    assert!(service.entries().is_empty() && empty(room.path()));
}
