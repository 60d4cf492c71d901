//! What becomes of a bucket in time: it is listed and pruned, what a job under way builds on stays, and what goes was of no use.

use std::collections::BTreeSet;

use rekindle::digest::Digest;
use serde_json::Value;

use crate::support::bucket::Bucket;
use crate::support::bucket_jobs::{job, on_main, on_pull_request, runner};
use crate::support::cache_service::rest::WRITER;
use crate::support::runner::{Runner, ballast};
use crate::support::weed::Weed;

const DAY: i64 = 24 * 60 * 60 * 1000;

/// A megabyte that never changes, and two crates that do.
fn machine(weed: &Weed) -> Runner {
    runner(weed, &[("lib/build.rs", &ballast(1))])
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
    let url = runner.service.url().trim_end_matches('/').to_owned();
    for (name, value) in
        [("GITHUB_REPOSITORY", "owner/name"), ("GITHUB_API_URL", &url), ("REKINDLE_GITHUB_TOKEN", WRITER)]
    {
        runner.set(name, value);
    }
    runner.service.set_open(&[7], &["main"]);
    let before = bucket.objects();
    assert_eq!((going(&asked(&runner, &["prune"])), bucket.objects()), (Vec::new(), before));
    runner.service.set_open(&[], &["main"]);
    let done = asked(&runner, &["prune"]);
    assert!(going(&done).iter().all(|(_, because)| because == "its pull request is closed or its branch deleted"));
    // The heads of the pull request are gone with its packs; what may be of a save that is under way is not.
    assert_eq!(bucket.named("/u/"), [killed.clone()]);
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
    assert!(going(&kept).iter().all(|(key, _)| key.starts_with("rekindle.2.seed.")), "{kept:#}");
    assert!(bucket.objects().contains_key(&head) && bucket.objects().len() + 2 >= read.len());
    age(&bucket, 40 * DAY);
    asked(&runner, &["prune", "--grace", "0 s"]);
    assert_eq!(bucket.objects().into_keys().collect::<Vec<_>>(), Vec::<String>::new());
    assert!(!job(&mut runner).compiled.is_empty());
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
    assert!(
        step.log.contains("nothing was pruned") && step.log.contains("another version of this program"),
        "{}",
        step.log
    );
    runner.set("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
    let step = runner.step(&["ls"]);
    assert!(step.log.contains("the bucket cannot be listed"), "{}", step.log);
    let step = runner.step(&["prune", "--grace", "0 s"]);
    assert!(step.log.contains("nothing was pruned"), "{}", step.log);
    assert_eq!(bucket.objects(), before);
}
