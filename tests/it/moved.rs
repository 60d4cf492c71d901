//! What people bring along from other caches: inputs that say the same there, on runners that are wiped every time.

use std::fs;

use crate::support::World;
use crate::support::runner::Runner;

const LIB: &str = "lib/src/text.txt";

#[test]
fn a_lookup_says_what_would_be_restored_and_leaves_everything_as_it_is() {
    let mut runner = Runner::new();
    runner.set("REKINDLE_LOOKUP_ONLY", "true");
    runner.next_machine();
    let nothing = runner.restore();
    assert_eq!((nothing.code, nothing.outputs["state"].as_str()), (Some(0), "miss"), "{}", nothing.log);

    runner.set("REKINDLE_LOOKUP_ONLY", "off");
    runner.job();
    runner.set("REKINDLE_LOOKUP_ONLY", "on");
    runner.next_machine();
    let time = || fs::metadata(runner.world.work().join(LIB)).unwrap().modified().unwrap();
    let before = time();
    let found = runner.restore();
    assert_eq!(found.outputs["state"], "exact", "{}", found.log);
    assert_eq!(found.outputs["cache-hit"], "true");
    assert_eq!(found.outputs["restored-key"], runner.keys()[0]);
    assert!(found.log.contains("would be restored from `rekindle."), "{}", found.log);
    assert!(!runner.world.target().exists() && time() == before);
    // A post step that is told nothing does nothing.
    assert!(!runner.temp().join("state").exists());
    assert!(!runner.world.build().compiled.is_empty());
    assert!(runner.save().log.contains("nothing was saved: `rekindle restore` left no state here"));
    assert_eq!(runner.keys().len(), 1);
}

/// A machine that is kept still has the state file of its last job, which says nothing of this one.
#[test]
fn a_save_after_a_lookup_does_not_go_by_an_earlier_job() {
    let mut world = World::scenario();
    world.first_run();
    let stored = world.packs().len();
    world.env.insert("REKINDLE_LOOKUP_ONLY".into(), "on".into());
    world.wipe_and_clone();
    let found = world.restore();
    assert!(found.contains("would be restored from"), "{found}");
    world.build();
    let said = world.save();
    assert!(said.contains("`rekindle restore` left no state here"), "{said}");
    assert_eq!(world.packs().len(), stored);
}

#[test]
fn a_lookup_says_what_rolled_the_key() {
    let mut runner = Runner::new();
    runner.job();
    runner.set("REKINDLE_LOOKUP_ONLY", "on");
    runner.set("RUSTFLAGS", "-g");
    runner.next_machine();
    let found = runner.restore();
    assert_eq!(found.outputs["state"], "miss", "{}", found.log);
    assert_eq!(found.outputs["rolled"], "flags `RUSTFLAGS`: (none) → -g");
}

#[test]
fn a_job_that_an_expression_keeps_from_saving_does_not_save() {
    let mut runner = Runner::new();
    runner.set("REKINDLE_SAVE", "false");
    let job = runner.job();
    assert!(job.save.log.contains("target: not saved, `save: never`"), "{}", job.save.log);
    assert_eq!(runner.keys().len(), 0);
    runner.set("REKINDLE_SAVE", "true");
    runner.job();
    assert_eq!(runner.keys().len(), 1);
}

#[test]
fn variables_that_somebody_names_keep_states_apart_and_are_named_when_they_roll_the_key() {
    let mut runner = Runner::new();
    runner.set("REKINDLE_ENV_VARS", "SCHEMA_VERSION, FLAVOUR_*");
    runner.set("SCHEMA_VERSION", "1");
    runner.set("FLAVOUR_TOKEN", "s3cr3t-s3cr3t");
    let first = runner.job();
    let note = "note: not in the key although `env-vars` names it, as it looks like a secret: `FLAVOUR_TOKEN`";
    assert!(first.restore.log.contains(note), "{}", first.restore.log);
    assert_eq!(runner.job().restore.outputs["state"], "exact");
    runner.set("SCHEMA_VERSION", "2");
    let rolled = runner.job();
    assert_eq!(rolled.restore.outputs["state"], "miss");
    assert_eq!(rolled.restore.outputs["rolled"], "variable `SCHEMA_VERSION`: 1 → 2");
    // What a step sets in between is not there yet when the job begins.
    runner.next_machine();
    runner.restore();
    runner.set("FLAVOUR_A", "x");
    let again = runner.restore();
    assert!(again.log.contains("the job goes on with what it has built"), "{}", again.log);

    runner.set("REKINDLE_ENV_VARS", "NPM_TOKEN");
    runner.next_machine();
    let wrong = runner.restore();
    assert_eq!(wrong.code, Some(2), "{}", wrong.log);
    assert!(wrong.log.starts_with("::error "), "{}", wrong.log);
}

#[test]
fn jobs_that_share_a_key_share_a_state_as_far_as_its_bytes_can_be_used() {
    let mut runner = Runner::new();
    runner.set("REKINDLE_SHARED_KEY", "tests");
    runner.job();
    runner.set("GITHUB_JOB", "lint");
    runner.set("GITHUB_WORKFLOW", "Other");
    runner.set("REKINDLE_KEY", "{\"os\": \"x\"}");
    let other = runner.job();
    assert!(other.compiled.is_empty(), "{other:#?}");
    // The name says only where to look.
    runner.set("RUSTFLAGS", "-g");
    runner.world.env.insert("RUSTFLAGS".into(), "-g".into());
    let flags = runner.job();
    assert_eq!(flags.restore.outputs["state"], "miss");
    assert!(!flags.compiled.is_empty());
    runner.set("RUSTFLAGS", "");
    runner.world.env.remove("RUSTFLAGS");
    runner.set("REKINDLE_SHARED_KEY", "");
    assert_eq!(runner.job().restore.outputs["state"], "miss");
}

#[test]
fn a_step_that_has_to_find_something_fails_where_nothing_was_restored_for_whatever_reason() {
    let mut runner = Runner::new();
    runner.set("REKINDLE_FAIL_ON_CACHE_MISS", "true");
    let error = "::error title=Rekindle::nothing was restored, and `fail-on-cache-miss` is on";
    let first = runner.job();
    assert_eq!(first.restore.code, Some(1));
    assert!(first.restore.log.contains(error), "{}", first.restore.log);
    assert_eq!(runner.job().restore.code, Some(0));

    runner.next_machine();
    fs::write(runner.world.workspace().join("Cargo.lock"), "this is no lock file").unwrap();
    let broken = runner.restore();
    assert_eq!(broken.code, Some(1), "{}", broken.log);
    assert!(broken.log.contains(error), "{}", broken.log);

    // A service that is not there.
    runner.set("ACTIONS_RESULTS_URL", "http://127.0.0.1:9/");
    runner.next_machine();
    assert_eq!(runner.restore().code, Some(1));
}
