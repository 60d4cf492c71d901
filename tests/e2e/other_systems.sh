#!/usr/bin/env bash
# What can be known on Linux about the other systems. Arguments: names of steps; without any, all of them.
#
#   lint      library, program and tests, for Windows, macOS and musl: type-checked by clippy, nothing is run
#   windows   unit tests, and the integration tests that need neither Cargo nor git, run under Wine
#   cargo     Windows' own Cargo and rustc, and git compiled for Windows, under Wine: scenarios of the integration tests.
#             REKINDLE_FULL=1 asks for more of them
#   arm64     the unit tests, and the integration tests that start nothing, on a processor that qemu plays
#   release   the program for the six targets of a release, as near as this machine comes to them: packed, with checksums, and run
#             where something here can run it. REKINDLE_FULL=1 builds each twice, in two folders: both have to be the same
#   linux     file systems (ext4 with casefold, xfs, btrfs, overlayfs, tmpfs; noatime), with the tests of names and packs; needs root
#
# Everything is installed below target/tools/systems, once; standard libraries come by rustup. How it can be wrong: Wine is not
# Windows. It has no NTFS: names, links, times and locks are those of the disk below, as Wine shows them.
set -euo pipefail
cd "$(dirname "$0")/../.."

ZIGLANG=0.17.1
ZIGBUILD=0.24.1
RUST_IN_WINE=1.95.0
WINDOWS=x86_64-pc-windows-gnu
# zig is the C compiler and linker of these.
ZIG_TARGETS=(aarch64-apple-darwin x86_64-unknown-linux-musl aarch64-unknown-linux-musl)

systems=$PWD/target/tools/systems
files=$systems/root
mkdir -p "$systems"
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
step() { printf '\n== %s (after %d s)\n' "$*" "$SECONDS"; }

# Debian's packages, unpacked and not installed: each set once.
unpack() { # name of the set, packages
  local name=$1
  shift
  if [ -e "$systems/$name" ]; then return; fi
  step "installing $name"
  local debs
  debs=$(mktemp -d)
  (
    cd "$debs"
    apt-get download -qq -o APT::Sandbox::User=root "$@" > /dev/null 2>&1 ||
      { apt-get update -qq > /dev/null && apt-get download -qq -o APT::Sandbox::User=root "$@" > /dev/null; }
    for package in *.deb; do dpkg -x "$package" "$files"; done
    printf '%s\n' *.deb > "$systems/$name"
  )
  rm -rf "$debs"
}

need_target() { # target
  [ -d "$(rustc --print sysroot)/lib/rustlib/$1/lib" ] || rustup target add "$1" > /dev/null 2>&1 ||
    { echo "there is no standard library for $1 here" >&2; return 1; }
}

need_zig() {
  if [ ! -e "$systems/zig-$ZIGLANG-$ZIGBUILD" ]; then
    step "installing zig"
    python3 -m venv "$systems/python"
    "$systems/python/bin/pip" install --quiet --disable-pip-version-check "ziglang==$ZIGLANG" "cargo-zigbuild==$ZIGBUILD"
    touch "$systems/zig-$ZIGLANG-$ZIGBUILD"
  fi
}
zigbuild() { PATH="$systems/python/bin:$PATH" cargo-zigbuild "$@"; }

need_mingw() {
  unpack mingw binutils-mingw-w64-x86-64 mingw-w64-common mingw-w64-x86-64-dev gcc-mingw-w64-base \
    gcc-mingw-w64-x86-64-win32-runtime gcc-mingw-w64-x86-64-win32
  # By the name that Rust knows.
  ln -sf x86_64-w64-mingw32-gcc-win32 "$files/usr/bin/x86_64-w64-mingw32-gcc"
  need_target "$WINDOWS"
}

lint() {
  need_mingw
  need_zig
  step "clippy for $WINDOWS"
  PATH="$files/usr/bin:$PATH" cargo clippy --quiet --all-targets --locked --target "$WINDOWS" -- --deny warnings
  for target in "${ZIG_TARGETS[@]}"; do
    need_target "$target"
    step "clippy for $target"
    zigbuild clippy --quiet --all-targets --locked --target "$target" -- --deny warnings
  done
}

# Wine from Debian's packages, and a Windows of its own below target/tools.
need_wine() {
  need_mingw
  unpack wine wine64 libwine libz-mingw-w64 libunwind8
  local wine=$files/usr/lib/wine libraries=$files/usr/lib/x86_64-linux-gnu zlib=$files/usr/x86_64-w64-mingw32/lib/zlib1.dll
  export WINEPREFIX=$systems/prefix WINEDEBUG=-all WINEDLLOVERRIDES="mscoree,mshtml,winemenubuilder.exe=" DISPLAY=
  export LD_LIBRARY_PATH=$libraries PATH="$wine:$PATH"
  if [ ! -e "$WINEPREFIX/ready" ]; then
    step "making a Windows"
    rm -rf "$WINEPREFIX"
    # Debian's names the server by its full path.
    printf '#!/bin/sh\nexec "%s/wineserver64" -p5 "$@"\n' "$wine" > "$wine/wineserver"
    cp "$zlib" "$libraries/wine/x86_64-windows/"
    timeout 120 wine64 wineboot --init < /dev/null > /dev/null 2>&1 || true
    # What this Wine has not, and Rust's standard library asks for.
    printf '%s\n' '#include <windows.h>' 'BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);' \
      '__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE to, SIZE_T length) { return SystemFunction036(to, (ULONG)length); }' \
      > "$systems/prng.c"
    "$files/usr/bin/x86_64-w64-mingw32-gcc" -shared -s -o "$WINEPREFIX/drive_c/windows/system32/bcryptprimitives.dll" \
      "$systems/prng.c" -ladvapi32
    cp "$zlib" "$WINEPREFIX/drive_c/windows/system32/"
    touch "$WINEPREFIX/ready"
  fi
}

# The program that cargo built for a target, of this kind.
built() { # cargo, target, kind, arguments for cargo
  local cargo=$1 target=$2 kind=$3
  shift 3
  PATH="$files/usr/bin:$PATH" "$cargo" test --locked --no-run --target "$target" --message-format=json "$@" 2> /dev/null |
    sed -n 's/.*"kind":\["'"$kind"'"\].*"executable":"\([^"]*\)".*/\1/p' | tail -n 1
}

# What starts nothing, and what starts the program alone: neither needs Cargo or git.
WITHIN=(
  names:: drafts:: reports::
  packs::a_file_that_cannot_be_made packs::files_that_claim packs::no_path_leads packs::sizes_and_places packs::what_would_take
)
ALONE=("${WITHIN[@]}" doctor:: ignores:: commands::an_unknown_option commands::whoever_reads_only)
# They ask git.
ASKING=(--skip a_folder_of_a_repository --skip git_says)
if [ "${REKINDLE_FULL:-}" = 1 ]; then
  WITHIN+=(packs::very_many)
  ALONE+=(fuzz::read:: fuzz::answers:: packs::very_many)
fi

windows() {
  need_wine
  step "compiling the tests for Windows"
  local unit integration
  unit=$(built cargo "$WINDOWS" lib --lib)
  integration=$(built cargo "$WINDOWS" test --test it)
  [ -x "$unit" ] && [ -x "$integration" ] || { echo "the tests for Windows cannot be built" >&2; return 1; }
  # This Wine says that it has made a symlink, and has not. There is no git and no Cargo in it.
  local unit_skipped=(--skip a_symlink_gets_its_own_time --skip what_a_cargo_takes_away --skip what_is_not_understood_is_left_alone)
  step "unit tests under $(wine64 --version)"
  timeout 600 wine64 "$unit" --quiet --test-threads=2 "${unit_skipped[@]}" < /dev/null
  step "integration tests that need neither Cargo nor git"
  timeout 900 wine64 "$integration" --quiet --test-threads=2 "${ASKING[@]}" "${ALONE[@]}" < /dev/null
}

need_windows_rust() {
  local toolchain=$RUST_IN_WINE-$WINDOWS
  rust_in_wine=$systems/rustup/toolchains/$toolchain
  if [ ! -x "$rust_in_wine/bin/rustc.exe" ]; then
    step "installing Rust $toolchain"
    # That it cannot be asked for its version is said, and is no failure.
    RUSTUP_HOME=$systems/rustup LD_LIBRARY_PATH='' rustup toolchain install "$toolchain" --profile minimal --force-non-host \
      --no-self-update > /dev/null 2>&1 || [ -x "$rust_in_wine/bin/rustc.exe" ] || { echo "there is no $toolchain" >&2; return 1; }
  fi
}

# Git from Debian's source package, compiled for Windows: nobody offers its programs where packages come from. Two programs that it
# and rustc start have stand-ins.
need_windows_git() {
  local compiler=$files/usr/bin/x86_64-w64-mingw32-gcc bin=$systems/git/bin name
  if [ ! -x "$bin/git.exe" ]; then
    step "compiling git for Windows"
    unpack zlib-dev libz-mingw-w64-dev
    local place
    place=$(mktemp -d)
    mkdir -p "$place/lists/partial" "$place/include"
    (
      cd "$place"
      # shellcheck source=/dev/null
      . /etc/os-release
      # From where this machine has its other packages.
      # shellcheck disable=SC2016 # that is apt's
      echo "deb-src $(apt-get indextargets --format '$(REPO_URI)' | head -n 1) $VERSION_CODENAME main" > sources.list
      local apt=(apt-get -qq -o "Dir::Etc::sourcelist=$place/sources.list" -o Dir::Etc::sourceparts=/dev/null
        -o "Dir::State::lists=$place/lists" -o APT::Sandbox::User=root)
      "${apt[@]}" update > /dev/null
      "${apt[@]}" source --download-only git > /dev/null 2>&1
      tar xf git_*.orig.tar.xz
      # Windows does not tell the cases of these apart.
      for name in NTSecAPI.h Psapi.h tlHelp32.h; do echo "#include <${name,,}>" > "include/$name"; done
      cd git-*/
      LD_LIBRARY_PATH='' PATH="$files/usr/bin:$PATH" make -j2 uname_S=MINGW uname_R=1.0 uname_M=x86_64 CC=x86_64-w64-mingw32-gcc \
        AR=x86_64-w64-mingw32-ar RC="x86_64-w64-mingw32-windres -O coff" NO_OPENSSL=1 NO_CURL=1 NO_EXPAT=1 NO_PERL=1 NO_PYTHON=1 \
        NO_TCLTK=1 NO_GETTEXT=1 NO_ICONV=1 NEEDS_LIBICONV='' USE_LIBPCRE='' NO_SVN_TESTS=1 prefix=/ \
        CFLAGS="-O0 -I$place/include -I$files/usr/x86_64-w64-mingw32/include" \
        LDFLAGS="-L$files/usr/x86_64-w64-mingw32/lib -static" git.exe > "$systems/git.log" 2>&1 ||
        { tail -n 20 "$systems/git.log" >&2; return 1; }
      mkdir -p "$bin" "$systems/git/share/git-core/templates"
      cp git.exe "$bin/"
    )
    rm -rf "$place"
  fi
  for name in sh dlltool; do
    LD_LIBRARY_PATH='' "$compiler" -O1 -Wall -s -o "$bin/$name.exe" "tests/e2e/windows/$name.c"
  done
}

# What Wine calls a path of this machine.
in_wine() { local path=${1//\//\\}; echo "Z:$path"; }

SCENARIOS=(nothing_changed an_included_file_changes)
if [ "${REKINDLE_FULL:-}" = 1 ]; then
  SCENARIOS+=(
    a_source_file_changes a_module_is_renamed a_file_that_a_dep_info_names_is_deleted_and_its_module_with_it
    a_file_is_renamed_in_a_watched_folder a_file_is_added_to_a_watched_folder a_feature_is_switched_on line_endings_change
  )
fi

cargo_in_wine() {
  need_wine
  need_windows_rust
  need_windows_git
  RUST_LLD=$(in_wine "$rust_in_wine/lib/rustlib/$WINDOWS/bin/rust-lld.exe")
  WINEPATH="$(in_wine "$rust_in_wine/bin");$(in_wine "$systems/git/bin")"
  export RUST_LLD WINEPATH
  local name
  for name in cargo rustc git; do
    timeout 120 wine64 "$name" --version < /dev/null || { echo "$name does not run under Wine" >&2; return 1; }
  done
  step "compiling the tests for Windows"
  local integration
  integration=$(built cargo "$WINDOWS" test --test it)
  [ -x "$integration" ] || { echo "the tests for Windows cannot be built" >&2; return 1; }
  step "${#SCENARIOS[@]} scenarios with Cargo and git under $(wine64 --version)"
  # One at a time: each has Cargo use all cores.
  REKINDLE_TEST_ENV=CARGO_PROFILE_DEV_DEBUG=0 timeout 1800 wine64 "$integration" --quiet --test-threads=1 --exact \
    "${SCENARIOS[@]/#/scenarios::}" < /dev/null
}

need_qemu() { unpack qemu qemu-user-static; }
on_arm64() { "$files/usr/bin/qemu-aarch64-static" "$@"; }

# A static program needs nothing else of its system.
arm64() {
  need_zig
  need_qemu
  local target=aarch64-unknown-linux-musl unit integration
  need_target "$target"
  step "compiling the tests for $target"
  unit=$(built zigbuild "$target" lib --lib)
  integration=$(built zigbuild "$target" test --test it)
  [ -x "$unit" ] && [ -x "$integration" ] || { echo "the tests for $target cannot be built" >&2; return 1; }
  step "unit tests under $(on_arm64 -version | head -n 1)"
  # Whatever is started there is this machine's own again: a shell, git, programs of Python. What is computed for half a minute by
  # itself is so for minutes there, and is no other computation.
  timeout 1200 "$files/usr/bin/qemu-aarch64-static" "$unit" --quiet --test-threads=2 --skip housekeeping::proof:: < /dev/null
  step "integration tests that start nothing"
  timeout 900 "$files/usr/bin/qemu-aarch64-static" "$integration" --quiet --test-threads=2 "${WITHIN[@]}" < /dev/null
}

# macOS has these, and nobody may hand them on: what links the program is a list of the names that the crates declare, and of no code.
need_frameworks() {
  local place=$systems/frameworks
  rm -rf "$place"
  # shellcheck disable=SC2016 # that is Python's
  cargo metadata --locked --format-version 1 --filter-platform aarch64-apple-darwin | python3 -c '
import json, pathlib, re, sys
packages = {package["name"]: pathlib.Path(package["manifest_path"]).parent for package in json.load(sys.stdin)["packages"]}
for framework, crate, start in [("CoreFoundation", "core-foundation-sys", "CF"), ("Security", "security-framework-sys", "(?:Sec|SSL|CMS|Authorization|CSSM)")]:
    text = "".join(path.read_text() for path in packages[crate].rglob("*.rs"))
    names = sorted(set(re.findall(r"\b(?:fn|static)\s+(k?" + start + r"\w+)", text)) | set(re.findall(r"\b(__CF\w+)", text)))
    folder = pathlib.Path(sys.argv[1]) / f"{framework}.framework"
    folder.mkdir(parents=True)
    lines = ["--- !tapi-tbd", "tbd-version: 4", "targets: [ x86_64-macos, arm64-macos ]",
        f"install-name: \x27/System/Library/Frameworks/{framework}.framework/Versions/A/{framework}\x27",
        "exports:", "  - targets: [ x86_64-macos, arm64-macos ]", "    symbols: [ " + ", ".join("_" + name for name in names) + " ]", "..."]
    (folder / f"{framework}.tbd").write_text("\n".join(lines) + "\n")
' "$place"
}

RELEASED=(
  x86_64-unknown-linux-musl aarch64-unknown-linux-musl
  x86_64-apple-darwin aarch64-apple-darwin
  x86_64-pc-windows-gnu aarch64-pc-windows-gnullvm
)

# The program for one target. No folder of this machine stands in it.
program() { # target, folder of the source, folder to build in
  local target=$1 source=$2 cargo=zigbuild words=build suffix=
  if [ "$target" = "$WINDOWS" ]; then cargo=cargo; else words=zigbuild; fi
  local flags="--remap-path-prefix=$source=rekindle --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"
  case $target in *apple*) flags="$flags -L framework=$systems/frameworks" ;; *windows*) suffix=.exe ;; esac
  (
    cd "$source"
    PATH="$files/usr/bin:$PATH" CARGO_INCREMENTAL=0 RUSTFLAGS=$flags MACOSX_DEPLOYMENT_TARGET=11.0 \
      "$cargo" "$words" --quiet --release --locked --target "$target" --target-dir "$3" >&2
  )
  echo "$3/$target/release/rekindle$suffix"
}

# What it says of itself, where something here can run it.
says() { # target, program
  case $1 in
    x86_64-unknown-linux-musl) "$2" --version ;;
    aarch64-unknown-linux-musl) on_arm64 "$2" --version ;;
    "$WINDOWS") timeout 120 wine64 "$2" --version < /dev/null | tr -d '\r' ;;
    *) echo "" ;;
  esac
}

release() {
  need_zig
  need_qemu
  need_wine
  need_frameworks
  local assets=$systems/assets version program other said
  version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
  rm -rf "$assets"
  mkdir -p "$assets"
  for target in "${RELEASED[@]}"; do
    need_target "$target"
    step "rekindle for $target"
    program=$(program "$target" "$PWD" "$PWD/target/systems")
    said=$(says "$target" "$program")
    [ "$said" = "${said:+rekindle $version}" ] || { echo "it says '$said'" >&2; return 1; }
    gzip -9 -n < "$program" > "$assets/rekindle-$target.gz"
    echo "$(wc -c < "$program") bytes, packed $(wc -c < "$assets/rekindle-$target.gz"), $([ -n "$said" ] && echo run || echo not run)"
    if [ "${REKINDLE_FULL:-}" = 1 ]; then
      local elsewhere
      elsewhere=$(mktemp -d)
      git clone --quiet "$PWD" "$elsewhere/further/down"
      other=$(program "$target" "$elsewhere/further/down" "$elsewhere/target")
      cmp "$program" "$other" || { echo "two builds gave two programs" >&2; return 1; }
      rm -rf "$elsewhere"
    fi
  done
  step "checksums"
  (cd "$assets" && sha256sum rekindle-*.gz | tee SHA256SUMS)
}

# The tests of names and packs, with the temporary folder on another file system.
on() { # what it is, folder
  step "$1"
  TMPDIR=$2 "$integration" --quiet "${of_packs[@]}"
}

# On a file system made for this, in a file; one that this machine cannot make or mount is named and passed over.
made() { # name, options for mkfs, options for mount
  local image=$mounts/$1.img dir=$mounts/$1 kind=${1%%-*}
  mkdir -p "$dir"
  truncate -s 400M "$image"
  # shellcheck disable=SC2086 # several words
  if mkfs."$kind" -q $2 "$image" > /dev/null 2>&1 && mount -o "loop$3" "$image" "$dir" 2> /dev/null; then
    mounted+=("$dir")
    mkdir "$dir/temp"
    if [ "$1" = ext4-casefold ]; then chattr +F "$dir/temp"; fi
    on "$1" "$dir/temp"
  else
    step "$1 cannot be had here"
  fi
}

linux() {
  unpack filesystems xfsprogs btrfs-progs libinih1 liburcu8
  PATH="$files/sbin:$files/usr/sbin:$files/bin:$PATH" LD_LIBRARY_PATH=$files/usr/lib/x86_64-linux-gnu:$files/lib/x86_64-linux-gnu
  export PATH LD_LIBRARY_PATH
  local integration of_packs=(names:: packs::a_file_that_cannot_be_made packs::files_that_claim packs::no_path_leads packs::nothing_is_written)
  integration=$(cargo test --locked --no-run --test it --message-format=json 2> /dev/null |
    sed -n 's/.*"kind":\["test"\].*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
  mounts=$(mktemp -d) mounted=()
  trap 'for dir in ${mounted[@]+"${mounted[@]}"}; do umount "$dir" || true; done; rm -rf "$mounts"' EXIT
  made ext4-casefold "-O casefold" ""
  made ext4-noatime "" ",noatime"
  made xfs "" ""
  made xfs-folding "-n version=ci" ""
  made btrfs "" ""
  mkdir "$mounts/memory" "$mounts/over"
  if mount -t tmpfs tmpfs "$mounts/memory"; then
    mounted+=("$mounts/memory")
    mkdir "$mounts"/memory/{temp,lower,upper,work}
    on tmpfs "$mounts/memory/temp"
    if mount -t overlay -o "lowerdir=$mounts/memory/lower,upperdir=$mounts/memory/upper,workdir=$mounts/memory/work" overlay "$mounts/over"; then
      mounted=("$mounts/over" "${mounted[@]}")
      on overlayfs "$mounts/over"
    fi
  fi
}

steps=("$@")
[ ${#steps[@]} -gt 0 ] || steps=(lint windows cargo arm64 release linux)
for name in "${steps[@]}"; do
  case $name in
    cargo) cargo_in_wine ;;
    lint | windows | arm64 | release | linux) "$name" ;;
    *) echo "unknown step $name" >&2; exit 2 ;;
  esac
done
step "the end"
