#!/usr/bin/env bash
# bash scripts/tidy.sh [--since REF] [file.cpp ...]   clang-tidy over the files compiled by the preset RT_PRESET
# (default cpu): all of them, those named, or those a change since REF touches (directly or by an included header).
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# The .cpp files that changed since $1 or include a header that did. Private headers are included by their path below
# src/, public ones by theirs below include/.
changed_since() {
  local file header
  { git diff --name-only --diff-filter=d "$1" -- && git ls-files -o --exclude-standard; } | while read -r file; do
    header=${file#include/}
    case $file in
      *.cpp) printf '%s\n' "$file" ;;
      *.h) git grep -l --untracked -F "\"${header#src/}\"" -- '*.cpp' || true ;;
    esac
  done | sort -u
}

cd "$root"
preset=$(choose_preset)
database="build/$preset/compile_commands.json"
install_missing "clang-tidy program:clang-tidy"
[ -e "$database" ] || die "no $database. Run: bash scripts/test.sh (or cmake --preset $preset)"

compiled=$(sed -n 's/^ *"file": "\(.*\)",\{0,1\}$/\1/p' "$database" | sed "s,^$root/,," | sort -u)
if [ "${1:-}" = --since ]; then
  [ $# = 2 ] || die "usage: bash scripts/tidy.sh --since REF"
  git rev-parse -q --verify "$2^{commit}" >/dev/null || die "$2 is not a commit"
  wanted=$(changed_since "$2")
elif [ $# != 0 ]; then
  wanted=$(printf '%s\n' "$@" | sort -u)
else
  wanted=$compiled
fi
mapfile -t files < <(comm -12 <(printf '%s\n' "$compiled") <(printf '%s\n' "$wanted") | sed '/^$/d')
if [ ${#files[@]} = 0 ]; then
  say "[tidy] no compiled file to look at"
  exit 0
fi
# The database is g++'s: clang does not know all of its warning names, and cannot read its precompiled headers. Without
# them a file must include what it uses.
own=$(mktemp -d)
trap 'rm -rf "$own"' EXIT
sed 's/-include [^ ]*cmake_pch\.hxx//; s/-Winvalid-pch//; s/-fpch-preprocess//' "$database" >"$own/compile_commands.json"
printf '%s\0' "${files[@]}" | xargs -0 -n 1 -P "$(nproc)" \
  clang-tidy -p "$own" --quiet --extra-arg=-Wno-unknown-warning-option \
  2> >(grep -v ' warnings\{0,1\} generated' >&2)
say "[tidy] ${#files[@]} files"
