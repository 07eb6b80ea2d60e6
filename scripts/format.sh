#!/usr/bin/env bash
# bash scripts/format.sh [check|fix]   check (the default) names files whose layout is not clang-format's; fix mends
# them. Layout differs between releases, so the release is pinned: Debian 12, Ubuntu 22.04 and 24.04 package it.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
readonly release=14

find_tool() {
  local name
  for name in "clang-format-$release" clang-format; do
    if "$name" --version 2>/dev/null | grep -q "version $release\."; then
      printf '%s\n' "$name"
      return
    fi
  done
}

mode=${1:-check}
[ "$mode" = check ] || [ "$mode" = fix ] || die "usage: bash scripts/format.sh [check|fix]"
tool=$(find_tool)
if [ -z "$tool" ]; then
  install_missing "clang-format-$release program:clang-format-$release"
  tool=$(find_tool)
fi

cd "$root"
mapfile -t files < <(git ls-files -co --exclude-standard -- '*.h' '*.cpp' '*.cu' '*.cuh' | while read -r file; do
  # Deleted but not yet committed files are listed too.
  if [ -f "$file" ]; then printf '%s\n' "$file"; fi
done)
[ ${#files[@]} != 0 ] || die "no source files found below $root"
if [ "$mode" = fix ]; then
  "$tool" -i "${files[@]}"
  exit
fi
bad=()
for file in "${files[@]}"; do
  "$tool" "$file" | cmp -s - "$file" || bad+=("$file")
done
if [ ${#bad[@]} != 0 ]; then
  say "not as clang-format $release would have it (bash scripts/format.sh fix):"
  say "$(printf '  %s\n' "${bad[@]}")"
  exit 1
fi
say "[format] ${#files[@]} files"
