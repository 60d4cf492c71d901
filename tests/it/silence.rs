//! A cache service that takes connections and says nothing of use: what it costs in time, and what is said of it.
//!
//! Nothing is scaled here: the seconds are the ones that a job pays. Each limit has wide margins, because the machine is busy.

use std::time::{Duration, Instant};

use crate::support::bad_service::{self, Manner};
use crate::support::cache_service::{Fault, Route};
use crate::support::runner::{Runner, Step, ballast};
use crate::support::write;

/// What is waited in vain, and what the rest of a step may take beside other tests.
const START: Duration = Duration::from_secs(20 + 20);

/// One warning, in time, and nobody says that nothing is stored.
fn could_not_be_asked(step: &Step, took: Duration, row: &str) {
    assert_eq!(step.code, Some(0), "{row}: {}", step.log);
    assert_eq!(step.warnings().len(), 1, "{row}: {}", step.log);
    assert!(took < START, "{row}: {took:?}");
    assert!(!step.log.contains("nothing is stored"), "{row}: {}", step.log);
}

#[test]
fn a_service_that_never_answers_costs_twenty_seconds_at_the_start() {
    let manners = [Manner::Silent, Manner::HeadersOnly, Manner::Drip, Manner::Garbage, Manner::EndlessHeaders];
    std::thread::scope(|scope| {
        for manner in manners {
            scope.spawn(move || {
                let row = format!("{manner:?}");
                let mut runner = Runner::new();
                runner.set("ACTIONS_RESULTS_URL", &bad_service::listen(manner).url);
                runner.next_machine();
                let began = Instant::now();
                let restore = runner.restore();
                could_not_be_asked(&restore, began.elapsed(), &row);
                assert!(restore.log.contains("the store could not be asked for"), "{row}: {}", restore.log);
                runner.world.build();
                let began = Instant::now();
                could_not_be_asked(&runner.save(), began.elapsed(), &row);
            });
        }
    });
}

#[test]
fn a_service_whose_bytes_never_come_costs_no_more() {
    let mut runner = Runner::new();
    runner.job();
    runner.service.fault(Route::GetBlob, Fault::Stall(Duration::from_secs(3600)), usize::MAX);
    runner.next_machine();
    let began = Instant::now();
    let restore = runner.restore();
    could_not_be_asked(&restore, began.elapsed(), "blob");
    assert!(restore.log.contains("the store could not be asked for"), "{}", restore.log);
}

/// The first request of an entry brings the index; what drips is a piece of the rest.
#[test]
fn a_download_that_only_drips_is_given_up() {
    let mut runner = Runner::with(&[("app/build.rs", &ballast(12))]);
    runner.job();
    runner.next_machine();
    runner.service.fault(Route::GetBlob, Fault::Stall(Duration::ZERO), 1);
    runner.service.fault(Route::GetBlob, Fault::DripBody, usize::MAX);
    let began = Instant::now();
    let restore = runner.restore();
    let took = began.elapsed();
    assert_eq!((restore.code, restore.warnings().len()), (Some(0), 1), "{}", restore.log);
    assert!(restore.log.contains("no answer in time"), "{}", restore.log);
    // Two tries of twenty seconds; by size alone each might take two minutes.
    assert!((Duration::from_secs(20)..Duration::from_secs(40 + 40)).contains(&took), "{took:?}");
}

#[test]
fn a_service_that_falls_silent_before_the_save_is_given_up_before_anything_is_packed() {
    let mut runner = Runner::new();
    runner.job();
    write(&runner.world.origin().join("lib/src/text.txt"), "two");
    runner.world.commit("edit");
    runner.next_machine();
    assert!(runner.restore().log.contains("restored "));
    runner.world.build();
    let url = bad_service::listen(Manner::Silent).url;
    runner.set("ACTIONS_RESULTS_URL", &url);
    let began = Instant::now();
    let save = runner.step(&["--verbose", "save"]);
    could_not_be_asked(&save, began.elapsed(), "save");
    assert!(!save.log.contains("what to store is planned"), "{}", save.log);
    runner.env.clear();
    let again = runner.save();
    assert!(again.log.contains("target: saved") && again.warnings().is_empty(), "{}", again.log);
}
