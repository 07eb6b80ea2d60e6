#!/usr/bin/env bash
# scripts/test.sh and .ci/run: what they configure and run, and that no failure is lost on the way to the last line.
# shellcheck source=tests/scripts/fakes.sh
. "$(dirname "${BASH_SOURCE[0]}")/fakes.sh"

# A ctest with as many results as FAKE_<preset>="tests failures skipped" says, and formatting as FAKE_FORMAT.
fake_tools() {
  new_clone
  fake ctest <<'END'
preset=$2
results="FAKE_${preset//-/_}"
read -r tests bad skipped <<<"${!results:-5 0 1}"
while [ "$1" != --output-junit ]; do shift; done
printf '<testsuite name="x"\n\ttests="%s"\n\tfailures="%s"\n\tdisabled="0"\n\tskipped="%s"\n>\n' \
  "$tests" "$bad" "$skipped" >"$2"
echo "threads $RT_NUM_THREADS" >>"$FAKE_WORK/calls"
[ "$bad" = 0 ]
END
  fake clang-format <<'END'
if [ "$1" = --version ]; then echo "version 14.0.6"; else echo "${FAKE_FORMAT:-int a;}"; fi
END
  fake git <<<'echo a.cpp'
  echo "int a;" >"$work/clone/a.cpp"
}
jobs=$(nproc)
jobs=$((jobs < 2 ? 2 : jobs))
tail_of() { tail -n 1 "$work/out"; }
expect_last() { [ "$(tail_of)" = "$1" ] || fail "the last line is '$(tail_of)', not '$1'"; }

scene="test.sh runs everything but what needs a GPU"
fake_tools
run scripts/test.sh
expect_status 0
expect_no_call '^apt-get'
expect_call "cmake --preset cpu -DRT_TESTS=ON"
expect_call "cmake --build --preset cpu"
expect_call "ctest --preset cpu -LE ^gpu\$ -j $jobs --no-tests=error --output-junit $work/clone/build/cpu/tests.xml"
expect_call "threads 2"

scene="test.sh again: nothing to configure; warnings as errors: configured again, once"
: >"$calls"
run scripts/test.sh
expect_no_call '^cmake --preset'
settings=(RT_WERROR=ON)
run scripts/test.sh
run scripts/test.sh
expect_calls '^cmake --preset cpu -DRT_TESTS=ON -DRT_WERROR=ON$' 1
settings=(LC_ALL=C)

scene="test.sh after a train.sh without GTest: GTest is installed and the tests configured"
fake_tools
become_root_user
lose_header gtest/gtest.h
run scripts/train.sh
: >"$calls"
run scripts/test.sh
expect_status 0
expect_call "apt-get -o DPkg::Lock::Timeout=300 -q install -y --no-install-recommends libgtest-dev"
expect_call "cmake --preset cpu -DRT_TESTS=ON"

scene="a failing test fails test.sh"
fake_tools
settings=("FAKE_cpu=5 1 0")
run scripts/test.sh
[ "$status" != 0 ] || fail "status is 0"
settings=(LC_ALL=C)

scene="the checks all pass: skipped tests are not counted as passed"
fake_tools
run .ci/run
expect_status 0
expect_last "9 passed, 0 failed"
expect_call "cmake --preset cpu -DRT_TESTS=ON -DRT_WERROR=ON"
expect_call "cmake --preset asan-ubsan -DRT_TESTS=ON -DRT_WERROR=ON"
expect_call "ctest --preset asan-ubsan -LE ^gpu\$ -L ^fast\$ -j $jobs --no-tests=error --output-junit $work/clone/build/asan-ubsan/tests.xml"

scene="one test fails under the sanitizers"
settings=("FAKE_asan_ubsan=7 2 0")
run .ci/run
expect_status 1
expect_last "10 passed, 2 failed"

scene="the layout is off"
settings=("FAKE_FORMAT=int b;")
run .ci/run
expect_status 1
expect_last "8 passed, 1 failed"

scene="nothing builds: old results do not count"
settings=(FAKE_BUILD_FAILS=1)
run .ci/run
expect_status 1
expect_last "1 passed, 2 failed"

finish
