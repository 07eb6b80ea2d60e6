# shellcheck shell=bash disable=SC2034
# Shared set-up of the scripts here: what the build needs, how it is found and installed, when it is configured.
# Source it after `set -euo pipefail`. Everything it says goes to stderr.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# What the build needs: `package probe` per line. A probe is a program on PATH or a header below the include
# directory of a prefix, so that a hand-built or non-Debian installation counts as well.
build_needs='
g++              program:g++
cmake            program:cmake
ninja-build      program:ninja
git              program:git
libeigen3-dev    header:eigen3/Eigen/Core
libyaml-cpp-dev  header:yaml-cpp/yaml.h
libspdlog-dev    header:spdlog/spdlog.h
nlohmann-json3-dev header:nlohmann/json.hpp
libcli11-dev     header:CLI/CLI.hpp
libxxhash-dev    header:xxhash.h
libsimdjson-dev  header:simdjson.h
libzstd-dev      header:zstd.h
zlib1g-dev       header:zlib.h'
test_needs='
libgtest-dev     header:gtest/gtest.h'
# Faster matrix products; patterns of tokenizers that are not written out in code; SentencePiece models. Everything else works without.
optional_needs='
libdnnl-dev      header:dnnl.h
libpcre2-dev     header:pcre2.h
libsentencepiece-dev header:sentencepiece_processor.h
libgloo-dev header:gloo/context.h'
# What a few tests use: shell scripts are looked over, Slurm is started. RT_TEST_TOOLS=ON asks for it.
test_tools='
shellcheck       program:shellcheck
slurm-wlm        program:slurmctld
munge            program:munged'
readonly min_cmake=3.22 min_gcc=11

say() { printf '%s\n' "$*" >&2; }
die() {
  say "error: $*"
  exit 2
}

# The preset that is built and run: RT_PRESET, else cuda where both its compiler and a GPU are, else cpu.
choose_preset() {
  local preset=${RT_PRESET:-cpu}
  if [ -z "${RT_PRESET:-}" ] && { command -v nvcc || [ -x /usr/local/cuda/bin/nvcc ]; } >/dev/null &&
    nvidia-smi -L 2>/dev/null | grep -q '^GPU'; then
    preset=cuda
  fi
  printf '%s\n' "$preset"
}

present() {
  local kind=${1%%:*} what=${1#*:} prefix
  local -a prefixes
  # A compiler named by the usual variable stands in for g++.
  [ "$what" != g++ ] || what=${CXX:-g++}
  if [ "$kind" = program ]; then
    command -v "$what" >/dev/null
    return
  fi
  IFS=' :;' read -r -a prefixes <<<"${RT_PREFIXES:-/usr /usr/local} ${CMAKE_PREFIX_PATH:-}"
  for prefix in "${prefixes[@]}"; do
    if [ -n "$prefix" ] && [ -e "$prefix/include/$what" ]; then return 0; fi
  done
  return 1
}

# missing NEEDS: prints the packages of that list whose probe fails.
missing() {
  local package probe
  while read -r package probe; do
    if [ -n "$package" ] && ! present "$probe"; then printf '%s\n' "$package"; fi
  done <<<"$1"
}

# Sets `as_root` to the words that run a command as root; fails where there is no way. sudo asks for a password
# only where someone can type one and a required package is worth the question ($1 is "ask").
become_root() {
  as_root=(env)
  [ "$(id -u)" != 0 ] || return 0
  command -v sudo >/dev/null || return 1
  as_root=(sudo env)
  sudo -n true 2>/dev/null || { [ "$1" = ask ] && [ -t 0 ]; }
}

apt() {
  "${as_root[@]}" DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -q "$@" </dev/null >&2
}

# install_missing NEEDS [OPTIONAL]: installs what the lists lack, and nothing else. Sets `installed` to 1 when it did.
# Exits 2 with the command to run when it may not or cannot.
install_missing() {
  local -a packages optional=()
  local -r install="apt-get install -y --no-install-recommends"
  installed=0
  mapfile -t packages < <(missing "$1")
  # An optional package that could not be had is asked for once per clone, not on every run.
  if [ ! -e "$root/build/.optional-packages" ]; then mapfile -t optional < <(missing "${2:-}"); fi
  if ! command -v apt-get >/dev/null; then
    [ ${#packages[@]} = 0 ] && return 0
    die "not found: ${packages[*]} (Debian's names). Install them with this system's package manager; a prefix" \
      "other than /usr and /usr/local goes into CMAKE_PREFIX_PATH."
  fi
  if [ ${#packages[@]} != 0 ]; then
    if ! become_root ask; then
      say "error: packages are missing and this user may not install them. Run as root:"
      say "$install ${packages[*]}"
      [ ${#optional[@]} = 0 ] || say "(optional: $install ${optional[*]})"
      exit 2
    fi
    say "[setup] installing ${packages[*]}"
    apt update || say "[setup] apt-get update failed; trying with the package lists that are there"
    apt install -y --no-install-recommends "${packages[@]}" || die "that failed: $install ${packages[*]}"
    installed=1
    mapfile -t packages < <(missing "$1")
    [ ${#packages[@]} = 0 ] || die "installed, but still not found: ${packages[*]}"
  fi
  if [ ${#optional[@]} != 0 ] && become_root quietly; then
    say "[setup] installing ${optional[*]} (optional)"
    mkdir -p "$root/build"
    touch "$root/build/.optional-packages"
    [ "$installed" = 1 ] || apt update || true
    if apt install -y --no-install-recommends "${optional[@]}"; then
      installed=1
    else
      say "[setup] going on without ${optional[*]} (to try again: rm build/.optional-packages)"
    fi
  fi
}

# at_least FLOOR VERSION
at_least() { [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

check_versions() {
  local version
  version=$(cmake --version | sed -n 's/^cmake version \([0-9.]*\).*/\1/p')
  at_least "$min_cmake" "$version" ||
    die "cmake $version is older than $min_cmake. Install a newer one (https://cmake.org/download) ahead on PATH."
  if "${CXX:-g++}" --version 2>/dev/null | grep -q 'Free Software Foundation'; then
    version=$("${CXX:-g++}" -dumpversion)
    at_least "$min_gcc" "$version" || die "g++ $version is older than $min_gcc. Set CXX to a newer C++20 compiler."
  fi
}

# cached PRESET NAME: the value of a CMake cache entry, empty when there is none.
cached() { sed -n "s/^$2:[A-Z]*=//p" "$root/build/$1/CMakeCache.txt" 2>/dev/null || true; }

# configure PRESET [-DNAME=VALUE ...]: once; again only when an option differs from the cache, when packages
# were installed since, or when the clone has moved. (Changed CMake files make ninja configure by itself.)
configure() {
  local preset=$1 dir="$root/build/$1" option name home stale=0
  shift
  home=$(cached "$preset" CMAKE_HOME_DIRECTORY)
  if [ -n "$home" ] && ! [ "$home" -ef "$root" ]; then
    say "[setup] build/$preset belongs to $home; starting it afresh"
    rm -rf "${dir:?}/CMakeCache.txt" "${dir:?}/CMakeFiles" "${dir:?}/build.ninja"
  fi
  if [ -e "$dir/build.ninja" ] && [ "$installed" = 0 ]; then
    for option; do
      name=${option#-D}
      [ "$(cached "$preset" "${name%%=*}")" = "${option#*=}" ] || stale=1
    done
    [ "$stale" = 1 ] || return 0
  fi
  (cd "$root" && cmake --preset "$preset" "$@" >&2)
}

# build PRESET [TARGET ...]
build() {
  local preset=$1
  shift
  (cd "$root" && CMAKE_BUILD_PARALLEL_LEVEL=${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)} \
    cmake --build --preset "$preset" ${1:+--target "$@"} >&2)
}
