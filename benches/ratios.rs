//! Speed as ratios between things that are measured in one run, alternating, on the same machine.
//!
//! `cargo bench` runs it. It needs the network once, for the packages of the project it builds. Each figure is a median.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, reason = "a bench is for people")]

mod clock;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use clock::{median, timed};

const ROUNDS: usize = 5;

fn main() {
    let temp = tempfile::tempdir().unwrap();
    let dir = fs::canonicalize(temp.path()).unwrap();
    // `cargo bench --bench ratios -- shim` runs that part only.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    for name in ["shim", "stamping", "ripgrep"] {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            let part = match name {
                "shim" => shim,
                "stamping" => stamping,
                _ => ripgrep,
            };
            part(&dir.join(name));
        }
    }
}

/// What the shim adds to a call: of a program that does nothing at once, so that nothing else is measured.
fn shim(dir: &Path) {
    const CALLS: usize = 200;
    let project = dir.join("project");
    write(&project.join("Cargo.toml"), "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
    write(&project.join("src/lib.rs"), "");
    // A hundred files outside that could come late.
    let headers: Vec<PathBuf> = (0..100).map(|number| dir.join(format!("include/{number}.h"))).collect();
    for path in &headers {
        write(path, "#define X\n");
    }
    let watch: Vec<String> = headers.iter().map(|path| format!("cargo:rerun-if-changed={}", path.display())).collect();
    write(&project.join("build.rs"), &format!("fn main() {{ println!({:?}); }}\n", watch.join("\n")));
    let restore = |phase: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rekindle"));
        command.args([phase, "--state", dir.join("state.json").to_str().unwrap()]).current_dir(&project);
        command.env("RUNNER_TEMP", dir.join("runner")).env("REKINDLE_ISOLATION", "alias");
        command.env("REKINDLE_STORE", format!("dir:{}", dir.join("store").display()));
        assert!(command.output().unwrap().status.success());
    };
    restore("restore");
    run(&project, "cargo", &["build", "--quiet"]);
    restore("save");
    fs::remove_dir_all(project.join("target")).unwrap();
    restore("restore");

    let real = dir.join("real");
    fs::create_dir_all(&real).unwrap();
    fs::copy("/bin/true", real.join("cargo")).unwrap();
    let environment = dir.join("build-env-x");
    run(dir, "python3", &["-m", "venv", environment.to_str().unwrap()]);
    let bin = dir.join("runner/rekindle/shim/bin");
    let path = format!("{}:{}", bin.display(), real.display());
    let call = |program: &Path, python: Option<&Path>| {
        let mut command = Command::new(program);
        command
            .arg("build")
            .current_dir(&project)
            .env("PATH", &path)
            .env_remove("VIRTUAL_ENV")
            .env_remove("PYTHONPATH");
        command.envs(python.map(|python| ("PYO3_PYTHON", python)));
        timed(|| assert!(command.output().unwrap().status.success()))
    };
    let (shim, real, python) = (bin.join("cargo"), real.join("cargo"), environment.join("bin/python"));
    let (mut with, mut without, mut aliased) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..CALLS {
        without.push(call(&real, None));
        with.push(call(&shim, None));
        if round % 10 == 0 {
            aliased.push(call(&shim, Some(&python)));
        }
    }
    let (with, without, aliased) = (median(&mut with), median(&mut without), median(&mut aliased));
    let milliseconds = |time: Duration| time.saturating_sub(without).as_secs_f64() * 1000.0;
    println!(
        "the shim adds {:.1} ms to a call ({:.1} times a call of a program that does nothing), {:.0} ms where it makes an \
         alias for an environment with pip in it",
        milliseconds(with),
        ratio(with, without),
        milliseconds(aliased)
    );
}

/// Ten thousand tracked files: what they add to a restore, and how much of that is git's own refresh of its index.
fn stamping(dir: &Path) {
    let (small, large) = (dir.join("small"), dir.join("large"));
    for (place, files) in [(&small, 10), (&large, 10_000)] {
        write(&place.join("Cargo.toml"), "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
        write(&place.join("src/lib.rs"), "");
        write(&place.join(".gitignore"), "/target\n");
        for number in 0..files {
            write(&place.join(format!("data/{}/{number}.txt", number % 100)), &format!("{number}\n").repeat(200));
        }
        run(place, "git", &["init", "--quiet"]);
        commit(place);
        run(place, "cargo", &["build", "--quiet"]);
        rekindle(place, dir, "restore");
        rekindle(place, dir, "save");
    }
    let (mut with, mut without, mut refresh) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for (place, times) in [(&small, &mut without), (&large, &mut with)] {
            // A wiped machine: every time is the checkout's.
            fs::remove_dir_all(place.join("target")).unwrap();
            run(place, "git", &["rm", "-r", "--quiet", "--cached", "data"]);
            fs::remove_dir_all(place.join("data")).unwrap();
            run(place, "git", &["reset", "--quiet", "--hard"]);
            times.push(timed(|| rekindle(place, dir, "restore")));
        }
        run(&large, "sh", &["-c", "touch data/*/*"]);
        refresh.push(timed(|| run(&large, "git", &["update-index", "-q", "--refresh"])));
    }
    let cost = median(&mut with).saturating_sub(median(&mut without));
    let refresh = median(&mut refresh);
    println!(
        "stamping 10,000 tracked files: {} ms, of which git takes {} ms to refresh its index ({:.2} of the whole)",
        cost.as_millis(),
        refresh.as_millis(),
        ratio(refresh, cost)
    );
}

/// A target folder of a real workspace: restore against `cp -a`, and what a small change stores.
fn ripgrep(dir: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    run(root, "bash", &["tests/e2e/real_projects.sh", "assemble"]);
    let project = dir.join("project");
    fs::create_dir_all(dir).unwrap();
    run(
        dir,
        "git",
        &["clone", "--quiet", root.join("target/real-projects/ripgrep").to_str().unwrap(), project.to_str().unwrap()],
    );
    rekindle(&project, dir, "restore");
    let build = ["test", "--quiet", "--workspace", "--lib", "--bins", "--no-run"];
    run(&project, "cargo", &build);
    rekindle(&project, dir, "save");

    let copy = dir.join("copy");
    let (mut restores, mut copies) = (Vec::new(), Vec::new());
    let kept = dir.join("kept");
    fs::rename(project.join("target"), &kept).unwrap();
    for _ in 0..ROUNDS {
        restores.push(timed(|| rekindle(&project, dir, "restore")));
        fs::remove_dir_all(project.join("target")).unwrap();
        copies.push(timed(|| run(dir, "cp", &["-a", kept.to_str().unwrap(), copy.to_str().unwrap()])));
        fs::remove_dir_all(&copy).unwrap();
    }
    let (ours, plain) = (median(&mut restores), median(&mut copies));
    println!("restore of an unchanged target: {} ms, {:.2} of `cp -a`", ours.as_millis(), ratio(ours, plain));

    rekindle(&project, dir, "restore");
    run(&project, "cargo", &["update", "--quiet", "anyhow", "--precise", "1.0.99"]);
    run(&project, "cargo", &build);
    rekindle(&project, dir, "save");
    let packs = packs(&dir.join("store"));
    let [base, delta] = [&packs[0], &packs[packs.len() - 1]].map(|pack| bytes_without_executables(pack));
    println!(
        "after the lock bump of one dependency: {delta} bytes stored, {:.3} of the base, linked executables apart",
        ratio_of(delta, base)
    );
}

/// Bytes of the files in a pack that are no executables.
fn bytes_without_executables(pack: &Path) -> u64 {
    let listing =
        Command::new("sh").arg("-c").arg(format!("zstd -dc '{}' | tar tvf -", pack.display())).output().unwrap();
    let text = String::from_utf8(listing.stdout).unwrap();
    let files = text.lines().filter(|line| line.starts_with("-rw-"));
    files.filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok()).sum()
}

fn packs(store: &Path) -> Vec<PathBuf> {
    let mut packs: Vec<PathBuf> = fs::read_dir(store).unwrap().map(|entry| entry.unwrap().path()).collect();
    packs.retain(|path| !path.to_string_lossy().contains(".cargo-home-"));
    packs.sort_by_key(|path| fs::metadata(path).unwrap().modified().unwrap());
    packs
}

fn rekindle(project: &Path, dir: &Path, phase: &str) {
    let store = format!("dir:{}", dir.join("store").display());
    let state = dir.join(format!("{}.json", project.file_name().unwrap().to_string_lossy()));
    let mut arguments = vec![phase, "--state", state.to_str().unwrap()];
    if phase == "restore" {
        arguments.extend(["--store", &store]);
    }
    run(project, env!("CARGO_BIN_EXE_rekindle"), &arguments);
}

fn run(dir: &Path, program: &str, arguments: &[&str]) {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(dir).env("CARGO_INCREMENTAL", "0").env_remove("CARGO_TARGET_DIR");
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn commit(dir: &Path) {
    run(dir, "git", &["add", "--all"]);
    run(dir, "git", &["-c", "user.name=x", "-c", "user.email=x@localhost", "commit", "--quiet", "-m", "x"]);
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64()
}

#[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
fn ratio_of(a: u64, b: u64) -> f64 {
    a as f64 / b as f64
}
