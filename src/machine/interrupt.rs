//! An interruption: a job that is cancelled, or Ctrl-C.
//!
//! It is answered on a thread of its own, so that it counts at once, whatever everything else waits for. Files that would lie around
//! are removed, and what was started ends, too; nothing else is undone, as all else has to bear a kill at any point anyway. Where
//! a system knows no signals, it ends the process itself.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use platform::watch;

static UNFINISHED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// A file that is worth nothing before it is finished; an interruption removes it.
#[derive(Debug)]
pub struct Unfinished(PathBuf);

impl Unfinished {
    pub fn new(path: &Path) -> Self {
        files().insert(path.to_path_buf());
        Self(path.to_path_buf())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        files().remove(&self.0);
    }
}

fn files() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(unix)]
mod platform {
    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;
    use signal_hook::low_level::signal_name;

    use crate::machine::children;

    /// Calls `end` with the name and the number of the first signal that asks this process to end.
    pub fn watch(end: impl FnOnce(&str, i32) + Send + 'static) {
        // Where it cannot be watched for, a signal ends the process by itself.
        let Ok(mut signals) = Signals::new([SIGINT, SIGTERM]) else { return };
        children::watch();
        std::thread::spawn(move || {
            let Some(signal) = signals.forever().next() else { return };
            for path in super::files().iter() {
                let _ = fs_err::remove_file(path);
            }
            children::end_all();
            end(signal_name(signal).unwrap_or("a signal"), signal);
        });
    }
}

#[cfg(not(unix))]
mod platform {
    pub fn watch(_end: impl FnOnce(&str, i32) + Send + 'static) {}
}
