//! Programs that are asked something: what they say, within a time limit, and without what is none of their business.
//!
//! A runner hands this program tokens that write into the cache and speak for the job. A checkout names programs that are run
//! here (compilers, linkers, interpreters, what git and cargo start in turn), and on a pull request the checkout is a
//! stranger's: so no child gets a token. How it can be wrong: a runner that passes one under a name that is not known here.

use std::ffi::OsStr;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::machine::children;

/// How much a program may say.
const LONGEST: u64 = 1 << 20;

/// A program that is run for an answer: it reads nothing, and gets none of the job's tokens.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    #[expect(clippy::disallowed_methods, reason = "this is what everybody else goes through")]
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    for name in withheld() {
        command.env_remove(name);
    }
    command
}

/// Variables of this process that no child gets.
pub fn withheld() -> impl Iterator<Item = String> {
    std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).filter(|name| is_withheld(name))
}

fn is_withheld(name: &str) -> bool {
    // Windows does not tell cases apart.
    let name = name.to_uppercase();
    let of_runner = name.starts_with("ACTIONS_") && (name.contains("TOKEN") || name.ends_with("_URL"));
    let of_input = name.starts_with("INPUT_") && name.contains("TOKEN");
    let named = ["GITHUB_TOKEN", "GH_TOKEN", "GITHUB_ENTERPRISE_TOKEN", "GH_ENTERPRISE_TOKEN", "REKINDLE_GITHUB_TOKEN"];
    // What proves to a bucket who the job is, or signs for it.
    let of_bucket = [
        "REKINDLE_SIGNING_SECRET",
        "GOOGLE_OAUTH_ACCESS_TOKEN",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AZURE_FEDERATED_TOKEN_FILE",
    ];
    of_runner || of_input || named.contains(&name.as_str()) || of_bucket.contains(&name.as_str())
}

/// What a program prints, as far as it does so in time; none if it cannot be run.
pub fn said(mut command: Command, limit: Duration) -> Option<String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).env("LC_ALL", "C");
    let mut running = children::start(&mut command).ok()?;
    let mut out = running.child.stdout.take()?;
    let (sender, receiver) = mpsc::channel();
    // Not waited for: a grandchild can hold the pipe open for ever.
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = out.by_ref().take(LONGEST).read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    let answer = receiver.recv_timeout(limit).ok();
    end(&mut running.child, answer.is_some());
    Some(String::from_utf8_lossy(&answer?).into_owned())
}

fn end(child: &mut Child, answered: bool) {
    let until = Instant::now() + Duration::from_secs(1);
    while answered && Instant::now() < until {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    // One that is gone already is what was wanted.
    let _ = child.kill();
    let _ = child.wait();
}

/// The first line that a program says, on whichever stream; nothing if it cannot be run.
pub fn first_line(program: &str, arguments: &[&str]) -> String {
    let output = children::output(command(program).args(arguments));
    // musl's `ldd --version` speaks on the other stream.
    let text = output
        .map(|output| if output.stdout.is_empty() { output.stderr } else { output.stdout })
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default();
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned()
}

/// All that a program says that may not be there, and that fails when only some of its arguments are known to it.
pub fn answers(program: &str, arguments: impl Iterator<Item = String>) -> String {
    let output = children::output(command(program).args(arguments).env("LC_ALL", "C"));
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_program_that_hangs_is_given_up() {
        let began = Instant::now();
        let mut hangs = command("sh");
        hangs.args(["-c", "echo 1; sleep 100 & sleep 100"]);
        assert_eq!(said(hangs, Duration::from_millis(200)), None);
        assert!(began.elapsed() < Duration::from_secs(20));
        let mut answers = command("sh");
        answers.args(["-c", "echo one"]);
        assert_eq!(said(answers, Duration::from_secs(10)).as_deref(), Some("one\n"));
    }

    #[test]
    fn tokens_of_the_job_are_withheld_and_nothing_else_is() {
        for name in
            ["ACTIONS_RUNTIME_TOKEN", "ACTIONS_RESULTS_URL", "ACTIONS_CACHE_URL", "ACTIONS_ID_TOKEN_REQUEST_URL"]
        {
            assert!(is_withheld(name), "{name}");
        }
        for name in ["ACTIONS_ID_TOKEN_REQUEST_TOKEN", "INPUT_GITHUB-TOKEN", "GITHUB_TOKEN", "REKINDLE_SIGNING_SECRET"]
        {
            assert!(is_withheld(name), "{name}");
        }
        for name in ["PATH", "CARGO_REGISTRIES_MINE_TOKEN", "RUSTFLAGS", "GITHUB_SHA", "ACTIONS_STEP_DEBUG"] {
            assert!(!is_withheld(name), "{name}");
        }
    }
}
