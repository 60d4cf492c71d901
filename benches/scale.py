#!/usr/bin/env python3
"""How seconds and memory grow as a target folder and a store do: units 100 to 10,000, files 1,000 to 200,000, entries 10 to 10,000.

    python3 benches/scale.py [PROGRAM]

Nothing large is compiled: one small unit is built by Cargo and then copied under other names, which is what the program sees of a large
workspace. PROGRAM is target/release/rekindle unless another one is given. Each line has the exponent between the two largest sizes:
1 is linear. GNU time has to be there.
"""

import functools
import math
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/release/rekindle").resolve()


class Machine:
    """A work tree, its target folder, and a folder as the store."""

    def __init__(self, dir):
        self.dir, self.work = dir, dir / "work"
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(("CARGO", "REKINDLE", "GITHUB"))}
        self.env |= {"CARGO_HOME": str(dir / "cargo-home"), "CARGO_INCREMENTAL": "0", "CARGO_PROFILE_DEV_DEBUG": "0"}
        (self.work / "src").mkdir(parents=True)
        (self.work / "Cargo.toml").write_text('[package]\nname = "one"\nversion = "0.1.0"\nedition = "2021"\n[workspace]\n')
        (self.work / "build.rs").write_text('fn main() { println!("cargo:rerun-if-changed=build.rs"); }\n')
        (self.work / "src/lib.rs").write_text("pub fn one() {}\n")
        (self.work / ".gitignore").write_text("/target\n")
        self.run("cargo", "build", "--quiet")
        for arguments in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "-m", "x"]):
            self.run("git", "-c", "user.name=x", "-c", "user.email=x@localhost", *arguments)

    def run(self, *words):
        return subprocess.run(words, cwd=self.work, env=self.env, check=True, capture_output=True, text=True).stdout

    def rekindle(self, phase, *more):
        """Seconds, and the most memory in MB."""
        began = time.monotonic()
        words = ["/usr/bin/time", "--format", "peak %M", PROGRAM, phase, *more]
        done = subprocess.run(words, cwd=self.work, env=self.env, check=True, capture_output=True, text=True)
        seconds = time.monotonic() - began
        assert "warning" not in done.stdout + done.stderr, done.stderr
        return seconds, int(done.stderr.rsplit("peak ", 1)[1]) // 1024

    def count(self):
        """Units, and what build scripts left."""
        debug = self.work / "target/debug"
        made = sum(len(files) for out in debug.glob("build/*/out") for _, _, files in os.walk(out))
        return made + len(list((debug / ".fingerprint").iterdir()))

    def job(self, fill, store):
        """A first run that leaves what `fill` makes, and the restore of the second one."""
        target, state = self.work / "target", self.dir / "state"
        built = self.dir / "built"
        shutil.rmtree(built, ignore_errors=True)
        shutil.copytree(target, built, symlinks=True, copy_function=shutil.copy2)
        shutil.rmtree(target)
        options = ["--state", str(state)]
        self.rekindle("restore", "--store", f"dir:{store}", *options)
        shutil.rmtree(target)
        built.rename(target)
        fill(target / "debug")
        saved = self.rekindle("save", *options)
        count = self.count()
        shutil.rmtree(target)
        # For five seconds ext4 looks for numbers that no file had just now.
        time.sleep(6)
        restored = self.rekindle("restore", "--store", f"dir:{store}", *options)
        assert self.count() == count, "something is missing"
        return saved, restored, self.rekindle("save", *options)


def more_units(debug, size):
    """Copies of the library's unit, each with an identity of its own."""
    [fingerprint] = [dir for dir in (debug / ".fingerprint").iterdir() if any(dir.glob("lib-one"))]
    old = fingerprint.name.rsplit("-", 1)[1]
    files = list(fingerprint.iterdir()) + [file for file in (debug / "deps").iterdir() if old in file.name]
    for at in range(size):
        new = f"{at + 1:016x}"
        for file in files:
            parent = debug / ".fingerprint" / f"one-{new}" if file.parent == fingerprint else file.parent
            parent.mkdir(exist_ok=True)
            copy = parent / file.name.replace(old, new)
            bytes = file.read_bytes()
            copy.write_bytes(bytes.replace(old.encode(), new.encode()))
            shutil.copystat(file, copy)


def more_files(debug, size):
    """What a build script may leave."""
    [out] = debug.glob("build/one-*/out")
    for at in range(size):
        dir = out / str(at // 1000)
        dir.mkdir(exist_ok=True)
        (dir / str(at)).write_text(f"number {at}\n")


def more_entries(store, size):
    """Entries of other jobs, of which nothing is read but the names."""
    store.mkdir()
    for at in range(size):
        (store / f"rekindle.2.other-{at % 50}-0123456789abcdef.{at:016x}.{at:016x}.{at:016x}.{at:016x}.zst").write_bytes(
            b"x" * 100
        )


def table(what, rows):
    print(f"\n| {what} | save | restore | save of nothing new | peak memory, save / restore |\n|---|---|---|---|---|")
    for size, (saved, restored, again) in rows:
        seconds = " | ".join(f"{seconds:.2f} s" for seconds, _ in (saved, restored, again))
        print(f"| {size:,} | {seconds} | {saved[1]} / {restored[1]} MB |")
    (small, before), (large, after) = rows[-2:]
    exponents = [math.log(b[0] / a[0]) / math.log(large / small) for a, b in zip(before, after)]
    print(f"| exponent of the last step | {' | '.join(f'{exponent:.2f}' for exponent in exponents)} | |")


def measure(sizes, fill=lambda debug, size: None, prepare=lambda store, size: None):
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="rekindle-scale-") as dir:
            machine = Machine(pathlib.Path(dir).resolve())
            prepare(machine.dir / "store", size)
            yield size, machine.job(functools.partial(fill, size=size), machine.dir / "store")


def main():
    table("units", list(measure((100, 1_000, 10_000), fill=more_units)))
    table("files in one unit", list(measure((1_000, 20_000, 200_000), fill=more_files)))
    table("entries in a folder", list(measure((10, 1_000, 10_000), prepare=more_entries)))


main()
