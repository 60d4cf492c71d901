# shellcheck shell=bash
# To be sourced by the scripts beside this one that build real projects: an environment in which nothing is the caller's own, and a
# compiler that leaves the name of every crate in `$work/compiled`.
: "${work:?is a folder for whatever stays}" "${job:?is a folder that is wiped before every job}"

unset PYO3_PYTHON PYTHONPATH VIRTUAL_ENV CONDA_PREFIX RUSTFLAGS CARGO_TARGET_DIR CARGO_INCREMENTAL
for name in ${!REKINDLE_@} ${!GITHUB_@} ${!ACTIONS_@} ${!HATCH_@}; do unset "$name"; done
mkdir -p "$work"
export RUNNER_TEMP=$job/runner CARGO_TERM_COLOR=never

cat > "$work/rustc-log" <<SCRIPT
#!/bin/sh
for word; do test "\$last" = --crate-name && test "\$word" != ___ && echo "\$word" >> '$work/compiled'; last=\$word; done
exec "\$@"
SCRIPT
chmod +x "$work/rustc-log"
export RUSTC_WRAPPER=$work/rustc-log

fail() { printf '%s: %s\n' "$(basename "$0" .sh)" "$*" >&2; exit 1; }

# Makes a repository of the folder.
commit() { # message
  git init --quiet .
  git add --all
  GIT_COMMITTER_DATE=2024-01-01T00:00:00Z git -c user.name=x -c user.email=x@localhost commit --quiet --message "$1"
}

# Outside of a workflow a restore prints what a runner would have been told: the folder that later steps have first in their PATH.
path_of() { # log of a restore
  sed -n "s/^export PATH=\(.*\):\"\\\$PATH\"\$/\1/p" "$1"
}
