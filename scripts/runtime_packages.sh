#!/usr/bin/env bash
# bash scripts/runtime_packages.sh PROGRAM...   prints the packages, one a line, whose libraries these programs are linked
# with: what an image needs to run what another one built. On Debian and Ubuntu. Libraries that no package owns here
# under a name apt could install (CUDA's own come with its images) are left out, as is libc.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
[ $# != 0 ] || die "usage: bash scripts/runtime_packages.sh PROGRAM..."

for program; do
  paths=$(ldd "$program") || die "$program: not a program that is linked with libraries"
  while read -r library; do
    path=$(awk -v library="$library" '$1 == library && $2 == "=>" {print $3}' <<<"$paths")
    [ "$path" != not ] || die "$program needs $library, which is not here"
    case $(readlink -f "$path") in /usr/local/*) continue ;; esac
    # dpkg knows a file by the path it was packed with, before or after /lib became /usr/lib.
    owner=$(dpkg-query -S "$path" 2>/dev/null || dpkg-query -S "/usr$path" 2>/dev/null ||
      dpkg-query -S "$(readlink -f "$path")" 2>/dev/null) || die "$path belongs to no package"
    printf '%s\n' "${owner%%:*}"
  done < <(objdump -p "$program" | awk '$1 == "NEEDED" && $2 !~ /^ld-linux/ {print $2}')
done | sort -u | grep -vx 'libc6\|libgcc-s1'
