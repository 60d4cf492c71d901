#!/usr/bin/env bash
# Puts the rekindle program in place and prints where it is, as the last line and as the output `binary`.
#
# In this order: the runner's tool cache; the release asset that dist/release.json names, if its SHA-256 is the one written
# there; a build of this action's own source. If nothing works, the answer is empty, with one warning: the job goes on without
# a cache. Never fails.
set -euo pipefail

limit=${REKINDLE_BUILD_LIMIT:-900} # seconds for a build from source

say() { printf 'rekindle: %s\n' "$*" >&2; }

# Under Git Bash a path is written in two ways; everything below uses the one of bash.
to_bash() { if command -v cygpath >/dev/null; then cygpath -u "$1"; else printf '%s\n' "$1"; fi; }
to_system() { if command -v cygpath >/dev/null; then cygpath -w "$1"; else printf '%s\n' "$1"; fi; }

root=$(cd "$(dirname "$(to_bash "${BASH_SOURCE[0]}")")/.." && pwd)
temp=$(to_bash "${RUNNER_TEMP:-${TMPDIR:-/tmp}}")
tools=$(to_bash "${RUNNER_TOOL_CACHE:-${RUNNER_TEMP:-${TMPDIR:-/tmp}}}")

sha256() { # of a file, or of standard input
  if command -v sha256sum >/dev/null; then sha256sum "$@"; else shasum -a 256 "$@"; fi | cut -d ' ' -f 1
}

target() {
  local system machine
  system=${RUNNER_OS:-$(uname -s)}
  machine=${RUNNER_ARCH:-$(uname -m)}
  case $machine in
    X64 | x86_64 | amd64) machine=x86_64 ;;
    ARM64 | aarch64 | arm64) machine=aarch64 ;;
    *) return 1 ;;
  esac
  case $system in
    Linux) echo "$machine-unknown-linux-musl" ;;
    macOS | Darwin) echo "$machine-apple-darwin" ;;
    Windows* | MINGW* | MSYS* | CYGWIN*) echo "$machine-pc-windows-msvc" ;;
    *) return 1 ;;
  esac
}

# A member of one target in release.json, which is written one member a line.
released() { # target, member
  awk -v target="\"$1\":" -v member="\"$2\":" \
    '$1 == target { here = 1 } here && $1 == member { gsub(/[",]/, "", $2); print $2; exit }' "$root/dist/release.json"
}

version() { sed -n "s/^$1 = \"\(.*\)\"$/\1/p" "$root/Cargo.toml" | head -n 1; }

works() { [ -x "$1" ] && "$1" --version >/dev/null 2>&1; }

# Complete or absent: another job may be looking for it right now.
keep() { # file, place
  mkdir -p "$(dirname "$2")"
  chmod +x "$1"
  works "$1" && mv -f "$1" "$2"
}

download() { # url, file
  if command -v curl >/dev/null; then
    curl --fail --silent --show-error --location --retry 3 --connect-timeout 10 --max-time 180 --output "$2" "$1"
  else
    wget --quiet --tries=3 --timeout=60 --output-document="$2" "$1"
  fi
}

from_release() { # target, place
  local url hash file
  url=$(released "$1" url)
  hash=$(released "$1" sha256)
  [ -n "$url" ] && [ -n "$hash" ] || return 1
  if works "$2" && [ "$(sha256 "$2")" = "$hash" ]; then return; fi
  file=$(mktemp "$temp/rekindle-download-XXXXXX")
  say "downloading $url"
  if ! download "$url" "$file"; then
    say "it cannot be downloaded"
  elif [ "$(sha256 "$file")" != "$hash" ]; then
    say "what was downloaded is not what dist/release.json names"
  elif keep "$file" "$2"; then
    return
  fi
  rm -f "$file"
  return 1
}

# The cargo of a toolchain that is new enough; another one is installed beside the job's own, which stay as they are.
choose_cargo() {
  local wanted candidate
  wanted=$(version rust-version)
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

build() ( # place; in a subshell, because it changes folder and environment
  work=$(mktemp -d "$temp/rekindle-build-XXXXXX") || exit 1
  trap 'rm -rf "$work"' EXIT
  # Neither a config nor a toolchain file of the workspace is above this folder, and nothing of the job's own settings stays.
  cd "$work" || exit 1
  for name in $(compgen -e); do
    case $name in
      CARGO_HTTP_* | CARGO_NET_* | CARGO_REGISTRIES_* | CARGO_REGISTRY_*) ;;
      CARGO* | RUSTC* | RUSTFLAGS | RUSTDOC* | RUSTUP_TOOLCHAIN) unset "$name" ;;
    esac
  done
  command -v cargo >/dev/null || PATH="$HOME/.cargo/bin:$PATH"
  choose_cargo || { say "there is no Rust toolchain that could build it"; exit 1; }
  export CARGO_HOME=$work/home
  say "building from source, once for this machine"
  set -m # a process group for each of the two, so that no compiler outlives its cargo
  cargo ${toolchain[@]+"${toolchain[@]}"} build --release --locked --manifest-path "$root/Cargo.toml" --target-dir "$work/target" >&2 &
  building=$!
  (sleep "$limit" && kill -- "-$building" 2>/dev/null && say "the build took longer than $limit s") &
  watching=$!
  result=0
  wait "$building" || result=$?
  # Quietly: nobody wants to read that a watch was ended.
  { kill -- "-$watching" || true; wait "$watching" || true; } 2>/dev/null
  [ "$result" = 0 ] && keep "$work/target/release/rekindle$suffix" "$1"
)

# The same source gives the same program: its digest names it.
source_id() {
  (cd "$root" && find Cargo.toml Cargo.lock src -type f | LC_ALL=C sort | while read -r file; do
    printf '%s %s\n' "$file" "$(sha256 "$file")"
  done) | sha256 | cut -c 1-16
}

place() {
  local target suffix='' path
  target=$(target) || { say "there is no program for $(uname -sm)"; return 1; }
  case $target in *windows*) suffix=.exe ;; esac
  if [ -n "$(released "$target" url)" ]; then
    path=$tools/rekindle/$(version version)/$target/rekindle$suffix
    if from_release "$target" "$path"; then echo "$path"; return; fi
  fi
  path=$tools/rekindle/source-$(source_id)/$target/rekindle$suffix
  if works "$path" || build "$path"; then echo "$path"; return; fi
  return 1
}

if binary=$(place) && [ -n "$binary" ]; then
  binary=$(to_system "$binary")
else
  binary=
  if [ "${GITHUB_ACTIONS:-}" = true ]; then
    echo "::warning title=Rekindle::the program could not be installed; the job goes on without a cache"
  else
    say "the program could not be installed"
  fi
fi
if [ -n "${GITHUB_OUTPUT:-}" ]; then printf 'binary=%s\n' "$binary" >> "$GITHUB_OUTPUT"; fi
printf '%s\n' "$binary"
