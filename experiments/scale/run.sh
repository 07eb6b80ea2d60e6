#!/usr/bin/env bash
# Makes the files of this directory: bash experiments/scale/run.sh [directory of rwkv]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
rwkv=${1:-$here/../../build/cpu/bin}/rwkv
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Predicted beside published: one line of cases.csv each. A Transformer is stood for by RWKV-7 of its layers, width and
# vocabulary, with an inner width that gives as many parameters as a token multiplies.
compare() {
  echo "system,model,machine,gpus,zero,recompute,seq_len,tokens_per_step,active_published,active_predicted,\
tokens_per_s_published,tokens_per_s_predicted,predicted_over_published,tokens_per_s_products_only,mfu_published,mfu_predicted,fits,memory_gib"
  tail -n +2 "$here/cases.csv" | while IFS=, read -r system model machine gpus zero recompute T tokens wire moments layers \
    width vocab inner active published nominal; do
    "$rwkv" check "$here/base.yaml" --world "$gpus" --machine "$machine" --set "parallel.zero=$zero" --set "precision.grad_reduce=$wire" \
      --csv "$work/row.csv" --set "data.seq_len=$T" --set "batch.global_tokens=$tokens" \
      --set "parallel.recompute=$recompute" --set "optimizer.moments=$moments" --set "model.layers=$layers" \
      --set "model.width=$width" --set "model.vocab=$vocab" --set "model.ffn_width=$inner" >/dev/null
    tail -1 "$work/row.csv" | awk -F, -v OFS=, -v name="$system" -v model="$model" -v machine="$machine" -v gpus="$gpus" \
      -v zero="$zero" -v recompute="$recompute" -v T="$T" -v tokens="$tokens" -v active="$active" -v pub="$published" \
      -v nominal="$nominal" '{ print name, model, machine, gpus, zero, recompute, T, tokens, active, $11, pub,
        sprintf("%.0f", $23), sprintf("%.2f", $23 / pub),
        sprintf("%.0f", $7 / ($14 + $17 + $21)), sprintf("%.3f", 6 * active * pub / gpus / nominal),
        sprintf("%.3f", $25), $13, sprintf("%.1f", $12) }'
  done
}
compare > "$work/comparison.csv"
mv "$work/comparison.csv" "$here/comparison.csv"
column -s, -t < "$here/comparison.csv"

# The published points that the plots for one machine can show: model,gpus,mfu,label.
points() {
  echo "model,gpus,mfu,label"
  awk -F, -v machine="$1" 'NR > 1 && $3 == machine { line = $2 == "RWKV-7 7.2B" ? "7.2B" : "";
    short = $2; sub(/^(GPT-2|RWKV-7) /, "", short); printf "%s,%s,%s,%s %s\n", line, $4, $15, $1, short }' \
    "$here/comparison.csv"
}
points h100x8 > "$work/points.csv"

plot() {  # name, machine, then options
  local name=$1 machine=$2
  shift 2
  "$rwkv" check "$here/base.yaml" --machine "$machine" --world sweep --sizes all --csv "$here/$name.csv" \
    --plot "$here/$name.svg" "$@" >/dev/null
}
plot weak_h100x8 h100x8 --set parallel.zero=2 --set precision.grad_reduce=bf16 --tokens-per-gpu 16384 --points "$work/points.csv"
plot strong_h100x8 h100x8 --set parallel.zero=2 --set precision.grad_reduce=bf16
plot strong_a100x8 a100x8 --set parallel.zero=2 --set precision.grad_reduce=bf16
plot strong_4090x8 4090x8 --set parallel.zero=2 --set precision.grad_reduce=bf16
