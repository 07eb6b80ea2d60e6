# shellcheck shell=bash disable=SC2016,SC2034,SC2154  # fakes are quoted programs; scenes are named by the caller
# A copy of scripts/ in a temporary clone, and a PATH on which everything that would change or inspect the machine is
# a fake that writes its command line to $calls. Source it, then call the expectations below.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
calls="$work/calls"
failures=0
export FAKE_WORK=$work

real_tools=(bash env dirname sed grep sort head cmp mkdir touch rm cat nproc sleep chmod mktemp)
packaged_headers=(eigen3/Eigen/Core yaml-cpp/yaml.h spdlog/spdlog.h nlohmann/json.hpp CLI/CLI.hpp xxhash.h simdjson.h
  zstd.h zlib.h)

# fake NAME: reads the body of a fake program.
fake() {
  { printf '#!%s\nprintf "%%s\\n" "%s $*" >>"$FAKE_WORK/calls"\n' "$(command -v bash)" "$1" && cat; } >"$work/bin/$1"
  chmod +x "$work/bin/$1"
}

give_header() { mkdir -p "$work/prefix/include/$(dirname "$1")" && touch "$work/prefix/include/$1"; }

# The stub of CMake makes the files by which the scripts see what has been done, and programs that tell how they were
# called.
fake_cmake() {
  fake cmake <<'END'
case $1 in
  --version) echo "cmake version ${FAKE_CMAKE_VERSION:-3.22.1}" ;;
  --preset)
    dir=build/$2
    mkdir -p "$dir/bin"
    touch "$dir/build.ninja"
    declare -A cache=([RT_TESTS]=ON [RT_WERROR]=OFF)
    for option in "${@:3}"; do
      option=${option#-D}
      cache[${option%%=*}]=${option#*=}
    done
    echo "CMAKE_HOME_DIRECTORY:INTERNAL=$PWD" >"$dir/CMakeCache.txt"
    for name in "${!cache[@]}"; do echo "$name:BOOL=${cache[$name]}" >>"$dir/CMakeCache.txt"; done
    ;;
  --build)
    if [ -n "${FAKE_BUILD_FAILS:-}" ]; then exit 1; fi
    cat >"build/$3/bin/rwkv-train" <<'PROGRAM'
#!/usr/bin/env bash
trap 'echo "rwkv-train: TERM" >>"$FAKE_WORK/calls"; exit 75' TERM
echo "rwkv-train in $PWD: $*" >>"$FAKE_WORK/calls"
if [ -n "${FAKE_WAIT:-}" ]; then
  touch "$FAKE_WORK/running"
  for _ in {1..200}; do sleep 0.05; done
fi
exit "${FAKE_STATUS:-0}"
PROGRAM
    chmod +x "build/$3/bin/rwkv-train"
    ;;
esac
END
}

# new_clone: starts over with a clone that has nothing built, on a Debian where everything needed is installed, as a
# user who is not root and has no sudo.
new_clone() {
  rm -rf "${work:?}"/{clone,bin,prefix,running}
  mkdir -p "$work/clone/.ci" "$work/bin" "$work/prefix/include"
  cp -r "$here/scripts" "$work/clone/scripts"
  cp "$here/.ci/run" "$work/clone/.ci/run"
  : >"$calls"
  local name
  for name in "${real_tools[@]}"; do ln -s "$(command -v "$name")" "$work/bin/$name"; done
  fake_cmake
  fake g++ <<<'case $1 in --version) echo "Free Software Foundation" ;; *) echo "${FAKE_GCC_VERSION:-11}" ;; esac'
  for name in ninja git; do fake "$name" <<<'exit 0'; done
  for name in "${packaged_headers[@]}" gtest/gtest.h dnnl.h pcre2.h sentencepiece_processor.h gloo/context.h; do give_header "$name"; done
  fake id <<<'echo 1000'
  # Installs by giving every header and nothing else, except what FAKE_UNAVAILABLE names.
  fake apt-get <<'END'
case " $* " in
  *" update "*) exit 0 ;;
  *" ${FAKE_UNAVAILABLE:-nothing} "*) exit 100 ;;
esac
for header in eigen3/Eigen/Core yaml-cpp/yaml.h spdlog/spdlog.h nlohmann/json.hpp CLI/CLI.hpp xxhash.h simdjson.h zstd.h \
  zlib.h gtest/gtest.h; do
  mkdir -p "$FAKE_WORK/prefix/include/${header%/*}"
  touch "$FAKE_WORK/prefix/include/$header"
done
END
}

lose_header() { rm -f "$work/prefix/include/$1"; }
become_root_user() { fake id <<<'echo 0'; }

# run SCRIPT ARG...: sets `status`; leaves the script's output in $work/out and $work/err.
run() {
  status=0
  (cd "$work" && env -i HOME="$work" PATH="$work/bin" FAKE_WORK="$work" RT_PREFIXES="$work/prefix" "${settings[@]}" \
    bash "$work/clone/$1" "${@:2}" </dev/null >"$work/out" 2>"$work/err") || status=$?
}
settings=(LC_ALL=C)

fail() {
  failures=$((failures + 1))
  printf 'FAILED: %s: %s\n--- calls\n' "$scene" "$1"
  cat "$calls"
  printf -- '--- stderr\n'
  cat "$work/err"
}
expect_status() { [ "$status" = "$1" ] || fail "status is $status, not $1"; }
expect_call() { grep -qxF -- "$1" "$calls" || fail "no call: $1"; }
expect_no_call() { ! grep -q -- "$1" "$calls" || fail "unexpected call: $1"; }
expect_calls() { [ "$(grep -c -- "$1" "$calls")" = "$2" ] || fail "calls of $1 are not $2"; }
expect_said() { grep -qxF -- "$1" "$work/err" || fail "not said: $1"; }
expect_said_like() { grep -q -- "$1" "$work/err" || fail "not said: $1"; }
finish() {
  [ "$failures" = 0 ] || exit 1
  printf 'ok\n'
}
