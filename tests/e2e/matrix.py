#!/usr/bin/env python3
"""A matrix of twelve jobs that are set up alike: four commands, three choices of features. What they store, and what they compile.

Three times over: each job with a store of its own; all of them cold at once, as far as one machine can do that (each restores
before anything is stored, and saves when the ones before it have); and one after another. Then every job runs once more.

Exit code 1: a second run compiles something, or sharing stores more than it may.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

COMMANDS = {
    "check": "check --workspace",
    "clippy": "clippy --workspace",
    "test": "test --no-run --workspace",
    "build": "build --workspace",
}
FEATURES = {"plain": "", "extra": "--features matrix-app/extra", "all": "--all-features"}
FOREIGN = re.compile(r"CARGO|REKINDLE|ACTIONS|GITHUB|RUNNER|RUSTFLAGS|RUST_|RUSTUP_TOOLCHAIN|CI$")
FILES = {
    "Cargo.toml": '[workspace]\nresolver = "2"\nmembers = ["core", "app"]\n',
    "core/Cargo.toml": """[package]
name = "matrix-core"
version = "0.1.0"
edition = "2021"
[dependencies]
serde = { version = "1", features = ["derive"] }
serde_json = "1"
regex = "1"
""",
    "core/src/lib.rs": """#[derive(serde::Serialize, serde::Deserialize, Default)]
pub struct Item { pub name: String }
pub fn find(text: &str) -> bool { regex::Regex::new("[a-z]+[0-9]").is_ok_and(|found| found.is_match(text)) }
pub fn json(item: &Item) -> String { serde_json::to_string(item).unwrap_or_default() }
""",
    "app/Cargo.toml": """[package]
name = "matrix-app"
version = "0.1.0"
edition = "2021"
[features]
extra = ["dep:toml"]
more = ["dep:rand"]
[dependencies]
matrix-core = { path = "../core" }
clap = { version = "4", features = ["derive"] }
toml = { version = "0.9", optional = true }
rand = { version = "0.9", optional = true }
[dev-dependencies]
tempfile = "3"
""",
    "app/src/main.rs": """#[derive(clap::Parser)]
struct Arguments { name: Option<String> }
fn main() {
    let Arguments { name } = clap::Parser::parse();
    let item = matrix_core::Item { name: name.unwrap_or_default() };
    println!("{} {}", matrix_core::json(&item), matrix_core::find(&item.name));
    #[cfg(feature = "extra")]
    println!("{}", toml::to_string(&item).unwrap_or_default());
    #[cfg(feature = "more")]
    println!("{}", rand::random::<u8>());
}
#[test]
fn finds() { assert!(matrix_core::find("a1")); assert!(tempfile::tempdir().is_ok()); }
""",
}


class Site:
    def __init__(self, root: Path, rekindle: str) -> None:
        self.root, self.rekindle = root, rekindle
        self.work, self.store, self.aside = root / "work", root / "store", root / "aside"
        shutil.rmtree(root, ignore_errors=True)
        (root / "origin").mkdir(parents=True)
        env = {name: value for name, value in os.environ.items() if not FOREIGN.match(name)}
        env |= {"CARGO_HOME": str(root / "cargo-home"), "CARGO_INCREMENTAL": "0", "CARGO_TERM_COLOR": "never"}
        env |= {"XDG_CACHE_HOME": str(root / "cache"), "RUNNER_TEMP": str(root / "temp")}
        env |= {"GIT_AUTHOR_DATE": "2024-01-01T00:00:00Z", "GIT_COMMITTER_DATE": "2024-01-01T00:00:00Z"}
        self.env = env
        origin = root / "origin"
        for path, text in FILES.items():
            (origin / path).parent.mkdir(parents=True, exist_ok=True)
            (origin / path).write_text(text)
        (origin / ".gitignore").write_text("/target\n")
        self.run(["cargo", "generate-lockfile"], origin)
        self.run(["cargo", "fetch", "--locked"], origin)
        name = ["-c", "user.name=matrix", "-c", "user.email=matrix@example.com"]
        for words in (["init", "--quiet"], ["add", "--all"], [*name, "commit", "--quiet", "-m", "first"]):
            self.run(["git", *words], origin)

    def run(self, words: list[str], below: Path) -> str:
        done = subprocess.run(words, cwd=below, env=self.env, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"{words}: {done.stdout[-2000:]}{done.stderr[-4000:]}")
        return done.stdout

    def job(self, name: str, command: str, *, blind: bool = False) -> set[str]:
        """What a job on a wiped machine compiled; a blind one began before anything was stored."""
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.rmtree(self.root / "temp", ignore_errors=True)
        (self.root / "temp").mkdir()
        self.run(["git", "clone", "--quiet", str(self.root / "origin"), str(self.work)], self.root)
        if blind and self.store.exists():
            self.store.rename(self.aside)
        state = str(self.root / "temp" / "state.json")
        self.run([self.rekindle, "restore", "--state", state, "--key", name, "--store", f"dir:{self.store}"], self.work)
        if self.aside.exists():
            shutil.rmtree(self.store, ignore_errors=True)
            self.aside.rename(self.store)
        lines = self.run(["cargo", *command.split(), "--locked", "--message-format=json"], self.work).splitlines()
        messages = [json.loads(line) for line in lines if line.startswith("{")]
        made = [it for it in messages if it["reason"] == "compiler-artifact" and not it["fresh"]]
        self.run([self.rekindle, "save", "--state", state], self.work)
        return {" ".join(sorted(it["filenames"])) + it["package_id"] for it in made}

    def bytes(self) -> int:
        packs = self.store.glob("*.tar.zst")
        return sum(pack.stat().st_size for pack in packs if ".cargo-home-" not in pack.name)

    def forget(self) -> None:
        shutil.rmtree(self.store, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", default="target/matrix", help="a folder of its own; is emptied [target/matrix]")
    parser.add_argument("--rekindle", default="target/release/rekindle", help="the program [target/release/rekindle]")
    parser.add_argument("--at-most", type=float, default=0.40, help="what sharing may store, of what separate stores take [0.40]")
    arguments = parser.parse_args()
    site = Site(Path(arguments.work).resolve(), str(Path(arguments.rekindle).resolve()))
    legs = {
        f"{kind}-{choice}": f"{command} {features}" for choice, features in FEATURES.items() for kind, command in COMMANDS.items()
    }

    apart, of_all, result = 0, {}, 0
    for name, command in legs.items():
        site.forget()
        of_all[name] = site.job(name, command)
        apart += site.bytes()
    print(f"apart: {apart / 1e6:.1f} MB, {sum(map(len, of_all.values()))} units compiled", flush=True)

    for mode, blind in (("at once", True), ("in turn", False)):
        site.forget()
        known: set[str] = set()
        compiled = again = 0
        for name, command in legs.items():
            units = site.job(name, command, blind=blind)
            compiled, again = compiled + len(units), again + len(units & known)
            known |= units
        ratio = site.bytes() / apart
        words = f"{mode}: {site.bytes() / 1e6:.1f} MB ({ratio:.2f}), {compiled} units compiled"
        print(words if blind else f"{words}, {again} of them built by a job before", flush=True)
        second = {name: len(site.job(name, command)) for name, command in legs.items()}
        cold = {name: count for name, count in second.items() if count}
        print(f"  once more: {sum(second.values())} units compiled {cold or ''}, {site.bytes() / 1e6:.1f} MB", flush=True)
        if cold or ratio > arguments.at_most:
            result = 1
    sys.exit(result)


if __name__ == "__main__":
    main()
