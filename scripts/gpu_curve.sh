#!/usr/bin/env bash
# The loss of 50 steps of a config on the CPU and on the GPU, in f32: equal within 1e-3 at every step. Then the GPU
# again, interrupted and resumed: equal to the bit.
#   usage: bash scripts/gpu_curve.sh RWKV_TRAIN CONFIG DIR [DEVICE]
# Of the runs only logs and metrics stay in DIR.
set -euo pipefail
train=$1 config=$2 dir=$3 device=${4:-cuda}
rm -rf "$dir"
mkdir -p "$dir"
trap 'find "$dir" -mindepth 2 ! -name metrics.jsonl -delete 2>/dev/null' EXIT

# run NAME DEVICE STEPS [OPTION ...]
run() {
  "$train" "$config" --set "run.name=$1" --set "run.dir=$dir/{name}" --set "device=$2" --set precision.compute=f32 \
    --set "budget.steps=$3" --set schedule.type=constant --set schedule.warmup=10steps --set log.every=1steps --set eval.every=1000steps \
    --set eval.at_start=false --set eval.samples.every=1000steps --set "eval.samples.prompts=[]" \
    --set data.valid=[] --set "checkpoint.every={steps: 20}" "${@:4}" >"$dir/$1.log" 2>&1
}
# losses NAME: "step loss" per line.
losses() { sed -n 's/.*"step":\([0-9]*\),"tokens":[0-9]*,"loss":\([-0-9.e+]*\).*/\1 \2/p' "$dir/$1/metrics.jsonl"; }

run cpu cpu 50
run gpu "$device" 50
run resumed "$device" 20
run resumed "$device" 50 --set "checkpoint.allow_change=[budget]"
paste <(losses cpu) <(losses gpu) | awk '
  { d = $2 - $4; if (d < 0) d = -d; if (d > worst) worst = d; n++ }
  END { printf "steps %d, largest difference of the loss %.2e\n", n, worst; exit !(n == 50 && worst <= 1e-3) }'
diff <(losses gpu) <(losses resumed) && echo "resumed: equal to the bit"
