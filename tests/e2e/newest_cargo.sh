#!/usr/bin/env bash
# The tests whose verdicts come from Cargo, under the newest Cargo there is. It is built from its package with the nightly
# compiler, once, and kept in target/tools. Arguments: names of modes; without any, all of them.
set -euo pipefail
cd "$(dirname "$0")/../.."

# The package cargo 0.N is Cargo 1.(N-1).
CARGO=0.100.0
TESTS=(scenarios:: layouts:: explain:: oracle::)
# They ask rustup for another toolchain, and this Cargo is not rustup's.
SKIPPED=(another_toolchain_is_a_cold_start_that_says_so settings_that_open_new_folders_are_named_although_cargo_gives_no_reason)
: "${REKINDLE_ORACLE:=8}"
export REKINDLE_ORACLE

root=$PWD
newest=$root/target/tools/newest
if ! [ -e "$newest/cargo-$CARGO" ]; then
  rm -rf "$newest"
  # What is optimised less is there sooner.
  CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_DEBUG=0 CARGO_PROFILE_RELEASE_LTO=off \
    CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_TARGET_DIR=$root/target/tools/newest-build \
    cargo +nightly install cargo --version "$CARGO" --locked --root "$newest"
  rm -rf "$root/target/tools/newest-build"
  touch "$newest/cargo-$CARGO"
fi

# The tests themselves are built by the cargo of every day.
tests=$(cargo test --locked --test it --no-run --message-format=json 2> /dev/null |
  sed -n 's/.*"kind":\["test"\].*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
[ -x "$tests" ] || { echo "the tests cannot be built" >&2; exit 1; }
PATH=$newest/bin:$(rustup run nightly rustc --print sysroot)/bin:$PATH
export PATH RUSTC_BOOTSTRAP=1
printf 'cargo %s, %s\n' "$(cargo --version)" "$(rustc --version)"

# What each mode sets for every call of cargo, one variable a line.
settings() {
  case $1 in
    a-folder-a-unit) ;;
    legacy) echo __CARGO_TEMPORARY_BUILD_DIR_NEW_LAYOUT_OPT_OUT=1 ;;
    no-embedded-metadata) echo CARGO_UNSTABLE_EMBED_METADATA=false ;;
    checksums) echo CARGO_UNSTABLE_CHECKSUM_FRESHNESS=true ;;
    build-dir) echo 'CARGO_BUILD_BUILD_DIR={workspace-root}/target/build-files' ;;
    *) echo "unknown mode $1" >&2; return 1 ;;
  esac
}

modes=("$@")
[ ${#modes[@]} -gt 0 ] || modes=(a-folder-a-unit legacy no-embedded-metadata checksums build-dir)
failed=()
for mode in "${modes[@]}"; do
  printf '\n== %s\n' "$mode"
  set=$(settings "$mode")
  REKINDLE_TEST_ENV=$set "$tests" --test-threads="${REKINDLE_THREADS:-2}" "${SKIPPED[@]/#/--skip=}" "${TESTS[@]}" || failed+=("$mode")
done
[ ${#failed[@]} -eq 0 ] || { printf 'failed: %s\n' "${failed[*]}" >&2; exit 1; }
