//! Random histories, each run on two machines: one that is never wiped, and one that is wiped and restored every time.
//!
//! After every call of Cargo the restored machine's program prints what the tree says (`packages` is that model, and it is
//! compared with builds from scratch), and both machines have compiled the same units. What Rekindle rebuilds beyond that
//! has to be named in its own log. No stored byte holds a secret, and neither `restore` nor `save` ever fails. `expect` says
//! what is excepted, because Cargo itself could not know.
//!
//! `REKINDLE_ORACLE=2000` runs that many histories instead of thirty-two, `REKINDLE_ORACLE=376..377` one by its number; a failure
//! prints the number and shrinks (`REKINDLE_SHRINK=0` does not). All that fail are listed, not only the first. To look past one
//! failure at the next, `REKINDLE_WITHOUT=Secret,Out` leaves parts of the workspace out.

mod compile_once;
mod expect;
mod machines;
mod moves;
mod packages;
mod site;
mod tree;

use std::fmt::Write;

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

use machines::Machines;
use site::Site;

fn histories(share: u64) {
    let wish = std::env::var("REKINDLE_ORACLE").unwrap_or_else(|_| "32".to_owned());
    let (from, to) = wish.split_once("..").unwrap_or(("0", &wish));
    let (from, to): (u64, u64) = (from.parse().unwrap(), to.parse().unwrap());
    let shrink = std::env::var("REKINDLE_SHRINK").map_or(24, |text| text.parse().unwrap());
    let without = std::env::var("REKINDLE_WITHOUT").unwrap_or_default();
    let without: Vec<&str> = without.split(',').collect();
    let site = Site::new();
    let mut failures = String::new();
    for number in (from..to).filter(|number| number % SHARES == share) {
        let mut seed = [0_u8; 32];
        seed[..8].copy_from_slice(&number.to_le_bytes());
        let config = Config { cases: 1, max_shrink_iters: shrink, failure_persistence: None, ..Config::default() };
        let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
        let result = runner.run(&moves::history(), |mut history| {
            history.shape.retain(|part| !without.contains(&format!("{part:?}").as_str()));
            let mut machines = Machines::new(&history.shape, number, &site);
            let mut steps = history.steps.iter().enumerate();
            steps.try_for_each(|(at, step)| {
                let failed = |error| TestCaseError::fail(format!("step {at}, {error}\nthe step was {step:?}"));
                machines.step(at, step).map_err(failed)
            })?;
            machines.finish()
        });
        if let Err(error) = result {
            let _ = writeln!(failures, "history {number}: {error}\n");
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

const SHARES: u64 = 4;

#[test]
fn random_histories_first_quarter() {
    histories(0);
}

#[test]
fn random_histories_second_quarter() {
    histories(1);
}

#[test]
fn random_histories_third_quarter() {
    histories(2);
}

#[test]
fn random_histories_last_quarter() {
    histories(3);
}
