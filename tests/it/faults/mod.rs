//! Whole jobs through a proxy that spoils what the cache service says and is told, by a seeded random.
//!
//! A run starts from one good entry. It restores, builds, and saves what it changed; then another machine restores without the
//! proxy and builds. No step may fail or outlast its budget, and no build may be anything but what the sources say.
//! `REKINDLE_FAULTS=1000` does that many runs instead of a few, `REKINDLE_FAULTS=376..377` one by its number. All that fail are
//! listed, with their logs.

mod proxy;

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use proxy::Proxy;

use crate::support::runner::{Runner, Step};
use crate::support::write;

/// One twentieth of every wait and limit: the ten minutes of a restore are half a minute.
const PATIENCE: &str = "0.05";
/// The budget of a save, and a margin for a busy machine.
const BUDGET: Duration = Duration::from_secs(45 + 45);
const WORKERS: usize = 2;

/// What the runs came to.
#[derive(Default)]
struct Tally {
    next: AtomicU64,
    runs: AtomicUsize,
    faults: AtomicUsize,
    restored: AtomicUsize,
    stored: AtomicUsize,
}

struct Site {
    runner: Runner,
    /// The entry that every run starts from.
    first: Vec<String>,
}

impl Site {
    fn new() -> Self {
        let mut runner = Runner::new();
        let job = runner.job();
        assert!(job.save.log.contains("target: saved"), "{}", job.save.log);
        runner.set("REKINDLE_PATIENCE", PATIENCE);
        let first = runner.keys();
        Self { runner, first }
    }

    fn run(&mut self, number: u64, tally: &Tally) -> Result<(), String> {
        let proxy = Proxy::start(&self.runner.service.url(), number);
        // One run in four has nothing to save.
        let text = if number % 4 == 3 { "one".to_owned() } else { format!("run {number}") };
        self.runner.next_machine();
        write(&self.runner.world.work().join("lib/src/text.txt"), &text);
        for name in ["ACTIONS_RESULTS_URL", "ACTIONS_CACHE_URL"] {
            self.runner.set(name, &proxy.url);
        }
        let result = self.job(&text, tally);
        tally.faults.fetch_add(proxy.faults(), Ordering::Relaxed);
        for name in ["ACTIONS_RESULTS_URL", "ACTIONS_CACHE_URL"] {
            self.runner.env.remove(name);
        }
        let next = result.and_then(|()| self.next_machine(&text));
        for key in self.runner.keys().into_iter().filter(|key| !self.first.contains(key)) {
            tally.stored.fetch_add(1, Ordering::Relaxed);
            self.runner.service.evict(&key);
        }
        next.map_err(|error| format!("run {number}: {error}\n{}", proxy.story()))
    }

    /// Restore, build and save, with every call through the proxy.
    fn job(&self, text: &str, tally: &Tally) -> Result<(), String> {
        let restore = in_budget("restore", || self.runner.restore())?;
        let is_restored = restore.outputs.get("state").is_some_and(|state| state != "miss");
        tally.restored.fetch_add(usize::from(is_restored), Ordering::Relaxed);
        self.build(text).map_err(|error| format!("{error}\nrestore: {}", restore.log))?;
        in_budget("save", || self.runner.save())?;
        Ok(())
    }

    /// Whatever was stored is believed by another machine as far as it is true.
    fn next_machine(&mut self, text: &str) -> Result<(), String> {
        self.runner.next_machine();
        write(&self.runner.world.work().join("lib/src/text.txt"), text);
        let restore = in_budget("the next restore", || self.runner.restore())?;
        self.build(text).map_err(|error| format!("next: {error}\nrestore: {}", restore.log))
    }

    fn build(&self, text: &str) -> Result<(), String> {
        let verdict = self.runner.world.cargo("build");
        if !verdict.success {
            return Err(format!("the build failed: {}", verdict.stderr));
        }
        let output = self.runner.world.output();
        if output.trim_end() == text { Ok(()) } else { Err(format!("stale: {output:?} instead of {text:?}")) }
    }
}

fn in_budget(what: &str, step: impl FnOnce() -> Step) -> Result<Step, String> {
    let began = Instant::now();
    let step = step();
    let took = began.elapsed();
    if step.code == Some(0) && took < BUDGET && !step.log.contains("panicked") {
        return Ok(step);
    }
    Err(format!("{what} ended with {:?} after {took:?}: {}", step.code, step.log))
}

#[expect(clippy::print_stderr, reason = "whoever asks how much was done looks here")]
fn report(line: &str) {
    eprintln!("{line}");
}

#[test]
fn no_fault_on_the_way_fails_a_step_or_spoils_a_build() {
    let wish = std::env::var("REKINDLE_FAULTS").unwrap_or_else(|_| "12".to_owned());
    let (from, to) = wish.split_once("..").unwrap_or(("0", &wish));
    let (from, to): (u64, u64) = (from.parse().unwrap(), to.parse().unwrap());
    let tally = Tally { next: AtomicU64::new(from), ..Tally::default() };
    let worker = || {
        let (mut site, mut failures) = (Site::new(), String::new());
        loop {
            let number = tally.next.fetch_add(1, Ordering::Relaxed);
            if number >= to {
                return failures;
            }
            if let Err(error) = site.run(number, &tally) {
                let _ = writeln!(failures, "{error}\n");
            }
            tally.runs.fetch_add(1, Ordering::Relaxed);
        }
    };
    let failures: String = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    let Tally { next: _, runs, faults, restored, stored } = &tally;
    report(&format!("{runs:?} runs, {faults:?} faults, {restored:?} restored, {stored:?} stored"));
    assert!(failures.is_empty(), "{failures}");
    assert!(faults.load(Ordering::Relaxed) > 0, "nothing was ever spoiled");
}
