#!/usr/bin/env bash
# Builds the program from this action's own source: `install.sh FOLDER` leaves it in FOLDER/target/release.
#
# The hook calls it where dist/release.json names no binary for the machine, with an empty folder that no configuration or
# toolchain file of the workspace lies above, and with an environment that holds no setting and no secret of the job. The hook
# also limits its time and takes everything away again, so nothing here starts a process in the background.
set -euo pipefail

[ $# -eq 1 ] || { echo "usage: install.sh FOLDER" >&2; exit 2; }
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$1

say() { printf 'rekindle: %s\n' "$*" >&2; }

# The cargo of a toolchain that is new enough; another one is installed beside the job's own, which stay as they are.
choose_cargo() {
  local wanted candidate
  wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$root/Cargo.toml" | head -n 1)
  new_enough() {
    local found
    found=$("$@" --version 2>/dev/null | cut -d ' ' -f 2) || return 1
    [ -n "$found" ] && [ "$(printf '%s\n' "$wanted" "${found%%-*}" | sort -t . -k 1,1n -k 2,2n | head -n 1)" = "$wanted" ]
  }
  if ! command -v rustup >/dev/null; then
    command -v cargo >/dev/null && new_enough rustc && toolchain=()
    return
  fi
  for candidate in stable "$wanted.0"; do
    if new_enough rustup run "$candidate" rustc; then toolchain=("+$candidate"); return; fi
  done
  new_enough rustc && { toolchain=(); return; }
  say "installing Rust $wanted beside the job's own"
  rustup toolchain install "$wanted.0" --profile minimal --no-self-update >&2 && toolchain=("+$wanted.0")
}

cd "$work"
command -v cargo >/dev/null || PATH="$HOME/.cargo/bin:$PATH"
choose_cargo || { say "there is no Rust toolchain that could build it"; exit 1; }
export CARGO_HOME=$work/home
exec cargo ${toolchain[@]+"${toolchain[@]}"} build --release --locked --manifest-path "$root/Cargo.toml" --target-dir "$work/target"
