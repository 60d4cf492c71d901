#!/usr/bin/env python3
"""A warm job in which nothing has to be compiled: restore and `cargo check` of this repository, where the restore unpacks the sources
of fetched packages, and where Cargo has to, because somebody holds the lock of the Cargo home.

    python3 benches/packages.py [PROGRAM]

Medians of five alternating rounds. PROGRAM is target/release/rekindle unless another one is given. `flock` has to be there.
"""

import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/release/rekindle").resolve()
ROUNDS = 5


def main():
    with tempfile.TemporaryDirectory(prefix="rekindle-packages-", dir=ROOT / "target") as dir:
        dir = pathlib.Path(dir)
        work, home = dir / "work", dir / "cargo-home"
        env = {name: value for name, value in os.environ.items() if not name.startswith(("CARGO", "REKINDLE", "GITHUB"))}
        env |= {"CARGO_HOME": str(home), "CARGO_INCREMENTAL": "0"}
        subprocess.run(["git", "clone", "--quiet", ROOT, work], check=True)

        def run(*words):
            began = time.monotonic()
            done = subprocess.run(words, cwd=work, env=env, check=True, capture_output=True, text=True)
            return time.monotonic() - began, done.stdout + done.stderr

        restore = [PROGRAM, "restore", "--store", f"dir:{dir / 'store'}", "--state", dir / "state"]
        check = ["cargo", "check", "--locked", "--message-format=json"]
        run(*restore)
        run(*check)
        run(PROGRAM, "save", "--state", dir / "state")
        seconds = {True: [], False: []}
        for _ in range(ROUNDS):
            for held in (False, True):
                shutil.rmtree(work / "target")
                shutil.rmtree(home / "registry/src")
                # For five seconds ext4 looks for numbers that no file had just now.
                time.sleep(7)
                lock = ["flock", "--no-fork", home / ".package-cache"] if held else []
                restored, said = run(*lock, *restore)
                assert ("unpacked" in said) != held, said
                checked, said = run(*check)
                assert '"fresh":false' not in said, said
                seconds[held].append((restored + checked, restored, checked))
        for held, who in ((False, "by the restore"), (True, "by Cargo")):
            whole, restored, checked = (statistics.median(times) for times in zip(*seconds[held]))
            print(f"unpacked {who}: {whole:.1f} s, of which restore {restored:.1f} s and `cargo check` {checked:.1f} s")
        ratio = statistics.median(of[0] for of in seconds[False]) / statistics.median(of[0] for of in seconds[True])
        print(f"ratio {ratio:.2f}")


main()
