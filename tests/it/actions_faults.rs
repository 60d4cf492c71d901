//! Everything that can go wrong with the cache service: the job's exit code is 0, the build is right, and one warning names the
//! cause. Waits are short here (`REKINDLE_PATIENCE`), so that the time budgets are met by the minute and not by the hour.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::support::bad_service::{self, Manner};
use crate::support::cache_service::{Fault, Route};
use crate::support::runner::{Runner, Step};
use crate::support::write;

/// One thousandth of every wait and limit, roughly: ten minutes become half a minute.
const PATIENCE: &str = "0.05";
const BUDGET: Duration = Duration::from_secs(60);

fn json(status: u16, code: &str, msg: &str) -> Fault {
    Fault::Status(status, format!(r#"{{"code":"{code}","msg":"{msg}"}}"#))
}

/// Exit code 0, in time, and exactly one warning, which names the cause.
fn warned(step: &Step, began: Instant, cause: &str, row: &str) {
    assert_eq!(step.code, Some(0), "{row}: {}", step.log);
    assert_eq!(step.warnings().len(), 1, "{row}: {}", step.log);
    assert!(step.warnings()[0].contains(cause), "{row}: {}", step.log);
    assert!(began.elapsed() < BUDGET, "{row}: {:?}", began.elapsed());
}

/// A runner with one stored state, and what a cold build of it compiles.
fn runner() -> (Runner, BTreeSet<String>) {
    let mut runner = Runner::new();
    runner.set("REKINDLE_PATIENCE", PATIENCE);
    let cold = runner.job();
    assert!(cold.save.log.contains("target: saved"), "{}", cold.save.log);
    (runner, cold.compiled)
}

#[test]
fn a_lookup_that_fails_is_a_cold_start_with_one_warning() {
    let (mut runner, all) = runner();
    let rows: Vec<(&str, Fault, &str)> = vec![
        ("500", Fault::Status(500, String::new()), "the cache service answered 500"),
        ("a proxy's page", Fault::NotJson(502), "the cache service answered 502"),
        ("a page that says all is well", Fault::NotJson(200), "did not answer in JSON"),
        ("reset", Fault::Reset, "reset"),
        ("reset after the work", Fault::ResetAfter, "reset"),
        ("silence", Fault::Stall(Duration::from_secs(3600)), "time"),
        ("half an answer", Fault::ShortBody, "the answer broke off"),
        ("half an answer, then silence", Fault::StallBody, "time"),
        ("rate limit", Fault::RateLimited { retry_after: None }, "too many requests"),
        ("rate limit for an hour", Fault::RateLimited { retry_after: Some(3600) }, "too many requests"),
        ("rate limit again and again", Fault::RateLimited { retry_after: Some(1) }, "too many requests"),
        ("denied", json(403, "permission_denied", "cache read denied: policy"), "cache read denied: policy"),
        ("expired token", json(401, "unauthenticated", "no"), "was not accepted"),
        ("nonsense", json(400, "invalid_argument", "bad version"), "bad version"),
        ("nobody there", json(404, "not_found", "no such route"), "does not understand this request: it answered 404"),
    ];
    for (row, fault, cause) in rows {
        runner.service.fault(Route::Lookup, fault, usize::MAX);
        runner.next_machine();
        let began = Instant::now();
        warned(&runner.restore(), began, cause, row);
        assert_eq!(runner.world.build().compiled, all, "{row}");
        runner.service.clear_faults();
    }
}

#[test]
fn a_download_that_fails_is_a_cold_start_with_one_warning() {
    let (mut runner, all) = runner();
    let rows: Vec<(&str, Fault, &str)> = vec![
        ("throttled", Fault::Status(503, "<Error><Code>ServerBusy</Code></Error>".into()), "storage answered 503"),
        ("not accepted", Fault::Status(403, "<Error/>".into()), "a signed url was not accepted"),
        ("gone", Fault::Status(404, "<Error><Code>BlobNotFound</Code></Error>".into()), "the entry is gone"),
        ("past the end", Fault::Status(416, "<Error/>".into()), "not the one that was found"),
        ("reset", Fault::Reset, "reset"),
        ("silence", Fault::Stall(Duration::from_secs(3600)), "time"),
        ("half an answer, then silence", Fault::StallBody, "time"),
        ("half an answer, then drops", Fault::DripBody, "time"),
        ("elsewhere", Fault::Redirect("/other".to_owned()), "the cache storage sends the request elsewhere (307)"),
        ("wrong bytes", Fault::WrongBytes, ""),
    ];
    for (row, fault, cause) in rows {
        runner.service.fault(Route::GetBlob, fault, usize::MAX);
        runner.next_machine();
        let began = Instant::now();
        warned(&runner.restore(), began, cause, row);
        assert_eq!(runner.world.build().compiled, all, "{row}");
        runner.service.clear_faults();
    }
}

#[test]
fn a_call_that_carries_the_token_is_sent_nowhere_else() {
    let (mut runner, all) = runner();
    let other = bad_service::listen(Manner::Garbage);
    let elsewhere =
        |runner: &Runner, route| runner.service.fault(route, Fault::Redirect(other.url.clone()), usize::MAX);
    let cause = "the cache service sends the call elsewhere (307)";
    elsewhere(&runner, Route::Lookup);
    runner.next_machine();
    warned(&runner.restore(), Instant::now(), cause, "lookup");
    runner.service.clear_faults();
    write(&runner.world.origin().join("lib/src/text.txt"), "two");
    runner.world.commit("edit");
    runner.next_machine();
    assert!(runner.restore().warnings().is_empty());
    assert_ne!(runner.world.build().compiled, all);
    elsewhere(&runner, Route::Create);
    warned(&runner.save(), Instant::now(), cause, "create");
    assert_eq!(other.taken(), 0);
}

#[test]
fn a_fault_that_passes_is_not_even_a_warning() {
    let (mut runner, _) = runner();
    let busy = || Fault::Status(503, String::new());
    for (route, fault) in [
        (Route::Lookup, busy()),
        (Route::Lookup, Fault::RateLimited { retry_after: Some(1) }),
        (Route::GetBlob, busy()),
        (Route::GetBlob, Fault::ShortBody),
        (Route::GetBlob, Fault::Reset),
    ] {
        runner.service.fault(route, fault.clone(), 1);
        runner.next_machine();
        let step = runner.restore();
        assert_eq!((step.outputs["state"].as_str(), step.warnings().len()), ("exact", 0), "{fault:?}: {}", step.log);
    }
    write(&runner.world.origin().join("lib/src/text.txt"), "two");
    runner.world.commit("edit");
    for (route, fault) in
        [(Route::Create, busy()), (Route::PutBlob, busy()), (Route::PutBlob, Fault::Reset), (Route::Finalize, busy())]
    {
        runner.service.fault(route, fault, 1);
    }
    runner.service.fault(Route::Finalize, json(404, "not_found", "not yet"), 2);
    let job = runner.job();
    assert!(job.save.log.contains("target: saved") && job.save.warnings().is_empty(), "{}", job.save.log);
}

#[test]
fn a_damaged_or_cut_entry_is_passed_over_and_replaced() {
    let (mut runner, all) = runner();
    let key = runner.keys()[0].clone();
    let whole = runner.service.blob(&key);
    let half = whole[..whole.len() / 2].to_vec();
    let mut flipped_at_end = whole.clone();
    let at = flipped_at_end.len() - 2000;
    flipped_at_end[at] ^= 1;
    let mut flipped_at_start = whole.clone();
    flipped_at_start[100] ^= 1;
    for (row, bytes) in [("cut", half), ("end", flipped_at_end), ("index", flipped_at_start), ("empty", vec![0; 3])] {
        runner.service.replace_blob(&key, bytes);
        runner.next_machine();
        let step = runner.restore();
        assert_eq!((step.code, step.warnings().len()), (Some(0), 1), "{row}: {}", step.log);
        let compiled = runner.world.build().compiled;
        assert!(compiled == all || row == "end" && !compiled.is_empty(), "{row}: {compiled:?}");
        assert_eq!(runner.world.output(), "one\n");
    }
    // The same content under the same start, but the name is taken by what nobody can read.
    let save = runner.save();
    assert!(save.log.contains("target: saved") && save.warnings().is_empty(), "{}", save.log);
    let next = runner.job();
    assert!(next.compiled.is_empty() && next.restore.warnings().is_empty(), "{next:#?}");
}

#[test]
fn an_entry_that_is_gone_between_lookup_and_read_is_a_miss() {
    let (mut runner, all) = runner();
    runner.service.lose_blob(&runner.keys()[0].clone());
    runner.next_machine();
    let began = Instant::now();
    warned(&runner.restore(), began, "the entry is gone", "lost");
    assert_eq!(runner.world.build().compiled, all);
}

#[test]
fn a_save_that_fails_costs_one_warning() {
    let (mut runner, _) = runner();
    let rows: Vec<(&str, Route, Fault, &str)> = vec![
        (
            "denied",
            Route::Create,
            Fault::OkFalse { message: Some("cache write denied: token has no writable scopes".into()) },
            "cache write denied",
        ),
        ("used up", Route::Create, json(403, "", "insufficient usage"), "storage is used up"),
        ("500", Route::Create, Fault::Status(500, String::new()), "the cache service answered 500"),
        ("reset", Route::Create, Fault::Reset, "reset"),
        ("rate limit", Route::Create, Fault::RateLimited { retry_after: None }, "too many requests"),
        ("upload refused", Route::PutBlob, Fault::Status(403, "<Error/>".into()), "a signed url was not accepted"),
        ("upload throttled", Route::PutBlob, Fault::Status(503, String::new()), "storage answered 503"),
        ("upload reset", Route::PutBlob, Fault::Reset, "reset"),
        ("upload stalled", Route::PutBlob, Fault::Stall(Duration::from_secs(3600)), "time"),
        ("never found", Route::Finalize, json(404, "not_found", ""), "knows of no such upload"),
        ("refused", Route::Finalize, Fault::OkFalse { message: Some("size mismatch".into()) }, "size mismatch"),
        ("finalize stalled", Route::Finalize, Fault::Stall(Duration::from_secs(3600)), "time"),
    ];
    for (number, (row, route, fault, cause)) in rows.into_iter().enumerate() {
        write(&runner.world.origin().join("lib/src/text.txt"), &format!("edit {number}"));
        runner.world.commit("edit");
        runner.service.fault(route, fault, usize::MAX);
        runner.next_machine();
        runner.restore();
        runner.world.build();
        let began = Instant::now();
        warned(&runner.save(), began, cause, row);
        runner.service.clear_faults();
    }
}

#[test]
fn a_name_that_is_taken_is_no_failure() {
    let (mut runner, _) = runner();
    for fault in [json(409, "already_exists", "exists"), Fault::OkFalse { message: None }] {
        write(&runner.world.origin().join("lib/src/text.txt"), &format!("{fault:?}"));
        runner.world.commit("edit");
        runner.service.fault(Route::Create, fault, 1);
        let job = runner.job();
        assert_eq!((job.save.code, job.save.warnings().len()), (Some(0), 0), "{}", job.save.log);
        assert!(job.save.log.contains("another job"), "{}", job.save.log);
    }
}

#[test]
fn a_service_that_is_not_there_costs_one_warning_and_little_time() {
    let (mut runner, all) = runner();
    runner.set("ACTIONS_RESULTS_URL", "http://127.0.0.1:9/");
    let began = Instant::now();
    let job = runner.job();
    warned(&job.restore, began, "no connection", "restore");
    warned(&job.save, began, "no connection", "save");
    assert_eq!(job.compiled, all);
}

#[test]
fn a_step_that_is_not_told_where_the_cache_is_says_why() {
    let (mut runner, _) = runner();
    runner.set("ACTIONS_RUNTIME_TOKEN", "");
    runner.next_machine();
    let began = Instant::now();
    warned(&runner.restore(), began, "only `uses:` steps are", "no token");
}

#[test]
fn an_upload_in_blocks_that_fails_at_any_stage_costs_one_warning() {
    let script = "fn main() {\n println!(\"cargo:rerun-if-changed=build.rs\");\n let mut x = 0x9E37_79B9_7F4A_7C15_u64;\n \
                  let mut bytes = Vec::new();\n while bytes.len() < 20 << 20 { x ^= x << 13; x ^= x >> 7; x ^= x << 17; \
                  bytes.extend(x.to_le_bytes()); }\n \
                  std::fs::write(std::path::Path::new(&std::env::var(\"OUT_DIR\").unwrap()).join(\"ballast\"), bytes).unwrap();\n}\n";
    let mut runner = Runner::with(&[("lib/build.rs", script)]);
    runner.set("REKINDLE_PATIENCE", PATIENCE);
    runner.next_machine();
    runner.restore();
    runner.world.build();
    let mut attempt = 1;
    for (route, fault, cause) in [
        (Route::PutBlock, Fault::Reset, "reset"),
        (Route::PutBlock, Fault::Status(503, String::new()), "storage answered 503"),
        (Route::PutBlockList, Fault::Reset, "reset"),
        (Route::PutBlockList, Fault::Status(400, "<Error/>".into()), "storage answered 400"),
        (Route::Finalize, Fault::Reset, "reset"),
    ] {
        let row = format!("{route:?} {fault:?}");
        runner.service.fault(route, fault, usize::MAX);
        let began = Instant::now();
        warned(&runner.save(), began, cause, &row);
        runner.service.clear_faults();
        // The name is held by the upload that did not end; a second attempt has another one.
        attempt += 1;
        runner.set("GITHUB_RUN_ATTEMPT", &attempt.to_string());
        runner.next_machine();
        runner.restore();
        runner.world.build();
    }
    assert!(runner.save().log.contains("target: saved"));
}

#[test]
fn v1_fails_as_gently_at_every_stage() {
    let mut runner = Runner::new();
    runner.set("REKINDLE_PATIENCE", PATIENCE);
    runner.set("REKINDLE_CACHE_API", "v1");
    let cold = runner.job();
    assert!(cold.save.log.contains("target: saved"), "{}", cold.save.log);
    for (route, fault, cause) in [
        (Route::V1Lookup, Fault::Reset, "reset"),
        (Route::V1Lookup, Fault::NotJson(502), "answered 502"),
        (Route::V1Download, Fault::Reset, "reset"),
        (Route::V1Download, Fault::Status(404, String::new()), "the entry is gone"),
    ] {
        runner.service.fault(route, fault.clone(), usize::MAX);
        runner.next_machine();
        let began = Instant::now();
        warned(&runner.restore(), began, cause, &format!("{route:?} {fault:?}"));
        assert_eq!(runner.world.build().compiled, cold.compiled);
        runner.service.clear_faults();
    }
    for (number, (route, fault, cause)) in [
        (Route::V1Reserve, Fault::Reset, "reset"),
        (Route::V1Reserve, Fault::Status(400, r#"{"message":"too large"}"#.into()), "too large"),
        (Route::V1Chunk, Fault::Reset, "reset"),
        (Route::V1Commit, Fault::Status(500, String::new()), "answered 500"),
    ]
    .into_iter()
    .enumerate()
    {
        write(&runner.world.origin().join("lib/src/text.txt"), &format!("edit {number}"));
        runner.world.commit("edit");
        runner.next_machine();
        runner.restore();
        runner.world.build();
        runner.service.fault(route, fault.clone(), usize::MAX);
        let began = Instant::now();
        warned(&runner.save(), began, cause, &format!("{route:?} {fault:?}"));
        runner.service.clear_faults();
    }
}
