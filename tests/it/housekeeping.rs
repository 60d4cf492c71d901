//! What becomes of a store in time: it stays small, whatever a job builds on stays, and what goes is said.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use filetime::FileTime;
use rekindle::state::key::Key;
use serde_json::Value;

use crate::support::World;
use crate::support::cache_service::rest::{READER, WRITER};
use crate::support::cache_service::{Fault, Route};
use crate::support::runner::{MAIN, PULL_REQUEST, Runner, ballast, project};

/// What is stored is a megabyte that never changes and two crates that do.
fn world() -> World {
    let mut world = World::in_memory("", |_| project(&[("lib/build.rs", &ballast(1))]));
    world.command = vec!["build".into()];
    world
}

/// Everything in the store is so much older.
fn age(world: &World, minutes: i64) {
    for entry in fs::read_dir(world.store()).unwrap().map(Result::unwrap) {
        let meta = entry.metadata().unwrap();
        let older = |time: FileTime| FileTime::from_unix_time(time.unix_seconds() - minutes * 60, time.nanoseconds());
        let (read, written) = (FileTime::from_last_access_time(&meta), FileTime::from_last_modification_time(&meta));
        filetime::set_file_times(entry.path(), older(read), older(written)).unwrap();
    }
}

fn packs(world: &World) -> BTreeSet<String> {
    let names = fs::read_dir(world.store()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let keys = names.filter_map(|name| Some(name.strip_suffix(".tar.zst")?.to_owned()));
    keys.filter(|key| !key.starts_with("rekindle.3.seed.")).collect()
}

fn bytes(world: &World) -> u64 {
    fs::read_dir(world.store()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

/// Another text, restored, built and saved; the logs of both.
fn job(world: &mut World, number: usize) -> (String, String) {
    world.change(&[("lib/src/text.txt", &format!("text-{number}"))]);
    world.wipe_and_clone();
    let restored = world.restore();
    let compiled = world.build().compiled;
    if number > 0 {
        let expected = ["lib 0.1.0 lib lib", "app 0.1.0 bin app"].map(str::to_owned);
        assert_eq!(compiled, expected.into(), "run {number} is not warm\n{restored}");
    }
    (restored, world.save())
}

#[test]
fn forty_saves_stay_within_bounds_and_each_run_starts_warm() {
    let mut world = world();
    let (mut sizes, mut lines) = (Vec::new(), Vec::new());
    for number in 0..40 {
        let (_, saved) = job(&mut world, number);
        lines.extend(saved.lines().filter(|line| line.starts_with("pruned: ")).map(str::to_owned));
        assert!(!saved.contains("warning"), "{saved}");
        sizes.push(bytes(&world));
        age(&world, 20);
    }
    let most = sizes.iter().max().unwrap();
    // A base and its deltas, of which more would be worth a new base, twice.
    assert!(*most < sizes[0] * 3, "{sizes:?}");
    assert!(sizes[39] <= sizes[15..30].iter().max().unwrap() * 3 / 2, "it still grows: {sizes:?}");
    assert!(packs(&world).len() < 16, "{:?}", packs(&world));
    assert!(lines.len() > 2 && lines[0].contains("that nobody needs any more"), "{lines:?}");
}

#[test]
fn what_a_job_under_way_builds_on_stays_however_long_it_takes() {
    let mut world = world();
    // Or each entry refers to all that came before it.
    world.stores_whole = true;
    for number in 0..3 {
        job(&mut world, number);
        age(&world, 20);
    }
    // A slow job begins.
    let state = world.dir.join("slow.json");
    let (state, store) = (state.to_str().unwrap().to_owned(), format!("dir:{}", world.store().display()));
    world.wipe_and_clone();
    assert!(world.rekindle(&["restore", "--state", &state, "--store", &store]).status.success());
    let began = packs(&world);
    fs::rename(world.work(), world.dir.join("aside")).unwrap();
    let mut gone = false;
    for number in 3..12 {
        job(&mut world, number);
        age(&world, 60);
        gone |= !began.is_subset(&packs(&world));
    }
    assert!(gone, "nothing was pruned meanwhile");
    fs::remove_dir_all(world.work()).unwrap();
    fs::rename(world.dir.join("aside"), world.work()).unwrap();
    fs::write(world.workspace().join("lib/src/text.txt"), "slow").unwrap();
    world.build();
    let saved = world.rekindle(&["save", "--state", &state]);
    let saved = String::from_utf8_lossy(&saved.stderr).into_owned();
    // All that it builds on is still there, or it would store everything.
    assert!(saved.contains("changes only"), "{saved}");
    assert!(
        !fs::read_dir(world.store())
            .unwrap()
            .any(|entry| { entry.unwrap().file_name().to_string_lossy().starts_with(".lease-") })
    );
}

#[test]
fn a_restore_of_an_entry_that_loses_a_pack_builds_what_is_missing() {
    let mut world = world();
    for number in 0..3 {
        job(&mut world, number);
    }
    let base = world.packs().remove(0);
    fs::remove_file(base).unwrap();
    world.wipe_and_clone();
    world.restore();
    assert!(!world.build().compiled.is_empty());
    assert_eq!(world.output(), world.cold_output());
}

fn asked(world: &World, arguments: &[&str]) -> (Value, Option<i32>) {
    let store = format!("dir:{}", world.store().display());
    let output = world.rekindle(&[arguments, &["--store", &store, "--json"]].concat());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{output:?}"));
    (value, output.status.code())
}

#[test]
fn a_folder_is_listed_and_pruned_by_hand() {
    let mut world = world();
    world.stores_whole = true;
    for number in 0..6 {
        job(&mut world, number);
    }
    // All of it is young.
    let before = packs(&world);
    assert_eq!(before.len(), 6);
    let (listed, _) = asked(&world, &["ls"]);
    let rows = listed["entries"].as_array().unwrap();
    // With the seed that names the job.
    assert_eq!(
        (rows.len(), &listed["bytes"]),
        (7, &Value::from(rows.iter().map(|row| row["bytes"].as_u64().unwrap()).sum::<u64>()))
    );
    let base = rows.iter().find(|row| row["is_base"] == true).unwrap();
    assert!(base["referred_to_by"].as_array().unwrap().len() >= 4, "{base}");
    assert!(rows.iter().all(|row| row["goes"] == false), "{listed:#}");
    let text = world.rekindle(&["ls", "--store", &format!("dir:{}", world.store().display())]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("7 entries") && text.contains("base and 5 deltas"), "{text}");
    // Without a grace period the second entry is of no use.
    std::thread::sleep(Duration::from_millis(20));
    let (dry, code) = asked(&world, &["prune", "--dry-run", "--grace", "0 s"]);
    assert_eq!((code, &dry["pruned"]["entries"], packs(&world).len()), (Some(0), &Value::from(0), 6));
    let goes = |value: &Value| -> Vec<String> {
        let rows = value["entries"].as_array().unwrap().iter().filter(|row| row["goes"] == true);
        rows.map(|row| format!("{}: {}", row["key"].as_str().unwrap(), row["because"].as_str().unwrap())).collect()
    };
    let going = goes(&dry);
    assert!(going.len() == 1 && going[0].ends_with("newer entries have taken its place"), "{going:?}");
    let (done, _) = asked(&world, &["prune", "--grace", "0 s"]);
    assert_eq!((goes(&done), &done["pruned"]["entries"], packs(&world).len()), (going, &Value::from(1), 5));
    // Over a budget everything can go that no job may be using.
    let (kept, _) = asked(&world, &["prune", "--max-size", "1 B"]);
    assert_eq!((goes(&kept).len(), packs(&world).len()), (0, 5));
    age(&world, 60);
    let (emptied, _) = asked(&world, &["prune", "--max-size", "1 B"]);
    assert_eq!((&emptied["pruned"]["entries"], packs(&world).len()), (&Value::from(5), 0));
    let wrong = world.rekindle(&["prune", "--grace", "soon"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("`--grace soon` is not a time"));
}

fn runner(token: &str) -> Runner {
    let mut runner = Runner::with(&[("lib/build.rs", &ballast(1))]);
    runner.world.stores_whole = true;
    let url = runner.service.url().trim_end_matches('/').to_owned();
    for (name, value) in
        [("GITHUB_REPOSITORY", "owner/name"), ("GITHUB_API_URL", &url), ("REKINDLE_GITHUB_TOKEN", token)]
    {
        runner.set(name, value);
    }
    // Pauses are short.
    runner.set("REKINDLE_PATIENCE", "0.2");
    runner
}

fn runs(runner: &mut Runner, numbers: std::ops::Range<usize>) {
    for number in numbers {
        runner.world.change(&[("lib/src/text.txt", &format!("text-{number}"))]);
        runner.job();
    }
}

fn scopes(runner: &Runner) -> Vec<String> {
    runner.entries().into_iter().map(|entry| entry.scope).collect()
}

#[test]
fn what_a_closed_pull_request_and_a_deleted_branch_left_goes() {
    let mut runner = runner(WRITER);
    runs(&mut runner, 0..1);
    runner.scopes = PULL_REQUEST;
    runs(&mut runner, 1..3);
    runner.scopes = &[("refs/heads/old", 3), ("refs/heads/main", 1)];
    runs(&mut runner, 3..4);
    runner.scopes = MAIN;
    runner.service.age(8);
    runner.service.set_open(&[7], &["main", "old"]);
    let kept = runner.step(&["prune"]);
    assert_eq!((runner.entries().len(), kept.code), (4, Some(0)), "{}", kept.log);
    runner.service.set_open(&[6, 8], &["main"]);
    let listed = runner.step(&["ls"]);
    assert!(listed.log.contains("refs/pull/7/merge, lineage"), "{}", listed.log);
    assert!(listed.log.contains("can go: its pull request is closed or its branch deleted"), "{}", listed.log);
    let pruned = runner.step(&["prune"]);
    assert_eq!(scopes(&runner), ["refs/heads/main"], "{}", pruned.log);
    assert!(pruned.log.contains("3 of 5 entries removed"), "{}", pruned.log);
}

#[test]
fn every_page_is_read_and_what_it_costs_is_told() {
    let runner = runner(READER);
    let keys: Vec<String> = (0..250).map(|at| format!("rekindle.1.{at}")).collect();
    runner.world.wipe_and_clone();
    fs::create_dir_all(runner.temp()).unwrap();
    runner.service.fill("refs/heads/main", &keys);
    runner.service.fill("refs/heads/main", &["somebody-elses".to_owned()]);
    runner.service.set_other_caches(10_000_000_000 + (100 << 30));
    let listed = runner.step(&["ls", "--json"]);
    let value: Value = serde_json::from_str(&listed.log).unwrap_or_else(|error| panic!("{error}: {}", listed.log));
    assert_eq!(value["entries"].as_array().unwrap().len(), 250);
    assert_eq!(value["quota"]["limit"], 20_000_000_000_u64);
    let dollars = value["quota"]["dollars_a_month"].as_f64().unwrap();
    assert!((dollars - 7.0).abs() < 0.001, "{value}");
    let text = runner.step(&["ls"]).log;
    assert!(text.contains("of 20.00 GB, $7.00 a month at list price"), "{text}");
}

#[test]
fn a_refusal_is_a_note_and_a_rate_limit_is_waited_for() {
    let mut runner = runner(READER);
    runner.scopes = PULL_REQUEST;
    runs(&mut runner, 0..2);
    runner.scopes = MAIN;
    let refused = runner.step(&["prune"]);
    assert_eq!((refused.code, runner.entries().len()), (Some(0), 2), "{}", refused.log);
    assert!(refused.log.contains("GitHub answered 403 (is `actions: write` granted?)"), "{}", refused.log);
    assert!(refused.warnings().is_empty(), "{}", refused.log);
    runner.set("REKINDLE_GITHUB_TOKEN", WRITER);
    // A list that is not whole is none.
    runner.service.fault(Route::RestGet, Fault::Status(404, "{}".into()), 1);
    let unlisted = runner.step(&["prune"]);
    assert_eq!((unlisted.code, runner.entries().len()), (Some(0), 2), "{}", unlisted.log);
    runner.service.fault(Route::RestDelete, Fault::RateLimited { retry_after: Some(1) }, 1);
    let waited = runner.step(&["prune"]);
    assert_eq!((waited.code, runner.service.entries().len()), (Some(0), 0), "{}", waited.log);
    runs(&mut runner, 2..3);
    runner.scopes = PULL_REQUEST;
    runs(&mut runner, 3..4);
    runner.scopes = MAIN;
    runner.service.fault(Route::RestDelete, Fault::RateLimited { retry_after: Some(3_600) }, 1);
    let limited = runner.step(&["prune"]);
    assert!(limited.log.contains("1 that should have gone are left"), "{}", limited.log);
    assert!(limited.log.contains("GitHub's rate limit is reached"), "{}", limited.log);
    runner.set("REKINDLE_GITHUB_TOKEN", " ");
    let without = runner.step(&["prune"]);
    assert!(without.code == Some(2) && without.log.contains("there is no token to ask GitHub with"), "{}", without.log);
}

/// Six runs and a base that was lost: the next save stores everything, and asks what has become superfluous.
fn with_a_new_base(token: &str) -> (Runner, crate::support::runner::Job) {
    let mut runner = runner(token);
    runs(&mut runner, 0..6);
    runner.service.age(8);
    let keys = runner.keys();
    let base = keys.iter().find(|key| Key::parse(key).is_some_and(|key| key.lineage == key.state)).unwrap();
    runner.service.lose_blob(base);
    runner.world.change(&[("lib/src/text.txt", "text-6")]);
    let job = runner.job();
    (runner, job)
}

#[test]
fn a_save_prunes_what_it_has_made_superfluous_and_says_so() {
    let (runner, job) = with_a_new_base(WRITER);
    assert!(job.save.log.contains("everything, because"), "{}", job.save.log);
    assert!(job.save.log.contains("pruned: 1 entry that nobody needs any more"), "{}", job.save.log);
    assert!(runner.summary().contains("| Pruned | 1 entry that nobody needs any more"), "{}", runner.summary());
    assert_eq!(runner.entries().len(), 6);
}

#[test]
fn a_save_that_may_not_prune_says_so_and_nothing_else_happens() {
    let (runner, job) = with_a_new_base(READER);
    let line = "pruned: nothing, GitHub answered 403 (is `actions: write` granted?)";
    assert!(job.save.log.contains(line), "{}", job.save.log);
    assert!(job.save.code == Some(0) && job.save.warnings().is_empty(), "{}", job.save.log);
    assert!(!runner.summary().contains("Pruned"), "{}", runner.summary());
    assert_eq!(runner.entries().len(), 7);
}
