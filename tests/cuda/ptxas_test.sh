#!/usr/bin/env bash
# Compares what ptxas reported of every kernel with the committed budget.
#   usage: ptxas_test.sh BUILD_DIR
# Makes the reports first, for which BUILD_DIR is a Ninja build of this tree where nvcc was found: six minutes of CPU.
# A line of the budget: pattern (of the demangled name, a regular expression), most registers, most bytes of spills
# (stores and loads together), most bytes of stack frame. The first line that matches a kernel counts. A kernel without a
# line, or a line without a kernel, is a failure too.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
budget=$root/cuda/ptxas_budget.txt reports=$1/cuda/ptxas
ninja -C "$1" ptxas_reports
compgen -G "$reports/*.txt" >/dev/null || { echo "no reports in $reports" >&2; exit 1; }

# file, mangled name, registers, spill bytes, stack bytes
awk '
  /Compiling entry function/ { split($0, q, "\x27"); name = q[2]; stack = spill = 0 }
  /bytes stack frame/ {
    for (i = 1; i <= NF; i++) {
      if ($(i + 2) == "stack") stack = $i
      if ($(i + 2) == "spill") spill += $i
    }
  }
  /Used [0-9]+ registers/ {
    for (i = 1; i <= NF; i++) if ($i == "Used") registers = $(i + 1)
    file = FILENAME; sub(/.*\//, "", file); sub(/\.txt$/, "", file)
    print file, registers, spill, stack, name
  }' "$reports"/*.txt | c++filt | sort >"${TMPDIR:-/tmp}/ptxas.$$"
trap 'rm -f "${TMPDIR:-/tmp}/ptxas.$$"' EXIT

awk '
  FILENAME == ARGV[1] {
    if ($0 !~ /^ *(#|$)/) { n++; pattern[n] = $1; registers[n] = $2; spill[n] = $3; stack[n] = $4 }
    next
  }
  {
    kernels++
    line = 0
    for (i = 1; i <= n && !line; i++) if ($0 ~ pattern[i]) line = i
    if (!line) { print "no budget for " $0; bad++; next }
    used[line] = 1
    if ($2 > registers[line] || $3 > spill[line] || $4 > stack[line]) {
      printf "%s: %d registers, %d bytes spilled, %d of stack; allowed %d, %d, %d: %s\n", $1, $2, $3, $4,
        registers[line], spill[line], stack[line], substr($0, index($0, $5))
      bad++
    }
  }
  END {
    for (i = 1; i <= n; i++) if (!used[i]) { print "the budget names no kernel: " pattern[i]; bad++ }
    printf "%d kernels against %d lines, %d faults\n", kernels, n, bad
    exit bad > 0 || kernels == 0
  }' "$budget" "${TMPDIR:-/tmp}/ptxas.$$"
