#!/usr/bin/env bash
# From a fresh clone to a training run. What is already there is left alone, so it is also the way to run again.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
  cat <<END
usage: bash scripts/train.sh [config.yaml] [option ...]

Installs missing packages (Debian and Ubuntu, as root or with sudo), builds, and runs
  rwkv-train config.yaml [option ...]
Without a config: configs/quickstart.yaml, from the top of the clone. Options go to rwkv-train as they are, for
example --set batch.global_tokens=4096. The exit code is rwkv-train's; 2 when something is missing.

environment: RT_PRESET    CMake preset to build (default: cuda where nvcc and a GPU are, else cpu)
             CXX          C++20 compiler
             CMAKE_PREFIX_PATH   where else to look for libraries
END
}

case ${1:-} in
  -h | --help)
    usage
    exit 0
    ;;
esac

preset=$(choose_preset)
install_missing "$build_needs" "$optional_needs"
check_versions
# Without GTest a build that wants the tests would not configure.
options=()
if [ -z "$(cached "$preset" RT_TESTS)" ] && [ -n "$(missing "$test_needs")" ]; then options=(-DRT_TESTS=OFF); fi
configure "$preset" "${options[@]}"
build "$preset" rwkv-train rwkv

case ${1:-} in
  "" | -*)
    cd "$root"
    set -- configs/quickstart.yaml "$@"
    ;;
esac
exec "$root/build/$preset/bin/rwkv-train" "$@"
