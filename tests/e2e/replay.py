#!/usr/bin/env python3
"""Replay the history of a real repository on two machines, and compare what they compile and what they make.

One machine is never wiped: it checks out commit after commit. The other one is wiped before each step: it clones, restores
with Rekindle, builds and saves. Both stand at one path, one after the other, with a Cargo home of their own. Every few steps,
and wherever the restored machine compiled less, a third one builds from scratch, and the products are compared.

What Rekindle says of each rebuild is held against Cargo's log (`causes.py`), and its forecast against what came.

Exit code 1: something is stale, or was compiled without need and Rekindle's log names no rule for it, or a cause is not Cargo's,
or nothing was built.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

import causes

# Variables of whoever calls this that a build would see.
FOREIGN = re.compile(r"CARGO|REKINDLE|ACTIONS|GITHUB|RUNNER|RUSTFLAGS|RUST_|RUSTUP_TOOLCHAIN|VIRTUAL_ENV|CI$")
SCRIPT_RUN = re.compile(r"/build/([^/ ]+?)(?:-[0-9a-f]{16})?/(?:[0-9a-f]{16}/out/)?build[-_]script[-_][^/ ]*`$")
NAMED = re.compile(r"^(?:will be rebuilt: |left out.*: )`?([\w-]+)")


@dataclass
class Verdict:
    """What Cargo did in the commands of one job."""

    ok: bool = True
    compiled: set[str] = field(default_factory=set)
    fresh: set[str] = field(default_factory=set)
    products: dict[str, str] = field(default_factory=dict)
    said: str = ""
    # Of each call, with Cargo's own reasons where they were asked for.
    log: str = ""


@dataclass
class Row:
    """One step, as it is printed."""

    step: int
    commit: str
    files: int
    kept: int
    wiped: int
    excess: list[str]
    missing: list[str]
    rules: list[str]
    # Causes that are not Cargo's, units without one, and what came of the forecast.
    false: list[str]
    unexplained: list[str]
    forecast: str
    products: str
    verdict: str
    seconds: float


class Machine:
    """A folder that holds a whole machine, and that stands at the common place while it is used."""

    def __init__(self, place: Path, name: str, env: dict[str, str]) -> None:
        self.place, self.aside, self.env = place, place.with_name(name), env

    def __enter__(self) -> Self:
        if self.aside.exists():
            self.aside.rename(self.place)
        for folder in ("cargo-home", "cache", "temp"):
            (self.place / folder).mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.place.rename(self.aside)

    def wipe(self) -> None:
        remove(self.aside)

    @property
    def work(self) -> Path:
        return self.place / "work"

    def run(
        self, words: list[str], below: str = ".", check: bool = True, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            words,
            cwd=self.work / below,
            env=self.env | (env or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if check and done.returncode != 0:
            sys.exit(f"{shlex.join(words)} failed with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    def clone(self, repository: Path, commit: str) -> None:
        git("clone", "--quiet", "--no-checkout", str(repository), str(self.work))
        self.check_out(commit)

    def check_out(self, commit: str) -> None:
        self.run(["git", "checkout", "--quiet", "--force", "--detach", commit])
        if (self.work / ".gitmodules").exists():
            self.run(["git", "submodule", "--quiet", "update", "--init", "--recursive", "--force"])

    def build(self, commands: list[str], below: str, env: dict[str, str] | None = None) -> Verdict:
        verdict = Verdict()
        for command in commands:
            words = shlex.split(command)
            cut = words.index("--") if "--" in words else len(words)
            words[cut:cut] = ["--message-format=json", "-v", "--color=never"]
            done = self.run(["cargo", *words], below, check=False, env=env)
            listen(done, verdict)
            verdict.log += done.stderr
            if done.returncode != 0:
                verdict.ok = False
                verdict.said += done.stderr[-2000:]
                break
        verdict.fresh -= verdict.compiled
        return verdict


def listen(done: subprocess.CompletedProcess[str], verdict: Verdict) -> None:
    for line in done.stdout.splitlines():
        if not line.startswith("{"):
            continue
        message = json.loads(line)
        if message.get("reason") != "compiler-artifact":
            continue
        (verdict.fresh if message["fresh"] else verdict.compiled).add(unit(message))
        for path in products_of(message):
            verdict.products[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    for line in done.stderr.splitlines():
        line = line.strip().replace("\\", "/")
        found = SCRIPT_RUN.search(line) if line.startswith("Running `") and "rustc --crate-name" not in line else None
        if found:
            verdict.compiled.add(f"{found[1]} build-script run")


def package_of(package_id: str) -> tuple[str, str]:
    """Name and version in `…#name@1.2.3` or `…/name#1.2.3`."""
    url, _, fragment = package_id.partition("#")
    if "@" in fragment:
        name, _, version = fragment.partition("@")
        return name, version
    return url.partition("?")[0].rsplit("/", 1)[-1], fragment


def unit(message: dict) -> str:
    name, version = package_of(message["package_id"])
    target = message["target"]
    test = " test" if message["profile"].get("test") else ""
    return f"{name} {version} {target['kind'][0]} {target['name']}{test}"


def products_of(message: dict) -> list[Path]:
    """What somebody would take away from a build: programs, and libraries for other languages."""
    kinds = message["target"]["kind"]
    if "custom-build" in kinds:
        return []
    paths = [message["executable"]] if message.get("executable") else []
    if "cdylib" in kinds or "staticlib" in kinds:
        paths += [path for path in message["filenames"] if path.endswith((".so", ".dylib", ".dll", ".a"))]
    return [path for path in map(Path, paths) if path.is_file()]


def git(*words: str) -> str:
    done = subprocess.run(["git", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"git {shlex.join(words)}: {done.stderr}")
    return done.stdout


def remove(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)


def commits_of(repository: Path, arguments: argparse.Namespace) -> list[str]:
    if arguments.from_rev:
        wanted = [f"{arguments.from_rev}^..{arguments.to_rev}"]
    else:
        wanted = [f"--max-count={arguments.steps + 1}", arguments.to_rev]
    listed = git("-C", str(repository), "rev-list", "--first-parent", *wanted).split()
    return list(reversed(listed))[: arguments.steps + 1]


def dependents(machine: Machine, below: str, packages: set[str]) -> set[str]:
    """The packages, and all that depend on them."""
    done = machine.run(["cargo", "metadata", "--format-version=1", "--offline"], below, check=False)
    if done.returncode != 0:
        return packages
    nodes = (json.loads(done.stdout)["resolve"] or {"nodes": []})["nodes"]
    needs = {package_of(node["id"])[0]: {package_of(it)[0] for it in node["dependencies"]} for node in nodes}
    found = set(packages)
    while more := {name for name, needed in needs.items() if needed & found} - found:
        found |= more
    return found


def named(log: str) -> tuple[set[str], list[str]]:
    """Packages that a rule rebuilds according to a log, and what it says of them."""
    lines = [line.strip() for line in log.splitlines()]
    said = [line for line in lines if NAMED.match(line)]
    return {NAMED.match(line)[1] for line in said}, said


@dataclass
class Wiped:
    """A job on the machine that is wiped: what Cargo did, and what Rekindle said."""

    verdict: Verdict
    # Packages that a rule may rebuild, with all that depend on them.
    allowed: set[str]
    said: list[str]
    causes: causes.Verdict
    forecast: str
    # How long the calls of Cargo took.
    took: float


class Replay:
    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.repository = Path(arguments.repository).resolve()
        self.root = Path(arguments.work).resolve()
        remove(self.root)
        self.root.mkdir(parents=True)
        place = self.root / "machine"
        env = {name: value for name, value in os.environ.items() if not FOREIGN.match(name)}
        env |= {
            "CARGO_HOME": str(place / "cargo-home"),
            "XDG_CACHE_HOME": str(place / "cache"),
            "RUNNER_TEMP": str(place / "temp"),
            "CARGO_INCREMENTAL": "0",
            "CARGO_TERM_COLOR": "never",
        }
        env |= dict(pair.split("=", 1) for pair in arguments.env)
        self.kept, self.wiped, self.cold = (Machine(place, name, env) for name in ("kept", "wiped", "cold"))
        # What the last save left out has to be compiled again.
        self.left_out: set[str] = set()
        self.lock = ""
        self.causes = causes.Verdict()
        # By the clock, what was measured and what Rekindle told.
        self.first: dict[str, float] = {}
        self.warm = {"measured": 0.0, "told": 0.0}
        self.unbuilt = 0

    def rekindle(self, phase: str, *more: str) -> str:
        words = [self.arguments.rekindle, phase, "--state", str(self.wiped.place / "state.json"), *more]
        done = self.wiped.run(words, self.arguments.below)
        return done.stdout + done.stderr

    def on_kept(self, commit: str) -> Verdict:
        with self.kept as machine:
            if machine.work.exists():
                machine.check_out(commit)
            else:
                machine.clone(self.repository, commit)
            return machine.build(self.arguments.command, self.arguments.below)

    def on_wiped(self, commit: str) -> Wiped:
        self.wiped.wipe()
        with self.wiped as machine:
            machine.clone(self.repository, commit)
            log = self.rekindle("restore", "--store", f"dir:{self.root / 'store'}")
            began = time.monotonic()
            verdict = machine.build(self.arguments.command, self.arguments.below, causes.LOG)
            took = time.monotonic() - began
            packages, said = named(log)
            allowed = dependents(machine, self.arguments.below, packages | self.left_out)
            told = self.explained(verdict.log)
            saved = self.rekindle("save")
            self.left_out, _ = named(saved)
            lines = [line for line in saved.splitlines() if line.startswith("forecast: ")]
            with (self.root / "rekindle.log").open("a") as file:
                file.write(f"== {commit}\n{log}-- save\n{saved}")
            return Wiped(verdict, allowed, said, told, "".join(lines).removeprefix("forecast: "), took)

    def explained(self, log: str) -> causes.Verdict:
        """What Rekindle says of the build, beside what Cargo said."""
        lock = self.wiped.work / self.arguments.below / "Cargo.lock"
        then, self.lock = self.lock, lock.read_text() if lock.exists() else ""
        state = str(self.wiped.place / "state.json")
        words = [self.arguments.rekindle, "explain", "--json", "--since", state]
        report = self.wiped.run(words, self.arguments.below)
        return causes.check(json.loads(report.stdout), log, then, self.lock)

    def on_cold(self, commit: str) -> Verdict:
        self.cold.wipe()
        with self.cold as machine:
            machine.clone(self.repository, commit)
            return machine.build(self.arguments.command, self.arguments.below)

    def step(self, number: int, commit: str, before: str | None) -> Row:
        start = time.monotonic()
        changed = git("-C", str(self.repository), "diff", "--name-only", before, commit).split("\n") if before else [""]
        kept = self.on_kept(commit)
        job = self.on_wiped(commit)
        wiped, allowed, said = job.verdict, job.allowed, job.said
        if not before:
            self.first = {"measured": round(job.took, 1), "told": round(job.causes.waited, 1)}
        elif wiped.compiled:
            # What is fresh takes its time, too: Cargo looks at it.
            self.warm["measured"] += job.took
            self.warm["told"] += job.causes.waited
        if before:
            self.causes.units += job.causes.units
            self.causes.kinds.update(job.causes.kinds)
        excess = sorted(wiped.compiled - kept.compiled) if before else []
        missing = sorted(kept.compiled - wiped.compiled)
        unnamed = [it for it in excess if it.split(" ")[0] not in allowed]
        is_due = self.arguments.cold_every and number % self.arguments.cold_every == 0
        problems = []
        if kept.ok != wiped.ok:
            problems.append("one of them fails")
        products = "="
        if not (kept.ok and wiped.ok):
            products = "no build"
            self.unbuilt += 1
        elif number and (is_due or missing or kept.products != wiped.products):
            cold = self.on_cold(commit)
            products, is_stale = compare(kept.products, wiped.products, cold.products)
            problems += ["STALE"] if is_stale else []
        if unnamed:
            problems.append(f"{len(unnamed)} too much")
        if job.causes.false:
            problems.append(f"{len(job.causes.false)} false causes")
        row = Row(
            number,
            commit[:9],
            len(changed) - 1,
            len(kept.compiled),
            len(wiped.compiled),
            excess,
            missing,
            said,
            job.causes.false,
            job.causes.unexplained,
            job.forecast,
            products,
            ", ".join(problems) or "ok",
            round(time.monotonic() - start, 1),
        )
        self.show(row, kept, wiped)
        return row

    def show(self, row: Row, kept: Verdict, wiped: Verdict) -> None:
        if self.arguments.json:
            print(json.dumps(asdict(row)), flush=True)
            return
        cells = [row.step, row.commit, row.files, row.kept, row.wiped, len(row.excess), len(row.missing), row.products]
        print(" | ".join([f"{cell!s:>9}" for cell in cells] + [row.verdict]), flush=True)
        details = [("excess", row.excess), ("missing", row.missing), ("rule", row.rules if row.excess else [])]
        details += [("false", row.false), ("unexplained", row.unexplained)]
        details += [("forecast", [row.forecast] if "foreseen" in row.forecast else [])]
        for name, items in details:
            for item in items[:8]:
                print(f"            {name}: {item}", flush=True)
        # What is wrong with a commit itself is said once.
        if kept.ok != wiped.ok or (not kept.ok and self.unbuilt == 1):
            print(kept.said + wiped.said, flush=True)

    def run(self) -> int:
        commits = commits_of(self.repository, self.arguments)
        if not self.arguments.json:
            heads = ["step", "commit", "files", "kept", "wiped", "excess", "missing", "products"]
            print(" | ".join([f"{head:>9}" for head in heads] + ["verdict"]))
        before: str | None = None
        rows = []
        for number, commit in enumerate(commits):
            rows.append(self.step(number, commit, before))
            before = commit
        stale = sum("STALE" in row.verdict or "fails" in row.verdict for row in rows)
        unnamed = sum("too much" in row.verdict for row in rows)
        summary = {
            "steps": len(rows) - 1,
            "not_built": self.unbuilt,
            "stale": stale,
            "with_unnamed_excess": unnamed,
            "with_named_excess": sum(bool(row.excess) for row in rows) - unnamed,
            "with_missing": sum(bool(row.missing) for row in rows),
            "explained": self.causes.units,
            "unexplained": sum(len(row.unexplained) for row in rows[1:]),
            "false_causes": sum(len(row.false) for row in rows),
            "kinds": dict(self.causes.kinds.most_common()),
            "cold_build": self.first,
            "warm_builds": {name: round(seconds, 1) for name, seconds in self.warm.items()},
            "kept_compiled": sum(row.kept for row in rows[1:]),
            "wiped_compiled": sum(row.wiped for row in rows[1:]),
        }
        print(json.dumps({"summary": summary}) if self.arguments.json else f"summary: {summary}", flush=True)
        if not self.arguments.keep:
            remove(self.root)
        false = summary["false_causes"]
        return 1 if stale or unnamed or false or self.unbuilt == len(rows) else 0


def compare(kept: dict[str, str], wiped: dict[str, str], cold: dict[str, str]) -> tuple[str, bool]:
    """How the products of three machines differ, and whether the restored one is worse than the one that was kept."""
    if wiped == cold:
        return ("=" if kept == cold else "kept≠"), False
    if wiped == kept:
        # Cargo's own: a time that was embedded, or a change that it does not see.
        return "cold≠", False
    worse = [name for name in cold if wiped.get(name) != cold[name] and kept.get(name) == cold[name]]
    return "all≠" if not worse else "wiped≠", bool(worse)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository", help="a clone with its history")
    parser.add_argument("--steps", type=int, default=20, help="how many commits after the first one [20]")
    parser.add_argument("--from", dest="from_rev", help="the first commit [as many before --to as there are steps]")
    parser.add_argument("--to", dest="to_rev", default="HEAD", help="the last commit [HEAD]")
    parser.add_argument("--command", action="append", help="arguments for cargo; repeatable [build --workspace]")
    parser.add_argument("--below", default=".", help="the folder of the workspace in the repository [.]")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="for every command; repeatable")
    parser.add_argument("--cold-every", type=int, default=10, help="build from scratch every so many steps [10]")
    parser.add_argument("--work", default="target/replay", help="a folder of its own; is emptied [target/replay]")
    parser.add_argument("--rekindle", default="target/release/rekindle", help="the program [target/release/rekindle]")
    parser.add_argument("--json", action="store_true", help="one object a line instead of a table")
    parser.add_argument("--keep", action="store_true", help="leave the machines and the store where they are")
    arguments = parser.parse_args()
    arguments.command = arguments.command or ["build --workspace"]
    arguments.rekindle = str(Path(arguments.rekindle).resolve())
    if not os.access(arguments.rekindle, os.X_OK):
        parser.error(f"there is no program `{arguments.rekindle}`")
    return Replay(arguments).run()


if __name__ == "__main__":
    sys.exit(main())
