//! What the clock of a machine was, judged by the files that Cargo alone writes: its fingerprints, and what a script printed.
//!
//! Any other file's time can be anything: archives that a build script unpacks hold times of their own. How it can be wrong: a
//! time that lies further ahead than any plausible clock is not believed either, and what carries it must not be trusted to be
//! older than a change.

use std::time::Duration;

use crate::moment::Moment;
use crate::state::manifest::{Content, Manifest};

/// No machine's clock is further ahead than this.
const PLAUSIBLE: Duration = Duration::from_secs(366 * 24 * 3600);

/// Whether Cargo wrote this file, which lies below a target folder, and gave it its time.
pub fn is_cargos(path: &str) -> bool {
    let mut parts = path.rsplit('/');
    let (name, dir) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let (above, top) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    // `.fingerprint/a-1/lib-a`, `build/a/1/fingerprint/lib-a`; `build/a-1/output`, `build/a/1/run/stdout`.
    above == ".fingerprint"
        || dir == "fingerprint" && parts.next() == Some("build") && !top.is_empty()
        || matches!(name, "output" | "invoked.timestamp") && above == "build"
        || dir == "run" && matches!(name, "stdout" | "invoked.timestamp")
}

/// The newest time that a clock gave, as far as it can be one.
pub fn newest(manifest: &Manifest, now: Moment) -> Moment {
    let files = manifest.files.iter().filter(|file| matches!(file.content, Content::File { .. }));
    let files = files.filter(|file| is_cargos(&file.path)).map(|file| file.mtime);
    let references = manifest.units.iter().map(|unit| unit.reference);
    files.chain(references).filter(|time| !is_implausible(*time, now)).max().unwrap_or_default()
}

/// Whether no clock can have given this time.
pub fn is_implausible(time: Moment, now: Moment) -> bool {
    time > now.plus(PLAUSIBLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_that_cargo_writes_tell_the_time() {
        for path in [
            "debug/.fingerprint/a-0123456789abcdef/dep-lib-a",
            "x86_64-unknown-linux-musl/release/.fingerprint/a-0123456789abcdef/invoked.timestamp",
            "debug/build/a/0123456789abcdef/fingerprint/lib-a",
            "debug/build/a-0123456789abcdef/output",
            "debug/build/a-0123456789abcdef/invoked.timestamp",
            "debug/build/a/0123456789abcdef/run/stdout",
        ] {
            assert!(is_cargos(path), "{path}");
        }
        for path in [
            "debug/build/a-0123456789abcdef/out/output",
            "debug/build/a/0123456789abcdef/out/fingerprint",
            "debug/deps/liba-0123456789abcdef.rlib",
            "debug/app",
            "CACHEDIR.TAG",
        ] {
            assert!(!is_cargos(path), "{path}");
        }
    }
}
