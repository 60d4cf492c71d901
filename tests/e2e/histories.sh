#!/usr/bin/env bash
# Real histories, rebuilt from consecutive published versions, replayed on a kept and on a wiped machine: ripgrep's libraries as
# a workspace that moves on crate by crate, and a PyO3 project. Nothing may be stale, nothing compiled without a named rule.
set -euo pipefail
cd "$(dirname "$0")/../.."

rekindle=${REKINDLE_BINARY:-target/release/rekindle}
work=target/histories
mkdir -p "$work"
[ -n "${REKINDLE_BINARY:-}" ] || cargo build --quiet --release --locked

# Arguments: name, then those of the script that makes the repository.
history() {
  local name=$1
  shift
  [ -e "$work/$name.made" ] && return
  rm -rf "${work:?}/$name"
  python3 tests/e2e/published_history.py "$work/$name" "$@"
  touch "$work/$name.made"
}

failed=
replay() { # name, steps
  printf '\n== %s\n' "$1"
  python3 tests/e2e/replay.py "$work/$1" --steps "$2" --cold-every 4 --work "$work/replay" --rekindle "$rekindle" \
    --env CARGO_PROFILE_DEV_DEBUG=0 || failed="$failed $1"
}

history ripgrep grep-matcher@0.1.6,0.1.7,0.1.8 globset@0.4.15,0.4.16,0.4.17,0.4.18 ignore@0.4.22,0.4.23,0.4.24,0.4.25 \
  grep-regex@0.1.13,0.1.14 grep-searcher@0.1.14,0.1.16 grep-printer@0.2.2,0.3.1
replay ripgrep 12
history rpds --sdist rpds-py@0.26.0,0.27.0,0.27.1,0.28.0,0.29.0,0.30.0
replay rpds 5

[ -z "$failed" ] || { echo "failed:$failed" >&2; exit 1; }
