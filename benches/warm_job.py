#!/usr/bin/env python3
"""The warm job: restore, `cargo test --no-run` and save on a wiped machine, with Rekindle and with what people do instead.

    python3 benches/warm_job.py [--repository PATH --leaf FILE [--middle FILE]] [--program PROGRAM] [--rounds N]

Without a repository, a workspace of 30 members in a chain of layers is made. `--leaf` is a Rust file on which nothing depends, and
`--middle` one on which much does; each gets a function more. The ways:

    nothing         builds from scratch
    dependencies    an archive of the target without what the workspace's own packages left, one for each lock file
    whole target    an archive of all of the target after each job, as it is
    sccache         with its local store, where `sccache` is there
    rekindle        with a folder as its store

Archives are made and read by `tar` with `zstd -T0`. Cargo's home is the same for all of them and has everything. Every round starts
from what the job of the first commit has left. Medians of alternating rounds, wall time.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ["cargo", "test", "--no-run", "--message-format=json"]
MORE = '\npub fn one_more_{0}(text: &str) -> String {{\n    format!("{{text}} {0}")\n}}\n'


def made(dir):
    """Three layers of ten members; each of the upper ones uses three of the layer below, and the lowest ones use packages."""
    packages = 'serde = { version = "1", features = ["derive"] }\nserde_json = "1"\nregex = "1"\nclap = { version = "4", features = ["derive"] }\n'
    (dir / "Cargo.toml").write_text('[workspace]\nresolver = "2"\nmembers = ["m*"]\n')
    (dir / ".gitignore").write_text("/target\n")
    for number in range(30):
        layer, place = divmod(number, 10)
        below = [(layer - 1) * 10 + (place + step) % 10 for step in range(3)] if layer else []
        member = dir / f"m{number:02}"
        (member / "src").mkdir(parents=True)
        uses = "".join(f'm{at:02} = {{ path = "../m{at:02}" }}\n' for at in below)
        text = f'[package]\nname = "m{number:02}"\nversion = "0.1.0"\nedition = "2021"\n[dependencies]\n{packages}{uses}'
        (member / "Cargo.toml").write_text(text)
        calls = "".join(f" + m{at:02}::sum(x)" for at in below)
        types = "".join(
            f"#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]\npub struct T{at} {{ pub a: u64, pub b: String, pub c: Vec<u8> }}\n"
            for at in range(20)
        )
        (member / "src/lib.rs").write_text(
            f"{types}pub fn sum(x: u64) -> u64 {{ x{calls} }}\n"
            '#[test]\nfn works() { assert!(serde_json::to_string(&T0::default()).unwrap().contains("a") && sum(1) > 0); }\n'
        )
    subprocess.run(["cargo", "generate-lockfile", "--quiet"], cwd=dir, check=True)
    return "m20/src/lib.rs", "m00/src/lib.rs"


class Bench:
    def __init__(self, dir, program):
        self.dir, self.program = dir, program
        self.origin, self.work = dir / "origin", dir / "work"
        names = ("CARGO_", "REKINDLE", "GITHUB", "RUSTC")
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(names) or name == "CARGO_HOME"}
        self.env |= {"CARGO_INCREMENTAL": "0", "RUNNER_TEMP": str(dir / "temp")}
        (dir / "temp").mkdir()

    def run(self, *words, env=None, **more):
        return subprocess.run(
            words, cwd=self.work, env=self.env | (env or {}), check=True, capture_output=True, text=True, **more
        )

    def git(self, *words):
        identity = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"]
        subprocess.run(["git", "-C", self.origin, *identity, *words], check=True, capture_output=True)

    def wipe(self):
        shutil.rmtree(self.work, ignore_errors=True)
        subprocess.run(["git", "clone", "--quiet", self.origin, self.work], check=True)

    def build(self, env=None):
        lines = self.run(*BUILD, env=env).stdout.splitlines()
        artifacts = [line for line in map(json.loads, lines) if line["reason"] in ("compiler-artifact", "build-script-executed")]
        return sum(not line.get("fresh", True) for line in artifacts)

    def members(self):
        metadata = json.loads(self.run("cargo", "metadata", "--no-deps", "--format-version=1").stdout)
        return [(package["name"], [target["name"] for target in package["targets"]]) for package in metadata["packages"]]

    def prune(self):
        """What the incumbent takes away before it stores a target."""
        debug = self.work / "target/debug"
        for folder in ("incremental", "examples"):
            shutil.rmtree(debug / folder, ignore_errors=True)
        for path in [path for path in debug.iterdir() if path.is_file()]:
            path.unlink()
        for package, targets in self.members():
            for pattern in (f".fingerprint/{package}-*", f"build/{package}-*"):
                for path in debug.glob(pattern):
                    shutil.rmtree(path)
            for crate in {name.replace("-", "_") for name in targets}:
                for pattern in (f"deps/{crate}-*", f"deps/lib{crate}-*"):
                    for path in debug.glob(pattern):
                        path.unlink()

    def job(self, way, store):
        """One job on a wiped machine: seconds, and how many units were compiled."""
        self.wipe()
        archive, lock = store / "target.tar.zst", store / "lock"
        began = time.monotonic()
        if way == "rekindle":
            state = str(self.dir / "temp/state")
            self.run(self.program, "restore", "--store", f"dir:{store}", "--state", state)
            compiled = self.build()
            self.run(self.program, "save", "--state", state)
        elif way == "sccache":
            env = {"RUSTC_WRAPPER": "sccache", "SCCACHE_DIR": str(store)}
            compiled = self.build(env)
            self.run("sccache", "--stop-server", env=env)
        else:
            locked = (self.work / "Cargo.lock").read_bytes()
            hit = way != "nothing" and archive.exists()
            if hit:
                self.run("tar", "-I", "zstd -T0", "-xf", archive)
            compiled = self.build()
            if way == "whole target" or (way == "dependencies" and not (hit and lock.read_bytes() == locked)):
                if way == "dependencies":
                    self.prune()
                self.run("tar", "-I", "zstd -T0", "-cf", archive, "target")
                lock.write_bytes(locked)
        return time.monotonic() - began, compiled


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--repository", type=pathlib.Path)
    parser.add_argument("--leaf")
    parser.add_argument("--middle")
    parser.add_argument("--bump", help="a package, and the older version to go back to: name@version")
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "target/release/rekindle")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rekindle-warm-", dir=ROOT / "target") as dir:
        bench = Bench(pathlib.Path(dir), args.program.resolve())
        leaf, middle = args.leaf, args.middle
        if args.repository:
            subprocess.run(["git", "clone", "--quiet", args.repository, bench.origin], check=True)
        else:
            bench.origin.mkdir()
            bench.git("init", "--quiet")
            leaf, middle = made(bench.origin)
            bench.git("add", "--all")
            bench.git("commit", "--quiet", "--message", "made")
        bench.git("checkout", "--quiet", "-B", "bench")
        ways = ["nothing", "dependencies", "whole target", "sccache", "rekindle"]
        ways = [way for way in ways if way != "sccache" or shutil.which("sccache")]
        stores = {way: bench.dir / way.replace(" ", "-") for way in ways}
        for way, store in stores.items():
            store.mkdir()
            bench.job(way, store)
        base = subprocess.run(["git", "-C", bench.origin, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
        print(f"| change | {' | '.join(ways)} |\n|---|{'---|' * len(ways)}")
        for change in ["nothing", "leaf", *(["middle"] if middle else []), *(["bump"] if args.bump else [])]:
            bench.git("reset", "--quiet", "--hard", base.stdout.strip())
            if change in ("leaf", "middle"):
                with (bench.origin / {"leaf": leaf, "middle": middle}[change]).open("a") as file:
                    file.write(MORE.format(change))
                bench.git("commit", "--quiet", "--all", "--message", change)
            elif change == "bump":
                name, version = args.bump.split("@")
                words = ["cargo", "update", "--quiet", "--package", name, "--precise", version]
                subprocess.run(words, cwd=bench.origin, check=True, env=bench.env)
                bench.git("commit", "--quiet", "--all", "--message", change)
            took = {way: [] for way in ways}
            for _ in range(args.rounds):
                for way in ways:
                    copy = bench.dir / "copy"
                    shutil.copytree(stores[way], copy)
                    before = sum(path.stat().st_size for path in copy.rglob("*") if path.is_file())
                    seconds, compiled = bench.job(way, copy)
                    after = sum(path.stat().st_size for path in copy.rglob("*") if path.is_file())
                    took[way].append((seconds, compiled, (after - before) / 1e6))
                    shutil.rmtree(copy)
            cells = []
            scratch = statistics.median(seconds for seconds, _, _ in took["nothing"])
            for way in ways:
                seconds = statistics.median(seconds for seconds, _, _ in took[way])
                _, compiled, more = took[way][-1]
                cells.append(f"{seconds:.1f} s, {seconds / scratch:.2f}; {compiled} units; {more:+.1f} MB")
            print(f"| {change} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
