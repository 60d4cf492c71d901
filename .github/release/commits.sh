#!/usr/bin/env bash
# Makes the two commits of a release on top of HEAD. The first holds dist/release.json, as json.sh wrote it; the second makes
# action.yml name its hook by the first one's hash. So whoever pins the second has pinned the hook and every program.
#
# Both have the time of their parent, so that a second attempt makes the same commits. Usage: commits.sh VERSION
set -euo pipefail

[ $# -eq 1 ] || { echo "usage: commits.sh VERSION" >&2; exit 2; }
version=$1
cd "$(dirname "$0")/../.."

GIT_AUTHOR_DATE=$(git log -1 --format=%cI)
export GIT_AUTHOR_DATE GIT_COMMITTER_DATE="$GIT_AUTHOR_DATE"

git add dist/release.json
git commit --quiet --message "Name the programs of $version"
hook=$(git rev-parse HEAD)

sed -E "s|^( +uses: rekindle-rs/rekindle/dist/hook)@.*|\\1@$hook  # v$version|" action.yml > action.yml.new
mv action.yml.new action.yml
grep -qF "uses: rekindle-rs/rekindle/dist/hook@$hook  # v$version" action.yml || { echo "action.yml names no hook" >&2; exit 1; }
git add action.yml
git commit --quiet --message "Release $version"
