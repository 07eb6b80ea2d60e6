#!/usr/bin/env bash
# scripts/train.sh: what it installs, when it configures, what it passes on.
# shellcheck source=tests/scripts/fakes.sh
. "$(dirname "${BASH_SOURCE[0]}")/fakes.sh"
apt="-o DPkg::Lock::Timeout=300 -q"

scene="everything is installed"
new_clone
run scripts/train.sh
expect_status 0
expect_no_call '^apt-get'
expect_call "cmake --preset cpu"
expect_call "cmake --build --preset cpu --target rwkv-train rwkv"
expect_call "rwkv-train in $work/clone: configs/quickstart.yaml"
[ ! -s "$work/out" ] || fail "stdout is the program's alone"

scene="the second run configures nothing, and options go to the default config"
: >"$calls"
run scripts/train.sh --set a.b=c --set 'd.e=[1, 2]'
expect_status 0
expect_no_call '^cmake --preset'
expect_no_call '^apt-get'
expect_call "rwkv-train in $work/clone: configs/quickstart.yaml --set a.b=c --set d.e=[1, 2]"

scene="a config of one's own is found from where one stands; the exit code is the program's"
settings=(FAKE_STATUS=17)
run scripts/train.sh mine.yaml --set a.b=c
expect_status 17
expect_call "rwkv-train in $work: mine.yaml --set a.b=c"
settings=(LC_ALL=C)

scene="another preset"
settings=(RT_PRESET=cpu-debug)
run scripts/train.sh
expect_call "cmake --preset cpu-debug"
expect_call "cmake --build --preset cpu-debug --target rwkv-train rwkv"
settings=(LC_ALL=C)

scene="signals reach the program"
rm -f "$work/running"
(
  cd "$work"
  exec env -i PATH="$work/bin" FAKE_WORK="$work" RT_PREFIXES="$work/prefix" FAKE_WAIT=1 \
    bash clone/scripts/train.sh </dev/null 2>"$work/err"
) &
pid=$!
for _ in $(seq 200); do
  [ ! -e "$work/running" ] || break
  sleep 0.05
done
kill -TERM "$pid"
status=0
wait "$pid" || status=$?
expect_status 75
expect_call "rwkv-train: TERM"

scene="packages are missing, no root and no sudo"
new_clone
lose_header yaml-cpp/yaml.h
lose_header CLI/CLI.hpp
run scripts/train.sh
expect_status 2
expect_said "apt-get install -y --no-install-recommends libyaml-cpp-dev libcli11-dev"
expect_no_call '^apt-get'
expect_no_call '^cmake --'

scene="packages are missing, sudo would ask for a password and nobody is there"
fake sudo <<<'exit 1'
run scripts/train.sh
expect_status 2
expect_call "sudo -n true"
expect_no_call '^sudo env'

scene="packages are missing, sudo works"
fake sudo <<'END'
if [ "$1" != -n ]; then exec "$@"; fi
END
run scripts/train.sh
expect_status 0
expect_call "sudo env DEBIAN_FRONTEND=noninteractive apt-get $apt install -y --no-install-recommends libyaml-cpp-dev libcli11-dev"
expect_calls '^apt-get' 2

scene="packages and a tool are missing, root"
new_clone
become_root_user
lose_header eigen3/Eigen/Core
rm "$work/bin/ninja"
run scripts/train.sh
expect_call "apt-get $apt update"
expect_call "apt-get $apt install -y --no-install-recommends ninja-build libeigen3-dev"
expect_status 2
expect_said "error: installed, but still not found: ninja-build"

scene="apt-get cannot install what is needed"
new_clone
become_root_user
lose_header xxhash.h
settings=(FAKE_UNAVAILABLE=libxxhash-dev)
run scripts/train.sh
expect_status 2
expect_said "error: that failed: apt-get install -y --no-install-recommends libxxhash-dev"
expect_no_call '^cmake --'
settings=(LC_ALL=C)

scene="an optional package is not available: asked for once"
new_clone
become_root_user
lose_header dnnl.h
settings=(FAKE_UNAVAILABLE=libdnnl-dev)
run scripts/train.sh
expect_status 0
expect_call "apt-get $apt install -y --no-install-recommends libdnnl-dev"
: >"$calls"
run scripts/train.sh
expect_status 0
expect_no_call '^apt-get'
settings=(LC_ALL=C)

scene="an optional package alone is no reason to stop or to ask for a password"
new_clone
lose_header dnnl.h
run scripts/train.sh
expect_status 0
expect_no_call '^apt-get'

scene="a package installed later is a reason to configure again"
become_root_user
run scripts/train.sh
expect_status 0
expect_calls '^cmake --preset' 2

scene="no GTest: the build goes without tests"
new_clone
lose_header gtest/gtest.h
run scripts/train.sh
expect_status 0
expect_call "cmake --preset cpu -DRT_TESTS=OFF"

scene="the clone has moved since it was configured"
sed -i 's,^CMAKE_HOME_DIRECTORY:.*,CMAKE_HOME_DIRECTORY:INTERNAL=/nowhere,' "$work/clone/build/cpu/CMakeCache.txt"
run scripts/train.sh
expect_status 0
expect_said "[setup] build/cpu belongs to /nowhere; starting it afresh"
expect_calls '^cmake --preset' 2

scene="no apt-get: names what is missing"
new_clone
rm "$work/bin/apt-get"
lose_header spdlog/spdlog.h
run scripts/train.sh
expect_status 2
expect_said_like "^error: not found: libspdlog-dev"
give_header spdlog/spdlog.h
run scripts/train.sh
expect_status 0

scene="tools that are too old"
settings=(FAKE_CMAKE_VERSION=3.18.4)
run scripts/train.sh
expect_status 2
expect_said_like "^error: cmake 3.18.4 is older than 3.22"
settings=(FAKE_GCC_VERSION=10)
run scripts/train.sh
expect_status 2
expect_said_like "^error: g++ 10 is older than 11"
settings=(LC_ALL=C)

scene="the build fails"
settings=(FAKE_BUILD_FAILS=1)
: >"$calls"
run scripts/train.sh
expect_status 1
expect_no_call '^rwkv-train'
settings=(LC_ALL=C)

scene="--help changes nothing"
new_clone
run scripts/train.sh --help
expect_status 0
grep -q '^usage: bash scripts/train.sh' "$work/out" || fail "no usage"
[ ! -s "$calls" ] || fail "something was called"

finish
