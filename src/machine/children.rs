//! Programs that were started along the way: they end when this one is told to end.
//!
//! A step that is interrupted must not leave a git or a compiler behind, which would go on beside whatever comes next. So while
//! interruptions are watched for, each program leads a group of its own, with all that it starts, and the group is told. Without
//! that a terminal tells everybody by itself. How it can be wrong: what a program starts in yet another group; and a kill that
//! nobody can answer, after which they end by themselves, as each has little to do.

use std::collections::BTreeSet;
use std::io;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

static WATCHED: AtomicBool = AtomicBool::new(false);
static UNDER_WAY: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// A program that was started.
#[derive(Debug)]
pub struct Running {
    pub child: Child,
    entry: Entry,
}

/// Its place in the list of those that are under way.
#[derive(Debug)]
struct Entry(u32);

impl Drop for Entry {
    fn drop(&mut self) {
        list().remove(&self.0);
    }
}

/// From now on programs can be told to end.
#[cfg(unix)]
pub(super) fn watch() {
    WATCHED.store(true, Ordering::Relaxed);
}

/// Tells all to end, and lets none be started any more.
#[cfg(unix)]
pub(super) fn end_all() {
    let under_way = list();
    platform::end(&under_way);
    // Whoever wants to start one, or to say that one failed, waits here for the end.
    std::mem::forget(under_way);
}

/// Starts a program. One that is given this program's input must not wait for it: apart from everybody else, it would be stopped.
pub fn start(command: &mut Command) -> io::Result<Running> {
    if WATCHED.load(Ordering::Relaxed) {
        platform::set_apart(command);
    }
    let mut under_way = list();
    #[expect(clippy::disallowed_methods, reason = "this is what everybody else goes through")]
    let child = command.spawn()?;
    under_way.insert(child.id());
    Ok(Running { entry: Entry(child.id()), child })
}

/// Runs a program to its end, and keeps what it prints on either stream. It is asked nothing and can ask nobody.
pub fn output(command: &mut Command) -> io::Result<Output> {
    start(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()))?.output()
}

/// Runs a program to its end, on this program's own streams.
pub fn status(command: &mut Command) -> io::Result<ExitStatus> {
    start(command)?.child.wait()
}

impl Running {
    /// What it prints until its end, as far as it is kept.
    pub fn output(self) -> io::Result<Output> {
        let Self { child, entry } = self;
        let output = child.wait_with_output();
        drop(entry);
        output
    }
}

fn list() -> MutexGuard<'static, BTreeSet<u32>> {
    UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(unix)]
mod platform {
    use std::collections::BTreeSet;
    use std::os::unix::process::CommandExt;
    use std::process::Command;
    use std::time::{Duration, Instant};

    use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

    /// How long they may take to tidy up.
    const PATIENCE: Duration = Duration::from_millis(500);

    pub(super) fn set_apart(command: &mut Command) {
        command.process_group(0);
    }

    pub(super) fn end(leaders: &BTreeSet<u32>) {
        let groups: Vec<Pid> = leaders.iter().filter_map(|id| Pid::from_raw(i32::try_from(*id).ok()?)).collect();
        let tell = |signal| {
            for group in &groups {
                // One that is gone already is what was wanted.
                let _ = kill_process_group(*group, signal);
            }
        };
        tell(Signal::TERM);
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until && groups.iter().any(|group| test_kill_process_group(*group).is_ok()) {
            std::thread::sleep(Duration::from_millis(2));
        }
        tell(Signal::KILL);
    }
}

#[cfg(not(unix))]
mod platform {
    use std::process::Command;

    pub(super) fn set_apart(_command: &mut Command) {}
}
