#!/usr/bin/env bash
# From a fresh clone to every test that needs no GPU. RT_WERROR=ON makes warnings errors, RT_PRESET names another
# CMake preset, RT_LABEL keeps to one label. Exits non-zero when anything fails; 2 when something is missing.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

preset=$(choose_preset)
install_missing "$build_needs$test_needs" "$optional_needs${RT_TEST_TOOLS:+$test_tools}"
check_versions
options=(-DRT_TESTS=ON)
if [ -n "${RT_WERROR:-}" ]; then options+=("-DRT_WERROR=$RT_WERROR"); fi
configure "$preset" "${options[@]}"
build "$preset"

jobs=$(nproc)
filter=()
nvidia-smi -L 2>/dev/null | grep -q '^GPU' || filter+=(-LE '^gpu$')
[ -z "${RT_LABEL:-}" ] || filter+=(-L "^$RT_LABEL\$")
# Tests run side by side: each gets a few threads, not all of them.
export RT_NUM_THREADS=${RT_NUM_THREADS:-2}
cd "$root"
ctest --preset "$preset" "${filter[@]}" -j "$((jobs < 2 ? 2 : jobs))" --no-tests=error \
  --output-junit "$root/build/$preset/tests.xml"
