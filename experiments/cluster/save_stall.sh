#!/usr/bin/env bash
# What a save costs the training of 12 x 768 with a vocabulary of 65536 (191M weights: 2.3 GB are written): how much
# longer the steps take in which one is under way, with checkpoint.async and without.
#   usage: bash experiments/cluster/save_stall.sh RWKV_TRAIN DEVICE TOKENS_PER_STEP STEPS SAVE_EVERY [DIR]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
train=$1 device=$2 tokens=$3 steps=$4 every=$5
work=$(mktemp -d "${6:-${TMPDIR:-/tmp}}/save_stall.XXXXXX")
trap 'rm -rf "$work"' EXIT
precision=f32
[ "$device" = cpu ] || precision=bf16
printf 'async   step s   a save s   the step after it s   longer, of a step: that one   all that it touches   seconds   waited s\n'
for async in true false; do
  "$train" "$here/../../configs/quickstart.yaml" --set "run.name=async_$async" --set "run.dir=$work/{name}" --set "device=$device" \
    --set "precision.compute=$precision" --set model.layers=12 --set model.width=768 --set model.vocab=65536 \
    --set data.seq_len=512 --set "batch.global_tokens=$tokens" --set "budget.steps=$steps" --set schedule.warmup=0steps \
    --set log.every=1steps --set "data.valid=[]" --set eval.at_start=false --set "eval.samples.prompts=[]" \
    --set "checkpoint.every={steps: $every}" --set "checkpoint.keep={last: 1}" --set "checkpoint.async=$async" \
    >"$work/$async.log" 2>&1 || { cat "$work/$async.log" >&2; exit 1; }
  # A line of metrics is written right after its step, before the save that is due then: what a save costs is in the next.
  save=$(sed -n 's/.*saved .*seconds=\([0-9.]*\),.*/\1/p' "$work/$async.log" | sort -n | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }')
  sed -n 's/.*"step":\([0-9]*\),"tokens".*"tokens_per_s":\([0-9.e+]*\).*"checkpoint_wait_s":\([-0-9.e+]*\).*/\1 \2 \3/p' \
    "$work/async_$async/metrics.jsonl" | awk -v tokens="$tokens" -v every="$every" -v save="$save" -v name="$async" '
    function median(a, n,   i, j, t) {
      for (i = 1; i <= n; i++) for (j = i + 1; j <= n; j++) if (a[j] < a[i]) { t = a[i]; a[i] = a[j]; a[j] = t }
      return a[int((n + 1) / 2)]
    }
    { seconds[$1] = tokens / $2; waited += $3; last = $1 }
    END {
      for (i = 3; i <= last; i++) all[++n] = seconds[i]
      typical = median(all, n)
      for (at = every; at < last; at += every) {
        first[++saves] = seconds[at + 1]
        this = 0
        for (i = at + 1; i <= last && i <= at + every && (i - at - 1) * typical <= save; i++) this += seconds[i] - typical
        longer += this
        squares += this * this
      }
      mean = longer / saves
      error = saves > 1 ? sqrt((squares / saves - mean * mean) / (saves - 1)) : 0
      next_step = median(first, saves)
      printf "%-7s %6.4f %10.2f %21.4f %27.1f%% %20.1f%% %6.2f+-%.2f %10.4f\n", name, typical, save, next_step,
        100 * (next_step / typical - 1), 100 * mean / typical, mean, error, waited / saves }'
done
