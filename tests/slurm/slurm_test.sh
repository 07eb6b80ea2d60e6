#!/usr/bin/env bash
# docker/slurm/train.sbatch on a real Slurm: three slurmd on this machine. Three processes train one model; a signal, a
# killed process and the time limit each lead to a requeue, and the bits are those of a run that nothing happened to.
#   usage: bash tests/slurm/slurm_test.sh RWKV_TRAIN
# Exit code 77 (skipped) where Slurm is not installed. KEEP=1 leaves its directory, for a look at the logs.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/slurm/cluster.sh
. "$here/cluster.sh"
sbatch_file=$here/../../docker/slurm/train.sbatch
program=$(readlink -f "${1:?usage: bash slurm_test.sh RWKV_TRAIN}") || exit 2

skip() { echo "skipped: $*" && exit 77; }
PATH=$PATH:/usr/sbin:/sbin
for tool in slurmctld slurmd munged sbatch scontrol; do
  command -v "$tool" >/dev/null || skip "no $tool here (Debian: apt-get install slurm-wlm munge)"
done
[ "$(id -u)" = 0 ] || skip "slurmd must be started by root"
ldd "$program" | grep libgloo >/dev/null || skip "$program was built without Gloo (Debian: libgloo-dev)"

work=$(readlink -f "$(mktemp -d)") || exit 2
cp "$program" "$work/rwkv-train" # one build for all starts, whatever is built meanwhile
program=$work/rwkv-train
failures=0 scene=
clean() {
  stop_cluster
  if [ -n "${KEEP:-}" ]; then echo "kept: $work"; else rm -rf "$work"; fi
}
trap clean EXIT
trap 'exit 1' INT TERM
fail() {
  failures=$((failures + 1))
  echo "FAILED: $scene: $*"
}
begin() {
  scene=$*
  echo "== $scene ($SECONDS s)"
}

# submit NAME [OPTION OF SBATCH]... -- [ARGUMENT]...: sets id. The run is $work/NAME, what it says $work/NAME.out.
submit() {
  local name=$1
  local -a options=()
  shift
  while [ "$1" != -- ]; do options+=("$1") && shift; done
  id=$(cd "$work" && sbatch --parsable --nodes=3 --cpus-per-task=1 --output="$work/$name.out" "${options[@]}" \
    "$sbatch_file" tiny.yaml --set run.dir="$work/$name" "${@:2}") || fail "sbatch refused it"
}
job() { scontrol --oneliner show job "$id" | grep -o " $1=[^ ]*" | head -n 1 | cut -d = -f 2; }
newest() { find "$work/$1/checkpoints" -maxdepth 1 -name 'step-*[0-9]' 2>/dev/null | sort | tail -n 1 | sed 's/.*step-0*//'; }
says() { grep -q -- "$2" "$work/$1.out" || fail "$1.out does not say: $2"; }

# await SECONDS CONDITION...: a command, tried until it holds.
await() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    if [ "$SECONDS" -gt "$end" ]; then
      fail "waited in vain for: $* (job $id: $(job JobState), restarts $(job Restarts))"
      return 1
    fi
    sleep 0.1
  done
}
past() { [ "$(newest "$1")" -gt "$2" ] 2>/dev/null; }
is() { [ "$(job "$1")" = "$2" ]; }
over() { case $(job JobState) in COMPLETED | FAILED | CANCELLED | TIMEOUT | NODE_FAIL) ;; *) false ;; esac }
running_again() { is Restarts "$1" && is JobState RUNNING; }
logs_resume() { [ "$(grep -c '^\[resume\]' "$work/$1.out")" -ge "$2" ]; }
# Rank 0 may hear of it from another.
saved_by_signal() { [ "$(grep -c "at step [0-9]*: saved .* Exit 75" "$work/$1.out")" -ge "$2" ]; }

# The process of one rank of the job.
process_of_rank() {
  local process
  for process in /proc/[0-9]*; do
    if [ "$(readlink "$process/exe")" = "$program" ] &&
      tr '\0' '\n' <"$process/environ" | grep -c "^SLURM_PROCID=$1\$\|^SLURM_JOB_ID=$id\$" | grep -q 2; then
      basename "$process"
    fi
  done 2>/dev/null
}

readonly steps=900
cat >"$work/tiny.yaml" <<END
run: {name: tiny}
device: cpu
model: {arch: rwkv7, layers: 3, width: 64, head_size: 64}
tokenizer: {type: bytes}
data: {train: [{stories: {tokens: 200k, seed: 1}}], seq_len: 64}
batch: {global_tokens: 192, micro_sequences: 1}
optimizer: {type: adamw, lr: 1.0e-3}
schedule: {type: cosine, warmup: 10steps}
budget: {steps: $steps}
checkpoint: {every: {steps: 50}, keep: {last: 2}}
log: {every: 50steps}
END
export RWKV_TRAIN=$program
unset RT_NUM_THREADS RANK WORLD_SIZE
if ! start_cluster; then
  scene="the cluster"
  tail -n 5 "$work"/log/*
  fail "did not start"
  exit 1
fi

begin "three processes, undisturbed"
submit straight --
await 300 over
is JobState COMPLETED || fail "ended as $(job JobState), $(job ExitCode)"
is Restarts 0 || fail "was started again"
says straight '3 processes, from Slurm'
says straight "^done: $steps steps"

begin "a signal saves and requeues; so does the loss of a process; the bits are the same"
submit disturbed --
await 120 past disturbed 0
scancel --signal=USR1 "$id"
await 120 running_again 1
saved_by_signal disturbed 1 || fail "no word of a save"
says disturbed 'exit code 75 at checkpoint .* requeued'
await 120 logs_resume disturbed 1
await 120 past disturbed "$(newest disturbed)"
victim=$(process_of_rank 1)
if [ -n "$victim" ]; then kill -KILL "$victim"; else fail "rank 1 is not running"; fi
await 120 running_again 2
says disturbed 'exit code 137 at checkpoint .* requeued'
await 300 over
is JobState COMPLETED || fail "ended as $(job JobState), $(job ExitCode)"
says disturbed "^done: $steps steps"
for file in model optimizer; do
  cmp "$work/"{straight,disturbed}"/checkpoints/step-$(printf %08d $steps)/$file.safetensors" || fail "other bits: $file"
done

begin "before the time limit it saves and is requeued; cancelled, it saves and is not"
submit limit --time=1 --signal=USR1@40 -- --set budget.steps=1000000
await 180 running_again 1
saved_by_signal limit 1 || fail "no word of a save"
await 120 logs_resume limit 1
saved=$(newest limit)
await 120 past limit "$saved"
scancel "$id"
await 60 over
is JobState CANCELLED || fail "cancelled, but $(job JobState)"
is Restarts 1 || fail "cancelled, but started again"
await 30 saved_by_signal limit 2

begin "a mistake in the config is not tried again"
SRUN_OPTIONS=--label submit mistake -- --set model.width=65
await 60 over
says mistake '^0: error: --set model.width: 65'
is ExitCode 2:0 || fail "exit code $(job ExitCode)"
is Restarts 0 || fail "was started again"

begin "what never gains a checkpoint is given up"
printf '#!/bin/sh\nexit 76\n' >"$work/lost"
chmod +x "$work/lost"
RWKV_TRAIN=$work/lost MAX_FRUITLESS=2 submit fruitless --
await 120 over
is ExitCode 76:0 || fail "exit code $(job ExitCode)"
is Restarts 1 || fail "started $(($(job Restarts) + 1)) times"
says fruitless 'no new checkpoint in 2 starts: giving up'

if [ "$failures" != 0 ]; then
  tail -n 30 "$work"/*.out
  tail -n 5 "$work"/log/*
fi
echo "$failures failures, $SECONDS s"
[ "$failures" = 0 ]
