//! What becomes of a bucket in time: it is listed and pruned, what a job under way builds on stays, and what goes was of no use.

use std::collections::BTreeSet;

use rekindle::digest::Digest;
use serde_json::{Value, json};

use crate::support::bucket::Bucket;
use crate::support::bucket_jobs::{job, on_main, on_pull_request, runner};
use crate::support::cache_service::rest::WRITER;
use crate::support::runner::{Runner, ballast, files_below};
use crate::support::weed::Weed;

const DAY: i64 = 24 * 60 * 60 * 1000;

/// A megabyte that never changes, and two crates that do.
fn machine(weed: &Weed) -> Runner {
    let mut runner = runner(weed, &[("lib/build.rs", &ballast(1))]);
    // Or each entry refers to all that came before it.
    runner.world.stores_whole = true;
    runner
}

fn may_ask_github(runner: &mut Runner) {
    let url = runner.service.url().trim_end_matches('/').to_owned();
    for (name, value) in
        [("GITHUB_REPOSITORY", "owner/name"), ("GITHUB_API_URL", &url), ("REKINDLE_GITHUB_TOKEN", WRITER)]
    {
        runner.set(name, value);
    }
}

fn jobs(runner: &mut Runner, numbers: std::ops::Range<usize>) {
    for number in numbers {
        runner.world.change(&[("lib/src/text.txt", &format!("text-{number}"))]);
        job(runner);
    }
}

/// The packs that heads name.
fn named(bucket: &Bucket) -> BTreeSet<String> {
    let heads = bucket.named("/h/").into_iter().map(|name| (zone(&name), bucket.json(&name)));
    let entries = heads.flat_map(|(zone, head)| {
        let entries = head["entries"].as_array().unwrap().clone();
        entries.into_iter().map(move |entry| (zone.clone(), entry))
    });
    let packs = entries.flat_map(|(zone, entry)| {
        let needs = entry["needs"].as_array().cloned().unwrap_or_default().into_iter();
        let own = format!("{zone}/p/{}", entry["sha256"].as_str().unwrap());
        let pack = |need: Value| format!("{}/p/{}", need["zone"].as_str().unwrap(), need["sha256"].as_str().unwrap());
        needs.map(pack).chain([own]).collect::<Vec<_>>()
    });
    packs.collect()
}

fn zone(object: &str) -> String {
    object.split('/').nth(3).unwrap().to_owned()
}

/// The packs that are there, named as in `named`.
fn packs(bucket: &Bucket) -> BTreeSet<String> {
    bucket.named("/p/").iter().map(|name| name.splitn(4, '/').nth(3).unwrap().to_owned()).collect()
}

fn asked(runner: &Runner, arguments: &[&str]) -> Value {
    let step = runner.step(&[arguments, &["--json"]].concat());
    assert!(step.code == Some(0) && step.warnings().is_empty(), "{}", step.log);
    serde_json::from_str(&step.log).unwrap_or_else(|error| panic!("{error}: {}", step.log))
}

/// What goes, with its reason.
fn going(told: &Value) -> Vec<(String, String)> {
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    let rows = told["entries"].as_array().unwrap().iter().filter(|row| row["goes"] == true);
    rows.map(|row| (text(row, "key"), text(row, "because"))).collect()
}

/// Every head says that all happened so much earlier.
fn age(bucket: &Bucket, milliseconds: i64) {
    for name in bucket.named("/h/") {
        let mut head = bucket.json(&name);
        let older = |value: &mut Value| *value = Value::from(value.as_i64().unwrap() - milliseconds);
        for entry in head["entries"].as_array_mut().unwrap() {
            older(&mut entry["stored"]);
            entry.as_object_mut().unwrap().get_mut("used").map(older);
        }
        for dropped in head.get_mut("dropped").and_then(Value::as_array_mut).into_iter().flatten() {
            older(&mut dropped["since"]);
        }
        bucket.put(&name, serde_json::to_vec(&head).unwrap());
    }
}

#[test]
fn what_heads_have_dropped_goes_and_what_a_job_under_way_builds_on_stays() {
    let weed = Weed::start();
    let bucket = weed.bucket();
    let mut runner = machine(&weed);
    jobs(&mut runner, 0..2);
    // A slow job begins, and others save until no head names what it has started from.
    let _ = std::fs::remove_dir_all(runner.world.dir.join("cargo-home"));
    let slow = started(&runner);
    jobs(&mut runner, 2..14);
    let unnamed = packs(&bucket).difference(&named(&bucket)).count();
    assert!(unnamed > 0, "nothing was dropped: {:#?}", bucket.objects());

    let listed = asked(&runner, &["ls"]);
    let rows = listed["entries"].as_array().unwrap();
    assert_eq!(rows.iter().map(|row| row["bytes"].as_u64().unwrap()).sum::<u64>(), listed["bytes"]);
    assert_eq!(
        listed["bytes"],
        bucket.objects().iter().filter(|(name, _)| name.contains("/p/")).map(|(_, size)| size).sum::<u64>()
    );
    assert!(listed["quota"]["dollars_a_month"].as_f64().unwrap() > 0.0, "{listed}");
    let text = runner.step(&["ls"]).log;
    assert!(text.contains("packs that nothing names") && text.contains("refs/heads/main, lineage"), "{text}");

    // All of it is younger than the longest job.
    let objects = bucket.objects();
    let kept = asked(&runner, &["prune"]);
    assert_eq!((going(&kept), bucket.objects()), (Vec::new(), objects.clone()));
    // It has read all that it needs, and stores what it made.
    let saved = slow.finish(&runner);
    assert!(saved.contains("saved") && !saved.contains("warning"), "{saved}");

    // Hours later nobody builds on it any more.
    let would = asked(&runner, &["prune", "--dry-run", "--grace", "0 s"]);
    assert!(going(&would).iter().any(|(_, because)| because == "nothing names it any more"), "{would:#}");
    assert!(bucket.objects().len() > objects.len() - 1, "a dry run takes nothing away");
    let done = asked(&runner, &["prune", "--grace", "0 s"]);
    assert_eq!(done["pruned"]["entries"], going(&would).len());
    assert_eq!(packs(&bucket), named(&bucket), "what is named is there, and nothing else");
    assert_eq!(going(&asked(&runner, &["prune", "--grace", "0 s"])), []);
    jobs(&mut runner, 14..15);
    assert_eq!(job(&mut runner).compiled, BTreeSet::new());
}

/// A job that has restored on a machine of its own, and has not saved yet.
struct Slow {
    aside: std::path::PathBuf,
    state: String,
}

fn started(runner: &Runner) -> Slow {
    let world = &runner.world;
    let state = world.dir.join("slow.json").to_str().unwrap().to_owned();
    world.wipe_and_clone();
    std::fs::create_dir_all(runner.temp()).unwrap();
    let restored = runner.step(&["restore", "--state", &state]);
    assert!(restored.log.contains("restored"), "{}", restored.log);
    let aside = runner.world.dir.join("aside");
    std::fs::rename(runner.world.work(), &aside).unwrap();
    Slow { aside, state }
}

impl Slow {
    fn finish(self, runner: &Runner) -> String {
        let world = &runner.world;
        std::fs::remove_dir_all(world.work()).unwrap();
        std::fs::rename(&self.aside, world.work()).unwrap();
        std::fs::write(world.workspace().join("lib/src/text.txt"), "slow").unwrap();
        world.build();
        runner.step(&["save", "--state", &self.state]).log
    }
}

#[test]
fn a_closed_pull_request_goes_and_what_others_put_into_the_bucket_stays() {
    let weed = Weed::start();
    let bucket = weed.bucket();
    let mut runner = machine(&weed);
    jobs(&mut runner, 0..1);
    on_pull_request(&mut runner, 77);
    jobs(&mut runner, 1..3);
    on_main(&mut runner);
    bucket.put("rekindle/v1/77/t/p/notes.txt", b"mine".to_vec());
    let killed = format!("rekindle/v1/77/u/p/{}", Digest::of(b"half"));
    bucket.put(&killed, b"of a job that was killed".to_vec());
    may_ask_github(&mut runner);
    runner.service.set_open(&[7], &["main"]);
    let before = bucket.objects();
    assert_eq!((going(&asked(&runner, &["prune"])), bucket.objects()), (Vec::new(), before));
    runner.service.set_open(&[], &["main"]);
    let done = asked(&runner, &["prune"]);
    assert!(going(&done).iter().all(|(_, because)| because == "its pull request is closed or its branch deleted"));
    // The heads of the pull request are gone with its packs; what may be of a save that is under way is not.
    assert_eq!(bucket.named("/u/"), std::slice::from_ref(&killed));
    asked(&runner, &["prune", "--grace", "0 s"]);
    assert_eq!(bucket.named("/u/"), Vec::<String>::new());
    assert!(bucket.objects().contains_key("rekindle/v1/77/t/p/notes.txt"));
    runner.set("REKINDLE_GITHUB_TOKEN", "");
    assert!(!job(&mut runner).compiled.is_empty());
    assert_eq!(job(&mut runner).compiled, BTreeSet::new());
}

#[test]
fn what_is_read_stays_and_what_nobody_reads_goes_after_a_month() {
    let weed = Weed::start();
    let bucket = weed.bucket();
    let mut runner = machine(&weed);
    jobs(&mut runner, 0..1);
    age(&bucket, 40 * DAY);
    // Nothing is news, so nothing is stored; that it was read is noted, once a day.
    assert_eq!(job(&mut runner).compiled, BTreeSet::new());
    let read = bucket.objects();
    let head = bucket.named("/h/").into_iter().find(|name| !name.ends_with("/seed")).unwrap();
    let used = bucket.json(&head)["entries"][0]["used"].as_i64().unwrap();
    assert_eq!(job(&mut runner).compiled, BTreeSet::new());
    assert_eq!(bucket.json(&head)["entries"][0]["used"], used);
    let kept = asked(&runner, &["prune", "--grace", "0 s"]);
    assert!(going(&kept).iter().all(|(key, _)| key.starts_with("rekindle.3.seed.")), "{kept:#}");
    assert!(bucket.objects().contains_key(&head) && bucket.objects().len() + 2 >= read.len());
    age(&bucket, 40 * DAY);
    asked(&runner, &["prune", "--grace", "0 s"]);
    assert_eq!(bucket.objects().into_keys().collect::<Vec<_>>(), Vec::<String>::new());
    assert!(!job(&mut runner).compiled.is_empty());
}

/// A head that somebody writes who may write in the open zone only.
fn forge(bucket: &Bucket, name: &str, entries: &Value) {
    let head = json!({"format": 1, "sequence": 9, "entries": entries});
    bucket.put(&format!("rekindle/v1/77/u/h/{name}"), head.to_string().into_bytes());
}

#[test]
fn what_lies_in_the_open_zone_takes_nothing_away_from_the_protected_one() {
    let weed = Weed::start();
    let bucket = weed.bucket();
    let mut runner = machine(&weed);
    jobs(&mut runner, 0..1);
    age(&bucket, 2 * DAY);
    let main = bucket.named("/t/");
    // Entries under main's own name, newer than its own, of packs that are not there.
    let head = bucket.json(bucket.named("/t/h/").iter().find(|name| !name.ends_with("/seed")).unwrap());
    let key = head["entries"][0]["key"].as_str().unwrap().to_owned();
    let stored = head["entries"][0]["stored"].as_i64().unwrap() + DAY;
    let entry = |at: u64| {
        let key = format!("{}.{at:016x}", key.rsplit_once('.').unwrap().0);
        json!({"key": key, "sha256": Digest::of(&at.to_le_bytes()).to_string(), "bytes": 9, "stored": stored, "sequence": at})
    };
    forge(&bucket, "refs=2Fheads=2Fmain/x", &(1..6).map(entry).collect());
    asked(&runner, &["prune", "--grace", "0 s"]);
    assert_eq!(bucket.named("/t/"), main);
    // Nobody knows what a later version refers to, but it speaks for its own zone only.
    bucket.put("rekindle/v1/77/u/h/refs=2Fpull=2F9=2Fmerge/x", br#"{"format":99,"entries":[]}"#.to_vec());
    let odd = bucket.named("/u/");
    jobs(&mut runner, 1..7);
    let told = asked(&runner, &["prune", "--grace", "0 s"]);
    assert!(told["pruned"]["entries"].as_u64().unwrap() > 0, "{told:#}");
    assert!(told["notes"].to_string().contains("in the part `u` of the bucket another version"), "{told:#}");
    assert_eq!(bucket.named("/u/"), odd);
    assert_eq!(job(&mut runner).compiled, BTreeSet::new());
}

#[test]
fn the_newest_is_the_one_with_the_largest_number_whatever_clocks_say() {
    let weed = Weed::start();
    let bucket = weed.bucket();
    let mut runner = machine(&weed);
    jobs(&mut runner, 0..6);
    age(&bucket, DAY);
    let name = bucket.named("/t/h/").into_iter().find(|name| !name.ends_with("/seed")).unwrap();
    let mut head = bucket.json(&name);
    // All but the newest were stored by machines whose clocks are ahead.
    for entry in head["entries"].as_array_mut().unwrap().iter_mut().skip(1) {
        entry["stored"] = json!(entry["stored"].as_i64().unwrap() + 40 * 60 * 1000);
    }
    bucket.put(&name, head.to_string().into_bytes());
    asked(&runner, &["prune", "--grace", "0 s"]);
    let left = bucket.json(&name);
    assert_eq!(left["entries"][0]["key"], head["entries"][0]["key"]);
    assert!(left["entries"].as_array().unwrap().len() < 6, "{left:#}");
    assert_eq!(job(&mut runner).compiled, BTreeSet::new());
}

#[test]
fn a_disk_before_a_bucket_hides_neither_use_nor_loss_nor_what_is_whole() {
    let weed = Weed::start();
    let bucket = weed.bucket();
    let mut runner = machine(&weed);
    let folder = runner.world.dir.join("near");
    runner.set("REKINDLE_STORE", &format!("dir:{},s3://packs/rekindle", folder.display()));
    jobs(&mut runner, 0..1);
    // What is read from the disk was read.
    age(&bucket, 40 * DAY);
    assert_eq!(job(&mut runner).compiled, BTreeSet::new());
    asked(&runner, &["prune", "--grace", "0 s"]);
    let head = bucket.named("/t/h/").into_iter().find(|name| !name.ends_with("/seed")).unwrap();
    assert!(bucket.json(&head)["entries"][0]["used"].is_i64());
    assert_eq!(job(&mut runner).compiled, BTreeSet::new());
    // A copy that is damaged comes anew.
    let copy = || {
        let files = files_below(&folder).into_iter();
        files
            .filter(|path| !path.to_string_lossy().contains(".seed."))
            .max_by_key(|path| path.metadata().unwrap().len())
    };
    let whole = std::fs::read(copy().unwrap()).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for damaged in [&whole[..whole.len() / 3], b"", &flipped] {
        std::fs::write(copy().unwrap(), damaged).unwrap();
        assert_eq!(job(&mut runner).compiled, BTreeSet::new());
        assert_eq!(std::fs::metadata(copy().unwrap()).unwrap().len(), whole.len() as u64);
    }
    let path = copy().unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    runner.next_machine();
    assert!(runner.restore().log.contains("restored"));
    std::fs::remove_dir(&path).unwrap();
    // Where the bucket has lost the base, the next save is whole again.
    assert_eq!(job(&mut runner).compiled, BTreeSet::new());
    let base = bucket.named("/t/p/").into_iter().max_by_key(|name| bucket.objects()[name]).unwrap();
    runner.next_machine();
    runner.restore();
    bucket.remove(&base);
    runner.world.change(&[("lib/src/text.txt", "other")]);
    std::fs::write(runner.world.workspace().join("lib/src/text.txt"), "other").unwrap();
    runner.world.build();
    let saved = runner.save();
    assert!(
        saved.log.contains("everything, because a pack that the last state is made of is missing"),
        "{}",
        saved.log
    );
    runner.set("REKINDLE_STORE", "s3://packs/rekindle");
    assert_eq!(job(&mut runner).compiled, BTreeSet::new());
}

#[test]
fn whose_part_of_the_bucket_is_meant_is_said_and_has_to_fit() {
    let weed = Weed::start();
    let mut runner = machine(&weed);
    jobs(&mut runner, 0..1);
    may_ask_github(&mut runner);
    runner.set("GITHUB_REPOSITORY_ID", "78");
    let other = runner.step(&["prune"]);
    assert!(other.code == Some(2) && other.log.contains("`GITHUB_REPOSITORY` has the number 77"), "{}", other.log);
    runner.set("GITHUB_REPOSITORY_ID", "");
    let none = runner.step(&["ls"]);
    assert!(none.log.contains("`GITHUB_REPOSITORY_ID` is not set"), "{}", none.log);
}

#[test]
fn what_cannot_be_listed_is_not_pruned() {
    let weed = Weed::start();
    let mut runner = machine(&weed);
    jobs(&mut runner, 0..1);
    let bucket = weed.bucket();
    // A later version stores there, and nobody here knows what it refers to.
    let head = bucket.named("/t/h/").remove(0);
    bucket.put(&head.replace("main", "next"), br#"{"format":99,"entries":[]}"#.to_vec());
    let before = bucket.objects();
    let step = runner.step(&["prune", "--grace", "0 s"]);
    assert!(step.log.contains("in the part `t` of the bucket another version of this program stores"), "{}", step.log);
    runner.set("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
    let step = runner.step(&["ls"]);
    assert!(step.log.contains("the bucket cannot be listed"), "{}", step.log);
    let step = runner.step(&["prune", "--grace", "0 s"]);
    assert!(step.log.contains("nothing was pruned"), "{}", step.log);
    assert_eq!(bucket.objects(), before);
}
