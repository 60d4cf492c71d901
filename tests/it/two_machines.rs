//! Two machines that share nothing but a bucket: each has disks, names and processes of its own, and can write nowhere else. What one
//! of them built the other one has, with the runner's own steps and with `act`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::act::{Act, root};
use crate::support::weed::Weed;
use crate::support::{git, scrub, write};

const STORE: &str = "s3://packs/rekindle";

/// Makes a disk of its own for the job at `$1`, takes the right to write from every other one but `$2`, and runs the rest.
const BOOT: &str = r#"
set -eu
disk=$1 own=$2
shift 2
mount --make-rprivate /
mount -t tmpfs -o mode=0777 tmpfs "$disk"
if [ -n "$own" ]; then mount --bind "$own" "$own"; fi
cut -d ' ' -f 2 /proc/self/mounts | sort -u | while read -r place; do
  case "$place" in "$disk" | "$own" | /dev | /dev/* | /proc | /proc/* | /sys | /sys/*) continue ;; esac
  mount -o remount,bind,ro "$place" 2>/dev/null || true
done
mount -t tmpfs tmpfs /dev/shm
if touch "$0" 2>/dev/null; then echo "this machine can write elsewhere"; exit 9; fi
exec "$@"
"#;

/// One folder that both know, and that is another disk on each.
struct Room {
    dir: tempfile::TempDir,
}

impl Room {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("rekindle-room-").tempdir().unwrap();
        let room = Self { dir };
        fs::create_dir_all(room.disk()).unwrap();
        write(&room.path("boot"), BOOT);
        room
    }

    fn path(&self, name: &str) -> PathBuf {
        fs::canonicalize(self.dir.path()).unwrap().join(name)
    }

    fn disk(&self) -> PathBuf {
        self.path("disk")
    }

    /// The words before a command that runs on a machine which is gone when it ends. `own` stays.
    fn machine(&self, own: Option<&Path>) -> Vec<String> {
        let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
        // Whoever becomes root gets another PATH, which has no Cargo.
        let path = format!("PATH={}", std::env::var("PATH").unwrap());
        let sudo: &[&str] = if is_root { &[] } else { &["sudo", "--non-interactive", "--preserve-env", "env", &path] };
        let boot = self.path("boot").display().to_string();
        let apart = ["unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--mount-proc", "sh", &boot];
        let own = own.map(|own| own.display().to_string()).unwrap_or_default();
        let words = sudo.iter().chain(&apart).map(|word| (*word).to_owned());
        words.chain([self.disk().display().to_string(), own]).collect()
    }
}

/// A repository with the small workspace.
fn origin(room: &Room) {
    let (tour, origin) = (root().join("tests/fixtures/tour"), room.path("origin"));
    let copied = Command::new("cp").arg("-R").args([&tour, &origin]).status().unwrap();
    assert!(copied.success());
    let _ = fs::remove_dir_all(origin.join("target"));
    git(&origin, &["init", "--quiet", "--initial-branch=main"], None);
    commit(room);
}

fn commit(room: &Room) {
    git(&room.path("origin"), &["add", "--all"], None);
    git(&room.path("origin"), &["commit", "--quiet", "-m", "a commit"], None);
}

fn rustup() -> String {
    let home = std::env::home_dir().unwrap();
    std::env::var("RUSTUP_HOME").unwrap_or_else(|_| home.join(".rustup").display().to_string())
}

/// A job by the program alone: how many units Cargo compiled, and everything that was said.
fn job(room: &Room, weed: &Weed, host: &str) -> (usize, String) {
    let script = format!(
        "set -eu\nhostname {host}\ncd '{disk}'\nmkdir home\ngit config --global --add safe.directory '*'\n\
         git clone --quiet '{origin}' work\ncd work\n\
         '{rekindle}' restore --store {STORE} --state '{disk}/state' 2>&1\n\
         cargo build --quiet --message-format=json > ../messages\n\
         echo \"compiled $(grep -c '\"fresh\":false' ../messages)\"\n\
         ./target/debug/app\n\
         '{rekindle}' save --state '{disk}/state' 2>&1\n",
        disk = room.disk().display(),
        origin = room.path("origin").display(),
        rekindle = env!("CARGO_BIN_EXE_rekindle"),
    );
    let words = room.machine(None);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).args(["sh", "-c", &script]).current_dir("/").stdin(Stdio::null());
    scrub(&mut command);
    let home = room.disk().join("home");
    command.env("HOME", &home).env("CARGO_HOME", home.join(".cargo")).env("RUSTUP_HOME", rustup());
    command.env("CARGO_INCREMENTAL", "0").env("GITHUB_REPOSITORY_ID", "77").env("GITHUB_REF", "refs/heads/main");
    command.env("GITHUB_REF_PROTECTED", "true").envs(weed.env());
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{said}");
    // Nothing of it is left where the next machine could find it.
    assert_eq!(fs::read_dir(room.disk()).unwrap().count(), 0);
    let compiled = said.lines().find_map(|line| line.strip_prefix("compiled ")).unwrap();
    (compiled.parse().unwrap(), said)
}

#[test]
fn what_one_machine_built_another_one_has() {
    let (room, weed) = (Room::new(), Weed::start());
    origin(&room);
    let (all, said) = job(&room, &weed, "first");
    assert!(all > 3 && said.contains("target: saved"), "{said}");
    let (compiled, said) = job(&room, &weed, "second");
    assert_eq!(compiled, 0, "{said}");
    assert!(said.contains("not saved, nothing was compiled and nothing was dropped"), "{said}");

    // What the second one edits and stores is there for the first one.
    let words = room.path("origin/words/src/lib.rs");
    let text = fs::read_to_string(&words).unwrap();
    write(&words, &format!("{text}\n// One line more.\n"));
    commit(&room);
    let (compiled, said) = job(&room, &weed, "second");
    assert!((1..=all).contains(&compiled), "{said}");
    assert_eq!(job(&room, &weed, "first").0, 0);
}

#[test]
fn the_same_with_the_steps_of_a_workflow() {
    let (room, weed) = (Room::new(), Weed::start());
    let event = r#"{"repository":{"id":77,"default_branch":"main"},"ref":"refs/heads/main"}"#;
    // Each has a runner, an action and a cache server of its own.
    let run = || {
        let mut act = Act::new().with_installed_program();
        act.machine = room.machine(Some(&fs::canonicalize(act.path(".")).unwrap()));
        for (name, value) in weed.env() {
            act.env.insert(name.to_owned(), value);
        }
        let disk = room.disk();
        for (name, value) in
            [("REKINDLE_STORE", STORE), ("GITHUB_REPOSITORY_ID", "77"), ("GITHUB_REF_PROTECTED", "true")]
        {
            act.env.insert(name.to_owned(), value.to_owned());
        }
        for name in ["work", "cargo-home"] {
            act.env.insert(name.replace('-', "_").to_uppercase(), disk.join(name).display().to_string());
        }
        write(&act.path("event.json"), event);
        let event = act.path("event.json").display().to_string();
        act.run("push.yml", "push", &["--matrix", "flavour:plain", "-e", &event])
    };
    let cold = run();
    assert!(cold.succeeded, "{}", cold.log);
    assert_eq!(cold.said("compiled 5, state miss, hit false").len(), 1, "{}", cold.log);
    assert_eq!(cold.said("target: saved").len(), 1, "{}", cold.log);
    assert_ne!(weed.bucket().objects().len(), 0, "{}", cold.log);
    let warm = run();
    assert_eq!(warm.said("compiled 0, state exact, hit true").len(), 1, "{}", warm.log);
    assert_eq!(warm.said("title=Rekindle").len(), 0, "{}", warm.log);
}
