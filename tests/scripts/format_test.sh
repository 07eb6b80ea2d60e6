#!/usr/bin/env bash
# scripts/format.sh with the real clang-format on a temporary clone; skipped (77) where that release is not installed.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if ! command -v clang-format-14 >/dev/null && ! clang-format --version 2>/dev/null | grep -q 'version 14\.'; then
  echo "skipped: clang-format 14 is not installed"
  exit 77
fi
cp -r "$here/scripts" "$here/.clang-format" "$work"
cd "$work"
git init -q .
mkdir -p src build
printf 'build/\n' >.gitignore
printf 'int  a ;\n' | tee src/bad.cpp build/ignored.cpp >/dev/null
printf 'int b;\n' >src/good.h
git add src/good.h

fail() {
  echo "FAILED: $1"
  exit 1
}
status=0
bash scripts/format.sh check 2>report || status=$?
[ "$status" = 1 ] || fail "check of a badly laid out file exits $status"
grep -q '^  src/bad.cpp$' report || fail "check does not name src/bad.cpp"
! grep -q 'good.h\|ignored' report || fail "check names a file it should not"
bash scripts/format.sh fix
[ "$(cat src/bad.cpp)" = "int a;" ] || fail "fix did not mend src/bad.cpp"
[ "$(cat build/ignored.cpp)" = "int  a ;" ] || fail "fix touched an ignored file"
bash scripts/format.sh 2>/dev/null || fail "check after fix"
status=0
bash scripts/format.sh cheque 2>/dev/null || status=$?
[ "$status" = 2 ] || fail "an unknown mode exits $status"
echo ok
