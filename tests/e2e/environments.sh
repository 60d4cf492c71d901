#!/usr/bin/env bash
# PyO3 projects that live in environments of a tool: a Hatch project (its own environment, `hatch run maturin develop`, `hatch build`,
# cargo in a terminal), a nox project with three sessions, and a workspace in a subfolder with its Python package beside it. Each is
# built, wiped, restored and built again: the second run compiles nothing.
set -euo pipefail
cd "$(dirname "$0")/../.."

root=$PWD
rekindle=${REKINDLE_BINARY:-$root/target/release/rekindle}
work=$root/target/environments
job=$work/job

# shellcheck source=tests/e2e/machine.sh
source tests/e2e/machine.sh
export HATCH_DATA_DIR=$job/hatch HATCH_CACHE_DIR=$job/hatch-cache PIP_CACHE_DIR=$work/pip-cache PIP_DISABLE_PIP_VERSION_CHECK=1
export CARGO_PROFILE_DEV_DEBUG=0

if [ ! -x "$work/tools/bin/hatch" ] || [ ! -x "$work/tools/bin/nox" ]; then
  python3 -m venv "$work/tools"
  "$work/tools/bin/pip" install --quiet hatch nox maturin
fi

# A crate with a Python module, in a folder.
crate() { # folder, name
  mkdir -p "$1/src"
  cat > "$1/Cargo.toml" <<TOML
[package]
name = "$2"
version = "0.1.0"
edition = "2021"

[lib]
crate-type = ["cdylib", "rlib"]

[dependencies]
pyo3 = "0.28"
TOML
  cat > "$1/src/lib.rs" <<RUST
use pyo3::prelude::*;

#[pymodule]
fn $2(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("answer", 42)
}
RUST
}

pyproject() { # folder, name, more
  cat > "$1/pyproject.toml" <<TOML
[build-system]
requires = ["maturin>=1.9,<2"]
build-backend = "maturin"

[project]
name = "$2"
version = "0.1.0"
requires-python = ">=3.8"

[tool.maturin]
features = ["pyo3/extension-module"]
$3
TOML
}

hatch_project() {
  crate . hatched
  pyproject . hatched '
[tool.hatch.envs.default]
skip-install = true
dependencies = ["maturin>=1.9,<2"]'
}
hatch_steps() {
  "$work/tools/bin/hatch" env create
  PYO3_PYTHON=$("$work/tools/bin/hatch" env find)/bin/python
  export PYO3_PYTHON
  "$work/tools/bin/hatch" run maturin develop
  "$work/tools/bin/hatch" build -t wheel || "$work/tools/bin/hatch" build
  cargo check
  unset PYO3_PYTHON
}

nox_project() {
  crate . noxed
  pyproject . noxed ''
  cat > noxfile.py <<'PY'
import nox

@nox.session
def tests(session):
    session.install("maturin>=1.9,<2")
    session.run("maturin", "develop")
    session.run("python", "-c", "import noxed; assert noxed.answer == 42")

@nox.session
def wheel(session):
    session.install(".")
    session.run("python", "-c", "import noxed; assert noxed.answer == 42")

@nox.session
def rust(session):
    session.run("cargo", "check", external=True)
PY
}
nox_steps() {
  "$work/tools/bin/nox" --error-on-missing-interpreters
}

# As tokenizers: the Rust library and its bindings side by side, each with a manifest of its own.
subfolder_project() {
  mkdir -p core/src bindings/python
  printf '[package]\nname = "core-lib"\nversion = "0.1.0"\nedition = "2021"\n' > core/Cargo.toml
  echo 'pub fn answer() -> i32 { 42 }' > core/src/lib.rs
  crate bindings/python bound
  echo 'core-lib = { path = "../../core" }' >> bindings/python/Cargo.toml
  sed -i 's/42/core_lib::answer()/' bindings/python/src/lib.rs
  pyproject bindings/python bound ''
}
subfolder_steps() {
  (cd core && cargo test --no-run)
  python3 -m venv .venv
  (cd bindings/python && ../../.venv/bin/pip install --quiet "maturin>=1.9,<2" && VIRTUAL_ENV=../../.venv ../../.venv/bin/maturin develop)
  ./.venv/bin/pip install --quiet --no-deps --force-reinstall ./bindings/python
}

# A fresh machine with a fresh checkout; what is stored stays.
wipe() { # project
  cd "$work"
  rm -rf "$job"
  mkdir -p "$job/runner" "$job/checkout"
  cd "$job/checkout"
  "$1_project"
  printf 'target\ndist\n.venv\n.nox\n__pycache__\n*.so\n' > .gitignore
  for lock in "$work/$1".*.lock; do
    [ ! -e "$lock" ] || cp "$lock" "$(basename "$lock" .lock | sed "s/^$1\.//; s#__#/#g")/Cargo.lock"
  done
  commit "$1"
}

restore() { # options
  "$rekindle" restore --isolation alias --python python3 --store "dir:$work/store" "$@" > "$work/restore.log" 2> "$work/restore.err"
  PATH=$(path_of "$work/restore.log"):$PATH
}

# Does the steps, and says what was compiled.
steps() { # project
  : > "$work/compiled"
  "$1_steps" > "$work/build.log" 2>&1 || { cat "$work/build.log" >&2; fail "a step of $1 failed"; }
  sort -u "$work/compiled" | tr '\n' ' '
}

for project in ${1:-hatch nox subfolder}; do
  options=()
  [ "$project" != subfolder ] || options=(--workspace core --workspace bindings/python)
  path=$PATH
  rm -rf "$work/store" "$work/$project".*.lock
  # The lock files that a repository has.
  wipe "$project"
  for manifest in $(git ls-files '*Cargo.toml'); do
    (cd "$(dirname "$manifest")" && cargo generate-lockfile --quiet)
    name=$(dirname "$manifest")
    cp "$(dirname "$manifest")/Cargo.lock" "$work/$project.${name//\//__}.lock"
  done
  wipe "$project"
  restore "${options[@]}"
  compiled=$(steps "$project")
  [ -n "$compiled" ] || fail "the cold run of $project compiled nothing"
  "$rekindle" save > "$work/save.log" 2>&1
  printf '%s: cold %s crates' "$project" "$(wc -w <<< "$compiled")"

  PATH=$path
  wipe "$project"
  restore "${options[@]}"
  compiled=$(steps "$project")
  "$rekindle" save > "$work/save.log" 2>&1
  printf ', wiped and restored %s crates\n' "$(wc -w <<< "$compiled")"
  [ -z "$compiled" ] || { cat "$work/save.log" >&2; fail "the warm run of $project compiled $compiled"; }
  PATH=$path
done
