#!/usr/bin/env python3
"""Save and restore with a folder as the store, beside `cp -a` and `tar` with `zstd`, on a disk and in memory.

    python3 benches/local.py [--program PROGRAM] [--rounds N] [--memory FOLDER]

The corpus is the target of the workspace that `warm_job.py` makes, built with its tests. Medians of alternating rounds, wall time;
each line says the ratio to `tar`, which runs `zstd -T0` on the way in and one `unzstd` on the way out.
"""

import argparse
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time

from warm_job import ROOT, Bench, made

# For five seconds ext4 looks for numbers that no file had just now.
PAUSE = 7


def timed(*words, **more):
    began = time.monotonic()
    subprocess.run(words, check=True, capture_output=True, **more)
    return time.monotonic() - began


def measure(dir, program, rounds):
    bench = Bench(dir, program)
    bench.origin.mkdir()
    bench.git("init", "--quiet")
    made(bench.origin)
    bench.git("add", "--all")
    bench.git("commit", "--quiet", "--message", "made")
    bench.wipe()
    state, target, keep = str(dir / "temp/state"), bench.work / "target", dir / "keep"
    took = {}

    def note(what, way, seconds):
        took.setdefault(what, {}).setdefault(way, []).append(seconds)

    def rekindle(*words):
        return timed(program, *words, cwd=bench.work, env=bench.env)

    for number in range(rounds):
        store, archive = dir / f"store{number}", dir / "target.tar.zst"
        rekindle("restore", "--store", f"dir:{store}", "--state", state)
        bench.build()
        note("save", "rekindle", rekindle("save", "--state", state))
        note("save", "tar", timed("tar", "-I", "zstd -T0", "-cf", archive, "target", cwd=bench.work))
        note("save", "cp -a", timed("cp", "-a", target, keep))
        stored = sum(path.stat().st_size for path in store.iterdir() if ".cargo-home-" not in path.name)
        sizes = (sum(path.stat().st_size for path in keep.rglob("*") if path.is_file()), stored, archive.stat().st_size)
        shutil.rmtree(target)
        time.sleep(PAUSE)
        note("restore", "rekindle", rekindle("restore", "--store", f"dir:{store}", "--state", state))
        shutil.rmtree(target)
        time.sleep(PAUSE)
        note("restore", "tar", timed("tar", "-I", "unzstd", "-xf", archive, cwd=bench.work))
        shutil.rmtree(target)
        time.sleep(PAUSE)
        note("restore", "cp -a", timed("cp", "-a", keep, target))
        for gone in (target, keep, store):
            shutil.rmtree(gone)
        archive.unlink()
        bench.wipe()
    print(f"{sizes[0] / 1e6:.0f} MB, packed by rekindle {sizes[1] / 1e6:.0f} MB, by tar {sizes[2] / 1e6:.0f} MB")
    for what, ways in took.items():
        tar = statistics.median(ways["tar"])
        medians = ((way, statistics.median(seconds)) for way, seconds in ways.items())
        print(f"{what}: " + ", ".join(f"{way} {seconds:.2f} s ({seconds / tar:.2f})" for way, seconds in medians), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "target/release/rekindle")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", type=pathlib.Path, default=pathlib.Path("/dev/shm"))
    args = parser.parse_args()
    for name, where in (("disk", ROOT / "target"), ("memory", args.memory)):
        with tempfile.TemporaryDirectory(prefix="rekindle-local-", dir=where) as dir:
            print(f"{name}:")
            measure(pathlib.Path(dir), args.program.resolve(), args.rounds)


main()
