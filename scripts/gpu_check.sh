#!/usr/bin/env bash
# Everything that only a GPU can show, in under 8 minutes and without a network: the gpu tests, the golden files on the
# device, compute-sanitizer, the benchmarks. Writes report.md, report.json and the logs.
set -uo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
  cat <<END
usage: bash scripts/gpu_check.sh [--build DIR] [--out DIR] [--quick]

  --build DIR  the tree to check, already built (default: build/cuda; built here if it is missing and nvcc is there)
  --out DIR    where the reports go (default: experiments/gpu/DATE-DEVICE)
  --quick      correctness only, no benchmarks
Exit code: 0 when every check passed, 1 when one failed, 2 when there is nothing to check with.
END
}

tree=$root/build/cuda out='' quick=''
while [ $# -gt 0 ]; do
  case $1 in
    --build) tree=$2 && shift 2 ;;
    --out) out=$2 && shift 2 ;;
    --quick) quick=1 && shift ;;
    -h | --help) usage && exit 0 ;;
    *) usage >&2 && exit 2 ;;
  esac
done

if ! command -v nvidia-smi >/dev/null || ! nvidia-smi -L | grep -q GPU; then
  echo "error: no NVIDIA GPU is visible here (nvidia-smi -L)." >&2
  exit 2
fi
if [ ! -x "$tree/bin/rwkv" ]; then
  echo "[gpu_check] building the cuda preset"
  arch=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d . | sed 's/^90$/90a/')
  install_missing "$build_needs$test_needs" "$optional_needs"
  configure cuda "-DRT_CUDA_ARCHITECTURES=$arch" && build cuda || exit 2
fi
device=$(nvidia-smi --query-gpu=name --format=csv,noheader | head -n 1)
driver=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader | head -n 1)
commit=$("$tree/bin/rwkv" --version | awk '/^commit/ {print $2}')
slug=$(tr -cs 'A-Za-z0-9' '-' <<<"$device" | sed 's/-*$//')
out=${out:-$root/experiments/gpu/$(date -u +%Y-%m-%d)-$slug}
rows=$out/rows
rm -rf "$rows"
mkdir -p "$rows"
report=$out/report.md
steps=0
deadline=$((SECONDS + 460)) # of all steps together; writing the report takes no time

# step NAME SECONDS COMMAND...: one line of the report; its output is NAME.log.
step() {
  steps=$((steps + 1))
  take "$steps" "$@"
}
# The same for what is not timed: up to eight at once. `meet` waits for all.
beside() {
  steps=$((steps + 1))
  while [ "$(jobs -rp | wc -l)" -ge 8 ]; do wait -n; done
  take "$steps" "$@" &
}
meet() { wait; }

take() {
  local number=$1 name=$2 limit=$3 begin=$SECONDS status=0 left=$((deadline - SECONDS))
  shift 3
  [ "$limit" -le "$left" ] || limit=$((left > 1 ? left : 1))
  timeout "$limit" "$@" >"$out/$name.log" 2>&1 || status=$?
  local took=$((SECONDS - begin)) verdict=ok
  if [ "$status" = 124 ]; then verdict="out of time (${limit} s)"; elif [ "$status" != 0 ]; then verdict="FAILED ($status)"; fi
  # shellcheck disable=SC2016  # backquotes are markdown
  printf '| %s | %s | %s s | `%s` |\n' "$name" "$verdict" "$took" "${*//$root\//}" >"$rows/$(printf %03d "$number")"
  printf '[gpu_check] %-28s %s, %d s\n' "$name" "$verdict" "$took"
  [ "$status" = 0 ] || tail -n 15 "$out/$name.log"
}

rwkv=$tree/bin/rwkv
export RT_TEST_IMPL=cuda
suites='*.MatchesReference*:*.DryRunIsExact:*.BitsDoNotMove:*.GradModes:*.SequenceSplit:*.Causality:Wkv7.LargerShapes*:Wkv7Chunk.*'
beside tests_ops 240 "$tree/tests/test_ops_gpu" --gtest_filter="$suites"
beside tests_cuda 120 "$tree/tests/test_cuda_gpu"
beside tests_train 120 "$tree/tests/test_train_gpu" --gtest_filter='Resume.*:MicroStepper.*:RunAhead.*:CarriedState.*:SlicedSequence.*:Stability.*:SaverTest.WhatIsOnADevice*'
for golden in "$root"/tests/golden/ops/*.safetensors "$root"/tests/golden/train/*.safetensors "$root"/tests/golden/models/*/; do
  name=$(basename "${golden%.safetensors}")
  for precision in f32 bf16; do
    # As in tests/CMakeLists.txt: training is judged in f32, and one model is no bf16 model.
    case $golden in */train/* | *rwkv7_fp32*) [ $precision = f32 ] || continue ;; esac
    beside "verify_${name}_$precision" 60 "$rwkv" verify "$golden" --impl cuda --precision $precision
  done
done
meet
step curve 60 bash "$root/scripts/gpu_curve.sh" "$tree/bin/rwkv-train" "$root/configs/quickstart.yaml" "$out/curve"

if [ -z "$quick" ]; then
  step bench_kernels 60 "$rwkv" bench kernels --device cuda -B 8 -T 4096 -C 768 -F 3072 --json "$out/kernels.json"
  step bench_wkv7_h64 30 "$rwkv" bench kernels --device cuda -B 8 -T 4096 -C 4096 --only wkv7 --json "$out/wkv7_h64.json"
  step bench_wkv7_long 30 "$rwkv" bench kernels --device cuda -B 1 -T 65536 -C 768 --only wkv7 --json "$out/wkv7_long.json"
  step bench_step_512 40 "$rwkv" bench step --device cuda --steps 10 --json "$out/step_512.json"
  step bench_step_4096 40 "$rwkv" bench step --device cuda --seq-len 4096 --steps 10 --json "$out/step_4096.json"
  step bench_step_1.5b 60 "$rwkv" bench step --device cuda --preset 1.5b --seq-len 4096 --steps 5 --json "$out/step_1.5b.json"
  # As such a model is trained: half a million tokens a step.
  step bench_step_1.5b_512k 90 "$rwkv" bench step --device cuda --preset 1.5b --seq-len 4096 --accumulate 16 --steps 1 \
    --json "$out/step_1.5b_512k.json"
fi

if command -v compute-sanitizer >/dev/null; then
  # The op suites, not `bench kernels`: its yardsticks are large products, which take minutes with every access looked at.
  ops=$("$tree/tests/test_ops_gpu" --gtest_list_tests --gtest_filter='*.MatchesReference' | sed -n 's/^\([A-Za-z0-9]*\)\.$/\1/p')
  for op in $ops; do
    beside "memcheck_$op" 90 compute-sanitizer --tool memcheck --error-exitcode 9 "$tree/tests/test_ops_gpu" \
      --gtest_filter="$op.MatchesReference"
    beside "racecheck_$op" 90 compute-sanitizer --tool racecheck --error-exitcode 9 "$tree/tests/test_ops_gpu" \
      --gtest_filter="$op.MatchesReference"
  done
  meet
else
  echo "| memcheck, racecheck | not run: no compute-sanitizer on PATH | | |" >"$rows/999"
fi
passed=$(cat "$rows"/* | grep -c '| ok |') failed=$(cat "$rows"/* | grep -c '| FAILED\|| out of time')

# shellcheck disable=SC2016  # backquotes are markdown
{
  printf '# %s\n\n%s, driver %s, commit %s, `%s`\n\n' "$device" "$(date -u +%Y-%m-%d)" "$driver" "$commit" \
    "bash scripts/gpu_check.sh"
  printf '%d passed, %d failed.\n\n| check | result | time | command |\n|---|---|---|---|\n' "$passed" "$failed"
  cat "$rows"/*
  rm -r "$rows"
  for log in "$out"/bench_*.log; do
    [ -e "$log" ] && printf '\n## %s\n```\n%s\n```\n' "$(basename "${log%.log}")" "$(cat "$log")"
  done
} >"$report"
{
  printf '{\n  "device": "%s",\n  "driver": "%s",\n  "commit": "%s",\n  "passed": %d,\n  "failed": %d' \
    "$device" "$driver" "$commit" "$passed" "$failed"
  for json in "$out"/{kernels,wkv7_h64,wkv7_long,step_512,step_4096,step_1.5b,step_1.5b_512k}.json; do
    [ -e "$json" ] && printf ',\n  "%s": %s' "$(basename "${json%.json}")" "$(cat "$json")"
  done
  printf '\n}\n'
} >"$out/report.json"
printf '[gpu_check] %d passed, %d failed, %s\n' "$passed" "$failed" "$report"
[ "$failed" = 0 ]
