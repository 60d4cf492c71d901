#!/usr/bin/env bash
# cryptography from its published sources, installed by uv with build isolation, on a machine that is wiped in between: the
# clone, the environment, uv's cache and the shim's folder go, and the warm run compiles nothing. Without the shim the report
# names what drifted. Arguments: versions; without any, both that are pinned here.
set -euo pipefail
cd "$(dirname "$0")/../.."

root=$PWD
rekindle=${REKINDLE_BINARY:-$root/target/release/rekindle}
tools=$root/target/tools
uv=$tools/python/bin/uv
work=$root/target/cryptography
job=$work/job
python=${REKINDLE_TEST_PYTHON:-python3}

pip=$tools/python/bin/pip
# shellcheck source=tests/e2e/machine.sh
source tests/e2e/machine.sh
export UV_CACHE_DIR=$job/uv-cache

# A fresh machine with a fresh checkout; what is stored stays.
wipe() { # version
  rm -rf "$job"
  mkdir -p "$job/runner"
  tar -xzf "$work/cryptography-$1.tar.gz" -C "$job"
  mv "$job/cryptography-$1" "$job/checkout"
  cd "$job/checkout"
  printf '/target\n__pycache__\n' > .gitignore
  commit "$1"
  "$uv" venv --quiet --python "$python" "$job/venv"
}

# Installs, and says what was compiled.
install() {
  : > "$work/compiled"
  VIRTUAL_ENV=$job/venv "$uv" pip install --quiet --reinstall-package cryptography . > "$work/install.log" 2>&1 || {
    cat "$work/install.log" >&2
    fail "the build failed"
  }
  sort -u "$work/compiled" | tr '\n' ' '
  "$job/venv/bin/python" -c 'from cryptography.fernet import Fernet as F; f = F(F.generate_key()); assert f.decrypt(f.encrypt(b"x")) == b"x"'
}

restore() { # isolation, store
  "$rekindle" restore --isolation "$1" --python "$job/venv/bin/python" --store "dir:$work/$2" > "$work/restore.log"
  PATH=$(path_of "$work/restore.log"):$PATH
}

run() { # version, isolation
  local version=$1 isolation=$2 store=store-$1-$2 path=$PATH compiled
  rm -rf "${work:?}/$store"
  wipe "$version"
  restore "$isolation" "$store"
  compiled=$(install)
  [ -n "$compiled" ] || fail "$version: the cold run compiled nothing"
  "$rekindle" save > "$work/save.log"
  printf '%s, isolation: %s: cold %s crates' "$version" "$isolation" "$(wc -w <<< "$compiled")"

  PATH=$path
  wipe "$version"
  restore "$isolation" "$store"
  compiled=$(install)
  "$rekindle" save > "$work/save.log"
  PATH=$path
  printf ', wiped and restored %s crates (%s)\n' "$(wc -w <<< "$compiled")" "$compiled"
  warm=$compiled
}

versions=("$@")
[ ${#versions[@]} -gt 0 ] || versions=(48.0.0 50.0.2)
for version in "${versions[@]}"; do
  [ -f "$work/cryptography-$version.tar.gz" ] \
    || "$pip" download --quiet --disable-pip-version-check --no-deps --no-binary cryptography --dest "$work" "cryptography==$version"
  run "$version" alias
  [ -z "$warm" ] || { cat "$work/restore.log" "$work/save.log" >&2; fail "$version: the warm run compiled $warm"; }
done

# The older one asks for the interpreter by path: without the shim that is another one in every run, and is said.
case " ${versions[*]} " in
  *" 48.0.0 "*)
    run 48.0.0 report
    [ -n "$warm" ] || fail "without the shim, an isolated build of 48.0.0 should have drifted"
    grep -q "PYO3_PYTHON. changed: .*builds-v0.* → .*builds-v0" "$work/save.log" || { cat "$work/save.log" >&2; fail "the drift is not named"; }
    grep -q 'advice: .*PYO3_PYTHON.*isolation: alias' "$work/save.log" || { cat "$work/save.log" >&2; fail "there is no advice"; }
    grep 'PYO3_PYTHON' "$work/save.log"
    ;;
esac
