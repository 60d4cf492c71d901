//! Buckets that are not as they should be: servers without conditions, slow ones, none at all, and people who write what they
//! should not. Against a twin of our own, which does on demand what real servers do now and then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use filetime::FileTime;
use rekindle::digest::Digest;
use rekindle::github::Event;
use rekindle::store::object::{Location, NewKeys, ObjectStore};
use rekindle::store::{Put, Store};
use serde_json::{Value, json};

use crate::support::bucket::put;
use crate::support::object_twin::{Conditions, Twin};
use crate::support::runner::{Job, Runner, Step, ballast};

const LONG: Duration = Duration::from_secs(120);
const NAME: &str = "rekindle.3.crowd-0123456789abcdef.";

type Env = BTreeMap<String, String>;

fn s3(twin: &Twin) -> Env {
    twin.as_s3().into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn gcs(twin: &Twin) -> Env {
    twin.as_gcs().into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn on(env: &Env, more: &[(&str, &str)]) -> Env {
    let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    env.clone().into_iter().chain(more).collect()
}

fn open_at(location: &str, env: &Env) -> ObjectStore {
    ObjectStore::open(&Location::parse(location).unwrap(), env, &Event::default(), LONG).unwrap()
}

fn open(env: &Env) -> ObjectStore {
    open_at(if env.contains_key("GOOGLE_BASE_URL") { "gs://packs/ci" } else { "s3://packs/ci" }, env)
}

fn key(state: usize) -> String {
    format!("{NAME}{:016x}.{:016x}.{state:016x}.{state:016x}", 5, 7)
}

/// Each state has bytes of its own.
fn bytes(state: usize, count: usize) -> Vec<u8> {
    vec![u8::try_from(state).unwrap(); count]
}

fn read(store: &dyn Store, key: &str) -> anyhow::Result<Vec<u8>> {
    store.read(key, 0, store.size(key)?)
}

fn found(store: &dyn Store) -> Vec<String> {
    store.find(NAME).unwrap().into_iter().map(|entry| entry.key).collect()
}

#[test]
fn a_server_without_conditions_is_written_to_all_the_same_and_that_is_said_once() {
    for (conditions, warns) in [
        (Conditions::Known, false),
        (Conditions::Ignored, false),
        (Conditions::Refused, true),
        (Conditions::ConflictOnCreate, true),
    ] {
        for (twin, make) in [(Twin::start(), s3 as fn(&Twin) -> Env), (Twin::start(), gcs)] {
            twin.set(conditions);
            let env = make(&twin);
            let store = open(&env);
            assert_eq!(found(&store), Vec::<String>::new());
            for state in [1, 2] {
                assert_eq!(put(&store, &key(state), &bytes(state, 100)).unwrap(), Put::Stored, "{conditions:?}");
            }
            assert_eq!(put(&store, &key(1), b"another").unwrap(), Put::AlreadyThere);
            assert_eq!(store.warnings().len(), usize::from(warns), "{conditions:?}: {:?}", store.warnings());
            let store = open(&env);
            assert_eq!(found(&store), [key(2), key(1)], "{conditions:?}");
            assert_eq!(read(&store, &key(1)).unwrap(), [1; 100]);
        }
    }
}

#[test]
fn generations_decide_between_writers() {
    let twin = Twin::start();
    let env = gcs(&twin);
    let barrier = Barrier::new(8);
    thread::scope(|scope| {
        for state in 0..8 {
            let (env, barrier) = (&env, &barrier);
            scope.spawn(move || {
                barrier.wait();
                assert_eq!(put(&open(env), &key(state), &bytes(state, 10)).unwrap(), Put::Stored);
            });
        }
    });
    let seen: BTreeSet<String> = found(&open(&env)).into_iter().collect();
    assert_eq!(seen, (0..8).map(key).collect());
    assert!(twin.authorizations().iter().all(|text| text == "Bearer access-of-the-twin"));
}

#[test]
fn a_lookup_is_a_few_small_reads_whatever_is_stored() {
    let twin = Twin::start();
    let env = on(&s3(&twin), &[("GITHUB_REF", "refs/pull/3/merge"), ("GITHUB_BASE_REF", "main")]);
    for state in 0..30 {
        put(&open(&env), &key(state), &bytes(state, 50)).unwrap();
    }
    twin.asked();
    let store = open(&env);
    // The newest eight of one hard part.
    assert_eq!(found(&store).len(), 8);
    let asked = twin.asked();
    assert!(
        asked.len() <= 4 && asked.iter().all(|asked| asked.starts_with("GET ") && asked.contains("/h/")),
        "{asked:?}"
    );
    found(&store);
    assert_eq!(twin.asked(), Vec::<String>::new(), "what was read once is not read again");
    // Of the time that a million objects take, the lookup has no part: it asks the same.
    twin.fill("packs/ci/v1/local/u", 1_000_000);
    let store = open(&env);
    assert_eq!(found(&store).len(), 8);
    let mut again = twin.asked();
    let sorted = |asked: &mut Vec<String>| {
        asked.sort();
        asked.clone()
    };
    assert_eq!(sorted(&mut again), sorted(&mut asked.clone()));
}

#[test]
fn a_request_that_fails_now_and_then_is_repeated_and_large_packs_go_in_parts() {
    let twin = Twin::start();
    let env = on(&s3(&twin), &[]);
    let bytes: Vec<u8> = (0..20_000).flat_map(|at| bytes(at % 251, 1000)).collect();
    twin.fail(2);
    assert_eq!(put(&open(&env), &key(1), &bytes).unwrap(), Put::Stored);
    let parts = twin.asked().iter().filter(|asked| asked.starts_with("PUT ") && asked.contains("/p/")).count();
    assert!(parts >= 3, "{parts}");
    twin.fail(2);
    let store = open(&env);
    assert_eq!(found(&store), [key(1)]);
    // What stands behind the frames went before them.
    assert!(read(&store, &key(1)).unwrap() == bytes);
    assert!(store.read(&key(1), bytes.len() as u64, 1).is_err());
    assert!(store.size(&key(2)).is_err());
}

/// A job whose bucket is the twin.
fn runner(twin: &Twin) -> Runner {
    // So that what changes is a delta.
    let mut runner = Runner::with(&[("lib/build.rs", &ballast(1))]);
    runner.set("REKINDLE_STORE", "s3://packs/ci");
    twin.as_s3().into_iter().for_each(|(name, value)| runner.set(name, &value));
    runner.set("GITHUB_REPOSITORY_ID", "77");
    runner.set("GITHUB_REF", "refs/heads/main");
    runner.set("GITHUB_REF_PROTECTED", "true");
    runner
}

fn quiet(step: &Step) {
    assert!(step.code == Some(0) && step.warnings().is_empty(), "{}", step.log);
}

fn warned(step: &Step, cause: &str) {
    assert_eq!((step.code, step.warnings().len()), (Some(0), 1), "{}", step.log);
    assert!(step.warnings()[0].contains(cause), "{}", step.log);
}

fn good(runner: &mut Runner) -> Job {
    let job = runner.job();
    quiet(&job.restore);
    quiet(&job.save);
    job
}

#[test]
fn a_bucket_that_cannot_be_reached_or_does_not_answer_costs_one_warning_and_no_job() {
    let twin = Twin::start();
    let mut runner = runner(&twin);
    runner.set("REKINDLE_PATIENCE", "0.1");
    let all = good(&mut runner).compiled;

    // Slow, but not too slow.
    twin.pause(Duration::from_millis(100));
    assert_eq!(good(&mut runner).compiled, BTreeSet::new());
    // It takes each connection and says nothing.
    twin.pause(Duration::from_secs(600));
    let began = Instant::now();
    let silent = runner.job();
    warned(&silent.restore, "no answer in time");
    warned(&silent.save, "no answer in time");
    assert_eq!(silent.compiled, all);
    twin.pause(Duration::ZERO);
    twin.fail(1_000_000);
    let failing = runner.job();
    warned(&failing.restore, "the object store answered 503");
    warned(&failing.save, "the object store answered 503");
    twin.fail(0);
    // Nobody is there.
    runner.set("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
    let gone = runner.job();
    warned(&gone.restore, "no connection");
    assert!(!format!("{silent:?}{failing:?}{gone:?}").contains("secret-of-the-twin"));
    assert!(began.elapsed() < Duration::from_secs(100), "{:?}", began.elapsed());
    // What is no way to a bucket is said before anything is asked.
    runner.set("AWS_ENDPOINT_URL", &twin.as_s3()[0].1);
    runner.set("REKINDLE_SIGNING_KEYS", "AAAA");
    let wrong = runner.job();
    warned(&wrong.restore, "no public key");
}

/// The head of the target's lineage, and its name.
fn head(twin: &Twin, zone: &str) -> (String, Value) {
    let objects = twin.objects();
    let (name, bytes) = objects.iter().find(|(name, _)| name.contains(&format!("/{zone}/h/"))).unwrap();
    (name.clone(), serde_json::from_slice(bytes).unwrap())
}

/// Everything in a folder is an hour older.
fn age(folder: &std::path::Path) {
    for path in crate::support::runner::files_below(folder) {
        let meta = std::fs::metadata(&path).unwrap();
        let older = |time: FileTime| FileTime::from_unix_time(time.unix_seconds() - 3600, time.nanoseconds());
        let (read, written) = (FileTime::from_last_access_time(&meta), FileTime::from_last_modification_time(&meta));
        filetime::set_file_times(&path, older(read), older(written)).unwrap();
    }
}

/// Writes past every rule of the client, as somebody with the rights of the bucket's owner.
fn overwrite(twin: &Twin, name: &str, bytes: &[u8]) {
    twin.replace(name, bytes.to_vec());
}

#[test]
fn what_a_pull_request_can_write_never_reaches_a_protected_branch() {
    let twin = Twin::start();
    let mut runner = runner(&twin);
    let all = good(&mut runner).compiled;
    // The whole zone of protected branches, laid as their own into the other one.
    for (name, bytes) in twin.objects() {
        overwrite(&twin, &name.replace("/t/", "/u/"), &bytes);
    }
    for name in twin.objects().into_keys().filter(|name| name.contains("/t/")) {
        twin.remove(&name);
    }
    twin.asked();
    assert_eq!(good(&mut runner).compiled, all);
    assert!(twin.asked().iter().all(|asked| !asked.contains("/u/")), "the other zone was looked at");
}

#[test]
fn a_head_that_lies_costs_a_start_and_is_never_believed() {
    let twin = Twin::start();
    let mut runner = runner(&twin);
    let all = good(&mut runner).compiled;
    runner.world.change(&[("lib/src/text.txt", "two")]);
    let some = good(&mut runner).compiled;
    assert!(some.len() < all.len());
    let (name, honest) = head(&twin, "t");
    let entries = honest["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    let lie = |change: &dyn Fn(&mut Value)| {
        let mut head = honest.clone();
        change(&mut head);
        overwrite(&twin, &name, head.to_string().as_bytes());
    };
    let colder = |runner: &mut Runner, causes: &[&str]| {
        runner.next_machine();
        let restore = runner.restore();
        assert_eq!(restore.code, Some(0), "{}", restore.log);
        for cause in causes {
            assert!(restore.log.contains(cause), "{cause}: {}", restore.log);
        }
        let compiled = runner.world.build().compiled;
        assert_eq!(runner.world.output(), "two\n");
        compiled
    };
    // The newest key with the pack of another one.
    lie(&|head| head["entries"][0]["sha256"] = head["entries"][1]["sha256"].clone());
    assert!(!colder(&mut runner, &["says that it is"]).is_empty());
    // A digest that nothing has: no head points at what is there.
    lie(&|head| head["entries"][0]["sha256"] = json!(Digest::of(b"nothing").to_string()));
    assert!(!colder(&mut runner, &["cannot open"]).is_empty());
    // A parent that was swapped: the base's key leads to the delta.
    lie(&|head| {
        head["entries"][0]["needs"][0]["sha256"] = head["entries"][0]["sha256"].clone();
        head["entries"].as_array_mut().unwrap().truncate(1);
    });
    assert!(!colder(&mut runner, &[]).is_empty());
    // No head at all, and one of a later program.
    overwrite(&twin, &name, b"<html>");
    assert_eq!(colder(&mut runner, &["is not looked at"]), all);
    overwrite(&twin, &name, br#"{"format":9}"#);
    assert_eq!(colder(&mut runner, &["format 9"]), all);
    let save = runner.save();
    assert!(save.code == Some(0) && save.log.contains("another version of this program"), "{}", save.log);
    overwrite(&twin, &name, honest.to_string().as_bytes());
    // A pack under the name of another: its digest is another one, too.
    let is_state = |name: &str, bytes: &[u8]| name.contains("/p/") && bytes.len() > 4 << 10;
    let objects = twin.objects().into_iter();
    let packs: Vec<(String, Vec<u8>)> = objects.filter(|(name, bytes)| is_state(name, bytes)).collect();
    overwrite(&twin, &packs[0].0, &packs[1].1);
    overwrite(&twin, &packs[1].0, &packs[0].1);
    assert_eq!(colder(&mut runner, &["is not the pack that the store names"]), all);
}

#[test]
fn what_nobody_signed_is_a_miss_with_a_warning_and_keys_change() {
    let twin = Twin::start();
    let mut runner = runner(&twin);
    let (old, new) = (NewKeys::make().unwrap(), NewKeys::make().unwrap());
    let all = good(&mut runner).compiled;
    // Stored before there were keys.
    runner.set("REKINDLE_SIGNING_KEYS", &old.public);
    runner.set("REKINDLE_SIGNING_SECRET", &old.secret);
    let unsigned = runner.job();
    warned(&unsigned.restore, "1 of 1 entries of `refs/heads/main` are refused");
    assert_eq!(unsigned.compiled, all);
    overwrite(&twin, &head(&twin, "t").0, b"{\"format\":1,\"sequence\":0,\"entries\":[]}");
    good(&mut runner);
    assert_eq!(good(&mut runner).compiled, BTreeSet::new());
    // The next key, while what the last one signed still counts.
    runner.set("REKINDLE_SIGNING_KEYS", &format!("{},{}", new.public, old.public));
    runner.set("REKINDLE_SIGNING_SECRET", &new.secret);
    assert_eq!(good(&mut runner).compiled, BTreeSet::new());
    runner.world.change(&[("lib/src/text.txt", "two")]);
    let some = good(&mut runner).compiled;
    assert!(some.len() < all.len());

    // An old entry replayed as the newest: its number is signed.
    let (name, honest) = head(&twin, "t");
    let mut replayed = honest.clone();
    let last = replayed["entries"][1].clone();
    replayed["entries"][0]["stored"] = json!(0);
    replayed["entries"][1]["stored"] = json!(i64::MAX);
    overwrite(&twin, &name, replayed.to_string().as_bytes());
    assert_eq!(good(&mut runner).compiled, BTreeSet::new());
    replayed["entries"] = json!([last]);
    replayed["entries"][0]["sequence"] = json!(99);
    overwrite(&twin, &name, replayed.to_string().as_bytes());
    runner.next_machine();
    let restore = runner.restore();
    warned(&restore, "are refused");
    assert_eq!(runner.world.build().compiled, all);
    // What was signed for one branch is nothing on another.
    let elsewhere = name.replace("refs=2Fheads=2Fmain", "refs=2Fheads=2Fnext");
    overwrite(&twin, &elsewhere, honest.to_string().as_bytes());
    runner.set("GITHUB_REF", "refs/heads/next");
    runner.next_machine();
    warned(&runner.restore(), "of `refs/heads/next` are refused");
    assert!(!restore.log.contains(&new.secret) && !restore.log.contains(&old.secret));
}

#[test]
fn a_seed_counts_for_no_more_than_where_it_lies_and_who_signed_it() {
    let twin = Twin::start();
    let mut runner = runner(&twin);
    let keys = NewKeys::make().unwrap();
    let all = good(&mut runner).compiled;
    // Another job that is set up alike starts from the first one's state.
    runner.set("GITHUB_JOB", "second");
    assert_eq!(good(&mut runner).compiled, BTreeSet::new());
    let unsigned = twin.objects();
    // Whoever may write only where pull requests do plants the same there.
    for (name, bytes) in &unsigned {
        overwrite(&twin, &name.replace("/t/", "/u/"), bytes);
        twin.remove(name);
    }
    runner.set("GITHUB_JOB", "third");
    twin.asked();
    assert_eq!(good(&mut runner).compiled, all);
    assert!(twin.asked().iter().all(|asked| !asked.contains("/u/")), "the other zone was looked at");
    // And whoever may write anywhere has no key.
    for name in twin.objects().keys().filter(|name| name.contains("/t/")) {
        twin.remove(name);
    }
    for (name, bytes) in &unsigned {
        overwrite(&twin, name, bytes);
    }
    runner.set("REKINDLE_SIGNING_KEYS", &keys.public);
    runner.set("REKINDLE_SIGNING_SECRET", &keys.secret);
    runner.set("GITHUB_JOB", "fourth");
    let fourth = runner.job();
    warned(&fourth.restore, "are refused");
    assert_eq!(fourth.compiled, all);
    // Its own seed is signed.
    runner.set("GITHUB_JOB", "fifth");
    let fifth = runner.job();
    assert_eq!((fifth.restore.code, fifth.compiled), (Some(0), BTreeSet::new()), "{}", fifth.restore.log);
}

#[test]
fn a_folder_before_a_bucket_is_filled_and_read_and_both_are_written() {
    let twin = Twin::start();
    let mut runner = runner(&twin);
    runner.world.stores_whole = true;
    let folder = runner.world.dir.join("near");
    let tiers = format!("dir:{},s3://packs/ci", folder.display());
    // Stored by another machine, which has no folder.
    let all = good(&mut runner).compiled;
    runner.set("REKINDLE_STORE", &tiers);
    assert_eq!(good(&mut runner).compiled, BTreeSet::new());
    let near = || -> Vec<String> {
        let below = folder.join("ci/v1/77/t");
        let names = std::fs::read_dir(below).into_iter().flatten().map(|entry| entry.unwrap().file_name());
        let names = names.map(|name| name.into_string().unwrap());
        names.filter(|name| !name.starts_with("rekindle.3.seed.")).collect()
    };
    assert_eq!(near().len(), 1);
    // From now on the pack comes from the folder.
    twin.asked();
    assert_eq!(good(&mut runner).compiled, BTreeSet::new());
    assert!(twin.asked().iter().all(|asked| !asked.contains("/p/")), "the pack was fetched again");
    // A save goes to both, and a machine without a folder sees it.
    runner.world.change(&[("lib/src/text.txt", "two")]);
    assert!(good(&mut runner).compiled.len() < all.len());
    assert_eq!(near().len(), 2);
    // What nobody needs any more does not stay in the folder, and comes from the bucket if somebody does.
    for text in ["three", "four", "five", "six", "seven", "two"] {
        runner.world.change(&[("lib/src/text.txt", text)]);
        good(&mut runner);
        age(&folder);
    }
    let left = near().len();
    assert!(left < 8, "{left}");
    runner.set("REKINDLE_STORE", "s3://packs/ci");
    assert_eq!(good(&mut runner).compiled, BTreeSet::new());
    // Without the bucket, the folder is what there is.
    runner.set("REKINDLE_STORE", &tiers);
    runner.set("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
    runner.set("REKINDLE_PATIENCE", "0.2");
    let alone = runner.job();
    warned(&alone.restore, "only what the folder holds is seen");
    assert_eq!(alone.compiled, BTreeSet::new());
    // And without the folder, the bucket.
    runner.set("AWS_ENDPOINT_URL", &twin.as_s3()[0].1);
    runner.set("REKINDLE_PATIENCE", "1");
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::write(&folder, "a file stands there").unwrap();
    let other = runner.job();
    assert_eq!((other.restore.code, other.compiled), (Some(0), BTreeSet::new()), "{}", other.restore.log);
}
