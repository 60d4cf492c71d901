//! Jobs on runners that are wiped every time, with nothing in common but the cache service.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use crate::support::cache_service::{Fault, Route};
use crate::support::runner::{MAIN, PULL_REQUEST, Runner, ballast, files_below};
use crate::support::write;

#[test]
fn the_second_job_compiles_nothing_and_says_so() {
    let mut runner = Runner::new();
    let first = runner.job();
    assert_eq!(first.restore.outputs["state"], "miss");
    assert_eq!(first.restore.outputs["cache-hit"], "false");
    assert!(!first.compiled.is_empty() && first.save.warnings().is_empty(), "{first:#?}");
    assert!(runner.summary().contains("cold start of test"), "{}", runner.summary());

    let second = runner.job();
    assert!(second.compiled.is_empty(), "{second:#?}");
    assert_eq!(second.restore.outputs["state"], "exact", "{second:#?}");
    assert_eq!(second.restore.outputs["cache-hit"], "true");
    assert_eq!(second.restore.outputs["restored-key"], runner.keys()[0]);
    assert!(runner.summary().contains("warm start of test, 4 units fresh, 0 compiled"), "{}", runner.summary());
    // Without news nothing is stored.
    assert_eq!(runner.keys().len(), 1);
    let bearer_at_blobs = runner.service.requests().into_iter().filter(|seen| seen.authorization);
    assert!(bearer_at_blobs.clone().count() > 0);
    assert!(!bearer_at_blobs.into_iter().any(|seen| matches!(seen.route, Route::GetBlob | Route::PutBlob)));
}

#[test]
fn an_edit_is_saved_as_a_delta_and_the_next_job_is_warm() {
    let mut runner = with_ballast(4);
    runner.job();
    write(&runner.world.origin().join("lib/src/text.txt"), "two");
    runner.world.commit("edit");
    let edited = runner.job();
    assert_eq!(edited.restore.outputs["cache-hit"], "false");
    assert!(edited.save.log.contains("changes only"), "{}", edited.save.log);
    let warm = runner.job();
    assert!(warm.compiled.is_empty(), "{warm:#?}");
    let output = runner.world.output();
    assert_eq!(output, "two\n");
}

#[test]
fn v1_is_spoken_where_there_is_nothing_else() {
    let mut runner = Runner::new();
    runner.set("GITHUB_SERVER_URL", "https://git.example.com");
    runner.set("ACTIONS_RESULTS_URL", "");
    runner.job();
    let warm = runner.job();
    assert!(warm.compiled.is_empty() && warm.restore.warnings().is_empty(), "{warm:#?}");
    let routes: Vec<Route> = runner.service.requests().iter().map(|seen| seen.route).collect();
    assert!(routes.contains(&Route::V1Commit) && routes.contains(&Route::V1Download));
    assert!(!routes.contains(&Route::Lookup) && !routes.contains(&Route::Create));
}

/// Megabytes that do not compress, made by a build script.
fn with_ballast(size: usize) -> Runner {
    Runner::with(&[("lib/build.rs", &ballast(size))])
}

#[test]
fn a_large_pack_goes_in_blocks_and_comes_in_ranges() {
    let mut runner = with_ballast(40);
    runner.job();
    let sent = runner.service.requests();
    let blocks: Vec<_> = sent.iter().filter(|seen| seen.route == Route::PutBlock).collect();
    assert!(blocks.len() >= 8 && blocks.iter().all(|seen| seen.sent <= 4 << 20), "{blocks:?}");
    // What has to be found first is sent last.
    let smallest = blocks.iter().map(|seen| seen.sent).min().unwrap();
    assert_eq!(blocks.last().unwrap().sent, smallest);
    assert_eq!(sent.iter().filter(|seen| seen.route == Route::PutBlockList).count(), 1);

    runner.service.clear_requests();
    // Every url serves a few ranges only: it has to be renewed on the way.
    runner.service.expire_after_ranges(3);
    let warm = runner.job();
    assert!(warm.compiled.is_empty() && warm.restore.warnings().is_empty(), "{warm:#?}");
    let asked = runner.service.requests();
    assert!(asked.iter().any(|seen| seen.status == Some(403)), "no url ran out");
    let ranges: Vec<_> = asked.iter().filter(|seen| seen.route == Route::GetBlob).collect();
    assert!(ranges.iter().all(|seen| seen.range.is_some()) && ranges.len() > 5, "{ranges:?}");
    assert!(ranges.iter().skip(1).any(|seen| seen.if_match.is_some()));
}

#[test]
fn a_server_without_ranges_is_read_from_start_to_end() {
    let mut runner = with_ballast(40);
    runner.job();
    runner.service.ignore_ranges(true);
    let warm = runner.job();
    assert!(warm.compiled.is_empty() && warm.restore.warnings().is_empty(), "{warm:#?}");
}

#[test]
fn a_pull_request_starts_from_its_base_and_saves_in_its_own_scope() {
    let mut runner = with_ballast(4);
    runner.job();
    // The fix: the base's state is stale under the very same key parts.
    write(&runner.world.origin().join("lib/src/text.txt"), "fixed");
    runner.world.commit("fix");
    runner.scopes = PULL_REQUEST;
    let first = runner.job();
    assert_eq!(first.restore.outputs["state"], "exact");
    assert!(!first.compiled.is_empty() && first.compiled.iter().all(|unit| !unit.contains("build-script")));
    assert!(first.save.log.contains("changes only"), "{}", first.save.log);
    let second = runner.job();
    assert!(second.compiled.is_empty(), "{second:#?}");
    let scopes: Vec<String> = runner.entries().into_iter().map(|entry| entry.scope).collect();
    assert_eq!(scopes, ["refs/heads/main", "refs/pull/7/merge"]);
    // The base does not see it.
    runner.scopes = MAIN;
    runner.next_machine();
    assert_eq!(runner.restore().outputs["restored-key"], runner.keys()[0]);
}

#[test]
fn a_token_that_may_only_read_is_noticed_before_any_work() {
    let mut runner = Runner::new();
    runner.job();
    runner.scopes = &[("refs/heads/main", 1)];
    write(&runner.world.origin().join("lib/src/text.txt"), "two");
    runner.world.commit("edit");
    runner.service.clear_requests();
    let job = runner.job();
    assert!(job.restore.log.contains("nothing will be saved: this event's token may not write to the cache"));
    assert!(job.save.log.contains("target: not saved, this event's token"), "{}", job.save.log);
    assert!(job.restore.warnings().is_empty() && job.save.warnings().is_empty());
    assert!(!runner.service.requests().iter().any(|seen| seen.route == Route::Create));
}

#[test]
fn the_cache_mode_of_the_workflow_is_kept() {
    let mut runner = Runner::new();
    runner.job();
    runner.service.clear_requests();
    runner.set("ACTIONS_CACHE_MODE", "none");
    let off = runner.job();
    assert!(off.restore.log.contains("nothing is restored or saved: the workflow says `cache-mode: none`"));
    assert!(off.restore.warnings().is_empty() && runner.service.requests().is_empty());
    runner.set("ACTIONS_CACHE_MODE", "write-only");
    let write_only = runner.job();
    assert_eq!(write_only.restore.outputs["state"], "miss");
    assert!(!runner.service.requests().iter().any(|seen| seen.route == Route::GetBlob));
}

#[test]
fn two_jobs_with_the_same_state_collide_harmlessly() {
    let mut runner = Runner::new();
    runner.next_machine();
    runner.restore();
    runner.world.build();
    let first = runner.save();
    assert!(first.log.contains("target: saved"), "{}", first.log);
    // The twin started before that was stored, and ends now.
    let twin = runner.save();
    assert!(twin.log.contains("target: already stored"), "{}", twin.log);
    assert!(twin.warnings().is_empty() && twin.code == Some(0));
}

#[test]
fn a_name_that_nobody_finishes_does_not_hold_up_a_second_attempt() {
    let mut runner = Runner::new();
    runner.set("REKINDLE_PATIENCE", "0.05");
    // The name is reserved, but the answer is lost: no one can take it back.
    runner.service.fault(Route::Create, Fault::ResetAfter, 1);
    let first = runner.job();
    assert!(first.save.log.contains("another job is storing it") && first.save.code == Some(0), "{}", first.save.log);
    assert!(runner.keys().is_empty());
    runner.set("GITHUB_RUN_ATTEMPT", "2");
    let second = runner.job();
    assert!(second.save.log.contains("target: saved"), "{}", second.save.log);
    assert!(runner.job().compiled.is_empty());
}

#[test]
fn jobs_of_a_matrix_share_no_name() {
    let mut runner = Runner::new();
    for (system, state) in [("a", "miss"), ("b", "exact")] {
        runner.set("REKINDLE_KEY", &format!("{{\n  \"system\": \"{system}\"\n}}"));
        assert_eq!(runner.job().restore.outputs["state"], state);
    }
    // It has what the other one built, and no news.
    assert_eq!(runner.keys().len(), 1);
    write(&runner.world.origin().join("lib/src/text.txt"), "two");
    runner.world.commit("edit");
    runner.job();
    let keys = runner.keys();
    assert!(keys[0].contains("system-a-") && keys[1].contains("system-b-"), "{keys:?}");
}

#[test]
fn a_rolled_key_starts_anew_and_says_why() {
    let mut runner = Runner::new();
    runner.job();
    runner.set("REKINDLE_KEY_ROLL", "second try");
    let rolled = runner.job();
    assert_eq!(rolled.restore.outputs["state"], "miss");
    assert_eq!(rolled.restore.outputs["rolled"], "key-roll: (none) → second try");
    assert!(rolled.restore.log.contains("key-roll: `second try`, from the input"), "{}", rolled.restore.log);
    assert!(runner.summary().contains("key-roll: (none) → second try"), "{}", runner.summary());
    assert!(runner.job().compiled.is_empty());
}

/// Answers every request with these labels.
fn labels_server(body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let length = stream.read(&mut request).unwrap();
            let wanted = request[..length].starts_with(b"GET /repos/o/r/issues/7/labels");
            let (status, body) = if wanted { ("200 OK", body) } else { ("404 Not Found", "{}") };
            let length = body.len();
            let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n");
            stream.write_all(format!("{head}connection: close\r\n\r\n{body}").as_bytes()).unwrap();
        }
    });
    url
}

const LABELS: &str =
    r#"[{"id":1,"node_id":"x","url":"http://x.test/","name":"rekindle-roll:now","color":"fff","default":false}]"#;

#[test]
fn a_label_of_the_pull_request_rolls_the_key() {
    let mut runner = Runner::new();
    let event = runner.world.dir.join("event.json");
    fs::write(&event, r#"{"pull_request":{"number":7,"labels":[{"name":"rekindle-roll:then"}]}}"#).unwrap();
    runner.set("GITHUB_EVENT_PATH", event.to_str().unwrap());
    runner.set("GITHUB_REPOSITORY", "o/r");
    runner.set("GITHUB_API_URL", &labels_server(LABELS));
    runner.set("REKINDLE_GITHUB_TOKEN", "ghs_0123456789abcdef");
    let live = runner.job();
    let said = "key-roll: `now`, from a label of the pull request";
    assert!(live.restore.log.contains(said), "{}", live.restore.log);

    // Nobody can be asked: the event of the first start decides, and the log says so.
    runner.set("GITHUB_API_URL", "http://127.0.0.1:9");
    let replayed = runner.job();
    assert!(replayed.restore.log.contains("from a label that the pull request had at the event"));
    assert!(replayed.restore.log.contains("note: the labels of the pull request are those of the event"));
    assert_eq!(replayed.restore.outputs["state"], "miss");
}

#[test]
fn a_wrong_input_is_one_annotation() {
    let mut runner = Runner::new();
    runner.next_machine();
    runner.set("REKINDLE_KEEP_UNUSED", "many");
    let step = runner.restore();
    assert_eq!(step.code, Some(2));
    assert_eq!(step.log, "::error title=Rekindle::`keep-unused: many` is not a number of runs; write one, as in `3`\n");
}

#[test]
fn what_nobody_reads_is_stored_only_if_somebody_wants_it() {
    let mut runner = Runner::new();
    for reference in ["refs/tags/v1", "refs/heads/gh-readonly-queue/main/pr-1-abc"] {
        runner.set("GITHUB_REF", reference);
        let job = runner.job();
        assert!(job.save.log.contains("target: not saved, no other run reads what a "), "{}", job.save.log);
        assert!(runner.keys().is_empty() && job.save.warnings().is_empty());
    }
    runner.set("REKINDLE_SAVE", "always");
    runner.job();
    assert_eq!(runner.keys().len(), 1);
}

#[test]
fn a_pull_request_stores_changes_only_however_many_they_are() {
    let mut runner = with_ballast(2);
    runner.world.stores_whole = true;
    runner.set("GITHUB_REF", "refs/heads/main");
    runner.job();
    runner.set("GITHUB_REF", "refs/pull/7/merge");
    runner.scopes = PULL_REQUEST;
    for round in 0..2 {
        // All of it is new, which is a base on a branch.
        write(&runner.world.origin().join("lib/build.rs"), &format!("{}// {round}\n", ballast(2)));
        runner.world.commit("edit");
        let job = runner.job();
        assert!(job.save.log.contains("changes only"), "{}", job.save.log);
    }
    assert!(runner.job().compiled.is_empty());
    // On the branch the same is written anew.
    runner.set("GITHUB_REF", "refs/heads/main");
    runner.scopes = MAIN;
    let job = runner.job();
    assert!(job.save.log.contains("everything, because the deltas have grown"), "{}", job.save.log);
}

#[test]
fn a_pack_over_budget_is_not_stored() {
    let mut runner = Runner::new();
    runner.set("REKINDLE_MAX_SIZE", "1 kB");
    let job = runner.job();
    assert!(job.save.log.contains("and `max-size` is 1.0 kB"), "{}", job.save.log);
    assert!(runner.keys().is_empty() && job.save.warnings().is_empty());
}

#[test]
fn without_stamping_the_workspace_is_compiled_and_nothing_is_stale() {
    let mut runner = Runner::new();
    runner.set("REKINDLE_MTIME", "off");
    runner.job();
    let second = runner.job();
    assert_eq!(second.restore.outputs["state"], "exact");
    assert!(second.compiled.iter().any(|unit| unit.starts_with("lib ")), "{second:#?}");
    write(&runner.world.origin().join("lib/src/text.txt"), "two");
    runner.world.commit("edit");
    runner.job();
    assert_eq!(runner.world.output(), "two\n");
}

#[test]
fn strict_mode_fails_on_a_warning() {
    let mut runner = Runner::new();
    runner.set("REKINDLE_PATIENCE", "0.05");
    runner.set("REKINDLE_STRICT", "true");
    assert_eq!(runner.job().restore.code, Some(0));
    runner.service.fault(Route::Lookup, Fault::NotJson(502), usize::MAX);
    runner.next_machine();
    assert_eq!(runner.restore().code, Some(1));
}

#[test]
fn no_secret_is_in_anything_that_a_run_writes() {
    let mut runner = Runner::new();
    runner.set("REKINDLE_GITHUB_TOKEN", "ghs_0123456789abcdef");
    runner.service.set_url_lifetime(Duration::from_secs(600));
    let first = runner.job();
    let second = runner.job();
    // A fault or two: errors are where urls come to light.
    runner.set("REKINDLE_PATIENCE", "0.05");
    runner.service.fault(Route::GetBlob, Fault::Reset, usize::MAX);
    let third = runner.job();
    assert!(!third.restore.warnings().is_empty());

    let mut secrets = runner.tokens.borrow().clone();
    assert!(secrets.len() >= 6);
    secrets.extend(["ghs_0123456789abcdef", "sig=", "127.0.0.1"].map(str::to_owned));
    let mut logs: Vec<(String, Vec<u8>)> = Vec::new();
    for (name, job) in [("first", &first), ("second", &second), ("third", &third)] {
        // Masks are how the runner learns what to hide; they are not shown.
        let shown = |log: &str| -> String {
            log.lines().filter(|line| !line.starts_with("::add-mask::")).collect::<Vec<_>>().join("\n")
        };
        assert!(job.save.log.contains("::add-mask::") || job.restore.log.contains("::add-mask::"), "{name}: {job:#?}");
        logs.push((name.to_owned(), shown(&job.restore.log).into_bytes()));
        logs.push((name.to_owned(), shown(&job.save.log).into_bytes()));
    }
    let mut written = files_below(&runner.world.target());
    for number in 1..=3 {
        written.extend(files_below(&runner.world.dir.join(format!("temp-{number}"))));
    }
    let files = written.into_iter().map(|path| (path.display().to_string(), fs::read(&path).unwrap()));
    let packs = runner.entries().into_iter().map(|entry| {
        let raw = zstd::decode_all(runner.service.blob(&entry.key).as_slice()).unwrap_or_default();
        (entry.key, raw)
    });
    for (name, bytes) in logs.into_iter().chain(files).chain(packs) {
        let holds = |secret: &str| memchr::memmem::find(&bytes, secret.as_bytes()).is_some();
        for secret in &secrets {
            assert!(!holds(secret), "`{name}` holds {secret}");
        }
    }
}
