#!/usr/bin/env python3
"""What a save stores of a small change, beside the base: bytes in the store, and the seconds of restore and save.

    python3 benches/deltas.py --repository PATH [--command 'check'] [--leaf FILE] [--bump NAME@VERSION]... [--program PROGRAM]

Each change starts from the base alone. `--leaf` gets a test more, and `--bump` takes a package back to an older version. The job
after it must compile nothing, and its restore is timed, too.
"""

import argparse
import pathlib
import shutil
import subprocess
import tempfile
import time

from warm_job import ROOT, Bench

TEST = '\n#[test]\nfn one_more() {\n    assert_eq!(format!("{}", 1 + 1), "2");\n}\n'


def size(store):
    return sum(path.stat().st_size for path in store.rglob("*") if path.is_file())


class Deltas(Bench):
    def __init__(self, dir, program, command):
        super().__init__(dir, program)
        self.command = command.split()
        self.store = dir / "store"

    def timed(self, *words):
        began = time.monotonic()
        self.run(*words)
        return time.monotonic() - began

    def job(self):
        self.wipe()
        state = ("--state", str(self.dir / "temp/state"))
        restore = self.timed(self.program, "restore", "--store", f"dir:{self.store}", *state)
        built = self.run("cargo", *self.command)
        compiled = sum(line.split()[0] in ("Compiling", "Checking") for line in built.stderr.splitlines() if line.split())
        return restore, compiled, self.timed(self.program, "save", *state)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--repository", type=pathlib.Path, required=True)
    parser.add_argument("--command", default="test --no-run")
    parser.add_argument("--leaf")
    parser.add_argument("--bump", action="append", default=[])
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "target/release/rekindle")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rekindle-deltas-", dir=ROOT / "target") as dir:
        bench = Deltas(pathlib.Path(dir), args.program.resolve(), args.command)
        subprocess.run(["git", "clone", "--quiet", args.repository, bench.origin], check=True)
        bench.git("checkout", "--quiet", "-B", "bench")
        bench.job()
        base, bare = size(bench.store), bench.dir / "bare"
        shutil.copytree(bench.store, bare)
        print(f"| `cargo {args.command}`: {base / 1e6:.1f} MB | packages compiled | stored | of the base | save | restore |")
        print("|---|---|---|---|---|---|")
        for change in [*([args.leaf] if args.leaf else []), *args.bump]:
            if change == args.leaf:
                with (bench.origin / change).open("a") as file:
                    file.write(TEST)
            else:
                name, version = change.split("@")
                words = ["cargo", "update", "--quiet", "--package", name, "--precise", version]
                subprocess.run(words, cwd=bench.origin, check=True, env=bench.env)
            bench.git("commit", "--quiet", "--all", "--message", change)
            _, compiled, save = bench.job()
            more = size(bench.store) - base
            restore, again, _ = bench.job()
            assert again == 0, f"{change}: {again} packages were compiled again"
            print(f"| {change} | {compiled} | {more / 1e6:.2f} MB | {100 * more / base:.1f} % | {save:.1f} s | {restore:.1f} s |")
            bench.git("reset", "--quiet", "--hard", "HEAD~1")
            shutil.rmtree(bench.store)
            shutil.copytree(bare, bench.store)


if __name__ == "__main__":
    main()
