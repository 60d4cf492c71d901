#!/usr/bin/env bash
# Builds the program for one target, tries it, and packs it: ASSETS/rekindle-TARGET.gz. The same source, compiler and target
# give the same bytes. Usage: asset.sh TARGET VERSION ASSETS [PROGRAM]; with PROGRAM, that one is taken and nothing is built.
set -euo pipefail

[ $# -ge 3 ] || { echo "usage: asset.sh TARGET VERSION ASSETS [PROGRAM]" >&2; exit 2; }
target=$1 version=$2
mkdir -p "$3"
asset=$(cd "$3" && pwd)/rekindle-$target.gz
program=${4:-}
cd "$(dirname "$0")/../.."

if [ -z "$program" ]; then
  suffix=''
  case $target in *windows*) suffix=.exe ;; esac
  # No folder of the machine that built it stands in the program.
  remap="--remap-path-prefix=$PWD=rekindle --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"
  export CARGO_INCREMENTAL=0 RUSTFLAGS="${RUSTFLAGS:-} $remap"
  cargo build --release --locked --target "$target"
  program=${CARGO_TARGET_DIR:-target}/$target/release/rekindle$suffix
fi
said=$("$program" --version | tr -d '\r')
[ "$said" = "rekindle $version" ] || { echo "$target: it says '$said', not 'rekindle $version'" >&2; exit 1; }
gzip -9 -n < "$program" > "$asset"
echo "$target: $(wc -c < "$program") bytes, packed $(wc -c < "$asset")"
