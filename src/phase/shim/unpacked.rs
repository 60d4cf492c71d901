//! Lets the build of an unpacked sdist use a target folder that stays.
//!
//! Where the copy lay is part of what its own build scripts may have printed or written, and what they wrote into the last copy
//! is not in this one. So those are run again for every copy, whatever is in it; all else goes by the files' times.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::line::Line;
use crate::cargo::invalidate::invalidate;
use crate::cargo::survey::survey_all;
use crate::machine::process::Lock;
use crate::shim::folder::ShimFolder;
use crate::shim::unpacked::{Settled, StableTargets, Unpacked, settle};

/// Between two looks at a lock that somebody else holds.
const PAUSE: Duration = Duration::from_millis(20);

/// The target folder for a call in an unpacked copy; none if it is none of these, or says itself where it builds.
pub(super) fn target(folder: &ShimFolder, line: &Line, patience: Duration) -> Result<Option<PathBuf>> {
    let Some(sources) = line.places().first().and_then(|place| Unpacked::around(place)) else { return Ok(None) };
    let Some(targets) = StableTargets::load(&folder.unpacked()).filter(|_| line.says_no_target()) else {
        return Ok(None);
    };
    let target = targets.of(&sources);
    if line.may_build {
        let lock = lock(&folder.lock_of_unpacked(&sources.project), patience)?;
        if let Settled::Now(packages) = settle(&sources, &target, targets.new_time)? {
            forget_runs(&target, &packages)?;
        }
        lock.keep()?;
    }
    Ok(Some(target))
}

/// Two copies that are built at once would take each other's results for their own.
fn lock(path: &Path, patience: Duration) -> Result<Lock> {
    let lock = Lock::open(path)?;
    let began = Instant::now();
    while !lock.try_alone()? {
        if began.elapsed() >= patience {
            bail!("another build has used its target for {} s", patience.as_secs());
        }
        std::thread::sleep(PAUSE);
    }
    Ok(lock)
}

fn forget_runs(target: &Path, packages: &[String]) -> Result<()> {
    for survey in survey_all(&[target.to_path_buf()])? {
        let own = survey.units.iter().filter(|unit| packages.contains(&unit.place.package));
        for unit in own.filter(|unit| unit.fingerprints.iter().any(|print| print.name.starts_with("run-"))) {
            invalidate(target, &unit.place)?;
        }
    }
    Ok(())
}
