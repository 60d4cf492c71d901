#!/usr/bin/env bash
# The promise on real projects, rebuilt as workspaces from their published packages: nothing compiled when nothing changed, and
# after an edit at the top, in the middle and at the bottom exactly what a machine that was never wiped compiles.
set -euo pipefail
cd "$(dirname "$0")/../.."

rekindle=$PWD/target/release/rekindle
work=$PWD/target/real-projects
mkdir -p "$work"

# Unpacks packages of one family side by side and makes them depend on each other. Arguments: name, then package@version.
assemble() {
  local name=$1 dir=$work/$1 member
  shift
  [ -f "$dir/Cargo.lock" ] && return
  rm -rf "$dir" "$work/fetch"
  mkdir -p "$dir" "$work/fetch/src"
  {
    printf '[package]\nname = "fetch"\nversion = "0.0.0"\nedition = "2021"\n[workspace]\n[dependencies]\n'
    for member in "$@"; do printf '%s = "=%s"\n' "${member%@*}" "${member#*@}"; done
  } > "$work/fetch/Cargo.toml"
  : > "$work/fetch/src/lib.rs"
  (cd "$work/fetch" && cargo vendor --quiet --versioned-dirs > /dev/null)
  for member in "$@"; do
    cp -r "$work/fetch/vendor/${member%@*}-${member#*@}" "$dir/${member%@*}"
    rm -f "$dir/${member%@*}"/{.cargo-checksum.json,.cargo_vcs_info.json,Cargo.toml.orig,Cargo.lock}
  done
  {
    printf '[workspace]\nresolver = "2"\nmembers = ['
    for member in "$@"; do printf '"%s", ' "${member%@*}"; done
    printf ']\n[patch.crates-io]\n'
    for member in "$@"; do printf '%s = { path = "%s" }\n' "${member%@*}" "${member%@*}"; done
  } > "$dir/Cargo.toml"
  printf '/target\n' > "$dir/.gitignore"
  (cd "$dir" && cargo generate-lockfile --quiet && git init --quiet . && git add --all \
    && git -c user.name=x -c user.email=x@localhost commit --quiet -m "$name")
}

# One full cycle for each edited file. Arguments: name, then files.
prove() {
  local dir=$work/$1 file
  shift
  for file in "$@"; do
    printf '%s, edited %s: ' "${dir##*/}" "$file"
    "$rekindle" try "$dir" --edit "$file" --json \
      --command 'cargo build --workspace' --command 'cargo test --workspace --lib --bins --no-run' 2> /dev/null
  done
}

assemble ripgrep ripgrep@15.1.0 grep@0.4.1 grep-cli@0.1.12 grep-matcher@0.1.8 grep-printer@0.3.1 grep-regex@0.1.14 \
  grep-searcher@0.1.16 globset@0.4.18 ignore@0.4.25
assemble tracing tracing@0.1.44 tracing-core@0.1.36 tracing-attributes@0.1.31 tracing-log@0.2.0 tracing-subscriber@0.3.22 \
  tracing-serde@0.2.0
[ "${1:-}" = assemble ] && exit
cargo build --quiet --release --locked

prove ripgrep ripgrep/crates/core/main.rs globset/src/lib.rs grep-matcher/src/lib.rs
prove tracing tracing-subscriber/src/lib.rs tracing-log/src/lib.rs tracing-core/src/lib.rs
