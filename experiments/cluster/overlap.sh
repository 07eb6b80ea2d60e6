#!/usr/bin/env bash
# How much of what two processes send each other is hidden behind what they compute: by how much a slower link makes a
# step longer, against the time that what is sent takes on that link. As root: the link is the loopback of a network
# namespace of its own, whose rate tc sets.
#   usage: bash experiments/cluster/overlap.sh BUILD_DIR [MBIT ...]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
train=$(cd "$1" && pwd)/bin/rwkv-train
shift
if [ "${RT_OVERLAP_INSIDE:-}" != 1 ]; then
  RT_OVERLAP_INSIDE=1 exec unshare --net bash "${BASH_SOURCE[0]}" "$(dirname "$(dirname "$train")")" "$@"
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ip link set lo up
export RT_NUM_THREADS=1

sent() { awk '/lo:/ { sub(/.*lo: */, ""); print $9 }' /proc/net/dev; }
# run NAME: seconds a step, bytes a step; of the last 6 of 8 steps.
run() {
  local before after
  before=$(sent)
  "$train" "$here/../../configs/quickstart.yaml" --nproc 2 --set "run.name=$1" --set "run.dir=$work/{name}" \
    --set model.layers=6 --set model.width=256 --set data.seq_len=512 --set batch.global_tokens=4096 \
    --set batch.micro_sequences=4 --set parallel.zero=1 --set budget.steps=8 --set schedule.warmup=0steps \
    --set log.every=1steps --set "data.valid=[]" --set eval.at_start=false --set "eval.samples.prompts=[]" \
    --set checkpoint.every.steps=1000 >"$work/$1.log" 2>&1 || { cat "$work/$1.log" >&2; exit 1; }
  after=$(sent)
  sed -n 's/.*"step":\([0-9]*\),"tokens".*"tokens_per_s":\([0-9.e+]*\).*/\1 \2/p' "$work/$1/metrics.jsonl" |
    awk -v bytes=$((after - before)) '$1 > 2 { seconds += 4096 / $2; n++ } END { printf "%.4f %.0f\n", seconds / n, bytes / 8 }'
}
read -r free bytes < <(run free)
printf 'link           step s   sent MB a step   on the link s   longer by s   hidden\n'
printf '%-12s %8.3f %16.1f\n' loopback "$free" "$(awk -v b="$bytes" 'BEGIN { print b / 1e6 }')"
for mbit in "${@:-800 400 200 100}"; do
  for rate in $mbit; do
    tc qdisc replace dev lo root tbf rate "${rate}mbit" burst 256kb latency 20s
    read -r seconds bytes < <(run "at$rate")
    awk -v rate="$rate" -v s="$seconds" -v free="$free" -v b="$bytes" 'BEGIN { wire = b * 8 / rate / 1e6; longer = s - free;
      printf "%-12s %8.3f %16.1f %15.3f %13.3f %7.0f%%\n", rate " Mbit/s", s, b / 1e6, wire, longer, 100 * (1 - longer / wire) }'
  done
done
