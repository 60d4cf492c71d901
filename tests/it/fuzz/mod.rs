//! Everything that is read from outside, fed with what was once honest and is not any more.
//!
//! Inputs are made from real ones by a seeded random: the number of an execution is its input. Whatever it is, the reader comes
//! back, without a panic, in a bounded time and with bounded memory, and it writes nothing where it should not.
//! `REKINDLE_FUZZ_SECONDS=600` goes on for so long with each reader, `REKINDLE_FUZZ=index:376` does one execution, and
//! `REKINDLE_FUZZ=index` one reader. How it can be wrong: memory is the whole process's, so a test of another kind beside this
//! one counts along; a process that dies leaves its input in the folder that is named when it starts.

mod answers;
mod left;
mod mutate;
mod read;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use fastrand::Rng;

/// No input is worth more, on a busy machine.
const LONGEST: Duration = Duration::from_secs(20);
/// Of memory, in kilobytes. The largest honest thing is an index, and inputs here are small.
const MOST: u64 = 400_000;

/// Something that reads, and what it reads when all is well.
struct Reader<'a> {
    name: &'a str,
    seeds: Vec<Vec<u8>>,
    /// Words that mean something to it.
    words: &'a [&'a str],
    /// In an ordinary run of the tests.
    executions: u64,
}

impl Reader<'_> {
    /// Feeds `read`; a text that it gives back is what it did wrong.
    fn feed(&self, read: &dyn Fn(&[u8]) -> Result<(), String>) {
        assert!(!self.seeds.is_empty(), "`{}` has no seeds", self.name);
        let wish = std::env::var("REKINDLE_FUZZ").unwrap_or_default();
        let (name, number) = wish.split_once(':').unwrap_or((&wish, ""));
        if !name.is_empty() && name != self.name {
            return;
        }
        let seconds = std::env::var("REKINDLE_FUZZ_SECONDS").ok().map(|text| text.parse().unwrap());
        let until = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        let folder = crate::support::memory();
        let numbers = match number.parse() {
            Ok(number) => number..number + 1,
            Err(_) if until.is_some() => 0..u64::MAX,
            Err(_) => 0..self.executions,
        };
        let mut done = 0_u64;
        for number in numbers {
            if until.is_some_and(|until| Instant::now() > until) {
                break;
            }
            let input = self.input(number);
            // A process that dies for lack of stack or memory catches nothing.
            fs::write(folder.path().join("input"), &input).unwrap();
            if let Err(what) = measured(|| read(&input)) {
                let kept = folder.keep();
                panic!("`{}:{number}` {what}; the input is in `{}`", self.name, kept.display());
            }
            done += 1;
        }
        report(&format!("{}: {done} executions", self.name));
    }

    fn input(&self, number: u64) -> Vec<u8> {
        let name = self.name.bytes().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
        let mut rng = Rng::with_seed(name.wrapping_add(number));
        // The first ones are the seeds themselves.
        let seed = usize::try_from(number).ok().and_then(|number| self.seeds.get(number));
        seed.cloned().unwrap_or_else(|| mutate::one(&self.seeds, self.words, &mut rng))
    }
}

#[expect(clippy::print_stderr, reason = "whoever asks how much was done looks here")]
fn report(line: &str) {
    eprintln!("{line}");
}

fn measured(read: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let before = memory();
    let began = Instant::now();
    let result = catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err("panicked".to_owned()));
    result?;
    let (took, grown) = (began.elapsed(), memory().saturating_sub(before));
    if took > LONGEST {
        return Err(format!("took {took:?}"));
    }
    if grown > MOST { Err(format!("took {grown} kB of memory")) } else { Ok(()) }
}

/// The most memory that this process has had since the last look. Where the system does not say, none.
fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default();
    // From here on the peak is what there is now.
    let _ = fs::write("/proc/self/clear_refs", "5");
    peak
}
