#!/usr/bin/env python3
"""Make a git repository out of consecutive published versions, one commit each, for `replay.py`.

`published_history.py FOLDER grep-matcher@0.1.6,0.1.7,0.1.8` takes one crate's packages, fetched by cargo. Several crates become
a workspace whose members depend on each other, and each commit moves one of them on. `--sdist rpds-py@0.29.0,0.30.0` takes
source distributions of a Python project, fetched by pip. Commits are dated a day apart.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

FIRST_DATE = 1_700_000_000
# What publishing adds; and what is written here.
ADDED = (".cargo_vcs_info.json", "Cargo.toml.orig", ".cargo-ok", ".cargo-checksum.json", "PKG-INFO", ".gitignore")


def run(*words: str, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        words,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(words)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def package(crate: str, version: str, temp: Path) -> Path:
    """The unpacked package of a version, as cargo fetches it."""
    manifest = temp / f"{crate}-{version}"
    (manifest / "src").mkdir(parents=True)
    (manifest / "src/lib.rs").touch()
    (manifest / "Cargo.toml").write_text(
        f'[package]\nname = "fetch"\nversion = "0.0.0"\nedition = "2021"\n[workspace]\n[dependencies]\n{crate} = "={version}"\n',
        encoding="utf-8",
    )
    run("cargo", "fetch", "--quiet", cwd=manifest)
    home = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
    found = sorted(home.glob(f"registry/src/*/{crate}-{version}"), key=lambda path: path.stat().st_mtime)
    if not found:
        sys.exit(f"cargo fetched no {crate} {version}")
    return found[-1]


def source_distribution(project: str, version: str, temp: Path) -> Path:
    """The unpacked source distribution of a version, as pip fetches it."""
    to = temp / version
    run(
        *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", project),
        *("--disable-pip-version-check", "--dest", str(to), f"{project}=={version}"),
        cwd=temp,
    )
    (archive,) = to.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(to, filter="data")
    (folder,) = (path for path in to.iterdir() if path.is_dir())
    return folder


def replace(folder: Path, source: Path, keep: tuple[str, ...] = ()) -> None:
    """Gives a folder the content of another one. Unchanged files stay as they are for git."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if old.name not in (".git", *keep):
            shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
    for new in source.iterdir():
        if new.name in ADDED or new.name in keep:
            continue
        to = folder / new.name
        shutil.copytree(new, to, symlinks=True) if new.is_dir() else shutil.copy2(new, to)


def commit(repository: Path, message: str, number: int) -> None:
    (repository / ".gitignore").write_text("target\n__pycache__\n*.so\n", encoding="utf-8")
    if (repository / "Cargo.toml").exists():
        # Keeps what is locked as far as it still fits.
        run("cargo", "metadata", "--quiet", "--format-version=1", cwd=repository)
    date = f"{FIRST_DATE + number * 86_400} +0000"
    who = ("-c", "user.name=published", "-c", "user.email=published@localhost")
    run("git", "add", "--all", "--force", "--", ".", ":!target", cwd=repository)
    run(
        *("git", *who, "commit", "--quiet", "--allow-empty", "--message", message),
        cwd=repository,
        env={"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date},
    )


def workspace(crates: list[str]) -> str:
    members = ", ".join(f'"{crate}"' for crate in crates)
    patches = "".join(f'{crate} = {{ path = "{crate}" }}\n' for crate in crates)
    return f'[workspace]\nresolver = "2"\nmembers = [{members}]\n[patch.crates-io]\n{patches}'


def rounds(histories: dict[str, list[str]]) -> list[tuple[str, str]]:
    """After the first versions of all, one step of each in turn."""
    longest = max(map(len, histories.values()))
    turns = [(crate, versions[at]) for at in range(1, longest) for crate, versions in histories.items() if at < len(versions)]
    return turns


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the repository is made")
    parser.add_argument("crate", nargs="*", help="`name@version,version,…`, oldest first")
    parser.add_argument("--sdist", help="`name@version,version,…` of a Python project instead")
    arguments = parser.parse_args()
    if bool(arguments.crate) == bool(arguments.sdist):
        parser.error("name crates, or one --sdist")
    repository: Path = arguments.folder.resolve()
    repository.mkdir(parents=True)
    run("git", "init", "--quiet", "--initial-branch=main", ".", cwd=repository)
    asked = [arguments.sdist] if arguments.sdist else arguments.crate
    histories = {name: versions.split(",") for name, _, versions in (text.partition("@") for text in asked)}
    with tempfile.TemporaryDirectory() as folder:
        temp = Path(folder)
        if len(histories) == 1:
            fetch = source_distribution if arguments.sdist else package
            ((name, versions),) = histories.items()
            for number, version in enumerate(versions):
                # A crate's lock file goes on from version to version, a project brings its own.
                replace(repository, fetch(name, version, temp), () if arguments.sdist else ("Cargo.lock",))
                commit(repository, f"{name} {version}", number)
            return
        (repository / "Cargo.toml").write_text(workspace(list(histories)), encoding="utf-8")
        for name, versions in histories.items():
            replace(repository / name, package(name, versions[0], temp))
            (repository / name / "Cargo.lock").unlink(missing_ok=True)
        commit(repository, "first", 0)
        for number, (name, version) in enumerate(rounds(histories), start=1):
            replace(repository / name, package(name, version, temp))
            (repository / name / "Cargo.lock").unlink(missing_ok=True)
            commit(repository, f"{name} {version}", number)


if __name__ == "__main__":
    main()
