//! The operating system as far as compiled code depends on it: release and C library, not the image's weekly number.

use std::collections::BTreeMap;

use fs_err as fs;

use crate::digest::FieldHasher;
use crate::machine::ask;

#[derive(Debug)]
pub struct Host {
    pub os: String,
    pub arch: String,
    pub release: String,
    pub libc: String,
}

pub fn describe() -> Host {
    Host {
        os: std::env::consts::OS.to_owned(),
        arch: std::env::consts::ARCH.to_owned(),
        release: release(),
        libc: libc(),
    }
}

/// Where a system writes down what is installed.
const INSTALLED: [&str; 4] = [
    "/var/lib/dpkg/status",
    "/lib/apk/db/installed",
    "/var/lib/rpm/rpmdb.sqlite",
    "/usr/lib/sysimage/rpm/rpmdb.sqlite",
];

/// What is installed, as far as the system and the runner's image say so: two containers of one release are two machines.
pub fn system() -> String {
    let mut hasher = FieldHasher::default();
    for name in ["ImageOS", "ImageVersion"] {
        hasher.field(std::env::var(name).unwrap_or_default());
    }
    for path in INSTALLED {
        hasher.field(fs::read(path).unwrap_or_default());
    }
    hasher.finish().short()
}

/// How many things can be done at once.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn release() -> String {
    match std::env::consts::OS {
        "linux" => fs::read_to_string("/etc/os-release").map(|text| os_release(&text)).unwrap_or_default(),
        "macos" => ask::first_line("sw_vers", &["-productVersion"]),
        "windows" => ask::first_line("cmd", &["/c", "ver"]),
        _ => ask::first_line("uname", &["-r"]),
    }
}

fn os_release(text: &str) -> String {
    let fields: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name, value.trim_matches('"')))
        .collect();
    ["ID", "VERSION_ID"].iter().filter_map(|name| fields.get(name).copied()).collect::<Vec<_>>().join(" ")
}

fn libc() -> String {
    if std::env::consts::OS != "linux" {
        return String::new();
    }
    let glibc = ask::first_line("getconf", &["GNU_LIBC_VERSION"]);
    if glibc.is_empty() { ask::first_line("ldd", &["--version"]) } else { glibc }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_its_name_and_version() {
        assert_eq!(os_release("NAME=\"X\"\nID=ubuntu\nVERSION_ID=\"24.04\"\n"), "ubuntu 24.04");
    }
}
