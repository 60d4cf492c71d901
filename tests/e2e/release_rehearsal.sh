#!/usr/bin/env bash
# A release, on this machine and for its own system: what .github/workflows/release.yml does, by the same scripts, with a file
# server in the place of GitHub's releases; then a workflow that act runs from the tag's files alone, with no Rust on the way.
#
# The programs of the other targets are stand-ins that nobody starts. Where the target for musl cannot be had, the program is one
# for this machine's libc. A program that is built here is built twice, in two folders: both have to be the same, byte for byte.
# Usage: release_rehearsal.sh [PROGRAM]; a program that is given is not built. REKINDLE_REHEARSAL_QUICK=1 builds once and leaves
# the tests of the tagged commit out.
set -euo pipefail
cd "$(dirname "$0")/../.."

root=$PWD
work=$(mktemp -d "${TMPDIR:-/tmp}/rekindle-rehearsal-XXXXXX")
server=
trap 'if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; fi; rm -rf "$work"' EXIT
export PATH="$root/target/tools/python/bin:$PATH"
step() { printf '\n== %s (after %d s)\n' "$*" "$SECONDS"; }

step "the source of this commit"
git clone --quiet "$root" "$work/source"
cd "$work/source"
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
git config user.name rehearsal
git config user.email rehearsal@localhost
export CARGO_TARGET_DIR=$root/target/rehearsal

step "building"
machine=$(uname -m)
target=$machine-unknown-linux-musl
program=${1:-}
if [ -n "$program" ]; then
  program=$(cd "$root" && realpath "$program")
elif ! { command -v musl-gcc >/dev/null && rustup target add "$target" >/dev/null 2>&1; }; then
  echo "there is no target for musl here: the program is one for this machine's libc"
  cargo build --release --locked
  program=$CARGO_TARGET_DIR/release/rekindle
fi
assets=$work/releases/v$version
bash .github/release/asset.sh "$target" "$version" "$assets" ${program:+"$program"}
if [ -z "$program" ] && [ -z "${REKINDLE_REHEARSAL_QUICK:-}" ]; then
  step "building the same in another folder"
  git clone --quiet "$root" "$work/elsewhere/further/down"
  (
    cd "$work/elsewhere/further/down"
    CARGO_TARGET_DIR=$work/elsewhere/target bash .github/release/asset.sh "$target" "$version" "$work/elsewhere/assets"
  )
  cmp "$assets/rekindle-$target.gz" "$work/elsewhere/assets/rekindle-$target.gz" || { echo "two builds gave two programs" >&2; exit 1; }
  sha256sum "$assets/rekindle-$target.gz"
  rm -rf "$work/elsewhere"
fi
for other in {aarch64,x86_64}-{unknown-linux-musl,apple-darwin,pc-windows-msvc}; do
  [ "$other" = "$target" ] || echo "a stand-in for $other" | gzip -9 -n > "$assets/rekindle-$other.gz"
done

step "hashes, commits and tag"
bash .github/release/json.sh "$version" "$assets"
before=$(git rev-parse HEAD)
bash .github/release/commits.sh "$version"
commit=$(git rev-parse HEAD)
# A second attempt makes the same commits.
git reset --quiet --hard "$before"
bash .github/release/json.sh "$version" "$assets"
bash .github/release/commits.sh "$version"
[ "$(git rev-parse HEAD)" = "$commit" ] || { echo "a second attempt made other commits" >&2; exit 1; }
git tag "v$version"
hook=$(git rev-parse HEAD^)
git --no-pager log --oneline -3

if [ -z "${REKINDLE_REHEARSAL_QUICK:-}" ]; then
  step "the tests of the tagged commit"
  # With what the tests of this checkout have compiled of others.
  CARGO_TARGET_DIR=$root/target cargo test --quiet --locked --test it tidy::

  step "the program where there is nothing else"
  gunzip --stdout "$assets/rekindle-$target.gz" > "$work/rekindle"
  chmod +x "$work/rekindle"
  REKINDLE_ROOT_PROGRAM=$work/rekindle CARGO_TARGET_DIR=$root/target cargo test --quiet --locked --test it small_root::
fi

step "the release service"
python3 -u -c '
import functools, http.server, sys
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1])
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
print(server.server_port, flush=True)
server.serve_forever()
' "$work/releases" > "$work/port" 2> "$work/requests" &
server=$!
until [ -s "$work/port" ]; do sleep 0.1; done
REKINDLE_RELEASE_URL=http://127.0.0.1:$(cat "$work/port")
export REKINDLE_RELEASE_URL
node .github/release/fetch.js
: > "$work/requests"

step "a workflow that uses the tag"
git clone --quiet --branch "v$version" . "$work/tagged" 2>/dev/null
git clone --quiet . "$work/hook"
git -C "$work/hook" checkout --quiet "$hook"
cp -R tests/fixtures/tour "$work/origin"
git -C "$work/origin" init --quiet --initial-branch=main
git -C "$work/origin" add --all --force
git -C "$work/origin" -c user.name=rehearsal -c user.email=rehearsal@localhost commit --quiet --message "a commit"
mkdir "$work/home"
for run in first second; do
  (
    cd "$work/origin"
    env -u CARGO_TARGET_DIR HOME="$work/home" act push -W "$root/tests/e2e/workflows/push.yml" --matrix flavour:plain \
      -P ubuntu-latest=-self-hosted --artifact-server-path "$work/artifacts" --artifact-server-port 0 \
      --local-repository "rekindle-rs/rekindle@v1=$work/tagged" --local-repository "rekindle-rs/rekindle@$hook=$work/hook" \
      --env "WORK=$work/work" --env "ORIGIN=$work/origin" --env "CARGO_HOME=$work/cargo-home" --env CARGO_INCREMENTAL=0 \
      --env "RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup}" --env "REKINDLE_RELEASE_URL=$REKINDLE_RELEASE_URL"
  ) > "$work/$run.log" 2>&1 || { cat "$work/$run.log"; exit 1; }
  grep -E 'rekindle: (downloading|installed)|compiled [0-9]+, state|::warning' "$work/$run.log" || true
done
grep -q 'compiled 0, state exact, hit true' "$work/second.log" || { cat "$work/second.log"; exit 1; }
[ "$(grep -c 'GET ' "$work/requests")" = 1 ] || { echo "the program had to be fetched once"; cat "$work/requests"; exit 1; }
step "the end"
