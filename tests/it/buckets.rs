//! Whole jobs whose packs lie in a bucket of a real object store, and many machines that use one at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use rekindle::digest::Digest;
use rekindle::github::Event;
use rekindle::store::object::{Location, ObjectStore};
use rekindle::store::{Put, Store};
use serde_json::Value;

use crate::support::azurite::Azurite;
use crate::support::bucket::put;
use crate::support::bucket_jobs::{job, on_main, on_pull_request, runner};
use crate::support::runner::{Runner, ballast};
use crate::support::weed::Weed;

/// Far more than any of this takes.
const LONG: Duration = Duration::from_secs(120);
const WRITERS: usize = 24;

#[test]
fn a_machine_that_shares_only_the_bucket_is_warm_and_scopes_are_as_on_github() {
    let weed = Weed::start();
    let mut runner = runner(&weed, &[("lib/build.rs", &ballast(20))]);
    let all = job(&mut runner).compiled;
    let bucket = weed.bucket();
    // One large pack that went in parts, a seed that names the job, and a head of each.
    let objects = bucket.objects();
    let packs = bucket.named("/t/p/");
    assert!(packs.len() == 2 && packs.iter().any(|pack| objects[pack] > 20 << 20), "{objects:?}");
    assert_eq!(bucket.named("/t/h/refs=2Fheads=2Fmain/").len(), 2, "{objects:?}");
    assert_eq!(objects.len(), 4, "{objects:?}");

    let warm = job(&mut runner);
    assert_eq!((warm.compiled, warm.restore.outputs["state"].as_str()), (BTreeSet::new(), "exact"));
    assert_eq!(bucket.objects(), objects, "nothing is news");

    // A pull request starts from its base, stores a delta in its own zone, and goes on with it.
    on_pull_request(&mut runner, 77);
    runner.world.change(&[("lib/src/text.txt", "two")]);
    let first = job(&mut runner);
    assert!(first.compiled.len() < all.len() && !first.compiled.is_empty(), "{:?}", first.compiled);
    let of_pull_request = bucket.named("/u/");
    assert_eq!(of_pull_request.len(), 2, "{of_pull_request:?}");
    assert!(of_pull_request.iter().all(|name| objects.values().max() > bucket.objects().get(name)), "it is a delta");
    assert_eq!(job(&mut runner).compiled, BTreeSet::new());

    // Nobody on the protected branch sees that.
    on_main(&mut runner);
    assert_eq!(job(&mut runner).compiled, first.compiled);

    // A pull request of a fork reads, and says why it stores nothing.
    let before = bucket.objects();
    on_pull_request(&mut runner, 78);
    runner.world.change(&[("lib/src/text.txt", "three")]);
    let fork = job(&mut runner);
    assert_eq!(fork.compiled, first.compiled);
    assert!(fork.save.log.contains("another repository"), "{}", fork.save.log);
    assert_eq!(bucket.objects(), before);
}

#[test]
fn a_container_of_azure_is_a_store_like_any_other() {
    let azurite = Azurite::start();
    let mut runner = Runner::with(&[("lib/build.rs", &ballast(20))]);
    runner.set("REKINDLE_STORE", "az://actions-cache/ci");
    runner.set("GITHUB_REPOSITORY_ID", "77");
    azurite.env().into_iter().for_each(|(name, value)| runner.set(name, &value));
    on_main(&mut runner);
    let all = job(&mut runner).compiled;
    let answers = azurite.answered();
    assert!(answers.iter().filter(|answer| *answer == "PUT block 201").count() >= 3, "{answers:?}");
    assert_eq!(job(&mut runner).compiled, BTreeSet::new());
    runner.world.change(&[("lib/src/text.txt", "two")]);
    let some = job(&mut runner).compiled;
    assert!(!some.is_empty() && some.len() < all.len(), "{some:?}");
    assert_eq!(job(&mut runner).compiled, BTreeSet::new());
    // Of eight writers at once nobody is lost, and nobody is let in over another.
    let env: BTreeMap<String, String> =
        azurite.env().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let open = || {
        ObjectStore::open(&Location::parse("az://actions-cache/crowd").unwrap(), &env, &Event::default(), LONG).unwrap()
    };
    let barrier = Barrier::new(8);
    thread::scope(|scope| {
        for at in 0..8 {
            let (open, barrier) = (&open, &barrier);
            scope.spawn(move || {
                let store = open();
                barrier.wait();
                assert_eq!(put(&store, &key(0, at), &[u8::try_from(at).unwrap(); 100]).unwrap(), Put::Stored);
            });
        }
    });
    assert_eq!(open().find("rekindle.3.crowd-0123456789abcdef.").unwrap().len(), 8);
    let head = azurite.container().content("crowd/v1/local/u/h/local/crowd-0123456789abcdef").unwrap();
    assert_eq!(sequences(&serde_json::from_slice(&head).unwrap()), (1..=8).collect());
}

fn environment(weed: &Weed) -> BTreeMap<String, String> {
    weed.env().into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn open(env: &BTreeMap<String, String>) -> ObjectStore {
    ObjectStore::open(&Location::parse("s3://packs/crowd").unwrap(), env, &Event::default(), LONG).unwrap()
}

fn key(hard: usize, state: usize) -> String {
    format!("rekindle.3.crowd-0123456789abcdef.{hard:016x}.{:016x}.{state:016x}.{state:016x}", 7)
}

/// Numbers of a head's entries: each writer replaced what the one before it wrote, and no two the same.
fn sequences(head: &Value) -> BTreeSet<u64> {
    head["entries"].as_array().unwrap().iter().map(|entry| entry["sequence"].as_u64().unwrap()).collect()
}

/// What a reader finds under a key is what its writer stored.
fn check(store: &ObjectStore, key: &str) {
    let bytes = store.read(key, 0, store.size(key).unwrap()).unwrap();
    assert_eq!(store.digest(key), Some(Digest::of(&bytes)), "{key}");
}

#[test]
fn of_many_writers_each_is_seen_and_of_one_key_there_is_one_winner() {
    let weed = Weed::start();
    let env = environment(&weed);
    let barrier = Barrier::new(WRITERS + 8);
    thread::scope(|scope| {
        for at in 0..WRITERS {
            let (env, barrier) = (&env, &barrier);
            scope.spawn(move || {
                let store = open(env);
                barrier.wait();
                let bytes = vec![u8::try_from(at).unwrap(); 100_000 + at];
                assert_eq!(put(&store, &key(at % 3, at), &bytes).unwrap(), Put::Stored);
                assert_eq!(store.warnings(), []);
            });
        }
        for _ in 0..8 {
            let (env, barrier) = (&env, &barrier);
            scope.spawn(move || {
                barrier.wait();
                // Whatever a head names at any moment is there.
                for _ in 0..3 {
                    let store = open(env);
                    for entry in store.find("rekindle.3.crowd-0123456789abcdef.").unwrap() {
                        check(&store, &entry.key);
                    }
                }
            });
        }
    });
    let store = open(&env);
    let seen: BTreeSet<String> =
        store.find("rekindle.3.crowd-0123456789abcdef.").unwrap().into_iter().map(|entry| entry.key).collect();
    assert_eq!(seen, (0..WRITERS).map(|at| key(at % 3, at)).collect());
    let bucket = weed.bucket();
    let head = bucket.json(&bucket.named("/h/")[0]);
    assert_eq!(sequences(&head), (1..=WRITERS as u64).collect());

    let barrier = Barrier::new(WRITERS);
    let puts: Vec<Put> = thread::scope(|scope| {
        let writers = (0..WRITERS).map(|at| {
            let (env, barrier) = (&env, &barrier);
            scope.spawn(move || {
                let store = open(env);
                barrier.wait();
                put(&store, &key(9, 9), &vec![u8::try_from(at).unwrap(); 1000]).unwrap()
            })
        });
        let writers: Vec<_> = writers.collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    assert_eq!(puts.iter().filter(|put| **put == Put::Stored).count(), 1, "{puts:?}");
    check(&open(&env), &key(9, 9));
}

/// Every object lies on two of three volume servers; one of them goes while packs come and go.
#[test]
fn a_volume_server_that_dies_takes_no_stored_entry_with_it() {
    let mut weed = Weed::with_volumes(3);
    let env = environment(&weed);
    // Much more than one request moves.
    let block = |number: usize| vec![u8::try_from(number % 251).unwrap(); 4096];
    let bytes = |at: usize| -> Vec<u8> { (0..6_000).flat_map(|number| block(number + at)).collect() };
    assert_eq!(put(&open(&env), &key(0, 0), &bytes(0)).unwrap(), Put::Stored);
    let began = std::sync::atomic::AtomicBool::new(false);
    let stored: Vec<usize> = thread::scope(|scope| {
        let writers: Vec<_> = (1..5)
            .map(|at| {
                let (env, began) = (&env, &began);
                scope.spawn(move || {
                    began.store(true, std::sync::atomic::Ordering::SeqCst);
                    // It may fail, but only if it says so.
                    put(&open(env), &key(0, at), &bytes(at)).is_ok_and(|put| put == Put::Stored).then_some(at)
                })
            })
            .collect();
        let reader = scope.spawn(|| {
            let store = open(&env);
            // What a reader gets is whole or an error.
            (0..3).for_each(|_| {
                if let Ok(read) = store.size(&key(0, 0)).and_then(|size| store.read(&key(0, 0), 0, size)) {
                    assert!(read == bytes(0));
                }
            });
        });
        while !began.load(std::sync::atomic::Ordering::SeqCst) {
            thread::yield_now();
        }
        thread::sleep(Duration::from_millis(300));
        weed.kill_volume(2);
        let stored = writers.into_iter().filter_map(|writer| writer.join().unwrap()).collect();
        reader.join().unwrap();
        stored
    });
    weed.start_volume(2);
    weed.wait(3);
    let store = open(&env);
    let entries = store.find("rekindle.3.crowd-0123456789abcdef.").unwrap();
    for entry in &entries {
        check(&store, &entry.key);
    }
    for at in std::iter::once(&0).chain(&stored) {
        assert!(entries.iter().any(|entry| entry.key == key(0, *at)), "{at} was stored and is lost: {entries:?}");
    }
    // And everything goes on.
    assert_eq!(put(&open(&env), &key(0, 9), &bytes(9)).unwrap(), Put::Stored);
}
