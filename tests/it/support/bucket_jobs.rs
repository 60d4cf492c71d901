//! Jobs of a repository whose packs lie in a bucket: on its protected branch, and on a pull request.

use super::runner::{Job, Runner};
use super::weed::{SECRET, Weed};

const STORE: &str = "s3://packs/rekindle";

/// A machine that has nothing but what the bucket gives.
pub(crate) fn runner(weed: &Weed, files: &[(&str, &str)]) -> Runner {
    let mut runner = Runner::with(files);
    runner.set("REKINDLE_STORE", STORE);
    runner.set("GITHUB_REPOSITORY_ID", "77");
    weed.env().into_iter().for_each(|(name, value)| runner.set(name, &value));
    on_main(&mut runner);
    runner
}

pub(crate) fn on_main(runner: &mut Runner) {
    runner.set("GITHUB_REF", "refs/heads/main");
    runner.set("GITHUB_REF_PROTECTED", "true");
    event(runner, "push", r#"{"repository":{"id":77,"default_branch":"main"}}"#);
}

pub(crate) fn on_pull_request(runner: &mut Runner, head: u64) {
    runner.set("GITHUB_REF", "refs/pull/7/merge");
    runner.set("GITHUB_REF_PROTECTED", "false");
    runner.set("GITHUB_BASE_REF", "main");
    let sides = format!(r#""head":{{"repo":{{"id":{head}}}}},"base":{{"repo":{{"id":77}}}}"#);
    let text = format!(r#"{{"repository":{{"id":77,"default_branch":"main"}},"pull_request":{{"number":7,{sides}}}}}"#);
    event(runner, "pull_request", &text);
}

fn event(runner: &mut Runner, name: &str, text: &str) {
    let path = runner.world.dir.join("event.json");
    std::fs::write(&path, text).unwrap();
    runner.set("GITHUB_EVENT_NAME", name);
    runner.set("GITHUB_EVENT_PATH", path.to_str().unwrap());
}

/// A job on a machine on which not even the Cargo home is left, without a warning, that shows no secret.
pub(crate) fn job(runner: &mut Runner) -> Job {
    let _ = std::fs::remove_dir_all(runner.world.dir.join("cargo-home"));
    let job = runner.job();
    assert!(job.restore.warnings().is_empty() && job.save.warnings().is_empty(), "{job:#?}");
    assert!(!format!("{job:?}{}", runner.summary()).contains(SECRET));
    job
}
