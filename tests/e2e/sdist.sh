#!/usr/bin/env bash
# rpds-py from its published sources, its wheel built by way of the sdist, by `python -m build` and by `uv build`, on a machine
# that is wiped in between: the warm run compiles nothing, and after an edit nothing but the package.
set -euo pipefail
cd "$(dirname "$0")/../.."

root=$PWD
rekindle=${REKINDLE_BINARY:-$root/target/release/rekindle}
tools=$root/target/tools/python/bin
work=$root/target/sdist
job=$work/job
version=0.30.0

# shellcheck source=tests/e2e/machine.sh
source tests/e2e/machine.sh
export UV_CACHE_DIR=$job/uv-cache

[ -f "$work/rpds_py-$version.tar.gz" ] \
  || "$tools/pip" download --quiet --disable-pip-version-check --no-deps --no-binary rpds-py --dest "$work" "rpds-py==$version"

# A fresh machine with a fresh checkout; what is stored stays.
wipe() {
  cd "$work"
  rm -rf "$job"
  mkdir -p "$job/runner"
  tar -xzf "$work/rpds_py-$version.tar.gz" -C "$job"
  mv "$job/rpds_py-$version" "$job/checkout"
  cd "$job/checkout"
  # Only an sdist has it.
  rm PKG-INFO
  printf '/target\n/dist\n__pycache__\n' > .gitignore
  commit "$version"
}

restore() {
  "$rekindle" restore --isolation alias --python python3 --store "dir:$work/store" > "$work/restore.log" 2> "$work/restore.err"
  PATH=$(path_of "$work/restore.log"):$PATH
}

# Builds, and says what was compiled.
build() { # command
  : > "$work/compiled"
  rm -rf dist
  "$@" > "$work/build.log" 2>&1 || { cat "$work/build.log" >&2; fail "\`$*\` failed"; }
  ls dist/*.whl dist/*.tar.gz > /dev/null || fail "\`$*\` made no wheel"
  sort -u "$work/compiled" | tr '\n' ' '
}

for command in "$tools/pyproject-build" "$tools/uv build --python $tools/python"; do
  read -ra words <<< "$command"
  path=$PATH
  rm -rf "$work/store"
  wipe
  restore
  compiled=$(build "${words[@]}")
  [ -n "$compiled" ] || fail "the cold run compiled nothing"
  "$rekindle" save > "$work/save.log" 2>&1
  printf '%s: cold %s crates' "${words[0]##*/}" "$(wc -w <<< "$compiled")"

  PATH=$path
  wipe
  restore
  compiled=$(build "${words[@]}")
  printf ', wiped and restored %s crates' "$(wc -w <<< "$compiled")"
  [ -z "$compiled" ] || fail "the warm run compiled $compiled"
  echo '// edited' >> src/lib.rs
  compiled=$(build "${words[@]}")
  printf ', edited: %s\n' "$compiled"
  [ "$compiled" = 'rpds ' ] || fail "after an edit it compiled $compiled"
  "$rekindle" save > "$work/save.log" 2>&1
  PATH=$path
done
