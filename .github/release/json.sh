#!/usr/bin/env bash
# Writes dist/release.json: where each target's asset of a release lies, its size and SHA-256, and those of the program in it.
# The same assets give the same bytes. Usage: json.sh VERSION ASSETS
set -euo pipefail

[ $# -eq 2 ] || { echo "usage: json.sh VERSION ASSETS" >&2; exit 2; }
version=$1
assets=$(cd "$2" && pwd)
cd "$(dirname "$0")/../.."

python3 - "$version" "$assets" <<'PYTHON'
import gzip
import hashlib
import json
import pathlib
import re
import sys
import tomllib

TARGETS = [
    "aarch64-apple-darwin",
    "aarch64-pc-windows-msvc",
    "aarch64-unknown-linux-musl",
    "x86_64-apple-darwin",
    "x86_64-pc-windows-msvc",
    "x86_64-unknown-linux-musl",
]
# What a cold runner downloads.
LARGEST = 6 * 1024 * 1024

version, assets = sys.argv[1], pathlib.Path(sys.argv[2])
package = tomllib.loads(pathlib.Path("Cargo.toml").read_text(encoding="utf-8"))["package"]
if not re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", version):
    sys.exit(f"'{version}' is no version of three numbers")
if version != package["version"]:
    sys.exit(f"the version is {version}, Cargo.toml says {package['version']}")

names = {target: f"rekindle-{target}.gz" for target in TARGETS}
found = {path.name for path in assets.iterdir()} - {"SHA256SUMS"}
if found != set(names.values()):
    sys.exit(f"missing: {sorted(set(names.values()) - found)}, not expected: {sorted(found - set(names.values()))}")

targets = {}
for target, name in names.items():
    content = (assets / name).read_bytes()
    program = gzip.decompress(content)
    if not program:
        sys.exit(f"{name} is empty")
    if len(content) > LARGEST:
        sys.exit(f"{name} has {len(content)} bytes, and {LARGEST} are the limit")
    targets[target] = {
        "url": f"{package['repository']}/releases/download/v{version}/{name}",
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "program_size": len(program),
        "program_sha256": hashlib.sha256(program).hexdigest(),
    }
text = json.dumps({"version": version, "targets": targets}, indent=2) + "\n"
pathlib.Path("dist/release.json").write_text(text, encoding="utf-8", newline="\n")
PYTHON
